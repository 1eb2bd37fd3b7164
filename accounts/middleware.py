"""Around the pages of people: attempts are counted before a form is looked at; and what allauth
leaves for after the commit."""

from collections.abc import Callable
from typing import Any

from allauth.account.signals import password_reset, user_logged_in
from django.db import connection
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from accounts import attempts
from config.errors import DomainError
from config.problems import page_for

PAGES = "/accounts/"


class AttemptsMiddleware:
    """See accounts/attempts.py. Stands behind the session: some limits are of who is half in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if email := getattr(request, "opened_account", ""):
            attempts.remember(response, email)
        return response

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        if request.method != "POST" or not request.path.startswith(PAGES):
            return None
        match = request.resolver_match
        limits = attempts.LIMITS.get(match.url_name or "", []) if match else []
        try:
            for limit in [attempts.BY_ADDRESS, *limits]:
                attempts.count(request, limit)
        except (DomainError, RedisError) as error:
            return page_for(request, error)
        return None


class AllauthHooksMiddleware:
    """Runs what allauth puts off until the commit while the request still has its database role.

    Pages are one transaction in one role (config/middleware.py). After its commit the login may
    touch nothing and the session is saved, but these hooks look up an address and leave a message.
    Nothing is lost: what they send waits for the commit by itself (accounts/adapters.py).
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        waiting = connection.run_on_commit
        theirs = [entry for entry in waiting if entry[1].__module__.startswith("allauth.")]
        if theirs and request.path.startswith(PAGES) and connection.in_atomic_block:
            connection.run_on_commit = [entry for entry in waiting if entry not in theirs]
            for entry in theirs:
                entry[1]()
        return response


@receiver([user_logged_in, password_reset])
def _opened(request: HttpRequest, user: Any, **kwargs: Any) -> None:
    """Whoever gets so far has the password, or the mailbox: this browser is counted by itself."""
    request.opened_account = user.email  # type: ignore[attr-defined]
