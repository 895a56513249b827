"""How pictures look: a palette that colour-blind readers can tell apart, one layout, and safe labels."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

#: A plotly figure: `{"data": [...], "layout": {...}}`, JSON-able.
Figure = dict[str, Any]

# Okabe and Ito 2008, "Color Universal Design"; the page swaps each for a lighter one on a dark background
BLUE, SKY, GREEN, ORANGE = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
VERMILION, PURPLE, YELLOW, BLACK = "#D55E00", "#CC79A7", "#F0E442", "#1f2328"
GREY, FAINT = "#8b949e", "#d0d7de"
#: Cividis, from dark to light: ordered for every kind of sight, and in print.
CIVIDIS = ("#00224e", "#2a3f6d", "#575d6d", "#7d7c78", "#a69d75", "#d3c164", "#fee838")


class Look(NamedTuple):
    """Colour and symbol of a status: the symbol tells it apart without colour."""

    colour: str
    symbol: str
    label: str


STATUS = {
    "completed": Look(GREEN, "circle", "completed"),
    "stopped": Look(SKY, "square", "stopped"),
    "paused": Look(ORANGE, "diamond", "paused"),
    "running": Look(BLUE, "circle-open", "running"),
    "waiting": Look(GREY, "circle-open", "waiting"),
    "diverged": Look(PURPLE, "x-thin-open", "diverged"),
    "failed": Look(VERMILION, "cross-thin-open", "failed"),
    "lost": Look(BLACK, "asterisk-open", "lost"),
}

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def label(text: object) -> str:
    """A user's text for a picture: neither markup nor placeholder of a template.

    Plotly reads a small HTML in every text, and `%{...}` in templates.
    """
    return html.escape(str(text), quote=False).replace("%{", "%\u200b{")


def layout(*, height: int = 360, x: Any = "", y: Any = "", **more: Any) -> dict[str, Any]:
    """A layout with the common look; `x` and `y` are axis titles (already safe) or whole axis dictionaries."""
    return {
        "height": height,
        "margin": {"l": 64, "r": 16, "t": 12, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 12.5, "color": BLACK},
        "hovermode": "closest",
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
        "hoverlabel": {"font": {"family": FONT, "size": 12.5}, "align": "left"},
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        "xaxis": axis(x),
        "yaxis": axis(y),
        **more,
    }


def axis(given: Any = "", **more: Any) -> dict[str, Any]:
    """An axis with the common look, from its title or from its own settings."""
    own = dict(given) if isinstance(given, dict) else {"title": {"text": given, "standoff": 8}}
    return {
        "gridcolor": FAINT,
        "linecolor": GREY,
        "zeroline": False,
        "exponentformat": "power",
        "ticks": "outside",
        "tickcolor": FAINT,
        "ticklen": 4,
        "automargin": True,
        **own,
        **more,
    }


def hover(*lines: str) -> str:
    """A hover template of lines, without plotly's extra box."""
    return "<br>".join(lines) + "<extra></extra>"


def gapped(pieces: Sequence[Sequence[Any]]) -> list[Any]:
    """Several lines as one trace: joined with None, which lifts the pen."""
    joined: list[Any] = []
    for piece in pieces:
        joined += [*piece, None]
    return joined[:-1]


def scale_axis(scale: dict[str, Any], *, most: int = 16) -> dict[str, Any]:
    """An axis over all that a hyperparameter may be.

    Args:
        scale: Its axis, as `report.parallel` has it.
        most: Longest label of a category.
    """
    title: dict[str, Any] = {
        "title": {"text": label(scale["name"]) + (" (log)" if scale["log"] else ""), "standoff": 6}
    }
    if scale["kind"] == "category":
        labels = [label(word if len(word) <= most else word[: most - 1] + "…") for word in scale["categories"]]
        places = list(range(len(labels)))
        return {**title, "tickvals": places, "ticktext": labels, "range": [-0.5, len(labels) - 0.5], "showgrid": False}
    low, high = scale["low"], scale["high"]
    if scale["log"]:
        low, high = math.log10(low), math.log10(high)
        title["type"] = "log"
    margin = 0.03 * (high - low) or 0.5
    ticks = {"tickvals": scale["levels"], "ticktext": [text for _, text in scale["ticks"]]}
    return {**ticks, **title, "range": [low - margin, high + margin]}


def few_ticks(axis: dict[str, Any]) -> dict[str, Any]:
    """Fewer ticks for an axis that stands upright and is low: of a logarithmic one its ends and the powers of ten."""
    marks = list(zip(axis["tickvals"], axis["ticktext"], strict=True))
    if axis.get("type") != "log" or len(marks) <= 7:
        return axis
    kept = [
        marks[0],
        *(mark for mark in marks[1:-1] if abs(math.log10(mark[0]) - round(math.log10(mark[0]))) < 1e-9),
        marks[-1],
    ]
    return {**axis, "tickvals": [value for value, _ in kept], "ticktext": [text for _, text in kept]}
