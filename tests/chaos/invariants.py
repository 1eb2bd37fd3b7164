"""What must hold once everything has settled, whatever was killed.

Pure functions over rows: the database's, the model's own ledger, and what clients were answered.
Each rule is named by what should be true and yields what breaks it, under one of three headings:
`lost`, `duplicated` or `illegal`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

ENDED = {"COMPLETED", "FAILED", "CANCELLED", "EXPIRED"}
MOVES = (
    {("", "PENDING")}
    | {("PENDING", to) for to in ("PROCESSING", "CANCELLED", "EXPIRED")}
    | {("PROCESSING", to) for to in ("COMPLETED", "FAILED", "CANCELLED", "PENDING")}
)
RETRIES = {(ended, "PENDING") for ended in ("FAILED", "CANCELLED", "EXPIRED")}
UNSETTLED = {"started", "answered"}  # calls of which only the end of their attempt can tell
STEPS = ("summarize", "checklist", "repair")
IN_VAIN = {"unknown", "lost"}  # calls that were paid for without any use, or may have been
GIVEN_UP = {"lease_lost", "handed_back", "cancelled"}  # attempts whose replies nobody could keep


@dataclass(frozen=True)
class Job:
    id: int
    event_id: str
    tenant_id: str
    status: str
    step: str
    run: int
    attempt: int
    event_seq: int
    llm_calls: int
    unknown_calls: int
    error_code: str
    has_result: bool
    source_sha256: str
    result_sha256: str  # of the source that the result says it was made from


@dataclass(frozen=True)
class Event:
    job_id: int
    tenant_id: str
    seq: int
    at: datetime
    from_status: str
    to_status: str
    run: int
    attempt: int


@dataclass(frozen=True)
class Attempt:
    job_id: int
    number: int
    step: str  # where it started
    outcome: str
    worker: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class Call:
    """One row of our ledger."""

    job_id: int
    attempt: int
    step: str
    label: str
    outcome: str


@dataclass(frozen=True)
class Heard:
    """One line of the model's ledger."""

    label: str
    outcome: str


@dataclass(frozen=True)
class Queue:
    tenant_id: str
    running: int
    max_running: int


@dataclass(frozen=True)
class Account:
    """A tenant's tokens of one day, and what their sums should be."""

    tenant_id: str
    spent: int
    reserved: int
    charged: int  # to its calls
    promised: int  # to its jobs, and to calls that are not charged yet


@dataclass(frozen=True)
class Sample:
    """A tenant's counter, and what it counts, in one statement at a random moment."""

    tenant_id: str
    running: int
    processing: int
    doubly_run: int  # jobs with two running attempts


@dataclass
class Evidence:
    """What the rules look at.

    accepted, cancelled  event_ids that a client was answered 202 for; the latter were not retried
    answers              how often clients had which: "jobs 202", "cancel none" (cut off)
    """

    jobs: list[Job] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    queues: list[Queue] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)
    cancelled: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)

    def events_of(self) -> dict[int, list[Event]]:
        return _grouped(sorted(self.events, key=lambda event: event.seq))

    def attempts_of(self) -> dict[int, list[Attempt]]:
        return _grouped(sorted(self.attempts, key=lambda attempt: attempt.number))

    def calls_of(self) -> dict[int, list[Call]]:
        return _grouped(sorted(self.calls, key=lambda call: (call.attempt, call.label)))


@dataclass(frozen=True)
class Violation:
    heading: str
    rule: str
    job: str  # its event_id, or "" where it is about something else
    detail: str


Finding = tuple[str, str]  # event_id, what is wrong
Rule = Callable[[Evidence], Iterator[Finding]]
RULES: list[tuple[str, Rule]] = []


def check(evidence: Evidence) -> list[Violation]:
    """All that is wrong; empty if everything holds."""
    return [
        Violation(heading, rule.__name__, event_id, detail)
        for heading, rule in RULES
        for event_id, detail in rule(evidence)
    ]


def rule(heading: str) -> Callable[[Rule], Rule]:
    def add(function: Rule) -> Rule:
        RULES.append((heading, function))
        return function

    return add


def _grouped(rows: Iterable) -> dict[int, list]:
    groups = defaultdict(list)
    for row in rows:
        groups[row.job_id].append(row)
    return groups


# --- Lost -----------------------------------------------------------------------------------


