"""Whose acts those of the admin are, and which of them were refused."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse

from config.addresses import client_address
from config.isolation import DatabaseRole
from config.middleware import ROLE_OF_PAGES
from tenants.audit import Actor, Outcome, acts_of, record
from tenants.models import ActorKind

STAFF_PAGES = tuple(path for path, role in ROLE_OF_PAGES.items() if role is DatabaseRole.STAFF)


class StaffActorMiddleware:
    """Stands after the sessions, inside the transaction of `DatabaseRoleMiddleware`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(STAFF_PAGES) or not request.user.is_authenticated:
            return self.get_response(request)
        actor = Actor(
            ActorKind.STAFF if request.user.is_staff else ActorKind.PERSON,
            request.user.get_username(),
            address=client_address(request),
        )
        with acts_of(actor):
            response = self.get_response(request)
            if response.status_code == HTTPStatus.FORBIDDEN:
                record(
                    "access.refused",
                    tenant_id=None,
                    of=("page", request.path),
                    after={"method": request.method},
                    outcome=Outcome.REFUSED,
                )
            return response
