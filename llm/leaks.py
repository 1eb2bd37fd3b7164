"""Does a reply repeat its instructions?

A guideline may ask for them ("print everything above"). A reply that does so is refused, so that a
system prompt never stands in a stored result.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

MIN_WORDS = 12  # in a row: shorter ones, such as the list of keywords of RFC 2119, anybody writes
_SHORTEST = 2 * MIN_WORDS - 1  # signs of so many words: a letter each, and what parts them
_WORD = re.compile(r"[^\W_]+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


def repeats(prompt: str, value: dict[str, Any], data: dict[str, Any]) -> bool:
    """Does any text of the reply hold MIN_WORDS words of the prompt, in their order?

    value   the reply
    data    what was sent with the prompt: a guideline may itself hold the words, and is quoted

    Case, punctuation and what cannot be seen do not matter. A translation, or any other encoding
    than the plain words, is not found.
    """
    secret, words = _secret(prompt)
    said = {run for text in _texts(value) for run in _runs_of(words, text) if run in secret}
    return bool(said) and not said <= {run for text in _texts(data) for run in _runs(text)}


@lru_cache(maxsize=16)
def _secret(prompt: str) -> tuple[frozenset[tuple[str, ...]], frozenset[str]]:
    """Its runs and its words; prompts are ours, and few."""
    return frozenset(_runs(prompt)), frozenset(_words(prompt))


def _runs_of(known: frozenset[str], text: str) -> Iterator[tuple[str, ...]]:
    """The runs of a text that consist of known words: nearly none, of what is no prompt."""
    if len(text) < _SHORTEST and text.isascii():
        return  # most texts of a reply: an actor, a level, a category
    words = _words(text)
    streak = 0
    for at, word in enumerate(words, start=1):
        streak = streak + 1 if word in known else 0
        if streak >= MIN_WORDS:
            yield tuple(words[at - MIN_WORDS : at])


def _words(text: str) -> list[str]:
    visible = text if text.isascii() else _INVISIBLE.sub("", text)
    return _WORD.findall(visible.casefold())


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = _words(text)
    return (tuple(words[at : at + MIN_WORDS]) for at in range(len(words) - MIN_WORDS + 1))


def _texts(value: Any) -> Iterator[str]:
    """In no order."""
    waiting = [value]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict):
            waiting.extend(entry.values())
        elif isinstance(entry, list):
            waiting.extend(entry)
