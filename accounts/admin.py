from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.models import SigningKey
from config.admin import ReadOnlyAdmin

# allauth's and Django's own let staff type into secrets, and read them.
for model in (EmailAddress, Authenticator, UserSession, Group):
    admin.site.unregister(model)


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin):
    list_display = ("email", "user", "verified", "primary")
    list_filter = ("verified",)
    list_select_related = ("user",)
    search_fields = ("email",)


class WithoutSecrets(ReadOnlyAdmin):
    """The role of staff may not even ask for these columns."""

    secrets: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer(*self.secrets)


@admin.register(Authenticator)
class AuthenticatorAdmin(WithoutSecrets):
    secrets = exclude = ("data",)
    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    list_select_related = ("user",)
    search_fields = ("user__email",)


@admin.register(UserSession)
class UserSessionAdmin(WithoutSecrets):
    secrets = exclude = ("session_key", "data")
    list_display = ("user", "created_at", "ip", "user_agent")
    list_select_related = ("user",)
    search_fields = ("user__email", "ip")


@admin.register(SigningKey)
class SigningKeyAdmin(WithoutSecrets):
    secrets = ("private_key",)
    list_display = ("kid", "created_at", "signs_from", "retired_at")
