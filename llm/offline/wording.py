"""How the engine words an item: who does what, when, and which subject it belongs to."""

import re

from llm.offline.duties import (
    BRACKETS,
    LEAD,
    MODAL,
    Duty,
    find_duties,
    has_another,
    opening,
    subject_of,
)
from llm.offline.subjects import MAX_WORDS, PRONOUN, acts, may_be_it, names_somebody
from llm.rules import FORBIDDING, Language, Level, Rules, for_language
from llm.statements import Statement, inherits, runs_on, takes_a_verb
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
_MAX_BOUND = 200  # characters before which a sentence without a modal verb says who is bound
_MAX_CONDITION = 300  # characters

# "Each manager is responsible for ...": a duty without a modal verb.
_IS_BOUND = re.compile(
    r"\s(?:(?:is|are)\s+(?:\w+ly\s+|not\s+)?(?:allowed|permitted|authori[sz]ed|entitled|free"
    r"|encouraged|advised|recommended|bound|obligated|forbidden|responsible|accountable)\s+(?:to|for)"
    r"|undertakes?|agrees?|warrants?|covenants?|can\s?not|will)\b",
    re.IGNORECASE,
)
_IS_DUTY_OF = re.compile(
    r"\b(?:duty|responsibility)\s+of\s+(?P<who>(?:[\w-]+\s+){1,5}?)to\b", re.IGNORECASE
)
_INVERTED = re.compile(r"(?:the|an?|any|every|each|all|no|it|they)\b", re.IGNORECASE)
_PHRASE_BEFORE = re.compile(
    r"(?:in|for|to|at|on|by|with|without|during|after|before|upon|from|until|once|when|whenever"
    r"|where|wherever|if|unless|while|prior to|depending on|as)\b[^:;]{2,250}[,—]$",
    re.IGNORECASE,
)
_LABEL_BEFORE = re.compile(r"[^.:;]{2,80}:$")
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
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
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
_COLON = re.compile(r":(?:\s+|$)")  # of a list, and of lists in it
_LIST_END = re.compile(r"\s*[;,]\s*(?:and|or)?\s*$")
_NUMBERING = re.compile(r"^[\d.]+\s+")


def needs_stem(statement: Statement) -> bool:
    """Does it lack a subject or a modal verb, which its list's introduction gives?"""
    if not statement.stem or " | " in statement.stem:
        return False
    begins = statement.language == "en" and bool(MODAL.match(statement.text))
    return begins or inherits(statement.text, statement.stem, statement.language)


def full_sentence(statement: Statement) -> str:
    """The statement, readable alone: what its list's introduction says is put before it."""
    if not needs_stem(statement):
        return statement.text
    parts = filter(None, map(str.strip, _COLON.split(statement.stem.rstrip("–— "))))
    said, *rest = [*parts, statement.text]
    for number, part in enumerate(rest):
        # "The nurse must", "check the bag", "read its label": only the first two are one sentence.
        is_one = not number or statement.language != "en" or runs_on(f"{said}:")
        said = f"{said}{' ' if is_one else ': '}{part}"
    return _LIST_END.sub("", said)


def duties_of(statement: Statement, level: Level) -> list[Duty]:
    """Those of this level, each for an item of its own; none where no modal verb says it."""
    text = statement.text
    if statement.language != "en" or is_order(text):
        return []
    if MODAL.match(text):
        text = full_sentence(statement)
    found = [d for d in find_duties(text, statement.levels) if d.level == level]
    return found if all(duty.is_apart for duty in found) else found[:1]


def action(statement: Statement, level: Level, duty: Duty | None, when: str) -> str:
    """An order where the grammar is plain, else the sentence itself: never a distorted one.

    when   the item's condition, which need not be said twice
    """
    if statement.language != "en":
        return _capitalised(full_sentence(statement))
    text = LEAD.sub("", statement.text)
    if inherits(text, statement.stem) and not MODAL.search(text):
        bare = re.sub(r"^(?:not|never)\s+", "", text)
        if not (
            takes_a_verb(statement.stem) or is_order(bare)
        ):  # "Boxes shall not be used for:", "food or drink"
            return _capitalised(full_sentence(statement).rstrip(";, "))
        return _order(bare, level)
    apart = _apart(duty, level, when) if duty else ""
    full = full_sentence(statement) if text == statement.text else text
    return _capitalised(apart or full)


def _apart(duty: Duty, level: Level, when: str) -> str:
    """What of its sentence is the duty's own; "" where that cannot stand alone."""
    does = duty.does.rstrip()
    before = LEAD.sub("", duty.before.lstrip()).strip()
    if not duty.is_apart or not does[:1].isalpha() or _INVERTED.match(does):
        return ""
    if any(not modal["be"] for modal in MODAL.finditer(before)):  # "While all MUST rest, ..."
        return ""
    if before.rstrip(",— ") in when and not duty.is_by_pronoun:
        before = ""
    elif before and not (_PHRASE_BEFORE.fullmatch(before) or _LABEL_BEFORE.fullmatch(before)):
        return ""
    is_done = bool(duty.actor) and not duty.is_passive and not duty.inserted
    ordered = level != "may" and is_done and not has_another(does)
    if not ordered and not duty.subject:
        return ""
    said = _order(does, level) if ordered else _capitalised(duty.said.strip())
    if before and not before.endswith(":") and not said[1:2].isupper():
        said = f"{said[:1].lower()}{said[1:]}"
    return f"{before} {said}".strip()


