"""The whole stack in real processes, started once: web, workers, Beat, model, own database.

Its processes have failpoints, each with a file that says it has fired already; `live.arm` takes
the file away. So a test kills a process at an exact place without starting it anew before.
"""

import contextlib
import json
import os
import signal
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.rows import dict_row

from deploy.local.demo import get_token
from deploy.local.prepared import SECRETS
from deploy.local.processes import Child, listen
from deploy.local.stack import Stack
from tests.live.proxy import Proxy
from tests.waiting import until

LEASE_SECONDS, TOKEN_GROWS_OLD = 2, 300
POINTS = {
    "before_post_commit": "kill",
    "after_post_commit": "kill",
    "before_claim": "kill",
    "after_claim": "kill",
    "after_reply": "kill",
    "before_summary_commit": "kill",
    "after_summary_commit": "kill",
    "before_checklist_commit": "kill",
    "after_checklist_commit": "kill",
    "before_result_commit": "kill",
    "before_document_commit": "kill",
    "after_result_commit": "kill",
    "before_reap": "kill",
    "before_publish": "sleep:1",
    "after_publish": "kill",
}
DATABASE = f"guidepost_live_{os.getpid()}"


class Live:
    """What a test may do to the stack, and how it asks what came of it."""

    def __init__(self, stack, redis, database_url):
        self.stack, self.redis, self.database_url = stack, redis, database_url
        put_limits_out_of_reach(database_url)
        self.points = Path(stack.settings["FAILPOINTS_DIR"])
        self.url = stack.url
        self.model = stack.env["OFFLINE_MODEL_URL"].removesuffix("/v1")
        self._token, self._token_since = "", float("-inf")

    def request(self, method, path, body=None, timeout=30, key=None, media_type="application/json"):
        """(status, headers, decoded body) of one API call."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=body,
            headers={
                "Authorization": f"Bearer {self.token()}",
                "Content-Type": media_type,
                **({"Idempotency-Key": key} if key else {}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.headers, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, error.headers, json.load(error)

    def token(self):
        """A good one: on a busy machine tests take longer than a token lives."""
        if time.monotonic() - self._token_since > TOKEN_GROWS_OLD:
            self._token = get_token(self.stack.url, self.stack.client)
            self._token_since = time.monotonic()
        return self._token

    def submit(self, text="Staff MUST wash their hands before every contact."):
        """A job that asks the model, whatever other tests had for the same text."""
        status, _, job = self.request(
            "POST", "/jobs", {"guideline_text": text, "options": {"cache": False}}
        )
        assert status == 202, job
        return job["event_id"]

    def upload(self, content, name="guideline"):
        """(status, headers, decoded body) of a submission of this file."""
        head = f'--b\r\nContent-Disposition: form-data; name="document"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + b"\r\n--b--\r\n"
        return self.request("POST", "/jobs", body, media_type="multipart/form-data; boundary=b")

    def job(self, event_id):
        return self.request("GET", f"/jobs/{event_id}")[2]

    def wait_for(self, event_id, *statuses, seconds=60):
        """The job, once it has one of the statuses."""
        try:
            return self.until(
                lambda: (j := self.job(event_id))["status"] in statuses and j, seconds=seconds
            )
        except AssertionError:
            job, attempts = self.job(event_id), self.attempts(event_id)
            raise AssertionError(f"{job} is not {statuses}: {attempts}") from None

    def until(self, condition, seconds=60):
        """`tests.waiting.until`, with more patience."""
        return until(condition, seconds)

    def rows(self, query, *parameters):
        with psycopg.connect(self.database_url, row_factory=dict_row) as connection:
            return connection.execute(query, parameters).fetchall()

    def attempts(self, event_id):
        """(number, step, outcome) of each attempt at a job."""
        rows = self.rows(
            "SELECT number, a.step, outcome FROM jobs_jobattempt a"
            " JOIN jobs_job j ON j.id = a.job_id WHERE event_id = %s ORDER BY number",
            event_id,
        )
        return [tuple(row.values()) for row in rows]

    def ledger(self, event_id):
        """(attempt, step, outcome) of each model call that our own books have of a job."""
        rows = self.rows(
            "SELECT c.attempt, c.step, outcome FROM jobs_llmcall c"
            " JOIN jobs_job j ON j.id = c.job_id WHERE event_id = %s ORDER BY c.id",
            event_id,
        )
        return [tuple(row.values()) for row in rows]

    def steps(self, event_id):
        """What the model was asked for a job, in order."""
        labels = (call for call in self.calls() if call["client_request_id"].startswith(event_id))
        return [call["step"] for call in labels]

    # --- The processes ------------------------------------------------------------------------

    def arm(self, point):
        """The next process that comes to this point meets what POINTS says."""
        (self.points / point).unlink()

    def wait_fired(self, point):
        self.until((self.points / point).exists)

    def disarm(self):
        for point in POINTS:
            (self.points / point).touch()

    def signal(self, name, number):
        os.kill(self.stack.children[name].pid, number)

    def kill(self, name):
        """The whole of it at once; the supervisor starts it again."""
        os.killpg(self.stack.children[name].pid, signal.SIGKILL)

    @contextlib.contextmanager
    def without(self, name):
        """The process is stopped in good order; started again at the end."""
        child = self.stack.children[name]
        child.ask_to_stop()
        child.wait_stopped(10)
        try:
            yield
        finally:
            child.start()

    @contextlib.contextmanager
    def another_worker(self, **environment):
        """A second process that runs jobs; yields once it can take one."""
        worker = self.stack.children["worker"]
        alive = self.stack.home / "other.alive"
        alive.unlink(missing_ok=True)
        other = Child(
            "other",
            [*worker.command[:-1], "other@%h"],
            self.stack.log("other"),
            cwd=worker.cwd,
            env={**worker.env, "ALIVE_FILE": str(alive), **environment},
        )
        other.start()
        try:
            self.until(alive.exists)
            yield other
        finally:
            other.ask_to_stop()
            other.wait_stopped(10)

    @contextlib.contextmanager
    def another_web(self, **environment):
        """One more web server, of one process; yields its address."""
        web = self.stack.children["web"]
        with listen() as listening:
            number, port = listening.fileno(), listening.getsockname()[1]
            command = list(web.command)
            command[command.index("-b") + 1] = f"fd://{number}"
            other = Child(
                name := f"web-{port}",
                command,
                self.stack.log(name),
                cwd=web.cwd,
                env={**web.env, "WEB_PROCESSES": "1", **environment},
                popen={"pass_fds": [number]},
            )
            other.start()
        url = f"http://127.0.0.1:{port}"

        def is_ready():
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(f"{url}/readyz", timeout=5).status == 200

        try:
            self.until(is_ready)
            yield url
        finally:
            other.ask_to_stop()
            other.wait_stopped(15)

    # --- The model's side ---------------------------------------------------------------------

    def script(self, *behaviours):
        self._control("script", {"behaviours": list(behaviours)})

    def release(self):
        self._control("release", {})

    def reset_model(self):
        self._control("reset", {})

    def calls(self):
        with urllib.request.urlopen(f"{self.model}/_control/ledger") as answer:
            ledger = json.load(answer)
        return ledger["calls"] if isinstance(ledger, dict) else ledger

    def _control(self, what, body):
        urllib.request.urlopen(
            urllib.request.Request(
                f"{self.model}/_control/{what}",
                data=json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
            )
        ).close()


def put_limits_out_of_reach(database_url):
    """Tests ask more often than any customer may."""
    rates = ("submits_per_minute", "reads_per_minute", "manages_per_minute")
    assignments = ", ".join(f"{rate} = 1000000" for rate in rates)
    with psycopg.connect(database_url) as connection:
        connection.execute(f"UPDATE tenants_plan SET {assignments}, tokens_per_day = 10 ^ 12")


def _with_path(url, path):
    return urlunsplit(urlsplit(url)._replace(path=path))


@pytest.fixture(scope="session")
def live_stack():
    server = os.environ["DATABASE_URL"]
    with psycopg.connect(server, autocommit=True) as connection:
        template = os.environ.get("TEST_DATABASE_TEMPLATE", "template1")
        connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE {template}")
    redis = Proxy(os.environ["REDIS_URL"])
    database_url = _with_path(server, f"/{DATABASE}")
    home = Path(tempfile.mkdtemp(prefix="guidepost-live-"))
    # Under which what the copied database holds is sealed.
    (home / SECRETS).write_text(json.dumps({"ENCRYPTION_KEYS": os.environ["ENCRYPTION_KEYS"]}))
    stack = Stack(
        home,
        database_url=database_url,
        redis_url=_with_path(redis.url, "/1"),  # wake-ups of other tests are not for its workers
        settings={
            "JOB_LEASE_SECONDS": str(LEASE_SECONDS),
            "TOKEN_RATE": "10000/m",
            "OPENAI_API_KEY": "",
            "OPENAI_BASE_URL": "",
            **failpoints(home),
        },
        patient=True,
    )
    stack.start()
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(stack, ended))
    watcher.start()
    yield Live(stack, redis, database_url)
    ended.set()
    watcher.join()
    redis.restore()
    stack.stop()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        connection.execute(f"DROP ROLE {DATABASE}_web_login, {DATABASE}_worker_login")


def failpoints(home):
    """The settings of a stack whose processes can be armed."""
    points = ";".join(f"{name}={action}" for name, action in POINTS.items())
    (home / "points").mkdir()
    for point in POINTS:
        (home / "points" / point).touch()
    return {"FAILPOINTS": points, "FAILPOINTS_DIR": str(home / "points")}


def _watch(stack, ended):
    while not ended.wait(0.1):
        stack.watch()


@pytest.fixture
def live(live_stack):
    """The stack with everything in place and a model that behaves."""
    live_stack.redis.restore()
    live_stack.reset_model()
    live_stack.token()  # while there is a Redis to count with
    yield live_stack
    live_stack.redis.restore()
    live_stack.disarm()
    live_stack.release()
    live_stack.reset_model()
