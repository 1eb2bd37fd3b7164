"""python -m tests.chaos.tenants 4 6: makes tenants with a cap, and prints their keys as JSON."""

import json
import sys

import django

django.setup()

from jobs.plans import assign_plan  # noqa: E402
from tenants.models import Plan  # noqa: E402
from tenants.services.keys import issue_api_key  # noqa: E402
from tenants.services.members import create_tenant  # noqa: E402


def main(count: int, max_running: int) -> None:
    clients = []
    rates = ("submits_per_minute", "reads_per_minute", "manages_per_minute")
    plan = Plan.objects.create(
        code="chaos",
        name="Chaos",
        max_running=max_running,
        tokens_per_day=10**12,
        **dict.fromkeys(rates, 1_000_000),
    )
    for number in range(1, count + 1):
        tenant = create_tenant(name=f"Chaos {number}", slug=f"chaos-{number}")
        assign_plan(tenant=tenant, plan=plan)
        new = issue_api_key(tenant=tenant, name="Load")
        clients.append({"client_id": new.key.client_id, "client_secret": new.client_secret})
    print(json.dumps(clients))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
