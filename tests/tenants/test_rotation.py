"""A key-encryption key is changed: whatever is killed meanwhile, everything opens."""

import base64
import os
import signal
import subprocess
import sys
import time

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction

from accounts import keyring
from accounts.models import SigningKey
from accounts.services import enrol_totp
from config import crypto, rotation
from config.isolation import past_row_security
from deploy.local.stack import ROOT
from deploy.local.totp import totp
from tenants import vault
from tenants.models import AuditEntry, DataKey
from tests.accounts.acts import SECRET
from tests.factories import TenantFactory, UserFactory

PLACE = "table.column:1"


def new_key(key_id):
    return f"{key_id}:{base64.b64encode(os.urandom(32)).decode()}"


@pytest.fixture
def old(settings):
    """The key that everything was sealed with; a new one stands before it now."""
    return settings.ENCRYPTION_KEYS


@pytest.fixture
def sealed(old):
    """(tenant_id, blob) of five tenants, from before the new key came. Nothing else is sealed."""
    SigningKey.objects.all().delete()
    return [(t.id, vault.seal(t.id, b"text", PLACE)) for t in (TenantFactory() for _ in range(5))]


@pytest.fixture
def both(sealed, old, settings):
    settings.ENCRYPTION_KEYS = f"{new_key('k2')},{old}"
    return settings.ENCRYPTION_KEYS


def wrapped_with():
    return sorted(DataKey.objects.across_tenants().values_list("kek_id", flat=True))


def check_all_open(sealed):
    vault._cache.clear()
    assert {vault.unseal(tenant_id, blob, PLACE) for tenant_id, blob in sealed} == {b"text"}


def rotate(**options):
    call_command("rotate_encryption_key", **options)


def test_everything_is_sealed_anew_and_opens_without_the_old_key(
    db, sealed, both, settings, capsys
):
    rotate(batch=2)

    assert wrapped_with() == ["k2"] * 5
    settings.ENCRYPTION_KEYS = both.split(",")[0]
    check_all_open(sealed)
    said = capsys.readouterr().out
    assert "tenants_datakey.wrapped: 2 more, 4 in all" in said
    assert "Everything is sealed with k2." in said
    entry = AuditEntry.objects.across_tenants().get(action="encryption_key.rotated")
    assert (entry.object_id, entry.after) == ("k2", {"sealed_anew": 5})


def test_a_second_time_changes_nothing(db, sealed, both):
    rotate()
    before = list(DataKey.objects.across_tenants().values_list("id", "wrapped").order_by("id"))

    rotate()

    after = list(DataKey.objects.across_tenants().values_list("id", "wrapped").order_by("id"))
    assert [bytes(w) for _, w in after] == [bytes(w) for _, w in before]
    assert AuditEntry.objects.across_tenants().filter(action="encryption_key.rotated").count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("point", "done"), [("after_rewrap", 2), ("before_rewrap_commit", 0)])
def test_killed_half_way_everything_opens_and_the_next_run_goes_on(
    db, point, done, sealed, both, settings
):
    url = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{connection.settings_dict['NAME']}"
    command = [sys.executable, "manage.py", "rotate_encryption_key", "--batch", "2"]
    env = {
        **os.environ,
        "DATABASE_URL": url,
        "ENCRYPTION_KEYS": both,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "FAILPOINTS": f"{point}=kill",
    }

    killed = subprocess.run(command, cwd=ROOT, env=env, check=False, capture_output=True)

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert wrapped_with() == ["k1"] * (5 - done) + ["k2"] * done
    check_all_open(sealed)
    with pytest.raises(CommandError, match=f"k1 still seals {5 - done} in"):
        rotate(retire="k1")

    del env["FAILPOINTS"]
    subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True)

    assert wrapped_with() == ["k2"] * 5
    settings.ENCRYPTION_KEYS = both.split(",")[0]
    check_all_open(sealed)


def test_a_key_in_use_is_not_retired(db, sealed, both):
    with pytest.raises(CommandError, match=r"k1 still seals 5 in tenants_datakey\.wrapped"):
        rotate(retire="k1")
    with pytest.raises(CommandError, match="k2 is the current key"):
        rotate(retire="k2")
    entries = AuditEntry.objects.across_tenants()
    assert not entries.exclude(action="tenant.created").exists()


def test_a_key_that_seals_nothing_is_retired(db, sealed, both, capsys):
    rotate()

    rotate(retire="k1")

    assert "take it out of ENCRYPTION_KEYS" in capsys.readouterr().out
    assert AuditEntry.objects.across_tenants().filter(action="encryption_key.retired").exists()


def test_a_rotation_without_the_old_key_says_which_is_missing(db, sealed, both, settings):
    settings.ENCRYPTION_KEYS = both.split(",")[0]

    with pytest.raises(CommandError, match="lacks the key 'k1'"):
        rotate()

    assert wrapped_with() == ["k1"] * 5


def test_whatever_is_sealed_directly_under_a_key_is_declared(db):
    """A column of sealed values that nobody declared would be lost with the old key."""
    assert {str(column) for column in rotation.declared()} == {
        "tenants_datakey.wrapped",
        "accounts_signingkey.private_key",
        "mfa_authenticator.data.secret",
        "mfa_authenticator.data.seed",
    }


def test_signing_keys_and_second_factors_open_with_the_new_key_alone(db, sealed, both, settings):
    person = UserFactory()
    settings.ENCRYPTION_KEYS = both.split(",")[1]
    enrol_totp(person, SECRET)
    keyring.make_first_key()
    settings.ENCRYPTION_KEYS = both

    rotate()

    settings.ENCRYPTION_KEYS = both.split(",")[0]
    keyring.forget()
    assert keyring.key_ring().signing_key
    factors = {factor.type: factor.wrap() for factor in person.authenticator_set.all()}
    assert factors["totp"].validate_code(totp(SECRET, time.time()))
    assert len(factors["recovery_codes"].get_unused_codes()) == 10
    assert rotation.references("k1") == {str(column): 0 for column in rotation.declared()}


def test_a_tenant_is_given_a_new_data_key(db, tenant):
    rotate(tenant=tenant.slug)

    vault._cache.clear()
    assert vault.version_of(vault.seal(tenant.id, b"text", PLACE)) == 2
    entry = AuditEntry.objects.for_tenant(tenant.id).get(action="data_key.made")
    assert entry.object_id == "2"


def test_a_tenant_that_is_not_there_is_given_none(db):
    with pytest.raises(CommandError, match="no tenant 'nobody'"):
        rotate(tenant="nobody")


def test_an_owner_who_is_no_superuser_rotates_too(db, sealed, both):
    """Row security is forced, for the owner as well; `past_row_security` sets it aside."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE ROLE test_owner NOSUPERUSER NOBYPASSRLS")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in {column.table for column in rotation.declared()}:
            cursor.execute(f"ALTER TABLE {table} OWNER TO test_owner")
        cursor.execute("SET LOCAL ROLE test_owner")
        assert wrapped_with() == []

        assert sum(changed for _, changed in rotation.rewrap(2)) == 5

        assert wrapped_with() == []
        with past_row_security("tenants_datakey"):
            assert wrapped_with() == ["k2"] * 5
        cursor.execute("RESET ROLE")
        transaction.set_rollback(True)
    check_all_open(sealed)


def test_nobody_but_the_owner_sets_row_security_aside(db, sealed):
    from django.db import ProgrammingError

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL ROLE guidepost_staff")
        with pytest.raises(ProgrammingError), transaction.atomic():
            rotation.references(crypto.ring().current)
        transaction.set_rollback(True)
