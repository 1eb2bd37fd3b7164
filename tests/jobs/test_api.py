"""POST /jobs, GET /jobs, GET /jobs/{event_id}, cancel and retry."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from config.isolation import DatabaseRole, acting_as
from jobs import claims, dispatch, services, shown
from jobs.models import Document, Job, JobLabel, JobStatus, first_id_of
from tenants.models import Membership, Role, Scope
from tests.config.test_problems import check_problem
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import USAGE, completed, failed


@pytest.fixture
def other(db):
    return TenantFactory()


def submit(api, **fields):
    return api.post("/jobs", {"guideline_text": "Wash hands."} | fields, format="json")


# --- Submitting -----------------------------------------------------------------------------


def test_a_guideline_is_accepted_and_kept_unaltered(api, tenant):
    text = "\r\n  Wash hands.\tÜ 漢 👩‍⚕️ e\u0301 \n"

    response = submit(api, guideline_text=text, title="Hands", metadata={"ward": "7b"})

    job = Job.objects.across_tenants().get()
    body = response.json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/jobs/{job.event_id}"
    assert response.headers["Retry-After"] == "1"
    assert body["event_id"] == str(job.event_id)
    assert (body["status"], body["step"], body["attempt"]) == ("PENDING", "summarize", 0)
    assert (body["title"], body["metadata"], body["priority"]) == (
        "Hands",
        {"ward": "7b"},
        "normal",
    )
    assert job.document.text == text
    assert job.tenant == tenant == job.document.tenant
    assert job.submitted_by == "gpc_test"


SCOPE = 3  # BEGIN, the role and tenant in one statement, COMMIT


@pytest.mark.django_db(transaction=True)
def test_submitting_costs_one_round_trip(api, known, django_assert_num_queries):
    submit(api)  # opens the tenant's data key: see tenants/vault.py

    with django_assert_num_queries(1):
        assert submit(api).status_code == 202


def test_a_worker_is_woken_after_the_row_is_there(
    api, monkeypatch, django_capture_on_commit_callbacks
):
    seen = []
    monkeypatch.setattr(
        dispatch, "wake_worker", lambda: seen.append(Job.objects.across_tenants().count())
    )

    with django_capture_on_commit_callbacks(execute=True):
        submit(api)
        assert seen == []

    assert seen == [1]


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"guideline_text": ""}, "/guideline_text", "blank"),
        ({"guideline_text": " \n\t"}, "/guideline_text", "blank"),
        ({"guideline_text": None}, "/guideline_text", "null"),
        ({"guideline_text": ["x"]}, "/guideline_text", "invalid"),
        ({"priority": "urgent"}, "/priority", "invalid_choice"),
        ({"title": "x" * 201}, "/title", "max_length"),
        ({"metadata": "x"}, "/metadata", "not_a_dict"),
        ({"metadata": {"a": {"b": 1}}}, "/metadata/a", "invalid"),
        ({"metadata": {str(n): "" for n in range(17)}}, "/metadata", "too_many_keys"),
        ({"metadata": {"a": "x" * 500, "b": "x" * 500, "c": "xxx" * 9}}, "/metadata", "too_large"),
        ({"tenant": "another"}, "/tenant", "unknown_field"),
        ({"status": "COMPLETED"}, "/status", "unknown_field"),
    ],
)
def test_a_field_that_will_not_do_is_named(api, fields, pointer, code):
    body = check_problem(submit(api, **fields), 422, "invalid_fields")

    assert [(e["pointer"], e["code"]) for e in body["errors"]] == [(pointer, code)]
    assert Job.objects.across_tenants().count() == 0


def test_every_mistake_is_named_at_once(api):
    body = check_problem(submit(api, guideline_text="", priority="x", foo=1), 422, "invalid_fields")

    assert {error["pointer"] for error in body["errors"]} == {
        "/guideline_text",
        "/priority",
        "/foo",
    }


def test_a_missing_text_is_asked_for_with_both_limits(api):
    body = check_problem(api.post("/jobs", {}, format="json"), 422, "invalid_fields")

    assert body["errors"][0]["detail"] == (
        "Send the guideline's text, 1 character to 1 MB (1,048,576 bytes)."
    )


@pytest.mark.parametrize("body", ["[]", '"text"', "null", "7"])
def test_a_body_that_is_no_object_is_refused(api, body):
    response = api.post("/jobs", body, content_type="application/json")

    check_problem(response, 422, "invalid_fields")


def test_one_character_is_enough_and_one_megabyte_is_not_too_much(api, settings):
    assert submit(api, guideline_text="x").status_code == 202
    assert submit(api, guideline_text="ü" * (settings.GUIDELINE_MAX_BYTES // 2)).status_code == 202


def test_a_text_beyond_the_limit_is_413_with_both_limits(api, settings):
    response = submit(api, guideline_text="ü" * (settings.GUIDELINE_MAX_BYTES // 2) + "x")

    body = check_problem(response, 413, "document_too_large")
    assert "1,048,577 bytes" in body["detail"]
    assert "1 character to 1,048,576 bytes (1 MB)" in body["detail"]
    assert Document.objects.across_tenants().count() == 0


def test_a_tenant_beyond_its_rate_is_stopped_and_no_other_is(client_for, other):
    api = client_for(TenantFactory(plan={"submits_per_minute": 2}))

    assert [submit(api).status_code for _ in range(3)] == [202, 202, 429]
    assert submit(client_for(other)).status_code == 202


# --- Scopes and tenants ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("post", "/jobs", Scope.JOBS_SUBMIT),
        ("get", "/jobs", Scope.JOBS_READ),
        ("get", "/jobs/{id}", Scope.JOBS_READ),
        ("post", "/jobs/{id}/cancel", Scope.JOBS_MANAGE),
        ("post", "/jobs/{id}/retry", Scope.JOBS_MANAGE),
    ],
)
def test_each_call_needs_its_scope_and_says_which(tenant, client_for, method, path, scope):
    job = JobFactory(tenant=tenant)
    others = [s for s in Scope if s != scope]
    call = getattr(client_for(tenant, others), method)

    body = check_problem(call(path.format(id=job.event_id)), 403, "insufficient_scope")

    assert f"`{scope}`" in body["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", "/jobs/{id}"), ("post", "/jobs/{id}/cancel"), ("post", "/jobs/{id}/retry")],
)
def test_the_job_of_another_tenant_is_as_absent_as_one_that_never_was(api, other, method, path):
    theirs = JobFactory(tenant=other)

    foreign = getattr(api, method)(path.format(id=theirs.event_id))
    absent = getattr(api, method)(path.format(id=uuid.uuid4()))

    check_problem(foreign, 404, "not_found")
    assert foreign.json() | {"request_id": ""} == absent.json() | {"request_id": ""}
    theirs.refresh_from_db()
    assert theirs.status == JobStatus.PENDING


def test_a_list_holds_only_the_tenants_own_jobs(api, tenant, other):
    mine = JobFactory(tenant=tenant)
    JobFactory(tenant=other)

    assert [job["event_id"] for job in api.get("/jobs").json()["data"]] == [str(mine.event_id)]


def test_a_cursor_from_another_tenant_shows_only_ones_own_jobs(api, tenant, other):
    mine = JobFactory(tenant=tenant)
    theirs = JobFactory(tenant=other)

    page = api.get("/jobs", {"cursor": theirs.event_id.hex}).json()

    assert [job["event_id"] for job in page["data"]] == [str(mine.event_id)]


# --- Reading --------------------------------------------------------------------------------


def test_a_waiting_job_has_no_result_and_says_when_to_look_again(api, tenant):
    job = JobFactory(tenant=tenant)

    response = api.get(f"/jobs/{job.event_id}")

    assert response.json()["result"] is None
    assert response.headers["Retry-After"] == "1"


def test_a_completed_job_has_its_result(api, tenant):
    job = completed(JobFactory(tenant=tenant), result={"checklist": []})

    response = api.get(f"/jobs/{job.event_id}")

    body = response.json()
    assert body["status"] == "COMPLETED"
    assert body["result"] == {"checklist": []}
    assert body["progress"] == {"steps_done": 2, "steps": 2, "passages_done": 0, "passages": 0}
    assert body["usage"] == {
        "llm_calls": 3,
        "prompt_tokens": 30,
        "completion_tokens": 15,
        "unknown_calls": 0,
    }
    assert "Retry-After" not in response.headers


def test_a_failed_job_has_a_code_and_a_safe_text(api, tenant):
    job = failed(JobFactory(tenant=tenant))

    body = api.get(f"/jobs/{job.event_id}").json()

    assert body["status"] == "FAILED"
    assert body["error"]["code"] == "llm_refused"
    assert "raw provider text" not in str(body)


@pytest.mark.django_db(transaction=True)
def test_reading_a_job_costs_one_round_trip(api, known, tenant, django_assert_num_queries):
    waiting, over = JobFactory(tenant=tenant), JobFactory(tenant=tenant)
    api.post(f"/jobs/{over.event_id}/cancel")

    with django_assert_num_queries(1):
        assert api.get(f"/jobs/{waiting.event_id}").json()["waiting"]["place"] == 1
    with django_assert_num_queries(1):
        api.get(f"/jobs/{over.event_id}")


@pytest.mark.parametrize("path", ["/jobs/1", "/jobs/xyz", "/jobs/" + "0" * 31, "/jobs/"])
def test_what_is_no_id_is_404(api, path):
    check_problem(api.get(path), 404, "not_found")


# --- Listing --------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_pages_follow_each_other_newest_first(api, known, tenant, django_assert_num_queries):
    jobs = [JobFactory(tenant=tenant) for _ in range(5)]
    newest_first = sorted((str(job.event_id) for job in jobs), reverse=True)

    seen, path = [], "/jobs?limit=2"
    while path:
        with django_assert_num_queries(1):
            page = api.get(path).json()
        assert len(page["data"]) <= 2
        seen += [job["event_id"] for job in page["data"]]
        path = page["next"]

    assert seen == newest_first


def test_a_list_may_be_narrowed_to_a_status_on_every_page(api, tenant):
    ended = [str(failed(JobFactory(tenant=tenant)).event_id) for _ in range(3)]
    JobFactory(tenant=tenant)

    first = api.get("/jobs", {"status": "FAILED", "limit": 2}).json()
    second = api.get(first["next"]).json()

    assert [job["event_id"] for job in first["data"] + second["data"]] == ended[::-1]
    assert second["next"] is None


def made_at(tenant, at, **fields):
    """A job of then: its id and its time are a few milliseconds apart, as they are in life."""
    job = JobFactory(tenant=tenant, **fields)
    first = first_id_of(at - timedelta(milliseconds=3)).int
    event_id = uuid.UUID(int=first | job.event_id.int & (1 << 80) - 1)
    with connection.cursor() as cursor:  # past the trigger that lets nobody change them
        cursor.execute("SET LOCAL session_replication_role = replica")
        Job.objects.for_tenant(tenant.id).filter(pk=job.pk).update(event_id=event_id, created_at=at)
        labels = JobLabel.objects.for_tenant(tenant.id).filter(event_id=job.event_id)
        labels.update(event_id=event_id)
        cursor.execute("SET LOCAL session_replication_role = origin")
    return str(event_id)


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def ids(page):
    return [job["event_id"] for job in page["data"]]


@pytest.mark.parametrize("confined", [False, True])
def test_a_list_may_be_narrowed_to_a_span_of_time(tenant, person_client_for, confined):
    person = person_client_for(tenant, Role.MEMBER)
    Membership.objects.for_tenant(tenant.id).update(sees_own_only=confined)
    subject = str(person.session_row.user.public_id)
    made = [made_at(tenant, NOON + n * DAY, submitted_by=subject) for n in range(4)]
    after, before = (NOON + DAY).isoformat(), (NOON + 3 * DAY).isoformat()

    assert ids(person.get("/jobs", {"created_after": after}).json()) == made[:0:-1]
    assert ids(person.get("/jobs", {"created_before": before}).json()) == made[2::-1]
    span = {"created_after": after, "created_before": before}
    assert ids(person.get("/jobs", span).json()) == made[2:0:-1]
    assert ids(person.get("/jobs", {**span, "status": "FAILED"}).json()) == []
    assert ids(person.get("/jobs", {**span, "status": "PENDING"}).json()) == made[2:0:-1]
    assert ids(person.get("/jobs", {"created_after": "2026-03-02"}).json()) == made[:0:-1]


@pytest.mark.parametrize("confined", [False, True])
def test_a_list_may_be_narrowed_to_pairs_of_metadata(tenant, person_client_for, confined):
    person = person_client_for(tenant, Role.MEMBER)
    Membership.objects.for_tenant(tenant.id).update(sees_own_only=confined)
    subject = str(person.session_row.user.public_id)
    pairs = [{"ward": "7b", "site.a": "N&S"}, {"ward": "7b"}, {"ward": "7"}, {}, {"": "7b"}]
    made = [
        made_at(tenant, NOON + n * DAY, submitted_by=subject, metadata=metadata)
        for n, metadata in enumerate(pairs)
    ]

    def found(**query):
        return ids(person.get("/jobs", query).json())

    assert found(**{"metadata.ward": "7b"}) == [made[1], made[0]]
    assert found(**{"metadata.ward": "7b", "metadata.site.a": "N&S"}) == [made[0]]
    assert found(**{"metadata.ward": "7b", "created_after": "2026-03-02"}) == [made[1]]
    assert found(**{"metadata.ward": "7b", "status": "FAILED"}) == []
    assert found(**{"metadata.ward": ""}) == []
    assert found(**{"metadata.bed": "7b"}) == []


def test_the_next_page_is_narrowed_as_the_first(api, tenant):
    made = [made_at(tenant, NOON + n * DAY, metadata={"a&b": "c=d"}) for n in range(4)]
    JobFactory(tenant=tenant)
    query = {"metadata.a&b": "c=d", "created_after": "2026-03-02T12:00:00+00:00", "limit": 2}

    first = api.get("/jobs", query).json()
    second = api.get(first["next"]).json()

    assert (ids(first), ids(second)) == (made[:1:-1], made[1:2])
    assert second["next"] is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_analysed", [False, True])
def test_a_search_reads_no_labels_of_others(api, known, tenant, other, is_analysed):
    """However many of the others' jobs have the same pair, and whatever PostgreSQL believes."""
    for whose, metadata in ((other, {"state": "done"}), (tenant, {"state": "open"})):
        for _ in range(30):
            JobFactory(tenant=whose, metadata=metadata)
    JobFactory(tenant=tenant, metadata={"state": "done"})
    wanted = shown.Wanted(most=21, metadata={"state": "done"})
    question, asked = shown.asked_for_page(tenant.id, wanted)
    read = (
        "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables"
        " WHERE relname = 'jobs_joblabel'"
    )

    with connection.cursor() as cursor:
        cursor.execute("DISCARD PLANS")
        if is_analysed:
            cursor.execute("ANALYZE jobs_job, jobs_joblabel")
    with acting_as(DatabaseRole.API, tenant.id), connection.cursor() as cursor:
        cursor.execute(read)
        before = cursor.fetchone()[0]
        cursor.execute(question, asked)
        found = cursor.fetchall()
        cursor.execute(read)
        rows = cursor.fetchone()[0] - before

    assert (len(found), rows) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_a_narrowed_list_costs_one_round_trip(api, known, django_assert_num_queries):
    with django_assert_num_queries(1):
        api.get("/jobs", {"metadata.ward": "7b", "created_after": "2026-03-02"})


