from django.urls import path

from tenants.views.keys import KeyDetailView, KeyListView, KeyRevokeView, KeyRotateView
from tenants.views.members import (
    InvitationDetailView,
    InvitationListView,
    MemberDetailView,
    MemberListView,
    MeView,
)
from tenants.views.oauth import TokenView

urlpatterns = [
    path("oauth/token", TokenView.as_view(), name="token"),
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
    path("me", MeView.as_view(), name="me"),
]
