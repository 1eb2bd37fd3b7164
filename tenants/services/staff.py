"""Who is staff, in which role, and whoever may sign in at all. For administrators, in person."""

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import IntegrityError, transaction
from django.urls import reverse

from accounts.models import User
from accounts.services import end_browsers, register_person
from config.errors import DomainError
from config.staff import StaffRole
from tenants import mail
from tenants.audit import record
from tenants.services import sessions


class NotYourself(DomainError):
    code = "not_yourself"
    title = "Nobody does this to themselves"
    detail = "Ask another administrator."


class LastAdministrator(DomainError):
    code = "last_administrator"
    title = "Somebody has to be an administrator"
    detail = "Make somebody else an administrator first."


class AlreadyKnown(DomainError):
    code = "already_known"
    title = "There is somebody with this address"
    detail = "Find them among the people, and give them a role."


@transaction.atomic
def add(*, email: str, name: str, role: StaffRole) -> User:
    """A new person who is staff. They are told by mail, and set a password by "forgot password".

    Raises AlreadyKnown or MailUnavailable.
    """
    try:
        with transaction.atomic():
            person = register_person(email=email, name=name, password=None, staff_role=role)
    except (IntegrityError, ValueError):
        raise AlreadyKnown from None
    _record("person.added", person, after={"staff_role": role})
    link = f"{settings.PUBLIC_URL}{reverse('account_login')}"
    subject = "You are Guidepost staff"
    mail.send("staff_added", [person.email], subject=subject, role=role.label, link=link)
    return person


@transaction.atomic
def set_role(person: User, role: StaffRole | str, *, by: User) -> bool:
    """Gives the role, or takes any with ""; False if it was so already.

    It holds from the person's next request on. Raises NotYourself or LastAdministrator.
    """
    _refuse(person, by, leaves=role != StaffRole.ADMINISTRATOR)
    before = User.objects.select_for_update(no_key=True).get(pk=person.pk).staff_role
    if before == role:
        return False
    User.objects.filter(pk=person.pk).update(staff_role=role)
    _record("staff.role_changed", person, {"staff_role": before}, {"staff_role": role})
    return True


@transaction.atomic
def set_active(person: User, *, active: bool, by: User) -> bool:
    """Lets the person sign in, or shuts them out from the next request on; False if it was so.

    Whoever is let in again signs in anew: no session outlives it, of a browser or at the API.
    Raises NotYourself or LastAdministrator.
    """
    _refuse(person, by, leaves=not active)
    changed = User.objects.filter(pk=person.pk, is_active=not active).update(is_active=active) == 1
    if changed:
        # Also one that was opened while they were shut out.
        sessions.end_everywhere(person)
        end_browsers(person)
        _record("person.enabled" if active else "person.disabled", person)
    return changed


@transaction.atomic
def remove_second_factors(person: User, *, by: User) -> list[str]:
    """For somebody who has lost them all: which kinds they were. Raises NotYourself."""
    _refuse(person, by, leaves=False)
    theirs = Authenticator.objects.filter(user_id=person.pk)
    kinds = sorted(theirs.values_list("type", flat=True))
    if kinds:
        theirs._raw_delete(theirs.db)  # nothing else refers to them, and `data` is not ours to read
        _record("second_factor.removed", person, {"kinds": kinds})
    return kinds


def _refuse(person: User, by: User, *, leaves: bool) -> None:
    """Administrators are locked, always in the same order, until the transaction ends."""
    if person.pk == by.pk:
        raise NotYourself
    administrators = User.objects.filter(staff_role=StaffRole.ADMINISTRATOR, is_active=True)
    locked = list(administrators.order_by("pk").select_for_update(no_key=True))
    if leaves and not any(other.pk != person.pk for other in locked):
        raise LastAdministrator


def _record(
    action: str, person: User, before: dict | None = None, after: dict | None = None
) -> None:
    of = ("person", person.public_id)
    record(action, tenant_id=None, of=of, before=before, after=after)
