"""The deterministic finder of normative statements: what a guideline asks, allows or forbids.

The server measures coverage with it, and the offline engine writes its checklist from it. Levels:

- capitals as RFC 2119 and RFC 8174 define them; where a document uses these consistently, they
  alone count, since such a document's lower-case "should" is explanation by its own convention,
  unless it says itself that its words bind in lower case too;
- otherwise modal verbs in any case, and imperatives. That an imperative is a requirement follows
  the ISO/IEC Directives, Part 2 (clause 7, verbal forms).

What a language's modal verbs are is data: llm/rules. A text in a language that has none there
yields no statements, which is honest but not useful.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from llm import tables
from llm.casing import caseless
from llm.language import detect, detect_passage
from llm.passages import Passage
from llm.rules import LEVELS, Language, Level, Rules, for_language
from llm.sentences import Sentence, split_sentences
from llm.verbs import is_imperative, leading_verb

Convention = Literal["rfc2119", "plain"]

MIN_CAPITALS = 5  # fewer capital keywords than this are emphasis, not a convention

_CAPITALS = re.compile(
    r"\b(?P<must>MUST|SHALL|REQUIRED)(?P<must_not>\s+NOT)?\b"
    r"|\b(?P<not_rec>NOT\s+RECOMMENDED)\b"
    r"|\b(?P<should>SHOULD|RECOMMENDED)(?P<should_not>\s+NOT)?\b"
    r"|\b(?P<may>MAY|OPTIONAL)(?P<may_not>\s+NOT)?\b"
)
_MAY_BE_CAPITAL = re.compile("MUST|SHALL|REQUIRED|NOT|SHOULD|RECOMMENDED|MAY|OPTIONAL")
# "The key words bind equally in capitals and in ordinary type", "regardless of case".
_LOWER_CASE = re.compile(
    r"\blower[ -]?case|\b(?:ordinary|plain|normal) (?:type|letters|case)\b|\bsmall letters\b"
    r"|\b(?:regardless|irrespective) of (?:their )?(?:case|capitali[sz]ation)\b",
    re.IGNORECASE,
)
# What each of these holds after its first letter: most texts hold none of it.
_MAY_SAY_LOWER = ("ower", "rdinary ", "lain ", "ormal ", "mall letters", "egardless", "rrespective")
_KEY_WORDS = re.compile(
    r"\bkey ?words?\b|\bRFC 2119\b|\b(?:modal|normative) (?:verbs?|words?)\b|\b(?:must|shall)\b",
    re.IGNORECASE,
)
_BINDS_TOO = re.compile(
    r"\bbind(?:s|ing)?\b|\bnormative\b|\b(?:the )?same (?:meaning|force|weight|effect)\b"
    r"|\bequally\b",
    re.IGNORECASE,
)
_DENIES = re.compile(r"\b(?:not|only|no|never|nor|neither|without|unless|except)\b", re.IGNORECASE)
_LOWER_MODAL = re.compile(r"\b(?:must|shall|should)\b")
_BOILERPLATE = re.compile(
    r"\bkey\s*words?\b.*\binterpreted\b|\binterpreted as described in\b", re.IGNORECASE | re.DOTALL
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
# "Each party shall at its own expense:": an order that follows completes it.
# "The record must include:": its items are objects, not orders.
_OBJECT_STEM = re.compile(
    r"\b(?:must|shall|should|may)(?:\s+not|\s+never)?(?:\s+(?:\w+ly|also|only|at least))*"
    r"\s+(?:include|contain|cover|have|state|provide|specify|record|document|comprise|consist of"
    r"|wear|carry|bring|list|describe|name)"
    r"(?:\s+(?:at least|the following|all of the following))*\s*:$",
    re.IGNORECASE,
)
_FAR_STEM = re.compile(
    r"\b(must|shall|should|may)(\s+not|\s+never)?\b(?:\s+[\w'-]+){0,8}\s*:$", re.IGNORECASE
)
# "Boxes must not be used for:": whatever follows completes it.
_OPEN_END = re.compile(
    r"\b(?:about|as|at|by|during|for|from|in|into|near|of|on|to|under|with|without)\s*:$",
    re.IGNORECASE,
)
_INNER_COLON = re.compile(r":(?=\s)")
_NEGATED = re.compile(r"(?:not|never)\b", re.IGNORECASE)
_LABEL = re.compile(r"(?P<label>[^:.!?\n|]{2,30})::?\s+(?=\S)")
_DOT_LEADER = re.compile(r"(?:\.{3,}|(?:\. ){3,}|…)\s*\d{1,4}$")  # in a table of contents
_LINK = re.compile(r"\[[^\[\]]{0,200}\]\([^()\s]{0,500}\)|<a\s[^<>]{0,500}>[^<>]{0,200}</a>")
_MAX_PARTS = 4  # commas after which an order may begin: "Avant tout transport, étiqueter ..."
_DO_STEM = re.compile(
    r"^(?P<never>do not|don[’']t|never|avoid)\W*$|^(?:do|always)\W*$", re.IGNORECASE
)


@dataclass(frozen=True)
class Statement:
    """One sentence that asks, allows or forbids. `source[start:end]` is its verbatim quote.

    text         without mark-up
    levels       strongest first; more than one where a sentence says two things
    stem         the introduction of the list it stands in; it may hold the subject or the modal
    language     of its passage
    actionable   False for norms that nobody carries out: "This Act shall be known as ..."
    """

    passage_id: int
    start: int
    end: int
    text: str
    levels: tuple[Level, ...]
    section: str
    stem: str
    language: Language = "en"
    actionable: bool = True


def find_statements(
    passages: Sequence[Passage],
    convention: Convention | None = None,
    language: Language | None = None,
) -> list[Statement]:
    """Every normative statement, in the order of the source.

    convention, language   of the whole document, where `passages` are only a part of it
    """
    convention = convention or find_convention(passages)
    language = language or find_language(passages)
    return [
        statement
        for passage in passages
        if passage.kind not in ("code", "heading") and not _only_links(passage.text)
        for statement in _in_passage(passage, convention, detect_passage(passage.text, language))
    ]


def _in_passage(
    passage: Passage, convention: Convention, language: Language
) -> Iterator[Statement]:
    rules = for_language(language)
    if _is_quiet(passage, rules) and convention == "plain":
        return
    for found in split_sentences(passage):
        levels = find_levels(found, passage, convention, rules)
        if levels:
            yield Statement(
                passage.id,
                found.start,
                found.end,
                found.text,
                levels,
                passage.section,
                passage.stem,
                language,
                not rules.says("not_actionable", found.text),
            )


def find_language(passages: Iterable[Passage]) -> Language:
    return detect(text for passage in passages for text in (passage.section, passage.text))


def find_convention(passages: Sequence[Passage]) -> Convention:
    """'rfc2119' where capital keywords are frequent and clearly outnumber the lower-case ones,
    and nothing says that those bind too.
    """
    capitals = lower = 0
    for passage in passages:
        if passage.kind in ("code", "heading") or passage.text.isupper():
            continue
        if _MAY_BE_CAPITAL.search(passage.text):
            capitals += sum(1 for _ in _CAPITALS.finditer(passage.text))
        lower += sum(1 for _ in _LOWER_MODAL.finditer(passage.text))
    is_usual = capitals >= MIN_CAPITALS and capitals >= lower
    return "rfc2119" if is_usual and not any(map(_binds_in_lower_case, passages)) else "plain"


def _binds_in_lower_case(passage: Passage) -> bool:
    """One sentence must say all of it and deny nothing: a mistake here makes rules of remarks."""
    if passage.kind in ("code", "heading"):
        return False
    text = passage.text
    if not any(part in text for part in _MAY_SAY_LOWER) or not _LOWER_CASE.search(text):
        return False
    says_all = (_LOWER_CASE, _KEY_WORDS, _BINDS_TOO)
    return any(
        all(pattern.search(found.text) for pattern in says_all) and not _DENIES.search(found.text)
        for found in split_sentences(passage)
    )


def find_levels(
    found: Sentence, passage: Passage, convention: Convention, rules: Rules
) -> tuple[Level, ...]:
    """The levels of one sentence, () where it is none: a question, an example, an explanation."""
    text = found.text
    if text.rstrip("\"'”’»)]*_ ").endswith("?") or _is_no_sentence(text):
        return ()
    if tables.is_level(text, rules):
        return ()
    if passage.kind == "table_row" and (level := tables.cell_level(passage, found.start, rules)):
        return (level,)
    if len(text.split()) < 2 and not text.endswith(":"):
        return ()
    if convention == "rfc2119":
        return _capital_levels(text) or _inherited(text, passage, rules, capitals=True)
    return _plain_levels(text, passage, rules)


def _is_no_sentence(text: str) -> bool:
    """How keywords are to be interpreted, a line of a table of contents, only a link."""
    if "interpreted" in caseless(text) and _BOILERPLATE.search(text):
        return True
    if text[-1:].isdigit() and _DOT_LEADER.search(text[-40:]):
        return True
    return text.startswith(("[", "<")) and _LINK.fullmatch(text) is not None


def _plain_levels(text: str, passage: Passage, rules: Rules) -> tuple[Level, ...]:
    example = rules.text.get("example")
    if example and example.match(text):
        return ()
    label = _LABEL.match(text)
    name = label["label"].strip("*_ ").lower() if label else ""
    if label and name in rules.labels and rules.labels[name] is None:
        return ()
    labelled = rules.labels.get(name) if label and len(text) > label.end() else None
    if passage.text.startswith(text[:20]):  # the first sentence of what is headed "Rule:"
        labelled = labelled or rules.labels.get(passage.stem.rstrip(":").lower())
    asked = _modal_or_inherited(text, passage, rules)
    if asked or labelled:
        return asked or (labelled,)  # type: ignore[return-value]
    return _softened(_imperative_level(text, rules), text, rules)


def _modal_or_inherited(text: str, passage: Passage, rules: Rules) -> tuple[Level, ...]:
    modal = rules.modal_levels(text.lower())
    if rules.language == "en":
        modal |= _emphasised_levels(text)
    said = _softened(_in_order(modal), text, rules)
    return said or _inherited(text, passage, rules, capitals=False)


def _softened(levels: tuple[Level, ...], text: str, rules: Rules) -> tuple[Level, ...]:
    """ "Si possible, ..." and "Nach Möglichkeit ..." ask for less than their verb does."""
    if "must" in levels and rules.says("softens", text):
        return _in_order({*levels, "should"} - {"must"})
    return levels


def opens_list(text: str, language: Language = "en") -> bool:
    """Is this only the beginning of its list's items: "All staff must:"?"""
    is_open = _BARE_STEM.search(text) or (_OPEN_END.search(text) and _FAR_STEM.search(text))
    return bool(is_open) or for_language(language).says("stem", text)


