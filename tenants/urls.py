from django.urls import path

from tenants.views.audit import AuditView
from tenants.views.authorize import AuthorizeView
from tenants.views.metadata import MetadataView
from tenants.views.oauth import RevokeView, TokenView
from tenants.views.sessions import SessionListView, SessionView

urlpatterns = [
    path("audit", AuditView.as_view(), name="audit"),
    path(".well-known/oauth-authorization-server", MetadataView.as_view(), name="oauth-metadata"),
    path("oauth/authorize", AuthorizeView.as_view(), name="authorize"),
    path("oauth/token", TokenView.as_view(), name="token"),
    path("oauth/revoke", RevokeView.as_view(), name="revoke"),
    path("sessions", SessionListView.as_view(), name="session-list"),
    path("sessions/<uuid:session_id>", SessionView.as_view(), name="session-detail"),
]
