import pytest
from django.urls import reverse

from tests.factories import ApiKeyFactory


@pytest.fixture
def staff(admin_client):
    return admin_client


def test_a_key_is_shown_without_its_digest(staff):
    key = ApiKeyFactory().key

    page = staff.get(reverse("admin:tenants_apikey_change", args=[key.pk]))

    assert key.client_id in page.text
    assert key.digest not in page.text


@pytest.mark.parametrize(
    "name",
    ["tenants_apikey", "django_celery_results_taskresult", "mfa_authenticator"],
)
def test_every_list_opens(staff, tenant, name):
    ApiKeyFactory()

    assert staff.get(reverse(f"admin:{name}_changelist")).status_code == 200
