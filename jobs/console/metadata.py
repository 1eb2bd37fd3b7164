"""Metadata as it is typed: a key=value, such as ward=7b, on each line."""

from django.forms import ValidationError


def pair_of(line: str) -> tuple[str, str]:
    """The key and the value that a line says; the value may have further signs. Raises
    ValidationError."""
    key, sign, value = (part.strip() for part in line.partition("="))
    if not (key and sign):
        raise ValidationError(f"“{line[:40]}” is no pair: say a key and its value, as in ward=7b.")
    return key, value


def pairs_of(text: str) -> dict[str, str]:
    """Of all lines; empty ones say nothing. Raises ValidationError."""
    pairs: dict[str, str] = {}
    for line in filter(str.strip, text.splitlines()):
        key, value = pair_of(line)
        if key in pairs:
            raise ValidationError(f"“{key[:40]}” stands twice, and has one value: leave one line.")
        pairs[key] = value
    return pairs


def lines_of(metadata: dict[str, str]) -> str:
    """As it would be typed; without what a line cannot say."""
    return "\n".join(f"{key}={value}" for key, value in metadata.items() if _can_say(key, value))


def _can_say(key: str, value: str) -> bool:
    try:
        return pairs_of(f"{key}={value}") == {key: value}
    except ValidationError:
        return False
