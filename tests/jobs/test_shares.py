"""People who see only their own jobs, and single jobs that are shared with them."""

import re
import uuid

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import IntegrityError, ProgrammingError
from guardian.shortcuts import assign_perm, get_objects_for_user, remove_perm

from config.isolation import DatabaseRole, acting_as
from jobs.models import (
    VIEW_JOB,
    Job,
    JobGroupObjectPermission,
    JobStatus,
    JobUserObjectPermission,
)
from jobs.urls import urlpatterns
from tenants.models import AuditEntry, Role
from tenants.permissions import group_name
from tenants.querysets import TenantRequired
from tenants.services import members
from tests.callers import client_as, client_of, key, member_of, person
from tests.config.test_problems import check_problem
from tests.factories import JobFactory, TenantFactory
from tests.jobs.acts import failed
from tests.jobs.test_api import SCOPE, submit


@pytest.fixture
def confined(tenant):
    """A member who sees only their own jobs."""
    return member_of(tenant, Role.MEMBER, sees_own_only=True)


@pytest.fixture
def colleague(tenant):
    return member_of(tenant, Role.MEMBER)


@pytest.fixture
def job(tenant):
    return JobFactory(tenant=tenant, submitted_by="gpc_somebody")


def share(by, job, **whom):
    whom = {name: getattr(value, "public_id", value) for name, value in whom.items()}
    body = {name: str(value) for name, value in whom.items()}
    return client_of(by).post(f"/jobs/{job.event_id}/shares", body, format="json")


def listed(membership):
    answer = client_of(membership).get("/jobs").json()
    return [entry["event_id"] for entry in answer["data"]]


def sees(membership, job):
    """The same answer from the list and from the job itself."""
    status = client_of(membership).get(f"/jobs/{job.event_id}").status_code
    in_list = str(job.event_id) in listed(membership)
    assert (status == 200) == in_list
    return in_list


SHARES = [("get", "/jobs/{}/shares"), ("post", "/jobs/{}/shares")]
CALLS = [  # all that can be asked of one job
    (method, "/" + str(route.pattern).replace("<uuid:event_id>", "{}"))
    for route in urlpatterns
    if re.findall("<.*?>", str(route.pattern)) == ["<uuid:event_id>"]
    for method in ("get", "post", "put", "patch", "delete")
    if hasattr(route.callback.view_class, method) and route.name != "job-diff"
]
CALLS.append(("get", "/jobs/{}/diff?with=" + str(uuid.uuid4())))
MANAGING = [call for call in CALLS if call[0] != "get" or call in SHARES]


# --- Own jobs only -------------------------------------------------------------------------------


def test_a_confined_person_sees_the_jobs_they_submitted_and_no_others(confined, job):
    mine = submit(client_of(confined)).json()["event_id"]

    assert listed(confined) == [mine]
    assert client_of(confined).get(f"/jobs/{mine}").status_code == 200


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_a_job_they_may_not_see_is_as_absent_as_one_that_never_was(confined, job, method, path):
    call = getattr(client_of(confined), method)
    body = {"role": "viewer"} if "shares" in path and method == "post" else {}

    hidden = call(path.format(job.event_id), body, format="json")
    absent = call(path.format(uuid.uuid4()), body, format="json")

    check_problem(hidden, 404, "not_found")
    assert hidden.json() | {"request_id": ""} == absent.json() | {"request_id": ""}
    job.refresh_from_db()
    assert (job.status, job.run) == (JobStatus.PENDING, 1)
    assert JobGroupObjectPermission.objects.for_tenant(job.tenant_id).count() == 0


def test_a_failed_job_of_somebody_else_is_not_retried(confined, job):
    failed(job)

    check_problem(client_of(confined).post(f"/jobs/{job.event_id}/retry"), 404, "not_found")

    job.refresh_from_db()
    assert job.status == JobStatus.FAILED


def test_a_cursor_of_a_hidden_job_shows_nothing_hidden(confined, tenant):
    mine = submit(client_of(confined)).json()["event_id"]
    hidden = JobFactory(tenant=tenant)

    page = client_of(confined).get("/jobs", {"cursor": hidden.event_id.hex}).json()

    assert [entry["event_id"] for entry in page["data"]] == [mine]


