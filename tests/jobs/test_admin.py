import pytest
from django.urls import reverse

from jobs.models import Job, JobStatus
from tests.accounts.acts import sign_in
from tests.factories import ApiKeyFactory, JobFactory, UserFactory
from tests.jobs.acts import completed, failed

LIST = reverse("admin:jobs_job_changelist")


@pytest.fixture
def staff(admin_client):
    return admin_client


def retry(client, jobs):
    chosen = {"action": "retry", "_selected_action": [job.pk for job in jobs]}
    return client.post(LIST, chosen, follow=True)


def test_the_list_shows_jobs_in_few_statements(staff, tenant, django_assert_max_num_queries):
    for _ in range(20):
        JobFactory(tenant=tenant)

    with django_assert_max_num_queries(8 + 4):  # and the role: looked up, taken on, given back
        page = staff.get(LIST)

    assert page.text.count('class="action-select"') == 20


def test_hostile_text_is_shown_as_text(staff, tenant):
    job = JobFactory(tenant=tenant, title="<script>alert(1)</script>")

    for path in (LIST, reverse("admin:jobs_job_change", args=[job.pk])):
        assert "<script>alert" not in staff.get(path).text


def test_failed_jobs_are_retried_through_the_service(staff, tenant):
    lost = failed(JobFactory(tenant=tenant))
    done = completed(JobFactory(tenant=tenant))

    page = retry(staff, [lost, done])

    lost.refresh_from_db()
    done.refresh_from_db()
    assert "Retrying 1 job(s). 1 left alone" in page.text
    assert (lost.status, done.status) == (JobStatus.PENDING, JobStatus.COMPLETED)


def test_a_job_is_found_by_its_event_id(staff, tenant):
    job = JobFactory(tenant=tenant)
    JobFactory(tenant=tenant)

    page = staff.get(LIST, {"q": str(job.event_id)})

    assert page.text.count('class="action-select"') == 1


def test_staff_without_the_permission_cannot_retry(client, tenant):
    from django.contrib.auth.models import Permission

    person = UserFactory(staff_role="viewer")
    person.user_permissions.add(Permission.objects.get(codename="view_job"))
    sign_in(client, person)
    job = failed(JobFactory(tenant=tenant))

    retry(client, [job])

    job.refresh_from_db()
    assert job.status == JobStatus.FAILED


def test_nobody_adds_changes_or_deletes_a_job_by_hand(staff, tenant):
    job = JobFactory(tenant=tenant)

    assert staff.get(reverse("admin:jobs_job_add")).status_code == 403
    assert staff.post(reverse("admin:jobs_job_delete", args=[job.pk])).status_code == 403
    assert staff.post(reverse("admin:jobs_job_change", args=[job.pk]), {}).status_code == 403
    assert Job.objects.across_tenants().count() == 1


def test_a_key_is_shown_without_its_digest(staff):
    key = ApiKeyFactory().key

    page = staff.get(reverse("admin:tenants_apikey_change", args=[key.pk]))

    assert key.client_id in page.text
    assert key.digest not in page.text


@pytest.mark.parametrize(
    "name",
    ["accounts_user", "tenants_tenant", "tenants_apikey", "django_celery_results_taskresult"],
)
def test_every_list_opens(staff, tenant, name):
    ApiKeyFactory()

    assert staff.get(reverse(f"admin:{name}_changelist")).status_code == 200
