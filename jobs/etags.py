"""Conditional requests (RFC 9110 section 13.1.2)."""

from django.utils.http import parse_etags


def names(if_none_match: str, tag: str) -> bool:
    """Whether the asker has what the tag names, compared weakly, by the header If-None-Match."""
    known = parse_etags(if_none_match)
    return "*" in known or tag in (each.removeprefix("W/") for each in known)
