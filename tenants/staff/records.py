"""Django's own lists of rows that are worth looking at, with what each is good for."""

from typing import Any

from django.contrib import admin
from django.urls import reverse

from config.staff import StaffPage, staff_page

WORTH: dict[str, str] = {
    "django_celery_results.TaskResult": "Which Celery task of which worker ran which job.",
    "tenants.ApiKey": "Keys of all tenants: when each was last used, from where. Never a secret.",
    "tenants.ApiSession": "Sessions of people at the API, and why each ended.",
    "tenants.Invitation": "Who was invited to which tenant, and whether they came.",
    "tenants.OAuthClient": "Programs that people may sign in with.",
    "account.EmailAddress": "Addresses, and whether they are known to be their owner's.",
    "mfa.Authenticator": "Second factors: of whom, of which kind, when last used.",
    "usersessions.UserSession": "Browsers that people are signed in with.",
    "accounts.SigningKey": "Keys that sign access tokens; rotated by manage.py rotate_signing_key.",
}


@staff_page("records/", name="records", label="Records", place=90)
class RecordsPage(StaffPage):
    title = "Records"
    template = "records.html"

    def context(self) -> dict[str, Any]:
        lists = []
        for model in admin.site._registry:
            label = model._meta.label
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
            lists.append((str(model._meta.verbose_name_plural), reverse(name), WORTH[label]))
        return {"lists": sorted(lists)}
