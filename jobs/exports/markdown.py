"""Markdown for GitHub and CommonMark. Text of others stays text: no link, image, tag or heading."""

import re

from jobs.exports.checklist import Checklist, Citation, Item
from jobs.exports.text import one_line

# Links, images, emphasis, code, tags, entities, strike-through, table cells, formulas.
_INLINE = re.compile(r"[\\`*_\[\]<>&~|$]")
# A heading, a list or a rule begins only where its sign does.
_BLOCK = re.compile(r"^(?:([#+=-])|(\d{1,9})([.)]))")
# GitHub and others link these after the escapes are gone, so that something has to stand between:
# an address (https://, www.), a mail address, a name (@who), an issue (#1).
_LINKED = re.compile(r":(?=//)|(?<=\bwww)(?=\.)|@|#(?=\w)", re.IGNORECASE)
_BETWEEN = "\N{WORD JOINER}"


def write(checklist: Checklist) -> bytes:
    return ("\n".join(_lines(checklist)) + "\n").encode()


def escape(text: str) -> str:
    """The text as one line of Markdown that shows it, wherever it stands."""
    safe = _INLINE.sub(r"\\\g<0>", _LINKED.sub(rf"\g<0>{_BETWEEN}", one_line(text)))
    return _BLOCK.sub(lambda found: f"{found[2] or ''}\\{found[1] or found[3]}", safe)


def _lines(checklist: Checklist) -> list[str]:
    lines = [f"# {escape(checklist.title)}", ""]
    if checklist.scope:
        lines += [f"**Scope:** {escape(checklist.scope)}", ""]
    if checklist.audience:
        lines += [f"**For:** {escape(checklist.audience)}", ""]
    lines += [f"- {sentence}" for sentence in checklist.findings]
    for category, items in checklist.groups:
        lines += ["", f"## {escape(category)}", ""]
        lines += [line for item in items for line in _item(item)]
    lines += ["", "## Not covered by any item", ""]
    lines += [
        f"- {escape(gap.text)} ({gap.levels}; {escape(gap.place)})" for gap in checklist.gaps
    ] or ["Nothing that we found in the guideline."]
    lines += ["", "## How this was made", ""]
    return lines + [f"- {name}: {escape(value)}" for name, value in checklist.provenance]


def _item(item: Item) -> list[str]:
    lines = [f"- [ ] **{item.number}. {escape(item.action)}** ({item.duty}, {item.priority})"]
    if item.actor:
        lines.append(f"  - Who: {escape(item.actor)}")
    if item.condition:
        lines.append(f"  - Condition: {escape(item.condition)}")
    if not item.supported:
        lines.append("  - **Not supported:** not every quote is in the guideline.")
    lines += [f"  - **In doubt:** {escape(doubt)}" for doubt in item.doubts]
    return lines + [line for citation in item.citations for line in _citation(citation)]


def _citation(citation: Citation) -> list[str]:
    where = escape(", ".join(filter(None, [citation.place, citation.found])))
    return [f"  - Source: {where}", f"    > {escape(citation.quote)}"]
