"""How often a job's way through a worker leads to PostgreSQL, and how much that reads there: each
costs processor time of both."""

import re
import threading

import pytest
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from jobs import claims, ledger, runner, services
from jobs.models import JobStatus, Step
from llm.limits import Tokens
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import SUMMARY, USAGE
from tests.jobs.test_ledger import REPLY

pytestmark = pytest.mark.django_db(transaction=True)

NEW = {  # asks the model, whatever earlier jobs have got
    "guideline_text": "Staff MUST wash their hands.\n\nVisitors should not bring flowers.\n",
    "options": {"cache": False},
}
CALL = ["intend_with_ours", "close"]


@pytest.fixture
def asked(monkeypatch):
    """What the jobs of this process ask the database, in order, by the function or the table."""
    statements, execute = [], CursorWrapper.execute

    def listen(self, sql, params=None):
        if threading.current_thread().name.startswith("database-"):
            statements.append(re.search(r"jobs_(\w+)|$", sql)[1] or sql)
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", listen)
    return statements


@pytest.mark.usefixtures("provider")
def test_each_moment_of_a_job_is_one_statement(asked):
    tenant = TenantFactory()
    first = JobFactory(tenant=tenant, **NEW)  # opens connections, and the keys
    job = JobFactory(tenant=tenant, **NEW)
    runner.run_next_job("w")
    asked.clear()

    assert runner.run_next_job("w") == str(job.event_id)

    first.refresh_from_db()
    job.refresh_from_db()
    assert (first.status, job.status) == (JobStatus.COMPLETED, JobStatus.COMPLETED)
    way = ["claim", "load", *CALL, "keep_step", *CALL, "complete"]
    assert [statement for statement in asked if statement in way] == way
    assert len(asked) == len(way)


READ = """
SELECT sum(coalesce(idx_tup_fetch, 0) + seq_tup_read)::int FROM pg_stat_xact_user_tables
WHERE relname IN ('jobs_job', 'jobs_llmcall', 'jobs_jobattempt')
"""
UNDER_WAY = 60


def test_what_a_job_reads_does_not_grow_with_the_jobs_that_run_beside_it():
    """Each row is found by its key. An index of what is under way looks cheaper to PostgreSQL where
    nothing was when it looked last, as in the morning."""
    tenant = TenantFactory(plan={"max_running": UNDER_WAY})
    for _ in range(UNDER_WAY):
        JobFactory(tenant=tenant)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE jobs_job, jobs_llmcall, jobs_jobattempt")
    held = [claims.claim_next("w") for _ in range(UNDER_WAY)]
    for claim in held[1:]:
        ledger.intend(claim, "a", Tokens(1, 1))

    acts = {
        "intend": lambda: ledger.intend(held[0], "a", Tokens(1, 1), progress=(0, 7)),
        "close": lambda: ledger.close(held[0], "a", reply=REPLY),
        "keep_step": lambda: services.save_step(held[0], Step.SUMMARIZE, SUMMARY),
        "complete": lambda: services.complete_job(held[0], {"checklist": []}, USAGE),
    }
    read = {name: _read_by(act) for name, act in acts.items()}

    assert max(read.values()) < UNDER_WAY / 4, read


def test_what_a_claim_reads_does_not_grow_with_the_jobs_that_wait():
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE jobs_job")  # of what tests before have left
    tenant = TenantFactory(plan={"max_waiting": UNDER_WAY})
    for _ in range(UNDER_WAY):
        JobFactory(tenant=tenant)

    assert _read_by(lambda: claims.claim_next("w")) < UNDER_WAY / 4


def _read_by(act):
    """Rows that PostgreSQL looked at."""
    with transaction.atomic(), connection.cursor() as cursor:
        before = cursor.execute(READ).fetchone()[0]
        act()
        return cursor.execute(READ).fetchone()[0] - before
