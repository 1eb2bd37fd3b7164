"""Whatever is done to the log behind its triggers is found, and at the right place."""

import pytest
from django.db import ProgrammingError, connection, transaction

from tenants.sealing import chain, sealer, verification
from tests.factories import TenantFactory
from tests.tenants.sealing.conftest import act, seal_all, sql, verify

pytestmark = pytest.mark.django_db(transaction=True)

NOT_WHAT_WAS_SEALED = "is not what was sealed here: changed, moved, or the chain rewritten"


@pytest.fixture
def found(tenant, chain_of_five):
    """Checks that exactly these are found, each as (seq, which of the five entries, what)."""

    def check(*expected, entries=5):
        status, lines = verify()
        wanted = []
        for seq, entry, what in expected:
            names = f"tenant={tenant.slug}"
            names += f" seq={seq}" if seq else ""
            names += f" entry={entry}" if entry else ""
            wanted.append(f"audit: {names}: {what}")
        assert lines[:-1] == wanted
        assert lines[-1] == f"audit: tenants=1 entries={entries} findings={len(expected)}"
        assert status == 1
        return lines

    return check


def test_an_untouched_log_is_in_order(chain_of_five):
    assert verify() == (0, ["audit: tenants=1 entries=5 ok"])


@pytest.mark.parametrize(
    "change",
    [
        "action = 'job.cancelled'",
        "outcome = 'refused'",
        "at = at + interval '1 microsecond'",
        "object_id = 'job-99'",
        "object_type = ''",
        "request_id = 'x'",
        "actor_kind = 'staff'",
    ],
)
def test_an_entry_that_was_changed_is_named(tamper, chain_of_five, found, change):
    tamper(f"UPDATE tenants_auditentry SET {change} WHERE id = {chain_of_five[2]}")

    found((3, chain_of_five[2], NOT_WHAT_WAS_SEALED))


@pytest.mark.parametrize(
    "change",
    [
        "actor = 'somebody else'",
        "on_behalf_of = 'x'",
        "address = '10.0.0.1'",
        "before = '{}'",
        "after = jsonb_set(after, '{number}', '4')",
        "after = NULL",
        "salt = gen_random_uuid()",
        "actor = address, address = actor",
    ],
)
def test_a_change_of_who_it_was_or_what_it_did_is_named(tamper, chain_of_five, found, change):
    tamper(f"UPDATE tenants_auditentry SET {change} WHERE id = {chain_of_five[2]}")

    found((3, chain_of_five[2], "who it was, or what it changed, is not what was sealed"))


def test_an_entry_that_was_deleted_is_named(tamper, chain_of_five, found):
    tamper(f"DELETE FROM tenants_auditentry WHERE id = {chain_of_five[1]}")

    found((2, chain_of_five[1], "the entry was deleted"), entries=4)


def test_an_entry_that_was_deleted_with_its_seal_leaves_a_gap(tamper, chain_of_five, found):
    tamper(
        f"DELETE FROM tenants_auditentry WHERE id = {chain_of_five[1]}",
        f"DELETE FROM tenants_auditseal WHERE entry_id = {chain_of_five[1]}",
    )

    found((2, None, "is missing"), entries=4)


def test_a_gap_that_was_closed_by_counting_anew_is_found(tamper, chain_of_five, found):
    tamper(
        f"DELETE FROM tenants_auditentry WHERE id = {chain_of_five[1]}",
        f"DELETE FROM tenants_auditseal WHERE entry_id = {chain_of_five[1]}",
        "UPDATE tenants_auditseal SET seq = seq + 100 WHERE seq > 2",
        "UPDATE tenants_auditseal SET seq = seq - 101 WHERE seq > 100",
    )

    moved = [(seq, chain_of_five[seq], NOT_WHAT_WAS_SEALED) for seq in (2, 3, 4)]
    found(*moved, entries=4)


def test_an_entry_inserted_in_the_middle_has_no_seal(tamper, tenant, chain_of_five, found):
    tamper(
        "INSERT INTO tenants_auditentry (tenant_id, at, actor_kind, actor, on_behalf_of, address,"
        " request_id, action, outcome, object_type, object_id, xid)"
        f" SELECT tenant_id, at - interval '5 minutes', actor_kind, actor, '', '', '', action,"
        f" outcome, '', '', '3' FROM tenants_auditentry WHERE id = {chain_of_five[2]}"
    )
    [(forged,)] = sql("SELECT max(id) FROM tenants_auditentry")
    sealer.work()

    found((None, forged, "has no seal in this chain"), entries=6)


