"""How a tenant wants its jobs done, and which models they may use.

The installation says which models there are, a plan may allow some of them, and a tenant puts
those that it wants into an order. All of it comes with the caller's standing
(`tenants.standing`), so a submission asks for none of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from django.conf import settings
from django.db import connection

from tenants.models import OnDoubt

COLUMNS = """tenant.on_doubt, tenant.language, tenant.preferred_models, plan.allowed_models,
       EXISTS (SELECT FROM tenants_providerkey AS own WHERE own.tenant_id = tenant.id) AS own_key"""

OF_TENANT = f"""
SELECT {COLUMNS} FROM tenants_tenant AS tenant
JOIN tenants_plan AS plan ON plan.code = tenant.plan_id
WHERE tenant.id = %s
"""  # noqa: S608


def installed_models() -> list[str]:
    """Every model that jobs may be run with; the first is the default."""
    return list(dict.fromkeys([settings.OPENAI_MODEL, *settings.MODELS]))


@dataclass(frozen=True, slots=True)
class Preferences:
    """What holds for jobs that do not say otherwise.

    preferred  models in the tenant's order; none: it has not chosen
    of_plan    models that its plan allows; none: all
    own_key    whether its calls are paid for with a provider's key of its own
    """

    on_doubt: str = OnDoubt.FLAG.value
    language: str = ""
    preferred: tuple[str, ...] = ()
    of_plan: tuple[str, ...] = ()
    own_key: bool = False

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """row: COLUMNS."""
        return cls(
            on_doubt=row["on_doubt"],
            language=row["language"],
            preferred=tuple(row["preferred_models"]),
            of_plan=tuple(row["allowed_models"]),
            own_key=row["own_key"],
        )

    @property
    def choice(self) -> list[str]:
        """The models that the tenant may put into an order."""
        return [model for model in installed_models() if not self.of_plan or model in self.of_plan]

    @property
    def models(self) -> list[str]:
        """What a job that names no model begins with, and the models it may fall back to.

        A tenant that has not chosen has no fallback: nobody gets, or pays for, a model that
        nobody asked for.
        """
        return self._chosen or self.choice[:1]

    @property
    def allowed(self) -> list[str]:
        """The models that a job may name."""
        return self._chosen or self.choice

    @property
    def _chosen(self) -> list[str]:
        return [model for model in self.preferred if model in self.choice]


NOTHING_SET = Preferences()


def preferences_of(tenant_id: UUID) -> Preferences:
    """For whoever has no caller at hand. Raises LookupError for a tenant that is not there."""
    with connection.cursor() as cursor:
        cursor.execute(OF_TENANT, [tenant_id])
        row = cursor.fetchone()
        if row is None:
            raise LookupError(tenant_id)
        names = [column.name for column in cursor.description]
    return Preferences.of(dict(zip(names, row, strict=True)))
