"""Conditional requests (RFC 9110 section 13.1.2)."""

from django.utils.http import parse_etags
from rest_framework.request import Request


def has_tag(request: Request, tag: str) -> bool:
    """Whether the asker has what the tag names, compared weakly."""
    return names(request.headers.get("If-None-Match", ""), tag)


def names(if_none_match: str, tag: str) -> bool:
    """The same, by the header's value."""
    known = parse_etags(if_none_match)
    return "*" in known or tag in (each.removeprefix("W/") for each in known)
