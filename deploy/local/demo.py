"""Runs one guideline through the HTTP API, as an integration would, and prints the checklist."""

import base64
import json
import textwrap
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

PATIENCE = 600  # seconds
WIDTH = 96


class DemoFailed(Exception):
    """Says what went wrong, for a person."""


def run_demo(url: str, client: dict[str, str], text: str, title: str) -> None:
    """Prints the summary, every item with its citations, and a last line for machines."""
    started = time.monotonic()
    token = get_token(url, client)
    job = call(f"{url}/jobs", token, {"guideline_text": text, "title": title[:200]})
    while job["status"] in ("PENDING", "PROCESSING"):
        if time.monotonic() - started > PATIENCE:
            raise DemoFailed(f"The job {job['event_id']} has not ended after {PATIENCE} s.")
        time.sleep(0.2)
        job = call(f"{url}{job['links']['self']}", token)
    if job["status"] != "COMPLETED":
        raise DemoFailed(f"The job ended {job['status']}: {job['error']}")
    print_result(job["result"])
    coverage, grounding = job["result"]["coverage"], job["result"]["grounding"]
    print(
        f"demo: COMPLETED event_id={job['event_id']} items={len(job['result']['checklist'])}"
        f" citations={grounding['citations']} exact={grounding['exact']}"
        f" must={coverage['must']} must_covered={coverage['must_covered']}"
        f" seconds={time.monotonic() - started:.1f}"
    )


def get_token(url: str, client: dict[str, str]) -> str:
    pair = f"{client['client_id']}:{client['client_secret']}".encode()
    request = urllib.request.Request(
        f"{url}/oauth/token",
        data=b"grant_type=client_credentials",
        headers={"Authorization": f"Basic {base64.b64encode(pair).decode()}"},
    )
    token: str = _open(request, again=3)["access_token"]
    return token


def call(url: str, token: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    return _open(urllib.request.Request(url, data=data, headers=headers))


def _open(request: urllib.request.Request, again: int = 0) -> dict[str, Any]:
    """again  how often it may be repeated when the service says that it cannot answer just now"""
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            decoded: dict[str, Any] = json.load(answer)
            return decoded
    except urllib.error.HTTPError as error:
        if again and error.code == HTTPStatus.SERVICE_UNAVAILABLE:
            time.sleep(float(error.headers.get("Retry-After", 1)))
            return _open(request, again - 1)
        raise DemoFailed(
            f"{request.full_url} answered {error.code}: {error.read().decode()}"
        ) from None
    except (urllib.error.URLError, TimeoutError) as error:
        raise DemoFailed(f"{request.full_url} did not answer: {error}") from None


def print_result(result: dict[str, Any]) -> None:
    summary, coverage = result["summary"], result["coverage"]
    models = {step["model"] for step in result["provenance"]["steps"].values()}
    print(f"\n{printable(summary['title'])}\n{'=' * min(len(summary['title']), WIDTH)}")
    if any(model.startswith("guidepost-offline") for model in models):
        print(
            "Made by Guidepost's offline engine, which quotes and sorts; it is not a GPT model.\n"
        )
    for name in ("scope", "audience"):
        print(wrap(f"{name.capitalize()}: {summary[name]}"))
    print(f"\nSummary, {len(summary['statements'])} statements")
    for statement in summary["statements"]:
        print(wrap(f"- {statement['text']}", hang="  "))
    print(f"\nChecklist, {len(result['checklist'])} items\n")
    for number, item in enumerate(result["checklist"], 1):
        print_item(number, item)
    if coverage["missing"]:
        print(f"Not covered by any item: {len(coverage['missing'])} statements")
        for statement in coverage["missing"]:
            print(wrap(f"- {statement['text']}", hang="  "))
        print()


def print_item(number: int, item: dict[str, Any]) -> None:
    level = item["level"].replace("_", " ").upper()
    print(wrap(f"{number:3}. {level} · {item['actor']}: {item['action']}", hang="     "))
    for citation in item["citations"]:
        place = f"{citation['section']}, " if citation["section"] else ""
        if citation["start"] is not None:
            place += f"characters {citation['start']}–{citation['end']}, "
        quote = " ".join(citation["quote"].split())
        print(wrap(f"     “{quote}” [{place}{citation['match']}]", hang="      "))
    print()


def wrap(text: str, hang: str = "") -> str:
    return textwrap.fill(printable(text), WIDTH, subsequent_indent=hang, drop_whitespace=True)


def printable(text: str) -> str:
    """Text from documents and models may hold terminal escapes; none reaches the terminal."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
