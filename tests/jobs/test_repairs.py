"""A job repairs its checklist, keeps what it has paid for, and never ends worse for it."""

import json
import threading
import time

import pytest

from jobs import breaker, claims, model_loop, progress, retries, runner, services
from jobs.models import Job, LLMCall, Step
from jobs.persistence import LeaseLost
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import SUMMARY, USAGE, claimed, in_thread
from tests.jobs.test_faults import lapse

pytestmark = pytest.mark.django_db(transaction=True)  # several connections see the same rows

TEXT = """Staff must wash their hands for 30 seconds.

Visitors should not bring flowers.
"""
WASH, FLOWERS = (line for line in TEXT.splitlines() if line)


def item(action, quote, level="must", actor="Staff", passage=1):
    return {
        "action": action,
        "actor": actor,
        "level": level,
        "category": "Hygiene",
        "priority": "high",
        "condition": "",
        "citations": [{"passage": passage, "quote": quote}],
    }


RIGHT = item("Wash your hands for 30 seconds", WASH)
WRONG = item("Wash your hands for 3 seconds", WASH)
REST = item("Do not bring flowers", FLOWERS, "should_not", "Visitors", 2)
CHECKLIST = {"value": {"items": [RIGHT]}, "usage": USAGE, "provenance": {"prompt": "checklist.v2"}}


def job_for(provider, *items, **options):
    """A waiting job, for which step 2 will give these items."""
    provider.script([{"do": "reply", "step": "checklist", "content": {"items": list(items)}}])
    return JobFactory(tenant=TenantFactory(), guideline_text=TEXT, options=options)


def repairs(provider, items=(), corrected=()):
    content = {"items": list(items), "corrected": list(corrected)}
    provider.script([{"do": "reply", "step": "repair", "content": content}])


def run(job):
    """The job after one attempt."""
    Job.objects.across_tenants().update(due_at="2020-01-01T00:00Z")
    claims.promote()
    assert runner.run_next_job("w") == str(job.event_id)
    job.refresh_from_db()
    return job


def steps(provider):
    return [call["step"] for call in provider.ledger()]


def actions(job):
    return [item["action"] for item in job.result["checklist"]]


def test_what_no_item_covers_is_asked_for_once_more_whatever_the_policy(provider):
    job = run(job_for(provider, RIGHT, on_doubt="flag"))

    assert (job.status, job.step) == ("COMPLETED", "repair")
    assert steps(provider) == ["summary", "checklist", "repair"]
    assert job.result["coverage"]["missing"] == []
    assert job.result["provenance"]["steps"]["repair"]["prompt"] == "repair.v1"
    assert job.llm_calls == 3
    outcomes = LLMCall.objects.across_tenants().order_by("id").values_list("step", "outcome")
    assert list(outcomes) == [("summarize", "ok"), ("checklist", "ok"), ("repair", "ok")]


def test_a_whole_checklist_is_not_repaired(provider):
    job = run(job_for(provider, RIGHT, REST, on_doubt="repair"))

    assert (job.status, job.step) == ("COMPLETED", "checklist")
    assert steps(provider) == ["summary", "checklist"]
    assert "repair" not in job.result["provenance"]["steps"]


def test_to_flag_keeps_an_item_in_doubt(provider):
    job = run(job_for(provider, WRONG, REST, on_doubt="flag"))

    assert actions(job) == [WRONG["action"], REST["action"]]
    assert job.result["grounding"]["flags"]["number"] > 0
    assert steps(provider) == ["summary", "checklist"]


def test_to_drop_moves_it_and_says_what_is_not_covered_then(provider):
    job = run(job_for(provider, WRONG, REST, on_doubt="drop"))

    assert actions(job) == [REST["action"]]
    assert [item["action"] for item in job.result["dropped"]] == [WRONG["action"]]
    assert [entry["text"] for entry in job.result["coverage"]["missing"]] == [WASH]


def test_to_repair_puts_it_right(provider):
    job = job_for(provider, WRONG, REST, on_doubt="repair")
    repairs(provider, corrected=[{"number": 0, "item": RIGHT}])

    run(job)

    assert actions(job) == [RIGHT["action"], REST["action"]]
    assert not any(job.result["grounding"]["flags"].values())


