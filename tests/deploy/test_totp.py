import base64

import pytest

from deploy.local.totp import otpauth, totp


@pytest.mark.parametrize(
    ("at", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")]
)
def test_codes_are_those_of_rfc_6238_appendix_b(at, code):
    assert totp(base64.b32encode(b"12345678901234567890").decode(), at) == code


def test_an_app_takes_the_link():
    expected = "otpauth://totp/a%40b.example?secret=ABC&issuer=Guidepost"

    assert otpauth("a@b.example", "ABC") == expected
