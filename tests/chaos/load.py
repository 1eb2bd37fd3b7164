"""Clients that submit small guidelines at their own pace, whatever the answers are."""

import http.client
import itertools
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

TIMEOUT = 5.0  # seconds that a client waits for an answer
TRIES, PAUSE = 60, 0.25  # of one submission, and seconds between them
CLIENTS = 32
CANCELLED, RETRIED = 0.04, 0.5  # shares: of all jobs; of those that are cancelled

SENTENCES = (
    "Staff MUST wash their hands before every contact.",
    "The ward sister SHOULD NOT leave the ward unattended.",
    "Visitors MAY stay until 20:00.",
    "The treating nurse MUST record every dose at once.",
    "Gloves MUST NOT be used twice.",
)


@dataclass(frozen=True)
class Plan:
    """One submission: when, whose, what, and what the model does meanwhile.

    after         seconds since the submission before
    cancel_after  seconds after the 202; None to leave it alone
    retry         once it was cancelled, is it retried?
    """

    number: int
    after: float
    tenant: int
    text: str
    behaviours: list[dict[str, Any]]
    cancel_after: float | None
    retry: bool


def plans(seed: int, tenants: int, rate: float) -> Iterator[Plan]:
    """Endless. rate: submissions per second."""
    dice = random.Random(f"load {seed}")
    for number in itertools.count(1):
        cancelled = dice.random() < CANCELLED
        yield Plan(
            number=number,
            after=dice.expovariate(rate),
            tenant=dice.randrange(tenants),
            text=_text(number, dice),
            behaviours=[_behaviour(dice) for _ in range(3)],
            cancel_after=dice.uniform(0, 2) if cancelled else None,
            retry=dice.random() < RETRIED,
        )


def _text(number: int, dice: random.Random) -> str:
    """A guideline of its own for each; one in twenty takes two calls a step."""
    sentences = dice.sample(SENTENCES, 3)
    if dice.random() < 0.05:
        rules = itertools.product(range(50), SENTENCES)
        sentences += [f"Rule {number} of the ward. {sentence}" for number, sentence in rules]
    paragraphs = [f"# Guideline {number}", *sentences, f"Room {number} MUST be aired."]
    return "\n\n".join(paragraphs)


def _behaviour(dice: random.Random) -> dict[str, Any]:
    """What the model does with one call: mostly it takes its time."""
    at = dice.random()
    if at < 0.86:
        return {"do": "delay", "seconds": round(dice.uniform(0.1, 0.9), 3)}
    if at < 0.90:
        return {"do": "status", "status": 500}
    if at < 0.94:
        return {"do": "status", "status": 429, "retry_after": 1}
    if at < 0.97:
        return {"do": "bad_json"}
    if at < 0.99:
        return {"do": "hang", "seconds": 1.5}  # then it hangs up
    return {"do": "hang", "seconds": 60}


Authorization = Callable[[int, bool], dict[str, str]]


class Load:
    """Submits from a thread of its own until it is stopped, each plan from one of many others.

    authorization  headers for a tenant; the second argument asks for new ones
    """

    def __init__(
        self, url: str, model_url: str, authorization: Authorization, pace: Iterator[Plan]
    ):
        self._url, self._model_url, self._authorization = url, model_url, authorization
        self._plans = pace
        self.accepted: set[str] = set()
        self.cancelled: set[str] = set()  # and not retried
        self.answers: Counter[str] = Counter()  # by status; "none" where the connection was cut
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when every submission has been answered or given up."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(CLIENTS, thread_name_prefix="client") as clients:
            due = time.monotonic()
            for plan in self._plans:
                due += plan.after
                if self._ended.wait(max(0.0, due - time.monotonic())):
                    return
                clients.submit(self._submit, plan)

    def _submit(self, plan: Plan) -> None:
        _post(f"{self._model_url}/_control/script", {"behaviours": plan.behaviours}, {})
        body = {"guideline_text": plan.text}
        answer = self._until_answered("/jobs", body, plan.tenant)
        if answer is None:
            return
        event_id = answer["event_id"]
        self.accepted.add(event_id)
        if plan.cancel_after is None:
            return
        time.sleep(plan.cancel_after)
        if self._until_answered(f"/jobs/{event_id}/cancel", {}, plan.tenant) is None:
            return
        self.cancelled.add(event_id)
        if plan.retry:
            self.cancelled.discard(event_id)
            self._until_answered(f"/jobs/{event_id}/retry", {}, plan.tenant)

    def _until_answered(self, path: str, body: dict, tenant: int) -> dict[str, Any] | None:
        """Asks again, each time anew, until it is accepted (202); None if that was refused or
        the client has lost its patience."""
        what = path.rpartition("/")[2]
        refused = False
        for _ in range(TRIES):
            try:
                headers = self._authorization(tenant, refused)
                status, answer = _post(self._url + path, body, headers)
            except (OSError, http.client.HTTPException, ValueError):
                status, answer = 0, {}
            self.answers[f"{what} {status or 'none'}"] += 1
            if status == 202:
                return answer
            if 400 <= status < 500 and status not in (401, 429):
                return None
            refused = status == 401
            time.sleep(PAUSE)
        return None


def _post(url: str, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """(status, decoded body). Raises OSError, HTTPException or ValueError."""
    request = urllib.request.Request(
        url,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, {}
