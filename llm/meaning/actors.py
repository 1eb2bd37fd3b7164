"""Who acts: whom the source names, or whom its section is for."""

import re
from collections.abc import Iterable, Iterator

from llm.meaning.clauses import Clause
from llm.meaning.evidence import Context, Flag, Item, Source
from llm.meaning.words import GENERIC, Vocabulary, content, roles, roles_among, share, stem, words
from llm.verbs import is_imperative, leading_verb

_BY = re.compile(r"\bby\s+((?:[\w'-]+\s?){1,5})")
_PASSIVE = re.compile(r"(?:\s+(?:not|never|only|always|also|\w+ly))*\s+be\b", re.IGNORECASE)
_RECEIVES = re.compile(
    r"(?:\s+(?:not|never|only|always|also|\w+ly))*\s+(?:receive|undergo|get|have)\b", re.IGNORECASE
)
# "But", "from which the applicant", "the nurse should check and": a piece of a sentence.
_NOBODY = re.compile(
    r"(?:and|but|or|nor|although|though|because|whereas|which|whom|whose|that|if|when|from|to|with"
    r"|in|on|at|by|of)(?=\s|$)|.{0,200}\b(?:must|shall|should)\b",
    re.IGNORECASE,
)
_BODY = re.compile(r"\b(?:team|department|firm|provider|institution)s?$", re.IGNORECASE)
_ADDRESSED_WORDS = "visitor guest tenant resident student passenger"
_ADDRESSED = GENERIC | set(map(stem, words(_ADDRESSED_WORDS)))
_RELATIVE = re.compile(r"\s(?:who|whom|whose|which|that)\b", re.IGNORECASE)


def actor(item: Item, source: Source, context: Context) -> Iterator[Flag]:
    all_named = list(_named_by_source(item, source)) or list(_named_beside_you(item, source))
    same = next((n for n in all_named if _is_same_actor(item, n, context)), "")
    named = same or "".join(all_named[:1])
    if item.language == "en" and _NOBODY.match(item.actor):
        yield Flag("actor", named, item.actor)
        return
    stems = item.actor_stems
    own = [stem for stem in stems if stem not in GENERIC]
    if named:
        is_known = all(source.vocabulary.holds(s) or context.vocabulary.says(s) for s in own)
        if not (is_known and (same or _is_led(item, named))):
            yield Flag("actor", named, item.actor)
    elif not (_are_said(own, source, context) and _are_roles(item, source, context)):
        yield Flag("actor", "", item.actor)
    # Not in other languages: "tester" is a French verb.
    said = roles_among(item.parsed.words) if item.language == "en" else []
    for role in dict.fromkeys(said):
        if not _is_known(stem(role), item, source, context):
            yield Flag("actor", named, role)
    yield from _own_subject(item, source)


def _is_known(role: str, item: Item, source: Source, context: Context) -> bool:
    known = source.vocabulary.holds(role) or context.roles.holds(role) or role in GENERIC
    return known or Vocabulary(item.actor_stems).holds(role)


def _are_said(stems: Iterable[str], source: Source, context: Context) -> bool:
    return all(source.vocabulary.says(s) or context.vocabulary.says(s) for s in stems)


def _are_roles(item: Item, source: Source, context: Context) -> bool:
    """ "Waiters" are no role of a text that says "wait"."""
    return all(
        source.roles.holds(role) or context.roles.holds(role) or role in GENERIC
        for role in item.actor_roles
    )


def _own_subject(item: Item, source: Source) -> Iterator[Flag]:
    """ "Doctors must wash" under a sentence about nurses, whatever the field `actor` says."""
    for clause in item.parsed.clauses:
        best = source.best_for(clause)
        if best and clause.own_roles and best.subject_roles:
            theirs = Vocabulary(content(best.subject))
            if not (theirs.holds(stem(clause.own_roles[-1])) or _tells(clause)):
                yield Flag("actor", best.subject, clause.own_subject)


def _tells(clause: Clause) -> bool:
    """ "Tell visitors that they must sign in": whom one tells does not do the telling."""
    before = clause.text[: clause.modal.start()] if clause.modal else ""
    verb = leading_verb(before) if _RELATIVE.search(before) else None
    return verb is not None and verb.start == 0 and is_imperative(before, verb)


def _is_led(item: Item, named: str) -> bool:
    """ "Do not let workers under 18 take part": who acts in the source is named in the action."""
    said = item.parsed.vocabulary
    who = list(map(stem, roles(named))) or content(named)
    return bool(who) and all(map(said.says, who))


def _is_same_actor(item: Item, named: str, context: Context) -> bool:
    said = words(item.actor)
    if not said:
        return True
    if said == ["you"]:
        return _may_be_read_by(named, context)
    who = item.actor_roles or content(_RELATIVE.split(item.actor, maxsplit=1)[0])
    return share(who, Vocabulary(content(named))) >= 0.5


def _may_be_read_by(named: str, context: Context) -> bool:
    """Is "you" one of them? Staff are, guests are, the audience is; "the pharmacist" or "the IT
    team" is somebody else to most who read.
    """
    who = list(map(stem, roles(named)))
    if who:
        return any(word in _ADDRESSED or context.readers.holds(word) for word in who)
    is_body = _BODY.search(named) is not None
    return not is_body or all(word in GENERIC for word in content(named))


def _named_by_source(item: Item, source: Source) -> Iterator[str]:
    """The subjects of the clauses taken up, or the agents of passives, where they name someone."""
    for clause in source.taken_up(item):
        found = _agent(clause)
        if roles(found) or any(stem in GENERIC for stem in content(found)):
            yield found


def _named_beside_you(item: Item, source: Source) -> Iterator[str]:
    """ "Are to be inspected by the facilities team": looked for where an item says "you" only,
    since what is joined to it ("and replaced") may be anybody's.
    """
    if words(item.actor) == ["you"]:
        for clause in source.taken_up(item):
            start = clause.text.find(" to be ")
            if start > 0 and (found := _by(clause, start)):
                yield found


def _agent(clause: Clause) -> str:
    modal = clause.modal
    if modal is None:
        return clause.subject
    if _RECEIVES.match(clause.text, modal.end()):
        return ""
    if _PASSIVE.match(clause.text, modal.end()):
        return _by(clause, modal.end())
    return clause.subject


def _by(clause: Clause, start: int) -> str:
    """The agent of its passive, which begins there; not "by sending it"."""
    agent = _BY.search(clause.text, start)
    return agent[1].strip() if agent and not agent[1].split()[0].endswith("ing") else ""
