"""Entries get their place in a chain: all of them, once, in one order."""

import threading

import psycopg
import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from config.isolation import DatabaseRole, acting_as
from tenants.models import AuditEntry, AuditSeal
from tenants.sealing import sealer
from tests.factories import TenantFactory
from tests.tenants.sealing.conftest import act, seal_all, sql, verify

pytestmark = pytest.mark.django_db(transaction=True)


def seqs(tenant):
    return list(
        AuditSeal.objects.for_tenant(tenant.id).order_by("seq").values_list("seq", flat=True)
    )


def test_each_tenant_and_the_installation_have_a_chain_without_gaps(walls, tenant):
    other = TenantFactory()
    for number in range(3):
        act(tenant, number)
        act(other, number)
        act(None, number)

    seal_all()

    assert seqs(tenant) == seqs(other) == [1, 2, 3, 4]
    assert sql("SELECT seq FROM tenants_auditseal WHERE tenant_id IS NULL ORDER BY seq") == [
        (1,),
        (2,),
        (3,),
    ]
    assert verify() == (0, ["audit: tenants=2 entries=11 ok"])


def test_nothing_is_sealed_twice_and_a_second_run_finds_nothing(walls, chain_of_five):
    assert sealer.work() == 0
    assert AuditSeal.objects.across_tenants().count() == 5


def test_what_a_transaction_seals_of_its_own_is_passed_over_later_and_holds(walls):
    with transaction.atomic():
        tenant = TenantFactory()
        act(tenant)
        sealer.seal_tenant(tenant.id)
        assert seqs(tenant) == [1, 2]
        act(tenant)

    seal_all()

    assert seqs(tenant) == [1, 2, 3]
    assert verify() == (0, ["audit: tenants=1 entries=3 ok"])


def another_connection():
    there = connection.get_connection_params()
    wanted = {k: there[k] for k in ("host", "port", "dbname", "user", "password") if k in there}
    return psycopg.connect(**wanted)


INSERT = (
    "INSERT INTO tenants_auditentry (tenant_id, actor_kind, actor, on_behalf_of, address,"
    " request_id, action, outcome, object_type, object_id)"
    " VALUES (%s, 'key', 'late', '', '', '', 'job.submitted', 'done', '', '') RETURNING id"
)


def test_an_entry_whose_transaction_commits_late_is_not_missed(walls, tenant):
    with another_connection() as late:
        [first] = late.execute(INSERT, [tenant.id]).fetchone()
        act(tenant)
        sealer.work()
        sealed_meanwhile = sql("SELECT count(*) FROM tenants_auditseal WHERE entry_id > %s", first)
        late.commit()

    seal_all()

    [(after,)] = sql("SELECT max(id) FROM tenants_auditentry")
    assert first < after
    assert sealed_meanwhile == [(0,)]
    assert len(seqs(tenant)) == 3
    assert verify()[0] == 0


def test_an_entry_that_is_rolled_back_leaves_no_gap(walls, tenant):
    with another_connection() as other:
        other.execute(INSERT, [tenant.id])
        other.rollback()
    act(tenant)

    seal_all()

    assert seqs(tenant) == [1, 2]


def test_of_several_sealers_one_works_and_the_others_leave(walls, tenant):
    for number in range(50):
        act(tenant, number)

    def work():
        for _ in range(5):
            sealer.seal_batch()
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    seal_all()
    assert seqs(tenant) == list(range(1, 52))
    assert verify()[0] == 0


def test_a_held_watermark_makes_a_sealer_leave_at_once(walls, tenant):
    with another_connection() as other:
        other.execute("SELECT FROM tenants_auditwatermark FOR UPDATE")

        assert sealer.work() == 0


def test_more_than_a_batch_is_sealed_in_one_run(walls, tenant, monkeypatch):
    monkeypatch.setattr(sealer, "BATCH", 7)
    for number in range(30):
        act(tenant, number)

    seal_all()

    assert seqs(tenant) == list(range(1, 32))


