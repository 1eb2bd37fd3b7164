"""`manage.py create_tenant`: how a customer begins."""

import re

import pytest
from django.core import mail
from django.core.management import CommandError, call_command

from accounts.models import User
from tenants.models import DEFAULT_PLAN, AuditEntry, Membership, Plan, Role, Tenant
from tests.accounts.acts import give_password
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db(transaction=True)  # mail is sent after the commit


def create(owner, slug="st-mary", name="St Mary"):
    Plan.objects.get_or_create(code=DEFAULT_PLAN, defaults={"name": "Standard"})  # see factories
    call_command("create_tenant", name, slug, "--owner", owner)


def test_whoever_is_named_owns_the_tenant_and_chooses_a_password_by_mail(client, capsys):
    create("ann@example.com")
    client.post("/accounts/password/reset/", {"email": "ann@example.com"})

    assert "ann@example.com chooses a password at" in capsys.readouterr().out
    membership = Membership.objects.across_tenants().get(user__email="ann@example.com")
    assert (membership.tenant.slug, membership.role) == ("st-mary", Role.OWNER)
    link = re.search(r"http\S+/accounts/password/reset/key/\S+", mail.outbox[-1].body)
    assert link
    assert set(AuditEntry.objects.across_tenants().values_list("action", flat=True)) >= {
        "tenant.created",
        "member.added",
    }


def test_who_has_an_account_keeps_it(client, capsys):
    user = UserFactory(email="ann@example.com")

    create("ANN@example.com")

    assert "signs in at" in capsys.readouterr().out
    assert User.objects.count() == 1
    assert Membership.objects.across_tenants().get().user == user
    give_password(client, "ann@example.com")


def test_a_slug_is_one_tenants_and_nothing_is_left_of_another(capsys):
    create("ann@example.com")

    with pytest.raises(CommandError, match="st-mary already"):
        create("bob@example.com")

    assert Tenant.objects.count() == 1
    assert not User.objects.filter(email="bob@example.com").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"slug": "St Mary"}, "'St Mary' is no slug: .*such as st-mary"),
        ({"slug": "st-märy"}, "'st-märy' is no slug"),
        ({"slug": ""}, "'' is no slug"),
        ({"slug": "x" * 64}, "is no slug"),
        ({"name": ""}, "'' is no name"),
        ({"name": "x" * 201}, "is no name"),
        ({"owner": "nope"}, "'nope' is no e-mail address"),
        ({"owner": ""}, "'' is no e-mail address"),
        ({"owner": "ann@example.com, bob@example.com"}, "is no e-mail address"),
        ({"owner": "x" * 250 + "@example.com"}, "is no e-mail address"),
        ({"owner": "\N{KELVIN SIGN}ate@example.com"}, "is no e-mail address"),
    ],
    ids=str,
)
def test_what_will_not_do_is_named_and_nothing_is_made(given, said):
    with pytest.raises(CommandError, match=said):
        create(**{"owner": "ann@example.com"} | given)

    assert not Tenant.objects.exists()
    assert not User.objects.exists()
