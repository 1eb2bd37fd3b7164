"""What a caller may use: the numbers of the tenant's plan and of the key.

They come with the caller's standing (`tenants.standing`), so a changed plan holds in every process
within a second, and costs no query of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tenants.models import RouteClass

COLUMNS = "plan.code AS plan, submits_per_minute, reads_per_minute, manages_per_minute"


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests in any 60 seconds. per_key is None where the key has no limit of its own."""

    plan: str
    per_minute: Mapping[RouteClass, int]
    per_key: int | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """row: COLUMNS, and `requests_per_minute` of a key."""
        per_minute = {
            RouteClass.SUBMIT: row["submits_per_minute"],
            RouteClass.READ: row["reads_per_minute"],
            RouteClass.MANAGE: row["manages_per_minute"],
        }
        return cls(row["plan"], per_minute, row.get("requests_per_minute"))
