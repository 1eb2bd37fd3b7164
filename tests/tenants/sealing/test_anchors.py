"""What the chain alone cannot show, the anchors do: an end cut off, a chain computed anew."""

import json
import logging

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from tenants.sealing import anchors, chain
from tests.tenants.sealing.conftest import act, seal_all, sql, verify

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def file(settings, tmp_path, walls):
    settings.AUDIT_ANCHOR_FILE = str(tmp_path / "audit" / "anchors.jsonl")
    settings.AUDIT_ANCHOR_KEY = "k" * 40
    sql("UPDATE tenants_auditwatermark SET anchored_at = '-infinity'")
    return tmp_path / "audit" / "anchors.jsonl"


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_an_anchor_holds_the_heads_that_moved_since_the_last(file, tenant, chain_of_five):
    anchors.anchor()
    anchors.anchor()
    act(None)
    seal_all()
    anchors.anchor()

    first, second, third = lines(file)
    stored = "SELECT encode(hash, 'hex') FROM tenants_auditseal WHERE seq = 5"
    assert first["heads"] == [{"tenant": str(tenant.id), "seq": 5, "hash": sql(stored)[0][0]}]
    assert second["heads"] == []
    assert [head["tenant"] for head in third["heads"]] == [None]
    assert verify() == (0, ["audit: tenants=1 entries=6 ok"])


def test_the_file_is_for_our_eyes_only(file, chain_of_five):
    anchors.anchor()

    assert file.stat().st_mode & 0o777 == 0o600


def test_it_is_written_to_the_log_as_well(file, chain_of_five, caplog):
    with caplog.at_level(logging.INFO):
        anchors.anchor()

    [said] = [record for record in caplog.records if record.message == "audit_anchor"]
    assert said.anchor == lines(file)[0]


def test_the_pump_anchors_once_an_hour(file, chain_of_five):
    anchors.work()
    anchors.work()
    assert len(lines(file)) == 1

    sql("UPDATE tenants_auditwatermark SET anchored_at = anchored_at - interval '1 hour'")
    anchors.work()

    assert len(lines(file)) == 2


def test_a_file_that_cannot_be_written_is_an_error_event_and_is_tried_again_in_a_minute(
    file, chain_of_five, caplog
):
    file.parent.write_text("a file where the directory should be")

    anchors.work()
    anchors.work()

    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == ["audit_anchor_failed"]
    file.parent.unlink()
    sql("UPDATE tenants_auditwatermark SET anchored_at = anchored_at - interval '1 minute'")
    anchors.work()
    assert len(lines(file)) == 1


def test_without_a_file_there_are_no_anchors(settings, chain_of_five):
    settings.AUDIT_ANCHOR_FILE = ""

    anchors.work()

    with pytest.raises(CommandError, match="Set AUDIT_ANCHOR_FILE and AUDIT_ANCHOR_KEY"):
        call_command("audit_anchor")


def test_an_end_that_was_cut_off_with_its_seals_is_found(file, tenant, tamper, chain_of_five):
    call_command("audit_anchor")
    tamper(
        f"DELETE FROM tenants_auditentry WHERE id >= {chain_of_five[3]}",
        f"DELETE FROM tenants_auditseal WHERE entry_id >= {chain_of_five[3]}",
    )

    status, said = verify()

    assert status == 1
    assert said == [
        f"audit: tenant={tenant.slug} seq=5: the chain was cut off before here: it differs from"
        " line 1 of anchors.jsonl",
        "audit: tenants=1 entries=3 findings=1",
    ]


def rewrite(tamper, first):
    """What somebody with all rights does: changes an entry and computes all that follows anew."""
    tamper(f"UPDATE tenants_auditentry SET action = 'job.harmless' WHERE id = {first}")
    rows = sql(
        f"SELECT seal.seq, {chain.COLUMNS} FROM tenants_auditseal AS seal"
        " JOIN tenants_auditentry AS entry ON entry.id = seal.entry_id ORDER BY seal.seq"
    )
    previous, statements = chain.GENESIS, []
    for seq, *columns in rows:
        entry = chain.Entry(*columns)
        previous = chain.link(previous, seq, entry, chain.personal_digest(entry))
        statements.append(
            f"UPDATE tenants_auditseal SET hash = '\\x{previous.hex()}' WHERE entry_id = {entry.id}"
        )
    tamper(*statements)


