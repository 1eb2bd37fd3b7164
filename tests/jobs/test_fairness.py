"""Whose job starts next: shares, caps and counters, with many workers at once on PostgreSQL."""

import random
import threading
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import Count, F, Q
from django.utils import timezone

from jobs import claims, services
from jobs.errors import InvalidTransition
from jobs.models import Document, Job, JobEvent, JobStatus, Priority, TenantQueue
from jobs.retries import Decision, Verdict
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import USAGE, in_thread

BACKLOG = """
INSERT INTO jobs_job (event_id, tenant_id, document_id, submitted_by, title, metadata, priority,
    status, step, ready, run, attempt, crashes, failures, event_seq, worker, error_code,
    error_detail, llm_calls, prompt_tokens, completion_tokens, unknown_calls)
SELECT gen_random_uuid(), %(tenant)s, %(document)s, 'gpc_test', '', '{}', 0,
    'PENDING', 'summarize', true, 1, 0, 0, 0, 0, '', '', '', 0, 0, 0, 0
FROM generate_series(1, %(count)s)
"""
UNLIMITED = 100_000


def busy_tenant(count, **limits):
    """A tenant with `count` waiting jobs, and no cap unless one is given."""
    tenant = TenantFactory()
    services.set_queue(tenant.id, **{"max_running": UNLIMITED, **limits})
    fill(tenant, count)
    return tenant


def fill(tenant, count):
    document = Document(tenant_id=tenant.id)
    document.take_text("Staff MUST wash their hands.")
    document.save()
    with connection.cursor() as cursor:
        # Checks of foreign keys that were planned while there were few jobs read all of them.
        cursor.execute("SET enable_seqscan = off; DISCARD PLANS")
        cursor.execute(BACKLOG, {"tenant": tenant.id, "document": document.pk, "count": count})
        cursor.execute("RESET enable_seqscan")


def starts(count):
    """The tenants of the next `count` claims, in their order."""
    return [claims.claim_next("w").tenant_id for _ in range(count)]


def complete(claim):
    services.complete_job(claim, {"checklist": []}, USAGE)


def at_once(*works):
    """Runs each in a thread of its own, all from the same moment; returns what they raised."""
    barrier, raised = threading.Barrier(len(works)), []

    def run(work):
        barrier.wait()
        try:
            work()
        except Exception as error:
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def work_until(done, longest=0.004):
    """A worker whose jobs take a random time, until `done(claim)` says so."""
    chance = random.Random(0)

    def work():
        while True:
            claim = claims.claim_next(threading.current_thread().name)
            if claim is not None:
                time.sleep(chance.uniform(0, longest))
                complete(claim)
            if done(claim):
                return

    return work


# --- Shares ---------------------------------------------------------------------------------


def test_a_backlog_of_ten_thousand_delays_no_other_tenants_first_job(db):
    big = busy_tenant(10_000)
    assert set(starts(40)) == {big.id}
    others = [busy_tenant(3) for _ in range(20)]

    order = starts(2 * 21)

    assert {tenant.id for tenant in others} <= set(order)


def test_a_tenant_that_comes_later_starts_at_once_too(db):
    busy = [busy_tenant(200) for _ in range(5)]
    starts(100)
    late = busy_tenant(1)

    assert late.id in starts(2 * (len(busy) + 1))


def test_the_fair_order_owes_nothing_to_the_plan(db):
    """Nor to where the rows happen to lie: the last one written is the fairest."""
    tenants = [busy_tenant(1) for _ in range(3)]
    for tenant, virtual_time in zip(tenants, (4, 2, 0), strict=True):
        TenantQueue.objects.filter(tenant=tenant).update(virtual_time=virtual_time)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")

    assert starts(3) == [tenant.id for tenant in reversed(tenants)]


@pytest.mark.django_db(transaction=True)
def test_a_queue_that_somebody_holds_holds_up_nobody_elses():
    held, other = busy_tenant(1), busy_tenant(1)
    TenantQueue.objects.filter(tenant=other).update(virtual_time=10)
    locked, release = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            TenantQueue.objects.select_for_update().get(tenant=held)
            locked.set()
            release.wait(10)

    def claim():
        locked.wait(10)
        try:
            got.append(claims.claim_next("w").tenant_id)
        finally:
            release.set()

    got = []
    assert at_once(hold, claim) == []

    assert got == [other.id]


@pytest.mark.django_db(transaction=True)
def test_equal_tenants_get_equal_shares_from_workers_that_claim_at_once():
    tenants = [busy_tenant(150) for _ in range(6)]
    lock, completed = threading.Lock(), Counter()

    def done(claim):
        with lock:
            completed[claim.tenant_id] += 1
            return completed.total() >= 300

    assert at_once(*[work_until(done)] * 4) == []

    shares = [completed[tenant.id] for tenant in tenants]
    assert jain(shares) >= 0.95, shares


