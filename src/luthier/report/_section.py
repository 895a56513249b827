"""A section of a page, and the places in it where figures are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from luthier.report._html import element, escape
from luthier.report.figures._style import Figure


@dataclass
class Section:
    """A part of the page.

    Args:
        id: Anchor.
        title: Heading.
        how: One sentence saying how to read it (markup).
        body: Markup with the places of the figures.
        figures: Figures by the id of their place.
        data: What the page's script needs besides.
        short: Its name in the contents; empty: the title.
    """

    id: str
    title: str
    how: str
    body: str
    figures: dict[str, Figure] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    short: str = ""

    def markup(self) -> str:
        """The section as HTML."""
        head = element("h2", escape(self.title), id=f"{self.id}-title") + element("p", self.how, class_="how")
        return element("section", head + self.body, id=self.id, class_="part", aria_labelledby=f"{self.id}-title")


def place(name: str, words: str, height: int) -> str:
    """Where a figure will be drawn; its height is kept free so that the page does not jump."""
    return element("div", "", id=name, class_="plot", role="img", aria_label=words, style=f"min-height:{height}px")


def put(figures: dict[str, Figure], name: str, figure: Figure, words: str) -> str:
    figures[name] = figure
    return place(name, words, int(figure["layout"]["height"]))


def wide(place: str, width: int) -> str:
    """A place that is scrolled sideways where the screen is narrower."""
    return element("div", element("div", place, style=f"min-width:{width}px"), class_="scroll")
