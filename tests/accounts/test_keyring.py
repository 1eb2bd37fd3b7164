"""Keys of access tokens: made, published, replaced, ended."""

import threading
import time
from datetime import timedelta

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, connections
from django.utils import timezone

from accounts import keyring
from accounts.models import SigningKey
from accounts.tokens import issue_access_token
from config.crypto import CannotUnseal, unseal
from config.isolation import DatabaseRole, acting_as
from tenants.models import ApiKey, AuditEntry

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock(monkeypatch):
    """The time of the ring, moved on by `clock(seconds)`; the cache notices at once."""
    passed = timedelta()
    now = timezone.now

    def move(seconds):
        nonlocal passed
        passed += timedelta(seconds=seconds)
        keyring.forget()

    monkeypatch.setattr(keyring.timezone, "now", lambda: now() + passed)
    return move


def ask(client, token):
    return client.get("/jobs", headers={"Authorization": f"Bearer {token}"}).status_code


def published(client):
    return [key["kid"] for key in client.get("/.well-known/jwks.json").json()["keys"]]


def token(tenant):
    """Of a key that is there, since a request asks for it too."""
    ApiKey.objects.across_tenants().get_or_create(
        client_id="gpc_1",
        defaults={"tenant": tenant, "name": "Test", "digest": "0" * 64, "scopes": ["jobs:read"]},
    )
    return str(issue_access_token(subject="gpc_1", tenant=str(tenant.id), scopes=["jobs:read"]))


def test_migrating_makes_the_first_key_and_no_second():
    assert SigningKey.objects.count() == 1

    assert keyring.make_first_key() is False

    assert SigningKey.objects.count() == 1


def test_a_new_key_is_published_at_once_and_signs_after_the_grace(client, tenant, clock):
    old = keyring.key_ring().signing_kid

    call_command("rotate_signing_key", "--grace", "300", "--overlap", "1800")

    clock(0)
    new = (set(published(client)) - {old}).pop()
    assert keyring.key_ring().signing_kid == old
    clock(301)
    assert keyring.key_ring().signing_kid == new
    assert ask(client, token(tenant)) == 200


def test_old_tokens_are_good_until_the_overlap_ends_and_not_longer(client, tenant, clock):
    old_kid, old = keyring.key_ring().signing_kid, token(tenant)

    call_command("rotate_signing_key", "--grace", "10", "--overlap", "30")

    clock(35)
    assert (ask(client, old), old_kid in published(client)) == (200, True)
    clock(10)
    assert (ask(client, old), old_kid in published(client)) == (401, False)


def test_after_a_leak_every_token_that_is_out_ends_at_once(client, tenant, clock):
    call_command("rotate_signing_key", "--grace", "300", "--overlap", "1800")
    stolen = token(tenant)

    call_command("rotate_signing_key", "--grace", "0", "--overlap", "0")

    clock(0)
    assert ask(client, stolen) == 401
    assert ask(client, token(tenant)) == 200
    clock(301)  # the key of the first rotation, whose time would have come, has ended as well
    assert ask(client, token(tenant)) == 200
    assert len(published(client)) == 1


def test_a_second_rotation_lengthens_no_keys_life(clock):
    call_command("rotate_signing_key", "--grace", "0", "--overlap", "60")
    first = SigningKey.objects.order_by("id").first()

    call_command("rotate_signing_key", "--grace", "0", "--overlap", "6000")

    assert SigningKey.objects.get(pk=first.pk).retired_at == first.retired_at


def test_keys_whose_time_was_over_are_deleted_by_the_next_rotation(clock):
    call_command("rotate_signing_key", "--grace", "0", "--overlap", "60")
    clock(61)

    call_command("rotate_signing_key", "--grace", "0", "--overlap", "60")

    assert SigningKey.objects.count() == 2


def test_a_rotation_is_in_the_audit_log_without_its_secret():
    old = keyring.key_ring().signing_kid

    call_command("rotate_signing_key")

    entry = AuditEntry.objects.across_tenants().get(action="signing_key.rotated")
    new = SigningKey.objects.order_by("id").last()
    assert (entry.tenant_id, entry.object_id, entry.before) == (None, new.kid, {"kid": old})
    assert set(entry.after) == {"kid", "signs_from", "others_verify_until"}


