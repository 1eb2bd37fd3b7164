"""One connection, one tenant after the other: nothing of a transaction outlives it."""

import pytest
from django.db import OperationalError, ProgrammingError, connection

from config.isolation import DatabaseRole, acting_as
from jobs.models import Job
from tests.factories import JobFactory, TenantFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def backend():
    """The session, by PostgreSQL's own number: the tests below mean one and the same."""
    return asked("SELECT pg_backend_pid()")


def asked(query, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchone()


def left():
    return asked(
        "SELECT current_setting('role'), coalesce(current_setting('guidepost.tenant', true), '')"
    )


class Interrupted(Exception):
    pass


def raise_it():
    raise Interrupted


def wait_too_long():
    asked("SELECT set_config('statement_timeout', '50', true)")
    asked("SELECT pg_sleep(5)")


ENDINGS = {
    "its end": (lambda: None, None),
    "an exception": (raise_it, Interrupted),
    "a mistake in SQL": (lambda: asked("SELECT nonsense"), ProgrammingError),
    "a timeout": (wait_too_long, OperationalError),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_after(ending, backend):
    act, expected = ENDINGS[ending]
    a, b = TenantFactory(), TenantFactory()
    JobFactory(tenant=a)
    theirs = JobFactory(tenant=b)

    try:
        with acting_as(DatabaseRole.API, a.id):
            act()
        assert expected is None
    except (Interrupted, ProgrammingError, OperationalError) as error:
        assert type(error) is expected

    assert left() == ("none", "")
    with acting_as(DatabaseRole.API, b.id):
        assert asked("SELECT array_agg(event_id) FROM jobs_job") == ([theirs.event_id],)
    with acting_as(DatabaseRole.API):
        assert asked("SELECT count(*) FROM jobs_job") == (0,)
    assert asked("SELECT pg_backend_pid()") == backend


def test_a_refused_request_leaves_nothing_for_the_next(client_for, backend):
    a, b = TenantFactory(), TenantFactory()
    mine, theirs = JobFactory(tenant=a), JobFactory(tenant=b)
    as_a, as_b = client_for(a), client_for(b)

    statuses = [
        as_a.get("/jobs").status_code,
        as_a.get(f"/jobs/{theirs.event_id}").status_code,
        as_a.post("/jobs", data="{", content_type="application/json").status_code,
        as_a.get("/jobs?cursor=nonsense").status_code,
    ]

    assert statuses == [200, 404, 400, 400]
    assert left() == ("none", "")
    assert [job["event_id"] for job in as_b.get("/jobs").json()["data"]] == [str(theirs.event_id)]
    assert Job.objects.for_tenant(a.id).get() == mine
    assert asked("SELECT pg_backend_pid()") == backend