def test_after_a_restore_on_a_server_with_other_transaction_ids_all_is_sealed(
    walls, tenant, tamper, chain_of_five
):
    """A dump brings rows and a watermark whose transaction ids this server has not come to yet."""
    act(tenant)
    tamper(
        "UPDATE tenants_auditentry SET xid = (xid::text::bigint + 1000000)::text::xid8",
        "UPDATE tenants_auditwatermark SET xid = (SELECT max(xid) FROM tenants_auditentry)",
    )
    act(tenant)

    seal_all()

    assert seqs(tenant) == [1, 2, 3, 4, 5, 6, 7]
    act(tenant)
    seal_all()
    assert seqs(tenant)[-1] == 8
    assert verify()[0] == 0


def test_entries_above_the_watermark_that_are_sealed_already_are_passed_over(walls, chain_of_five):
    sql("UPDATE tenants_auditwatermark SET xid = '0', entry_id = 0")

    sealer.work()

    assert AuditSeal.objects.across_tenants().count() == 5
    assert verify()[0] == 0


# --- Who may do what ------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(DatabaseRole))
@pytest.mark.parametrize("table", ["tenants_auditentry", "tenants_auditseal"])
@pytest.mark.parametrize("act", ["UPDATE {} SET tenant_id = NULL", "DELETE FROM {}", "TRUNCATE {}"])
def test_no_role_changes_deletes_or_empties_the_log(role, table, act, tenant):
    with pytest.raises(ProgrammingError, match="permission denied"), acting_as(role, tenant.id):
        sql(act.format(table))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenants_auditentry SET action = 'x'",
        "UPDATE tenants_auditentry SET actor = 'x'",
        "UPDATE tenants_auditentry SET actor = ''",
        "DELETE FROM tenants_auditentry",
        "TRUNCATE tenants_auditentry",
        "UPDATE tenants_auditseal SET seq = seq + 1000",
        "DELETE FROM tenants_auditseal",
        "TRUNCATE tenants_auditseal",
    ],
)
@pytest.mark.parametrize("mode", ["origin", "replica"])
def test_the_owner_and_a_superuser_are_refused_too(walls, chain_of_five, statement, mode):
    with pytest.raises(IntegrityError, match="audit_is_never_changed"), transaction.atomic():
        sql(f"SET LOCAL session_replication_role = {mode}")
        sql(statement)

    assert verify() == (0, ["audit: tenants=1 entries=5 ok"])


@pytest.mark.parametrize("role", [r for r in DatabaseRole if r is not DatabaseRole.WORKER])
def test_only_workers_seal(role, tenant):
    [(entry,)] = sql("SELECT max(id) FROM tenants_auditentry")
    statement = (
        "INSERT INTO tenants_auditseal (entry_id, tenant_id, seq, hash, personal)"
        f" VALUES ({entry}, '{tenant.id}', 1, '', '')"
    )

    with pytest.raises(ProgrammingError, match="permission denied"), acting_as(role, tenant.id):
        sql(statement)


@pytest.mark.parametrize("column", ["id", "at", "xid", "salt"])
@pytest.mark.parametrize("role", list(DatabaseRole))
def test_nobody_chooses_an_entrys_time_number_or_transaction(role, column, tenant):
    statement = INSERT.replace("(tenant_id", f"({column}, tenant_id").replace("(%s", "(DEFAULT, %s")

    with pytest.raises(ProgrammingError, match="permission denied"), acting_as(role, tenant.id):
        sql(statement, tenant.id)


def test_a_tenants_request_writes_entries_of_no_other_tenant(tenant):
    other = TenantFactory()
    before = AuditEntry.objects.across_tenants().count()

    for foreign in (other, None):
        with pytest.raises(ProgrammingError), acting_as(DatabaseRole.API, tenant.id):
            act(foreign)

    assert AuditEntry.objects.across_tenants().count() == before
