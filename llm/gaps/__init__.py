"""Conflicts and gaps of a guideline itself, found by rules: no model is asked.

contradiction   a sentence forbids what another asks for or allows
numbers         the same act with two different numbers
reference       to a section, appendix, table or figure that is not there
vague           a duty hangs on "regularly", "in good time", "sufficient", and no number is given
actor           a duty in the passive, and nothing says whose it is

A report full of noise is not read: where a rule cannot tell, it says nothing.
"""

from collections.abc import Sequence

from llm.gaps.actors import find_missing_actors
from llm.gaps.conflicts import find_contradictions, find_number_conflicts
from llm.gaps.duties import find_duties
from llm.gaps.findings import KINDS, Finding, Place, as_report
from llm.gaps.references import find_dangling
from llm.gaps.thresholds import find_vague
from llm.passages import Passage, split_passages
from llm.statements import Statement, find_statements

__all__ = ["KINDS", "Finding", "Place", "as_report", "find_gaps"]


def find_gaps(
    source: str,
    passages: Sequence[Passage] | None = None,
    statements: Sequence[Statement] | None = None,
    *,
    audience: str = "",
) -> list[Finding]:
    """All findings, kind by kind. Pure: the same in, the same out.

    passages, statements   of the source, where they are known already
    audience               whom the guideline is for, if its summary says so: then duties without
                           an actor are theirs
    """
    passages = split_passages(source) if passages is None else passages
    statements = find_statements(passages) if statements is None else statements
    duties = find_duties(statements, passages)
    return [
        *find_contradictions(source, duties),
        *find_number_conflicts(source, duties),
        *find_dangling(source, passages),
        *find_vague(source, statements, passages),
        *find_missing_actors(source, statements, passages, audience),
    ]
