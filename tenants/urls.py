from django.urls import path

from tenants.views.account import EndSessionPage, HomePage, SessionsPage
from tenants.views.audit import AuditView
from tenants.views.authorize import AuthorizeView
from tenants.views.invitations_page import InvitationPage
from tenants.views.keys import KeyDetailView, KeyListView, KeyRevokeView, KeyRotateView
from tenants.views.members import (
    InvitationDetailView,
    InvitationListView,
    MemberDetailView,
    MemberListView,
    MeView,
)
from tenants.views.metadata import MetadataView
from tenants.views.oauth import RevokeView, TokenView
from tenants.views.sessions import SessionListView, SessionView
from tenants.views.settings import ProviderKeyView, SettingsView

urlpatterns = [
    path("audit", AuditView.as_view(), name="audit"),
    path(".well-known/oauth-authorization-server", MetadataView.as_view(), name="oauth-metadata"),
    path("oauth/authorize", AuthorizeView.as_view(), name="authorize"),
    path("oauth/token", TokenView.as_view(), name="token"),
    path("oauth/revoke", RevokeView.as_view(), name="revoke"),
    path("sessions", SessionListView.as_view(), name="session-list"),
    path("sessions/<uuid:session_id>", SessionView.as_view(), name="session-detail"),
    path("keys", KeyListView.as_view(), name="key-list"),
    path("keys/<slug:client_id>", KeyDetailView.as_view(), name="key-detail"),
    path("keys/<slug:client_id>/rotate", KeyRotateView.as_view(), name="key-rotate"),
    path("keys/<slug:client_id>/revoke", KeyRevokeView.as_view(), name="key-revoke"),
    path("members", MemberListView.as_view(), name="member-list"),
    path("members/<uuid:member_id>", MemberDetailView.as_view(), name="member-detail"),
    path("invitations", InvitationListView.as_view(), name="invitation-list"),
    path(
        "invitations/<uuid:invitation_id>",
        InvitationDetailView.as_view(),
        name="invitation-detail",
    ),
    path("accounts/", HomePage.as_view(), name="account_home"),
    path("accounts/invitations/<str:token>", InvitationPage.as_view(), name="invitation"),
    path("accounts/sessions/", SessionsPage.as_view(), name="usersessions_list"),
    path("accounts/sessions/<uuid:session_id>/end", EndSessionPage.as_view(), name="session-end"),
    path("settings", SettingsView.as_view(), name="settings"),
    path("settings/provider", ProviderKeyView.as_view(), name="provider-key"),
    path("me", MeView.as_view(), name="me"),
]
