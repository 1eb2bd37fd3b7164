"""What of a cited sentence did not survive in the item made from it? Decided without a model.

A guideline's sentence is often two requirements, and an item takes up one. So each clause of the
item is held against the clause of the source it resembles most; only numbers, units and names of
roles are compared with all that is cited, since nothing may bring in a new one.

evidence.py    what is compared; built on clauses.py, quantities.py and words.py
topics.py      citation, invented
numbers.py     number, unit, comparison
negations.py   negation
strength.py    modal
conditions.py  condition
actors.py      actor
"""

from collections.abc import Sequence
from typing import get_args

from llm.meaning.actors import actor as actor_flags
from llm.meaning.clauses import Parsed
from llm.meaning.conditions import conditions
from llm.meaning.evidence import NO_CONTEXT, Cited, Context, Flag, FlagKind, Item, Source
from llm.meaning.negations import negation
from llm.meaning.numbers import numbers
from llm.meaning.quantities import count_numbers
from llm.meaning.strength import strength
from llm.meaning.topics import about_something_else, invented

FLAG_KINDS: tuple[FlagKind, ...] = get_args(FlagKind)
# What is longer or holds more is not compared, but flagged: reading it would cost too much.
MAX_ITEM_LENGTH = 2_000  # characters of an item, 350 words; a longer one is no thing to do
MAX_ITEM = 60  # clauses, conditions and numbers of one item
MAX_CITED_LENGTH = 10_000  # characters of all that one item cites
MAX_CITED = 250  # clauses and numbers of all that one item cites


def check(
    action: str,
    actor: str,
    level: str,
    condition: str,
    cited: Sequence[Cited],
    context: Context = NO_CONTEXT,
) -> list[Flag]:
    """All that did not survive, worst first; [] for a faithful item, or where nothing is cited."""
    if not cited:
        return []
    if _is_too_much([action, condition, actor], MAX_ITEM_LENGTH, MAX_ITEM):
        return [Flag("invented", "", action)]
    whole = list(dict.fromkeys(cited))
    if _is_too_much([f"{c.stem} {c.text}" for c in whole], MAX_CITED_LENGTH, MAX_CITED):
        return [Flag("citation", whole[0].text, action)]
    source = Source(whole)
    item = Item(action, actor, level, condition, source.language)
    if _parts(item.parsed) > MAX_ITEM:
        return [Flag("invented", "", action)]
    if sum(len(c.parsed.clauses) + len(c.parsed.quantities) for c in source.cited) > MAX_CITED:
        return [Flag("citation", source.text, action)]
    found = [
        *about_something_else(item, source),
        *numbers(item, source),
        *negation(item, source),
        *strength(item, source),
        *conditions(item, source),
        *actor_flags(item, source, context),
        *invented(item, source),
    ]
    return list(dict.fromkeys(found))


def _is_too_much(texts: Sequence[str], most_characters: int, most_numbers: int) -> bool:
    """Told before anything is read closely; a number takes a character at least."""
    characters = sum(map(len, texts))
    if not most_numbers < characters <= most_characters:
        return characters > most_characters
    return sum(count_numbers(text, most_numbers + 1) for text in texts) > most_numbers


def _parts(parsed: Parsed) -> int:
    conditions = {id(part) for clause in parsed.clauses for part in clause.conditions}
    return len(parsed.clauses) + len(conditions) + len(parsed.quantities)
