"""A wrong deployment does not start, whoever starts it."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.checks import models_have_prices, providers_are_addresses
from deploy.local.stack import new_secrets

ROOT = Path(__file__).parent.parent.parent
ZEROS = "k1:" + base64.b64encode(bytes(32)).decode()
MANAGE = ["manage.py", "check", "--deploy", "--fail-level", "WARNING"]
GUNICORN = [
    "-m",
    "gunicorn",
    "-c",
    "deploy/gunicorn.conf.py",
    "-b",
    "127.0.0.1:0",
    "config.asgi",
]
WORKER = ["-m", "celery", "-q", "-A", "config", "worker", "-P", "solo", "-Q", "nothing"]
BEAT = ["-m", "celery", "-A", "config", "beat", "--pidfile=", "-s"]  # and a file: it replaces it


def start(command, **settings):
    """A process of a public deployment: its exit status and what it said."""
    made = new_secrets()
    environment = {
        **{key: made[key] for key in ("SECRET_KEY", "API_KEY_PEPPER", "ENCRYPTION_KEYS")},
        "PATH": os.environ["PATH"],
        "DATABASE_URL": os.environ["DATABASE_URL"],
        "REDIS_URL": os.environ["REDIS_URL"],
        "PUBLIC_URL": "https://guidepost.example",
        "ALLOWED_HOSTS": "guidepost.example",
        "TRUSTED_PROXIES": "1",
        "EMAIL_URL": "smtp://mail.guidepost.example:587",
        "WEB_PROCESSES": "1",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        **settings,
    }
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_public_deployment_has_nothing_to_complain_of():
    status, said = start(MANAGE)

    assert status == 0, said
    assert "no issues" in said


@pytest.mark.parametrize(
    ("settings", "errors"),
    [
        (
            {
                "SECRET_KEY": "short",
                "API_KEY_PEPPER": "ab" * 30,
                "ENCRYPTION_KEYS": "no key",
                "FAILPOINTS": "after_claim=kill",
                "DEBUG": "true",
                "ALLOWED_HOSTS": "*",
            },
            [
                "E001) SECRET_KEY is weak: it is shorter",
                "E001) API_KEY_PEPPER is weak: it has fewer",
                "E004) ",
                "E005) ",
                "E012) ",
                "E013) ",
            ],
        ),
        (
            {
                "SECRET_KEY": "django-insecure-" + "abcdefghijklmnopqrstuvwxyz0123456789",
                "API_KEY_PEPPER": "changeme-changeme-changeme-changeme-123456789",
                "ENCRYPTION_KEYS": "k1:c2hvcnQ=",
            },
            [
                "E001) SECRET_KEY is weak: it looks like",
                "E001) API_KEY_PEPPER is weak: it looks like",
                "E005) ",
            ],
        ),
        (
            {
                "SECRET_KEY": (same := "1q2w3e4r5t6y7u8i9o0pAzSxDcFvGbHnJmKl"),
                "API_KEY_PEPPER": same,
                "ENCRYPTION_KEYS": ZEROS,
            },
            ["E002) ", "E003) "],
        ),
    ],
    ids=["each", "others", "together"],
)
def test_wrong_settings_stop_the_start_each_with_its_reason(settings, errors):
    status, said = start(["manage.py", "check"], **settings)

    assert status == 1
    assert [error for error in errors if f"guidepost.{error}" not in said] == []
    assert said.count("(guidepost.E") == len(errors)
    for secret in settings.values():
        assert len(secret) < 20 or secret not in said


def test_a_public_server_that_cannot_send_mail_is_told_so():
    status, said = start(MANAGE, EMAIL_URL="")

    assert status == 1
    assert "guidepost.W001" in said


@pytest.mark.parametrize("command", [GUNICORN, WORKER, BEAT], ids=["web", "worker", "beat"])
def test_no_process_starts_with_a_weak_secret(command, tmp_path):
    schedule = [str(tmp_path / "schedule")] if command is BEAT else []

    status, said = start([*command, *schedule], SECRET_KEY="short")

    assert status != 0
    assert "guidepost.E001" in said


@pytest.mark.parametrize("name", ["SECRET_KEY", "API_KEY_PEPPER", "ENCRYPTION_KEYS"])
def test_no_secret_has_a_default(name):
    status, said = start(["-c", f"import os; del os.environ[{name!r}]; import config.settings"])

    assert status == 1
    assert name in said


PRICES = {"gpt-4.1-mini": {"prompt": 0.4, "completion": 1.6}}


@pytest.mark.parametrize(
    ("key", "prices", "found"),
    [
        ("", {}, []),
        ("sk-x", PRICES, []),
        ("sk-x", {"another": {"prompt": 1}}, ["guidepost.W002"]),
        ("", [], ["guidepost.E011"]),
        ("", {"m": 0.4}, ["guidepost.E011"]),
        ("", {"m": {"prompt": "0.4"}}, ["guidepost.E011"]),
        ("", {"m": {"prompt": -1}}, ["guidepost.E011"]),
        ("", {"m": {"input": 1}}, ["guidepost.E011"]),
    ],
)
def test_prices_are_a_table_and_a_paid_model_has_one(settings, key, prices, found):
    settings.OPENAI_API_KEY, settings.OPENAI_MODEL = key, "gpt-4.1-mini"
    settings.MODEL_PRICES = prices

    assert [message.id for message in models_have_prices(None)] == found


def test_every_model_that_jobs_may_be_run_with_has_a_price(settings):
    settings.OPENAI_API_KEY, settings.OPENAI_MODEL = "sk-x", "gpt-4.1-mini"
    settings.MODEL_PRICES, settings.MODELS = PRICES, ["gpt-4.1", "gpt-4.1-nano"]

    [warning] = models_have_prices(None)

    assert "no price for gpt-4.1, gpt-4.1-nano:" in warning.msg


@pytest.mark.parametrize(
    ("public", "providers", "found"),
    [
        (True, {"openai": "https://api.openai.com/v1"}, []),
        (True, {}, []),
        (False, {"local": "http://127.0.0.1:9/v1"}, []),
        (True, {"local": "http://127.0.0.1:9/v1"}, ["guidepost.E020"]),
        (True, ["https://api.openai.com/v1"], ["guidepost.E020"]),
        (True, {"x": "https://"}, ["guidepost.E020"]),
        (True, {"x": "https://user:secret@x.example/v1"}, ["guidepost.E020"]),
        (True, {"x": "https://x.example/v1?key=1"}, ["guidepost.E020"]),
        (True, {"x": "https://[x"}, ["guidepost.E020"]),
        (True, {"": "https://x.example"}, ["guidepost.E020"]),
        (True, {"x": 5}, ["guidepost.E020"]),
    ],
)
def test_keys_of_tenants_go_to_https_addresses_alone(settings, public, providers, found):
    settings.HTTPS, settings.PROVIDERS = public, providers

    assert [message.id for message in providers_are_addresses(None)] == found
