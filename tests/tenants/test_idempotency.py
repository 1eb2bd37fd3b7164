"""Idempotency-Key on POST: once done, told as often as asked."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from config.crypto import CannotUnseal
from config.isolation import DatabaseRole, acting_as
from jobs.models import Document, Job
from tenants import idempotency, vault
from tenants.models import IdempotencyRecord
from tests.config.test_problems import check_problem
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import completed

pytestmark = pytest.mark.django_db


def submit(api, key="k-1", **fields):
    body = {"guideline_text": "Wash hands."} | fields
    return api.post("/jobs", body, format="json", headers={"Idempotency-Key": key})


def records():
    return IdempotencyRecord.objects.across_tenants()


def test_a_repeated_request_gets_the_first_answer_and_makes_nothing(api):
    first = submit(api)
    Job.objects.across_tenants().update(title="changed since")

    second = submit(api)

    assert (first.status_code, second.status_code) == (202, 202)
    assert second.content == first.content
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["Retry-After"] == first.headers["Retry-After"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert Job.objects.across_tenants().count() == 1


def test_how_the_json_is_written_does_not_matter(api):
    first = submit(api, title="T")
    body = '{ "title":"\\u0054",\n"guideline_text":"Wash hands." }'

    second = api.post(
        "/jobs", body, content_type="application/json", headers={"Idempotency-Key": "k-1"}
    )

    assert second.json() == first.json()


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_make_one_job_and_tell_all_of_it(client_for):
    tenant = TenantFactory()
    apis = [client_for(tenant) for _ in range(20)]
    barrier = threading.Barrier(20)

    def ask(api):
        barrier.wait()
        try:
            return submit(api)
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, apis))

    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["event_id"] for answer in answers}) == 1
    replayed = Counter(answer.headers.get("Idempotent-Replayed") for answer in answers)
    assert replayed == {None: 1, "true": 19}
    assert (Job.objects.across_tenants().count(), Document.objects.across_tenants().count()) == (
        1,
        1,
    )


@pytest.mark.django_db(transaction=True)
def test_while_the_first_is_under_way_the_second_waits_a_second_and_is_told_to_come_back(
    tenant, api
):
    begun, done = threading.Event(), threading.Event()

    def first():
        place = {"tenant": tenant.id, "route": "jobs", "key": "k-1", "hash": b"x"}
        try:
            with acting_as(DatabaseRole.API, tenant.id), connection.cursor() as cursor:
                cursor.execute(idempotency.BEGIN, place)
                begun.set()
                done.wait(20)
        finally:
            connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait(20)
    started = timezone.now()

    response = submit(api)

    waited = (timezone.now() - started).total_seconds()
    done.set()
    thread.join()
    check_problem(response, 409, "idempotency_key_in_use")
    assert response.headers["Retry-After"] == "1"
    assert 0.9 < waited < 3
    assert Job.objects.across_tenants().count() == 0


@pytest.mark.django_db(transaction=True)
def test_the_key_of_a_request_that_failed_half_way_is_free(api, monkeypatch):
    def lose(*args, **kwargs):
        raise ConnectionError

    api.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "_keep", lose)
        assert submit(api).status_code == 500
    assert (Job.objects.across_tenants().count(), records().count()) == (0, 0)

    response = submit(api)

    assert response.status_code == 202
    assert "Idempotent-Replayed" not in response.headers


def test_another_body_with_the_key_is_refused_and_makes_nothing(api):
    submit(api)

    response = submit(api, guideline_text="Wear gloves.")

    check_problem(response, 422, "idempotency_key_reused")
    assert Job.objects.across_tenants().count() == 1


def test_another_path_with_the_key_is_refused(api, tenant):
    jobs = [JobFactory(tenant=tenant) for _ in range(2)]
    cancel = [
        api.post(f"/jobs/{job.event_id}/cancel", headers={"Idempotency-Key": "c"}) for job in jobs
    ]

    assert cancel[0].status_code == 202
    check_problem(cancel[1], 422, "idempotency_key_reused")
    assert Job.objects.for_tenant(tenant.id).get(pk=jobs[1].pk).status == "PENDING"


def test_a_request_that_is_refused_does_not_use_up_its_key(api, tenant):
    over = completed(JobFactory(tenant=tenant))
    check_problem(submit(api, guideline_text=""), 422, "invalid_fields")
    check_problem(
        api.post(f"/jobs/{over.event_id}/cancel", headers={"Idempotency-Key": "c"}),
        409,
        "invalid_transition",
    )

    assert submit(api).status_code == 202
    assert records().count() == 1


def test_a_key_is_its_tenants(api, client_for):
    theirs = submit(client_for(TenantFactory()))

    mine = submit(api, guideline_text="Wear gloves.")

    assert mine.status_code == 202
    assert mine.json()["event_id"] != theirs.json()["event_id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb", "\x7f"])
def test_a_key_that_will_not_do_is_refused(api, key):
    check_problem(submit(api, key=key), 400, "invalid_idempotency_key")
    assert Job.objects.across_tenants().count() == 0


@pytest.mark.parametrize("key", ["x", "~" * 255, '"quoted, as the draft says"'])
def test_any_printable_key_will_do(api, key):
    assert submit(api, key=key).json() == submit(api, key=key).json()


def test_after_a_day_the_key_is_free(api):
    first = submit(api)
    records().update(expires_at=timezone.now() - timedelta(seconds=1))

    second = submit(api, guideline_text="Wear gloves.")
    third = submit(api, guideline_text="Wear gloves.")

    assert second.json()["event_id"] != first.json()["event_id"]
    assert third.json() == second.json()
    left = records().get().expires_at - timezone.now()
    assert timedelta(hours=23) < left <= timedelta(hours=24)


def test_the_sweep_deletes_what_has_expired_in_batches(api, monkeypatch):
    monkeypatch.setattr(idempotency, "BATCH", 2)
    for number in range(6):
        submit(api, key=str(number))
    records().exclude(key="5").update(expires_at=timezone.now() - timedelta(seconds=1))

    with acting_as(DatabaseRole.WORKER):
        deleted = idempotency.sweep()

    assert deleted == 5
    assert records().get().key == "5"


def test_what_is_kept_is_sealed_for_its_tenant_and_place(api, tenant):
    title = "Canary of the ward"
    submit(api, title=title)

    record = records().get()

    sealed, context = bytes(record.body), f"tenants_idempotencyrecord.body jobs {record.key}"
    assert title.encode() not in sealed
    assert title.encode() in vault.unseal(tenant.id, sealed, context)
    with pytest.raises(CannotUnseal):
        vault.unseal(tenant.id, sealed, context + "x")
    with pytest.raises(CannotUnseal):
        vault.unseal(TenantFactory().id, sealed, context)


@pytest.mark.django_db(transaction=True)
def test_a_key_costs_two_statements_and_a_replay_two(api, known, django_assert_num_queries):
    submit(api, key="k-0")  # opens the tenant's data key
    scope = 3

    with django_assert_num_queries(scope + 1 + 2):
        submit(api)
    with django_assert_num_queries(scope + 2):
        submit(api)


@pytest.mark.django_db(transaction=True)
def test_the_wait_for_other_locks_is_as_long_as_without_a_key(api, tenant, monkeypatch):
    seen = []

    def look(*args):
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            seen.append(cursor.fetchone()[0])

    monkeypatch.setattr("jobs.budget.raise_if", look)

    submit(api)

    assert seen == ["2s"]
