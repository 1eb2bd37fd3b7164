"""How the engine words an item: who does what, when, and which subject it belongs to."""

import re

from llm.rules import FORBIDDING, Language, Level, Rules, for_language
from llm.statements import Statement, inherits, takes_a_verb
from llm.verbs import is_imperative, leading_verb

ORGANISATION = "The organisation"
_NEGATION_BEFORE = re.compile(r"\s(?:no|ne)$|\sn['’]$", re.IGNORECASE)
_UNFINISHED = re.compile(r"\b(?:und|oder|et|ou|y|o)$", re.IGNORECASE)
_UNNAMED: dict[Language, tuple[str, str]] = {
    "en": ("You", ORGANISATION),
    "de": ("Sie", "Die Organisation"),
    "fr": ("Vous", "L’organisation"),
    "es": ("Usted", "La organización"),
}
_MAX_ACTOR = 8  # words; a longer subject is a thing described, not somebody who acts
_MAX_CONDITION = 300  # characters

_MODAL = re.compile(
    r"\b(?P<word>must|shall|should|may|ought to|(?:is|are) (?:required|expected|obliged) to"
    r"|(?:has|have) to|needs? to)\b"
    r"(?P<negation>\s+(?:not|never)\b)?\s*",
    re.IGNORECASE,
)
_LEVEL_WORDS: dict[Level, str] = {
    "must": r"must|shall|required|expected|obliged|has to|have to|needs? to",
    "must_not": r"must|shall|may",
    "should": r"should|ought",
    "should_not": r"should|ought",
    "may": r"may",
}
_CLAUSE = re.compile(r"[,;:]\s+(?:and\s+|but\s+|or\s+)?|\s(?:and|but)\s(?=the\b|it\b|that\b)|—\s")
_PRONOUN = re.compile(r"^(?:it|they|this|these|that|those|there|which|who|he|she)\b", re.IGNORECASE)
_LEAD = re.compile(
    r"^(?:(?:requirement|recommendation|rule|warning|caution|important|tip):"
    r"|however|in addition|additionally|therefore|also|furthermore|moreover|as such"
    r"|consequently|instead|otherwise|note|for example)[,:]?\s+",
    re.IGNORECASE,
)
_BY_AGENT = re.compile(
    r"\bby\s+((?:the|a|an|all|each|every)\s+[A-Za-z-]+(?:\s+(?:or|and)?\s*[A-Za-z-]+)?)"
    r"(?=\s*(?:[.,;:]|to\b|in\b|at\b|before\b|after\b|when\b|if\b|during\b|within\b|for\b|$))"
)
_PASSIVE = re.compile(r"^(?:\w+ly\s+|also\s+|only\s+|then\s+)*be\b", re.IGNORECASE)
_NO_ONE = re.compile(r"^(?:no|nobody|none|neither)\b", re.IGNORECASE)
_LEADING_CONDITION = re.compile(
    r"^(?:if|when|whenever|unless|before|after|where|wherever|once|until|while|during|in cases?"
    r"|in the event|should (?:the|an?|any|you|it|there)|prior to|upon|depending on"
    r"|in situations|for)\b[^,—]{3,300}(?=,|—)",
    re.IGNORECASE,
)
_TRAILING_CONDITION = re.compile(
    r"(?<!decide )(?<!determine )(?<!check )(?<!see )\b(?:only if|if|unless|only when|when|whenever"
    r"|within \d+|within (?:a|one|two|three|the)\b|provided that|except|until|before|after|prior to"
    r"|at least (?:once )?every|every \d+|once (?!every\b|per\b|a\b|an\b|during\b))\b"
    r"(?:[^;.]|\.(?=\d)){3,}",
    re.IGNORECASE,
)
_MAIN_CLAUSE = re.compile(
    r",\s+(?=(?:and\s+|but\s+)?(?:[\w-]+\s+){0,4}(?:must|shall|should|may)\b)", re.IGNORECASE
)
_BRACKETS = re.compile(r"\s*\([^()]*\)")
_CATEGORIES = [
    ("Training", r"train(?:ing|ed)?|educat\w+|competen\w+|awareness|instruct(?:ion)?s?"),
    ("Incident response", r"incident|breach|emergenc\w+|alarm|escalat\w+|fire|compromis\w+"),
    ("Medication", r"dose|mg|ml|tablet|medic\w+|administer|antibiotic|inject\w+|infus\w+|drug"),
    ("Hygiene", r"wash|hygiene|clean\w*|disinfect\w+|steril\w+|gloves?|infection|waste"),
    ("Monitoring", r"monitor\w*|measure\w*|observ\w+|blood pressure|vital signs|logs?|audit\w*"),
    ("Cryptography", r"encrypt\w+|cryptograph\w+|hash\w*|salt\w*|entropy|random bit|signature"),
    ("Sessions", r"session|cookies?|time ?out|reauthenticat\w+|logout|logs out"),
    ("Identity", r"identity|evidence|proofing|applicant|biometrics?|KBV"),
    ("Authentication", r"authenticat\w+|password|secrets?|PIN|OTP|credential\w*|keys?"),
    ("Access", r"access\w*|permission|privilege|authori[sz]\w+|badge|visitor|enter|escort"),
    ("Privacy", r"privacy|personal (?:data|information)|PII|consent|confidential\w*"),
    ("Records", r"records?|document\w*|retain|retention|files?|register|report\w*"),
    ("Communication", r"notify|inform|communicat\w+|contact|feedback|advise[ds]?|prompt"),
    ("Accessibility", r"accessib\w+|screen reader|keyboard|label|legible|legibility|users?"),
    ("Equipment", r"device|equipment|machine|tool\w*|hardware|sensor"),
    ("Safety", r"safe\w*|hazard\w*|risk\w*|protect\w*|injur\w+|danger\w*"),
]
_CATEGORY_PATTERNS = [
    (name, re.compile(rf"\b(?:{words})\b", re.IGNORECASE)) for name, words in _CATEGORIES
]
_COLONS = re.compile(r":(?=\s|$)")  # of a list, and of lists in it
_NUMBERING = re.compile(r"^[\d.]+\s+")


