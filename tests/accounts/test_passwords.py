import unicodedata

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from accounts.models import User


@pytest.mark.parametrize(
    "password",
    [
        "short words",
        "",
        "123456789012",
        "passwordpassword",
        "Password123456",
        "P@ssw0rd!2026",
        "qwertyuiop123",
        "abcabcabcabcabc",
        "aaaaaaaaaaaaaaaa",
        "000000000000",
        "guidepost2026!",
        "ann.walker@example",
        "iloveyou!!!!!!",
        "x" * 513,
    ],
)
def test_what_is_short_common_or_made_of_that_is_refused(password):
    ann = User(email="ann.walker@example.com", name="Ann Walker")

    with pytest.raises(ValidationError):
        validate_password(password, ann)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "vier Wörter für alle",
        "密码很长但是不常见的密码啊啊",
        "🦊 likes 🍇 on Tuesdays",
        " leading and trailing ",
        "a1B2c3D4e5F6",
        "long " * 20,
        "kXq9!vR2#mTz",
        ("words of " + "0123456789 " * 60)[:512],
    ],
)
def test_what_is_long_and_nobodys_first_guess_is_good(password):
    validate_password(password, User(email="ann@example.com", name="Ann"))


def test_no_end_is_cut_off():
    user = User(email="ann@example.com")
    user.set_password("a" * 100 + "b")

    assert user.check_password("a" * 100 + "b")
    assert not user.check_password("a" * 100 + "c")
    assert not user.check_password("a" * 100)


def test_two_ways_to_write_a_letter_are_one_password():
    user = User(email="ann@example.com")
    user.set_password(unicodedata.normalize("NFD", "Schlüssel für Zürich"))

    assert user.check_password(unicodedata.normalize("NFC", "Schlüssel für Zürich"))
    assert not user.check_password("Schlussel fur Zurich")


def test_spaces_count():
    user = User(email="ann@example.com")
    user.set_password(" four words walk in ")

    assert not user.check_password("four words walk in")