def test_a_chain_that_was_computed_anew_is_found(file, tenant, tamper, chain_of_five):
    anchors.anchor()
    act(tenant)
    seal_all()
    rewrite(tamper, chain_of_five[1])

    status, said = verify()

    assert status == 1
    assert said[0] == (
        f"audit: tenant={tenant.slug} seq=5: the chain was rewritten: it differs from"
        " line 1 of anchors.jsonl"
    )


def test_a_later_anchor_of_a_rewritten_chain_does_not_hide_it(file, tamper, tenant, chain_of_five):
    anchors.anchor()
    rewrite(tamper, chain_of_five[1])
    act(tenant)
    seal_all()
    anchors.anchor()

    assert "line 1 of anchors.jsonl" in verify()[1][0]


def test_a_chain_that_was_emptied_is_found(file, tenant, tamper, chain_of_five):
    anchors.anchor()
    tamper("DELETE FROM tenants_auditentry", "DELETE FROM tenants_auditseal")

    assert verify()[1][0].startswith(
        f"audit: tenant={tenant.slug} seq=5: the chain was cut off before here"
    )


def test_a_tenant_that_is_gone_altogether_is_found(file, tenant, tamper, chain_of_five):
    anchors.anchor()
    tamper(
        "DELETE FROM tenants_auditentry",
        "DELETE FROM tenants_auditseal",
    )
    sql("DELETE FROM guardian_groupobjectpermission")
    sql("DELETE FROM tenants_datakey")
    sql("DELETE FROM tenants_tenant")

    assert verify()[1][0].startswith(f"audit: tenant={tenant.id} seq=5: the chain was cut off")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda rows: [rows[0].replace('"seq": 5', '"seq": 4'), rows[1]], "line 1 of {} is not"),
        (lambda rows: rows[1:], "line 1 of {} does not follow the line before it"),
        (lambda rows: [rows[1], rows[0]], "line 1 of {} does not follow the line before it"),
        (lambda rows: [rows[0], rows[0]], "line 2 of {} does not follow the line before it"),
        (lambda rows: [rows[0], "{"], "line 2 of {} cannot be read"),
        (lambda rows: [rows[0], "[]"], "line 2 of {} cannot be read"),
    ],
)
def test_a_file_that_was_tampered_with_is_found(file, tenant, chain_of_five, change, wrong):
    anchors.anchor()
    act(tenant)
    seal_all()
    anchors.anchor()
    assert verify()[0] == 0

    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")

    status, said = verify()
    assert status == 1
    assert said[0].startswith("audit: everywhere: " + wrong.format("anchors.jsonl"))


def test_a_key_that_was_replaced_still_verifies_its_lines(file, settings, chain_of_five):
    anchors.anchor()
    settings.AUDIT_ANCHOR_KEY = "n" * 40
    assert verify()[0] == 1

    settings.AUDIT_ANCHOR_OLD_KEYS = ["k" * 40]

    assert verify()[0] == 0


def test_a_file_that_is_gone_is_found_two_hours_later(file, tenant, tamper, chain_of_five):
    assert verify()[0] == 0

    tamper("UPDATE tenants_auditseal SET sealed_at = sealed_at - interval '121 minutes'")

    assert verify()[1][0] == (
        f"audit: tenant={tenant.slug} seq=1: stands in no anchor, nor does what follows"
    )


@pytest.mark.parametrize(("file_set", "key", "ids"), [(1, "", 1), (1, "k" * 32, 0), (0, "", 0)])
def test_a_file_without_a_good_key_stops_the_start(settings, file_set, key, ids):
    settings.AUDIT_ANCHOR_FILE = "anchors.jsonl" if file_set else ""
    settings.AUDIT_ANCHOR_KEY = key

    found = [error.id for error in run_checks()]

    assert found.count("guidepost.E010") == ids