def needs_stem(statement: Statement) -> bool:
    """Does it lack a subject or a modal verb, which its list's introduction gives?"""
    if not statement.stem or " | " in statement.stem:
        return False
    begins = statement.language == "en" and bool(_MODAL.match(statement.text))
    return begins or inherits(statement.text, statement.stem, statement.language)


def full_sentence(statement: Statement) -> str:
    """The statement, readable alone: what its list's introduction says is put before it."""
    if needs_stem(statement):
        return f"{_COLONS.sub('', statement.stem).rstrip('–— ')} {statement.text}"
    return statement.text


def action(statement: Statement, level: Level) -> str:
    """An order where the grammar is plain, else the sentence itself: never a distorted one."""
    if statement.language != "en":
        return _capitalised(full_sentence(statement))
    text = _LEAD.sub("", statement.text)
    if inherits(text, statement.stem) and not _MODAL.search(text):
        bare = re.sub(r"^(?:not|never)\s+", "", text)
        if not (
            takes_a_verb(statement.stem) or is_order(bare)
        ):  # "Boxes shall not be used for:", "food or drink"
            return _capitalised(full_sentence(statement).rstrip(";, "))
        return _order(bare, level)
    modals = [] if is_order(text) else list(_MODAL.finditer(text))
    if len(modals) == 1 and len(statement.levels) == 1 and level != "may":
        rest = text[modals[0].end() :]
        subject = text[: modals[0].start()].strip()
        acts = _acts(subject) or subject.lower() in ("it", "they")
        if acts and not _PASSIVE.match(rest) and rest[:1].isalpha():
            return _order(rest, level)
    full = full_sentence(statement) if text == statement.text else text
    return full[:1].upper() + full[1:]


def is_order(text: str) -> bool:
    """An imperative; a modal verb further on in it belongs to a side clause."""
    verb = leading_verb(text)
    return verb is not None and is_imperative(text, verb)


def _order(rest: str, level: Level) -> str:
    rest = rest.rstrip(";:, ")
    if level in FORBIDDING:
        return f"Do not {rest[:1].lower()}{rest[1:]}"
    return rest[:1].upper() + rest[1:]