def test_keys_and_other_members_see_all_jobs_of_the_tenant(colleague, tenant, job):
    JobFactory()

    assert listed(colleague) == [str(job.event_id)]
    answer = client_as(key(tenant)).get("/jobs").json()
    assert [entry["event_id"] for entry in answer["data"]] == [str(job.event_id)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("own_only", [False, True])
def test_being_confined_costs_one_statement_more_to_read_a_job(
    tenant, own_only, django_assert_num_queries
):
    client = client_of(member_of(tenant, Role.MEMBER, sees_own_only=own_only))
    event_id = submit(client).json()["event_id"]

    with django_assert_num_queries(SCOPE + 1 if own_only else 1):
        assert len(client.get("/jobs").json()["data"]) == 1
    with django_assert_num_queries(1 + SCOPE + 1 if own_only else 1):
        assert client.get(f"/jobs/{event_id}").status_code == 200


# --- Sharing -------------------------------------------------------------------------------------


def test_a_job_shared_with_a_person_is_seen_and_managed_by_them(confined, colleague, tenant, job):
    another = member_of(tenant, Role.MEMBER, sees_own_only=True)

    response = share(colleague, job, member=confined)

    assert response.status_code == 201
    assert response.json()["member"] == {
        "id": str(confined.public_id),
        "email": confined.user.email,
    }
    assert response.json()["role"] is None
    assert (sees(confined, job), sees(another, job)) == (True, False)
    assert client_of(confined).post(f"/jobs/{job.event_id}/cancel").status_code == 202
    check_problem(client_of(another).post(f"/jobs/{job.event_id}/retry"), 404, "not_found")


def test_a_job_shared_with_a_role_is_seen_by_everybody_of_it_now_and_later(
    confined, colleague, tenant, job
):
    viewer = member_of(tenant, Role.VIEWER, sees_own_only=True)
    owner = member_of(tenant, Role.OWNER)

    response = share(colleague, job, role="viewer")

    assert (response.json()["member"], response.json()["role"]) == (None, "viewer")
    assert (sees(viewer, job), sees(confined, job)) == (True, False)
    client_of(owner).patch(f"/members/{confined.public_id}", {"role": "viewer"}, format="json")
    client_of(owner).patch(f"/members/{viewer.public_id}", {"role": "member"}, format="json")
    for membership in (viewer, confined):
        membership.refresh_from_db()
    assert (sees(viewer, job), sees(confined, job)) == (False, True)


def test_a_share_ends_when_it_is_taken_back(confined, colleague, job):
    share_id = share(colleague, job, member=confined).json()["id"]
    path = f"/jobs/{job.event_id}/shares/{share_id}"

    response = client_of(colleague).delete(path)

    assert response.status_code == 204
    assert not sees(confined, job)
    check_problem(client_of(colleague).delete(path), 404, "not_found")


def test_sharing_twice_is_one_share(confined, colleague, job):
    first, second = (share(colleague, job, member=confined).json() for _ in range(2))
    share(colleague, job, role="viewer")
    share(colleague, job, role="viewer")

    shown = client_of(colleague).get(f"/jobs/{job.event_id}/shares").json()["data"]
    assert first == second
    assert [(each["role"], each["member"]) for each in shown] == [
        ("viewer", None),
        (None, first["member"]),
    ]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"member": str(uuid.uuid4()), "role": "viewer"}, ""),
        ({"role": "king"}, "/role"),
        ({"member": "ann"}, "/member"),
        ({"user": 1}, "/user"),
        ({"role": "viewer", "permission": "delete_job"}, "/permission"),
    ],
)
def test_a_share_with_nobody_in_particular_is_refused(colleague, job, body, pointer):
    response = client_of(colleague).post(f"/jobs/{job.event_id}/shares", body, format="json")

    errors = check_problem(response, 422, "invalid_fields")["errors"]
    assert [error["pointer"] for error in errors] == [pointer]


def test_the_member_of_another_tenant_is_as_unknown_as_one_that_never_was(colleague, job):
    stranger = member_of(TenantFactory(), Role.MEMBER)

    foreign = share(colleague, job, member=stranger)
    absent = share(colleague, job, member=uuid.uuid4())

    body = check_problem(foreign, 422, "unknown_member")
    assert body["errors"][0]["pointer"] == "/member"
    assert foreign.json() | {"request_id": ""} == absent.json() | {"request_id": ""}


@pytest.mark.parametrize(
    ("method", "path"), [*SHARES, ("delete", "/jobs/{}/shares/" + str(uuid.uuid4()))]
)
def test_the_job_of_another_tenant_has_no_shares(colleague, method, path):
    theirs = JobFactory()
    body = {"role": "viewer"} if method == "post" else {}

    response = getattr(client_of(colleague), method)(
        path.format(theirs.event_id), body, format="json"
    )

    check_problem(response, 404, "not_found")


def test_the_share_of_one_job_is_not_ended_through_another(confined, colleague, tenant, job):
    share_id = share(colleague, job, member=confined).json()["id"]
    other = JobFactory(tenant=tenant)

    response = client_of(colleague).delete(f"/jobs/{other.event_id}/shares/{share_id}")

    check_problem(response, 404, "not_found")
    assert sees(confined, job)


