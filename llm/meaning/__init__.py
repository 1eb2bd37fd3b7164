"""The meaning guard: numbers, units, negations, strength and conditions survive, or are flagged."""

from llm.meaning.evidence import Cited, Context, Flag
from llm.meaning.guard import FLAG_KINDS, check
from llm.meaning.translated import check_translated, is_translated

__all__ = ["FLAG_KINDS", "Cited", "Context", "Flag", "check", "check_translated", "is_translated"]
