"""Results to export: one that the real chain makes, and one whose every text is an attack."""

import asyncio
import hashlib
import time

from jobs.result_schema import FLAGS, LEVELS, PRIORITIES
from llm import chain
from llm.result import build_result
from tests.factories import JobFactory
from tests.jobs.acts import completed
from tests.llm.conftest import make_client

SOURCE = """# Hand hygiene

This guideline is for all staff of the ward.

## Before contact

Staff MUST disinfect their hands for at least 30 seconds before every contact with a patient.
If the hands are visibly soiled, staff must wash them with soap first.

## Records

- The ward manager should check the dispensers every day.
- Visitors may use the dispenser at the door.
- Empty dispensers must not stay in place for more than 2 hours.
"""

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "</style></title></textarea><script>alert(1)</script>",
    "]]><!-- --><b>x</b>",
    "{{ 7|add:7 }} {% debug %}",
    "&lt;b&gt; &copy; &#64; &amp;amp;",
    "[click](javascript:alert(1))",
    "![seen](https://evil.example/pixel.png)",
    "<https://evil.example> <mail@evil.example>",
    "https://evil.example/path?q=1 and ftp://evil.example",
    "www.evil.example and WWW.evil.example",
    "mail@evil.example, mailto:mail@evil.example",
    "@octocat closes #1",
    "# Heading",
    "Setext\n===\n\n---",
    "| a | b |\n| - | - |\n| 1 | 2 |",
    "```\ncode\n```",
    "    indented code",
    "- [x] done",
    "* * *",
    "+ plus",
    "1. one",
    "12) twelve",
    "> quoted",
    "[ref]: https://evil.example\n[^1]: note [ref] [^1]",
    "**bold** _italic_ ~~gone~~ `code` $x$ \\* \\",
    "~~~",
    '=HYPERLINK("https://evil.example";"click")',
    "=1+1",
    "+1+1",
    "-2+3",
    "@SUM(A1:A9)",
    "\t=1+1",
    "\r=1+1",
    "  =1+1",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20SUM(1)",
    "first;=1+1;\t@SUM(1)",
    'a","=1+1',
    "a\n=1+1",
    "\x00\x01\x08\x0b\x0c\x1b[31mred\x7f\x9f",
    "\ufffe\uffff\ufdd0",
    "\u202eesrever",
    "\u2067\u202dopen",
    "\u2069\u202cstray",
    "שלום עולם (1)",
    "مرحبا بالعالم 123",
    "👩‍⚕️ e\u0301 漢字 \U0010ffff",
    "W" * 3000,
    "..",
    "CON",
]


def chain_result(url, source=SOURCE):
    """What a worker stores: both steps by the engine at the URL, with their provenance."""
    return asyncio.run(_chain_result(url, source))


async def _chain_result(url, source):
    client, deadline = make_client(url), time.monotonic() + 60
    try:
        first = await chain.summarize_guidelines(client, source, deadline=deadline)
        second = await chain.generate_checklist(client, source, first.value, deadline=deadline)
    finally:
        await client.aclose()
    steps = {"summarize": first.provenance, "checklist": second.provenance}
    provenance = {"app_version": "0.1.0", "steps": steps}
    return build_result(source, first.value, second.value, provenance)


def hostile_result(items=60):
    """Every text is an attack; every flag, level and kind of match is there."""
    checklist = [_hostile_item(number) for number in range(items)]
    gaps = [
        {"text": text, "levels": LEVELS[:2], "start": at, "end": at + 9, "section": text}
        for at, text in enumerate(ATTACKS)
    ]
    step = {"prompt": "p.v1", "prompt_sha256": "0" * 64, "model": ATTACKS[1], "seconds": 0.5}
    return {
        "summary": {
            "title": ATTACKS[0],
            "scope": ATTACKS[1],
            "audience": ATTACKS[2],
            "statements": [],
        },
        "checklist": checklist,
        "dropped": [_hostile_item(0)],
        "coverage": {
            **{"statements": items, "covered": 0, "must": 2, "must_covered": 1},
            **{"missing": gaps, "not_actionable": [], "covered_by": []},
        },
        "grounding": {
            **{"citations": items, "exact": 0, "normalised": 0, "fuzzy": 0, "unsupported": 0},
            "flags": dict.fromkeys(FLAGS, 0),
        },
        "provenance": {
            "app_version": ATTACKS[3],
            "source_sha256": hashlib.sha256(b"").hexdigest(),
            "steps": {"summarize": step, "checklist": step},
        },
    }


def _hostile_item(number):
    def attack(offset):
        return ATTACKS[(number + offset) % len(ATTACKS)]

    def citation(offset, match, **fields):
        place = {"start": number, "end": number + 9, "section": attack(offset + 1)}
        return {
            **place,
            **{"quote": attack(offset), "match": match, "similarity": None},
            **fields,
        }

    nowhere = {"start": None, "end": None}
    return {
        "id": hashlib.sha256(str(number).encode()).hexdigest()[:12],
        "action": attack(0),
        "actor": attack(1),
        "level": LEVELS[number % len(LEVELS)],
        "category": ATTACKS[number // 40 % len(ATTACKS)],
        "priority": PRIORITIES[number % len(PRIORITIES)],
        "condition": attack(2) if number % 2 else "",
        "citations": [
            citation(3, "exact", page=number + 1),
            citation(4, "fuzzy", similarity=0.93),
            citation(5, "unsupported", **nowhere),
        ],
        "supported": bool(number % 3),
        "flags": [{"kind": FLAGS[number % len(FLAGS)], "lost": attack(6), "found": attack(7)}],
    }


def exported(api, tenant, result, title="Hand hygiene"):
    """A completed job, and what asks for its checklist in a format."""
    job = completed(JobFactory(tenant=tenant, title=title), result)

    def get(ending, **headers):
        return api.get(f"/jobs/{job.event_id}/checklist.{ending}", **headers)

    return job, get
