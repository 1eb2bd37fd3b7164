"""The token endpoint and the revocation endpoint: RFC 6749, 7009."""

import base64
import binascii
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_plus

from django.conf import settings
from django.http import QueryDict
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.tokens import AccessToken
from config.addresses import client_address, limit_key
from config.errors import DomainError
from config.isolation import DatabaseRole, acting_as
from config.openapi import ProblemSerializer
from config.parsers import BoundedFormParser, StrictJSONParser
from config.problems import problem
from config.views import PublicView
from tenants import audit, refusals
from tenants.errors import TokenReused
from tenants.models import ActorKind
from tenants.services import clients, keys, sessions, tokens
from tenants.throttling import count

# What RFC 6749 section 5.2 calls a refusal, where our code says more.
OAUTH_ERRORS = {TokenReused.code: sessions.InvalidGrant.code}


class InvalidTokenRequest(DomainError):
    code = "invalid_request"
    title = "The token request is not complete, or cannot be read"
    status = 400


class UnsupportedGrantType(DomainError):
    code = "unsupported_grant_type"
    title = "This grant type does not exist here"
    status = 400
    detail = "Send grant_type=client_credentials, authorization_code or refresh_token."


class ClientSerializer(serializers.Serializer):
    client_id = serializers.CharField(required=False, help_text="Unless sent by HTTP Basic.")
    client_secret = serializers.CharField(
        required=False, help_text="Of an API key, unless sent by HTTP Basic."
    )


class TokenRequestSerializer(ClientSerializer):
    grant_type = serializers.ChoiceField(
        choices=["client_credentials", "authorization_code", "refresh_token"]
    )
    scope = serializers.CharField(
        required=False, help_text="Space-separated; narrower than what the key or session has."
    )
    code = serializers.CharField(required=False, help_text="authorization_code: as received.")
    redirect_uri = serializers.CharField(
        required=False, help_text="authorization_code: where the code was received."
    )
    code_verifier = serializers.CharField(
        required=False, help_text="authorization_code: RFC 7636, of the S256 challenge."
    )
    refresh_token = serializers.CharField(
        required=False, help_text="refresh_token: the one received last."
    )


class TokenSerializer(serializers.Serializer):
    access_token = serializers.CharField()
    token_type = serializers.ChoiceField(choices=["Bearer"])
    expires_in = serializers.IntegerField(help_text="Seconds.")
    scope = serializers.CharField()
    refresh_token = serializers.CharField(
        required=False, help_text="For people. Good once: keep the new one at each refresh."
    )


class RevokeRequestSerializer(ClientSerializer):
    token = serializers.CharField(help_text="An access token or a refresh token.")
    token_type_hint = serializers.CharField(required=False, help_text="Not needed; not read.")


class OAuthView(PublicView):
    """Clients authenticate in the request itself; refusals have OAuth's shape besides our own."""

    parser_classes = [BoundedFormParser, StrictJSONParser]

    def count_attempt(self, request: Request) -> None:
        count(
            request,
            limit="token_attempts_per_address",
            rate=settings.TOKEN_ATTEMPT_RATE,
            key=limit_key(client_address(request)),
        )

    def handle_exception(self, exc: Exception) -> Response:
        """OAuth clients look for `error` and `error_description` (RFC 6749 section 5.2)."""
        if not isinstance(exc, DomainError):
            return super().handle_exception(exc)
        refused = isinstance(exc, keys.InvalidClient | tokens.InvalidScope)
        if refused and (client_id := named_client(self.request)):
            refusals.client_refused(client_id, self.request, exc.code)
        headers = {**exc.headers, "Cache-Control": "no-store"}
        if exc.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="guidepost"'
        error = OAUTH_ERRORS.get(exc.code, exc.code)
        members = {"error": error, "error_description": exc.detail, **exc.extra}
        return problem(exc.status, exc.code, exc.title, exc.detail, headers, **members)


def client_credentials(request: Request) -> dict[str, object]:
    """An API key buys an access token."""
    client_id, client_secret = credentials(request, request.data)
    actor = audit.Actor(ActorKind.KEY, client_id, address=client_address(request))
    with audit.acts_of(actor), acting_as(DatabaseRole.DOOR):
        key = keys.authenticate_client(client_id, client_secret, address=client_address(request))
        count_token(request, str(key.tenant_id))
        token = tokens.issue_token(key, _scopes(request.data))
    return answer(token)


