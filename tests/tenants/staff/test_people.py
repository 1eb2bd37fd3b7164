import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.urls import reverse

from accounts.models import User
from accounts.services import enrol_totp, register_person
from tenants.models import AuditEntry
from tests.accounts.acts import PASSWORD, SECRET, give_password, is_in
from tests.callers import at_once, member_of
from tests.config.test_problems import check_problem
from tests.conftest import with_token
from tests.factories import ApiSessionFactory, StaffFactory, UserFactory
from tests.tenants.test_sessions import refresh

pytestmark = pytest.mark.django_db
PEOPLE = reverse("admin:people")
WHY = {"reason": "Asked by the head of support"}


@pytest.fixture
def administrator(staff_client):
    return staff_client("administrator")


def url(name, person):
    return reverse(f"admin:{name}", args=[person.public_id])


def entry(action):
    return AuditEntry.objects.across_tenants().get(action=action)


def now(person):
    return User.objects.get(pk=person.pk)


def test_people_are_found_by_the_beginning_of_their_address_and_by_role(administrator):
    ann = UserFactory(email="ann@example.com")
    StaffFactory(email="bob@example.com", staff_role="operator")

    def found(**asked):
        return [person.email for person in administrator.get(PEOPLE, asked).context["people"]]

    assert found(q="ANN") == [ann.email]
    assert found(role="operator") == ["bob@example.com"]
    assert found(q="nobody") == []


def test_the_list_comes_in_pages(administrator, monkeypatch, django_assert_max_num_queries):
    monkeypatch.setattr("tenants.staff.people.PER_PAGE", 2)
    for n in range(3):
        UserFactory(email=f"x{n}@example.com")

    with django_assert_max_num_queries(8):
        first = administrator.get(PEOPLE, {"q": "x"})
    second = administrator.get(PEOPLE, {"q": "x", "after": first.context["after"]})

    assert [p.email for p in second.context["people"]] == ["x2@example.com"]
    assert second.context["after"] == ""


def test_a_person_is_shown_without_secrets(administrator, tenant, django_assert_max_num_queries):
    person = register_person(email="ann@example.com", name="Ann", password=PASSWORD)
    enrol_totp(person, SECRET)
    member_of(tenant)

    with django_assert_max_num_queries(13):
        page = administrator.get(url("person", person))

    assert "TOTP" in page.text
    assert SECRET not in page.text


def test_a_role_is_given_and_taken_with_a_reason(administrator, staff_client):
    person = staff_client("viewer").user
    role = url("person_role", person)

    administrator.post(role, WHY | {"staff_role": "operator"})
    administrator.post(role, WHY | {"staff_role": "operator"})
    assert now(person).staff_role == "operator"
    assert entry("staff.role_changed").before == {"staff_role": "viewer"}
    assert entry("staff.role_changed").after == {"staff_role": "operator", **WHY}

    administrator.post(role, WHY | {"staff_role": ""})
    assert not now(person).is_staff


def test_whoever_loses_the_role_is_out_with_the_next_request(administrator, staff_client):
    browser = staff_client("operator")
    assert browser.get(PEOPLE).status_code == 200

    administrator.post(url("person_role", browser.user), WHY | {"staff_role": ""})

    assert browser.get(PEOPLE).status_code == 302


@pytest.mark.parametrize("name", ["person_role", "person_disable", "person_factors"])
def test_nobody_does_it_to_themselves(administrator, name):
    refused = administrator.post(url(name, administrator.user), WHY | {"staff_role": "viewer"})

    assert refused.status_code == 409
    assert "Ask another administrator" in refused.text
    assert now(administrator.user).staff_role == "administrator"
    assert administrator.get(url("person", administrator.user)).context["acts"] == []


@pytest.mark.django_db(transaction=True)
def test_two_administrators_who_demote_each_other_leave_one(staff_client):
    first, second = staff_client("administrator"), staff_client("administrator")

    at_once(
        lambda: first.post(url("person_role", second.user), WHY | {"staff_role": "viewer"}),
        lambda: second.post(url("person_role", first.user), WHY | {"staff_role": "viewer"}),
    )

    assert User.objects.filter(staff_role="administrator").count() == 1


def test_somebody_is_disabled_and_enabled(administrator, staff_client):
    browser = staff_client("viewer")

    administrator.post(url("person_disable", browser.user), WHY)
    assert browser.get(PEOPLE).status_code == 302
    assert entry("person.disabled").after == WHY

    administrator.post(url("person_enable", browser.user), WHY)
    assert now(browser.user).is_active
    assert entry("person.enabled").after == WHY


@pytest.mark.parametrize("shut_out_by", ["this release", "one before it"])
def test_who_is_let_in_again_has_none_of_the_old_sessions_at_the_api(
    administrator, client, shut_out_by
):
    old, others = ApiSessionFactory(), ApiSessionFactory()
    person = old.session.user

    if shut_out_by == "this release":
        administrator.post(url("person_disable", person), WHY)
    else:
        User.objects.filter(pk=person.pk).update(is_active=False)
    administrator.post(url("person_enable", person), WHY)

    check_problem(with_token(old.access).get("/jobs"), 401, "invalid_token")
    check_problem(refresh(client, old.refresh), 400, "invalid_grant")
    old.session.refresh_from_db()
    assert old.session.reason == "person_disabled"
    assert with_token(others.access).get("/jobs").status_code == 200


def test_who_is_let_in_again_signs_in_anew_in_every_browser(administrator, client):
    person = register_person(email="left@example.com", name="", password=PASSWORD)
    give_password(client, person.email)
    assert is_in(client)

    administrator.post(url("person_disable", person), WHY)
    administrator.post(url("person_enable", person), WHY)

    assert not is_in(client)
    give_password(client, person.email)
    assert is_in(client)


def test_lost_second_factors_are_removed(administrator):
    person = register_person(email="lost@example.com", name="", password=PASSWORD)
    enrol_totp(person, SECRET)

    done = administrator.post(url("person_factors", person), WHY, follow=True)
    again = administrator.post(url("person_factors", person), WHY, follow=True)

    assert "Removed: recovery_codes, totp." in done.text
    assert "There was none." in again.text
    assert not Authenticator.objects.filter(user=person).exists()
    assert entry("second_factor.removed").before == {"kinds": ["recovery_codes", "totp"]}
    assert entry("second_factor.removed").after == WHY


def test_new_staff_are_told_by_mail(administrator):
    form = {"email": "New@example.com", "name": "New", "staff_role": "operator"}

    done = administrator.post(reverse("admin:person_add"), form | WHY)

    person = User.objects.get(email="new@example.com")
    assert done.headers["Location"] == url("person", person)
    assert (person.staff_role, person.has_usable_password()) == ("operator", False)
    assert "/accounts/login/" in mail.outbox[0].body
    assert entry("person.added").after == {"staff_role": "operator", **WHY}

    again = administrator.post(reverse("admin:person_add"), form | WHY)
    assert again.status_code == 409
    assert "There is somebody with this address" in again.text


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_others_read_and_change_nothing(staff_client, role):
    browser, person = staff_client(role), UserFactory()

    assert browser.get(url("person", person)).context["acts"] == []
    for name in ("person_role", "person_disable", "person_enable", "person_factors"):
        assert browser.post(url(name, person), WHY).status_code == 403
    assert browser.post(reverse("admin:person_add"), WHY).status_code == 403
    assert now(person).is_active
