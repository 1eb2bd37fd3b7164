import asyncio
import time
from pathlib import Path

import pytest

from llm import chain, prompts
from llm.client import Client
from llm.offline import OfflineServer
from llm.result import build_result
from llm.schemas import Summary

GUIDELINES = Path(__file__).resolve().parents[3] / "shared" / "guidelines"


@pytest.fixture
def offline():
    """The real offline server on a port of its own."""
    server = OfflineServer()
    with server:
        yield server


@pytest.fixture
def ask(offline):
    """One call of step 1 against the offline server; keyword arguments change the client."""

    def ask(source="Staff must wash hands.", **options):
        return asyncio.run(_ask(offline.url, source, **options))

    return ask


async def _ask(
    url,
    source,
    *,
    timeout=5.0,
    deadline=10.0,
    max_reply_bytes=1_000_000,
    label="",
    api_key="test",
):
    client = make_client(url, timeout=timeout, max_reply_bytes=max_reply_bytes, api_key=api_key)
    try:
        return await client.complete(
            prompt=prompts.load("summarize", 1),
            data={"passages": [{"id": 1, "section": "", "stem": "", "text": source}]},
            schema=Summary,
            deadline=time.monotonic() + deadline,
            request_label=label,
        )
    finally:
        await client.aclose()


def make_client(url, *, timeout=10.0, max_reply_bytes=10_000_000, api_key="test"):
    return Client(
        api_key=api_key,
        base_url=url,
        model="gpt-test",
        timeout=timeout,
        max_reply_bytes=max_reply_bytes,
    )


def run_chain(url, source):
    """Both steps and the public result."""
    return asyncio.run(_run_chain(url, source))


async def _run_chain(url, source):
    client, deadline = make_client(url), time.monotonic() + 60
    try:
        first = await chain.summarize_guidelines(client, source, deadline=deadline)
        second = await chain.generate_checklist(client, source, first.value, deadline=deadline)
    finally:
        await client.aclose()
    return build_result(source, first.value, second.value, {"summary": first.provenance})