@pytest.mark.parametrize(("method", "path"), MANAGING)
def test_a_viewer_neither_shares_nor_manages_what_they_see(tenant, job, method, path):
    viewer = client_of(member_of(tenant, Role.VIEWER))

    response = getattr(viewer, method)(path.format(job.event_id), {}, format="json")

    check_problem(response, 403, "insufficient_scope")


def test_a_confined_person_shares_their_own_job(confined, tenant):
    event_id = submit(client_of(confined)).json()["event_id"]
    mine = Job.objects.for_tenant(tenant.id).get(event_id=event_id)
    another = member_of(tenant, Role.VIEWER, sees_own_only=True)

    assert share(confined, mine, member=another).status_code == 201

    assert sees(another, mine)


def test_each_share_is_audited_with_its_job_and_whom_it_is_for(confined, colleague, job):
    share_id = share(colleague, job, member=confined).json()["id"]
    client_of(colleague).delete(f"/jobs/{job.event_id}/shares/{share_id}")

    entries = (
        AuditEntry.objects.across_tenants()
        .filter(action__in=["job.shared", "job.unshared"])
        .order_by("id")
    )
    what = {"share": share_id, "with": confined.user.email}
    assert list(entries.values_list("action", "actor", "object_id", "before", "after")) == [
        ("job.shared", colleague.user.email, str(job.event_id), None, what),
        ("job.unshared", colleague.user.email, str(job.event_id), what, None),
    ]


# --- What guardian and the database hold ---------------------------------------------------------


def test_guardians_own_functions_work_on_jobs(confined, tenant, job):
    user = confined.user

    assign_perm(VIEW_JOB, user, job)
    assign_perm(VIEW_JOB, user, job)

    assert user.has_perm("jobs.view_job", job)
    assert list(get_objects_for_user(user, "jobs.view_job", Job.objects.for_tenant(tenant.id))) == [
        job
    ]
    assert sees(confined, job)
    remove_perm(VIEW_JOB, user, job)
    assert not sees(confined, job)


def test_another_permission_on_a_job_shows_nothing(confined, job):
    assign_perm("change_job", confined.user, job)

    assert not sees(confined, job)


def test_shares_are_found_only_by_whoever_names_a_tenant(confined, job):
    assign_perm(VIEW_JOB, confined.user, job)

    for model in (JobUserObjectPermission, JobGroupObjectPermission):
        with pytest.raises(TenantRequired):
            list(model.objects.all())


def test_a_share_ends_with_the_membership_and_does_not_come_back(confined, colleague, tenant, job):
    share(colleague, job, member=confined)
    owner = member_of(tenant, Role.OWNER)

    client_of(owner).delete(f"/members/{confined.public_id}")
    again = members.add_member(tenant=tenant, user=confined.user, role=Role.VIEWER)
    again.sees_own_only = True
    again.save(update_fields=["sees_own_only"])

    assert JobUserObjectPermission.objects.for_tenant(tenant.id).count() == 0
    assert not sees(again, job)


def test_the_database_refuses_a_share_with_somebody_who_is_no_member(tenant, job):
    stranger = member_of(TenantFactory())

    with pytest.raises(IntegrityError, match="user_same_tenant"):
        assign_perm(VIEW_JOB, stranger.user, job)


def test_the_database_refuses_a_share_of_another_tenants_job(tenant, confined):
    theirs = JobFactory()
    grant = JobUserObjectPermission(user=confined.user, permission=_view(), content_object=theirs)
    grant.tenant_id = tenant.id

    with pytest.raises(IntegrityError, match="content_object_same_tenant"):
        grant.save_base(force_insert=True)


def test_a_tenants_request_shares_with_no_other_tenants_group(tenant, job):
    other = TenantFactory()
    groups = {t.id: Group.objects.get(name=group_name(t, Role.VIEWER)) for t in (tenant, other)}
    refused = pytest.raises(ProgrammingError, match="row-level security")

    with acting_as(DatabaseRole.API, tenant.id):
        assign_perm(VIEW_JOB, groups[tenant.id], job)
    with refused, acting_as(DatabaseRole.API, tenant.id):
        assign_perm(VIEW_JOB, groups[other.id], job)


def test_a_tenants_request_sees_no_shares_of_others(tenant, confined, job):
    assign_perm(VIEW_JOB, confined.user, job)

    everybody = JobUserObjectPermission.objects.all().across_tenants()

    assert everybody.count() == 1
    with acting_as(DatabaseRole.API, TenantFactory().id):
        assert everybody.count() == 0


def test_what_is_visible_is_decided_in_one_place(confined, colleague, tenant, job):
    mine = JobFactory(tenant=tenant, submitted_by=str(confined.user.public_id))
    JobFactory(submitted_by=str(confined.user.public_id))

    assert list(Job.objects.visible_to(person(confined))) == [mine]
    assert set(Job.objects.visible_to(person(colleague))) == {mine, job}


def _view():
    return Permission.objects.get(codename=VIEW_JOB)
