"""The meaning guard: numbers, units, negations, strength and conditions survive, or are flagged."""

from llm.meaning.guard import FLAG_KINDS, Cited, Context, Flag, check

__all__ = ["FLAG_KINDS", "Cited", "Context", "Flag", "check"]
