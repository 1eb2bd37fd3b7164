"""Every change of a person that allauth's pages do not make."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from allauth.usersessions.models import UserSession
from django.db import transaction

from accounts.models import User
from config.isolation import DatabaseRole, acting_as
from config.staff import StaffRole


@transaction.atomic
def register_person(
    *, email: str, name: str, password: str | None, staff_role: StaffRole | str = ""
) -> User:
    """A person whose address is known to be theirs: by an invitation, or by whoever runs this.

    Without a password they set one by "forgot password". Raises IntegrityError if the address is
    taken.
    """
    user = User.objects.create_user(email, password, name=name, staff_role=staff_role)
    EmailAddress.objects.create(user=user, email=user.email.lower(), verified=True, primary=True)
    return user


def end_browsers(person: User) -> None:
    """Signs the person out wherever they have signed in by a browser."""
    # As the door, which signs people in: nobody else knows which session is whose.
    with acting_as(DatabaseRole.DOOR):
        for session in UserSession.objects.filter(user=person):
            session.end()


@transaction.atomic
def enrol_totp(user: User, secret: str) -> bool:
    """The secret (base32) as the person's second factor, with recovery codes; False if they have
    an authenticator app already."""
    if Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).exists():
        return False
    TOTP.activate(user, secret)
    RecoveryCodes.activate(user)
    return True
