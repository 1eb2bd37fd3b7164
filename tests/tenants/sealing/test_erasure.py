"""A person can be taken out of the log; the chain holds, and doing so in secret is found."""

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, ProgrammingError, transaction

from config.isolation import DatabaseRole, acting_as
from tenants.audit import Actor, acts_of, record
from tenants.models import ActorKind, AuditEntry
from tenants.sealing import erasure
from tests.factories import TenantFactory
from tests.tenants.sealing.conftest import act, seal_all, sql, verify

pytestmark = pytest.mark.django_db(transaction=True)

ANN = "ann@example.com"


@pytest.fixture
def log(walls, tenant):
    """Five entries, of which four name Ann; one more of another tenant does too."""
    with acts_of(Actor(ActorKind.PERSON, ANN, address="203.0.113.7")):
        act(tenant, 1)
        act(TenantFactory(), 2)
    with acts_of(Actor(ActorKind.SYSTEM, "pump", on_behalf_of=ANN)):
        act(tenant, 3)
    record("member.invited", tenant_id=tenant.id, after={"deep": [{"email": ANN}]})
    act(tenant, 4)
    seal_all()


def everything():
    return "\n".join(row[0] for row in sql("SELECT e::text FROM tenants_auditentry AS e"))


def test_a_person_is_gone_and_the_chains_hold(log, tenant, capsys):
    assert everything().count(ANN) == 4 + 1  # the other tenant was made by her as well

    call_command("audit_erase", ANN, "--reason", "request of 24 November")
    seal_all()

    assert "erased in 5 entries" in capsys.readouterr().out
    assert ANN not in everything()
    assert "203.0.113.7" not in everything()
    assert verify() == (0, ["audit: tenants=2 entries=9 ok"])
    kept = AuditEntry.objects.for_tenant(tenant.id).get(object_id="job-1")
    assert (kept.action, kept.actor, kept.after) == ("job.submitted", "", None)


def test_others_are_left_as_they_are(log, tenant):
    call_command("audit_erase", ANN, "--reason", "x")

    other = AuditEntry.objects.for_tenant(tenant.id).get(object_id="job-4")
    assert (other.actor, other.after) == ("system", {"number": 4})


def test_each_batch_says_what_it_erased(log, tenant, monkeypatch):
    monkeypatch.setattr(erasure, "BATCH", 2)

    assert erasure.erase(ANN, reason="x") == 5
    assert erasure.erase(ANN, reason="x") == 0

    listed = [
        entry
        for e in AuditEntry.objects.across_tenants().filter(action="audit.erased")
        for entry in e.after["entries"]
    ]
    assert sorted(listed) == [
        r[0] for r in sql("SELECT id FROM tenants_auditentry WHERE salt IS NULL ORDER BY id")
    ]
    seal_all()
    assert verify()[0] == 0


ERASE = (
    "UPDATE tenants_auditentry SET salt = NULL, actor = '', on_behalf_of = '', address = '',"
    " before = NULL, after = NULL WHERE object_id = 'job-1'"
)


def test_an_entry_that_was_erased_in_secret_is_found(log, tenant):
    assert sql(ERASE) == 1

    status, lines = verify()

    assert status == 1
    assert lines[0].endswith("who it was is erased, and no entry says so")


def test_an_erased_entry_is_still_held_to_the_rest_of_it(log, tenant, tamper):
    erasure.erase(ANN, reason="x")
    seal_all()
    tamper("UPDATE tenants_auditentry SET action = 'x' WHERE object_id = 'job-1'")

    assert verify()[0] == 1


@pytest.mark.parametrize(
    "changes",
    [
        "actor = ''",
        "salt = NULL",
        "actor = '', salt = NULL, on_behalf_of = '', address = '', before = NULL",
        "actor = 'x', salt = NULL, on_behalf_of = '', address = '', before = NULL, after = NULL",
    ],
)
def test_personal_fields_go_all_together_or_not_at_all(log, changes):
    with pytest.raises(IntegrityError, match="audit_is_never_changed"), transaction.atomic():
        sql(f"UPDATE tenants_auditentry SET {changes} WHERE object_id = 'job-1'")


@pytest.mark.parametrize("role", list(DatabaseRole))
def test_no_role_of_the_product_may_erase(log, tenant, role):
    with pytest.raises(ProgrammingError, match="permission denied"), acting_as(role, tenant.id):
        sql(ERASE)


def test_somebody_who_is_not_there_is_said_to_be_not_there(log):
    with pytest.raises(CommandError, match="No entry"):
        call_command("audit_erase", "bob@example.com", "--reason", "x")
