"""Which language is it? Counted by stop words: deterministic, and no model to load.

A document has a language; a passage may differ from it (a German letter with English clauses) if
enough of its words say so.
"""

import re
from collections.abc import Iterable
from functools import cache
from itertools import chain, islice

from llm.rules import LANGUAGES, Language, for_language

MAX_WORDS = 4_000  # of a document: the answer does not change after that
MIN_HITS = 4  # stop words of another language, before a passage is taken out of its document's
MIN_LEAD = 2.0  # times as many as the document's language has in that passage

_WORD = re.compile(r"[^\W\d_]+")
_ASCII_WORD = re.compile(r"[a-z]+")


def detect(texts: Iterable[str], default: Language = "en") -> Language:
    """The language of a document; English where nothing says otherwise."""
    words_of = cache(_words)  # the headings of a section come with each of its passages
    words = chain.from_iterable(map(words_of, texts))
    hits = _hits(islice(words, MAX_WORDS))
    best = max(LANGUAGES, key=lambda language: hits[language])
    return best if hits[best] > hits[default] else default


def detect_passage(text: str, document: Language, at_least: int = MIN_HITS) -> Language:
    """The language of one passage, which is the document's unless it clearly is not."""
    hits = _hits(_words(text[:2_000]))
    best = max(LANGUAGES, key=lambda language: hits[language])
    clear = hits[best] >= at_least and hits[best] >= MIN_LEAD * max(hits[document], 1)
    return best if clear else document


def share_of_stop_words(text: str, language: Language) -> float:
    """Of the words of a short text, those that this language uses whatever it speaks of."""
    words = _words(text)
    return sum(word in for_language(language).stop_words for word in words) / max(len(words), 1)


def _words(text: str) -> list[str]:
    lowered = text.lower()
    return (_ASCII_WORD if lowered.isascii() else _WORD).findall(lowered)


def _hits(words: Iterable[str]) -> dict[Language, int]:
    hits: dict[Language, int] = dict.fromkeys(LANGUAGES, 0)
    for languages in filter(None, map(_spoken().get, words)):
        for language in languages:
            hits[language] += 1
    return hits


@cache
def _spoken() -> dict[str, list[Language]]:
    """The languages of each stop word."""
    found: dict[str, list[Language]] = {}
    for language in LANGUAGES:
        for word in for_language(language).stop_words:
            found.setdefault(word, []).append(language)
    return found
