"""A source read once for all steps of a job: what is found in it by rule, when first asked for."""

from llm.lazily import kept
from llm.passages import Passage, split_passages
from llm.rules import Language
from llm.statements import (
    Convention,
    Statement,
    find_convention,
    find_language,
    find_statements,
)


class Reading:
    """Held by whoever works on the job, and gone with it: nothing of a text outlives its job."""

    def __init__(self, source: str) -> None:
        self.source = source

    @classmethod
    def of(cls, source: "str | Reading") -> "Reading":
        return source if isinstance(source, Reading) else cls(source)

    @kept
    def passages(self) -> list[Passage]:
        return split_passages(self.source)

    @kept
    def convention(self) -> Convention:
        return find_convention(self.passages)

    @kept
    def language(self) -> Language:
        return find_language(self.passages)

    @kept
    def statements(self) -> list[Statement]:
        return find_statements(self.passages, self.convention, self.language)
