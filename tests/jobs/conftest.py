import pytest

from jobs import dispatch, model_loop
from llm.offline import OfflineServer


@pytest.fixture
def provider(settings, monkeypatch):
    """A model server that does as it is told, and a worker's clients for it."""
    server = OfflineServer()
    with server:
        settings.OPENAI_API_KEY = settings.OPENAI_BASE_URL = ""
        settings.OFFLINE_MODEL_URL = server.url
        monkeypatch.setattr(dispatch, "wake_worker", lambda: None)
        model_loop.model_loop.cache_clear()
        yield server.stage
        model_loop.model_loop.cache_clear()
