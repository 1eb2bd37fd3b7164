"""python -m tests.bench.canned --port N: a model that costs next to nothing.

It has the offline engine answer the first question of each step and gives the same answer to all
that follow, until GET /answers/0.2 asks for new ones, given after so many seconds. So it is for
jobs that all have the same text.
"""

import argparse
import asyncio
import json

from llm.offline.engine import answer

STEPS = ("summary", "checklist", "repair")
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: canned\r\n"
    b"Content-Length: %d\r\n\r\n"
)


class Model(asyncio.Protocol):
    """One connection, with one request at a time."""

    seconds = 0.0
    answers: dict[str, bytes] = {}

    def __init__(self) -> None:
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = bytes(self._received).partition(b"\r\n\r\n")
        if not found:
            return
        if head.startswith(b"GET /answers/"):  # how long the model thinks from now on
            Model.seconds = float(head.split(b" ", 2)[1].rpartition(b"/")[2])
            Model.answers.clear()
            self._received.clear()
            self._transport.write(HEAD % 2 + b"{}")
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._received.clear()
        reply = self._reply(body)
        asyncio.get_running_loop().call_later(self.seconds, self._transport.write, reply)

    def _reply(self, body: bytes) -> bytes:
        marks = ((step, b'"name":"%s"' % step.encode()) for step in STEPS)
        tight = body.replace(b'"name": ', b'"name":')
        step = next(step for step, mark in marks if mark in tight)
        if step not in self.answers:
            self.answers[step] = _completion(body, step)
        return self.answers[step]


def _completion(body: bytes, step: str) -> bytes:
    said = json.loads(body)["messages"][-1]["content"]
    message = {"role": "assistant", "refusal": None, "content": answer(said, step)}
    completion = {
        "id": "canned",
        "object": "chat.completion",
        "created": 0,
        "model": "guidepost-offline-1",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1200, "completion_tokens": 800, "total_tokens": 2000},
    }
    content = json.dumps(completion).encode()
    return HEAD % len(content) + content


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Model, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))