@pytest.mark.parametrize(
    "far", ["0001-01-01", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z"]
)
def test_the_ends_of_time_are_times(api, tenant, far):
    mine = [str(JobFactory(tenant=tenant).event_id)]

    later = ids(api.get("/jobs", {"created_after": far}).json())
    earlier = ids(api.get("/jobs", {"created_before": far}).json())

    assert (later, earlier) == (([], mine) if far.startswith("9") else (mine, []))


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"cursor": "yesterday"}, 400, "invalid_cursor"),
        ({"created_after": "yesterday"}, 422, "invalid_fields"),
        ({"created_before": ""}, 422, "invalid_fields"),
        ({"metadata.ward": ["7a", "7b"]}, 422, "invalid_fields"),
        ({"metadata.": "7b"}, 422, "invalid_fields"),
        ({"metadata.\0": "7b"}, 422, "invalid_fields"),
        ({"metadata.ward": "7\0b"}, 422, "invalid_fields"),
        ({"metadata": "7b"}, 422, "invalid_fields"),
        ({"status": "DONE"}, 422, "invalid_fields"),
        ({"limit": 0}, 422, "invalid_fields"),
        ({"limit": 101}, 422, "invalid_fields"),
        ({"limit": "many"}, 422, "invalid_fields"),
    ],
)
def test_a_query_that_will_not_do_is_refused(api, query, status, code):
    check_problem(api.get("/jobs", query), status, code)


