"""Where mails go, by the settings: EMAIL_URL says it, and nothing else."""

import os
import subprocess
import sys

import pytest
from django.core.checks import run_checks

PRINT = (
    "import config.settings as s;"
    " print(s.EMAIL_BACKEND.split('.')[-2], *(getattr(s, name, None) for name in"
    " ('EMAIL_HOST', 'EMAIL_USE_TLS', 'EMAIL_FILE_PATH')))"
)


def settings_with(**variables):
    env = {**os.environ, **variables, "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        [sys.executable, "-c", PRINT], capture_output=True, text=True, check=True, env=env
    )
    return done.stdout.split()


def test_without_a_server_mails_are_printed_here_and_dropped_in_public():
    assert settings_with()[0] == "console"
    assert settings_with(PUBLIC_URL="https://guidepost.example")[0] == "dummy"


def test_an_address_names_a_server_or_a_directory(tmp_path):
    server = settings_with(EMAIL_URL="smtp+tls://me:secret@mail.example.com:587")
    files = settings_with(EMAIL_URL=f"filemail:///{tmp_path}")

    assert server[:3] == ["smtp", "mail.example.com", "True"]
    assert (files[0], files[3]) == ("filebased", str(tmp_path))


@pytest.mark.parametrize(
    ("https", "backend", "warned"),
    [
        (True, "dummy.EmailBackend", True),
        (True, "filebased.EmailBackend", True),
        (False, "filebased.EmailBackend", False),
        (True, "smtp.EmailBackend", False),
    ],
)
def test_a_public_server_is_told_that_its_mails_reach_nobody(settings, https, backend, warned):
    settings.HTTPS, settings.EMAIL_BACKEND = https, f"django.core.mail.backends.{backend}"

    assert ("guidepost.W001" in {message.id for message in run_checks()}) is warned
