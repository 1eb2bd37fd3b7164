"""Which language a checklist may be asked for in: BCP 47 tags, read strictly."""

import re
from typing import Any

from rest_framework import serializers

from config.serializers import TextField

MAX_TAG = 35  # characters, as RFC 5646 section 4.4.1 advises

# ISO 639-1, all of it. A model may know other languages; nobody could tell a typing error then.
_CODES = """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy
    da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu
    hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb
    lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om
    or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw
    ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
PRIMARY = frozenset(_CODES.split())
# Language, script, region, variants (RFC 5646 section 2.1); no extensions, no private use.
_TAG = re.compile(
    r"(?P<language>[a-z]{2})(?:-(?P<script>[a-z]{4}))?(?:-(?P<region>[a-z]{2}|\d{3}))?"
    r"(?P<variants>(?:-(?:[a-z0-9]{5,8}|\d[a-z0-9]{3}))*)",
    re.IGNORECASE | re.ASCII,
)
ACCEPTED = (
    "A BCP 47 tag: a language of ISO 639-1 such as `de`, then perhaps a script and a region, as in"
    " `pt-BR` or `zh-Hant`."
)


def canonical(tag: str) -> str:
    """The tag in the case that RFC 5646 recommends. Raises ValueError for one not accepted."""
    match = _TAG.fullmatch(tag)
    if match is None or match["language"].lower() not in PRIMARY:
        raise ValueError(ACCEPTED)
    parts = [match["language"].lower()]
    if match["script"]:
        parts.append(match["script"].title())
    if match["region"]:
        parts.append(match["region"].upper())
    return "-".join(parts) + match["variants"].lower()


class LanguageField(TextField):
    """A tag, in the case that RFC 5646 recommends; "" where blank is allowed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_TAG, **options)

    def to_internal_value(self, data: Any) -> str:
        tag = super().to_internal_value(data)
        try:
            return canonical(tag) if tag else ""
        except ValueError as error:
            raise serializers.ValidationError(str(error), code="unknown_language") from None
