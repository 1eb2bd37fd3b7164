"""python -m tests.bench.worker_jobs 4 200 < text: submits so many jobs of so many tenants, held."""

import sys

import django

django.setup()

from jobs import services  # noqa: E402
from tenants.models import Tenant  # noqa: E402
from tenants.services.members import create_tenant  # noqa: E402


def main(tenants: int, jobs: int, text: str) -> None:
    held = [_tenant(f"bench-{number}") for number in range(tenants)]
    for number in range(jobs):
        services.submit_job(
            tenant_id=held[number % tenants].pk,
            submitted_by="bench",
            guideline_text=text,
            options={"cache": False},
        )


def _tenant(slug: str) -> Tenant:
    """Its queue is paused: the jobs begin together."""
    tenant = Tenant.objects.filter(slug=slug).first() or create_tenant(name=slug, slug=slug)
    services.set_queue(tenant.pk, is_paused=True, max_waiting=1_000_000)
    return tenant


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.stdin.read())
