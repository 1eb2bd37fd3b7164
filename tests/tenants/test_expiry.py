"""Owners hear of a key that ends soon: 14 and 3 days before, once each."""

from datetime import timedelta

import pytest
from django.core import mail
from django.test import override_settings
from django.utils import timezone

from accounts.models import User
from config.celery import app
from config.isolation import DatabaseRole, acting_as
from tenants import tasks
from tenants.models import ApiKey, AuditEntry, Role
from tenants.services import expiry, keys
from tests.callers import at_once, member_of
from tests.factories import ApiKeyFactory


@pytest.fixture
def key(tenant):
    return ApiKeyFactory(tenant=tenant, expires_at=timezone.now() + timedelta(days=90)).key


def ends_in(key, **span):
    ApiKey.objects.across_tenants().filter(pk=key.pk).update(
        expires_at=timezone.now() + timedelta(**span)
    )


def warn():
    """As a worker runs it."""
    with acting_as(DatabaseRole.WORKER):
        return expiry.warn_of_expiring_keys()


def entries():
    return list(
        AuditEntry.objects.across_tenants()
        .filter(action="key.expiry_warned")
        .order_by("id")
        .values_list("object_id", "after__days", "after__owners")
    )


def test_every_owner_gets_a_mail_fourteen_and_three_days_before_once_each(key, tenant):
    owners = [member_of(tenant, Role.OWNER), member_of(tenant, Role.OWNER)]
    for role in (Role.ADMIN, Role.MEMBER, Role.VIEWER):
        member_of(tenant, role)
    sent = []
    for days in (15, 13.9, 13, 4, 2.9, 1):
        ends_in(key, days=days)
        warn()
        warn()
        sent.append(len(mail.outbox))

    assert sent == [0, 1, 1, 1, 2, 2]
    assert mail.outbox[0].to == [owner.user.email for owner in owners]
    assert key.client_id in mail.outbox[0].body
    assert entries() == [(key.client_id, 14, 2), (key.client_id, 3, 2)]


def test_a_run_that_was_missed_warns_once_and_of_what_is_next(key, tenant):
    member_of(tenant, Role.OWNER)
    ends_in(key, days=2)

    assert (warn(), warn()) == (1, 0)
    assert entries() == [(key.client_id, 3, 1)]


def test_nobody_is_warned_of_a_key_that_was_made_for_less_time(tenant):
    member_of(tenant, Role.OWNER)
    short = ApiKeyFactory(tenant=tenant, expires_at=timezone.now() + timedelta(days=5)).key
    ApiKeyFactory(tenant=tenant, expires_at=timezone.now() + timedelta(days=2))

    assert warn() == 0
    ends_in(short, days=2.5)
    assert warn() == 1


def test_a_key_that_was_given_more_time_is_warned_of_anew(key, tenant):
    member_of(tenant, Role.OWNER)
    ends_in(key, days=2)
    warn()
    keys.change_key(
        tenant_id=tenant.id,
        client_id=key.client_id,
        held=key.scopes,
        expires_at=timezone.now() + timedelta(days=60),
    )
    ends_in(key, days=10)

    assert warn() == 1


@pytest.mark.parametrize("reason", ["revoked", "expired", "endless", "tenant inactive"])
def test_nobody_is_warned_where_there_is_nothing_to_do(key, tenant, reason):
    member_of(tenant, Role.OWNER)
    ends_in(key, days=2)
    if reason == "revoked":
        keys.revoke_api_key(key)
    elif reason == "expired":
        ends_in(key, seconds=-1)
    elif reason == "endless":
        ApiKey.objects.across_tenants().update(expires_at=None)
    else:
        type(tenant).objects.update(is_active=False)

    assert warn() == 0
    assert mail.outbox == []


def test_owners_who_cannot_sign_in_get_no_mail(key, tenant):
    gone, owner = member_of(tenant, Role.OWNER), member_of(tenant, Role.OWNER)
    User.objects.filter(pk=gone.user_id).update(is_active=False)
    ends_in(key, days=2)

    warn()

    assert mail.outbox[0].to == [owner.user.email]


def test_a_mail_that_cannot_be_sent_is_sent_by_a_later_run(key, tenant, caplog):
    member_of(tenant, Role.OWNER)
    ends_in(key, days=2)
    nowhere = {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": 1,
    }

    with override_settings(**nowhere):
        assert warn() == 0
    assert entries() == []
    assert "key_warning_not_sent" in [record.message for record in caplog.records]

    assert warn() == 1
    assert len(mail.outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_workers_that_run_it_at_the_same_moment_send_one_mail(tenant):
    key = ApiKeyFactory(tenant=tenant, expires_at=timezone.now() + timedelta(days=90)).key
    member_of(tenant, Role.OWNER)
    ends_in(key, days=2)

    outcomes = at_once(*[warn] * 4)

    assert sorted(outcomes) == [0, 0, 0, 1]
    assert len(mail.outbox) == 1


def test_beat_sends_it_daily_to_the_queue_of_maintenance(settings):
    entry = settings.CELERY_BEAT_SCHEDULE["expiring-keys"]

    assert entry["task"] == tasks.warn_of_expiring_keys.name
    assert app.amqp.router.route({}, entry["task"])["queue"].name == "maintenance"
    assert entry["schedule"].remaining_estimate(timezone.now()) <= timedelta(days=1)
