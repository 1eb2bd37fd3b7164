"""A sentence cut into what is to be done and when: main clauses and their conditions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from llm.casing import caseless
from llm.lazily import kept
from llm.meaning.quantities import Quantity, find_quantities
from llm.meaning.words import Vocabulary, content, meanings, roles, share, words
from llm.verbs import is_imperative, leading_verb

# Each kind of condition, and the kinds that say the same when the main clause is negated or not:
# "do not start unless", "do not start without" and "start only if" are one gate.
_MARKERS = {
    "only": r"only(?=\s+(?:if|when|where|after|once|with|in|on|during|by|for|before|between)\b)"
    r"|(?:if|when) and only (?:if|when)|exclusively|solely",
    "even": r"even (?:if|when|after|before|during|without)|including (?:if|when)",
    "unless": r"unless|except(?:ing)?(?:\s+(?:if|when|where|for|in|on|during|after|before)\b)?"
    r"|with the exception of|other than|apart from|excluding"
    r"|but not|without|save (?:for|in|when)",
    "until": r"until|till",
    "before": r"before|prior to|ahead of|in advance of",
    "once": r"(?<!than )(?<!least )(?<!most )once(?=\s+[a-z])(?!\s+(?:a|per|every|each|in|by|daily"
    r"|weekly|monthly)\b)|as soon as|upon",
    "after": r"after(?!wards)|following(?=\s+(?:the|a|an|each|every|any)\b)|since(?=\s+the\b)",
    "while": r"while|during|throughout|as long as",
    "when": r"when(?:ever)?|every time|where(?:ver)?(?!\s+possible\b)",
    "if": r"if|in case(?: of)?|in the (?:event|case) (?:of|that)|provided(?: that)?"
    r"|on condition that|where(?:ver)? possible",
}
_MARKER = re.compile(
    r"\b(?:" + "|".join(f"(?P<{kind}>{words})" for kind, words in _MARKERS.items()) + r")\b"
)  # of a text without case, as all patterns below that are given one
# What each of them holds: most texts hold none, and this is looked for many times as fast.
_MAY_MARK = re.compile(
    "only|excl|sole|even |incl|unless|except|without|other than|apart|but not|save "
    "|until|till|before|prior|ahead|advance|once|as soon|as long|upon|after|following|since|while"
    r"|during|throughout|when|every time|where|if\b|in case|in the [ec]|prov|on cond"
)
_INVERTED = re.compile(r"(?<![^.;:|] )\bshould (?:the|an?|any|you|it|there|this)\b")
_SAME: dict[tuple[str, bool], frozenset[str]] = {
    ("only", False): frozenset({"gate"}),
    ("even", False): frozenset({"even"}),
    ("unless", False): frozenset({"unless"}),
    ("unless", True): frozenset({"gate", "unless"}),
    ("until", False): frozenset({"until"}),
    ("until", True): frozenset({"gate", "until", "before"}),
    ("before", False): frozenset({"before"}),
    ("before", True): frozenset({"gate", "until", "before"}),
    ("once", False): frozenset({"if", "after"}),
    ("after", False): frozenset({"after"}),
    ("while", False): frozenset({"while", "if"}),
    ("when", False): frozenset({"if", "while", "after"}),
    ("if", False): frozenset({"if"}),
}
_IS_FORBIDDEN = (
    r"(?:is|are) (?:\w+ly )?(?:prohibited|forbidden|banned|disallowed|not (?:allowed|permitted))"
)
_ONLY_FORBIDDEN = re.compile(_IS_FORBIDDEN, re.IGNORECASE)
_BREAK = re.compile(  # begins with a set of signs, since `re` leaps from one to the next of them
    r"[.!?;|:,()\s](?:(?<=[.!?;|])(?=\s|$)|(?<=[:,])(?=\s)|(?<=[()])|(?<=\s)(?:[-(](?=\s?\w)"
    r"|(?:and|but|or)(?=\s(?:(?:then|also|therefore)\s)?(?:must|shall|should|may|can|is|are|has"
    r"|have|do not|never|not)\b)"
    r"|(?:and|but)(?=\s(?:[\w'-]+\s){1,8}(?:must|shall|should|may)\b)"
    rf"|(?={_IS_FORBIDDEN})))"
)
MODAL = re.compile(
    r"\b(?:must|shall|should|may|can|cannot|(?:is|are) (?:required|responsible|recommended|advised"
    r"|allowed|permitted)|(?:has|have|needs?) to)\b",
    re.IGNORECASE,
)
_MAY_ASK = re.compile("must|shall|should|may|can|is |are |has |have |need|require")
_RELATIVE = re.compile(r"(?:\w+ )?(?:which|who|whom|that)\b", re.IGNORECASE)
_SUBJECT_ENDS = re.compile(
    r"\s(?:for|in|stored|held|used|kept|sent|by|who|whose|that|which|from|to|on|at|under)\b"
)
_AND = re.compile(r"\b(?:and|but|or|then)\s+", re.IGNORECASE)
# These three are given a text without case.
_NEGATOR = re.compile(
    r"\b(?:not(?!\s+(?:only|even)\b)|never|nobody|no\s?one|none|neither|nor|cannot"
    r"|no(?!\s+(?:later|more|less|fewer|longer|sooner|earlier|greater|higher|lower|one)\b)"
    r"|prohibit(?:s|ed)?|forbid(?:s|den)?|forbidden|bann?(?:ed)?|disallow(?:s|ed)?|discouraged"
    r"|avoid(?:s|ed|ing)?|refrain|fail(?:s|ed)? to|don't|mustn't|shouldn't|can't"
    r"|doesn't|isn't|aren't)(?!\w)|n't\b"
)
_NOT_MORE = re.compile(
    r"\bnot\s+(?:(?:more|less|fewer|later|longer|greater|higher|lower)(?=\s+than\b)"
    r"|(?:below|under|above|over)\b)"
    r"|\bno longer (?=than\b)|\bwhether or not\b|\bif not\b"
)
_MAY_NEGATE = re.compile(
    r"no(?:t|ne|r|body|one)?(?!\w)|n't|cannot|never|neither|prohibit|forbid|ban(?:n|n?ed)?(?!\w)"
    r"|disallow|discouraged|avoid|refrain|fail(?:s|ed)? to"
)
_NO_LONGER = re.compile(r"\bno longer(?!\s+than\b)")


@dataclass(frozen=True)
class Part:
    """A main clause, or a condition with its marker's kind; `start` is its place in the text."""

    text: str
    start: int
    marker: str = ""
    marker_words: str = ""
    is_only: bool = False

    @kept
    def stems(self) -> list[str]:
        return meanings(self.words) if self.text.isascii() else content(self.text)

    @kept
    def is_negated(self) -> bool:
        return len(self.negators) % 2 == 1

    @kept
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.stems)

    @kept
    def negators(self) -> list[str]:
        return negators(self.text)

    @kept
    def quantities(self) -> list[Quantity]:
        """Their offsets count from the beginning of this text."""
        return find_quantities(self.text)

    @kept
    def words(self) -> list[str]:
        return words(self.text)

    @kept
    def modal(self) -> re.Match[str] | None:
        return MODAL.search(self.text) if _MAY_ASK.search(caseless(self.text)) else None

    @kept
    def asks(self) -> re.Match[str] | None:
        return _ASKS.search(self.text) if _MAY_ASK.search(caseless(self.text)) else None

    @kept
    def asked(self) -> list[str]:
        """The stems of what a segment asks, without its quantities."""
        asks = self.asks
        asked = content(_unnumbered(self.text[asks.end() :])) if asks else []
        return asked or content(_unnumbered(self.text)) or self.stems


