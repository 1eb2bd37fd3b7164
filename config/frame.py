"""Pages with a menu at the side, staff's and the console's: where they stand, what a page is, and a
form that does one thing.

Each part of the site has its `Pages`, its own base of `FramedPage`, which says who may open one and
in whose name it acts, and its own base of `OneAct`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from django import forms
from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views import View

from config.errors import DomainError
from config.reauthentication import kept_form

# --- Where pages stand --------------------------------------------------------------------------


@dataclass(frozen=True)
class Registered:
    """A page's place: its route below its part of the site, its name there, and its label in the
    menu, "" where it has none."""

    route: str
    name: str
    label: str
    place: int
    view: Any


Page = TypeVar("Page", bound="type[FramedPage]")


class Pages:
    """The pages of one part of the site.

    namespace  of their names' addresses, such as "admin"
    home       the name of the page that all others are below
    """

    def __init__(self, namespace: str, *, home: str) -> None:
        self.namespace, self.home = namespace, home
        self._pages: list[Registered] = []

    def page(
        self, route: str, *, name: str, label: str = "", place: int = 0
    ) -> Callable[[Page], Page]:
        """Puts a page in its place; those with a label stand in the menu, by `place`."""

        def register(view: Page) -> Page:
            self._pages.append(Registered(route, name, label, place, view))
            return view

        return register

    def __iter__(self) -> Iterator[Registered]:
        return iter(self._pages)

    def menu(self, path: str, may_open: Callable[[Any], bool], *args: Any) -> list[dict[str, Any]]:
        """The pages with a label that may be opened: label, url, current.

        path  where the reader is
        args  of each page's address
        """
        shown = sorted(self._pages, key=lambda page: page.place)
        urls = {
            reverse(f"{self.namespace}:{page.name}", args=args): page.label
            for page in shown
            if page.label and may_open(page.view)
        }
        # Everything is below home, and it is only itself.
        home = reverse(f"{self.namespace}:{self.home}", args=args)
        around = [url for url in urls if path == url or (url != home and path.startswith(url))]
        here = max(around, key=len, default="")
        return [{"label": label, "url": url, "current": url == here} for url, label in urls.items()]


# --- A page -------------------------------------------------------------------------------------


class FramedPage(View):
    """title     what the page is about; also its h1
    template  below `folder`, which is that of its part of the site
    """

    folder: ClassVar[str]
    title: str = ""
    template: str = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if any("\0" in value for _, values in request.GET.lists() for value in values):
            raise BadRequest("No text in PostgreSQL may hold a NUL.")
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self.show()

    def frame(self) -> dict[str, Any]:
        """What templates of all pages of its part need."""
        return {}

    def context(self) -> dict[str, Any]:
        """What its own template needs besides."""
        return {}

    def show(self, status: int = 200, template: str = "", **more: Any) -> HttpResponse:
        said = {"title": self.title, **self.frame(), **self.context(), **more}
        path = f"{self.folder}/{template or self.template}"
        return render(self.request, path, said, status=status)


class OneAct(FramedPage):
    """Mixed into a page: a form which does one thing and leads back.

    GET shows what will happen and asks; POST does it, in a savepoint: what is refused halfway
    leaves nothing behind. What services refuse (`DomainError`) is said on the form.
    """

    form_class: Any = forms.Form

    def perform(self, form: Any) -> str | HttpResponse:
        """Does it, through the same service as everybody, and says what was done, or shows it.
        Each page has its own. Raises DomainError where that is impossible."""
        raise NotImplementedError

    def back(self) -> str:
        """Where it leads if it is not wanted. Each page has its own."""
        raise NotImplementedError

    def done(self) -> str:
        """Where it leads once it is done."""
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
    def form(self) -> Any:
        return self.form_class(
            self.request.POST or kept_form(self.request),
            self.request.FILES or None,
            initial=self.initial(),
            label_suffix="",
            **self.form_takes(),
        )

    def context(self) -> dict[str, Any]:
        return {"about": self.about(), "back": self.back(), "form": self.form}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.form.is_valid():
            return self.show(422)
        try:
            with transaction.atomic():
                return self.carry_out()
        except DomainError as refused:
            return self.refuse(refused)

    def carry_out(self) -> HttpResponse:
        said = self.perform(self.form)
        if isinstance(said, HttpResponse):
            return said
        messages.success(self.request, said)
        return HttpResponseRedirect(self.done())

    def refuse(self, refused: DomainError) -> HttpResponse:
        words = (refused.title, refused.detail)
        self.form.add_error(None, " ".join(f"{each.rstrip('.')}." for each in words if each))
        response = self.show(refused.status)
        for name, value in refused.headers.items():
            response[name] = value
        return response
