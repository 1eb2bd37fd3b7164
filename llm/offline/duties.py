"""The duties of one English sentence: who, the modal verb, and which words are its own.

"The porter SHOULD return the bed, but MAY leave it if the ward agrees." holds two of one porter,
and what the ward agrees to is only the second.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from llm.offline.subjects import (
    PRONOUN,
    acts,
    cannot_begin,
    longest_name,
    may_be_it,
    names_somebody,
)
from llm.rules import Level

MODAL = re.compile(
    r"\b(?P<word>must|shall|should|may|ought to|(?:is|are) (?:required|expected|obliged) to"
    r"|(?:has|have) to|needs? to|(?P<be>(?:is|are) (?P<no>not )?to(?= be\b)))\b"
    r"(?P<negation>\s+(?:not|never)\b)?\s*",
    re.IGNORECASE,
)
LEAD = re.compile(
    r"^(?:(?:requirement|recommendation|rule|warning|caution|important|tip):"
    r"|however|in addition|additionally|therefore|also|furthermore|moreover|as such"
    r"|consequently|instead|otherwise|note|for example)[,:]?\s+",
    re.IGNORECASE,
)
BRACKETS = re.compile(r"\s*\([^()]*\)")
_SIDE_CLAUSE = re.compile(
    r"(?:^|[,;:]\s+|\s(?:and|but|or)\s+)(?:if|when|whenever|unless|where|while|although|because"
    r"|since)\b[^,;:]*$|\b(?:that|which|who|whether|how|what)(?:\s+[\w-]+){0,3}\s+$",
    re.IGNORECASE,
)
_PASSIVE = re.compile(r"(?:\w+ly\s+|also\s+|only\s+|then\s+)*be\b", re.IGNORECASE)
# "Be reachable", "be aware": somebody is, nobody does it to them.
_IS_SO = re.compile(
    r"(?:\w+ly\s+)*be\s+(?:\w+ly\s+)*(?:\w{3,}able|responsible|present|aware|ready|careful|alert"
    r"|familiar|sober|able|on (?:call|duty|site|time))\b",
    re.IGNORECASE,
)
_BY = re.compile(r"\bby\s+(?P<agent>(?:[\w'’-]+\s*){1,8})")
_AGENT_ENDS = re.compile(
    r"\s(?:to|in|at|on|from|before|after|when|while|if|unless|until|during|within|for|only|itself"
    r"|who|which|that|with|using|by|as|once|every|per)\b"
)
_NEXT_NOUN = re.compile(r"\s(?:and|or|the|an?|each|every|all)\s")  # "the clerk the same day"
_SIDE_BEGINS = re.compile(
    r"\s(?:that|which|whether|because|so|although|if|when|while|unless|where)\b"
)
_CLAUSE = re.compile(r"[,;:]\s+(?:and\s+|but\s+|or\s+)?|—\s")
_AND_THE = re.compile(r"\s(?:and|but)\s(?=the\b|it\b|that\b)")
_INSERTED = re.compile(r"\s[—–]\s[^—–]{1,200}\s[—–](?P<end>\s*$)?")
_JOINED = re.compile(
    r"(?:(?:and|but|or|nor|yet|so|then|also|only|still|however)\b[,\s]*"
    r"|(?:from|to|in|by|with|on|for|of|at|through|under)\s+(?:which|whom)\s+)+",
    re.IGNORECASE,
)
_ADVERB = re.compile(
    r"\s+(?:will|also|then|always|only|therefore|still|immediately|normally|usually|generally"
    r"|personally|jointly|themselves)$",
    re.IGNORECASE,
)
_LAST_NAMED = re.compile(
    r"\b((?:the|an?|any|every|each|all)\s+(?:(?!the\b|an?\b)[\w-]+\s+){0,3}[\w-]+)$", re.IGNORECASE
)
_MANY = re.compile(r"(?:s|staff|personnel|police|people|(?:any|every)(?:one|body))$", re.IGNORECASE)
_DETERMINER = re.compile(r"(?:the|an?|any|every|each|all|both|no|some)\b", re.IGNORECASE)
_RELATIVE = re.compile(r"\b(?:which|that|whom|who|whether|how|where)\b")
# "..., but MAY": of the subject named before. Not "or": one of two duties is neither of them.
_SAME_SUBJECT = re.compile(
    r"(?P<cut>(?:[,;]\s*)?(?<!\w)(?:and|but))\s+(?:(?:then|also|therefore|always)\s+)?$",
    re.IGNORECASE,
)
_LISTED = re.compile(r"[^,;:]*(?P<cut>,)\s*$")  # "SHALL warn them, SHALL say why, and SHALL wait"
_IN_RELATIVE = re.compile(r"\b(?:which|whom|who|that|whose)\s*$", re.IGNORECASE)
_OWN_SUBJECT = re.compile(
    r"[,;]\s+(?:(?:and|but|however|otherwise|then|also|instead|therefore|while|whereas)\b,?\s+)*"
    r"(?P<when>(?:if|when|unless|where|once|before|after|until)\b[^,;]{3,200},\s+)?"
    r"(?P<subject>(?:[\w'’./-]+\s+){1,10})$",
    re.IGNORECASE,
)
_OWN_AFTER_AND = re.compile(
    r"\s(?:and|but)\s+(?P<subject>(?:(?!and\b|but\b)[\w'’/-]+\s+){1,6})$", re.IGNORECASE
)
_HANGS = re.compile(r"\b(?:if|when|whenever|unless|while|where|until|once)\b", re.IGNORECASE)
_TAKES_IT = re.compile(r"(?P<verb>[\w-]+)\s+(?:it|them)\b", re.IGNORECASE)
_OBJECT = re.compile(
    r"[\w-]+\s+(?P<object>(?:the|an?|any|all|every|each|its|their)\s+[\w-]+(?:\s+[\w-]+){0,3}?)"
    r"(?=\s+(?:to|in|into|at|on|of|from|for|with|by|as|before|after|when|if|unless|until|during"
    r"|within|because|and|or|overnight|itself)\b|[,.;:]|$)",
    re.IGNORECASE,
)
_ONE_OF = re.compile(r"^(?:an?|any|every|each)\s+", re.IGNORECASE)
_SUBORDINATOR = re.compile(
    r"(?:if|when|whenever|while|although|though|because|since|as|once|before|after|unless|until"
    r"|where)\s+",
    re.IGNORECASE,
)
_LEVELS: dict[str, tuple[Level, Level]] = {
    "should": ("should", "should_not"),
    "ought to": ("should", "should_not"),
    "may": ("may", "must_not"),
}
_NEAR = 600  # characters before a modal verb in which its subject is looked for
_MAX_AGENT = 5  # words
_MAX_MODALS = 12  # of one sentence that are looked at


@dataclass(frozen=True)
class Duty:
    """One modal verb and what belongs to it, in the author's words.

    before    what stands before its subject, a condition mostly
    subject   carried over from the verb before it where the sentence names none; may be a thing
    inserted  between subject and verb: ", once told,"
    does      what follows the verb, up to the next duty
    said      all of these but `before`
    is_apart  False where these cannot be told from the words of another duty
    """

    level: Level
    before: str
    subject: str
    inserted: str
    does: str
    said: str
    is_apart: bool = True

    @property
    def actor(self) -> str:
        """The subject if it acts, the agent of a passive; "" where none is named."""
        if self.is_passive:
            return _agent(self.does)
        return self.subject if acts(self.subject) else ""

    @property
    def is_passive(self) -> bool:
        if not _PASSIVE.match(self.does):
            return False
        return not (_IS_SO.match(self.does) and names_somebody(self.subject))

    @property
    def is_by_pronoun(self) -> bool:
        """Is its subject named in another sentence?"""
        return PRONOUN.fullmatch(self.subject) is not None

    def by(self, subject: str) -> "Duty":
        """With whom its pronoun means."""
        return replace(self, subject=subject, said=subject + self.said[len(self.subject) :])


def find_duties(text: str, levels: Sequence[Level] = ()) -> list[Duty]:
    """In the order of the sentence.

    levels   that the sentence has; a verb of another level explains, and begins no duty
    """
    found: list[Duty] = []
    end = 0  # of the verb before
    for modal in _counting(text, levels):
        if not found:
            found.append(_first(text, modal))
        else:
            joined = _joined(text[max(end, modal.start() - _NEAR) : modal.start()], found)
            if joined:
                length, before, subject = joined
                found[-1] = _cut(found[-1], len(text) - modal.start() + length)
                found.append(_duty(modal, before, subject, text))
            else:
                found[-1] = replace(found[-1], is_apart=False)
                subject = _nested_subject(text[end : modal.start()][-_NEAR:], found[-1])
                found.append(replace(_duty(modal, "", subject, text), is_apart=False))
        end = modal.end()
    return [
        _made_whole(duty, found[number - 1] if number else None, is_last=number == len(found) - 1)
        for number, duty in enumerate(found)
    ]


def opening(sentence: str) -> str:
    """Whom a sentence begins with: "visitors" of "If visitors arrive early, ..."; "" if nobody."""
    text = LEAD.sub("", sentence[:_NEAR])
    joined = _SUBORDINATOR.match(text)
    said = re.findall(r"[\w'’-]+|\S", text[joined.end() if joined else 0 :][:120])
    is_one = bool(said) and _DETERMINER.match(said[0]) is not None
    name = longest_name(" ".join(said[: 4 if is_one else 2]))
    # "User attitudes", "visitor passes": nobody who is one of many goes without an article.
    return name if is_one or _MANY.search(name) else ""


def has_another(does: str) -> bool:
    """Is there a modal verb in it that is not of a side clause?"""
    found = islice(MODAL.finditer(does), _MAX_MODALS)
    return any(not _SIDE_CLAUSE.search(_near(does, modal)) for modal in found)


def _counting(text: str, levels: Sequence[Level]) -> list[re.Match[str]]:
    """Capitals alone, where there are some; the verbs of side clauses only where no other is."""
    found = list(islice(MODAL.finditer(text), _MAX_MODALS))
    found = [modal for modal in found if not levels or _level(modal) in levels]
    capitals = [modal for modal in found if modal["word"].isupper()]
    if capitals and {_level(modal) for modal in capitals}.issuperset(levels):
        found = capitals
    main = [modal for modal in found if not _SIDE_CLAUSE.search(_near(text, modal))]
    main = [modal for modal in main if not modal["be"]] or main or found
    said = {_level(modal) for modal in main}
    return [modal for modal in found if modal in main or (levels and _level(modal) not in said)]


def _near(text: str, modal: re.Match[str]) -> str:
    return text[max(0, modal.start() - _NEAR) : modal.start()]


def _level(modal: re.Match[str]) -> Level:
    asked, forbidden = _LEVELS.get(modal["word"].lower(), ("must", "must_not"))
    return forbidden if modal["negation"] or modal["no"] else asked


def _first(text: str, modal: re.Match[str]) -> Duty:
    head = text[: modal.start()]
    subject = subject_of(_near(text, modal))
    at = max(0, head.rfind(subject)) if subject else len(head)
    before, inserted = head[:at], head[at + len(subject) :].strip()
    said = text[at:]
    if PRONOUN.fullmatch(subject):
        meant = _meant_by(subject, opening(before)) or subject
        subject, said = meant, meant + said[len(subject) :]
    elif not subject and _SAME_SUBJECT.search(head[-_NEAR:]):  # "Nurses read it and must sign it"
        subject, before = opening(head), head
    return Duty(
        level=_level(modal),
        before=before,
        subject=subject,
        inserted=inserted,
        does=text[modal.end() :],
        said=said,
        is_apart=not (_IN_RELATIVE.search(before[-20:]) or _IN_RELATIVE.search(head[-20:])),
    )


def _duty(modal: re.Match[str], before: str, subject: str, text: str) -> Duty:
    said = f"{subject} {text[modal.start() :]}".strip()
    return Duty(_level(modal), before, subject, "", text[modal.end() :], said)


def _cut(duty: Duty, length: int) -> Duty:
    """Without so many characters of the sentence's end, which are another duty's."""
    stop = "." if duty.said.endswith(".") else ""
    does, said = (f"{text[:-length].rstrip()}{stop}" for text in (duty.does, duty.said))
    return replace(duty, does=does, said=said)


def _made_whole(duty: Duty, last: Duty | None, *, is_last: bool) -> Duty:
    """Able to stand alone, or else not apart: "SHOULD discourage and SHALL NOT facilitate cloning"
    has one object, and "MAY leave it" has "it" from the duty before.
    """
    is_short = len([word for word in duty.does.split() if not word.endswith("ly")]) < 2
    if duty.does.count("(") != duty.does.count(")") or (is_short and not is_last):
        return replace(duty, is_apart=False)
    takes = _TAKES_IT.match(duty.does)
    if last is None or takes is None or not duty.is_apart:
        return duty
    known = _OBJECT.match(last.does)
    if known is None or last.is_passive or _HANGS.search(last.does):
        return replace(duty, is_apart=False)  # "may keep a log if ..., but must sign it": if ...
    noun = _ONE_OF.sub("the ", known["object"])
    does = f"{takes['verb']} {noun}{duty.does[takes.end() :]}"
    return replace(duty, does=does, said=duty.said.removesuffix(duty.does) + does)


def _joined(between: str, found: Sequence[Duty]) -> tuple[int, str, str] | None:
    """If the sentence goes on with another duty: the length of the words that lead over to it,
    what stands before its subject, and whom that names.
    """
    last = next((duty for duty in reversed(found) if duty.is_apart), found[0])
    carried = last.subject
    same = _SAME_SUBJECT.search(between) or _LISTED.match(between)
    if same:
        return (len(between) - same.start("cut"), last.before, carried) if carried else None
    own = _OWN_SUBJECT.search(between) or _OWN_AFTER_AND.search(between)
    if own is None:
        return None
    before, subject = own.groupdict().get("when") or last.before, own["subject"].strip()
    if PRONOUN.fullmatch(subject):
        subject = _meant_by(subject, opening(before) or carried) or subject
    elif not _DETERMINER.match(subject) and not names_somebody(subject):
        return None
    return len(between) - own.start(), before, subject


def _meant_by(pronoun: str, subject: str) -> str:
    is_fit = pronoun.lower() != "it" or may_be_it(subject)
    return subject if is_fit else ""


def _nested_subject(between: str, last: Duty) -> str:
    """Of a verb inside the words of another: "the entrance, from which visitors must keep away"."""
    subject = _RELATIVE.split(subject_of(between))[-1].strip()
    if PRONOUN.fullmatch(subject) or between.rstrip().endswith(" or"):
        return last.subject
    return subject if _DETERMINER.match(subject) or names_somebody(subject) else ""


def _comma(inserted: re.Match[str]) -> str:
    return "," if inserted["end"] is None else ""


def subject_of(before: str) -> str:
    """The words before a modal verb that may be its subject; "" if they cannot."""
    before = _INSERTED.sub(_comma, BRACKETS.sub("", before)).rstrip(" —–-")
    if before.endswith(","):  # "The porter, once told, must"
        before = before.rstrip(", ")
        before = before.rpartition(",")[0] or before
    part = _after_and(LEAD.sub("", _CLAUSE.split(before)[-1].strip()))
    part = _ADVERB.sub("", part)
    joined = _JOINED.match(part)
    part = part[joined.end() :] if joined else part
    if part.endswith((" and", " but", " or")):
        return ""
    if part.endswith((" who", " that", " which")):  # "the nurse who must"
        part = part.rpartition(" ")[0]
        named = _LAST_NAMED.search(part)
        return named[1] if named and names_somebody(named[1]) else ""
    if part and cannot_begin(part):  # "in anaphylaxis the nurse must"
        named = _LAST_NAMED.search(part)
        return named[1] if named and names_somebody(named[1]) else ""
    return part


def _after_and(part: str) -> str:
    """ "The gate is shut and the porter" begins anew, "the nurse and the porter" does not."""
    *before, last = _AND_THE.split(part)
    named = _DETERMINER.sub("", " ".join(before), count=1)
    is_joint = len(named.split()) <= 2 and names_somebody(named)
    return part if is_joint else last


def _agent(does: str) -> str:
    """ "Be inspected monthly by the facilities team"; not "by prompting", "by post"."""
    for found in islice(_BY.finditer(_SIDE_BEGINS.split(does, maxsplit=1)[0]), _MAX_MODALS):
        said = _AGENT_ENDS.split(found["agent"].strip(), maxsplit=1)[0]
        if said.split()[0].endswith("ing"):
            continue
        known = _NEXT_NOUN.split(said, maxsplit=1)[0] if _DETERMINER.match(said) else ""
        agent = longest_name(said) or known
        if acts(agent) and len(agent.split()) <= _MAX_AGENT:
            return agent
    return ""
