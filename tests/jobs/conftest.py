import json

import pytest

from jobs import dispatch, model_loop
from llm.offline import OfflineServer


@pytest.fixture
def provider(settings, monkeypatch):
    """The model server, and a worker's client for it; `heard` are the passages of its calls."""
    server = OfflineServer()
    server.stage.heard = []
    original = server.stage.open_call

    def open_call(step, label, messages):
        server.stage.heard += [(step, p["text"]) for p in json.loads(messages.user)["passages"]]
        return original(step, label, messages)

    server.stage.open_call = open_call
    with server:
        settings.OPENAI_API_KEY = settings.OPENAI_BASE_URL = ""
        settings.OFFLINE_MODEL_URL = server.url
        monkeypatch.setattr(dispatch, "wake_worker", lambda: None)
        monkeypatch.setattr(model_loop, "_made", None)  # with clients of another server
        yield server.stage
        if model_loop._made is not None:
            model_loop._made.start(closed(model_loop._made.clients)).result(10)


async def closed(clients):
    for kept in clients._kept.values():
        await kept.client.aclose()