# --- Cancelling and retrying ----------------------------------------------------------------


def test_a_waiting_job_is_cancelled_and_never_runs(api, tenant):
    job = JobFactory(tenant=tenant)

    response = api.post(f"/jobs/{job.event_id}/cancel")

    assert response.status_code == 202
    assert response.json()["status"] == "CANCELLED"
    assert claims.claim_next("w") is None


def test_cancelling_twice_changes_nothing(api, tenant):
    job = JobFactory(tenant=tenant)

    first = api.post(f"/jobs/{job.event_id}/cancel")
    second = api.post(f"/jobs/{job.event_id}/cancel")

    assert second.status_code == 202
    assert second.json() == first.json()


def test_a_completed_job_can_be_neither_cancelled_nor_retried(api, tenant):
    job = completed(JobFactory(tenant=tenant))

    for act in ("cancel", "retry"):
        response = api.post(f"/jobs/{job.event_id}/{act}")
        body = check_problem(response, 409, "invalid_transition")
        assert body["job_status"] == "COMPLETED"

    job.refresh_from_db()
    assert job.status == JobStatus.COMPLETED


def test_a_failed_job_is_retried_as_a_new_run(api, tenant):
    job = failed(JobFactory(tenant=tenant))

    response = api.post(f"/jobs/{job.event_id}/retry")

    job.refresh_from_db()
    assert response.status_code == 202
    assert (job.status, job.run, job.attempt) == (JobStatus.PENDING, 2, 1)
    assert (job.failures, job.crashes) == (0, 0)
    assert (job.error_code, job.ended_at) == ("", None)
    assert [a.outcome for a in job.attempts.all()] == ["failed"]