def jain(shares):
    """1 where all are equal, 1/n where one has everything (Jain, Chiu, Hawe, 1984)."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


@pytest.mark.parametrize("weight", [0.5, 2, 3])
def test_a_tenants_share_is_its_weight(db, weight):
    plain, other = busy_tenant(400), busy_tenant(400, weight=weight)

    started = Counter(starts(300))

    assert started[other.id] / started[plain.id] == pytest.approx(weight, rel=0.02)


@pytest.mark.django_db(transaction=True)
def test_a_tenants_share_is_its_weight_with_workers_that_claim_at_once():
    tenants = [busy_tenant(400, weight=weight) for weight in (1, 1, 2, 2)]
    lock, completed = threading.Lock(), Counter()

    def done(claim):
        with lock:
            completed[claim.tenant_id] += 1
            return completed.total() >= 360

    assert at_once(*[work_until(done)] * 4) == []

    first, second, third, fourth = (completed[tenant.id] for tenant in tenants)
    assert (third + fourth) / (first + second) == pytest.approx(2, rel=0.1), completed


def test_an_idle_tenant_saves_up_no_credit(db):
    idle = busy_tenant(1)
    busy = [busy_tenant(300) for _ in range(2)]
    starts(300)
    fill(idle, 300)

    started = Counter(starts(90))

    assert started[idle.id] <= 31
    assert all(started[tenant.id] >= 29 for tenant in busy)


def test_a_paused_tenant_is_passed_over_and_goes_on_at_its_share(db):
    paused, other = busy_tenant(300), busy_tenant(300)
    services.set_queue(paused.id, is_paused=True)
    assert set(starts(100)) == {other.id}

    services.set_queue(paused.id, is_paused=False)

    assert Counter(starts(40))[paused.id] == pytest.approx(20, abs=1)


def test_priority_counts_inside_its_tenant_only(db):
    urgent, patient = TenantFactory(), TenantFactory()
    for _ in range(4):
        JobFactory(tenant=patient, priority=Priority.LOW)
        JobFactory(tenant=urgent, priority=Priority.NORMAL)
    last = [JobFactory(tenant=urgent, priority=Priority.HIGH) for _ in range(2)]

    claimed = [claims.claim_next("w") for _ in range(8)]

    assert Counter(claim.tenant_id for claim in claimed) == {urgent.id: 4, patient.id: 4}
    of_urgent = [claim.id for claim in claimed if claim.tenant_id == urgent.id]
    assert of_urgent[:2] == [job.pk for job in last]


def test_jobs_past_their_deadline_hold_up_nobody_else(db):
    stale, other = busy_tenant(5), busy_tenant(1)
    Job.objects.across_tenants().filter(tenant=stale).update(deadline_at=timezone.now())
    TenantQueue.objects.filter(tenant=other).update(virtual_time=10)

    assert claims.claim_next("w").tenant_id == other.id


@pytest.mark.django_db(transaction=True)
def test_no_worker_goes_away_empty_while_others_take_the_only_jobs_of_many_tenants():
    for _ in range(60):
        busy_tenant(1)
    got = []

    def work():
        got.extend(claims.claim_next("w") for _ in range(15))

    assert at_once(*[work] * 4) == []

    assert None not in got
    assert len({claim.id for claim in got}) == 60


@contextmanager
def holding(tenant):
    """Another session, that holds the tenant's queue until its transaction ends."""
    session = connection.copy()
    session.set_autocommit(False)
    try:
        execute(session, HOLD, tenant.id)
        yield session
        session.rollback()
    finally:
        session.close()


def execute(session, statement, *parameters):
    with session.cursor() as cursor:
        cursor.execute(statement, parameters)


HOLD = "SELECT FROM jobs_tenantqueue WHERE tenant_id = %s FOR NO KEY UPDATE"
PAUSE = "UPDATE jobs_tenantqueue SET is_paused = true WHERE tenant_id = %s"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.mark.django_db(transaction=True)
def test_who_waits_for_a_queue_holds_no_other():
    first, second = busy_tenant(1), busy_tenant(1)
    TenantQueue.objects.filter(pk=second.pk).update(virtual_time=F("virtual_time") + 1)
    with holding(second) as of_second:
        with holding(first) as of_first:
            claimed = in_thread(lambda: claims.claim_next("w"))
            until_waiting(1)
            execute(of_first, PAUSE, first.id)
            of_first.commit()  # whoever waited for the first goes on to the second
        until_waiting(1)

        execute(of_second, HOLD, first.id)

    assert claimed.result(10).tenant_id == second.id


def until_waiting(sessions):
    deadline = time.monotonic() + 10
    while True:
        with connection.cursor() as cursor:
            cursor.execute(WAITING)
            if cursor.fetchone()[0] == sessions:
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- Caps and counters ----------------------------------------------------------------------


