"""What a password must not be, besides short or on Django's list of common ones."""

import re
from typing import Any

from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError

_TRIM = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_LEET = str.maketrans("4@310$57!", "aaeiosstl")
OF_OURS = {"guidepost", "checklist", "guideline"}


class MaximumLengthValidator:
    """Far beyond any pass phrase. Nothing is cut off, so there has to be an end."""

    def __init__(self, max_length: int = 512):
        self.max_length = max_length

    def validate(self, password: str, user: Any = None) -> None:
        if len(password) > self.max_length:
            raise ValidationError(
                f"This password is longer than {self.max_length} characters.",
                code="password_too_long",
            )

    def get_help_text(self) -> str:
        return f"It may have up to {self.max_length} characters, of any script."


class DressedUpPasswordValidator(CommonPasswordValidator):
    """A common password stays common when it is repeated, numbered or written with 3 for e.

    The lists of leaked passwords hold mostly short ones; these are how they become long enough.
    """

    def validate(self, password: str, user: Any = None) -> None:
        plain = password.lower().strip()
        undressed = {plain, _TRIM.sub("", plain), _TRIM.sub("", plain.translate(_LEET))}
        units = {_unit(word) for word in undressed}
        if any(len(unit) < 5 or unit in self.passwords or unit in OF_OURS for unit in units):
            raise ValidationError(
                "This password is a common one that was only made longer.",
                code="password_too_common",
            )

    def get_help_text(self) -> str:
        return "Three or four words that do not belong together make a good one."


def _unit(word: str) -> str:
    """What the word repeats: "abc" of "abcabcabc"; the word itself if it repeats nothing."""
    size = (word + word).find(word, 1)
    return word[:size] if size > 0 else word
