"""Seals what stands in clear, some rows at a time. It may be interrupted and run again.

Each batch is a transaction of its own, so that a large table is not locked until the end. The
next migration seals what was written meanwhile, before it takes the old columns away.
"""

import json

from django.db import migrations, transaction

from config.isolation import past_row_security
from jobs import sealed

BATCH = 100
TABLES = ("tenants_datakey", "jobs_document", "jobs_job", "jobs_jobattempt")

DOCUMENTS = """
SELECT id, tenant_id, uid, text FROM jobs_document WHERE sealed_text IS NULL LIMIT %s
"""
JOBS = """
SELECT id, tenant_id, event_id, summary::text, result::text FROM jobs_job
WHERE summary IS NOT NULL AND sealed_summary IS NULL
    OR result IS NOT NULL AND sealed_result IS NULL
LIMIT %s
"""
ATTEMPTS = """
SELECT id, tenant_id, job_id, number, error FROM jobs_jobattempt
WHERE error <> '' AND sealed_error IS NULL LIMIT %s
"""


def seal_in_batches(apps, schema_editor):
    connection = schema_editor.connection
    for seal in (seal_documents, seal_jobs, seal_attempts):
        count = 1
        while count:
            with transaction.atomic(using=connection.alias):
                count = seal_batch(connection, seal)


def seal_batch(connection, seal):
    """How many rows it has sealed. In the caller's transaction."""
    with past_row_security(*TABLES, on=connection), connection.cursor() as cursor:
        return seal(cursor)


def seal_documents(cursor):
    cursor.execute(DOCUMENTS, [BATCH])
    rows = cursor.fetchall()
    for pk, tenant_id, uid, text in rows:
        cursor.execute(
            "UPDATE jobs_document SET sealed_text = %s, sha256 = %s WHERE id = %s",
            [
                sealed.seal_text(tenant_id, text, sealed.DOCUMENT_TEXT.format(uid)),
                sealed.digest(tenant_id, text),
                pk,
            ],
        )
    return len(rows)


def seal_jobs(cursor):
    cursor.execute(JOBS, [BATCH])
    rows = cursor.fetchall()
    for pk, tenant_id, event_id, summary, result in rows:
        cursor.execute(
            "UPDATE jobs_job SET sealed_summary = %s, sealed_result = %s WHERE id = %s",
            [
                resealed(tenant_id, summary, sealed.SUMMARY.format(event_id)),
                resealed(tenant_id, result, sealed.RESULT.format(event_id)),
                pk,
            ],
        )
    return len(rows)


def resealed(tenant_id, text, place):
    return None if text is None else sealed.seal_json(tenant_id, json.loads(text), place)


def seal_attempts(cursor):
    cursor.execute(ATTEMPTS, [BATCH])
    rows = cursor.fetchall()
    for pk, tenant_id, job_id, number, error in rows:
        place = sealed.ERROR.format(job_id, number)
        cursor.execute(
            "UPDATE jobs_jobattempt SET sealed_error = %s WHERE id = %s",
            [sealed.seal_text(tenant_id, error, place), pk],
        )
    return len(rows)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("jobs", "0009_sealed_columns")]

    operations = [migrations.RunPython(seal_in_batches)]