def test_what_stays_in_doubt_after_a_repair_is_flagged(provider):
    job = job_for(provider, WRONG, REST, on_doubt="repair")
    repairs(provider, corrected=[{"number": 0, "item": {**WRONG, "actor": "Visitors"}}])

    run(job)

    assert actions(job) == [WRONG["action"], REST["action"]]
    assert job.result["grounding"]["flags"]["number"] > 0


@pytest.mark.parametrize("fault", ["refuse", "truncate", "filter"])
def test_a_repair_that_is_declined_costs_the_job_nothing_but_the_call(provider, fault):
    job = job_for(provider, RIGHT)
    provider.script([{"do": fault, "step": "repair"}])

    run(job)

    assert job.status == "COMPLETED"
    assert job.result["provenance"]["steps"]["repair"]["failed"].startswith("llm_")
    assert [entry["text"] for entry in job.result["coverage"]["missing"]] == [FLOWERS]
    assert (job.llm_calls, job.unknown_calls) == (2, 0)


def test_a_repair_that_is_invalid_twice_is_given_up(provider):
    job = job_for(provider, RIGHT)
    provider.script([{"do": "bad_json", "step": "repair", "times": 2}])

    assert run(job).status == "PENDING"
    assert job.checklist["value"]["items"] == [RIGHT]
    assert run(job).status == "COMPLETED"

    assert job.result["provenance"]["steps"]["repair"]["failed"] == "llm_invalid_output"
    assert actions(job) == [RIGHT["action"]]
    assert steps(provider) == ["summary", "checklist", "repair", "repair"]
    assert job.llm_calls == 2


def test_a_repair_that_fails_in_passing_is_tried_again_and_nothing_else_is(provider):
    job = job_for(provider, RIGHT)
    provider.script([{"do": "status", "status": 503, "step": "repair"}])

    assert run(job).status == "PENDING"
    assert run(job).status == "COMPLETED"

    assert steps(provider) == ["summary", "checklist", "repair", "repair"]
    assert job.result["coverage"]["missing"] == []
    assert job.llm_calls == 3


def test_a_provider_that_stays_away_is_given_up_and_the_breaker_hears_of_it(provider, monkeypatch):
    monkeypatch.setattr(retries, "MAX_FAILURES", 1)
    job, heard = job_for(provider, RIGHT), []
    provider.script([{"do": "status", "status": 503, "step": "repair"}])
    monkeypatch.setattr(breaker, "failed", lambda code, name: heard.append(code))

    run(job)

    assert job.status == "COMPLETED"
    assert job.result["provenance"]["steps"]["repair"]["failed"] == "llm_unavailable"
    assert heard == ["llm_unavailable"]


def test_a_worker_that_was_lost_in_the_repair_leaves_only_that_to_be_done(provider):
    job = job_for(provider, RIGHT)
    claim = claimed(job)
    services.save_step(claim, Step.SUMMARIZE, SUMMARY)
    services.save_step(claim, Step.CHECKLIST, CHECKLIST)
    lapse()
    claims.reap("lost")

    run(job)

    assert (job.status, job.attempt) == ("COMPLETED", 2)
    assert steps(provider) == ["repair"]
    assert actions(job) == [RIGHT["action"], "Do not bring flowers."]
    assert job.llm_calls == SUMMARY["usage"]["calls"] + USAGE["calls"] + 1


def test_the_checkpoint_is_sealed_fenced_and_may_be_repeated(provider):
    job = job_for(provider, RIGHT)
    claim = claimed(job)
    services.save_step(claim, Step.SUMMARIZE, SUMMARY)

    services.save_step(claim, Step.CHECKLIST, CHECKLIST)
    job.refresh_from_db()
    assert (job.step, job.checklist) == ("repair", CHECKLIST)
    assert b"hands" not in bytes(job.sealed_checklist)
    spent = job.llm_calls

    services.save_step(claim, Step.CHECKLIST, CHECKLIST)  # its own answer was lost
    lapse()
    services.save_step(claim, Step.CHECKLIST, CHECKLIST)  # and that, until the lease was gone
    claims.reap("lost")
    with pytest.raises(LeaseLost):
        services.save_step(claim, Step.CHECKLIST, CHECKLIST)
    job.refresh_from_db()
    assert job.llm_calls == spent


