"""The base of every tenant-owned table: the first wall between tenants.

A query says whose rows it means, or it is not run. The second wall is PostgreSQL's own
(`config.isolation`).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Self
from uuid import UUID

from django.db import models


class TenantRequired(Exception):
    """A query of a tenant-owned table named no tenant. A mistake of ours, never a caller's."""


def _needs_tenant(run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)
    def checked(self: "TenantQuerySet", *args: Any, **kwargs: Any) -> Any:
        # Rows reached from a row (`job.attempts`) are those of a row that was found by its tenant.
        if not self._whose and "instance" not in self._hints:
            raise TenantRequired(
                f"{self.model.__name__}: say for_tenant(...), or across_tenants() where staff and"
                " workers mean everybody's rows."
            )
        return run(self, *args, **kwargs)

    return checked


class TenantQuerySet(models.QuerySet):
    """Raises TenantRequired where it would reach the database without a word on the tenant."""

    _whose = ""
    _hints: dict[str, Any]

    def for_tenant(self, tenant_id: UUID) -> Self:
        """The tenant's own rows: the first thing said in any query behind the API."""
        rows = self.filter(tenant_id=tenant_id)
        rows._whose = str(tenant_id)
        return rows

    def across_tenants(self) -> Self:
        """Everybody's rows: for workers, staff and whoever looks up a credential."""
        rows = self.all()
        rows._whose = "everybody"
        return rows

    def _clone(self) -> Self:
        clone: Self = super()._clone()  # type: ignore[misc]
        clone._whose = self._whose
        return clone

    _fetch_all = _needs_tenant(models.QuerySet._fetch_all)
    iterator = _needs_tenant(models.QuerySet.iterator)
    count = _needs_tenant(models.QuerySet.count)
    exists = _needs_tenant(models.QuerySet.exists)
    aggregate = _needs_tenant(models.QuerySet.aggregate)
    update = _needs_tenant(models.QuerySet.update)
    delete = _needs_tenant(models.QuerySet.delete)
    explain = _needs_tenant(models.QuerySet.explain)
