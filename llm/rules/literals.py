"""Words without which a pattern cannot match: looked for first, at a fraction of its cost.

A language has some fifty patterns for its modal verbs, and a sentence holds one of them.
"""

from collections.abc import Iterable
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

# The parser of `re` is not public. Where it says something unknown to us, nothing is concluded.
NOTHING: frozenset[str] = frozenset()


def needed(pattern: str) -> frozenset[str]:
    """Texts of which each match holds at least one; none where that is not known.

    Of several such sets the one whose shortest text is longest: it is seldom there by chance. The
    last of those, since what begins with a modal verb is rare for what follows. In lower case,
    since a pattern may ignore it.
    """
    return _of_sequence(parser.parse(pattern))


def _of_sequence(parsed: Iterable[tuple[Any, Any]]) -> frozenset[str]:
    found, run = NOTHING, ""
    for code, argument in [*parsed, (None, None)]:
        if code is codes.LITERAL:
            run += chr(argument)
            continue
        found = max(_of_one(code, argument), frozenset({run.lower()} - {""}), found, key=_worth)
        run = ""
    return found


def _of_one(code: object, argument: Any) -> frozenset[str]:
    if code is codes.SUBPATTERN:
        return _of_sequence(argument[-1])
    if code is codes.MAX_REPEAT and argument[0] > 0:
        return _of_sequence(argument[-1])
    if code is codes.BRANCH:
        branches = [_of_sequence(branch) for branch in argument[1]]
        return NOTHING.union(*branches) if all(branches) else NOTHING
    return NOTHING


def _worth(texts: frozenset[str]) -> int:
    return min(map(len, texts), default=0)