def test_the_language_that_was_asked_for_is_told_in_each_step_and_judged_by(provider):
    german = [
        item("Hände 30 Sekunden lang waschen", WASH, actor="Personal"),
        item("Keine Blumen mitbringen", FLOWERS, "must_not", "Besucher", 2),
    ]
    right = item("Keine Blumen mitbringen", FLOWERS, "should_not", "Besucher", 2)
    job = job_for(provider, *german, language="de", on_doubt="repair")
    repairs(provider, corrected=[{"number": 1, "item": right}])
    seen, original = [], provider.open_call
    provider.open_call = lambda step, label, said: (
        seen.append(json.loads(said.user)["language"]) or original(step, label, said)
    )

    run(job)

    assert seen == ["de", "de", "de"]
    assert [(i["action"], i["level"], i["flags"]) for i in job.result["checklist"]] == [
        (german[0]["action"], "must", []),
        (right["action"], "should_not", []),
    ]


# --- Progress -------------------------------------------------------------------------------


def test_a_client_that_polls_sees_a_long_step_move(provider, monkeypatch, client_for):
    monkeypatch.setattr(progress, "SECONDS", 0.05)
    text = "\n\n".join(f"# {n}\n\n" + f"Staff must do task {n}. " * 400 for n in range(12))
    job = JobFactory(tenant=(tenant := TenantFactory()), guideline_text=text)
    api, seen = client_for(tenant), []
    provider.script([{"do": "delay", "seconds": 0.3, "times": 100}])

    running = in_thread(lambda: runner.run_next_job("w"))
    while not running.done():
        body = api.get(f"/jobs/{job.event_id}").json()["progress"]
        seen.append((body["steps_done"], body["passages_done"], body["passages"]))
        time.sleep(0.05)

    assert running.result() == str(job.event_id)
    first = [done for steps_done, done, of in seen if steps_done == 0 and of == 12]
    second = [done for steps_done, done, of in seen if steps_done == 1 and of == 12]
    assert first == sorted(first)
    assert second == sorted(second)
    assert len(set(first)) >= 3
    assert len(set(second)) >= 3
    job.refresh_from_db()
    assert (job.passages_done, job.passages) == (12, 12)


def test_progress_is_written_once_a_second_and_with_the_first_call_of_a_step(monkeypatch):
    written, begun = [], []
    monkeypatch.setattr(services, "save_progress", lambda claim, *said: written.append(said))

    async def tell(writer):
        for said in [(0, 9), (1, 9), (2, 9), (0, 7), (1, 7), (7, 7)]:
            await writer(*said)
            begun.append(writer.take_beginning())
            if said == (1, 9):
                monkeypatch.setattr(progress, "SECONDS", 0.0)
            elif said == (2, 9):
                monkeypatch.setattr(progress, "SECONDS", 60.0)

    model_loop.model_loop().start(tell(progress.ProgressWriter(None))).result(20)

    assert begun == [(0, 9), None, None, (0, 7), None, None]
    assert written == [(2, 9)]


def test_a_worker_that_has_lost_its_job_writes_no_progress():
    job = JobFactory(tenant=TenantFactory())
    claim = claimed(job)
    services.save_progress(claim, 1, 9)
    lapse()

    with pytest.raises(LeaseLost):
        services.save_progress(claim, 2, 9)

    job.refresh_from_db()
    assert (job.passages_done, job.passages) == (1, 9)


def test_a_step_whose_progress_is_refused_ends_at_once(provider, monkeypatch):
    """The lease is gone between two replies: no further call starts."""
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    text = "\n\n".join(f"# {n}\n\n" + "Staff must rest. " * 600 for n in range(8))
    job = JobFactory(tenant=TenantFactory(), guideline_text=text)
    provider.script([{"do": "hold", "times": 100}])
    running = in_thread(lambda: runner.run_next_job("w"))
    while len(provider.ledger()) < 4:
        time.sleep(0.02)

    services.cancel_job(tenant_id=job.tenant_id, event_id=job.event_id, actor="ann")
    threading.Timer(0.1, provider.release).start()
    running.result(20)

    job.refresh_from_db()
    assert (job.status, job.passages_done) == ("CANCELLED", 0)
    assert len(provider.ledger()) == 4
