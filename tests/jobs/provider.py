"""A model server that does as it is told, and a worker's clients for it."""

import hashlib

import pytest

from jobs import dispatch, model_loop
from llm.offline import OfflineServer


@pytest.fixture
def provider(settings, monkeypatch):
    server = OfflineServer()
    with server:
        settings.OPENAI_API_KEY = settings.OPENAI_BASE_URL = ""
        settings.OFFLINE_MODEL_URL = server.url
        monkeypatch.setattr(dispatch, "wake_worker", lambda: None)
        model_loop.model_loop.cache_clear()
        yield server.stage
        model_loop.model_loop.cache_clear()


def asked(stage):
    """(step, model) of each call, in order."""
    return [(call["step"], call["model"]) for call in stage.ledger()]


def keys(stage):
    """Digests of the keys that calls came with, in order."""
    return [call["authorization_sha256"] for call in stage.ledger()]


def digest_of(key):
    return hashlib.sha256(f"Bearer {key}".encode()).hexdigest()
