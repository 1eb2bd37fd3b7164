"""POST /jobs writes a row, sends a task and answers 202."""

import json
import uuid

from tests.chaos.naive.tasks import connect, process_guideline


def application(environ, start_response):
    if environ["REQUEST_METHOD"] != "POST" or environ["PATH_INFO"] != "/jobs":
        return _answer(start_response, "404 Not Found", {})
    body = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    job_id = str(uuid.uuid4())
    with connect() as connection:
        connection.execute(
            "INSERT INTO jobs (id, guideline) VALUES (%s, %s)", (job_id, body["guideline_text"])
        )
    process_guideline.delay(job_id)  # after the commit, so that the worker finds the row
    return _answer(start_response, "202 Accepted", {"event_id": job_id})


def _answer(start_response, status, body):
    start_response(status, [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
