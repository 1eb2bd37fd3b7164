"""What the model server has seen: `stage` is the fixture `provider`."""

import hashlib


def asked(stage):
    """(step, model) of each call, in order."""
    return [(call["step"], call["model"]) for call in stage.ledger()]


def keys(stage):
    """Digests of the keys that calls came with, in order."""
    return [call["authorization_sha256"] for call in stage.ledger()]


def digest_of(key):
    return hashlib.sha256(f"Bearer {key}".encode()).hexdigest()
