"""Where mails go, by the settings: files unless EMAIL_URL says otherwise."""

import os
import subprocess
import sys

import pytest
from django.core.checks import run_checks

PRINT = "import config.settings as s; print(s.EMAIL_BACKEND, s.EMAIL_HOST, s.EMAIL_USE_TLS)"
FILES = "django.core.mail.backends.filebased.EmailBackend"


def settings_with(**variables):
    program = PRINT if "EMAIL_URL" in variables else PRINT.partition(", s.EMAIL_HOST")[0] + ")"
    env = {**os.environ, **variables, "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env
    )
    return done.stdout.split()


def test_mails_become_files_until_a_server_is_named():
    server = "smtp+tls://me:secret@mail.example.com:587"

    assert settings_with() == [FILES]
    assert settings_with(EMAIL_URL=server) == [
        "django.core.mail.backends.smtp.EmailBackend",
        "mail.example.com",
        "True",
    ]


@pytest.mark.parametrize(
    ("https", "backend", "warned"),
    [(True, FILES, True), (False, FILES, False), (True, "an.SmtpBackend", False)],
)
def test_a_public_server_is_told_that_its_mails_reach_nobody(settings, https, backend, warned):
    settings.HTTPS, settings.EMAIL_BACKEND = https, backend

    assert ("guidepost.W001" in {message.id for message in run_checks()}) is warned