def is_order(text: str) -> bool:
    """An imperative; a modal verb further on in it belongs to a side clause."""
    verb = leading_verb(text)
    return verb is not None and is_imperative(text, verb)


def _order(rest: str, level: Level) -> str:
    rest = rest.rstrip(";:, ")
    if level in FORBIDDING:
        return f"Do not {rest[:1].lower()}{rest[1:]}"
    return rest[:1].upper() + rest[1:]


def meant(duty: Duty, before: str, last: str) -> Duty:
    """The duty with its pronoun resolved: whom the sentence before is about, else who was named
    last. As it is where neither can be meant.
    """
    if duty.is_passive or not duty.is_by_pronoun:
        return duty
    sentence = _SENTENCE_END.split(before.strip())[-1]
    said = find_duties(sentence)
    subject = said[-1].subject if said else opening(sentence)
    if not subject or PRONOUN.match(subject):
        subject = last
    is_fit = acts(subject) and (duty.subject.lower() != "it" or may_be_it(subject))
    return duty.by(subject) if is_fit else duty


def actor(statement: Statement, level: Level, duty: Duty | None, *, audience: str) -> str:
    """Who acts: named, told directly, or else left open by the author."""
    named = _capitalised(duty.actor) if duty else named_actor(statement, level)
    if named:
        return named
    if statement.language != "en":
        return _unnamed_actor(statement, audience)
    if is_order(statement.text):  # to one of several roles, which it does not say
        return "You" if "," in audience else audience or "You"
    is_open = duty or inherits(statement.text, statement.stem)
    return ORGANISATION if is_open else audience or "You"


def named_actor(statement: Statement, level: Level) -> str:
    """The subject of the modal verb or the agent of a passive; '' if the sentence names none."""
    text = statement.text
    if statement.language != "en":
        return _named_by_rule(full_sentence(statement), for_language(statement.language))
    duties = duties_of(statement, level)
    if duties:
        return _capitalised(duties[0].actor)
    if inherits(text, statement.stem):
        duties = find_duties(statement.stem)
        return _capitalised(duties[0].actor) if duties else ""
    return "" if is_order(text) else _capitalised(_bound(text))


def _bound(text: str) -> str:
    """ "Employees are encouraged to ask", "it is the duty of every nurse to ask"."""
    duty = _IS_DUTY_OF.search(text)
    bound = _IS_BOUND.search(text[:_MAX_BOUND])
    said = duty["who"].strip() if duty else subject_of(text[: bound.start()]) if bound else ""
    return said if acts(said) and names_somebody(said) else ""


def _named_by_rule(text: str, rules: Rules) -> str:
    """The words before the modal verb, if they are a short subject: "Die Leitung muss ..."."""
    verb = rules.wording["verb"].search(text)
    subject = _NEGATION_BEFORE.sub("", text[: verb.start()].strip()) if verb else ""
    begins = rules.wording["subject"].match(subject) and not _UNFINISHED.search(subject)
    passive = verb is not None and rules.wording["passive"].search(text, verb.end())
    return _capitalised(subject) if begins and not passive and _is_short(subject) else ""


def _unnamed_actor(statement: Statement, audience: str) -> str:
    """Whoever reads an order is meant by it; else the author leaves it open."""
    wording = _UNNAMED[statement.language]
    direct = not for_language(statement.language).wording["verb"].search(statement.text)
    return audience or wording[0 if direct else 1]


def _is_short(subject: str) -> bool:
    is_one = not any(mark in subject for mark in ",;:()—")
    return is_one and 0 < len(subject.split()) <= MAX_WORDS


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def condition(text: str, language: Language = "en", duty: Duty | None = None) -> str:
    """The clause that says when it applies, in the author's words; '' if it always does.

    duty   whose it is: what hangs on another duty of the sentence is not
    """
    if language != "en":
        found = for_language(language).wording["condition"].match(text)
        return found[0].strip(" ,")[:_MAX_CONDITION] if found else ""
    is_apart = duty is not None and duty.is_apart
    own = LEAD.sub("", BRACKETS.sub("", duty.before)) if duty and is_apart else ""
    text = LEAD.sub("", BRACKETS.sub("", text))
    leading = _LEADING_CONDITION.match(own) or _LEADING_CONDITION.match(text)
    does = BRACKETS.sub("", duty.does) if duty and is_apart else text
    found = leading or _TRAILING_CONDITION.search(does)
    if not found:
        return ""
    return _MAIN_CLAUSE.split(found.group())[0].strip(" ,:()")[:_MAX_CONDITION]


def condition_of(statement: Statement, duty: Duty | None) -> str:
    """What its list begins with, "After an excursion, the nurse must:", and its own."""
    stem = statement.stem if needs_stem(statement) else ""
    said = [
        condition(stem, statement.language),
        condition(statement.text, statement.language, duty),
    ]
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
