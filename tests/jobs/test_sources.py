"""A guideline in pieces that know who cites them."""

import time

from jobs.sources import MOST, Span, cut


def test_pieces_are_all_of_the_text_and_know_who_covers_them():
    pieces = cut("abcdefgh", [Span(1, 5, "i2-1"), Span(3, 8, "i1-1"), Span(3, 5, "g1")])

    assert [(piece.text, piece.by, piece.anchors) for piece in pieces] == [
        ("a", [], []),
        ("bc", ["i2-1"], ["i2-1"]),
        ("de", ["g1", "i1-1", "i2-1"], ["g1", "i1-1"]),
        ("fgh", ["i1-1"], []),
    ]


def test_thousands_that_overlap_are_no_work_of_seconds():
    spans = [Span(n, 12_000 - n, f"i{n}-1") for n in range(6_000)]

    started = time.process_time()
    pieces = cut("x" * 12_000, spans)

    assert time.process_time() - started < 2
    assert "".join(piece.text for piece in pieces) == "x" * 12_000
    assert max(len(piece.by) for piece in pieces) == MOST
