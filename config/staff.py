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
from functools import cached_property, partial
from typing import Any, ClassVar, TypeVar

from django import forms
from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views import View

from config import replica
from config.errors import DomainError
from config.isolation import DatabaseRole
from config.reauthentication import kept_form


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


@dataclass(frozen=True)
class Registered:
    """A page's place: its route below /admin/, its name (`admin:<name>`), and its label in the
    navigation, "" where it has none."""

    route: str
    name: str
    label: str
    place: int
    view: "type[StaffPage]"


CHANGED_AT = "changed_at"  # in the session, where there is a replica
_pages: list[Registered] = []
Answer = TypeVar("Answer")
Page = TypeVar("Page", bound="type[StaffPage]")


def staff_page(route: str, *, name: str, label: str = "", place: int = 0) -> Callable[[Page], Page]:
    """Puts a page below /admin/; those with a label stand in the navigation, by place."""

    def register(view: Page) -> Page:
        _pages.append(Registered(route, name, label, place, view))
        return view

    return register


def pages() -> list[Registered]:
    return list(_pages)


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The pages with a label that whoever asks may see: label, url, current."""
    shown = sorted(_pages, key=lambda page: page.place)
    urls = {
        reverse(f"admin:{page.name}"): page.label
        for page in shown
        if page.label and holds(request, page.view.least)
    }
    home = reverse("admin:index")  # everything is below it, and it is only itself
    path = request.path
    around = [url for url in urls if path == url or (url != home and path.startswith(url))]
    here = max(around, key=len, default="")
    return [{"label": label, "url": url, "current": url == here} for url, label in urls.items()]


class StaffPage(View):
    """A page that staff read. Put below /admin/ by `staff_page`.

    title     what the page is about; also its h1
    least     the first role that may see it
    may_lag   whether it may be some seconds old: read from a replica, it can write nothing
    template  below templates/staff/
    """

    title: str = ""
    least: ClassVar[StaffRole] = StaffRole.VIEWER
    may_lag: ClassVar[bool] = False
    template: str = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not holds(request, self.least):
            raise PermissionDenied(f"This is for staff in the role {self.least.label} or above.")
        if any("\0" in value for _, values in request.GET.lists() for value in values):
            raise BadRequest("No text in PostgreSQL may hold a NUL.")
        response = super().dispatch(request, *args, **kwargs)
        if request.method == "POST" and replica.is_configured():
            request.session[CHANGED_AT] = time.time()
        return response

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.show()

    def context(self) -> dict[str, Any]:
        """What the template needs besides `title`, `navigation` and `staff_role`."""
        return {}

    def show(self, status: int = 200, **more: Any) -> HttpResponse:
        page = partial(self._rendered, status, more)
        return self.lagging(page) if self.may_lag else page()

    def lagging(self, ask: Callable[[], Answer]) -> Answer:
        """What it gives, perhaps some seconds old, but for whoever changed something a moment ago:
        they find it changed."""
        changed_at = self.request.session.get(CHANGED_AT, 0)
        if time.time() - changed_at < replica.OWN_CHANGES:
            return ask()
        return replica.read(ask, DatabaseRole.STAFF)

    def _rendered(self, status: int, more: dict[str, Any]) -> HttpResponse:
        said = {
            "title": self.title,
            "navigation": navigation(self.request),
            "staff_role": self.request.user.staff_role,  # type: ignore[union-attr]
            **self.context(),
            **more,
        }
        return render(self.request, f"staff/{self.template}", said, status=status)

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


class ActPage(StaffPage):
    """A form with a reason, which does one thing and leads back.

    GET shows what will happen and asks; POST does it, in a savepoint: an act that is refused
    halfway leaves nothing behind. What services refuse (`DomainError`) is said on the form, as 409.
    """

    act: ClassVar[Act]
    form_class: type[ReasonForm] = ReasonForm
    template = "act.html"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "act" in vars(cls):
            cls.title, cls.least = cls.act.label, cls.act.least

    def perform(self, form: Any) -> str:
        """Does it, through the same service as everybody, and says what was done. Raises
        DomainError where that is impossible."""
        raise NotImplementedError

    def back(self) -> str:
        """Where it leads if it is not wanted."""
        raise NotImplementedError

    def done(self) -> str:
        """Where it leads once it is done."""
        return self.back()

    def about(self) -> str:
        """What it is done to, in words."""
        return ""

    def initial(self) -> dict[str, Any]:
        return {}

    def context(self) -> dict[str, Any]:
        return {"act": self.act, "about": self.about(), "back": self.back(), "form": self.form}

    @cached_property
    def form(self) -> ReasonForm:
        return self.form_class(
            self.request.POST or kept_form(self.request),
            initial=self.initial(),
            label_suffix="",
            **self.form_takes(),
        )

    def form_takes(self) -> dict[str, Any]:
        """What its form is made with besides."""
        return {}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.form
        if not form.is_valid():
            return self.show(422)
        try:
            with transaction.atomic(), because(form.cleaned_data["reason"]):
                said = self.perform(form)
        except DomainError as refused:
            form.add_error(None, f"{refused.title}. {refused.detail}")
            return self.show(409)
        messages.success(request, said)
        return HttpResponseRedirect(self.done())
