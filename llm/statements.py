"""The deterministic finder of normative statements: what a guideline asks, allows or forbids.

The server measures coverage with it, and the offline engine writes its checklist from it. Levels:

- capitals as RFC 2119 and RFC 8174 define them; where a document uses these consistently, they
  alone count, since such a document's lower-case "should" is explanation by its own convention;
- otherwise modal verbs in any case, and imperatives. That an imperative is a requirement follows
  the ISO/IEC Directives, Part 2 (clause 7, verbal forms).

English only. A text in another language yields no statements, which is honest but not useful.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from llm.passages import Passage
from llm.sentences import Sentence, split_sentences
from llm.verbs import is_imperative, leading_verb

Level = Literal["must", "must_not", "should", "should_not", "may"]
Convention = Literal["rfc2119", "plain"]

MIN_CAPITALS = 5  # fewer capital keywords than this are emphasis, not a convention

_CAPITALS = re.compile(
    r"\b(?P<must>MUST|SHALL|REQUIRED)(?P<must_not>\s+NOT)?\b"
    r"|\b(?P<not_rec>NOT\s+RECOMMENDED)\b"
    r"|\b(?P<should>SHOULD|RECOMMENDED)(?P<should_not>\s+NOT)?\b"
    r"|\b(?P<may>MAY|OPTIONAL)(?P<may_not>\s+NOT)?\b"
)
_LOWER_MODAL = re.compile(r"\b(?:must|shall|should)\b")

# Each pattern is tried on the lower-cased sentence; the first of a pair shadows the second, so
# "must not" is not counted as "must" as well.
_MODALS: list[tuple[Level, re.Pattern[str]]] = [
    (
        "must_not",
        re.compile(
            r"\b(?:must|shall)\s+(?:\w+ly\s+|also\s+|under no circumstances\s+)?(?:not|never)\b"
            r"|\bmustn[’']t\b|\b(?:is|are)\s+to\s+be\s+avoided\b"
            r"|\b(?:is|are)\s+(?:strictly\s+|expressly\s+)?(?:prohibited|forbidden|disallowed)\b"
            r"|\b(?:is|are)\s+(?:not|never)\s+(?:allowed|permitted|acceptable)\b"
            r"|\bmay\s+(?:not|never)\s+(?:be\s+\w+(?:ed|en|wn|ld|pt|nt|ne)\b|under\b|[^\w\s])"
            r"|\bmay\s+not$"
            r"|\b(?:staff|employees?|members?|you|workers?|contractors?|visitors?|personnel"
            r"|nurses?|managers?|students?|vendors?|suppliers?)\s+(?:may|can)\s*not\b"
        ),
    ),
    (
        "should_not",
        re.compile(
            r"\b(?:should|ought)\s+(?:\w+ly\s+|also\s+|generally\s+)?(?:not|never)\b"
            r"|\bshouldn[’']t\b|\b(?:is|are)\s+not\s+recommended\b"
            r"|\b(?:is|are)\s+(?:strongly\s+)?discouraged\b"
        ),
    ),
    (
        "must",
        re.compile(
            r"\b(?:must|shall)\b(?!\s+(?:have\s+been\b))"
            r"|\b(?:is|are)\s+(?:\w+ly\s+)?(?:required|obliged|obligated|mandated)\s+to\b"
            r"|\b(?:is|are)\s+(?:mandatory|compulsory|obligatory)\b"
            r"|\b(?:is|are)\s+required\b(?=\s*[.;:]|\s+(?:for|before|after|when|if|in|at|on|by)\b)"
            r"|\b(?:has|have|needs?)\s+to\b"
            r"|\b(?:is|are)\s+responsible\s+for\b|\bis\s+the\s+responsibility\s+of\b"
            r"|\bit\s+is\s+(?:essential|vital|mandatory|necessary|imperative)\s+(?:to|that)\b"
        ),
    ),
    (
        "should",
        re.compile(
            r"\bshould\b|\bought\s+to\b"
            r"|\b(?:is|are)\s+(?:strongly\s+|highly\s+)?(?:recommended|advised|advisable)\b"
            r"|\bwe\s+(?:strongly\s+)?(?:recommend|advise)\b"
            r"|\bit\s+is\s+(?:important|critical|best|good practice)\s+(?:to|that)\b"
        ),
    ),
    (
        "may",
        re.compile(
            r"\bmay\s+only\b|(?<!there )\bcan\s+only\b|\bonly\s+\w+\s+may\b"
            r"|\b(?:is|are)\s+(?:allowed|permitted|entitled)\b"
            r"|\bmay\s+(?:also\s+)?be\s+(?:used|given|administered|shared|checked|omitted|waived"
            r"|extended|granted|requested|accepted|stored|disclosed|delegated|repeated|taken"
            r"|worn|removed|replaced|reused|deferred|offered|considered|increased|reduced"
            r"|submitted|approved|appointed|made)\b"
            r"|\b(?:staff|employees|employee|managers?|nurses?|members?|contractors|visitors"
            r"|personnel|students|authors|reviewers|applicants|parents|patients|relatives|carers"
            r"|doctors|physicians|pharmacists|teachers|supervisors|operators|volunteers|residents"
            r"|clients|guests)\s+may\b(?!\s+(?:not|never|only|need|be|find|feel"
            r"|have|want|experience|forget|see))"
        ),
    ),
]
_SHADOWS: dict[Level, Level] = {"must_not": "must", "should_not": "should"}
# After these words a modal explains or reports; it does not ask.
_SUBORDINATE = re.compile(
    r"\b(?:because(?!\s+of)|since(?!\s+\d)|so\s+that)\b[^,;:.]*$"
    r"|\b(?:that|which|who)\s+$"
    r"|(?<=\w )(?:how|whether|what|whose)(?:\s+[\w-]+){0,4}\s+$"
    # Not at the start of a clause: there its comma may only have been forgotten.
    r"|(?<=\w )(?:if|when|while|unless|as|where|once|until)(?:\s+[\w-]+){1,3}\s+$"
)
_CONDITIONAL = re.compile(r"\b(?:if|when|while|unless|as|times|information)\b[^,;:.]*$")
_BRACKETS = re.compile(r"\([^()]*\)")
_WEAK = ("is", "are", "ha", "ne")  # "is required to", "has to", "needs to"
_NEGATED_NEED = re.compile(
    r"(?:\b(?:not|never|no longer|may|might|could|would|will)|n[’']t)\s+(?:always\s+|also\s+)?$"
)
_EXAMPLE = re.compile(r"(?:for\s+(?:example|instance)|e\.g\.|examples?)\b", re.IGNORECASE)
_BOILERPLATE = re.compile(
    r"\bkey\s*words?\b.*\binterpreted\b|\binterpreted as described in\b", re.IGNORECASE | re.DOTALL
)
_QUIET_SECTION = re.compile(
    r"\b(?:references?|resources?|further reading|bibliography|glossary|examples?"
    r"|table of contents|acknowledge?ments?|change ?log|revision history)\b",
    re.IGNORECASE,
)
_STEM_MODAL = re.compile(
    r"\b(must|shall|should|may)(\s+not|\s+never)?\b(?:\s+(?:always|also|only|either|both"
    r"|at least|ensure that|do|perform|meet|comply with|be|include|take|follow|\w+ly"
    r"|one of|any of|all of|each of|the|following|ways?|steps?|actions?|measures?"
    r"|requirements?|in|as follows))*\s*[:–—]?$",
    re.IGNORECASE,
)
_BARE_STEM = re.compile(
    r"\b(?:must|shall|should|may)(?:\s+not|\s+never)?(?:\s+(?:always|also|only|either|both))*\s*:$",
    re.IGNORECASE,
)
_DO_STEM = re.compile(
    r"^(?P<never>do not|don[’']t|never|avoid)\W*$|^(?:do|always)\W*$", re.IGNORECASE
)


@dataclass(frozen=True)
class Statement:
    """One sentence that asks, allows or forbids. `source[start:end]` is its verbatim quote.

    text      without mark-up
    levels    strongest first; more than one where a sentence says two things
    stem      the introduction of the list it stands in; it may hold the subject or the modal verb
    """

    passage_id: int
    start: int
    end: int
    text: str
    levels: tuple[Level, ...]
    section: str
    stem: str


def find_statements(
    passages: Sequence[Passage], convention: Convention | None = None
) -> list[Statement]:
    """Every normative statement, in the order of the source.

    convention   how the whole document marks requirements, where `passages` are only a part of it
    """
    convention = convention or find_convention(passages)
    return [
        Statement(
            passage.id, found.start, found.end, found.text, levels, passage.section, passage.stem
        )
        for passage in passages
        if passage.kind not in ("code", "heading")
        for found in split_sentences(passage)
        if (levels := find_levels(found, passage, convention))
    ]


def find_convention(passages: Iterable[Passage]) -> Convention:
    """'rfc2119' where capital keywords are frequent and clearly outnumber the lower-case ones."""
    capitals = lower = 0
    for passage in passages:
        if passage.kind in ("code", "heading") or passage.text.isupper():
            continue
        capitals += sum(1 for _ in _CAPITALS.finditer(passage.text))
        lower += sum(1 for _ in _LOWER_MODAL.finditer(passage.text))
    return "rfc2119" if capitals >= MIN_CAPITALS and capitals >= lower else "plain"


def find_levels(found: Sentence, passage: Passage, convention: Convention) -> tuple[Level, ...]:
    """The levels of one sentence, () where it is none: a question, an example, an explanation."""
    text = found.text
    if text.rstrip("\"'”’)]*_ ").endswith("?") or _BOILERPLATE.search(text):
        return ()
    if len(text.split()) < 2 and not text.endswith(":"):
        return ()
    if convention == "rfc2119":
        return _capital_levels(text) or _inherited(text, passage, capitals=True)
    if _is_quiet(text, passage):
        return ()
    modal = _in_order({*_modal_levels(text), *_emphasised_levels(text)})
    return modal or _inherited(text, passage, capitals=False) or _imperative_level(text)


def opens_list(text: str) -> bool:
    """Is this only the beginning of its list's items: "All staff must:"?"""
    return bool(_BARE_STEM.search(text))


