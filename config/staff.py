"""Staff: their roles, what they may do, and the bases of their pages.

Django's admin is the door (config/admin.py: a second factor, and to change anything a recent proof
that it is they). Behind it each page is a `StaffPage`, and whatever changes something is an `Act`:
a name for the audit log, the least role that may do it, and a reason that must be given. What is
declared here is what docs/permissions.md lists and what tests try as each role.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

from django import forms
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse

from config import replica
from config.frame import FramedPage, OneAct, Pages
from config.isolation import DatabaseRole


class StaffRole(models.TextChoices):
    """Each may do what those before it may."""

    VIEWER = "viewer", "Viewer"  # reads all it needs, and changes nothing
    OPERATOR = "operator", "Operator"  # acts on jobs, circuits and queues
    ADMINISTRATOR = "administrator", "Administrator"  # acts on people, tenants and plans

    def includes(self, other: "StaffRole") -> bool:
        order = list(StaffRole)
        return order.index(self) >= order.index(other)


def holds(request: HttpRequest, role: StaffRole) -> bool:
    """Whether whoever asks is staff in this role, or in one that includes it."""
    held = getattr(request.user, "staff_role", "")
    return bool(held) and StaffRole(held).includes(role)


# --- Acts ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Act:
    """Something that staff may do to something.

    code    as the audit log names it: "job.retried"
    label   on its button: "Retry"
    least   the first role that may do it
    says    what happens then, in a sentence or two
    danger  whether it takes something away
    """

    code: str
    label: str
    least: StaffRole
    says: str
    danger: bool = False


_acts: dict[str, Act] = {}


def declare(act: Act) -> Act:
    """Raises ValueError for a code that is declared already."""
    if act.code in _acts:
        raise ValueError(f"{act.code} is declared twice.")
    _acts[act.code] = act
    return act


def acts() -> list[Act]:
    return sorted(_acts.values(), key=lambda act: act.code)


_reason: ContextVar[str] = ContextVar("reason", default="")


@contextmanager
def because(reason: str) -> Iterator[None]:
    """What is recorded in the audit log inside is recorded with this reason."""
    token = _reason.set(reason)
    try:
        yield
    finally:
        _reason.reset(token)


def current_reason() -> str:
    """ "" where none was given: the act is not one of staff."""
    return _reason.get()


# --- Pages --------------------------------------------------------------------------------------


CHANGED_AT = "changed_at"  # in the session, where there is a replica
PAGES = Pages("admin", home="index")
staff_page = PAGES.page  # puts a page below /admin/
Answer = TypeVar("Answer")


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu, of pages that whoever asks may see."""
    return PAGES.menu(request.path, lambda view: holds(request, view.least))


class StaffPage(FramedPage):
    """A page that staff read. Put below /admin/ by `staff_page`.

    least     the first role that may see it
    may_lag   whether it may be some seconds old: read from a replica, it can write nothing
    """

    folder = "staff"
    least: ClassVar[StaffRole] = StaffRole.VIEWER
    may_lag: ClassVar[bool] = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not holds(request, self.least):
            raise PermissionDenied(f"This is for staff in the role {self.least.label} or above.")
        response = super().dispatch(request, *args, **kwargs)
        if request.method == "POST" and replica.is_configured():
            request.session[CHANGED_AT] = time.time()
        return response

    def frame(self) -> dict[str, Any]:
        role = self.request.user.staff_role  # type: ignore[union-attr]
        return {"navigation": navigation(self.request), "staff_role": role}

    def show(self, status: int = 200, template: str = "", **more: Any) -> HttpResponse:
        page = partial(super().show, status, template, **more)
        return self.lagging(page) if self.may_lag else page()

    def lagging(self, ask: Callable[[], Answer]) -> Answer:
        """What it gives, perhaps some seconds old, but for whoever changed something a moment ago:
        they find it changed."""
        changed_at = self.request.session.get(CHANGED_AT, 0)
        if time.time() - changed_at < replica.OWN_CHANGES:
            return ask()
        return replica.read(ask, DatabaseRole.STAFF)

    def may(self, act: Act) -> bool:
        return holds(self.request, act.least)


class ReasonForm(forms.Form):
    """Every act says why. Acts that need more inherit from it."""

    reason = forms.CharField(
        label="Reason",
        max_length=400,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="Kept in the audit log. Owners of a tenant read there what was done to it.",
    )


class ActPage(OneAct, StaffPage):
    """An act of staff: a form with a reason."""

    act: ClassVar[Act]
    form_class: type[ReasonForm] = ReasonForm
    template = "act.html"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "act" in vars(cls):
            cls.title, cls.least = cls.act.label, cls.act.least

    def context(self) -> dict[str, Any]:
        return {**super().context(), "act": self.act}

    def carry_out(self) -> HttpResponse:
        with because(self.form.cleaned_data["reason"]):
            return super().carry_out()