@dataclass(frozen=True)
class Clause(Part):
    """What is to be done, with the conditions that it hangs on."""

    conditions: list[Part] = field(default_factory=list)
    inherited: str = ""  # the subject, where the clause before it names that

    @kept
    def subject(self) -> str:
        return self.own_subject or self.inherited

    @kept
    def own_subject(self) -> str:
        modal = self.modal
        before = self.text[: modal.start()].rpartition(",")[2].strip() if modal else ""
        return "" if _RELATIVE.match(before) else _SUBJECT_ENDS.split(before, maxsplit=1)[0]

    @kept
    def own_roles(self) -> list[str]:
        return roles(self.own_subject)

    @kept
    def subject_roles(self) -> list[str]:
        return roles(self.subject)

    @kept
    def predicate(self) -> list[str]:
        asks = self.asks
        return content(self.text[asks.end() :]) if asks else self.stems

    @kept
    def does(self) -> Vocabulary:
        return Vocabulary(self.predicate)

    @kept
    def segments(self) -> list[Part]:
        """What is joined by "and": "be signed within 2 days", "filed". A bare number joins on."""
        cuts = [match.span() for match in _JOINT.finditer(self.text)]
        found: list[Part] = []
        start = 0
        for end, following in [*cuts, (len(self.text), len(self.text))]:
            part = Part(self.text[start:end], self.start + start)
            if found and not part.stems:
                part = Part(self.text[found[-1].start - self.start : end], found[-1].start)
                found.pop()
            found.append(part)
            start = following
        return found

    def spoken_of(self, item: Vocabulary) -> list[Part]:
        """The segments that a text with these words takes up; all where it takes up none."""
        if len(self.segments) == 1:
            return self.segments
        spoken = [part for n, part in enumerate(self.segments) if _takes_up(part, item, n > 0)]
        return spoken or self.segments

    def conditions_of(self, item: Vocabulary) -> list[Part]:
        """Those of the segments taken up: what stands behind the last one is the last one's."""
        if not self.conditions or len(self.segments) == 1:
            return self.conditions
        last = self.segments[-1]
        if any(part.start == last.start for part in self.spoken_of(item)):
            return self.conditions
        return [part for part in self.conditions if part.start < self.start]

    @kept
    def words_with_conditions(self) -> Vocabulary:
        return Vocabulary([*self.stems, *(s for part in self.conditions for s in part.stems)])

    @kept
    def says_only(self) -> bool:
        said = self.words
        return "only" in said or "solely" in said or any(p.is_only for p in self.conditions)


