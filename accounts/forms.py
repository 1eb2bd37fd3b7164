"""allauth's forms for security keys, for what does not come from a browser."""

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.mfa.adapter import get_adapter
from allauth.mfa.webauthn import forms as allauth
from cryptography.exceptions import InvalidSignature
from django import forms

# What fido2 raises for bytes and objects that are no credential, besides what allauth expects.
NONSENSE = (LookupError, TypeError, ValueError, AttributeError, struct.error, InvalidSignature)


@contextmanager
def _refusing_nonsense() -> Iterator[None]:
    """An answer that makes no sense is a wrong answer, not an error of ours."""
    try:
        yield
    except NONSENSE as error:
        raise get_adapter().validation_error("incorrect_code") from error


class _Decoder(json.JSONDecoder):
    def decode(self, s: str, *args: Any) -> Any:
        try:
            return super().decode(s, *args)
        except RecursionError:  # thousands of lists in each other
            raise json.JSONDecodeError("It nests too deep", "", 0) from None


def _credential() -> forms.JSONField:
    return forms.JSONField(widget=forms.HiddenInput, decoder=_Decoder)


class AddSecurityKeyForm(allauth.AddWebAuthnForm):
    name = forms.CharField(required=False, max_length=100)
    credential = _credential()

    def clean_credential(self) -> Any:
        credential = self.cleaned_data["credential"]
        if "\\u0000" in json.dumps(credential):  # PostgreSQL keeps no such text
            raise get_adapter().validation_error("incorrect_code")
        return credential

    def clean(self) -> dict[str, Any]:
        with _refusing_nonsense():
            return super().clean()


class UseSecurityKeyForm(allauth.AuthenticateWebAuthnForm):
    credential = _credential()

    def clean_credential(self) -> Any:
        with _refusing_nonsense():
            return super().clean_credential()


class ConfirmSecurityKeyForm(allauth.ReauthenticateWebAuthnForm):
    credential = _credential()

    def clean_credential(self) -> Any:
        with _refusing_nonsense():
            return super().clean_credential()


class RenameSecurityKeyForm(allauth.EditWebAuthnForm):
    name = forms.CharField(max_length=100)
