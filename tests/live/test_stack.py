"""The whole way in real processes: what is accepted is finished, whoever dies meanwhile."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from deploy.local.stack import ROOT
from tests.bench.documents import guideline
from tests.test_openapi import COMMITTED, check

TEXT = """# Hand hygiene

Staff MUST wash their hands before every contact with a patient.

Visitors SHOULD NOT bring flowers. The ward sister MAY allow a visit after 20:00.
"""


def test_a_guideline_becomes_a_checklist_whose_quotes_stand_in_the_source(live):
    job = live.wait_for(live.submit(TEXT), "COMPLETED")

    result = job["result"]
    citations = [c for item in result["checklist"] for c in item["citations"]]
    assert [item["level"] for item in result["checklist"]] == ["must", "should_not", "may"]
    assert all(TEXT[c["start"] : c["end"]] == c["quote"] for c in citations)
    assert result["grounding"]["exact"] == len(citations) == 3
    assert result["coverage"]["missing"] == []
    check(yaml.safe_load(COMMITTED.read_text()), "JobDetail", job)
    assert job["usage"]["llm_calls"] == 2
    assert job["usage"]["prompt_tokens"] > 0
    assert {step["model"] for step in result["provenance"]["steps"].values()} == {
        "guidepost-offline-1"
    }


@pytest.mark.faults  # for the time it takes: `make faults`
def test_a_guideline_of_a_megabyte_completes_within_the_memory_of_a_worker(live):
    text = guideline(1_040_000)
    size = len(text.encode())
    assert 1_030_000 < size <= 1_048_576

    job = live.wait_for(live.submit(text), "COMPLETED", seconds=240)

    assert job["attempt"] == 1
    assert job["usage"]["llm_calls"] > 200
    assert job["progress"]["passages_done"] == job["progress"]["passages"] > 1_000
    coverage = job["result"]["coverage"]
    assert coverage["must_covered"] == coverage["must"] > 1_000
    status = Path(f"/proc/{live.stack.children['worker'].pid}/status")
    if status.exists():  # on Linux
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1])
        assert peak < 400_000


def test_staff_can_see_which_task_ran_which_job(live):
    event_id = live.submit()
    live.wait_for(event_id, "COMPLETED")

    def traced():
        return live.rows(
            "SELECT task_name, status FROM django_celery_results_taskresult WHERE result = %s",
            f'"{event_id}"',
        )

    assert live.until(traced) == [
        {"task_name": "jobs.tasks.process_guideline_job", "status": "SUCCESS"}
    ]


def test_a_killed_worker_costs_neither_the_job_nor_step_one(live):
    live.script({"do": "hold", "step": "checklist", "times": 1})
    event_id = live.submit(TEXT)
    live.until(lambda: "checklist" in live.steps(event_id))

    os.kill(live.stack.children["worker"].pid, signal.SIGKILL)

    job = live.wait_for(event_id, "COMPLETED")
    steps = [call["step"] for call in live.calls()]
    attempts = live.rows(
        "SELECT number, a.step, outcome FROM jobs_jobattempt a JOIN jobs_job j ON j.id = a.job_id"
        " WHERE event_id = %s ORDER BY number",
        event_id,
    )
    assert job["attempt"] == 2
    assert steps.count("summary") == 1
    assert attempts == [
        {"number": 1, "step": "summarize", "outcome": "lease_lost"},
        {"number": 2, "step": "checklist", "outcome": "completed"},
    ]


def check_accepted_quickly_and_finished_later(live, restore):
    started = time.monotonic()
    event_ids = [live.submit() for _ in range(5)]
    seconds = (time.monotonic() - started) / 5

    restore()

    for event_id in event_ids:
        live.wait_for(event_id, "COMPLETED", seconds=60)
    assert seconds < 0.2, f"{seconds:.3f} s for each submission"


def test_without_redis_jobs_are_accepted_at_once_and_run_when_it_is_back(live):
    live.redis.refuse()

    check_accepted_quickly_and_finished_later(live, live.redis.restore)


def test_with_a_redis_that_hangs_jobs_are_accepted_at_once_too(live):
    live.redis.hang()

    check_accepted_quickly_and_finished_later(live, live.redis.restore)


def test_without_redis_the_service_says_it_is_degraded(live):
    live.redis.refuse()

    status, _, body = live.request("GET", "/readyz")

    assert (status, body["status"]) == (200, "degraded")


def test_a_model_that_fails_for_a_while_is_asked_again(live):
    live.script({"do": "status", "status": 500, "times": 1})

    job = live.wait_for(live.submit(), "COMPLETED")

    assert job["attempt"] == 2


def test_a_model_that_refuses_fails_the_job_with_a_safe_reason(live):
    live.script({"do": "refuse", "times": 1})

    job = live.wait_for(live.submit(), "FAILED")

    assert job["error"]["code"] == "llm_refused"
    assert job["attempt"] == 1


def test_a_running_job_is_cancelled_for_good(live):
    live.script({"do": "hold", "times": 1})
    event_id = live.submit()
    live.wait_for(event_id, "PROCESSING")
    live.until(live.calls)

    status, _, _ = live.request("POST", f"/jobs/{event_id}/cancel")
    live.release()

    assert status == 202
    time.sleep(1)
    assert live.job(event_id)["status"] == "CANCELLED"
    assert [call["step"] for call in live.calls()] == ["summary"]


def test_many_jobs_of_one_submitter_all_end(live):
    event_ids = [live.submit() for _ in range(30)]

    for event_id in event_ids:
        live.wait_for(event_id, "COMPLETED", seconds=60)


def test_what_was_submitted_is_in_the_sealed_log_which_verifies(live):
    event_ids = [live.submit() for _ in range(5)]
    live.request("POST", f"/jobs/{event_ids[0]}/cancel")

    def sealed():
        page = live.request("GET", "/audit?action=job.submitted&limit=5")[2]["data"]
        return all(entry["seq"] for entry in page) and page

    page = live.until(sealed, seconds=20)
    done = subprocess.run(
        [sys.executable, "manage.py", "audit_verify"],
        check=False,
        cwd=ROOT,
        env={**os.environ, **live.stack.facts()["env"]},
        capture_output=True,
        text=True,
    )

    assert {entry["object"]["id"] for entry in page} == set(event_ids)
    assert re.fullmatch(r"audit: tenants=\d+ entries=\d+ ok\n", done.stdout), (
        done.stdout + done.stderr
    )
    anchors = Path(live.stack.facts()["env"]["AUDIT_ANCHOR_FILE"]).read_text()
    assert json.loads(anchors.splitlines()[0])["number"] == 1
