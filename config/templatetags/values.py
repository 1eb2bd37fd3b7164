"""What pages say about times, spans and amounts, the same everywhere."""

from datetime import datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

UNITS = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)]


@register.filter
def moment(at: datetime | str | None) -> SafeString | str:
    """A time, in the reader's own zone once frame.js has seen it; UTC on hover, and without it."""
    if not isinstance(at, datetime):  # a template's word for what is not there is ""
        return "–"
    at = at.astimezone(timezone.get_fixed_timezone(0))
    return format_html(
        '<time datetime="{}" title="{} UTC">{} UTC</time>',
        at.isoformat(timespec="milliseconds"),
        at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        at.strftime("%Y-%m-%d %H:%M:%S"),
    )


@register.filter
def ago(at: datetime | str | None) -> SafeString | str:
    """How long ago it was, with the time itself on hover."""
    if not isinstance(at, datetime):  # a template's word for what is not there is ""
        return "–"
    return format_html(
        '<time datetime="{}" title="{} UTC" data-keep>{} ago</time>',
        at.isoformat(timespec="milliseconds"),
        at.strftime("%Y-%m-%d %H:%M:%S"),
        span(timezone.now() - at),
    )


@register.filter
def span(length: timedelta | float | None) -> str:
    """A length of time, or its seconds, in two units at most: "3 min 20 s", "0.42 s"."""
    if length is None:
        return "–"
    seconds = length.total_seconds() if isinstance(length, timedelta) else float(length)
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    if seconds < 10:
        return f"{sign}{seconds:.2f} s" if seconds < 1 else f"{sign}{seconds:.1f} s"
    said: list[str] = []
    left = int(seconds)
    for name, size in UNITS:
        count, left = divmod(left, size)
        if count or said:
            said.append(f"{count} {name}" if count else "")
        if len(said) == 2:
            break
    return sign + " ".join(filter(None, said))


@register.filter
def dollars(micros: int | None) -> str:
    """Millionths of a dollar as dollars: enough digits to see that it was not nothing."""
    if micros is None:
        return "–"
    digits = 4 if 0 < micros < 1_000_000 else 2
    return f"${micros / 1_000_000:,.{digits}f}"


@register.filter
def grouped(number: int | None) -> str:
    """A whole number by thousands: 1,000,000."""
    return "–" if number is None else f"{number:,}"


@register.filter
def measured(number: int, unit: str) -> str:
    """A number with what it counts: "81,234 tokens", or "$1.20" where that is micro_usd."""
    return dollars(number) if unit == "micro_usd" else f"{grouped(number)} {unit}"


@register.filter
def plain(value: Any) -> str:
    """A value of a record in words, not as a programmer writes it."""
    match value:
        case None | "":
            return "none"
        case bool():
            return "yes" if value else "no"
        case int():
            return grouped(value)
        case list():
            return ", ".join(plain(each) for each in value) or "none"
        case dict():
            return ", ".join(f"{key}: {plain(each)}" for key, each in value.items()) or "none"
    return str(value)


@register.filter
def pairs(record: dict[str, Any]) -> list[tuple[str, Any]]:
    """Of a record whose keys are others' words: `.items` would be the value of one of that name."""
    return list(record.items())


@register.inclusion_tag("badge.html")
def status(value: str) -> dict[str, str]:
    """A state as a badge: in words, and by colour as well."""
    return {"value": value, "kind": value.lower()}


@register.filter
def since(end: datetime, start: datetime) -> str:
    """How long from `start` to `end`."""
    return span(end - start)


@register.filter
def unlocalise(number: float) -> str:
    """A number as SVG wants it, whatever the language of the page."""
    return repr(number)


@register.simple_tag
def changed(before: dict[str, object] | None, key: str, value: object) -> bool:
    """Whether an entry of the audit log says that this was something else before."""
    return before is not None and key in before and before[key] != value
