"""The base of every tenant-owned table."""

from typing import Self
from uuid import UUID

from django.db import models


class TenantQuerySet(models.QuerySet):
    def for_tenant(self, tenant_id: UUID) -> Self:
        """The tenant's own rows: the first thing said in any query behind the API."""
        return self.filter(tenant_id=tenant_id)