def authorization_code(request: Request) -> dict[str, object]:
    """A person's consent, brought by the client it was given to, opens a session."""
    fields = request.data
    with at_the_door(request):
        opened = sessions.open_session(
            code=_needed(fields, "code"),
            client_id=public_client(request),
            redirect_uri=_needed(fields, "redirect_uri"),
            verifier=_needed(fields, "code_verifier"),
            address=client_address(request),
        )
        count_token(request, opened.access["tenant"])
    return answer(opened.access, opened.refresh)


def refresh_token(request: Request) -> dict[str, object]:
    """A refresh token, good once, buys the next one and an access token."""
    fields = request.data
    with at_the_door(request):
        renewed = sessions.refresh(
            token=_needed(fields, "refresh_token"),
            client_id=public_client(request),
            scopes=_scopes(fields),
            address=client_address(request),
        )
        count_token(request, renewed.access["tenant"])
    return answer(renewed.access, renewed.refresh)


GRANTS: dict[str, Callable[[Request], dict[str, object]]] = {
    "client_credentials": client_credentials,
    "authorization_code": authorization_code,
    "refresh_token": refresh_token,
}


@contextmanager
def at_the_door(request: Request) -> Iterator[None]:
    """One transaction of the door. A second use ends its session in another, which stays."""
    try:
        with acting_as(DatabaseRole.DOOR):
            yield
    except sessions.SecondUse as second:
        with acting_as(DatabaseRole.DOOR):
            sessions.end_for_second_use(second.session, address=client_address(request))
        raise TokenReused from None


def answer(token: AccessToken, refresh: str = "") -> dict[str, object]:
    """RFC 6749 section 5.1."""
    body = {
        "access_token": str(token),
        "token_type": "Bearer",
        "expires_in": int(token.lifetime.total_seconds()),
        "scope": token["scope"],
    }
    return body | ({"refresh_token": refresh} if refresh else {})


