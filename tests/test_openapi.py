"""The committed OpenAPI document is what the code says, and answers are what it promises."""

from pathlib import Path

import jsonschema
import pytest
import yaml
from django.core.management import call_command

from jobs.result_schema import FLAGS
from tenants.models import Role
from tests.callers import client_of, member_of
from tests.factories import JobFactory
from tests.jobs.acts import completed, failed

COMMITTED = Path(__file__).parent.parent / "docs" / "openapi.yaml"


@pytest.fixture(scope="module")
def document():
    return yaml.safe_load(COMMITTED.read_text())


def check(document, name, value):
    """Raises ValidationError if the value is not what the component says."""
    schema = {**document, "$ref": f"#/components/schemas/{name}"}
    jsonschema.validate(value, schema, format_checker=jsonschema.FormatChecker())


def test_the_committed_document_is_the_generated_one_and_nothing_in_it_is_guessed(tmp_path):
    generated = tmp_path / "openapi.yaml"

    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(generated))

    assert generated.read_text() == COMMITTED.read_text(), "run: make openapi"


def test_every_operation_has_what_a_reader_needs(document):
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation.get("summary"), where
            assert operation.get("description"), where
            assert any(int(status) >= 400 for status in operation["responses"]), where


def test_jobs_look_as_the_document_says(api, tenant, document):
    jobs = [JobFactory(tenant=tenant)]
    jobs += [failed(jobs[0]), JobFactory(tenant=tenant)]
    completed(jobs[2], result=RESULT)

    for job in jobs:
        check(document, "JobDetail", api.get(f"/jobs/{job.event_id}").json())
    check(document, "JobPage", api.get("/jobs?limit=1").json())
    check(document, "Problem", api.get("/jobs?limit=0").json())


def test_keys_people_and_shares_look_as_the_document_says(tenant, document):
    owner = client_of(member_of(tenant))
    guest = member_of(tenant, Role.VIEWER)
    event_id = JobFactory(tenant=tenant).event_id

    def post(path, **body):
        return owner.post(path, body, format="json").json()

    made = post("/keys", name="x", scopes=["jobs:read"], allowed_networks=["::/0"])
    check(document, "NewKey", made)
    check(document, "NewKey", post(f"/keys/{made['client_id']}/rotate", overlap_minutes=5))
    check(document, "Key", post(f"/keys/{made['client_id']}/revoke"))
    check(document, "KeyPage", owner.get("/keys?limit=1").json())
    check(document, "MemberPage", owner.get("/members").json())
    check(document, "Invitation", post("/invitations", email="b@example.com", role="admin"))
    check(document, "InvitationPage", owner.get("/invitations").json())
    check(document, "Share", post(f"/jobs/{event_id}/shares", member=str(guest.public_id)))
    check(document, "Share", post(f"/jobs/{event_id}/shares", role="viewer"))
    check(document, "ShareList", owner.get(f"/jobs/{event_id}/shares").json())
    check(document, "Me", owner.get("/me").json())


def test_settings_and_limits_look_as_the_document_says(tenant, document):
    owner = client_of(member_of(tenant))
    key = {"provider": "openai", "api_key": "sk-a-key-of-the-tests-1234"}

    changed = owner.patch("/settings", {"models": [], "language": "de"}, format="json").json()
    check(document, "Settings", changed)
    check(document, "ProviderKey", owner.put("/settings/provider", key, format="json").json())
    check(document, "ProviderKey", owner.get("/settings/provider").json())
    check(document, "Limits", owner.get("/limits").json())


def test_the_document_refuses_what_it_does_not_promise(document):
    with pytest.raises(jsonschema.ValidationError):
        check(document, "Result", {**RESULT, "checklist": [{}]})


RESULT = {
    "summary": {"title": "T", "scope": "", "audience": "", "statements": []},
    "checklist": [],
    "dropped": [],
    "coverage": {"statements": 0, "covered": 0, "must": 0, "must_covered": 0, "missing": []},
    "grounding": {
        **dict.fromkeys(("citations", "exact", "normalised", "fuzzy", "unsupported"), 0),
        "flags": dict.fromkeys(FLAGS, 0),
    },
    "provenance": {
        "app_version": "0",
        "source_sha256": "0" * 64,
        "steps": {
            step: {"prompt": "p.v1", "prompt_sha256": "0", "model": "m", "seconds": 0.1}
            for step in ("summarize", "checklist")
        },
    },
}
