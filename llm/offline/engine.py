"""The extractive engine: what a chat completion about a guideline would say, by rule.

It reads the user message as a model would and knows nothing else. It never invents: each item is
a sentence of the message, turned into an order where grammar allows, and quotes that sentence.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llm.markup import plain
from llm.meaning.words import content
from llm.offline import wording
from llm.offline.duties import Duty
from llm.passages import Kind, Passage, split_passages
from llm.rules import Language, Level
from llm.sentences import split_sentences
from llm.statements import (
    Convention,
    Statement,
    find_convention,
    find_language,
    find_statements,
    opens_list,
)

_SCOPE = re.compile(
    r"\bthis (?:section|document|policy|guideline|guide|procedure|standard|checklist|chapter|page)"
    r"\b(?: \w+)? (?:provides|describes|explains|lists|covers|applies|sets|defines|specifies"
    r"|outlines|gives|establishes|is intended)\b",
    re.IGNORECASE,
)
_HEADING_NUMBER = re.compile(r"^(?:\d+(?:\.\d+)*\.?|[A-Z]\.)\s+")
_PRIORITY = {"must": "high", "must_not": "high", "should": "medium", "should_not": "medium"}
_MAX_TITLE = 100  # characters
_NEAR = 600  # characters before a sentence in which stands whom its pronoun means
_MAX_LISTS = 5  # in one another whose introductions are cited
_MAX_ROW = 500  # characters; a longer row is quoted by its sentences


@dataclass(frozen=True)
class Document:
    """What a user message holds."""

    passages: list[Passage]
    convention: Convention
    audience: str
    language: Language
    missing: Sequence[dict[str, Any]] = ()
    doubtful: Sequence[dict[str, Any]] = ()


def answer(user_message: str, schema_name: str) -> str:
    """The content of the reply: JSON for a schema of ours, else plain text.

    Always in the language of the document: an engine of rules cannot translate.
    """
    document = read_message(user_message)
    if schema_name == "summary":
        return json.dumps(write_summary(document), ensure_ascii=False)
    if schema_name == "checklist":
        return json.dumps(write_checklist(document), ensure_ascii=False)
    if schema_name == "repair":
        return json.dumps(write_repair(document), ensure_ascii=False)
    return write_text(document)


def read_message(user_message: str) -> Document:
    """Our own JSON, or any text, which is then cut into passages here."""
    try:
        data = json.loads(user_message)
        passages = [_passage(entry) for entry in data["passages"]]
        convention = data.get("convention") or find_convention(passages)
        audience = (data.get("summary") or {}).get("audience", "")
        missing, doubtful = data.get("missing") or (), data.get("doubtful") or ()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        passages = split_passages(user_message)
        convention, audience, missing, doubtful = find_convention(passages), "", (), ()
    return Document(passages, convention, audience, find_language(passages), missing, doubtful)


def _passage(entry: dict[str, Any]) -> Passage:
    """A passage of the message; its offsets count from its own beginning."""
    text, stem = str(entry["text"]), str(entry.get("stem", ""))
    is_row = " | " in stem and "|" in text
    kind: Kind = "table_row" if is_row else "list_item" if stem else "paragraph"
    return Passage(int(entry["id"]), 0, len(text), text, str(entry.get("section", "")), stem, kind)


@dataclass(frozen=True)
class _Finding:
    """A statement, the passage that says it, and the introductions it needs, as far as they are
    here: its list's own, then those of the lists around that.
    """

    statement: Statement
    passage: Passage
    introductions: list[tuple[Passage, str]]

    @property
    def quote(self) -> str:
        offset = self.passage.start
        return self.passage.text[self.statement.start - offset : self.statement.end - offset]

    @property
    def before(self) -> str:
        """What its passage says just before it."""
        at = self.statement.start - self.passage.start
        return self.passage.text[max(0, at - _NEAR) : at]


def find(document: Document) -> list[_Finding]:
    """All statements, save the bare beginnings of lists whose items are here: those say it all."""
    introductions = _introductions(document.passages)
    findings = []
    for passage in document.passages:
        for statement in find_statements([passage], document.convention, document.language):
            needs = wording.needs_stem(statement)
            needed = introductions.get(id(passage), []) if needs else []
            findings.append(_Finding(statement, passage, needed))
    said = {quote for f in findings for _, quote in f.introductions}
    return [
        f
        for f in findings
        if not (f.quote in said and opens_list(f.statement.text, f.statement.language))
    ]


def _introductions(passages: Sequence[Passage]) -> dict[int, list[tuple[Passage, str]]]:
    """For each item of a list: passages and the sentences of them that introduce the list, and the
    lists around it, "The nurse MUST:" beside "check the bag:".
    """
    found: dict[int, list[tuple[Passage, str]]] = {}
    open_lists: list[tuple[Passage, str, str]] = []
    for passage in passages:
        readable = plain(passage.text)
        while open_lists and not passage.stem.endswith(open_lists[-1][2]):
            open_lists.pop()
        if open_lists:
            around, quote, _ = open_lists[-1]
            found[id(passage)] = [(around, quote), *found.get(id(around), [])][:_MAX_LISTS]
        if readable.endswith(":"):
            last = split_sentences(passage)[-1]
            quote = passage.text[last.start - passage.start : last.end - passage.start]
            open_lists.append((passage, quote, last.text))
    return found


# Step 1


def write_summary(document: Document) -> dict[str, Any]:
    findings = find(document)
    return {
        "title": _title(document.passages),
        "scope": _scope(document.passages),
        "audience": _audience(findings),
        "statements": [
            {"text": wording.full_sentence(f.statement), "passages": [f.passage.id]}
            for f in findings
        ],
    }


def _title(passages: Sequence[Passage]) -> str:
    for passage in passages:
        if passage.section:
            return _HEADING_NUMBER.sub("", passage.section.split(" > ")[0])[:_MAX_TITLE]
    first = plain(passages[0].text).split("\n")[0] if passages else ""
    return first if len(first) <= _MAX_TITLE else first[: _MAX_TITLE - 1] + "…"


def _scope(passages: Sequence[Passage]) -> str:
    for passage in passages:
        for sentence in split_sentences(passage):
            if _SCOPE.search(sentence.text):
                return sentence.text
    return ""


def _audience(findings: Iterable[_Finding]) -> str:
    """The two actors named most often, and at least twice; users are mostly acted for."""
    actors = Counter(
        actor
        for f in findings
        if (actor := wording.named_actor(f.statement, f.statement.levels[0]))
    )
    named: dict[tuple[str, ...], str] = {}  # once, in the singular or the plural
    for actor, count in actors.most_common():
        if count > 1:
            named.setdefault(tuple(content(actor)), actor)
    most = list(named.values())[:2]
    return ", ".join(actor for actor in most if actor not in ("Users", "The user", "You"))


# Step 2


def write_checklist(document: Document) -> dict[str, Any]:
    items, last, section = [], "", ""
    for finding in find(document):
        statement = finding.statement
        if statement.section != section:
            last, section = "", statement.section
        if not statement.actionable:
            continue
        for level in statement.levels:
            duties = wording.duties_of(statement, level)
            for duty in duties or (None,):
                meant = duty and wording.meant(duty, finding.before, last)
                items.append(_item(finding, level, meant, document.audience))
            last = wording.named_actor(statement, level) or last
    return {"items": items}


def _item(finding: _Finding, level: Level, duty: Duty | None, audience: str) -> dict[str, Any]:
    statement = finding.statement
    citations = [{"passage": finding.passage.id, "quote": _whole_row(finding) or finding.quote}]
    citations += [{"passage": passage.id, "quote": q} for passage, q in finding.introductions]
    condition = _row_head(finding) or wording.condition_of(statement, duty)
    return {
        "action": wording.action(statement, level, duty, condition),
        "actor": wording.actor(statement, level, duty, audience=audience),
        "level": level,
        "category": wording.category(statement),
        "priority": _PRIORITY.get(level, "low"),
        "condition": condition,
        "citations": citations,
    }


def _row_head(finding: _Finding) -> str:
    """What a row of a table is about: "Weight: < 10 kg". Its other cells hold only for that."""
    if finding.passage.kind != "table_row":
        return ""
    cell, _, _ = finding.passage.text.partition("|")
    if finding.quote in cell:
        return ""
    head = finding.statement.stem.partition(" | ")[0].rpartition(": ")[2]
    return f"{head}: {plain(cell)}"


def _whole_row(finding: _Finding) -> str:
    """A short row is quoted whole: a dose without its weight would be half the truth."""
    text = finding.passage.text
    return text if _row_head(finding) and len(text) <= _MAX_ROW else ""


# The repair


def write_repair(document: Document) -> dict[str, Any]:
    """What step 2 would say of the sentences that are missing, or that a doubtful item quotes."""
    items = write_checklist(document)["items"]
    quoting: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        quoting.setdefault(plain(item["citations"][0]["quote"]), []).append(item)
    missing = dict.fromkeys(str(entry.get("text", "")) for entry in document.missing)
    return {
        "items": [item for text in missing for item in quoting.get(text, ())],
        "corrected": [
            {"number": entry["number"], "item": right}
            for entry in document.doubtful
            if (right := _said_rightly(entry["item"], quoting))
        ],
    }


def _said_rightly(
    doubtful: dict[str, Any], quoting: dict[str, list[dict[str, Any]]]
) -> dict[str, Any] | None:
    """The item of the same level, else the first, that quotes what the doubtful one does."""
    quotes = (plain(citation["quote"]) for citation in doubtful["citations"])
    found = next((quoting[quote] for quote in quotes if quote in quoting), [])
    same = (item for item in found if item["level"] == doubtful["level"])
    return next(same, found[0] if found else None)


# Neither step: a person talks to the engine


def write_text(document: Document) -> str:
    lines = [f"- {wording.full_sentence(f.statement)}" for f in find(document)]
    found = "\n".join(lines) or "I found no requirement in this text."
    return f"I am Guidepost's offline engine, not a language model. By rule I found:\n{found}"