def test_retrying_what_waits_already_changes_nothing(api, tenant):
    job = JobFactory(tenant=tenant)

    assert api.post(f"/jobs/{job.event_id}/retry").json()["status"] == "PENDING"
    assert Job.objects.across_tenants().get().run == 1


def test_a_running_job_that_is_cancelled_accepts_nothing_more_of_its_worker(api, tenant):
    job = JobFactory(tenant=tenant)
    claim = claims.claim_next("w")

    api.post(f"/jobs/{job.event_id}/cancel")

    with pytest.raises(services.LeaseLost):
        services.complete_job(claim, {"checklist": []}, USAGE)
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
    assert [a.outcome for a in job.attempts.all()] == ["cancelled"]


def test_a_job_says_what_was_asked_for_and_what_holds_otherwise(api, settings):
    response = submit(api, options={"language": "de", "report": True})

    assert response.status_code == 202
    assert response.json()["options"] == {
        "language": "de",
        "on_doubt": "flag",
        "report": True,
        "model": settings.OPENAI_MODEL,
        "cache": True,
        "fallback_models": [],
    }


@pytest.mark.parametrize(
    ("tag", "kept"),
    [("de", "de"), ("PT-br", "pt-BR"), ("zh-hANT-tw", "zh-Hant-TW"), ("es-419", "es-419")],
)
def test_a_language_is_kept_as_the_standard_writes_it(api, tag, kept):
    assert submit(api, options={"language": tag}).json()["options"]["language"] == kept


@pytest.mark.parametrize(
    "tag", ["xx", "german", "de_DE", "de-", "d", "de-x-mine", "ｄｅ", "de-DE-de", 5, "", "eng"]
)
def test_a_language_that_nobody_knows_is_refused_with_what_would_do(api, tag):
    response = submit(api, options={"language": tag})

    (error,) = response.json()["errors"]
    assert response.status_code == 422
    assert error["pointer"] == "/options/language"
    assert isinstance(tag, int) or tag == "" or "ISO 639-1 such as `de`" in error["detail"]


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"lang": "de"}, "/options/lang"),
        ({"on_doubt": "hope"}, "/options/on_doubt"),
        ({"report": "perhaps"}, "/options/report"),
        ("de", "/options"),
    ],
)
def test_an_option_that_will_not_do_is_named(api, options, pointer):
    response = submit(api, options=options)

    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer
