"""Who has shown just now that it is they: asked before what weighs more, and what they had typed is
kept meanwhile."""

import time
from collections.abc import Iterable
from typing import Any

from allauth.account.authentication import get_authentication_records
from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.http import urlencode

KEPT = "kept_form"  # in the session: what was typed, until the same address is opened again


def factors(request: HttpRequest, method: str = "") -> list[dict[str, Any]]:
    """How the person behind this session has shown who they are, oldest first."""
    records = get_authentication_records(request, request.user)
    return [record for record in records if method in ("", record["method"])]


def is_recent(request: HttpRequest) -> bool:
    records = factors(request)
    age = time.time() - records[-1]["at"] if records else float("inf")
    return age < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT


def lead_to(name: str, back: str) -> HttpResponseRedirect:
    """To the page of that name, and from there back."""
    return HttpResponseRedirect(f"{reverse(name)}?{urlencode({REDIRECT_FIELD_NAME: back})}")


def keep_form(request: HttpRequest, *, but: Iterable[str] = ()) -> None:
    """For a form that is sent when its sign-in is too old: nobody types a reason twice.

    but  fields that hold a secret
    """
    typed = request.POST.copy()
    for name in ("csrfmiddlewaretoken", *but):
        typed.pop(name, None)
    request.session[KEPT] = {"of": request.get_full_path(), "typed": typed.urlencode()}


def kept_form(request: HttpRequest) -> QueryDict | None:
    """What was typed into the form of this address, once."""
    kept = request.session.get(KEPT, {})
    if kept.get("of") != request.get_full_path():
        return None
    del request.session[KEPT]
    return QueryDict(kept["typed"])
