"""The console: pages on which people run their tenant in a browser.

Each page is a `ConsolePage` below /console/<slug>/, put there by `console_page`. It acts for the
tenant that its address names, if whoever is signed in is a member of it, with what their role holds
there, as the API does: the same scopes, rate limits and row security, the same audit log. A tenant
that is not theirs is answered like one that never was.

Whatever changes something is a `FormPage`: a form of the API's own rules, which does one thing
through the same service, once however often it is sent.
"""

from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from http import HTTPStatus
from typing import Any, ClassVar, cast
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile as DjangoUploadedFile
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import URLPattern, path, reverse
from rest_framework import serializers

from accounts.models import User
from config.errors import DomainError, InvalidCursor
from config.frame import FramedPage, OneAct, Pages
from config.isolation import DatabaseRole, acting_as
from config.pages import SAFE_METHODS
from config.parsers import UploadedFile
from config.reauthentication import is_recent, keep_form, lead_to
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


PAGES = Pages("console", home="overview")
console_page = PAGES.page  # puts a page below /console/<slug>/


def patterns() -> Iterator[URLPattern]:
    """The routes of all pages. For whoever has imported all their modules: jobs/console/urls.py."""
    for page in PAGES:
        yield path(f"<slug:slug>/{page.route}", page.view.as_view(), name=page.name)


# --- A page -------------------------------------------------------------------------------------


class ConsolePage(FramedPage):
    """A page of one tenant's console.

    scope     what whoever opens it has to hold in the tenant; None: every member may
    weighs    whether it opens only for whoever has just shown that it is they
    secrets   fields that are not kept while they show it

    Inside a handler `self.caller` is who asks, and PostgreSQL shows their tenant's rows alone.
    """

    scope: ClassVar[Scope | None]
    folder = "console"
    weighs: ClassVar[bool] = False
    secrets: ClassVar[tuple[str, ...]] = ()
    route_class: ClassVar[RouteClass] = RouteClass.MANAGE  # of what is no reading
    http_method_names = ["get", "head"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
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

    def frame(self) -> dict[str, Any]:
        caller, slug = self.caller, self.kwargs["slug"]
        return {
            "slug": slug,
            "tenant_name": self.member.tenant_name,
            "role": Role(caller.role).label,
            "may": {scope.name.lower(): scope in caller.scopes for scope in Scope},
            "navigation": PAGES.menu(self.request.path, self._may_open, slug),
        }

    def _may_open(self, view: "type[ConsolePage]") -> bool:
        return view.scope is None or self.may(view.scope)

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


class CheckedForm(forms.Form):
    """A form that takes what the API takes: `body` goes through the serializer of the same request,
    whose refusals are said beside the fields.

    serializer  its fields have the names of the form's; None where nothing is typed
    accepted    what it makes of the body; empty where it refuses that
    """

    serializer: type[serializers.Serializer] | None = None

    def body(self) -> Any:
        """What the API would be sent: the fields that were filled in."""
        return {
            name: value for name, value in self.cleaned_data.items() if value not in (None, "", [])
        }

    def clean(self) -> dict[str, Any]:
        self.accepted: dict[str, Any] = {}
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


class QueryForm(CheckedForm):
    """What a page is asked for: the query of its address, in the words of the API's."""

    def body(self) -> QueryDict:
        """Without what was left empty; a name that nobody knows is a mistake."""
        asked = QueryDict(mutable=True)
        for name, values in cast(QueryDict, self.data).lists():
            if values != [""]:
                asked.setlist(name, values)
        return asked


class ConsoleForm(CheckedForm):
    """The form of a `FormPage`."""

    once = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)  # of this form as it was shown

    def body(self) -> dict[str, Any]:
        return {name: value for name, value in super().body().items() if name != "once"}

    def clean(self) -> dict[str, Any]:
        if "once" in self.errors:
            self.add_error(None, "The form is not as it was shown. Open the page again.")
        return super().clean()


class FormPage(OneAct, ConsolePage):
    """An act of a member: a form that is done once, however often it is sent.

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

    def done_before(self) -> str:
        """Where it leads whoever sends it once more."""
        return self.back()

    def context(self) -> dict[str, Any]:
        said = {"says": self.says, "button": self.button, "danger": self.danger}
        return {**super().context(), **said}

    def carry_out(self) -> HttpResponse:
        if self._is_first():
            return super().carry_out()
        messages.info(self.request, self.sent_twice)
        return HttpResponseRedirect(self.done_before())

    def refuse(self, refused: DomainError) -> HttpResponse:
        if isinstance(refused, IdempotencyKeyInUse):
            messages.info(self.request, UNDER_WAY)
            return HttpResponseRedirect(self.done_before())
        if refused.status == HTTPStatus.FORBIDDEN:
            refusals.access_refused(self.caller, self.request, refused.code)
        return super().refuse(refused)

    def _is_first(self) -> bool:
        match = self.request.resolver_match
        route = match.route if match else self.request.path
        return idempotency.is_first(self.caller.tenant_id, route, self._said())

    def _said(self) -> str:
        """A digest of the form as it was shown and filled in: whoever goes back and changes what
        they typed means another act."""
        typed = [each for each in self.request.POST.lists() if each[0] != "csrfmiddlewaretoken"]
        sent = cast("dict[str, DjangoUploadedFile]", self.request.FILES)
        files = [(name, UploadedFile.of(file).digest) for name, file in sent.items()]
        return sha256(repr([self.request.path, sorted(typed), files]).encode()).hexdigest()


def isolated(text: str) -> str:
    """Words of somebody else within a sentence of ours: how they turn ends with them (UAX 9)."""
    return f"\N{FIRST STRONG ISOLATE}{text}\N{POP DIRECTIONAL ISOLATE}"
