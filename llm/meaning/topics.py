"""Is the item about what it cites, and does it add nothing?"""

from collections.abc import Iterable, Iterator

from llm.meaning.evidence import Cited, Flag, Item, Source
from llm.meaning.words import GENERIC, readable, share

# Shares of content words, tuned on two thirds of tests/grounding/pairs.txt.
MIN_SUPPORT = 0.4  # of a clause of the item, by what is cited; below it is invented
MIN_SUPPORT_ADDED = 0.51  # the same for the second clause of an item, and those after it
MIN_TOPIC = 0.3  # of a whole item, by any one sentence cited; below it is about something else
MAX_RUN = 3  # content words in a row that nothing cited holds


def about_something_else(item: Item, source: Source) -> Iterator[Flag]:
    """A citation must share the item's subject; the introduction of a cited list need not."""
    stems = item.parsed.stems
    if not stems:
        return
    shares = [share(stems, cited.vocabulary) for cited in source.cited]
    for cited, held in zip(source.cited, shares, strict=True):
        wanted = MIN_TOPIC if held == max(shares) else MIN_TOPIC / 2
        if held < wanted and not _introduces(cited, source):
            yield Flag("citation", cited.parsed.text, item.action)


def _introduces(cited: Cited, source: Source) -> bool:
    others = [c for c in source.cited if c is not cited]
    return any(readable(cited.text) in readable(c.stem) for c in others if c.stem)


def invented(item: Item, source: Source) -> Iterator[Flag]:
    for number, clause in enumerate(item.parsed.clauses):
        stems = [stem for stem in clause.stems if stem not in GENERIC]
        wanted = MIN_SUPPORT_ADDED if number else MIN_SUPPORT
        held = list(map(source.vocabulary.holds, stems))
        lacking = bool(held) and sum(held) / len(held) < wanted
        if lacking or _longest_run(held) >= MAX_RUN:
            yield Flag("invented", "", clause.text)


def _longest_run(held: Iterable[bool]) -> int:
    longest = run = 0
    for is_held in held:
        run = 0 if is_held else run + 1
        longest = max(longest, run)
    return longest