def test_a_changed_entry_with_a_seal_made_to_fit_does_not_fit_the_next(
    tamper, chain_of_five, found
):
    tamper(f"UPDATE tenants_auditentry SET action = 'x' WHERE id = {chain_of_five[2]}")
    [(before,)] = sql("SELECT hash FROM tenants_auditseal WHERE seq = 2")
    [columns] = sql(
        f"SELECT {chain.COLUMNS} FROM tenants_auditentry AS entry WHERE id = %s", chain_of_five[2]
    )
    entry = chain.Entry(*columns)
    fitting = chain.link(bytes(before), 3, entry, chain.personal_digest(entry))
    tamper(f"UPDATE tenants_auditseal SET hash = '\\x{fitting.hex()}' WHERE seq = 3")

    found((4, chain_of_five[3], NOT_WHAT_WAS_SEALED))


def test_two_entries_that_changed_places_are_both_named(tamper, chain_of_five, found):
    _, second, third, *_ = chain_of_five
    tamper(
        f"UPDATE tenants_auditseal SET entry_id = 0 WHERE entry_id = {second}",
        f"UPDATE tenants_auditseal SET entry_id = {second}, personal = (SELECT personal FROM"
        f" tenants_auditseal WHERE entry_id = 0) WHERE entry_id = {third}",
        f"UPDATE tenants_auditseal SET entry_id = {third} WHERE entry_id = 0",
    )

    what = "who it was, or what it changed, is not what was sealed"
    found((2, third, what), (3, second, NOT_WHAT_WAS_SEALED))


def test_entries_cut_off_the_end_are_named_by_their_seals(tamper, chain_of_five, found):
    tamper(f"DELETE FROM tenants_auditentry WHERE id >= {chain_of_five[3]}")

    found(
        (4, chain_of_five[3], "the entry was deleted"),
        (5, chain_of_five[4], "the entry was deleted"),
        entries=3,
    )


def test_a_seal_of_another_tenants_chain_does_not_count(tamper, tenant, chain_of_five, found):
    other = TenantFactory()
    seal_all()
    tamper(
        f"UPDATE tenants_auditseal SET tenant_id = '{other.id}', seq = 2"
        f" WHERE entry_id = {chain_of_five[4]}"
    )

    status, lines = verify()

    assert status == 1
    assert lines[:2] == [
        f"audit: tenant={tenant.slug} entry={chain_of_five[4]}: has no seal in this chain",
        f"audit: tenant={other.slug} seq=2 entry={chain_of_five[4]}: {NOT_WHAT_WAS_SEALED}",
    ]


# --- What is not sealed ---------------------------------------------------------------------


def test_what_is_not_sealed_after_a_minute_is_found_and_before_it_is_not(
    tamper, tenant, chain_of_five, found
):
    act(tenant)
    assert verify() == (0, ["audit: tenants=1 entries=6 ok"])
    [(last,)] = sql("SELECT max(id) FROM tenants_auditentry")

    tamper(f"UPDATE tenants_auditentry SET at = at - interval '61 seconds' WHERE id = {last}")

    found((None, last, "has no seal in this chain"), entries=6)


# --- Walls ----------------------------------------------------------------------------------

TRIGGERS = [
    ("tenants_auditentry", "audit_entry_is_kept"),
    ("tenants_auditentry", "audit_entries_are_kept"),
    ("tenants_auditseal", "audit_seal_is_kept"),
    ("tenants_auditseal", "audit_seals_are_kept"),
]


