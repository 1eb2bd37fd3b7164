"""A FHIR R4 (4.0.1) PlanDefinition: a draft that a clinician reviews, with every quote.

Nothing is invented to please a field. Where R4 asks for a value that the guideline gives in words
only, the words stand and the value has a reason for being absent, which R4 allows everywhere: an
item's condition has a description and no expression that an engine could run, its actor a name and
no word on whether it is a patient or a practitioner. `workflow-definition` is the one type that is
also true of a guideline that is not clinical.
"""

import json
from typing import Any

from jobs.exports import markdown
from jobs.exports.checklist import Checklist, Citation, Gap, Item, instant
from jobs.exports.text import one_line

TYPES = "http://terminology.hl7.org/CodeSystem/plan-definition-type"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
# How soon something is to be done, in FHIR; `asap` and `stat` are for people to say.
PRIORITIES = {"high": "urgent", "medium": "routine", "low": "routine"}


def write(checklist: Checklist) -> bytes:
    return json.dumps(plan(checklist), ensure_ascii=False, indent=2).encode()


def plan(checklist: Checklist) -> dict[str, Any]:
    """The resource. FHIR knows no empty strings, lists or objects: what is empty is left out."""
    event_id = checklist.event_id
    return _whole(
        {
            "resourceType": "PlanDefinition",
            "id": str(event_id),
            "language": checklist.language,
            "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{event_id}"}],
            "name": f"Checklist_{event_id.hex}",  # for programs, hence no words (rule pdf-0)
            "title": checklist.title,
            "type": {"coding": [{"system": TYPES, "code": "workflow-definition"}]},
            "status": "draft",
            "date": instant(checklist.completed_at),
            "description": _description(checklist),
            "purpose": markdown.escape(checklist.scope),
            "usage": markdown.escape(checklist.audience),
            "relatedArtifact": [
                {
                    "type": "derived-from",
                    "display": f"Guideline with the SHA-256 {checklist.source_sha256}",
                }
            ],
            "action": [
                {
                    "title": category,
                    "groupingBehavior": "logical-group",
                    "selectionBehavior": "all",
                    "action": [_action(item) for item in items],
                }
                for category, items in checklist.groups
            ],
        }
    )


def _description(checklist: Checklist) -> str:
    """Markdown: what was made of what, and what no action covers."""
    lines = [
        "Made by software of a guideline; to be reviewed before use. Every quote was looked up in"
        " the guideline.",
        "",
        *(f"- {sentence}" for sentence in checklist.findings),
        *(f"- {name}: {markdown.escape(value)}" for name, value in checklist.provenance),
    ]
    if checklist.gaps:
        lines += ["", "Not covered by any action:", "", *map(_gap, checklist.gaps)]
    return "\n".join(lines)


def _gap(gap: Gap) -> str:
    return f"- {markdown.escape(gap.text)} ({gap.levels}; {markdown.escape(gap.place)})"


def _action(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "prefix": str(item.number),
        "title": item.action,
        "description": _remarks(item),
        "textEquivalent": ": ".join(filter(None, [item.condition, item.action])),
        "priority": PRIORITIES.get(item.priority, "routine"),
        "documentation": [_citation(citation) for citation in item.citations],
        "condition": _condition(item),
        "participant": _participant(item),
    }


def _remarks(item: Item) -> str:
    remarks = [f"Level: {item.duty}.", *(f"In doubt: {doubt}" for doubt in item.doubts)]
    if not item.supported:
        remarks.append("Not supported: not every quote is in the guideline.")
    return " ".join(remarks)


def _citation(citation: Citation) -> dict[str, Any]:
    return {
        "type": "citation",
        "display": one_line(", ".join(filter(None, [citation.place, citation.found]))),
        "citation": markdown.escape(citation.quote),
    }


def _condition(item: Item) -> list[dict[str, Any]]:
    if not item.condition:
        return []
    in_words = _absent("as-text")
    expression = {"description": item.condition, "_language": in_words, "_expression": in_words}
    return [{"kind": "applicability", "expression": expression}]


def _participant(item: Item) -> list[dict[str, Any]]:
    if not item.actor:
        return []
    return [{"_type": _absent("unknown"), "role": {"text": item.actor}}]


def _absent(reason: str) -> dict[str, Any]:
    return {"extension": [{"url": ABSENT, "valueCode": reason}]}


def _whole(value: Any) -> Any:
    """Without what is empty, all the way down."""
    if isinstance(value, dict):
        inner = {name: _whole(each) for name, each in value.items()}
        return {name: each for name, each in inner.items() if each not in ("", [], {})}
    return [_whole(each) for each in value] if isinstance(value, list) else value
