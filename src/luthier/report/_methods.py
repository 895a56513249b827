"""Methods of a comparison: one look for each on the whole page, and the legend that all pictures share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from luthier.report._html import element, escape
from luthier.report.figures._style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

# the palette of statuses on the page, so that dark and print have their own shades of it
_COLOURS = {
    BLUE: "running", VERMILION: "failed", GREEN: "completed", ORANGE: "paused", PURPLE: "diverged", SKY: "stopped",
    BLACK: "lost", GREY: "waiting",
}  # fmt: skip
_DASHES = {"solid": "", "dash": "7 3", "dot": "2 2.5", "dashdot": "7 2.5 2 2.5"}
_LINES = [(colour, dash) for dash in _DASHES for colour in _COLOURS if colour != GREY]
#: Methods with a band from the start; of more, a band shows when the method is chosen in the legend.
BANDS = 5


class MethodLook(NamedTuple):
    """How a method is drawn.

    Args:
        colour: Of its line.
        dash: Of its line, as plotly names it.
        width: Of its line, in pixels.
        band: Whether its band is drawn before anything is chosen.
    """

    colour: str
    dash: str
    width: float
    band: bool


def method_looks(names: Sequence[str], control: str, shown: Sequence[str]) -> dict[str, MethodLook]:
    """Looks in the order of the overview: colours first, then dashes; the control is grey.

    Args:
        names: Methods, best first.
        control: The one that all are compared with.
        shown: Rows of the curves: the methods, and those with more budget.
    """
    few = len(names) <= BANDS
    found = {}
    others = [name for name in names if name != control]
    for i, name in enumerate(others):
        colour, dash = _LINES[i % len(_LINES)]
        found[name] = MethodLook(colour, dash, 2.0, few or i < 2)
    if control in names:
        found[control] = MethodLook(GREY, "solid", 3.0, True)
    more = [name for name in shown if name not in found]  # more budget for a method: thin, dotted
    for i, name in enumerate(more):
        found[name] = MethodLook(GREY, list(_DASHES)[2 - i % 2], 1.5, False)
    return {name: found[name] for name in [*names, *more]}


def swatch(look: MethodLook) -> str:
    """A short line in the look of a method."""
    line = (
        f'<line x1="1" x2="25" y1="5" y2="5" style="stroke:var(--{_COLOURS[look.colour]})" '
        f'stroke-width="{look.width}" stroke-dasharray="{_DASHES[look.dash]}"/>'
    )
    return f'<svg width="26" height="10" aria-hidden="true">{line}</svg>'


def method_legend(looks: dict[str, MethodLook]) -> str:
    """Buttons that choose methods in all pictures at once."""
    buttons = "".join(
        element("button", swatch(look) + escape(name), type="button", data_method=name, aria_pressed="false")
        for name, look in looks.items()
    )
    return element("div", buttons, class_="methods", role="group", aria_label="Methods: choose to bring out")
