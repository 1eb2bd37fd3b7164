"""The page where a person lets a program act for one of their tenants: RFC 6749 section 4.1.

What is wrong with the client or its redirect address is said on the page; anything else is
answered to that address, with `state` and `iss` (RFC 9207).
"""

import re
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from csp.decorators import csp_update
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.request import QueryDict
from django.shortcuts import render
from django.views import View

from accounts.models import User
from config.addresses import client_address
from tenants import audit
from tenants.models import ActorKind, Membership, OAuthClient, Scope
from tenants.permissions import granted_scopes
from tenants.services import clients, sessions
from tenants.services.tokens import InvalidScope

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class Unanswerable(Exception):
    """There is nobody to send an answer to: the client or its redirect address is not known."""


class RefusedRequest(Exception):
    """Told to the client. `code` is an error of RFC 6749 section 4.1.2.1."""

    def __init__(self, code: str, description: str):
        super().__init__(description)
        self.code, self.description = code, description


@dataclass(frozen=True)
class Destination:
    """Where the answer goes, whatever it is."""

    client: OAuthClient
    redirect_uri: str
    state: str

    def answer(self, **parameters: str) -> HttpResponse:
        """303, so that no browser sends the form on to the client (RFC 9700 section 4.12)."""
        answer = {**parameters, "iss": settings.PUBLIC_URL}
        if self.state:
            answer["state"] = self.state
        return HttpResponseRedirect(f"{self.redirect_uri}?{urlencode(answer)}", status=303)


class AuthorizeView(View):
    http_method_names = ["get", "post"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            self.to = destination(request.GET)
        except Unanswerable as error:
            return self._page("oauth_refused.html", {"reason": str(error)}, status=400)
        try:
            self.challenge, self.requested = checked(request.GET)
        except RefusedRequest as error:
            return self.to.answer(error=error.code, error_description=error.description)
        if not isinstance(request.user, User):
            return redirect_to_login(request.get_full_path())
        self.user, address = request.user, client_address(request)
        with audit.acts_of(audit.Actor(ActorKind.PERSON, self.user.email, "", address)):
            return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    def get(self, request: HttpRequest, error: str = "") -> HttpResponse:
        offers = [
            {"membership": membership, "scopes": scopes}
            for membership in self._memberships()
            if (scopes := self._offered(membership))
        ]
        context = {"client": self.to.client, "offers": offers, "error": error}
        # Browsers hold a form to `form-action` also where the answer to it redirects.
        target = clients.form_target(self.to.redirect_uri)
        page = self._page("oauth_authorize.html", context, status=422 if error else 200)
        leads_there = csp_update({"form-action": ["'self'", target]})
        return cast(HttpResponse, leads_there(lambda request: page)(request))

    def post(self, request: HttpRequest) -> HttpResponse:
        if request.POST.get("decision") != "approve":
            return self.to.answer(error="access_denied", error_description="Not allowed.")
        chosen = {str(m.tenant_id): m for m in self._memberships()}
        membership = chosen.get(request.POST.get("tenant", ""))
        scopes = set(request.POST.getlist("scope"))
        if membership is None or not scopes <= set(self._offered(membership)):
            return self.get(request, error="Choose among what is offered here.")
        try:
            code = sessions.approve(
                membership=membership,
                client=self.to.client,
                redirect_uri=self.to.redirect_uri,
                challenge=self.challenge,
                scopes=scopes,
            )
        except InvalidScope as refusal:
            return self.get(request, error=refusal.detail)
        return self.to.answer(code=code)

    def _memberships(self) -> list[Membership]:
        own = Membership.objects.across_tenants().filter(user=self.user, tenant__is_active=True)
        return list(own.select_related("tenant", "user").order_by("tenant__name", "pk"))

    def _offered(self, membership: Membership) -> list[Scope]:
        held = granted_scopes(membership.tenant, membership.role)
        return [scope for scope in Scope if scope in held and scope in self.requested]

    def _page(self, template: str, context: dict[str, Any], status: int) -> HttpResponse:
        page = render(self.request, template, context, status=status)
        page["Cache-Control"] = "no-store"
        return page


def destination(parameters: QueryDict) -> Destination:
    """Raises Unanswerable."""
    client = clients.find_client(_one(parameters, "client_id"))
    if client is None:
        raise Unanswerable("The program that sent you here is not registered.")
    redirect_uri = _one(parameters, "redirect_uri")
    if not clients.may_redirect_to(client, redirect_uri):
        raise Unanswerable(f"{client.name} may not be answered at the address it named.")
    return Destination(client, redirect_uri, _one(parameters, "state"))


def checked(parameters: QueryDict) -> tuple[str, set[str]]:
    """The PKCE challenge, and the scopes the client may at most be given. Raises RefusedRequest."""
    repeated = [name for name, values in parameters.lists() if len(values) > 1]
    if repeated:
        raise RefusedRequest("invalid_request", "A parameter is there more than once.")
    if parameters.get("response_type") != "code":
        raise RefusedRequest("unsupported_response_type", "Only response_type=code exists here.")
    challenge = parameters.get("code_challenge", "")
    is_s256 = parameters.get("code_challenge_method") == "S256"
    if not is_s256 or not _CHALLENGE.fullmatch(challenge):
        raise RefusedRequest("invalid_request", "Send a code_challenge (PKCE) of method S256.")
    requested = set(parameters.get("scope", "").split()) or {scope.value for scope in Scope}
    if not requested <= set(Scope.values):
        raise RefusedRequest("invalid_scope", "A scope that is asked for does not exist.")
    return challenge, requested


def _one(parameters: QueryDict, name: str) -> str:
    """A parameter that is there once, else ''."""
    values = parameters.getlist(name)
    return values[0] if len(values) == 1 and "\x00" not in values[0] else ""
