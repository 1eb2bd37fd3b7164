"""Can these words be who acts? An actor is named, never guessed from what is near."""

import re

from llm.meaning.words import GENERIC, roles, stem, words

MAX_WORDS = 8  # a longer subject is a thing described, not somebody who acts
MAX_WITH_RELATIVE = 16  # "Any staff member who gives or notices a wrong dose"
PRONOUN = re.compile(r"(?:it|they|he|she)\b", re.IGNORECASE)
_POINTS = re.compile(r"(?:this|these|that|those|there|which|who|such)\b", re.IGNORECASE)
_NO_ONE = re.compile(r"(?:no|nobody|none|neither)\b", re.IGNORECASE)
_RELATIVE = re.compile(r"\s(?:who|whom|whose|which|that)\b", re.IGNORECASE)
_NO_SUBJECT = re.compile(
    r"(?:and|but|or|nor|yet|so|then|either|although|though|whereas|while|because|since|as|if|when"
    r"|whenever|unless|until|where|wherever|before|after|once|whether|by|with|without|in|on|at|from"
    r"|to|for|of|under|upon|during|through|within|via|per|between|what|how|why|here|not|also|than"
    r"|like|unlike|except|instead|rather|particularly|especially|including|following)\b",
    re.IGNORECASE,
)
_HOLDS_MODAL = re.compile(r"\b(?:must|shall|should|may|ought|cannot)\b", re.IGNORECASE)
_HEAD_ENDS = re.compile(
    r"\s(?:of|for|in|on|at|to|from|with|without|by|under|within|through|during|between|as|than"
    r"|against|about|over|into|per)\b"
)
# "Keys used here", "an RP requiring more", but not "the treating nurse".
_PARTICIPLE = re.compile(
    r"(?<!\bthe)(?<!\ban)(?<!\ba)(?<!\ball)(?<!\bany)(?<!\beach)(?<!\bevery)"
    r"\s(?:\w{2,}ing\b.*|\w{2,}ed(?:\s\w+ly)?$|(?:held|kept|sent)$)",
    re.IGNORECASE,
)
_COUNTS_WORDS = """
    one half some most many each all any several few two three both
"""
_ABSTRACT = re.compile(r"\w{2,}(?:[ts]ion|ment|ness|ity|ance|ence|ism|ing|ure|ison)s?$")
# They end as abstract nouns do, and act all the same.
_BODIES_WORDS = """
    organisation organization administration institution corporation federation association
    foundation delegation commission union application implementation station mission management
    government department establishment parliament authority community facility university
    charity society security entity party audience alliance ambulance agency being sibling
"""
# What stands in guidelines before "must" and can do nothing itself, in the singular.
_THINGS_WORDS = """
    account act agreement alarm algorithm amount appendix area article attempt bag balance
    bandage bar basin battery bed bin blade blanket body bottle box brake bucket budget bulb
    button cabin cabinet cable call card cart case cell certificate chair change channel chart
    check checklist chemical cloth code colour color contact content contract container cookie
    copy corridor cost cup cupboard curtain cylinder data database date deadline decision degree
    delivery diary dish display dose door drain drawer drill drug duty email emergency entry
    envelope error event exit expense extinguisher fee fence field figure file filter fire flask
    float floor folder food form freezer fridge gap gate gauge generator gift glass glove goods
    handle hazard heater height helmet hose hour idea implant incident injury interest interval
    invoice item journey key kit label ladder lamp laptop laundry law letter level licence
    license light limit line link linen liquid list load lock locker log logbook luggage lunch
    machine manual map mask material matter meal meeting message method minute mirror money name
    needle net nonce notice number object oil option order oven package page panel paper part
    passage password path pen phone pin pipe plan plate plug point policy pot powder power price
    procedure process product protocol pump purpose question rail ramp range rate reason receipt
    record register requirement result risk road roof room rope route row rule safe salt sample
    scale schedule screen seal seat secret section sentence session sheet shelf shoe sign signal
    signature socket solvent stair standard statement step stock strap street sum supply surface
    switch symbol syringe table tablet tag talk tank tap task temperature test text thermometer
    thing threshold ticket time title token tool towel track tray trip tube tyre uniform url use
    vaccine value valve van vehicle version vial video visit volume wall wash waste water way
    weapon weather website week weight wheel window wire work year zone following factor
"""
_GROUPS_WORDS = """
    verifier vendor supplier customer client contractor subcontractor partner processor
    controller agency authority board committee council regulator owner seller buyer lender
    landlord
"""


_PARTS = re.compile(r"[,;:()—]")

_COUNTS = frozenset(_COUNTS_WORDS.split())
_BODIES = frozenset(_BODIES_WORDS.split())
_THINGS = frozenset(_THINGS_WORDS.split())
_GROUPS = frozenset(_GROUPS_WORDS.split())


def acts(subject: str) -> bool:
    """Somebody, or something that does things by itself; not a thing that only lies there."""
    if not subject or _PARTS.search(subject) or _is_too_long(subject):
        return False
    if any(pattern.match(subject) for pattern in (PRONOUN, _POINTS, _NO_ONE, _NO_SUBJECT)):
        return False
    return not _HOLDS_MODAL.search(subject) and not _is_thing(subject)


def cannot_begin(subject: str) -> bool:
    """ "Although the nurse", "in the ward": a clause or a phrase, and nobody's name."""
    return _NO_SUBJECT.match(subject) is not None


def names_somebody(subject: str) -> bool:
    """Is its last word a role or a body of people, as far as we know those?"""
    head = words(_head(subject))[-1:]
    return bool(head) and (bool(roles(head[0])) or stem(head[0]) in GENERIC)


def longest_name(text: str) -> str:
    """So many of its first words that they name somebody; "" if none do."""
    said = text.split()
    counts = range(len(said), 0, -1)
    return next((name for n in counts if names_somebody(name := " ".join(said[:n]))), "")


def may_be_it(subject: str) -> bool:
    """Is it no person? "It" may stand for a company, and not for a nurse."""
    head = roles(_head(subject))
    return not head or head[-1] in _GROUPS


def _is_too_long(subject: str) -> bool:
    before, *after = _RELATIVE.split(subject, maxsplit=1)
    limit = MAX_WITH_RELATIVE if after else MAX_WORDS
    return len(before.split()) > MAX_WORDS or len(subject.split()) > limit


def _is_thing(subject: str) -> bool:
    head = _head(subject)
    last = _singular((words(head) or [""])[-1])
    if last in _COUNTS and " of " in f"{subject} ":  # "Each of the nurses", "half of them"
        return not names_somebody(subject.partition(" of ")[2])
    if last in _BODIES or roles(last):
        return False
    return last in _THINGS or _ABSTRACT.fullmatch(last) is not None


def _head(subject: str) -> str:
    """Its noun, with what stands before that: "Keys used for this purpose" are keys."""
    noun = _HEAD_ENDS.split(_RELATIVE.split(subject, maxsplit=1)[0], maxsplit=1)[0]
    return _PARTICIPLE.sub("", noun.strip("[] "))


def _singular(word: str) -> str:
    word = word.removesuffix("'s").removesuffix("’s")
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(("ses", "xes", "ches", "shes")):
        return word[:-2] if word[:-2] in _THINGS else word[:-1]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
