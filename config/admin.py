"""The admin's door, and its bases: look at everything, type nothing."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from allauth.mfa.utils import is_mfa_enabled
from django.contrib import admin, messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse

from config.pages import SAFE_METHODS
from config.reauthentication import factors, is_recent, keep_form, lead_to
from config.staff import PAGES, ActPage, StaffRole, holds, navigation

NOT_STAFF = "These pages are for the staff of this installation."
FIRST = "To change something, show first that it is you."
STILL_TO_DO = (
    "Nothing is changed yet. Show that it is you; then you find the form as you left it, to send it"
    " once more."
)


class StaffSite(admin.AdminSite):
    """Staff come in by the door of everybody else, allauth's, and only with a second factor.

    Whatever they change, they have shown within the last minutes that it is they who sit there.
    """

    site_header = site_title = "Guidepost staff"

    def get_urls(self) -> list[Any]:
        """Our own pages come first; Django's lists of rows stand behind them."""
        ours = [
            path(page.route, self.admin_view(page.view.as_view()), name=page.name) for page in PAGES
        ]
        return [*ours, *super().get_urls()]

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and factors(request, "mfa") != []

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        role = getattr(request.user, "staff_role", "")
        return super().each_context(request) | {
            "navigation": navigation(request) if role else [],
            "staff_role": role,
        }

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """No form of its own: to sign in, to enrol or to show the second factor."""
        back = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index")
        if not request.user.is_authenticated:
            return redirect_to_login(back)
        if not super().has_permission(request):
            who = request.user.get_username()
            raise PermissionDenied(f"{NOT_STAFF} You are signed in as {who}, who is not staff.")
        if self.has_permission(request):
            return redirect("admin:index")
        if is_mfa_enabled(request.user):
            return lead_to("mfa_reauthenticate", back)
        messages.warning(request, "Staff need a second factor. Set one up, then come back.")
        return redirect("mfa_index")

    def app_index(self, request: HttpRequest, app_label: str, extra_context: Any = None) -> Any:
        """One home is enough."""
        return redirect("admin:records")

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        return redirect("account_change_password")

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        inner = super().admin_view(view, cacheable)
        if view == self.logout:
            return inner

        page = getattr(view, "view_class", None)
        act = page if isinstance(page, type) and issubclass(page, ActPage) else None

        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            sends = request.method not in SAFE_METHODS
            asked = sends or (act is not None and holds(request, act.least))
            if not asked or is_recent(request) or not self.has_permission(request):
                return inner(request, *args, **kwargs)
            if act and sends:
                keep_form(request)
            messages.info(request, STILL_TO_DO if sends else FIRST)
            return lead_to("account_reauthenticate", request.get_full_path())

        return update_wrapper(checked, view)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Everybody's rows (see tenants/querysets.py), for any of staff to look at. Rows change in
    services, by acts (config/staff.py)."""

    show_full_result_count = False  # spares a COUNT(*) over the whole table on every page
    list_per_page = 50

    def has_module_permission(self, request: HttpRequest) -> bool:
        return holds(request, StaffRole.VIEWER)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return holds(request, StaffRole.VIEWER)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows.across_tenants() if hasattr(rows, "across_tenants") else rows
