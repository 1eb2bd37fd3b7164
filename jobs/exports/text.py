"""What text of documents and of models may hold when it leaves in a file."""

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Control characters, halves of surrogate pairs and noncharacters: XML cannot hold most of them
# (XML 1.0 section 2.2), a terminal obeys some, and nobody can read any.
_UNFIT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_EMBEDDINGS, _END_OF_EMBEDDING = "\u202a\u202b\u202d\u202e", "\u202c"
_ISOLATES, _END_OF_ISOLATE = "\u2066\u2067\u2068", "\u2069"
_DIRECTIONS = re.compile(
    f"[{_EMBEDDINGS}{_END_OF_EMBEDDING}{_ISOLATES}{_END_OF_ISOLATE}]",
)


def fit(text: str) -> str:
    """The text as any file can hold it; what cannot be held is seen to have been there.

    Overrides of the writing direction end with the text: they turn round nothing of ours.
    """
    return _balanced(_UNFIT.sub(REPLACEMENT, text))


def one_line(text: str) -> str:
    return " ".join(text.split())


def _balanced(text: str) -> str:
    """Each embedding and isolate has its end, each end its beginning (UAX #9, BD9 and BD16)."""
    if not _DIRECTIONS.search(text):
        return text
    kept, ends, open_isolates, at = [], [], 0, 0
    for found in _DIRECTIONS.finditer(text):
        kept.append(text[at : found.start()])
        at, sign = found.end(), found[0]
        if sign in _EMBEDDINGS:
            ends.append(_END_OF_EMBEDDING)
        elif sign in _ISOLATES:
            ends.append(_END_OF_ISOLATE)
            open_isolates += 1
        elif sign == _END_OF_ISOLATE and open_isolates:
            while ends.pop() != _END_OF_ISOLATE:  # an isolate's end closes what it holds
                pass
            open_isolates -= 1
        elif sign == _END_OF_EMBEDDING and ends and ends[-1] == sign:
            ends.pop()
        else:
            continue
        kept.append(sign)
    return "".join([*kept, text[at:], *reversed(ends)])
