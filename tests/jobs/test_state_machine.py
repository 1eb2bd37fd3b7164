"""The moves that the database allows, against a table and against a model of random acts."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from jobs import claims, services
from jobs.models import Job, JobAttempt, JobEvent, JobStatus, Step, TenantQueue
from llm.errors import Refused, Throttled, Unavailable
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import SUMMARY, USAGE, claimed, completed, fail, failed

ALLOWED = {
    ("PENDING", "PROCESSING"),
    ("PENDING", "CANCELLED"),
    ("PENDING", "EXPIRED"),
    ("PROCESSING", "COMPLETED"),
    ("PROCESSING", "FAILED"),
    ("PROCESSING", "CANCELLED"),
    ("PROCESSING", "PENDING"),
    ("FAILED", "PENDING"),
    ("CANCELLED", "PENDING"),
    ("EXPIRED", "PENDING"),
}


def in_status(tenant, status):
    job = JobFactory(tenant=tenant)
    match status:
        case "PROCESSING":
            claimed(job)
        case "COMPLETED":
            completed(job)
        case "FAILED":
            failed(job)
        case "CANCELLED":
            services.cancel_job(tenant_id=tenant.id, event_id=job.event_id, actor="ann")
        case "EXPIRED":
            Job.objects.across_tenants().filter(pk=job.pk).update(deadline_at=timezone.now())
            claims.sweep()
    job.refresh_from_db()
    assert job.status == status
    return job


def columns_of(job, status):
    """All that the other constraints ask of a job in `status`, so that only the move is judged."""
    over = status in ("COMPLETED", "FAILED", "CANCELLED", "EXPIRED")
    return {
        "status": status,
        "ready": False,
        "worker": "w" if status == "PROCESSING" else "",
        "lease_expires_at": timezone.now() if status == "PROCESSING" else None,
        "ended_at": timezone.now() if over else None,
        "sealed_result": b"{}" if status == "COMPLETED" else None,
        "error_code": "x" if status == "FAILED" else "",
        "attempt": job.attempt + (status == "PROCESSING"),
        "run": job.run + (job.is_over and not over),
    }


@pytest.mark.parametrize("to_status", JobStatus.values)
@pytest.mark.parametrize("from_status", JobStatus.values)
def test_exactly_the_moves_of_the_table_are_possible(tenant, from_status, to_status):
    job = in_status(tenant, from_status)
    if from_status == to_status:
        return

    def move():
        with transaction.atomic():
            Job.objects.across_tenants().filter(pk=job.pk).update(**columns_of(job, to_status))

    if (from_status, to_status) in ALLOWED:
        move()
        assert JobEvent.objects.across_tenants().filter(job=job).last().to_status == to_status
    else:
        with pytest.raises(IntegrityError, match="job_move_is_allowed"):
            move()
        job.refresh_from_db()
        assert job.status == from_status


@pytest.mark.parametrize(
    ("status", "values", "rule"),
    [
        ("PENDING", {"attempt": 1}, "job_attempt_begins_with_processing"),
        ("PENDING", {"run": 2}, "job_attempt_begins_with_processing"),
        ("PROCESSING", {"attempt": 2}, "job_attempt_begins_with_processing"),
        ("PROCESSING", {"attempt": 0}, "job_never_goes_back"),
        ("PROCESSING", {"run": 0}, "job_never_goes_back"),
        ("PROCESSING", {"event_seq": 9}, "job_never_goes_back"),
        ("COMPLETED", {"sealed_result": b"other"}, "job_that_is_over_stays_as_it_is"),
        ("PENDING", {"options": {"report": True}}, "job_does_what_was_asked_for"),
        ("FAILED", {"error_code": "other"}, "job_that_is_over_stays_as_it_is"),
        ("CANCELLED", {"ended_at": timezone.now()}, "job_that_is_over_stays_as_it_is"),
    ],
)
def test_what_happened_cannot_be_changed(tenant, status, values, rule):
    job = in_status(tenant, status)

    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        Job.objects.across_tenants().filter(pk=job.pk).update(**values)


@pytest.mark.parametrize("values", [{"status": "CANCELLED"}, {"attempt": 1}, {"run": 2}])
def test_a_job_begins_at_the_beginning(tenant, values):
    document = JobFactory(tenant=tenant).document

    with pytest.raises(IntegrityError, match="job_begins_pending"), transaction.atomic():
        Job.objects.create(tenant=tenant, document=document, submitted_by="x", **values)


@pytest.mark.parametrize("change", [lambda e: e.update(note="x"), lambda e: e.delete()])
def test_history_is_never_rewritten(tenant, change):
    JobFactory(tenant=tenant)

    with pytest.raises(IntegrityError, match="event_is_never_changed"), transaction.atomic():
        change(JobEvent.objects.across_tenants().all())


@pytest.mark.django_db(transaction=True)  # who and why are said of one transaction
def test_history_says_who_and_why():
    tenant = TenantFactory()
    job = JobFactory(tenant=tenant, submitted_by="gpc_1")
    fail(claimed(job, "worker-1"), Unavailable("503"))
    Job.objects.across_tenants().update(ready=True)
    claimed(job, "worker-2")
    Job.objects.across_tenants().update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    claims.reap("lost")
    services.cancel_job(
        tenant_id=tenant.id, event_id=job.event_id, actor="ann@example.com", reason="wrong text"
    )

    assert [
        (e.seq, e.from_status, e.to_status, e.attempt, e.actor, e.note) for e in job.events.all()
    ] == [
        (1, "", "PENDING", 0, "gpc_1", ""),
        (2, "PENDING", "PROCESSING", 1, "worker-1", ""),
        (3, "PROCESSING", "PENDING", 1, "worker-1", "llm_unavailable"),
        (4, "PENDING", "PROCESSING", 2, "worker-2", ""),
        (5, "PROCESSING", "PENDING", 2, "pump", "worker_lost"),
        (6, "PENDING", "CANCELLED", 2, "ann@example.com", "wrong text"),
    ]


class Lifecycle(RuleBasedStateMachine):
    """Random claims, heartbeats, finishes, reaps, cancels, retries and expiries of a few jobs.

    The model keeps, for each job, only its status and current attempt; every worker keeps the
    claims it ever had and tries to use them all, the lost ones too.
    """

    def __init__(self):
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        self.tenant = TenantFactory()
        self.jobs = [JobFactory(tenant=self.tenant) for _ in range(3)]
        self.model = {job.pk: ("PENDING", 0) for job in self.jobs}
        self.claims = []

    def teardown(self):
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    def holds(self, claim):
        return self.model[claim.id] == ("PROCESSING", claim.attempt)

    @rule()
    def claim(self):
        Job.objects.across_tenants().filter(status="PENDING").update(ready=True)
        claim = claims.claim_next("w")
        waiting = [pk for pk, (status, _) in self.model.items() if status == "PENDING"]
        assert (claim is None) == (not waiting)
        if claim:
            assert self.model[claim.id] == ("PENDING", claim.attempt - 1)
            self.model[claim.id] = ("PROCESSING", claim.attempt)
            self.claims.append(claim)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def heartbeat(self, data):
        claim = data.draw(st.sampled_from(self.claims))
        kept = claims.renew([claim], timedelta(minutes=1))
        assert (claim.id in kept) == self.holds(claim)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), end=st.sampled_from(["complete", "refuse", "throttle", "hand back"]))
    def finish(self, data, end):
        claim = data.draw(st.sampled_from(self.claims))
        held = self.holds(claim)
        try:
            match end:
                case "complete":
                    services.save_step(claim, Step.SUMMARIZE, SUMMARY)
                    services.complete_job(claim, {"checklist": []}, USAGE)
                case "refuse":
                    fail(claim, Refused())
                case "throttle":
                    fail(claim, Throttled())
                case "hand back":
                    services.hand_back(claim)
        except services.LeaseLost:
            assert not held
            return
        status = {"complete": "COMPLETED", "refuse": "FAILED"}.get(end, "PENDING")
        repeated = end == "complete" and self.model[claim.id] == ("COMPLETED", claim.attempt)
        assert held or repeated
        self.model[claim.id] = (status, claim.attempt)

    @rule(data=st.data())
    def reap(self, data):
        running = [pk for pk, (status, _) in self.model.items() if status == "PROCESSING"]
        if not running:
            return
        pk = data.draw(st.sampled_from(running))
        Job.objects.across_tenants().filter(pk=pk).update(
            lease_expires_at=timezone.now() - timedelta(seconds=1)
        )
        crashes = Job.objects.across_tenants().get(pk=pk).crashes + 1
        [(_, status)] = claims.reap("lost")
        assert status == ("FAILED" if crashes == claims.MAX_CRASHES else "PENDING")
        self.model[pk] = (status, self.model[pk][1])

    @rule(data=st.data())
    def cancel(self, data):
        job = data.draw(st.sampled_from(self.jobs))
        status, attempt = self.model[job.pk]
        try:
            services.cancel_job(tenant_id=self.tenant.id, event_id=job.event_id, actor="ann")
        except services.InvalidTransition:
            assert status in ("COMPLETED", "FAILED", "EXPIRED")
            return
        self.model[job.pk] = ("CANCELLED", attempt)

    @rule(data=st.data())
    def retry(self, data):
        job = data.draw(st.sampled_from(self.jobs))
        status, attempt = self.model[job.pk]
        try:
            services.retry_job(tenant_id=self.tenant.id, event_id=job.event_id, actor="ann")
        except services.InvalidTransition:
            assert status == "COMPLETED"
            return
        if status in ("FAILED", "CANCELLED", "EXPIRED"):
            self.model[job.pk] = ("PENDING", attempt)

    @rule(data=st.data())
    def expire(self, data):
        waiting = [pk for pk, (status, _) in self.model.items() if status == "PENDING"]
        if not waiting:
            return
        pk = data.draw(st.sampled_from(waiting))
        Job.objects.across_tenants().filter(pk=pk).update(
            deadline_at=timezone.now() - timedelta(seconds=1)
        )
        claims.sweep()
        self.model[pk] = ("EXPIRED", self.model[pk][1])

    @invariant()
    def the_rows_are_what_the_model_says(self):
        rows = {job.pk: (job.status, job.attempt) for job in Job.objects.across_tenants().all()}
        assert rows == self.model

    @invariant()
    def the_books_agree(self):
        running = sum(status == "PROCESSING" for status, _ in self.model.values())
        assert TenantQueue.objects.get().running == running
        assert JobAttempt.objects.across_tenants().filter(outcome="running").count() == running
        for job in Job.objects.across_tenants().all():
            events = list(job.events.values_list("seq", "from_status", "to_status"))
            assert [seq for seq, _, _ in events] == list(range(1, job.event_seq + 1))
            assert events[-1][2] == job.status
            assert all((a, b) in ALLOWED for _, a, b in events[1:])
            assert job.attempts.count() == job.attempt


def test_no_order_of_acts_breaks_the_machine(db):
    connection.ensure_connection()
    test = Lifecycle.TestCase()
    test.settings = hypothesis_settings(max_examples=20, stateful_step_count=25, deadline=None)
    test.runTest()