@pytest.mark.parametrize(("table", "trigger"), TRIGGERS)
@pytest.mark.parametrize("how", ["DISABLE", "ENABLE", "ENABLE REPLICA"])
def test_a_trigger_that_does_not_always_fire_is_found(walls, tenant, table, trigger, how):
    seal_all()
    sql(f"ALTER TABLE {table} {how} TRIGGER {trigger}")

    status, lines = verify()

    sql(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
    assert (status, lines[0]) == (
        1,
        f"audit: everywhere: the trigger {trigger} of {table} is missing, disabled or changed",
    )
    assert verify()[0] == 0


def test_a_function_that_was_replaced_by_a_harmless_one_is_found(walls, tenant):
    seal_all()
    [(source,)] = sql("SELECT pg_get_functiondef('tenants_audit_is_kept'::regproc)")
    sql(
        "CREATE OR REPLACE FUNCTION tenants_audit_is_kept() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RETURN OLD; END $$"
    )

    status, lines = verify()

    sql(source.replace("%", "%%"))
    assert status == 1
    assert [line.split(": ")[2].split()[2] for line in lines[:-1]] == [
        "audit_entries_are_kept",
        "audit_seal_is_kept",
        "audit_seals_are_kept",
    ]


@pytest.mark.parametrize("privilege", ["UPDATE", "UPDATE (actor)", "DELETE", "TRUNCATE", "TRIGGER"])
def test_a_privilege_that_was_given_is_found(walls, tenant, privilege):
    seal_all()
    sql(f"GRANT {privilege} ON tenants_auditentry TO guidepost_staff")

    status, lines = verify()

    sql(f"REVOKE {privilege} ON tenants_auditentry FROM guidepost_staff")
    name = privilege.split()[0]
    assert (status, lines[:-1]) == (
        1,
        [f"audit: everywhere: guidepost_staff has the privilege {name} on tenants_auditentry"],
    )


# --- How it is asked -------------------------------------------------------------------------


def test_one_tenant_can_be_checked_alone(tamper, tenant, chain_of_five):
    other = TenantFactory()
    seal_all()
    tamper(f"UPDATE tenants_auditentry SET action = 'x' WHERE id = {chain_of_five[0]}")

    assert verify("--tenant", other.slug) == (0, ["audit: tenants=1 entries=1 ok"])
    assert verify("--tenant", tenant.slug)[0] == 1
    assert verify("--tenant", "nobody") == (1, ["There is no tenant 'nobody'."])


def test_batches_meet_without_a_seam(chain_of_five, tenant, tamper, monkeypatch, found):
    monkeypatch.setattr(verification, "BATCH", 2)
    assert verify() == (0, ["audit: tenants=1 entries=5 ok"])

    tamper(f"UPDATE tenants_auditentry SET action = 'x' WHERE id = {chain_of_five[2]}")

    found((3, chain_of_five[2], NOT_WHAT_WAS_SEALED))


def test_no_two_entries_have_the_same_bytes():
    """Lengths first: moving a letter from one field to the next makes another digest."""
    entry = chain.Entry(1, None, chain.datetime(2026, 1, 1, tzinfo=chain.UTC), *[""] * 10, "", None)
    others = [
        entry._replace(actor="ab", on_behalf_of="c"),
        entry._replace(actor="a", on_behalf_of="bc"),
        entry._replace(before=None, after=""),
        entry._replace(before=None),
        entry,
    ]

    assert len({chain.personal_digest(each) for each in others}) == 5


def test_the_sealers_query_starts_at_the_watermark(chain_of_five):
    parameters = {"xid": "0", "id": 0, "limit": 2000}

    with transaction.atomic(), connection.cursor() as cursor:
        for other_way in ("seqscan", "bitmapscan", "sort"):
            cursor.execute(f"SET LOCAL enable_{other_way} = off")
        cursor.execute("EXPLAIN " + sealer.NEXT, parameters)
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "Index Scan using audit_unsealed" in plan
    assert "Sort" not in plan
    assert "Filter" not in plan


def test_a_login_that_may_not_read_the_log_finds_nothing_in_order(chain_of_five):
    """Not even the tables' owner, from whom row-level security hides every row."""
    sql("CREATE ROLE test_owner NOLOGIN NOSUPERUSER")
    sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO test_owner")
    sql("SET SESSION AUTHORIZATION test_owner")

    try:
        with pytest.raises(ProgrammingError, match="permission denied to set role"):
            verify()
    finally:
        sql("RESET SESSION AUTHORIZATION")
        sql("DROP OWNED BY test_owner")
        sql("DROP ROLE test_owner")
