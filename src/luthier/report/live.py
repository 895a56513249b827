"""The page in parts, each with a mark of what is in it, so that a page that is followed fetches what has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luthier.report._document import asset_text, contents_links, linked, page_data
from luthier.report._header import header
from luthier.report._html import element, embed, escape
from luthier.report._section import Section as Section
from luthier.report._sections import in_order, quick_sections, slow_sections
from luthier.report._source import StudyView, snapshot
from luthier.report.page import nothing_yet
from luthier.report.text import summary

#: Files of the report that a server has to offer, with their types.
ASSETS = {
    "report.css": "text/css; charset=utf-8",
    "report.js": "text/javascript; charset=utf-8",
    "plotly.min.js": "text/javascript; charset=utf-8",
    "plotly.LICENSES.txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class Part:
    """A part of a page.

    Args:
        id: Its anchor; "head" for the top, "contents" for the links.
        html: Markup.
        content: What the script needs: `figures` and `data`.
        mark: Digest of all that.
    """

    id: str
    html: str
    content: dict[str, Any]
    mark: str

    def as_dict(self) -> dict[str, Any]:
        """The part as JSON-able values."""
        return {"id": self.id, "html": self.html, "mark": self.mark, **self.content}


def quick(study: StudyView) -> tuple[str, list[Section]]:
    """Head of the page and the sections that are drawn from the log alone."""
    shot = snapshot(study, quick=True)
    return header(summary(shot)), quick_sections(shot)


def slow(study: StudyView) -> list[Section]:
    """Sections for which a model is fitted."""
    return slow_sections(snapshot(study))


def parts(top: str, found: Sequence[Section]) -> list[Part]:
    """A page in parts, in its order: head, contents, sections.

    Args:
        top: Markup of the head.
        found: The sections; those of `quick` and `slow` together.
    """
    listed = in_order(found)
    made = [_part("head", top, [])]
    made.append(_part("contents", contents_links(listed), []))
    return made + [_part(section.id, section.markup(), [section]) for section in listed]


def _part(name: str, html: str, own: Sequence[Section]) -> Part:
    content = page_data(own)
    digest = hashlib.blake2b(digest_size=8)
    digest.update(html.encode("utf-8", "backslashreplace"))
    digest.update(embed(content).encode())
    return Part(name, html, content, digest.hexdigest())


def page(title: str, found: Sequence[Part], *, assets: str, scripts: Sequence[str], above: str, marks: str) -> str:
    """A page of parts, whole.

    Args:
        title: Of the window.
        found: From `parts`.
        assets: Address of the scripts.
        scripts: Scripts beside the report's own.
        above: Markup over the head.
        marks: Attributes of the body, markup.
    """
    top, contents, *rest = found
    inside = "".join(part.html for part in rest) or nothing_yet()
    body = (
        above
        + f'<div id="head">{top.html}</div>'
        + f'<nav aria-label="Contents" id="contents">{contents.html}</nav>'
        + element("noscript", element("p", "Pictures and the table of trials need JavaScript.", class_="alert"))
        + f'<main id="parts">{inside}</main>'
        + element("footer", element("p", "Drawn by luthier from the log. Pictures by plotly.js (MIT)."))
    )
    data: dict[str, Any] = {"figures": [], "marks": {part.id: part.mark for part in found}}
    for part in rest:
        data["figures"] += part.content["figures"]
        data |= {name: value for name, value in part.content.items() if name != "figures"}
    return linked(title, body, assets=assets, scripts=["report.js", "plotly.min.js", *scripts], data=data, marks=marks)


def plain_page(title: str, body: str, *, assets: str, scripts: Sequence[str] = (), marks: str = "") -> str:
    """A page without pictures in the report's style; `body` is markup."""
    return linked(title, body, assets=assets, scripts=scripts, data={}, marks=marks)


def asset(name: str) -> bytes:
    """A file of `ASSETS`."""
    return asset_text(name).encode()


def text(words: object) -> str:
    """A user's words for the inside of an element or a quoted attribute."""
    return escape(words)