@pytest.mark.parametrize("workers", [4, 8])
@pytest.mark.django_db(transaction=True)
def test_no_tenant_is_over_its_cap_at_any_moment(workers):
    caps = {busy_tenant(60, max_running=cap).id: cap for cap in (1, 2, 3)}
    ended = threading.Event()
    seen = []

    def done(claim):
        if (
            claim is None
            and not Job.objects.across_tenants().filter(status=JobStatus.PENDING).exists()
        ):
            ended.set()
        return ended.is_set()

    def watch():
        while not ended.is_set():
            seen.append(processing())

    errors = at_once(watch, *[work_until(done)] * workers)

    assert errors == []
    assert Job.objects.across_tenants().filter(status=JobStatus.COMPLETED).count() == 180
    assert all(counts[tenant] <= cap for counts in seen for tenant, cap in caps.items())
    # The whole truth, moment by moment: every start and end of a job is in its history.
    most = most_at_once()
    assert all(most[tenant] <= cap for tenant, cap in caps.items()), (most, caps)
    assert sum(most.values()) >= min(workers, sum(caps.values())) - 1  # it was tried


def processing():
    rows = Job.objects.across_tenants().filter(status=JobStatus.PROCESSING).values_list("tenant_id")
    return Counter(dict(rows.annotate(Count("id"))))


def most_at_once():
    """By tenant, how many jobs were PROCESSING at once, at most."""
    running, most = Counter(), defaultdict(int)
    moves = JobEvent.objects.across_tenants().order_by("at", "seq").exclude(from_status="")
    for tenant_id, to_status in moves.values_list("tenant_id", "to_status"):
        running[tenant_id] += 1 if to_status == JobStatus.PROCESSING else -1
        most[tenant_id] = max(most[tenant_id], running[tenant_id])
    return most


@pytest.mark.django_db(transaction=True)
def test_counters_are_true_after_everything_happened_at_once(settings):
    """Workers, cancellations, two pumps: nobody meets a deadlock, and nothing is miscounted."""
    settings.JOB_LEASE = timedelta(milliseconds=20)
    tenants = [busy_tenant(100, max_running=cap) for cap in (1, 2, 4, 8, 8, 8)]
    stop = time.monotonic() + 4

    def worker(number):
        chance = random.Random(number)

        def work():
            while time.monotonic() < stop:
                claim = claims.claim_next(f"worker-{number}")
                if claim is None:
                    continue
                time.sleep(chance.uniform(0, 0.03))  # now and then the lease runs out
                try:
                    chance.choice(ENDS)(claim)
                except services.LeaseLost:
                    pass

        return work

    def cancel_and_retry():
        while time.monotonic() < stop:
            act = random.choice([services.cancel_job, services.retry_job])
            tenant = random.choice(tenants)
            # Those that run, so that the worker and this one meet at the same rows.
            of_tenant = Job.objects.across_tenants().filter(tenant=tenant, status__in=ACTIVE[act])
            job = of_tenant.order_by("?").first()
            if job is not None:
                try:
                    act(tenant_id=tenant.id, event_id=job.event_id, actor="ann")
                except InvalidTransition:
                    pass

    def pump():
        while time.monotonic() < stop:
            claims.reap("It was lost.")
            claims.sweep()

    others = [cancel_and_retry, cancel_and_retry, pump, pump]
    assert at_once(*map(worker, range(6)), *others) == []

    running = TenantQueue.objects.annotate(
        truly=Count("tenant__jobs", filter=Q(tenant__jobs__status=JobStatus.PROCESSING))
    )
    counters = {queue.tenant_id: (queue.running, queue.truly) for queue in running}
    assert all(counted == truly for counted, truly in counters.values()), counters
    happened = set(JobEvent.objects.across_tenants().values_list("from_status", "to_status"))
    assert {("PROCESSING", "COMPLETED"), ("PROCESSING", "PENDING")} <= happened


@pytest.mark.django_db(transaction=True)
def test_taking_back_jobs_of_many_tenants_locks_their_queues_in_one_order():
    first, second = sorted((busy_tenant(1), busy_tenant(1)), key=lambda tenant: tenant.id)
    starts(2)
    now = timezone.now()
    Job.objects.across_tenants().filter(tenant=first).update(
        lease_expires_at=now - timedelta(minutes=1)
    )
    Job.objects.across_tenants().filter(tenant=second).update(
        lease_expires_at=now - timedelta(minutes=2)
    )
    held = threading.Event()

    def lock_both():
        with transaction.atomic():
            TenantQueue.objects.select_for_update().get(tenant=first)
            held.set()
            wait_until_somebody_waits()
            TenantQueue.objects.select_for_update().get(tenant=second)

    def reap():
        held.wait(10)
        claims.reap("It was lost.")

    assert at_once(lock_both, reap) == []

    assert not Job.objects.across_tenants().filter(status=JobStatus.PROCESSING).exists()


def wait_until_somebody_waits():
    deadline = time.monotonic() + 10
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT FROM pg_locks WHERE NOT granted")
            if cursor.rowcount:
                return


def throttle(claim):
    soon = timedelta(milliseconds=10)
    decision = Decision(Verdict.AGAIN, "throttled", soon, counts=False)
    services.fail_attempt(claim, RuntimeError("429"), decision)


def crash(claim):
    """Says nothing: the lease runs out."""


ENDS = [complete, complete, services.hand_back, throttle, crash]
ACTIVE = {
    services.cancel_job: [JobStatus.PROCESSING],
    services.retry_job: [JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED],
}
