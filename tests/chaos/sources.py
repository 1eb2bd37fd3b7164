"""python -m tests.chaos.sources: for each job, what it was given and what its result was made from.

Both are sealed, so the product opens them, in its own environment. Prints JSON:
{event_id: [SHA-256 of the guideline, the one that the result names, or ""]}.
"""

import hashlib
import json

import django

django.setup()

from jobs.models import Job  # noqa: E402


def main() -> None:
    jobs = Job.objects.across_tenants().select_related("document").defer("sealed_summary")
    print(json.dumps({str(job.event_id): sources(job) for job in jobs.iterator(chunk_size=100)}))


def sources(job: Job) -> list[str]:
    given = hashlib.sha256((job.document.text or "").encode()).hexdigest()
    made_from = job.result["provenance"]["source_sha256"] if job.result else ""
    return [given, made_from]


if __name__ == "__main__":
    main()
