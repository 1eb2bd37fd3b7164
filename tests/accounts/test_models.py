import pytest
from django.contrib.auth import authenticate
from django.db import IntegrityError

from accounts.models import User
from tests.factories import UserFactory


def test_people_sign_in_by_e_mail_whatever_its_case(db):
    user = UserFactory(email="Ann@example.com")

    assert authenticate(username="ann@EXAMPLE.com", password=UserFactory.password) == user


def test_an_address_that_differs_only_in_case_is_taken(db):
    UserFactory(email="ann@example.com")

    with pytest.raises(IntegrityError, match="user_email_once_whatever_its_case"):
        UserFactory(email="ANN@example.com")


def test_a_user_without_an_address_is_refused(db):
    with pytest.raises(ValueError, match="e-mail"):
        User.objects.create_user("")