# Not where numbers are joined: "EUR 10,000 or more", "between 2 and 4 wheels".
_JOINT = re.compile(
    r"(?:[,;]\s+(?:(?:and|or|but)\s+)?|\s+(?:and|or|but|then)\s+)"
    r"(?!\d|(?:two|three|four|five|six|seven|eight|nine|ten|twelve)\b"
    r"|(?:more|less|fewer|above|over|below|under|sooner|[a-z]{3,7}er)\b)",
    re.IGNORECASE,
)
_SEGMENT_TAKEN_UP = 0.5  # of what a segment asks, by the item


def _takes_up(segment: Part, item: Vocabulary, is_later: bool) -> bool:
    """After "and" a segment begins with its own verb, which alone tells."""
    asked = segment.asked
    if is_later and asked and item.holds(asked[0]):
        return True
    held = share(asked, item)
    return held > _SEGMENT_TAKEN_UP if is_later else held >= _SEGMENT_TAKEN_UP


_ASKS = re.compile(rf"{MODAL.pattern}|\brequires?\b|\bneeds?\b", re.IGNORECASE)


def _unnumbered(text: str) -> str:
    """Without its quantities: two "business days" tell of nothing in common."""
    kept, at = "", 0
    for quantity in find_quantities(text):
        kept += f"{text[at : quantity.start]} "
        at = max(at, quantity.end)
    return kept + text[at:]


@dataclass(frozen=True)
class Parsed:
    """A text, its clauses, its quantities and its words; computed once."""

    text: str
    clauses: list[Clause]

    @kept
    def quantities(self) -> list[Quantity]:
        return find_quantities(self.text)

    @kept
    def stems(self) -> list[str]:
        return meanings(self.words) if self.text.isascii() else content(self.text)

    @kept
    def words(self) -> list[str]:
        return words(self.text)

    @kept
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.stems)


def negators(text: str) -> list[str]:
    """The words that turn it round; "no later than" compares, and is none."""
    low = caseless(text)
    if not _MAY_NEGATE.search(low):
        return []
    masked = _NOT_MORE.sub(lambda match: "x" * len(match.group()), low)
    found = (match for pattern in (_NEGATOR, _NO_LONGER) for match in pattern.finditer(masked))
    return [text[match.start() : match.end()] for match in found]


def kinds(condition: Part, clause: Clause) -> frozenset[str]:
    """What a condition of this clause amounts to: "not before" is "only after"."""
    known = _SAME.get((condition.marker, clause.is_negated))
    found = known or _SAME.get((condition.marker, False), frozenset())
    return found | {"gate"} if clause.says_only else found


def parse(text: str) -> Parsed:
    clauses: list[Clause] = []
    for sentence in _sentences(_parts(text)):
        clauses.extend(_hung_on(sentence))
    return Parsed(text, clauses)


