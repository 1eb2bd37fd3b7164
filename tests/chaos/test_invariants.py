"""The checker finds what it is for: each test breaks one thing in a history that is whole."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.chaos.invariants import (
    Account,
    Attempt,
    Call,
    Event,
    Evidence,
    Heard,
    Job,
    Queue,
    Sample,
    check,
    paid_again,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
JOB, EVENT_ID, TENANT = 1, "e1", "t1"
# A worker is lost in step 2, the next attempt goes on from the checkpoint.
HISTORY = [
    ("", "PENDING", 0),
    ("PENDING", "PROCESSING", 1),
    ("PROCESSING", "PENDING", 1),
    ("PENDING", "PROCESSING", 2),
    ("PROCESSING", "COMPLETED", 2),
]


COMPLETED = Job(
    id=JOB,
    event_id=EVENT_ID,
    tenant_id=TENANT,
    status="COMPLETED",
    step="checklist",
    run=1,
    attempt=2,
    event_seq=5,
    llm_calls=2,
    unknown_calls=1,
    error_code="",
    has_result=True,
    source_sha256="abc",
    result_sha256="abc",
)


def at(seconds):
    return START + timedelta(seconds=seconds)


def event(seq, moved, to, attempt, run=1, job=JOB):
    return Event(job, TENANT, seq, at(seq), moved, to, run, attempt)


def attempt(number, step, outcome):
    return Attempt(JOB, number, step, outcome, "worker@here", at(2 * number), at(2 * number + 1))


def call(number, step, outcome, part=1):
    return Call(JOB, number, step, f"{EVENT_ID}.{number}.{step}.{part}", outcome)


@pytest.fixture
def evidence():
    """What a job leaves that was hit once and completed; nothing is wrong with it."""
    calls = [
        call(1, "summarize", "ok"),
        call(1, "checklist", "unknown"),
        call(2, "checklist", "ok"),
    ]
    return Evidence(
        jobs=[COMPLETED],
        events=[event(seq, *move) for seq, move in enumerate(HISTORY, start=1)],
        attempts=[attempt(1, "summarize", "lease_lost"), attempt(2, "checklist", "completed")],
        calls=calls,
        heard=[Heard(one.label, "answered") for one in calls],
        queues=[Queue(TENANT, running=0, max_running=1)],
        accounts=[Account(TENANT, spent=50, reserved=7, charged=50, promised=7)],
        samples=[Sample(TENANT, running=1, processing=1, doubly_run=0)],
        accepted={EVENT_ID},
    )


def broken(evidence):
    """(heading, rule) of all that is found."""
    return {(violation.heading, violation.rule) for violation in check(evidence)}


def change_job(evidence, **values):
    evidence.jobs[0] = replace(evidence.jobs[0], **values)


def hear(evidence, one):
    """The call stands in both ledgers."""
    evidence.calls.append(one)
    evidence.heard.append(Heard(one.label, "answered"))


def run_again(evidence):
    """The worker of attempt 1 was lost in step 1, and attempt 2 began with step 1."""
    evidence.calls[:] = [call(1, "summarize", "lost"), call(2, "summarize", "ok")]
    evidence.calls.append(call(2, "checklist", "ok"))
    evidence.heard[:] = [Heard(one.label, "answered") for one in evidence.calls]
    evidence.attempts[1] = attempt(2, "summarize", "completed")


def test_a_job_that_was_hit_once_and_completed_breaks_no_rule(evidence):
    assert check(evidence) == []


# --- Lost -----------------------------------------------------------------------------------


def test_a_202_without_a_row_is_lost(evidence):
    evidence.accepted.add("e2")

    assert broken(evidence) == {("lost", "an_accepted_job_exists")}


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING"])
def test_a_job_that_has_not_ended_is_lost_whether_or_not_its_client_was_answered(evidence, status):
    evidence.accepted.clear()
    change_job(evidence, status=status)

    assert ("lost", "a_job_ends") in broken(evidence)


# --- Duplicated -----------------------------------------------------------------------------


def test_a_job_completed_by_two_attempts_is_found(evidence):
    evidence.attempts[0] = replace(evidence.attempts[0], outcome="completed")

    assert ("duplicated", "a_job_completes_once") in broken(evidence)


def test_a_second_completion_in_the_history_is_found(evidence):
    evidence.events += [event(6, "COMPLETED", "PENDING", 2), event(7, "PENDING", "COMPLETED", 2)]

    assert ("duplicated", "a_job_completes_once") in broken(evidence)


def test_a_completed_job_without_a_result_is_found(evidence):
    change_job(evidence, has_result=False)

    assert broken(evidence) == {("duplicated", "a_result_is_there_and_its_own")}


def test_a_result_made_from_another_source_is_found(evidence):
    change_job(evidence, result_sha256="def")

    assert broken(evidence) == {("duplicated", "a_result_is_there_and_its_own")}


def test_step_one_asked_again_after_step_two_began_is_found(evidence):
    hear(evidence, call(2, "summarize", "ok"))

    assert ("duplicated", "step_one_is_never_paid_for_again") in broken(evidence)


def test_the_models_ledger_alone_convicts_too(evidence):
    evidence.heard.append(Heard(f"{EVENT_ID}.2.summarize.1", "answered"))

    assert ("duplicated", "step_one_is_never_paid_for_again") in broken(evidence)


def test_step_one_asked_again_in_an_attempt_that_began_with_step_two_is_found(evidence):
    evidence.calls[1:] = [call(2, "summarize", "ok")]
    evidence.heard[:] = [Heard(one.label, "answered") for one in evidence.calls]
    change_job(evidence, unknown_calls=0)

    assert ("duplicated", "step_one_is_never_paid_for_again") in broken(evidence)


def test_an_answer_that_died_with_its_worker_is_asked_for_again_and_counted(evidence):
    run_again(evidence)

    assert check(evidence) == []
    assert paid_again(evidence) == 1


def test_an_answer_asked_for_again_though_its_worker_lived_is_found(evidence):
    run_again(evidence)
    evidence.attempts[0] = replace(evidence.attempts[0], outcome="retried")

    assert broken(evidence) == {("duplicated", "a_repeated_call_has_a_reason")}


def test_a_sibling_that_failed_is_reason_enough_to_ask_again(evidence):
    run_again(evidence)
    evidence.attempts[0] = replace(evidence.attempts[0], outcome="retried")
    hear(evidence, call(1, "summarize", "error", part=2))

    assert check(evidence) == []


def test_a_call_that_reached_the_model_twice_is_found(evidence):
    evidence.heard.append(evidence.heard[0])

    assert broken(evidence) == {("duplicated", "a_call_is_sent_once")}


@pytest.mark.parametrize("llm_calls", [1, 3])
def test_a_usage_that_is_not_what_was_stored_is_found(evidence, llm_calls):
    change_job(evidence, llm_calls=llm_calls)

    assert broken(evidence) == {("duplicated", "usage_is_counted_once")}


# --- Illegal --------------------------------------------------------------------------------


def test_a_move_that_is_not_in_the_list_is_found(evidence):
    evidence.events[3:] = [event(4, "PENDING", "COMPLETED", 1)]

    assert ("illegal", "every_move_is_allowed") in broken(evidence)


def test_a_move_that_does_not_begin_where_the_last_one_ended_is_found(evidence):
    evidence.events[2] = event(3, "PROCESSING", "CANCELLED", 1)

    assert broken(evidence) == {("illegal", "every_move_is_allowed")}


def test_a_retry_makes_a_new_run_and_any_other_move_does_not(evidence):
    evidence.events[2:] = [
        event(3, "PROCESSING", "FAILED", 1),
        event(4, "FAILED", "PENDING", 1, run=2),
        event(5, "PENDING", "PROCESSING", 2, run=2),
        event(6, "PROCESSING", "COMPLETED", 2, run=2),
    ]
    change_job(evidence, event_seq=6)
    assert check(evidence) == []

    evidence.events[3] = replace(evidence.events[3], run=1)

    assert broken(evidence) == {("illegal", "every_move_is_allowed")}


@pytest.mark.parametrize("index", [0, 2, 4])
def test_a_gap_in_a_history_is_found(evidence, index):
    del evidence.events[index]

    assert ("illegal", "a_history_is_whole") in broken(evidence)


def test_a_history_that_does_not_end_where_the_job_stands_is_found(evidence):
    change_job(evidence, status="FAILED", has_result=False)

    assert ("illegal", "a_history_is_whole") in broken(evidence)


def test_an_attempt_that_goes_back_is_found(evidence):
    evidence.events[3:] = [
        event(4, "PENDING", "PROCESSING", 1),
        event(5, "PROCESSING", "COMPLETED", 1),
    ]

    assert broken(evidence) == {("illegal", "attempts_are_counted_up")}


def test_an_attempt_without_a_row_is_found(evidence):
    del evidence.attempts[0]

    assert ("illegal", "attempts_are_counted_up") in broken(evidence)


def test_an_attempt_left_running_is_found(evidence):
    evidence.attempts[0] = replace(evidence.attempts[0], outcome="running", ended_at=None)

    assert broken(evidence) == {("illegal", "nothing_is_left_open")}


@pytest.mark.parametrize("outcome", ["started", "answered"])
def test_a_call_left_unsettled_is_found(evidence, outcome):
    evidence.calls[1] = call(1, "checklist", outcome)
    change_job(evidence, unknown_calls=0)

    assert ("illegal", "nothing_is_left_open") in broken(evidence)


def test_a_counter_that_stays_up_is_found(evidence):
    evidence.queues[0] = replace(evidence.queues[0], running=1)

    assert broken(evidence) == {("illegal", "a_counter_counts")}


def test_a_counter_that_was_wrong_for_a_moment_is_found(evidence):
    evidence.samples[0] = replace(evidence.samples[0], processing=2)

    assert broken(evidence) == {("illegal", "a_counter_counts")}


def test_two_attempts_at_one_job_at_one_moment_are_found(evidence):
    evidence.samples[0] = replace(evidence.samples[0], doubly_run=1)

    assert broken(evidence) == {("illegal", "a_job_is_worked_on_by_one")}


def test_a_tenant_above_its_cap_is_found(evidence):
    other = replace(
        COMPLETED, id=2, event_id="e2", status="CANCELLED", step="summarize", has_result=False
    )
    other = replace(other, attempt=1, event_seq=3, llm_calls=0, unknown_calls=0)
    evidence.jobs.append(other)
    evidence.attempts.append(replace(attempt(1, "summarize", "cancelled"), job_id=2))
    moves = [("", "PENDING", 0), ("PENDING", "PROCESSING", 1), ("PROCESSING", "CANCELLED", 1)]
    theirs = [event(seq, *move, job=2) for seq, move in enumerate(moves, start=1)]

    evidence.events += [replace(one, at=at(3 + one.seq / 10)) for one in theirs]
    assert check(evidence) == []  # between the two attempts of the first job

    evidence.events[-2] = replace(evidence.events[-2], at=at(2.5))

    assert broken(evidence) == {("illegal", "no_tenant_exceeds_its_cap")}


def test_a_confirmed_cancellation_that_did_not_last_is_found(evidence):
    evidence.cancelled.add(EVENT_ID)

    assert broken(evidence) == {("illegal", "a_cancelled_job_stays_so")}


@pytest.mark.parametrize(
    ("answer", "fine"),
    [
        ("jobs 202", True),
        ("jobs 503", True),
        ("jobs none", True),
        ("cancel 409", True),
        ("jobs 409", False),
        ("jobs 429", False),
        ("retry 500", False),
    ],
)
def test_answers_that_were_not_promised_are_found(evidence, answer, fine):
    evidence.answers[answer] = 3

    assert broken(evidence) == (
        set() if fine else {("illegal", "clients_are_answered_as_promised")}
    )


def test_a_call_that_only_the_model_knows_of_is_found(evidence):
    evidence.heard.append(Heard(f"{EVENT_ID}.2.checklist.2", "answered"))

    assert broken(evidence) == {("illegal", "every_call_is_in_both_ledgers")}


def test_an_answer_that_the_model_never_gave_is_found(evidence):
    del evidence.heard[0]

    assert broken(evidence) == {("illegal", "every_call_is_in_both_ledgers")}


def test_an_ok_answer_of_an_attempt_that_stored_nothing_is_found(evidence):
    run_again(evidence)
    evidence.calls[0] = call(1, "summarize", "ok")
    change_job(evidence, llm_calls=3, unknown_calls=0)

    assert broken(evidence) == {("illegal", "an_answer_is_ok_exactly_if_its_step_is_stored")}


def test_an_ok_answer_of_step_two_in_an_attempt_that_did_not_complete_is_found(evidence):
    hear(evidence, call(1, "checklist", "ok", part=2))
    change_job(evidence, llm_calls=3)

    assert broken(evidence) == {("illegal", "an_answer_is_ok_exactly_if_its_step_is_stored")}


@pytest.mark.parametrize("step", ["summarize", "checklist"])
@pytest.mark.parametrize("outcome", ["lost", "unknown"])
def test_an_answer_in_vain_of_a_step_that_was_stored_is_found(evidence, step, outcome):
    number = 1 if step == "summarize" else 2
    hear(evidence, call(number, step, outcome, part=2))
    change_job(evidence, unknown_calls=2)

    assert broken(evidence) == {("illegal", "an_answer_is_ok_exactly_if_its_step_is_stored")}


def repair(evidence):
    """The worker of attempt 1 was lost in a repair, and attempt 2 made it, one call less."""
    steps = [(1, "summarize"), (1, "checklist"), (2, "repair")]
    evidence.calls[:] = [call(number, step, "ok") for number, step in steps]
    evidence.calls.append(call(1, "repair", "unknown"))
    evidence.calls.append(call(2, "repair", "error", part=2))
    evidence.heard[:] = [Heard(one.label, "answered") for one in evidence.calls]
    evidence.attempts[1] = attempt(2, "repair", "completed")
    change_job(evidence, step="repair", llm_calls=3)


def test_a_job_that_was_repaired_breaks_no_rule(evidence):
    repair(evidence)

    assert check(evidence) == []


@pytest.mark.parametrize("step", ["checklist", "repair"])
def test_an_answer_of_a_repaired_job_that_was_thrown_away_is_found(evidence, step):
    repair(evidence)
    at = next(n for n, one in enumerate(evidence.calls) if (one.step, one.outcome) == (step, "ok"))
    evidence.calls[at] = replace(evidence.calls[at], outcome="lost")
    change_job(evidence, llm_calls=2, unknown_calls=2)

    assert broken(evidence) == {("illegal", "an_answer_is_ok_exactly_if_its_step_is_stored")}


@pytest.mark.parametrize("outcome", ["unknown", "lost"])
def test_a_call_in_vain_that_was_not_counted_is_found(evidence, outcome):
    evidence.calls[1] = call(1, "checklist", outcome)
    change_job(evidence, unknown_calls=0)

    assert broken(evidence) == {("illegal", "unknown_calls_are_counted")}


@pytest.mark.parametrize("wrong", [{"spent": 49}, {"reserved": 8}])
def test_a_budget_that_does_not_add_up_is_found(evidence, wrong):
    evidence.accounts[0] = replace(evidence.accounts[0], **wrong)

    assert broken(evidence) == {("illegal", "a_budget_adds_up")}
