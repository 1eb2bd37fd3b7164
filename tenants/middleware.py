"""Whose acts those of the pages are, and which of them were refused to staff."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse

from config.addresses import client_address
from config.isolation import DatabaseRole
from config.middleware import ROLE_OF_PAGES
from tenants.audit import Actor, Outcome, acts_of, record
from tenants.models import ActorKind

PAGES = tuple(ROLE_OF_PAGES)
STAFF_PAGES = tuple(path for path, role in ROLE_OF_PAGES.items() if role is DatabaseRole.STAFF)


class ActorMiddleware:
    """Stands after the sessions, inside the transaction of `DatabaseRoleMiddleware`.

    The API's door is tenants/scope.py.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(PAGES):
            return self.get_response(request)
        with acts_of(_actor(request)):
            response = self.get_response(request)
            refused = response.status_code == HTTPStatus.FORBIDDEN
            if refused and request.user.is_authenticated and request.path.startswith(STAFF_PAGES):
                record(
                    "access.refused",
                    tenant_id=None,
                    of=("page", request.path),
                    after={"method": request.method},
                    outcome=Outcome.REFUSED,
                )
            return response


def _actor(request: HttpRequest) -> Actor:
    """A stranger is a person without a name."""
    staff = request.user.is_authenticated and request.user.is_staff
    in_admin = staff and request.path.startswith(STAFF_PAGES)
    return Actor(
        ActorKind.STAFF if in_admin else ActorKind.PERSON,
        request.user.get_username(),
        address=client_address(request),
    )
