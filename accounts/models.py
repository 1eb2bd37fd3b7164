"""People: who is signing in. An e-mail address is the name. And the keys of access tokens."""

import unicodedata
import uuid
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone

from config.staff import StaffRole


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """A user without a password cannot sign in by password.

        Raises ValueError for no e-mail address, or one that in lower case becomes another's: the
        small letter of the Kelvin sign is a k.
        """
        lowered = email.lower()
        if not email or lowered.isascii() != email.isascii():
            raise ValueError("A user needs an e-mail address of their own.")
        user = self.model(email=lowered, **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str, **fields: Any) -> "User":
        """An administrator. Django's own flag of a superuser means nothing here."""
        return self.create_user(email, password, staff_role=StaffRole.ADMINISTRATOR, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    # Their name in tokens: it stays when the address changes, and tells nobody how many there are.
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    email = models.EmailField("e-mail", max_length=254)
    name = models.CharField(max_length=150, blank=True)
    is_active = models.BooleanField(default=True)
    staff_role = models.CharField(
        max_length=13, choices=StaffRole, blank=True, default="", db_default=""
    )
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = []

    class Meta:
        constraints = [
            # Ann@example.com and ann@example.com are one person.
            models.UniqueConstraint(Lower("email"), name="user_email_once_whatever_its_case"),
            models.CheckConstraint(  # allauth looks for addresses as they are compared
                condition=Q(email=Lower("email")), name="user_email_is_in_lower_case"
            ),
            models.CheckConstraint(
                condition=Q(staff_role__in=["", *StaffRole.values]),
                name="user_staff_role_is_known",
            ),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def is_staff(self) -> bool:
        """Django's admin asks for it."""
        return bool(self.staff_role)

    def clean(self) -> None:
        super().clean()
        self.email = self.email.lower()

    # Keyboards write ü as one character or as two: the same password either way (NIST SP 800-63B,
    # section 5.1.1.2, and RFC 8265).
    def set_password(self, raw_password: str | None) -> None:
        super().set_password(_normal(raw_password))

    def check_password(self, raw_password: str | None) -> bool:
        return super().check_password(_normal(raw_password))


def _normal(password: str | None) -> str | None:
    return None if password is None else unicodedata.normalize("NFC", password)


class SigningKey(models.Model):
    """A pair of Ed25519 keys. What becomes of it is decided in accounts/keyring.py."""

    kid = models.CharField(max_length=43, unique=True, editable=False)  # RFC 7638 thumbprint
    private_key = models.BinaryField(editable=False)  # PEM, sealed: config/crypto.py
    public_key = models.TextField(editable=False)  # PEM
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    signs_from = models.DateTimeField(editable=False)
    retired_at = models.DateTimeField(null=True, editable=False)  # verifies until then

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(retired_at=None) | Q(retired_at__gte=F("created_at")),
                name="signing_key_is_not_retired_before_it_is_made",
            ),
        ]

    def __str__(self) -> str:
        return self.kid

    def verifies(self, at: datetime) -> bool:
        return self.retired_at is None or self.retired_at > at
