"""Rows from before there was sealing are sealed by `migrate`, by an owner who is no superuser."""

import json
import os
import subprocess
import sys
import uuid
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.rows import dict_row

from config import crypto
from deploy.local.stack import ROOT
from jobs import sealed
from tenants.vault import WRAPPED, TenantKeys

TEXT = "Staff MUST wash their hands. Ä 🖐"
SUMMARY = {"value": {"title": "T"}, "usage": {"calls": 1}}
RESULT = {"checklist": [{"action": "Wash ✔"}]}
COUNT = 150  # more than one batch

MAKE = """
SET session_replication_role = replica;
INSERT INTO tenants_tenant (id, name, slug, is_active, created_at)
VALUES (%(tenant)s, 'T', 't', true, now());
INSERT INTO jobs_document (tenant_id, text, sha256)
SELECT %(tenant)s, %(text)s || n, encode(sha256((%(text)s || n)::bytea), 'hex')
FROM generate_series(1, %(count)s) AS n;
INSERT INTO jobs_job (event_id, tenant_id, document_id, submitted_by, title, metadata, priority,
    status, step, ready, run, attempt, crashes, failures, event_seq, worker, error_code,
    error_detail, llm_calls, prompt_tokens, completion_tokens, unknown_calls, summary, result,
    ended_at)
SELECT gen_random_uuid(), tenant_id, id, 'x', 'Title', '{}', 0,
    'COMPLETED', 'checklist', false, 1, 1, 0, 0, 3, '', '', '', 2, 0, 0, 0,
    %(summary)s, %(result)s, now()
FROM jobs_document;
INSERT INTO jobs_job (event_id, tenant_id, document_id, submitted_by, title, metadata, priority,
    status, step, ready, run, attempt, crashes, failures, event_seq, worker, error_code,
    error_detail, llm_calls, prompt_tokens, completion_tokens, unknown_calls)
SELECT gen_random_uuid(), tenant_id, id, 'x', 'Waits', '{}', 0,
    'PENDING', 'summarize', true, 1, 0, 0, 0, 1, '', '', '', 0, 0, 0, 0
FROM jobs_document LIMIT 1;
INSERT INTO jobs_jobattempt (tenant_id, job_id, number, worker, step, outcome, error, ended_at)
SELECT tenant_id, id, 1, 'w', 'summarize', 'failed',
    CASE WHEN id %% 2 = 0 THEN 'raw error' ELSE '' END, now()
FROM jobs_job WHERE status = 'COMPLETED'
"""


@pytest.fixture
def database():
    """An empty one, with its owner; the addresses for the owner and for a superuser."""
    server, name = os.environ["DATABASE_URL"], f"guidepost_before_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            f"CREATE ROLE {name} LOGIN CREATEROLE NOSUPERUSER NOBYPASSRLS PASSWORD 'secret'"
        )
        connection.execute(f"CREATE DATABASE {name} OWNER {name}")
    parts = urlsplit(server)
    address = parts.netloc.rpartition("@")[2]
    owner = parts._replace(netloc=f"{name}:secret@{address}", path=f"/{name}")
    yield urlunsplit(owner), urlunsplit(parts._replace(path=f"/{name}"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"DROP ROLE {name}")


# Privileges name columns that are not there yet: `migrate` grants them once all of it has run.
UP_TO = """
import sys, django
django.setup()
from django.core.management import call_command
from django.db.models.signals import post_migrate
post_migrate.receivers = []
for app, name in (("tenants", "0002"), ("jobs", "0008")):
    call_command("migrate", app, name, verbosity=0)
"""
FORCED = ["jobs_document", "jobs_job", "jobs_jobattempt", "tenants_tenant"]


def run(url, *command):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_what_stood_in_clear_is_sealed_and_opens(database):
    owner, superuser = database
    run(owner, "-c", UP_TO)
    tenant_id = uuid.uuid4()
    with psycopg.connect(superuser, cursor_factory=psycopg.ClientCursor) as connection:
        for table in FORCED:
            connection.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            connection.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        values = {"summary": json.dumps(SUMMARY), "result": json.dumps(RESULT)}
        connection.execute(MAKE, {"tenant": tenant_id, "text": TEXT, "count": COUNT, **values})

    run(owner, "manage.py", "migrate", "--verbosity", "0")

    with psycopg.connect(superuser, row_factory=dict_row) as connection:
        [key] = connection.execute("SELECT * FROM tenants_datakey").fetchall()
        documents = connection.execute("SELECT * FROM jobs_document ORDER BY id").fetchall()
        jobs = connection.execute("SELECT * FROM jobs_job ORDER BY id").fetchall()
        attempts = connection.execute("SELECT * FROM jobs_jobattempt ORDER BY id").fetchall()
        forced = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relforcerowsecurity AND relname = ANY(%s)",
            [[*FORCED, "tenants_datakey"]],
        ).fetchone()
    opened = crypto.unseal(key["wrapped"], WRAPPED.format(tenant_id, 1))
    keys = TenantKeys(tenant_id, {1: opened})

    def unseal(blob, place, *row):
        return keys.unseal(blob, place.format(*row)).decode()

    assert [unseal(d["sealed_text"], sealed.DOCUMENT_TEXT, d["uid"]) for d in documents] == [
        f"{TEXT}{n}" for n in range(1, COUNT + 1)
    ]
    assert len({d["uid"] for d in documents}) == COUNT
    first = documents[0]["digest"]
    assert first == keys.index(f"{TEXT}1".encode(), "jobs_document.digest")
    *completed, waiting = jobs
    assert len(completed) == COUNT
    for job in completed:
        assert json.loads(unseal(job["sealed_summary"], sealed.SUMMARY, job["event_id"])) == SUMMARY
        assert json.loads(unseal(job["sealed_result"], sealed.RESULT, job["event_id"])) == RESULT
    assert (waiting["sealed_summary"], waiting["sealed_result"]) == (None, None)
    for attempt in attempts:
        if attempt["job_id"] % 2:
            assert attempt["sealed_error"] is None
        else:
            place = attempt["job_id"], attempt["number"]
            assert unseal(attempt["sealed_error"], sealed.ERROR, *place) == "raw error"
    assert not {"text", "summary", "result", "error", "sha256"} & {
        *documents[0],
        *jobs[0],
        *attempts[0],
    }
    assert forced["count"] == 5