def test_times_that_run_backwards_are_refused():
    with pytest.raises(CommandError, match="negative"):
        call_command("rotate_signing_key", "--overlap", "-1")


def test_another_process_changes_the_keys_and_this_one_notices_within_seconds(
    client, tenant, monkeypatch
):
    seconds = 0.0
    monkeypatch.setattr(keyring.time, "monotonic", lambda: 1000.0 + seconds)
    old = token(tenant)

    call_command("rotate_signing_key", "--grace", "0", "--overlap", "0")

    assert ask(client, old) == 200
    seconds = 5.1
    assert ask(client, old) == 401


def test_a_name_we_do_not_know_is_looked_up_once_a_second_at_most(tenant, monkeypatch):
    seconds = 0.0
    monkeypatch.setattr(keyring.time, "monotonic", lambda: 1000.0 + seconds)
    reads = []
    read = keyring.read_ring
    monkeypatch.setattr(keyring, "read_ring", lambda: reads.append(seconds) or read())
    keyring.key_ring()
    call_command("rotate_signing_key", "--grace", "0", "--overlap", "0")
    new = SigningKey.objects.order_by("id").last().kid

    early = [keyring.verifying_key(name) for name in (new, "unknown", "unknown")]
    seconds = 1.1
    late = [keyring.verifying_key(name) for name in ("unknown", new, "unknown")]

    assert early == [None] * 3
    assert [bool(key) for key in late] == [False, True, False]
    assert reads == [0.0, 1.1]


def test_the_private_half_is_sealed_and_bound_to_its_key():
    key = SigningKey.objects.get()
    sealed = bytes(key.private_key)

    assert b"PRIVATE KEY" not in sealed
    assert b"PRIVATE KEY" in unseal(sealed, f"accounts_signingkey.private_key:{key.kid}")
    with pytest.raises(CannotUnseal):
        unseal(sealed, "accounts_signingkey.private_key:another")


def test_without_the_encryption_key_nothing_is_signed(tenant, settings):
    settings.ENCRYPTION_KEYS = "other:" + "A" * 43 + "="

    with pytest.raises(CannotUnseal, match="'k1'"):
        token(tenant)


def test_web_roles_read_keys_and_change_none():
    for role in (DatabaseRole.DOOR, DatabaseRole.STAFF):
        with pytest.raises(ProgrammingError, match="denied"), acting_as(role):
            SigningKey.objects.update(retired_at=None)
    for role in (DatabaseRole.API, DatabaseRole.WORKER):
        with pytest.raises(ProgrammingError, match="denied"), acting_as(role):
            SigningKey.objects.exists()
    with pytest.raises(ProgrammingError, match="denied"), acting_as(DatabaseRole.STAFF):
        SigningKey.objects.get()
    with acting_as(DatabaseRole.STAFF):
        assert SigningKey.objects.defer("private_key").get().kid


@pytest.mark.django_db(transaction=True)
def test_two_first_keys_at_once_are_one(monkeypatch):
    SigningKey.objects.all().delete()
    make_key = keyring._make_key
    # Long enough for the others to look, and to find none.
    monkeypatch.setattr(keyring, "_make_key", lambda **kw: time.sleep(0.3) or make_key(**kw))
    made, start = [], threading.Barrier(4)

    def make():
        start.wait()
        made.append(keyring.make_first_key())
        connections.close_all()

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(made) == [False, False, False, True]
    assert SigningKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_rotation_that_fails_halfway_changes_nothing(monkeypatch):
    def broken(*args, **kwargs):
        raise psycopg.OperationalError("gone")

    before = list(SigningKey.objects.values())
    monkeypatch.setattr("tenants.audit.record", broken)

    with pytest.raises(psycopg.OperationalError):
        call_command("rotate_signing_key")

    assert list(SigningKey.objects.values()) == before
    assert not connection.in_atomic_block