def inherits(text: str, stem: str) -> bool:
    """Does a list item say nothing normative itself and complete its stem's modal verb?"""
    return bool(stem) and bool(_stem_level(text, stem, capitals=False))


def _capital_levels(text: str) -> tuple[Level, ...]:
    found: set[Level] = set()
    for match in _CAPITALS.finditer(text):
        if match["must"]:
            found.add("must_not" if match["must_not"] else "must")
        elif match["should"]:
            found.add("should_not" if match["should_not"] else "should")
        elif match["not_rec"]:
            found.add("should_not")
        else:
            found.add("must_not" if match["may_not"] else "may")
    return _in_order(found)


def _emphasised_levels(text: str) -> tuple[Level, ...]:
    """A capital keyword is meant, however few of them there are; in a shouted line it is not."""
    return () if text.isupper() else _capital_levels(text)


def _modal_levels(text: str) -> tuple[Level, ...]:
    lowered = text.lower()
    found: set[Level] = set()
    shadowed: dict[Level, list[int]] = {"must": [], "should": []}
    for level, pattern in _MODALS:
        for match in pattern.finditer(lowered):
            if match.start() in shadowed.get(level, ()) or _explains(lowered, match):
                continue
            found.add(level)
            if level in _SHADOWS:
                shadowed[_SHADOWS[level]].append(match.start())
    return _in_order(found)


