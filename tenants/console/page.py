"""The console: pages on which people run their tenant in a browser.

Each page is a `ConsolePage` below /console/<slug>/, put there by `console_page`. It acts for the
tenant that its address names, if whoever is signed in is a member of it, with what their role holds
there, as the API does: the same scopes, rate limits and row security, the same audit log. A tenant
that is not theirs is answered like one that never was.

Whatever changes something is a `FormPage`: a form of the API's own rules, which does one thing
through the same service, once however often it is sent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar, cast
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.views import View
from rest_framework import serializers

from accounts.models import User
from config.errors import DomainError, InvalidCursor
from config.isolation import DatabaseRole, acting_as
from config.pages import SAFE_METHODS
from config.reauthentication import is_recent, keep_form, kept_form, lead_to
from tenants import idempotency, refusals, standing, throttling
from tenants.audit import acts_of
from tenants.authentication import Principal
from tenants.idempotency import IdempotencyKeyInUse
from tenants.models import Role, RouteClass, Scope
from tenants.pages import rows_before
from tenants.querysets import TenantQuerySet
from tenants.standing import Member

PER_PAGE = 50
FIRST = "This weighs more than to look: show first that it is you."
STILL_TO_DO = (
    "Nothing is changed yet. Show that it is you; then you find the form as you left it, to send it"
    " once more."
)
SENT_TWICE = "That form was sent already, and is done once: what it did is below."
UNDER_WAY = (
    "That form was sent already, and is not done yet. What it does is below in a moment; if it is"
    " not, send the form again."
)


# --- Where pages stand --------------------------------------------------------------------------


@dataclass(frozen=True)
class Registered:
    """A page's place: its route below /console/<slug>/, its name (`console:<name>`), and its label
    in the navigation, "" where it has none."""

    route: str
    name: str
    label: str
    place: int
    view: "type[ConsolePage]"


_pages: list[Registered] = []
Page = TypeVar("Page", bound="type[ConsolePage]")


def console_page(
    route: str, *, name: str, label: str = "", place: int = 0
) -> Callable[[Page], Page]:
    """Puts a page below /console/<slug>/; those with a label stand in the navigation, by place."""

    def register(view: Page) -> Page:
        _pages.append(Registered(route, name, label, place, view))
        return view

    return register


def pages() -> list[Registered]:
    return list(_pages)


def patterns() -> Iterator[URLPattern]:
    """The routes of all pages. For whoever imports every module of pages first (jobs/urls.py)."""
    for page in _pages:
        yield path(f"<slug:slug>/{page.route}", page.view.as_view(), name=page.name)


# --- A page -------------------------------------------------------------------------------------


class ConsolePage(View):
    """A page of one tenant's console.

    scope     what whoever opens it has to hold in the tenant; None: every member may
    title     what the page is about; also its h1
    template  below templates/console/
    weighs    whether it opens only for whoever has just shown that it is they
    secrets   fields that are not kept while they show it

    Inside a handler `self.caller` is who asks, and PostgreSQL shows their tenant's rows alone.
    """

    scope: ClassVar[Scope | None]
    title: str = ""
    template: str = ""
    weighs: ClassVar[bool] = False
    secrets: ClassVar[tuple[str, ...]] = ()
    route_class: ClassVar[RouteClass] = RouteClass.MANAGE  # of what is no reading
    http_method_names = ["get", "head"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if any("\0" in value for _, values in request.GET.lists() for value in values):
            raise BadRequest("No text in PostgreSQL may hold a NUL.")
        self._count(request)
        self._refuse_without_scope(request)
        if self.weighs and not is_recent(request):
            return self._ask_again(request)
        with (
            acts_of(refusals.actor_of(self.caller, request)),
            acting_as(DatabaseRole.API, self.caller.tenant_id),
        ):
            return super().dispatch(request, *args, **kwargs)

    @cached_property
    def member(self) -> Member:
        """Raises Http404 where whoever asks is no member of such a tenant, or it is suspended."""
        user = cast(User, self.request.user)
        found = standing.standing_of_member(user.pk, self.kwargs["slug"])
        if found is None:
            raise Http404
        return found

    @cached_property
    def caller(self) -> Principal:
        user, member = cast(User, self.request.user), self.member
        now = member.standing
        return Principal.of(str(user.public_id), member.tenant_id, now, scopes=now.granted)

    def may(self, scope: Scope) -> bool:
        return scope in self.caller.scopes

    def url(self, name: str, *args: Any) -> str:
        """The address of another page of this console."""
        return reverse(f"console:{name}", args=[self.kwargs["slug"], *args])

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.show()

    def context(self) -> dict[str, Any]:
        """What the template needs besides what all pages show."""
        return {}

    def listed(self, rows: TenantQuerySet, *, by: str, cursor: str = "before") -> dict[str, Any]:
        """For the template: a page's `rows`, newest first, and `following`, the link to the next.

        by      the field of the public id, which is how the address says where a page begins
        cursor  the name under which it does: another for each list of a page
        """
        try:
            asked = self.request.GET.get(cursor)
            shown, following = rows_before(rows, asked, by=by, limit=PER_PAGE)
        except InvalidCursor:
            raise Http404 from None
        query = self.request.GET.copy()
        query[cursor] = str(following)
        return {"rows": shown, "following": f"?{query.urlencode()}" if following else ""}

    def show(self, status: int = 200, template: str = "", **more: Any) -> HttpResponse:
        member, caller = self.member, self.caller
        said = {
            "title": self.title,
            "slug": self.kwargs["slug"],
            "tenant_name": member.tenant_name,
            "role": Role(caller.role).label,
            "may": {scope.name.lower(): scope in caller.scopes for scope in Scope},
            "navigation": self._navigation(),
            **self.context(),
            **more,
        }
        return render(self.request, f"console/{template or self.template}", said, status=status)

    def _navigation(self) -> list[dict[str, Any]]:
        """The pages with a label that whoever asks may open: label, url, current."""
        shown = [
            page
            for page in sorted(_pages, key=lambda page: page.place)
            if page.label and (page.view.scope is None or self.may(page.view.scope))
        ]
        urls = {self.url(page.name): page.label for page in shown}
        home = self.url("overview")  # everything is below it, and it is only itself
        here = self.request.path
        around = [url for url in urls if here == url or (url != home and here.startswith(url))]
        current = max(around, key=len, default="")
        return [
            {"label": label, "url": url, "current": url == current} for url, label in urls.items()
        ]

    def _count(self, request: HttpRequest) -> None:
        """Raises RateLimited. Before the scope, so that refusals are limited as well."""
        kind = RouteClass.READ if request.method in SAFE_METHODS else self.route_class
        throttling.admit(self.caller.tenant_id, self.caller.subject, self.caller.limits, kind)

    def _refuse_without_scope(self, request: HttpRequest) -> None:
        if self.scope is None or self.may(self.scope):
            return
        refusals.access_refused(self.caller, request, "forbidden")
        role = Role(self.caller.role).label.lower()
        raise PermissionDenied(
            f"It takes the scope {self.scope} ({self.scope.label}), which your role of {role} in"
            f" {self.member.tenant_name} does not hold: ask an owner or admin."
        )

    def _ask_again(self, request: HttpRequest) -> HttpResponse:
        sends = request.method not in SAFE_METHODS
        if sends:
            keep_form(request, but=self.secrets)
        messages.info(request, STILL_TO_DO if sends else FIRST)
        return lead_to("account_reauthenticate", request.get_full_path())


# --- A form that does something -----------------------------------------------------------------


class ConsoleForm(forms.Form):
    """A form of a page. What it takes is what the API takes: `body` goes through the serializer of
    the same request, whose refusals are said beside the fields.

    serializer  its fields have the names of the form's; None where nothing is typed
    """

    serializer: type[serializers.Serializer] | None = None
    once = forms.UUIDField(widget=forms.HiddenInput)  # of this form as it was shown

    def body(self) -> dict[str, Any]:
        """What the API would be sent: the fields that were filled in."""
        held = {name: value for name, value in self.cleaned_data.items() if name != "once"}
        return {name: value for name, value in held.items() if value not in (None, "", [])}

    def clean(self) -> dict[str, Any]:
        """Leaves what the serializer makes of it in `self.accepted`."""
        self.accepted: dict[str, Any] = {}
        if "once" in self.errors:
            self.add_error(None, "The form is not as it was shown. Open the page again.")
        if self.serializer is None or self.errors:
            return self.cleaned_data
        serializer = self.serializer(data=self.body())
        if serializer.is_valid():
            self.accepted = serializer.validated_data
        else:
            self._say(serializer.errors)
        return self.cleaned_data

    def _say(self, errors: dict[str, Any]) -> None:
        """Beside the fields; what has none here is named."""
        for name, said in errors.items():
            if name in self.fields:
                self.add_error(name, list(_sentences(said)))
            elif isinstance(said, dict):
                self._say(said)  # of an object within the body: its names are the form's as well
            else:
                self.add_error(None, [f"{name}: {sentence}" for sentence in _sentences(said)])


def _sentences(said: Any) -> Iterator[str]:
    if isinstance(said, dict):
        for inner in said.values():
            yield from _sentences(inner)
    elif isinstance(said, list):
        for inner in said:
            yield from _sentences(inner)
    else:
        yield str(said)


class FormPage(ConsolePage):
    """A form which does one thing and leads back.

    GET shows what will happen and asks; POST does it, in a savepoint: what is refused halfway
    leaves nothing behind. What services refuse (`DomainError`) is said on the form. A form that is
    sent twice is done once.

    says    what happens then, in a sentence or two
    button  on it: what happens, in a word or two
    danger  whether it takes something away
    sent_twice  what whoever sends it once more is told
    """

    http_method_names = ["get", "head", "post"]
    form_class: type[ConsoleForm] = ConsoleForm
    template = "form.html"
    weighs = True
    says: str = ""
    button: str = ""
    danger: ClassVar[bool] = False
    sent_twice: str = SENT_TWICE

    def perform(self, form: Any) -> str | HttpResponse:
        """Does it, through the same service as the API, and says what was done, or shows it. Raises
        DomainError where that is impossible, Http404 where there is nothing to do it to."""
        raise NotImplementedError

    def back(self) -> str:
        """Where it leads if it is not wanted."""
        raise NotImplementedError

    def done(self) -> str:
        """Where it leads once it is done."""
        return self.back()

    def done_before(self) -> str:
        """Where it leads whoever sends it once more."""
        return self.back()

    def about(self) -> str:
        """What it is done to, in words."""
        return ""

    def initial(self) -> dict[str, Any]:
        return {}

    def form_takes(self) -> dict[str, Any]:
        """What its form is made with besides."""
        return {}

    @cached_property
    def form(self) -> ConsoleForm:
        return self.form_class(
            self.request.POST or kept_form(self.request),
            self.request.FILES or None,
            initial={"once": uuid4(), **self.initial()},
            label_suffix="",
            **self.form_takes(),
        )

    def context(self) -> dict[str, Any]:
        return {
            "says": self.says,
            "button": self.button,
            "danger": self.danger,
            "about": self.about(),
            "back": self.back(),
            "form": self.form,
        }

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        form = self.form
        if not form.is_valid():
            return self.show(422)
        try:
            with transaction.atomic():
                if not self._is_first():
                    messages.info(request, self.sent_twice)
                    return HttpResponseRedirect(self.done_before())
                said = self.perform(form)
        except IdempotencyKeyInUse:
            messages.info(request, UNDER_WAY)
            return HttpResponseRedirect(self.done_before())
        except DomainError as refused:
            if refused.status == HTTPStatus.FORBIDDEN:
                refusals.access_refused(self.caller, request, refused.code)
            form.add_error(None, _refusal(refused))
            response = self.show(refused.status)
            for name, value in refused.headers.items():
                response[name] = value
            return response
        if isinstance(said, HttpResponse):
            return said
        messages.success(request, said)
        return HttpResponseRedirect(self.done())

    def _is_first(self) -> bool:
        match = self.request.resolver_match
        route = match.route if match else self.request.path
        return idempotency.is_first(self.caller.tenant_id, route, self._said())

    def _said(self) -> str:
        """A digest of the form as it was shown and filled in: whoever goes back and changes what
        they typed means another act."""
        typed = [each for each in self.request.POST.lists() if each[0] != "csrfmiddlewaretoken"]
        sent = cast("dict[str, UploadedFile]", self.request.FILES)
        files = [(name, _digest(file)) for name, file in sent.items()]
        return sha256(repr([self.request.path, sorted(typed), files]).encode()).hexdigest()


def isolated(text: str) -> str:
    """Words of somebody else within a sentence of ours: how they turn ends with them (UAX 9)."""
    return f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"


def _digest(file: UploadedFile) -> str:
    file.seek(0)
    return sha256(file.read()).hexdigest()


def _refusal(refused: DomainError) -> str:
    return f"{refused.title}. {refused.detail}" if refused.detail else f"{refused.title}."
