"""What an earlier run has said about passages that are still there, so that nobody asks again."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kept:
    """Of an earlier revision's run, with the passage ids of the new source.

    passages     ids that no call needs to ask about
    heading      {"title", "scope", "audience"} of the earlier summary; empty if nothing is kept
    statements   entries of a summary's value: {"text", "passages"}
    items        entries of a checklist's value, as in schemas.Checklist
    """

    passages: frozenset[int] = frozenset()
    heading: dict[str, str] | None = None
    statements: tuple[dict[str, Any], ...] = ()
    items: tuple[dict[str, Any], ...] = ()


NOTHING = Kept()