@rule("lost")
def an_accepted_job_exists(evidence: Evidence) -> Iterator[Finding]:
    for event_id in evidence.accepted - {job.event_id for job in evidence.jobs}:
        yield event_id, "answered 202, but there is no row"


@rule("lost")
def a_job_ends(evidence: Evidence) -> Iterator[Finding]:
    """Also one whose client never got its 202: it may exist, then it ends."""
    for job in evidence.jobs:
        if job.status not in ENDED:
            yield job.event_id, f"still {job.status} after attempt {job.attempt}"


# --- Duplicated -----------------------------------------------------------------------------


@rule("duplicated")
def a_job_completes_once(evidence: Evidence) -> Iterator[Finding]:
    completions = Counter(e.job_id for e in evidence.events if e.to_status == "COMPLETED")
    attempts = Counter(a.job_id for a in evidence.attempts if a.outcome == "completed")
    for job in evidence.jobs:
        expected = int(job.status == "COMPLETED")
        if (completions[job.id], attempts[job.id]) != (expected, expected):
            yield (
                job.event_id,
                f"{job.status} with {completions[job.id]} completions by"
                f" {attempts[job.id]} attempts",
            )


@rule("duplicated")
def a_result_is_there_and_its_own(evidence: Evidence) -> Iterator[Finding]:
    for job in evidence.jobs:
        if job.has_result != (job.status == "COMPLETED"):
            yield job.event_id, f"{job.status} {'with' if job.has_result else 'without'} a result"
        elif job.has_result and job.result_sha256 != job.source_sha256:
            yield job.event_id, f"the result was made from {job.result_sha256[:12]}"


@rule("duplicated")
def step_one_is_never_paid_for_again(evidence: Evidence) -> Iterator[Finding]:
    """Once step 2 has begun, by our ledger, the model's, or where an attempt started."""
    ids = {job.event_id: job.id for job in evidence.jobs}
    calls = {(call.job_id, call.attempt, call.step) for call in evidence.calls}
    for heard in evidence.heard:
        if (parts := read_label(heard.label)) and parts[0] in ids:
            calls.add((ids[parts[0]], parts[1], parts[2]))
    begun: dict[int, int] = {}  # job: the attempt that has made its checkpoint
    after = [(j, a) for j, a, step in calls if step != "summarize"]
    after += [(a.job_id, a.number - 1) for a in evidence.attempts if a.step != "summarize"]
    for job_id, attempt in after:
        begun[job_id] = min(attempt, begun.get(job_id, attempt))
    names = {job.id: job.event_id for job in evidence.jobs}
    for job_id, attempt, step in sorted(calls):
        if step == "summarize" and attempt > begun.get(job_id, attempt):
            yield (
                names.get(job_id, ""),
                f"asked again in attempt {attempt}, kept since {begun[job_id]}",
            )


@rule("duplicated")
def a_repeated_call_has_a_reason(evidence: Evidence) -> Iterator[Finding]:
    """A call is made again only if it, a sibling or its whole attempt came to nothing."""
    outcomes = {(a.job_id, a.number): a.outcome for a in evidence.attempts}
    names = {job.id: job.event_id for job in evidence.jobs}
    came_to_nothing = {
        (call.job_id, call.attempt, call.step)
        for call in evidence.calls
        if call.outcome in ("error", "unknown")
    }
    for call in _repeated(evidence):
        outcome = outcomes.get((call.job_id, call.attempt), "")
        step = (call.job_id, call.attempt, call.step)
        if step not in came_to_nothing and outcome not in GIVEN_UP:
            yield (
                names.get(call.job_id, ""),
                f"{call.label} was answered in an attempt that is {outcome or 'missing'}",
            )


@rule("duplicated")
def a_call_is_sent_once(evidence: Evidence) -> Iterator[Finding]:
    for label, count in Counter(heard.label for heard in evidence.heard).items():
        if count > 1:
            yield _event_id(label), f"{label} reached the model {count} times"


@rule("duplicated")
def usage_is_counted_once(evidence: Evidence) -> Iterator[Finding]:
    """A job has used the answers of the steps that are stored."""
    used = Counter(call.job_id for call in evidence.calls if call.outcome == "ok")
    for job in evidence.jobs:
        if job.llm_calls != used[job.id]:
            yield job.event_id, f"counts {job.llm_calls} calls, {used[job.id]} were of use"


# --- Illegal --------------------------------------------------------------------------------