def takes_a_verb(stem: str) -> bool:
    """ "Nurses must:": whatever comes next is an order, whether or not we know its verb."""
    return bool(_BARE_STEM.search(stem))


def runs_on(stem: str) -> bool:
    """Does any item of its list continue its sentence: "The record must include:"?"""
    return any(pattern.search(stem) for pattern in (_OBJECT_STEM, _BARE_STEM, _OPEN_END))


def inherits(text: str, stem: str, language: Language = "en") -> bool:
    """Does a list item say nothing normative itself and complete its stem's modal verb?"""
    return bool(stem) and bool(_stem_level(text, stem, for_language(language), capitals=False))


def _capital_levels(text: str) -> tuple[Level, ...]:
    if not _MAY_BE_CAPITAL.search(text):
        return ()
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


def _emphasised_levels(text: str) -> set[Level]:
    """A capital keyword is meant, however few of them there are; in a shouted line it is not."""
    return set() if text.isupper() else set(_capital_levels(text))


def _imperative_level(text: str, rules: Rules) -> tuple[Level, ...]:
    if rules.language != "en":
        return _imperative_by_rule(text, rules)
    verb = leading_verb(text)
    if verb is None or not is_imperative(text, verb):
        return ()
    if verb.negated:
        return ("must_not",)
    if verb.word == "avoid":
        return ("should_not",)
    return ("should",) if verb.is_advice else ("must",)


