from django.urls import path

from tenants.views.audit import AuditView
from tenants.views.oauth import TokenView

urlpatterns = [
    path("oauth/token", TokenView.as_view(), name="token"),
    path("audit", AuditView.as_view(), name="audit"),
]