@rule("illegal")
def every_move_is_allowed(evidence: Evidence) -> Iterator[Finding]:
    names = {job.id: job.event_id for job in evidence.jobs}
    for job_id, events in evidence.events_of().items():
        run, status = 1, ""
        for event in events:
            move = (event.from_status, event.to_status)
            run += move in RETRIES
            if move not in MOVES | RETRIES or event.from_status != status or event.run != run:
                yield (
                    names.get(job_id, ""),
                    f"{event.seq}: {event.from_status or 'nothing'} to {event.to_status} in run"
                    f" {event.run}, was {status or 'nothing'} in run {run}",
                )
            run, status = event.run, event.to_status


@rule("illegal")
def a_history_is_whole(evidence: Evidence) -> Iterator[Finding]:
    histories = evidence.events_of()
    for job in evidence.jobs:
        events = histories.get(job.id, [])
        numbers = [event.seq for event in events]
        last = events[-1].to_status if events else "nothing"
        if numbers != list(range(1, job.event_seq + 1)):
            yield job.event_id, f"numbered {numbers}, the job counts {job.event_seq}"
        elif last != job.status:
            yield job.event_id, f"ends with {last}, the job is {job.status}"


@rule("illegal")
def attempts_are_counted_up(evidence: Evidence) -> Iterator[Finding]:
    """By one, when the work starts and at no other time; each has its row."""
    histories, rows = evidence.events_of(), evidence.attempts_of()
    for job in evidence.jobs:
        expected = 0
        for event in histories.get(job.id, []):
            expected += event.to_status == "PROCESSING"
            if event.attempt != expected:
                yield job.event_id, f"{event.seq}: attempt {event.attempt}, not {expected}"
        numbers = [attempt.number for attempt in rows.get(job.id, [])]
        if numbers != list(range(1, job.attempt + 1)):
            yield job.event_id, f"rows of attempts {numbers}, the job counts {job.attempt}"


@rule("illegal")
def nothing_is_left_open(evidence: Evidence) -> Iterator[Finding]:
    """No attempt runs and no call is under way in a job that nobody works on."""
    idle = {job.id: job.event_id for job in evidence.jobs if job.status != "PROCESSING"}
    for attempt in evidence.attempts:
        if attempt.outcome == "running" and attempt.job_id in idle:
            yield idle[attempt.job_id], f"attempt {attempt.number} is running"
    for call in evidence.calls:
        if call.outcome in UNSETTLED and call.job_id in idle:
            yield idle[call.job_id], f"call {call.label} is {call.outcome}"


@rule("illegal")
def a_counter_counts(evidence: Evidence) -> Iterator[Finding]:
    processing = Counter(job.tenant_id for job in evidence.jobs if job.status == "PROCESSING")
    for queue in evidence.queues:
        if queue.running != processing[queue.tenant_id]:
            yield (
                "",
                f"tenant {queue.tenant_id} counts {queue.running} running,"
                f" {processing[queue.tenant_id]} are",
            )
    for sample in evidence.samples:
        if sample.running != sample.processing:
            yield (
                "",
                f"tenant {sample.tenant_id} counted {sample.running} running,"
                f" {sample.processing} were",
            )


@rule("illegal")
def a_job_is_worked_on_by_one(evidence: Evidence) -> Iterator[Finding]:
    for sample in evidence.samples:
        if sample.doubly_run:
            yield "", f"{sample.doubly_run} jobs had two running attempts"


@rule("illegal")
def no_tenant_exceeds_its_cap(evidence: Evidence) -> Iterator[Finding]:
    """Counted again from the history. At the same moment, an end comes before a start."""
    caps = {queue.tenant_id: queue.max_running for queue in evidence.queues}
    running: Counter[str] = Counter()
    moves = [e for e in evidence.events if "PROCESSING" in (e.from_status, e.to_status)]
    for event in sorted(moves, key=lambda e: (e.at, e.to_status == "PROCESSING")):
        running[event.tenant_id] += 1 if event.to_status == "PROCESSING" else -1
        if event.to_status == "PROCESSING" and running[event.tenant_id] > caps[event.tenant_id]:
            yield "", f"tenant {event.tenant_id} ran {running[event.tenant_id]} jobs at {event.at}"


