"""How allauth works here: by invitation only, its links from PUBLIC_URL, its secrets sealed."""

import base64
from typing import Any
from urllib.parse import quote, urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse

from config.addresses import client_address
from config.crypto import seal, unseal

# allauth does not say whose secret it is: the context names the place, not the row.
_SECRETS = "mfa_authenticator.data"


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never by themselves: people come by invitation (tenants/views/invitations_page.py)."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """A column that holds an address takes no "": where there is none, nobody's."""
        return client_address(request) or "0.0.0.0"  # noqa: S104

    def set_password(self, user: AbstractBaseUser, password: str) -> None:
        """Nothing else of the row: the role of these pages may not write the rest."""
        user.set_password(password)
        user.save(update_fields=["password"])

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """After the commit: a slow mail server holds no transaction, a failed act sends nothing.

        A mail that fails is logged. Whoever waits for it asks again; the page says so in any case.
        """
        message = self.render_mail(template_prefix, email, {**context, **links(), "email": email})
        transaction.on_commit(message.send, robust=True)

    def get_reset_password_from_key_url(self, key: str) -> str:
        path = reverse("account_reset_password_from_key", args=["UID", "KEY"])
        return settings.PUBLIC_URL + path.replace("UID-KEY", quote(key))

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        return settings.PUBLIC_URL + reverse("account_confirm_email", args=[emailconfirmation.key])


def links() -> dict[str, str]:
    """What mails may lead to. None is made from a request: its Host is the sender's choice."""
    return {
        "public_url": settings.PUBLIC_URL,
        "reset_url": settings.PUBLIC_URL + reverse("account_reset_password"),
    }


class MFAAdapter(DefaultMFAAdapter):
    def encrypt(self, text: str) -> str:
        return base64.b64encode(seal(text.encode(), _SECRETS)).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return unseal(base64.b64decode(encrypted_text), _SECRETS).decode()

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Keys are bound to our public name. Locally to how the browser calls us, since an address
        is no name: http://localhost will do, http://127.0.0.1 will not."""
        entity = {**super().get_public_key_credential_rp_entity(), "name": "Guidepost"}
        return entity | ({"id": urlsplit(settings.PUBLIC_URL).hostname} if settings.HTTPS else {})

    def get_public_key_credential_user_entity(self, user: AbstractBaseUser) -> dict[str, Any]:
        """Their row's number would tell how many people there are."""
        entity = super().get_public_key_credential_user_entity(user)
        return {**entity, "display_name": getattr(user, "name", "") or entity["name"]}