def _imperative_by_rule(text: str, rules: Rules) -> tuple[Level, ...]:
    for start in _order_starts(text, rules):
        for level, pattern in rules.imperatives:
            if pattern.match(text, start):
                return (level,)
        if rules.infinitive and rules.infinitive.match(text, start):
            return ("must_not",) if rules.says("negated", text[start:]) else ("must",)
    return ()


def _order_starts(text: str, rules: Rules) -> Iterator[int]:
    """Where an order may begin: at once, after a label, after a condition and its comma."""
    start = len(text) - len(text.lstrip("\"'“„«([ ¡"))
    yield start
    label = _LABEL.match(text, start)
    if label:
        start = label.end()
        yield start
    if rules.says("condition", text[start : start + 60]) or rules.says("softens", text):
        comma = text.find(", ", start)
        for _ in range(_MAX_PARTS):
            if comma < 0:
                return
            yield comma + 2
            comma = text.find(", ", comma + 2)


def _inherited(text: str, passage: Passage, rules: Rules, *, capitals: bool) -> tuple[Level, ...]:
    if passage.kind != "list_item" or not passage.stem:
        return ()
    level = _stem_level(text, passage.stem, rules, capitals=capitals)
    return (level,) if level else ()


def _stem_level(text: str, stem: str, rules: Rules, *, capitals: bool) -> Level | None:
    """The level that a list's introduction gives to an item which completes its sentence."""
    if rules.language != "en":
        return _stem_level_by_rule(text, stem, rules)
    do = _DO_STEM.search(stem)
    if do and not capitals:
        return "must_not" if do["never"] else "must"
    stem = stem[-200:]
    modal = _STEM_MODAL.search(stem) or _FAR_STEM.search(stem)
    if modal is None:  # of a list in a list: the outer one may have said it
        stem = _INNER_COLON.sub("", stem)
        modal = _STEM_MODAL.search(stem) or _FAR_STEM.search(stem)
    if modal is None or (capitals and not modal[1].isupper()):
        return None
    verb = leading_verb(text)
    completes = runs_on(stem) or (verb is not None and is_imperative(text, verb))
    negated = bool(modal[2]) or bool(_NEGATED.match(text))
    return _level_of(modal[1].lower(), negated=negated) if completes else None


