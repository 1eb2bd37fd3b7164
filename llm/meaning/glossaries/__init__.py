"""The small words that decide a meaning, put into English: "mindestens", "sauf", "no debe".

The guard knows numbers, units, comparisons, negations, modal verbs and conditions in English alone.
A text in another language is not translated: only these words are, and its articles are left out,
since they would make any two texts resemble each other. All other words stay as they are. English
has a file too, for turns of speech such as "without delay".

`<language>.toml` holds for each English word what is said for it, parts separated by "|".
"""

import re
import tomllib
from functools import cache
from importlib import resources

from llm.casing import caseless
from llm.rules import Language, for_language

_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3})+(?![.,]?\d)")
_DECIMAL = re.compile(r"(?<![\d.,])(\d{1,9}),(\d{1,2})(?![.,]?\d)")

_AT_THE_LATEST = re.compile(r"\bafter ((?:\S{1,20} ){1,3})at the latest\b", re.IGNORECASE)


def in_english(text: str, language: Language) -> str:
    if not text:
        return ""
    pattern, look, meanings = _glossary(language)
    if language != "en":
        text = _THOUSANDS.sub(lambda match: match.group().replace(".", ","), text)
        text = _DECIMAL.sub(r"\1.\2", text)
    if look.search(caseless(text)):
        text = pattern.sub(lambda match: meanings.get(match.group().lower(), ""), text)
    return _AT_THE_LATEST.sub(r"within \1", text) if "latest" in caseless(text) else text


@cache
def _glossary(language: Language) -> tuple[re.Pattern[str], re.Pattern[str], dict[str, str]]:
    """What finds its phrases, what quickly tells that there are none, what they mean."""
    data = tomllib.loads(
        resources.files(__name__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
    )
    meanings = {
        said.strip(): english for english, all_said in data.items() for said in all_said.split("|")
    }
    articles = for_language(language).stop_words if language != "en" else frozenset()
    silent = [word for word in articles if word not in meanings]
    phrases = sorted([*meanings, *silent], key=len, reverse=True)
    by_first: dict[str, list[str]] = {}  # so that a word is held against few of hundreds
    for phrase in phrases:
        rest = re.escape(phrase[1:]) + (r"(?!\w)" if phrase[-1].isalnum() else "")
        by_first.setdefault(re.escape(phrase[0]), []).append(rest)
    alternatives = "|".join(f"{first}(?:{'|'.join(rest)})" for first, rest in by_first.items())
    pattern = re.compile(rf"(?<!\w)(?:{alternatives})", re.IGNORECASE)
    return pattern, re.compile(alternatives.lower()), meanings
