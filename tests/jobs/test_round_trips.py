"""How often a job's way through a worker leads to PostgreSQL: each costs processor time of both."""

import re
import threading

import pytest
from django.db.backends.utils import CursorWrapper

from jobs import runner
from jobs.models import JobStatus
from tests.factories import JobFactory, TenantFactory

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
