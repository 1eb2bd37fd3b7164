"""Admin bases: look at everything, type nothing."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest


class AcrossTenants:
    """Staff look at everybody's rows, and say so (see tenants/querysets.py)."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)  # type: ignore[misc]
        return rows.across_tenants() if hasattr(rows, "across_tenants") else rows


class ReadOnlyInline(AcrossTenants, admin.TabularInline):
    """Rows that belong to the one that is shown."""

    extra = max_num = 0
    can_delete = False


class ReadOnlyAdmin(AcrossTenants, admin.ModelAdmin):
    """Rows change in services; the admin shows them and offers actions that call services."""

    show_full_result_count = False  # spares a COUNT(*) over the whole table on every page
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
