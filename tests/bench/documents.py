"""What long guidelines cost: `make bench-documents`.

Each size runs in a process of its own, with the offline model in another, through the functions
that a worker calls: its peak memory is what a worker needs for one such guideline. The guidelines
are made here, from lists of words, numbers and patterns of sentences, so that hardly two sentences
are the same. Seconds are of the processor and our own: nobody waits for the model in them.
"""

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from llm.chain import generate_checklist, summarize_guidelines
from llm.client import Client
from llm.result import build_result

SIZES = {"10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000}
MAX_MB = 400
SECONDS = 3_600.0  # nothing here is to wait for a deadline
CALL_SECONDS, MAX_REPLY_BYTES = 180.0, 4 * 1024 * 1024  # as in jobs/model_loop.py
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of ru_maxrss
MODEL = """
import sys
from llm.offline import OfflineServer
with OfflineServer() as url:
    print(url, flush=True)
    sys.stdin.read()
"""

_ACTORS = (
    "Nurses|Physicians|The pharmacist|Laboratory staff|The ward manager|Cleaning staff"
    "|Engineers|The safety officer|Visitors|Contractors|The head of department|Operators"
    "|Administrators"
)
_VERBS = (
    "record|check|replace|disinfect|label|store|report|document|calibrate|inspect|review"
    "|archive|transport|verify|sign|repeat|measure|clean|seal|approve"
)
_ADJECTIVES = (
    "sterile|opened|damaged|electronic|urgent|weekly|portable|unused|returned|chilled|signed"
    "|incoming|outdated|temporary|central|shared"
)
_NOUNS = (
    "samples|containers|infusion pumps|access logs|dose charts|batteries|protective gloves"
    "|fire doors|temperature records|consent forms|waste bins|backup copies|centrifuges"
    "|medication cabinets|incident reports|cable trays|filters|delivery notes|passwords|keys"
)
_PLACES = (
    "in the isolation room|at the reception|in the cold store|at each shift change"
    "|on the ward|in the control room|at the loading dock|in the archive|before the handover"
    "|in the pharmacy"
)
_UNITS = "minutes|hours|days|°C|mg|litres|metres|percent|bar|weeks"
_REASONS = (
    "This keeps the {0} traceable.|Experience with {0} has shown why.|The {0} arrived in {1}."
    "|Earlier editions treated {0} elsewhere.|An audit of {0} took place {1} times."
)
_REQUIREMENTS = (
    "{actor} must {verb} the {adjective} {noun} {place} within {number} {unit}.",
    "{actor} must not {verb} {adjective} {noun} unless the {other} are below {number} {unit}.",
    "{actor} should {verb} {noun} and the {other} {place}.",
    "If the {other} exceed {number} {unit}, {actor} must {verb} the {adjective} {noun}.",
    "{actor} may {verb} {adjective} {noun} {place} for at most {number} {unit}.",
    "{Verb} the {adjective} {noun} {place} at least every {number} {unit}.",
)


def guideline(characters: int, seed: int = 1) -> str:
    """Headings, paragraphs, lists and tables, of about that many characters."""
    dice, parts, size, number = random.Random(seed), [], 0, 0
    while size < characters:
        number += 1
        part = f"{'#' * dice.choice((2, 2, 3))} {number} {_title(dice)}\n\n{_section(dice)}\n"
        parts.append(part)
        size += len(part) + 1
    return "# House rules\n\n" + "\n".join(parts)


def _one_of(dice: random.Random, words: str) -> str:
    return dice.choice(words.split("|"))


def _title(dice: random.Random) -> str:
    return (
        f"{_one_of(dice, _ADJECTIVES).capitalize()} {_one_of(dice, _NOUNS)} {dice.randrange(1000)}"
    )


def _section(dice: random.Random) -> str:
    kind = dice.random()
    if kind < 0.25:
        orders = (_order(dice) for _ in range(dice.randint(3, 8)))
        return f"{_one_of(dice, _ACTORS)} must:\n\n" + "".join(f"- {order}\n" for order in orders)
    if kind < 0.35:
        rows = (f"| {_title(dice)} | {_requirement(dice)} |\n" for _ in range(dice.randint(3, 6)))
        return "| Subject | Rule |\n| --- | --- |\n" + "".join(rows)
    return "\n\n".join(_paragraph(dice) for _ in range(dice.randint(1, 4))) + "\n"


def _paragraph(dice: random.Random) -> str:
    return " ".join(
        _requirement(dice) if dice.random() < 0.4 else _reason(dice)
        for _ in range(dice.randint(2, 6))
    )


def _order(dice: random.Random) -> str:
    return (
        f"{_one_of(dice, _VERBS)} the {_one_of(dice, _ADJECTIVES)} {_one_of(dice, _NOUNS)}"
        f" {_one_of(dice, _PLACES)} within {dice.randint(2, 900)} {_one_of(dice, _UNITS)}"
    )


def _reason(dice: random.Random) -> str:
    return _one_of(dice, _REASONS).format(
        f"{_one_of(dice, _ADJECTIVES)} {_one_of(dice, _NOUNS)}", dice.randint(2, 2000)
    )


def _requirement(dice: random.Random) -> str:
    verb = _one_of(dice, _VERBS)
    return dice.choice(_REQUIREMENTS).format(
        actor=_one_of(dice, _ACTORS),
        verb=verb,
        Verb=verb.capitalize(),
        adjective=_one_of(dice, _ADJECTIVES),
        noun=_one_of(dice, _NOUNS),
        other=_one_of(dice, _NOUNS),
        place=_one_of(dice, _PLACES),
        number=dice.randint(2, 900),
        unit=_one_of(dice, _UNITS),
    )


@dataclass(frozen=True)
class Measured:
    """Of one guideline; seconds of processor time, `result` being the work after the last reply."""

    characters: int
    calls: int
    tokens: int
    items: int
    summarize: float
    checklist: float
    result: float
    peak_mb: float

    @property
    def seconds(self) -> float:
        return self.summarize + self.checklist + self.result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.documents", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        url, characters = options.child
        source = guideline(int(characters), options.seed)
        print(json.dumps(asdict(asyncio.run(measure(url, source)))))
        return
    print("| size | calls | tokens | items | step 1 | step 2 | result | peak memory |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    found = [in_a_process_of_its_own(size, options.seed) for size in SIZES.values()]
    for name, one in zip(SIZES, found, strict=True):
        print(
            f"| {name} | {one.calls} | {one.tokens:,} | {one.items:,} | {one.summarize:.2f} s"
            f" | {one.checklist:.2f} s | {one.result:.2f} s | {one.peak_mb:.0f} MB |"
        )
    for name, small, large in zip(list(SIZES)[1:], found, found[1:], strict=False):
        print(
            f"bench-documents: to {name} length={large.characters / small.characters:.1f}"
            f" calls={large.calls / small.calls:.1f} tokens={large.tokens / small.tokens:.1f}"
            f" seconds={large.seconds / small.seconds:.1f}"
        )
    print(f"bench-documents: peak_mb={found[-1].peak_mb:.0f} (goal < {MAX_MB})")


def in_a_process_of_its_own(characters: int, seed: int) -> Measured:
    with subprocess.Popen(
        [sys.executable, "-c", MODEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as model:  # it ends with its input, which is closed at the end
        url = model.stdout.readline().strip() if model.stdout else ""
        child = [sys.executable, "-m", "tests.bench.documents", "--seed", str(seed)]
        said = subprocess.run(
            [*child, "--child", url, str(characters)], check=True, stdout=subprocess.PIPE
        )
        measured: dict[str, Any] = json.loads(said.stdout)
        return Measured(**measured)


async def measure(url: str, source: str) -> Measured:
    client = Client(
        api_key="offline",
        base_url=url,
        model="guidepost-offline-1",
        timeout=CALL_SECONDS,
        max_reply_bytes=MAX_REPLY_BYTES,
    )
    at = [time.process_time()]
    deadline = time.monotonic() + SECONDS
    try:
        first = await summarize_guidelines(client, source, deadline=deadline)
        at.append(time.process_time())
        second = await generate_checklist(client, source, first.value, deadline=deadline)
        at.append(time.process_time())
    finally:
        await client.aclose()
    result = build_result(source, first.value, second.value, {})
    at.append(time.process_time())
    used = [step.usage for step in (first, second)]
    summarize, checklist, finish = (after - before for before, after in pairwise(at))
    return Measured(
        characters=len(source),
        calls=sum(usage["calls"] for usage in used),
        tokens=sum(usage["prompt_tokens"] + usage["completion_tokens"] for usage in used),
        items=len(result["checklist"]),
        summarize=summarize,
        checklist=checklist,
        result=finish,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / 1e6,
    )


if __name__ == "__main__":
    main()
