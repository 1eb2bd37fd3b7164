"""A request acts for one tenant, in its queries' words and in PostgreSQL's (config.isolation)."""

from contextlib import ExitStack
from http import HTTPStatus
from typing import Any

from django.db import DatabaseError, InterfaceError, transaction
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from config.isolation import DatabaseRole, acting_as
from tenants import refusals
from tenants.audit import acts_of
from tenants.authentication import principal
from tenants.permissions import TokenHasScope


class TenantView(APIView):
    """A view behind a token. Its handler runs in one transaction of the caller's tenant.

    A handler that raises leaves nothing written. What must stay although a request is refused is
    written after this transaction, not in it.
    """

    permission_classes = [TokenHasScope]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        self.acting = False
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
        super().initial(request, *args, **kwargs)
        caller = principal(request)
        self.scope.enter_context(acts_of(refusals.actor_of(caller, request)))
        self.scope.enter_context(acting_as(DatabaseRole.API, caller.tenant_id))
        self.acting = True

    def handle_exception(self, exc: Exception) -> Response:
        if self.acting and transaction.get_connection().in_atomic_block:
            transaction.set_rollback(True)
        return super().handle_exception(exc)
