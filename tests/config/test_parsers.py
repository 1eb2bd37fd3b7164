import pytest
from rest_framework.exceptions import ParseError

from config.parsers import MAX_DEPTH, loads


def test_plain_json_is_read_as_it_stands():
    assert loads('{"a": [1, "ü\\n", null]}'.encode()) == {"a": [1, "ü\n", None]}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "Expecting value at line 1 column 1"),
        (b'{"a": 1,}', "not JSON"),
        ('{"a": "ü"}'.encode("latin-1"), "not UTF-8: bad byte at offset 7"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "deeper than"),
        (b"[" * 100_000 + b"]" * 100_000, "deeper than"),
    ],
)
def test_what_could_be_misread_is_refused_with_a_reason(body, complaint):
    with pytest.raises(ParseError, match=complaint):
        loads(body)


def test_an_escaped_backslash_before_u0000_is_ordinary_text():
    assert loads(b'{"a": "\\\\u0000"}') == {"a": "\\u0000"}


def test_the_deepest_allowed_nesting_passes():
    value = loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)

    assert value == [] or isinstance(value[0], list)
