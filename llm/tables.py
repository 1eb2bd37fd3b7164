"""Rules in tables: what a column's head, or a word in the column of levels, says about a cell.

"| Fridge is logged twice a day | Mandatory |" has no modal verb; the second cell is one.
"""

from collections.abc import Sequence

from llm.passages import Passage, plain_cells
from llm.rules import Level, Rules

_SEPARATOR = " | "


def is_history(passage: Passage, rules: Rules) -> bool:
    """A row of a change log: it reports what was changed, at least by date and by what."""
    history = rules.columns["history"]
    return sum(bool(history.match(head)) for head in _heads(passage)) >= 2


def is_level(text: str, rules: Rules) -> bool:
    """Is this only the name of a level, as in a column of them?"""
    word = text.strip(" .").lower()
    return any(pattern.match(word) for _, pattern in rules.cells)


def cell_level(passage: Passage, at: int, rules: Rules) -> Level | None:
    """The level that the table gives to the cell which holds the character at this offset.

    at   offset in the source
    """
    heads, cells = _heads(passage), plain_cells(passage.text)
    if len(heads) != len(cells):  # a head is empty, or a cell holds a border
        return None
    number = passage.text.count("|", 0, max(0, at - passage.start))
    if number >= len(cells):
        return None
    return _by_level_column(heads, cells, number, rules) or _by_own_head(heads[number], rules)


def _heads(passage: Passage) -> list[str]:
    heads = passage.stem.split(_SEPARATOR)
    return [heads[0].rpartition(": ")[2], *heads[1:]]  # the caption stands before the first


def _by_own_head(head: str, rules: Rules) -> Level | None:
    """ "Do" and "Don't" as heads."""
    if (never := rules.columns.get("must_not")) and never.match(head):
        return "must_not"
    always = rules.columns.get("must")
    return "must" if always and always.match(head) else None


def _by_level_column(
    heads: Sequence[str], cells: Sequence[str], number: int, rules: Rules
) -> Level | None:
    column = next((n for n, head in enumerate(heads) if rules.columns["level"].match(head)), None)
    if column is None or column == number or number != _rule_column(heads, cells, column, rules):
        return None
    word = cells[column].strip(" .").lower()
    return next((level for level, pattern in rules.cells if pattern.match(word)), None)


def _rule_column(heads: Sequence[str], cells: Sequence[str], column: int, rules: Rules) -> int:
    """The column whose head says so, else the one with the most to read."""
    for number, head in enumerate(heads):
        if number != column and rules.columns["rule"].match(head):
            return number
    return max((n for n in range(len(cells)) if n != column), key=lambda n: len(cells[n]))
