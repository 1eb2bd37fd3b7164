"""A quick look before a slow pattern hides nothing: whatever the pattern finds, the look has seen.

The texts are made from the patterns themselves, so that a word added to one of them, and not to
its quick look, is found here.
"""

import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from llm import leaks, sentences, statements
from llm.casing import caseless
from llm.folding import fold, folded_text
from llm.meaning import clauses, glossaries, quantities
from llm.passages import split_passages
from llm.reading import Reading
from llm.rules import LANGUAGES, for_language
from llm.rules.literals import needed

some = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
LOOKS = {
    "marker": (clauses._MARKER, clauses._MAY_MARK),
    "negator": (clauses._NEGATOR, clauses._MAY_NEGATE),
    "no longer": (clauses._NO_LONGER, clauses._MAY_NEGATE),
    "modal": (clauses.MODAL, clauses._MAY_ASK),
    "asks": (clauses._ASKS, clauses._MAY_ASK),
    "ordinal": (quantities._ORDINAL, quantities._MAY_ORDER),
    **{f"before {n}": (p, quantities._MAY_COMPARE) for n, (_, p) in enumerate(quantities._BEFORE)},
}
CASED = {
    "capitals": (statements._CAPITALS, statements._MAY_BE_CAPITAL),
    "word ends": (sentences._WORD_ENDS, sentences._ENDS),
}
FRAMES = [
    frame
    for language in LANGUAGES
    for frames in for_language(language).levels.values()
    for frame in frames
]
TEXTS = [
    (pattern, words)
    for language in LANGUAGES
    for name, pattern in for_language(language).text.items()
    if (words := for_language(language)._needed[name])
]


@pytest.mark.parametrize("name", LOOKS)
@some
@given(data=st.data())
def test_a_look_at_the_text_without_case_sees_what_the_pattern_finds(name, data):
    pattern, look = LOOKS[name]
    text = data.draw(st.from_regex(pattern))
    assume(pattern.search(text))

    assert look.search(caseless(text))


@pytest.mark.parametrize("name", CASED)
@some
@given(data=st.data())
def test_a_look_at_the_text_sees_what_the_pattern_finds(name, data):
    pattern, look = CASED[name]

    assert look.search(data.draw(st.from_regex(pattern)))


@some
@given(st.sampled_from(FRAMES).flatmap(lambda f: st.tuples(st.just(f), st.from_regex(f.first))))
def test_a_modal_verb_is_there_with_a_word_that_it_needs(found):
    frame, text = found

    assert not frame.needed or any(word in text for word in frame.needed)


@some
@given(st.sampled_from(TEXTS).flatmap(lambda t: st.tuples(st.just(t[1]), st.from_regex(t[0]))))
def test_a_kind_of_text_is_there_with_a_word_that_it_needs(found):
    words, text = found

    assert any(word in caseless(text) for word in words)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"\b(?:is|are)\s+(?:strongly\s+)?discouraged\b", {"discouraged"}),
        (r"\b(?:must|shall)\b", {"must", "shall"}),
        (r"a\w+|must", {"a", "must"}),
        (r"\w+|must", set()),
        (r"(?:must)?", set()),
        (r"(?:Must)+", {"must"}),
        (r"may(?! not)", {"may"}),
    ],
)
def test_what_a_pattern_needs(pattern, words):
    assert needed(pattern) == words


@some
@given(st.one_of(st.from_regex(quantities._NUMBER), st.from_regex(quantities._RATE)))
def test_a_number_or_a_rate_is_announced_by_a_figure_or_a_word(text):
    low = caseless(text)
    words = set(quantities._TOKEN.findall(low))

    if quantities._NUMBER.search(low):
        assert re.search(r"\d", text) or words & quantities._NUMBER_TOKENS
    if quantities._RATE.search(text):
        assert quantities._may_rate(text, words)


ANYTHING = st.text(alphabet=st.sampled_from("aK-Kſİıß éﬁ“’½\u0301\u00ad\u200b職員*`_<b>&;\n\t1 "))


@some
@given(ANYTHING)
def test_a_text_without_case_keeps_every_sign_in_its_place(text):
    low = caseless(text)

    assert len(low) == len(text)
    for letter in "aisk":
        found = [m.start() for m in re.finditer(letter, text, re.IGNORECASE)]
        assert [m.start() for m in re.finditer(letter, low)] == found


@some
@given(ANYTHING)
def test_the_text_of_a_fold_is_the_same_with_and_without_its_offsets(text):
    folded = fold(text)

    assert folded_text(text) == folded.text
    assert len(folded.text) == len(folded.starts) == len(folded.ends)


PROMPT = "You will read the guideline aloud and then stop, and then read it again, and stop."


@some
@given(st.integers(0, 17), st.integers(0, 17), st.sampled_from(["", "then", "tea"]))
def test_only_a_run_of_its_words_in_their_order_repeats_a_prompt(start, end, between):
    words = PROMPT.split()
    text = " ".join([*words[start:end], between, *words[end:]])

    runs = set(leaks._runs(text)) & set(leaks._runs(PROMPT))
    assert leaks.repeats(PROMPT, {"text": text}, {}) == bool(runs)


@some
@given(st.sampled_from(LANGUAGES).flatmap(lambda lg: st.tuples(st.just(lg), _a_phrase(lg))))
def test_a_phrase_of_a_glossary_is_seen_by_its_look(found):
    language, text = found
    pattern, look, _ = glossaries._glossary(language)
    assume(pattern.search(text))

    assert look.search(caseless(text))


def _a_phrase(language):
    """One of the phrases, in whatever case and with whatever around it."""
    phrases = sorted(glossaries._glossary(language)[2])
    cases = [str, str.upper, str.title, lambda text: text.replace("s", "ſ").replace("i", "İ")]
    around = st.sampled_from(["", " ", "x", "-"])
    return st.builds(
        lambda before, phrase, case, after: before + case(phrase) + after,
        around,
        st.sampled_from(phrases),
        st.sampled_from(cases),
        around,
    )


def test_a_reading_finds_what_the_steps_found_by_themselves():
    source = "# Ward\n\nNurses must:\n\n- wash hands\n- not run\n\nVisitors should leave by noon.\n"
    reading = Reading(source)

    assert Reading.of(reading) is reading
    assert reading.passages == split_passages(source)
    assert reading.statements == statements.find_statements(reading.passages)
    assert reading.statements is reading.statements