def _explains(lowered: str, match: re.Match[str]) -> bool:
    """Does the modal stand in a clause that gives a reason, or is it negated ("need not to")?"""
    before = _BRACKETS.sub("", lowered[max(0, match.start() - 300) : match.start()])
    if not before and match.group() == "should":  # "Should the alarm sound, leave."
        return "," in lowered
    if match.group().startswith(_WEAK) and _CONDITIONAL.search(before):
        return True
    if match.group().startswith(("ha", "ne")) and _NEGATED_NEED.search(before):
        return True
    return bool(_SUBORDINATE.search(before))


def _imperative_level(text: str) -> tuple[Level, ...]:
    verb = leading_verb(text)
    if verb is None or not is_imperative(text, verb):
        return ()
    if verb.negated:
        return ("must_not",)
    if verb.word == "avoid":
        return ("should_not",)
    return ("should",) if verb.is_advice else ("must",)


def _inherited(text: str, passage: Passage, *, capitals: bool) -> tuple[Level, ...]:
    if passage.kind != "list_item" or not passage.stem:
        return ()
    level = _stem_level(text, passage.stem, capitals=capitals)
    return (level,) if level else ()


def _stem_level(text: str, stem: str, *, capitals: bool) -> Level | None:
    """The level that a list's introduction gives to an item which completes its sentence."""
    do = _DO_STEM.search(stem)
    if do and not capitals:
        return "must_not" if do["never"] else "must"
    modal = _STEM_MODAL.search(stem[-200:])
    if modal is None or (capitals and not modal[1].isupper()):
        return None
    verb = leading_verb(text)
    completes = _BARE_STEM.search(stem) or (verb is not None and is_imperative(text, verb))
    negated = bool(modal[2]) or text.lower().startswith(("not ", "never "))
    return _level_of(modal[1].lower(), negated=negated) if completes else None


def _level_of(modal: str, *, negated: bool) -> Level:
    if modal == "may":
        return "must_not" if negated else "may"
    if modal == "should":
        return "should_not" if negated else "should"
    return "must_not" if negated else "must"


def _is_quiet(text: str, passage: Passage) -> bool:
    """Text that explains: examples, references, the sample rows of a table."""
    innermost = passage.section.rsplit(" > ", 1)[-1]
    sample = passage.kind == "table_row" and _EXAMPLE.match(passage.stem)
    return bool(sample or _EXAMPLE.match(text) or _QUIET_SECTION.search(innermost))


def _in_order(levels: set[Level]) -> tuple[Level, ...]:
    order: tuple[Level, ...] = ("must", "must_not", "should", "should_not", "may")
    return tuple(level for level in order if level in levels)
