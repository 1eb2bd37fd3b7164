"""A person's own pages that know of tenants: whom they act for, and what acts in their name."""

from typing import Any, cast
from uuid import UUID

from allauth.mfa.utils import is_mfa_enabled
from allauth.usersessions.views import ListUserSessionsView
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views import View
from django.views.generic import TemplateView

from accounts.models import User
from tenants.models import ApiSession, Membership, Scope
from tenants.permissions import granted_to
from tenants.services import sessions


class HomePage(LoginRequiredMixin, TemplateView):
    template_name = "account/home.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = _signed_in(self.request)
        own = Membership.objects.across_tenants().filter(user=user).select_related("tenant")
        granted = granted_to(own.order_by("tenant__name", "pk"))
        return super().get_context_data(
            **kwargs,
            has_second_factor=is_mfa_enabled(user),
            granted=granted,
            makes_keys=any(Scope.KEYS_MANAGE in scopes for scopes in granted.values()),
        )


class SessionsPage(ListUserSessionsView):
    """allauth's page of browsers, and with them the programs that were let in."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        own = sessions.all_sessions_of(_signed_in(self.request))
        return super().get_context_data(**kwargs, api_sessions=sessions.with_clients(own))


class EndSessionPage(LoginRequiredMixin, View):
    http_method_names = ["post"]

    def post(self, request: HttpRequest, session_id: UUID) -> HttpResponse:
        own = ApiSession.objects.across_tenants().filter(user=_signed_in(request))
        session = own.filter(pk=session_id).first()
        if session is None:
            raise Http404
        sessions.end_session(session, reason=ApiSession.Ended.BY_OWNER)
        messages.success(request, "It is ended: its tokens are void within a second.")
        return redirect("usersessions_list")


def _signed_in(request: HttpRequest) -> User:
    return cast(User, request.user)
