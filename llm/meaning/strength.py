"""Must, should or may: as strong as the source says it."""

import re
from collections.abc import Iterator

from llm.meaning.clauses import Clause
from llm.meaning.evidence import Flag, Item, Source

_MODAL_WORDS: dict[str, str] = {
    "must": r"must|shall|required?|mandatory|obliged|ha(?:s|ve) to|needs? to",
    "should": r"should|ought|recommended|advised|advisable|discouraged",
    "may": r"may|can|optional(?:ly)?|allowed|permitted|if (?:you|they) (?:like|wish)",
}
_MODAL = re.compile(
    r"\b(?:" + "|".join(f"(?P<{name}>{found})" for name, found in _MODAL_WORDS.items()) + r")\b",
    re.IGNORECASE,
)


def strength(item: Item, source: Source) -> Iterator[Flag]:
    allowed = _levels(item, source)
    if not allowed and not any(_DESCRIBES.match(c.parsed.text) for c in source.cited):
        allowed = {"must", "must_not"}  # an order with a verb that we do not know
    if not allowed and _SAID_OTHERWISE[item.level].search(source.text):
        allowed = {item.level}
    if item.level not in allowed:
        said = ", ".join(sorted(allowed)).replace("_", " ")
        yield Flag("modal", said, item.level.replace("_", " "))
    strength = item.level.removesuffix("_not")
    for clause in item.parsed.clauses:
        match = _MODAL.search(clause.text)
        if match and _INSIDE.search(clause.text, 0, match.start()):
            continue
        if match and match.lastgroup != strength and not _says(match, item, source):
            yield Flag("modal", item.level.replace("_", " "), match.group())


# Where neither the finder nor a modal verb tells: words that ask, forbid or allow all the same.
_ASKS = re.compile(
    r"\b(?:necessary|needed|essential|crucial|vital|imperative|mandatory|compulsory|duty|obliged"
    r"|responsib\w+|expected|important|recommend\w*|advis\w+|prefer\w*)\b",
    re.IGNORECASE,
)
_FORBIDS = re.compile(
    r"\b(?:no|not|never|nobody|none|bann?ed|off limits|unacceptable|avoid\w*|out of bounds"
    r"|refrain\w*|prohibit\w*|forbid\w*|forbidden)\b",
    re.IGNORECASE,
)
_ALLOWS = re.compile(
    r"\b(?:free to|option\w*|entitled|right to|allow\w*|permi\w+|welcome to|can)\b", re.IGNORECASE
)
_SAID_OTHERWISE = {
    "must": _ASKS,
    "should": _ASKS,
    "must_not": _FORBIDS,
    "should_not": _FORBIDS,
    "may": _ALLOWS,
}


# "Explain how it can be corrected", "language that children can read": of what, not how strongly.
_INSIDE = re.compile(r"\w\s+(?:how|that|which|who|whom|what|where|whether|so)\b", re.IGNORECASE)


def _says(match: re.Match[str], item: Item, source: Source) -> bool:
    """Is the word the source's own, as where an item keeps a whole sentence of two strengths?"""
    return any(match.group().casefold() in c.words for c in source.taken_up(item))


def _levels(item: Item, source: Source) -> set[str]:
    """Of the sentences cited; of the one clause, where a sentence has several levels."""
    levels: set[str] = {level for cited in source.cited for level in cited.levels}
    own = {level for clause in source.taken_up(item) if (level := _own_level(clause))}
    return (own & levels) or (own | levels)


def _own_level(clause: Clause) -> str:
    match = _MODAL.search(clause.text)
    if match is None or match.lastgroup is None:
        return ""
    if not clause.is_negated:
        return match.lastgroup
    return "should_not" if match.lastgroup == "should" else "must_not"


_DESCRIBES = re.compile(
    r"\W*(?:the|a|an|this|these|those|that|it|they|we|our|its|there|most|many|some)\b"
    r"|[^,;.]{0,80}\b(?:is|are|was|were|has|had|will|did)\b|.{0,400}\?\s*$",
    re.IGNORECASE,
)