@rule("illegal")
def a_cancelled_job_stays_so(evidence: Evidence) -> Iterator[Finding]:
    for job in evidence.jobs:
        if job.event_id in evidence.cancelled and job.status != "CANCELLED":
            yield job.event_id, f"its cancellation was confirmed, it is {job.status}"


@rule("illegal")
def clients_are_answered_as_promised(evidence: Evidence) -> Iterator[Finding]:
    """Accepted, or told to come back, or cut off with their server; 409 where a job is over. Never
    500, and never 429: the limits of a run are out of reach."""
    for answer, count in evidence.answers.items():
        what, status = answer.split()
        if status not in {"202", "503", "none"} | ({"409"} if what != "jobs" else set()):
            yield "", f"{what} was answered {status} {count} times"


@rule("illegal")
def every_call_is_in_both_ledgers(evidence: Evidence) -> Iterator[Finding]:
    """What the model heard, we have written; what we call answered, the model has heard."""
    ours = {call.label for call in evidence.calls}
    theirs = {heard.label for heard in evidence.heard}
    for label in sorted(theirs - ours):
        yield _event_id(label), f"the model heard {label}, we have no record"
    for call in evidence.calls:
        if call.outcome in ("answered", "ok", "lost") and call.label not in theirs:
            yield _event_id(call.label), f"{call.label} is {call.outcome}, the model never heard it"


@rule("illegal")
def an_answer_is_ok_exactly_if_its_step_is_stored(evidence: Evidence) -> Iterator[Finding]:
    """So no answer is paid for in vain without being counted, and none is counted that was not."""
    stored = set(_stored_steps(evidence))
    for call in evidence.calls:
        is_stored = (call.job_id, call.attempt, call.step) in stored
        if is_stored and call.outcome == "error":
            continue  # of a long step some calls are repeated; a repair does without some
        if is_stored != (call.outcome == "ok"):
            what = "is stored" if is_stored else "is not stored"
            yield _event_id(call.label), f"{call.label} is {call.outcome}, its step {what}"


@rule("illegal")
def unknown_calls_are_counted(evidence: Evidence) -> Iterator[Finding]:
    in_vain = Counter(call.job_id for call in evidence.calls if call.outcome in IN_VAIN)
    for job in evidence.jobs:
        if job.unknown_calls != in_vain[job.id]:
            yield job.event_id, f"counts {job.unknown_calls} calls in vain of {in_vain[job.id]}"


@rule("illegal")
def a_budget_adds_up(evidence: Evidence) -> Iterator[Finding]:
    for account in evidence.accounts:
        said = (account.spent, account.reserved)
        if said != (account.charged, account.promised):
            yield (
                "",
                f"tenant {account.tenant_id} has spent and reserved {said} tokens, its calls and"
                f" jobs {(account.charged, account.promised)}",
            )


# --- Labels: "<event_id>.<attempt>.<step>.<number>" -----------------------------------------


def read_label(label: str) -> tuple[str, int, str, str] | None:
    """event_id, attempt, step, number; None if it is none of ours."""
    parts = label.split(".")
    if len(parts) != 4 or not parts[1].isdecimal():
        return None
    return parts[0], int(parts[1]), parts[2], parts[3]


def paid_again(evidence: Evidence) -> int:
    """Answers that were paid for and lost: the call was made again in a later attempt."""
    return sum(call.outcome in ("ok", "lost") for call in _repeated(evidence))


def _stored_steps(evidence: Evidence) -> Iterator[tuple[int, int, str]]:
    """(job, attempt, step): each step that an attempt began with or came to, up to the one at which
    the job stands after it, and that one too if the attempt completed."""
    steps = {job.id: job.step for job in evidence.jobs}
    for job_id, attempts in evidence.attempts_of().items():
        for this, following in pairwise([*attempts, None]):
            stands_at = following.step if following else steps.get(job_id, this.step)
            end = STEPS.index(stands_at) + (this.outcome == "completed")
            for step in STEPS[STEPS.index(this.step) : end]:
                yield job_id, this.number, step


def _repeated(evidence: Evidence) -> Iterator[Call]:
    """Calls that a later attempt made once more."""
    for calls in evidence.calls_of().values():
        last = {(call.step, _number(call.label)): call for call in calls}
        yield from (call for call in calls if last[call.step, _number(call.label)] is not call)


def _number(label: str) -> str:
    return label.rpartition(".")[2]


def _event_id(label: str) -> str:
    return label.partition(".")[0]
