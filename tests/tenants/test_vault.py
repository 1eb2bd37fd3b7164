"""A tenant's content opens for this tenant, in its place, and nowhere else."""

import os

import pytest
from django.db import ProgrammingError, connection
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config import crypto
from config.crypto import CannotUnseal
from config.isolation import DatabaseRole, acting_as
from tenants import vault
from tenants.models import DataKey
from tests.factories import TenantFactory

PLACE = "table.column:1"
TEXT = b"Staff MUST wash their hands. " * 100


@pytest.fixture(autouse=True)
def _cold(monkeypatch):
    monkeypatch.setattr(vault, "_cache", type(vault._cache)())


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plaintext=st.binary(max_size=5_000))
def test_what_is_sealed_opens_in_its_place(tenant, plaintext):
    assert vault.unseal(tenant.id, vault.seal(tenant.id, plaintext, PLACE), PLACE) == plaintext


def test_long_text_is_smaller_sealed_and_a_short_secret_says_only_its_length(tenant):
    assert len(vault.seal(tenant.id, TEXT, PLACE)) < len(TEXT) / 4
    assert len(vault.seal(tenant.id, b"a" * 100, PLACE)) == 100 + vault.OVERHEAD
    assert len(vault.seal(tenant.id, os.urandom(5000), PLACE)) == 5000 + vault.OVERHEAD


@pytest.mark.parametrize("place", ["table.column:2", "table.other:1", "other.column:1"])
def test_in_another_row_column_or_table_it_stays_shut(tenant, place):
    blob = vault.seal(tenant.id, TEXT, PLACE)

    with pytest.raises(CannotUnseal):
        vault.unseal(tenant.id, blob, place)


def test_for_another_tenant_it_stays_shut_even_with_the_same_key(tenant):
    other, key = TenantFactory(), os.urandom(32)
    blob = vault.seal(tenant.id, TEXT, PLACE)
    twin = vault.TenantKeys(tenant.id, {1: key}).seal(TEXT, PLACE)

    with pytest.raises(CannotUnseal):
        vault.unseal(other.id, blob, PLACE)
    with pytest.raises(CannotUnseal):
        vault.TenantKeys(other.id, {1: key}).unseal(twin, PLACE)
    assert vault.TenantKeys(tenant.id, {1: key}).unseal(twin, PLACE) == TEXT


def test_no_byte_of_it_can_be_changed_or_taken_away(tenant):
    blob = vault.seal(tenant.id, b"text", PLACE)

    for at in range(len(blob)):
        for changed in (blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :], blob[:at]):
            with pytest.raises(CannotUnseal):
                vault.unseal(tenant.id, changed, PLACE)


def test_the_key_is_asked_for_once(tenant, django_assert_num_queries):
    with django_assert_num_queries(1):
        blob = vault.seal(tenant.id, TEXT, PLACE)
    with django_assert_num_queries(0):
        vault.seal(tenant.id, TEXT, PLACE)
        vault.unseal(tenant.id, blob, PLACE)
        vault.index(tenant.id, TEXT, "table.column")


def test_no_more_keys_are_kept_than_may_be_nor_longer(tenant, monkeypatch):
    monkeypatch.setattr(vault, "CACHED_TENANTS", 3)
    tenants = [TenantFactory() for _ in range(5)]

    for each in tenants:
        vault.seal(each.id, TEXT, PLACE)
    assert list(vault._cache) == [t.id for t in tenants[2:]]

    monkeypatch.setattr(vault.time, "monotonic", lambda: vault.CACHED_SECONDS + 1e9)
    with pytest.raises(AssertionError), _no_queries():
        vault.seal(tenants[4].id, TEXT, PLACE)


def _no_queries():
    def refuse(execute, sql, *rest):
        raise AssertionError(sql)

    return connection.execute_wrapper(refuse)


def test_a_new_version_seals_from_now_on_and_the_old_ones_open(tenant):
    before = vault.seal(tenant.id, TEXT, PLACE)
    index = vault.index(tenant.id, TEXT, "table.column")

    assert vault.make_data_key(tenant.id) == 2
    vault._cache.clear()
    after = vault.seal(tenant.id, TEXT, PLACE)

    assert (vault.version_of(before), vault.version_of(after)) == (1, 2)
    assert vault.unseal(tenant.id, before, PLACE) == vault.unseal(tenant.id, after, PLACE) == TEXT
    assert vault.index(tenant.id, TEXT, "table.column") == index


def test_a_version_that_was_made_elsewhere_is_looked_up(tenant):
    vault.seal(tenant.id, TEXT, PLACE)
    known = vault._cache[tenant.id]
    vault.make_data_key(tenant.id)
    vault._cache.clear()
    after = vault.seal(tenant.id, TEXT, PLACE)

    vault._cache[tenant.id] = known

    assert vault.unseal(tenant.id, after, PLACE) == TEXT


def test_an_index_is_the_same_for_the_same_text_of_one_tenant_only(tenant):
    other = TenantFactory()

    mine = vault.index(tenant.id, TEXT, "table.column")

    assert mine == vault.index(tenant.id, TEXT, "table.column")
    assert len(mine) == 64
    assert mine not in (
        vault.index(other.id, TEXT, "table.column"),
        vault.index(tenant.id, TEXT, "table.other"),
        vault.index(tenant.id, TEXT + b" ", "table.column"),
    )


def test_a_tenant_without_a_key_seals_nothing(tenant):
    DataKey.objects.across_tenants().delete()

    with pytest.raises(CannotUnseal, match="no data key"):
        vault.seal(tenant.id, TEXT, PLACE)


def test_a_wrapped_key_that_is_moved_to_another_tenant_does_not_open(tenant):
    other = TenantFactory()
    stolen = DataKey.objects.for_tenant(tenant.id).get().wrapped
    DataKey.objects.for_tenant(other.id).update(wrapped=stolen)

    with pytest.raises(CannotUnseal):
        vault.seal(other.id, TEXT, PLACE)


def test_the_database_says_which_key_wraps(tenant):
    key = DataKey.objects.for_tenant(tenant.id).get()

    assert key.kek_id == crypto.ring().current


@pytest.mark.parametrize("role", [DatabaseRole.API, DatabaseRole.WORKER, DatabaseRole.STAFF])
def test_who_handles_content_may_read_the_key(tenant, role):
    with acting_as(role, tenant.id):
        blob = vault.seal(tenant.id, TEXT, PLACE)

    assert vault.unseal(tenant.id, blob, PLACE) == TEXT


def test_whoever_only_looks_up_credentials_may_not(tenant):
    with pytest.raises(ProgrammingError), acting_as(DatabaseRole.DOOR):
        vault.seal(tenant.id, TEXT, PLACE)


def test_a_request_sees_its_own_tenants_key_only(tenant):
    other = TenantFactory()

    with acting_as(DatabaseRole.API, tenant.id), pytest.raises(CannotUnseal):
        vault.seal(other.id, TEXT, PLACE)
    with acting_as(DatabaseRole.API, tenant.id):
        assert DataKey.objects.across_tenants().count() == 1


@pytest.mark.parametrize("role", [DatabaseRole.API, DatabaseRole.WORKER, DatabaseRole.STAFF])
def test_nobody_changes_a_key_in_a_role(tenant, role):
    with pytest.raises(ProgrammingError), acting_as(role, tenant.id):
        DataKey.objects.for_tenant(tenant.id).update(wrapped=b"x")