def _stem_level_by_rule(text: str, stem: str, rules: Rules) -> Level | None:
    if not rules.says("stem", stem):
        return None
    levels = _in_order(rules.modal_levels(stem.lower()))
    if not levels:
        return None
    return _NEGATIONS.get(levels[0], levels[0]) if rules.says("negation", text) else levels[0]


_NEGATIONS: dict[Level, Level] = {"must": "must_not", "should": "should_not", "may": "must_not"}


def _level_of(modal: str, *, negated: bool) -> Level:
    level: Level = "may" if modal == "may" else "should" if modal == "should" else "must"
    return _NEGATIONS[level] if negated else level


def _only_links(text: str) -> bool:
    """Navigation: nothing is left of it without its links."""
    if "](" not in text and "<a" not in text.lower():
        return False
    return not any(char.isalnum() for char in _LINK.sub("", text))


def _is_quiet(passage: Passage, rules: Rules) -> bool:
    """Text that explains: examples, references, the sample rows of a table, a change log."""
    innermost = passage.section.rsplit(" > ", 1)[-1]
    if rules.says("quiet_section", innermost):
        return True
    if passage.kind != "table_row":
        return False
    example = rules.text.get("example")
    return bool(example and example.match(passage.stem)) or tables.is_history(passage, rules)


def _in_order(levels: set[Level]) -> tuple[Level, ...]:
    return tuple(level for level in LEVELS if level in levels)