def _parts(text: str) -> Iterator[tuple[Part, str]]:
    """Parts in their order, each with the sign or word that ends it."""
    low = caseless(text)
    markers = {m.start(): m for m in _MARKER.finditer(low)} if _MAY_MARK.search(low) else {}
    if "should" in low:
        markers.update((m.start(), m) for m in _INVERTED.finditer(low))
    cuts = {match.start(): match for match in _BREAK.finditer(low)}
    start, marker, said = 0, "", ""
    only = False
    for at in sorted({*markers, *cuts}):
        if at < start:
            continue
        if at in markers:
            found = markers[at]
            if marker == "only" and not text[start:at].strip():  # "only if": one marker
                start, marker = found.end(), found.lastgroup or "if"
                said = f"{said} {text[at : found.end()]}"
                continue
            yield _part(text, start, at, marker, said, only), ""
            start, marker, said = found.end(), found.lastgroup or "if", text[at : found.end()]
            only = marker == "only"
        else:
            if cuts[at].group().strip() == "," and not _splits(text, at, marker):
                continue
            yield _part(text, start, at, marker, said, only), cuts[at].group().strip()
            start, marker, said, only = cuts[at].end(), "", "", False
    yield _part(text, start, len(text), marker, said, only), "."


def _part(text: str, start: int, end: int, marker: str, said: str, only: bool) -> Part:
    words = text[start:end]
    return Part(words.strip(), start + len(words) - len(words.lstrip()), marker, said, only)


def _splits(text: str, at: int, marker: str) -> bool:
    """A comma ends a condition, or begins a clause of its own; else it only lists."""
    rest = text[at + 1 : at + 120].lstrip()
    joined = _AND.match(rest)
    if joined:
        rest = rest[joined.end() :]
    return bool(marker) or _is_order(rest) or bool(_OWN_SUBJECT.match(rest))


_OWN_SUBJECT = re.compile(r"(?:[\w'-]+\s){0,5}(?:must|shall|should|may)\b", re.IGNORECASE)
_AND_ORDER = re.compile(r"\s(?:and|but|then)\s(?=[a-z])")


def _is_order(text: str) -> bool:
    verb = leading_verb(text)
    return verb is not None and verb.start == 0 and is_imperative(text, verb)


def _sentences(parts: Iterator[tuple[Part, str]]) -> Iterator[list[Part]]:
    sentence: list[Part] = []
    for part, end in parts:
        if part.text or part.marker:
            sentence.append(part)
        if end in (".", "!", "?", ";", "|") and sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _hung_on(sentence: list[Part]) -> Iterator[Clause]:
    """A condition belongs to the clause before it; at the beginning, to all that follow."""
    leading: list[Part] = []
    pending: list[Part] = []  # "stop, and if it rings, leave": the condition of what follows
    clauses: list[Clause] = []
    for part in sentence:
        if part.marker and clauses and _JOINS_ON.search(clauses[-1].text):
            pending.append(part)
        elif part.marker and clauses:
            condition, *orders = _orders(part)  # "when it rings and open the door"
            clauses[-1].conditions.append(condition)
            clauses.extend(c for p in orders for c in _clauses_of(p, clauses[-1].subject))
        elif part.marker:
            leading.append(part)
        elif clauses and _ONLY_FORBIDDEN.match(part.text):
            last = clauses.pop()
            clauses.append(
                Clause(f"{last.text} {part.text}", last.start, conditions=last.conditions)
            )
        else:
            found = list(_clauses_of(part, clauses[-1].subject if clauses else ""))
            for clause in found:
                clause.conditions.extend(pending)
            clauses.extend(found)
            pending = [] if found else pending
    if clauses:
        clauses[-1].conditions.extend(pending)
    if not clauses and leading:
        clauses = [Clause("", leading[0].start)]
    for clause in clauses:
        clause.conditions.extend(leading)
    return iter(clauses)


_JOINS_ON = re.compile(r"\b(?:and|or|but)\W*$", re.IGNORECASE)


def _clauses_of(part: Part, subject: str) -> Iterator[Clause]:
    for found in _orders(part):
        if found.text:
            clause = Clause(found.text, found.start, inherited=subject)
            subject = clause.subject
            yield clause


def _orders(part: Part) -> Iterator[Part]:
    """ "Stop the pump and call the doctor" is two clauses; "salt and pepper" is one."""
    start = 0
    for match in _AND_ORDER.finditer(part.text):
        before = part.text[start : match.start()]
        enough = 0 if part.marker else 1  # "before leaving and check": nothing is listed there
        if len(before.split()) > enough and _is_order(part.text[match.end() : match.end() + 80]):
            yield _cut_from(part, start, match.start())
            start = match.end()
    yield _cut_from(part, start, len(part.text))


def _cut_from(part: Part, start: int, end: int) -> Part:
    """Only the beginning of a condition is one."""
    if end - start == len(part.text):
        return part
    text, at = part.text[start:end], part.start + start
    return Part(text, at) if start else Part(text, at, part.marker, part.marker_words, part.is_only)
