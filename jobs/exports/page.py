"""One page to read, to print and to tick off by hand. It asks for nothing and runs nothing."""

import base64
import hashlib
from pathlib import Path

from django.conf import settings
from django.template.loader import render_to_string

from jobs.exports.checklist import Checklist

_STYLE = (Path(settings.BASE_DIR) / "templates" / "exports" / "page.css").read_text("utf-8")
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# Also in the page itself: it is saved, mailed, and opened where no server sends headers.
_IN_PAGE = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'"
POLICY = f"{_IN_PAGE}; frame-ancestors 'none'; sandbox"


def write(checklist: Checklist) -> bytes:
    context = {"checklist": checklist, "style": _STYLE, "policy": _IN_PAGE}
    return render_to_string("exports/page.html", context).encode()
