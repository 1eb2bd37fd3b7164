"""Who acts on a page, for the audit log."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from accounts.attempts import address
from config.middleware import ROLE_OF_PAGES
from tenants.audit import Actor, current_actor
from tenants.models import ActorKind


class ActorMiddleware:
    """Staff in the admin, a person on the other pages. The API's door is tenants/scope.py."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(tuple(ROLE_OF_PAGES)):
            return self.get_response(request)
        kind = ActorKind.STAFF if request.path.startswith("/admin/") else ActorKind.PERSON
        name = request.user.email if request.user.is_authenticated else ""
        token = current_actor.set(Actor(kind, name, address=address(request)))
        try:
            return self.get_response(request)
        finally:
            current_actor.reset(token)
