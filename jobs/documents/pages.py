"""The page on which a citation stands, for people who have the document before them."""

from bisect import bisect_right
from typing import Any


def with_pages(result: dict[str, Any], page_starts: list[int] | None) -> dict[str, Any]:
    """The result with a `page`, from 1, in each citation that was found.

    page_starts  of the document, see `formats.Reading`; without any the result stays as it is
    """
    if not page_starts:
        return result
    return result | {
        name: [_item_with_pages(item, page_starts) for item in result[name]]
        for name in ("checklist", "dropped")
    }


def _item_with_pages(item: dict[str, Any], page_starts: list[int]) -> dict[str, Any]:
    return item | {
        "citations": [
            citation | {"page": page_of(citation["start"], page_starts)}
            if citation["start"] is not None
            else citation
            for citation in item["citations"]
        ]
    }


def page_of(offset: int, page_starts: list[int]) -> int:
    """An empty page begins where the next does: the later one is meant."""
    return bisect_right(page_starts, offset)
