"""The URL map. API paths carry no trailing slash."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from config.docs import DocsPage, DocumentView
from config.health import HealthView, ReadyView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="docs")),
    path("", include("accounts.urls")),
    path("", include("tenants.urls")),
    path("", include("jobs.urls")),
    path("favicon.ico", RedirectView.as_view(url="/static/guidepost/icon.svg")),
    path("healthz", HealthView.as_view(), name="healthz"),
    path("readyz", ReadyView.as_view(), name="readyz"),
    path("openapi.json", DocumentView.as_view(), name="openapi"),
    path("docs", DocsPage.as_view(), name="docs"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
]

handler400 = "config.problems.bad_request"
handler403 = "config.problems.permission_denied"
handler404 = "config.problems.not_found"
handler500 = "config.problems.server_error"
