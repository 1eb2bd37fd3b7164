"""Texts without case, sign by sign: what IGNORECASE sees, made once for many patterns.

A pattern with IGNORECASE cannot jump to where it may begin, and compares each sign anew; without,
it takes a third of the time. Offsets in the text and in its copy are the same.
"""

_ODD = str.maketrans({"İ": "i", "ı": "i", "ſ": "s"})  # the same letter to IGNORECASE


def caseless(text: str) -> str:
    """Patterns in lower-case ASCII find in it what they find in `text` with IGNORECASE."""
    return text.lower() if text.isascii() else text.translate(_ODD).lower()