def actor(statement: Statement, level: Level, *, audience: str, previous: str) -> str:
    """Who acts: named, meant by a pronoun, told directly, or else left open by the author."""
    named = named_actor(statement, level)
    if named:
        return named
    if statement.language != "en":
        return _unnamed_actor(statement, audience)
    modal = _modal_of(statement.text, level)
    if modal is None and inherits(statement.text, statement.stem):
        return (audience or "You") if is_order(statement.text) else ORGANISATION
    if modal is None or is_order(statement.text):
        return audience or "You"
    subject = _subject(statement.text, modal)
    if _PRONOUN.match(subject) and previous and not _PASSIVE.match(statement.text[modal.end() :]):
        return previous
    return ORGANISATION


def named_actor(statement: Statement, level: Level) -> str:
    """The subject of the modal verb or the agent of a passive; '' if the sentence names none."""
    text = statement.text
    if statement.language != "en":
        return _named_by_rule(full_sentence(statement), for_language(statement.language))
    modal = None if is_order(text) else _modal_of(text, level)
    if modal is None:
        stem_modal = _MODAL.search(statement.stem) if inherits(text, statement.stem) else None
        return _named(statement.stem, stem_modal) if stem_modal else ""
    return _named(text, modal)


def _named_by_rule(text: str, rules: Rules) -> str:
    """The words before the modal verb, if they are a short subject: "Die Leitung muss ..."."""
    verb = rules.wording["verb"].search(text)
    subject = _NEGATION_BEFORE.sub("", text[: verb.start()].strip()) if verb else ""
    begins = rules.wording["subject"].match(subject) and not _UNFINISHED.search(subject)
    passive = verb is not None and rules.wording["passive"].search(text, verb.end())
    return _capitalised(subject) if begins and not passive and _acts(subject) else ""


def _unnamed_actor(statement: Statement, audience: str) -> str:
    """Whoever reads an order is meant by it; else the author leaves it open."""
    wording = _UNNAMED[statement.language]
    direct = not for_language(statement.language).wording["verb"].search(statement.text)
    return audience or wording[0 if direct else 1]


def _named(text: str, modal: re.Match[str]) -> str:
    rest = text[modal.end() :]
    if _PASSIVE.match(rest):
        agent = _BY_AGENT.search(rest)
        return _capitalised(agent[1]) if agent else ""
    subject = _subject(text, modal)
    return _capitalised(subject) if _acts(subject) else ""


def _subject(text: str, modal: re.Match[str]) -> str:
    before = text[: modal.start()].strip().rstrip(",—–- ")
    return _LEAD.sub("", _CLAUSE.split(before)[-1].strip())


def _acts(subject: str) -> bool:
    words = subject.split()
    if not words or len(words) > _MAX_ACTOR or _PRONOUN.match(subject) or _NO_ONE.match(subject):
        return False
    return not any(mark in subject for mark in ",;:()—")


def _modal_of(text: str, level: Level) -> re.Match[str] | None:
    """The modal verb that gives the sentence this level."""
    words = re.compile(_LEVEL_WORDS[level], re.IGNORECASE)
    negated = level in FORBIDDING
    for modal in _MODAL.finditer(text):
        if words.search(modal["word"]) and bool(modal["negation"]) == negated:
            return modal
    return None


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def condition(text: str, language: Language = "en") -> str:
    """The clause that says when it applies, in the author's words; '' if it always does."""
    if language != "en":
        found = for_language(language).wording["condition"].match(text)
        return found[0].strip(" ,")[:_MAX_CONDITION] if found else ""
    text = _LEAD.sub("", _BRACKETS.sub("", text))
    leading = _LEADING_CONDITION.match(text)
    found = leading or _TRAILING_CONDITION.search(text)
    if not found:
        return ""
    return _MAIN_CLAUSE.split(found.group())[0].strip(" ,:()")[:_MAX_CONDITION]


def condition_of(statement: Statement) -> str:
    """What its list begins with, "After an excursion, the nurse must:", and its own."""
    stem = statement.stem if needs_stem(statement) else ""
    said = [condition(text, statement.language) for text in (stem, statement.text)]
    return ", ".join(filter(None, said))


def category(statement: Statement) -> str:
    """The class of most of its words, the earlier class where two are equal; else its heading."""
    best, most = "", 0
    for name, pattern in _CATEGORY_PATTERNS if statement.language == "en" else ():
        count = len(pattern.findall(statement.text))
        if count > most:
            best, most = name, count
    heading = _NUMBERING.sub("", statement.section.rsplit(" > ", 1)[-1])
    return best or heading[:60] or "General"
