"""A request acts for one tenant, in its queries' words and in PostgreSQL's (config.isolation)."""

from contextlib import ExitStack
from http import HTTPStatus
from typing import Any

from django.db import DatabaseError, InterfaceError, transaction
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.isolation import DatabaseRole, acting_as, meaning
from tenants import idempotency, refusals, throttling
from tenants.audit import acts_of
from tenants.authentication import principal
from tenants.models import RouteClass
from tenants.permissions import TokenHasScope

READING = ("GET", "HEAD", "OPTIONS")


class TenantView(APIView):
    """A view behind a token. Its handler runs in one transaction of the caller's tenant.

    A handler that raises leaves nothing written. What must stay although a request is refused is
    written after this transaction, not in it.

    Every request counts against the caller's rate limits, every answer says where they stand, and
    every POST may name an Idempotency-Key.

    route_classes  by method, where it is not as usual: GET reads, all else manages
    in_one_statement  methods whose handler asks PostgreSQL by `rows_in_role`, which needs no
        transaction around it
    """

    permission_classes = [TokenHasScope]
    route_classes: dict[str, RouteClass] = {}
    in_one_statement: tuple[str, ...] = ()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        self.acting = False
        self.rate_limit_headers: dict[str, str] = {}
        try:
            with ExitStack() as self.scope:
                super().dispatch(request, *args, **kwargs)
        except (DatabaseError, InterfaceError) as error:  # at the commit
            self.acting = False  # that transaction is over; one around it is not ours to undo
            response = self.handle_exception(error)
            self.response = self.finalize_response(self.request, response, *args, **kwargs)
        if self.response.status_code == HTTPStatus.FORBIDDEN:
            refusals.access_refused(principal(self.request), request, self.response.data["code"])
        return self.response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.user is not None:
            self.count(request)
        super().initial(request, *args, **kwargs)
        caller = principal(request)
        self.scope.enter_context(acts_of(refusals.actor_of(caller, request)))
        repeatable = request.method == "POST" and idempotency.HEADER in request.headers
        if repeatable or request.method not in self.in_one_statement:
            self.scope.enter_context(acting_as(DatabaseRole.API, caller.tenant_id))
            self.acting = True
        else:
            self.scope.enter_context(meaning(DatabaseRole.API, caller.tenant_id))
        if repeatable:
            handler = getattr(self, "post", self.http_method_not_allowed)
            self.post = idempotency.once(handler)

    def count(self, request: Request) -> None:
        """Raises RateLimited. Before the permissions, so that refusals are limited as well."""
        caller, method = principal(request), request.method or ""
        usual = RouteClass.READ if method in READING else RouteClass.MANAGE
        kind = self.route_classes.get(method, usual)
        self.rate_limit_headers = throttling.admit(
            caller.tenant_id, caller.subject, caller.limits, kind
        )

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in self.rate_limit_headers.items():
            response.headers[name] = value
        return response

    def handle_exception(self, exc: Exception) -> Response:
        if self.acting and transaction.get_connection().in_atomic_block:
            transaction.set_rollback(True)
        return super().handle_exception(exc)