class TokenView(OAuthView):
    @extend_schema(
        operation_id="issueToken",
        summary="Get an access token",
        description="RFC 6749. `client_credentials`: an API key's id and secret, by HTTP Basic or"
        " in the body. `authorization_code` (with PKCE, RFC 7636) and `refresh_token`: a program"
        " that a person let in at `/oauth/authorize`; it sends its `client_id` and no secret. A"
        " refresh token is good once: a second use ends the session and all of its tokens"
        " (`token_reuse`). The access token is a JWT (RFC 9068); it works for about a quarter of"
        " an hour, or until what it stands for is taken away. Needs no scope.",
        tags=["Tokens"],
        auth=[],
        request={
            "application/x-www-form-urlencoded": TokenRequestSerializer,
            "application/json": TokenRequestSerializer,
        },
        responses={
            200: TokenSerializer,
            400: ProblemSerializer,
            401: ProblemSerializer,
            429: ProblemSerializer,
            503: ProblemSerializer,
        },
        examples=[
            OpenApiExample(
                "API key",
                value={
                    "grant_type": "client_credentials",
                    "client_id": "gpc_…",
                    "client_secret": "gps_…",
                },
                request_only=True,
            ),
            OpenApiExample(
                "Refresh",
                value={
                    "grant_type": "refresh_token",
                    "client_id": "guidepost-cli",
                    "refresh_token": "gpr_…",
                },
                request_only=True,
            ),
            OpenApiExample(
                "Token",
                value={
                    "access_token": "eyJ…",
                    "token_type": "Bearer",
                    "expires_in": 900,
                    "scope": "jobs:manage jobs:read jobs:submit",
                },
                response_only=True,
                status_codes=["200"],
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        self.count_attempt(request)
        refuse_repeated(request.data)
        grant = GRANTS.get(_text(request.data, "grant_type"))
        if grant is None:
            raise UnsupportedGrantType
        return Response(grant(request), headers={"Cache-Control": "no-store"})


class RevokeView(OAuthView):
    @extend_schema(
        operation_id="revokeToken",
        summary="Give a token back",
        description="RFC 7009. An access token is void within a second; a refresh token ends its"
        " session with all of its tokens. The client that got the token authenticates as it did"
        " then. A token that is unknown, or over already, is no error. Needs no scope.",
        tags=["Tokens"],
        auth=[],
        request={
            "application/x-www-form-urlencoded": RevokeRequestSerializer,
            "application/json": RevokeRequestSerializer,
        },
        responses={200: None} | dict.fromkeys((400, 401, 429, 503), ProblemSerializer),
        examples=[
            OpenApiExample(
                "Signing out",
                value={"client_id": "guidepost-cli", "token": "gpr_…"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        self.count_attempt(request)
        refuse_repeated(request.data)
        token, address = _needed(request.data, "token"), client_address(request)
        with acting_as(DatabaseRole.DOOR):
            client_id, kind = authenticated_client(request)
            if token.startswith(sessions.REFRESH_PREFIX):
                sessions.end_by_refresh_token(token, client_id=client_id, address=address)
            else:
                with audit.acts_of(audit.Actor(kind, client_id, "", address)):
                    tokens.revoke_access_token(token, client_id=client_id)
        return Response(headers={"Cache-Control": "no-store"})


# --- Who asks ---------------------------------------------------------------------------------


def authenticated_client(request: Request) -> tuple[str, ActorKind]:
    """The client's id, and whose act its requests are. Raises InvalidClient."""
    if request.headers.get("Authorization") or _text(request.data, "client_secret"):
        client_id, client_secret = credentials(request, request.data)
        return keys.authenticate_client(
            client_id, client_secret, address=client_address(request)
        ).client_id, ActorKind.KEY
    return public_client(request), ActorKind.PERSON


def named_client(request: Request) -> str:
    """Whose credentials were sent, whether or not they are good; "" if they cannot be read."""
    try:
        return credentials(request, request.data)[0]
    except DomainError:
        return ""


def public_client(request: Request) -> str:
    """The id of a client that has no secret. Raises InvalidTokenRequest or InvalidClient."""
    if request.headers.get("Authorization") or _text(request.data, "client_secret"):
        raise keys.InvalidClient("Clients of people have no secret: send only client_id.")
    client = clients.find_client(_needed(request.data, "client_id"))
    if client is None:
        raise keys.InvalidClient("No such client is registered.")
    return client.client_id


def count_token(request: Request, tenant_id: str) -> None:
    count(request, limit="tokens_per_tenant", rate=settings.TOKEN_RATE, key=tenant_id)


def credentials(request: Request, fields: Any) -> tuple[str, str]:
    """Client id and secret, from the header or the body but not both (RFC 6749 section 2.3).

    Raises InvalidTokenRequest, or InvalidClient for a header that cannot be read.
    """
    header = request.headers.get("Authorization", "")
    in_body = (_text(fields, "client_id"), _text(fields, "client_secret"))
    if not header:
        if not all(in_body):
            raise InvalidTokenRequest(
                "Send client_id and client_secret, by HTTP Basic or in the body."
            )
        return in_body
    if in_body[1]:
        raise InvalidTokenRequest("Send the client's secret by header or body, not by both.")
    scheme, _, encoded = header.partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        decoded = ""
    client_id, colon, client_secret = map(unquote_plus, decoded.partition(":"))
    if scheme.lower() != "basic" or not colon:
        raise keys.InvalidClient("The Authorization header is not HTTP Basic.")
    if "\x00" in client_id + client_secret:  # RFC 7617 section 2; and no text of PostgreSQL's
        raise keys.InvalidClient("The Authorization header holds a NUL character.")
    return client_id, client_secret


# --- What is in the request -------------------------------------------------------------------


def refuse_repeated(fields: Any) -> None:
    """Two values for one parameter (RFC 6749 section 3.2): we would read one, others another."""
    if isinstance(fields, QueryDict):
        repeated = [name for name, values in fields.lists() if len(values) > 1]
        if repeated:
            raise InvalidTokenRequest(f"Sent more than once: {repeated[0][:50]}.")


def _needed(fields: Any, name: str) -> str:
    if value := _text(fields, name):
        return value
    raise InvalidTokenRequest(f"Send {name}.")


def _scopes(fields: Any) -> list[str]:
    """Those that are asked for; none where all are meant. Raises InvalidScope."""
    text = _text(fields, "scope")
    wanted = text.split()
    if text and not wanted:
        raise tokens.InvalidScope("The scope holds nothing but spaces. Name some, or leave it out.")
    return wanted


def _text(fields: Any, name: str) -> str:
    """The parameter, or "" if it was left out.

    What is there and cannot be read is not left out: such a scope would stand for every scope.
    Raises InvalidTokenRequest.
    """
    value = fields.get(name, "") if hasattr(fields, "get") else ""
    if not isinstance(value, str) or "\x00" in value:
        raise InvalidTokenRequest(f"Send {name} as a text without NUL characters, or leave it out.")
    return value
