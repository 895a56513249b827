"""A figure as an SVG file of its own, for documents that run no script: lines, bands, marks, strokes and notes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.report._html import element, escape
from luthier.report._methods import MethodLook
from luthier.report.figures._style import FONT, Figure

_DASHES = {"solid": "", "dash": "7 3", "dot": "2 2.5", "dashdot": "7 2.5 2 2.5"}
_ROW, _SIGN = 18, 7.2  # height of a line of the legend, and width of a letter, in pixels
_INK, _GRID = "#1f2328", "#d0d7de"


def to_svg(figure: Figure, *, looks: Mapping[str, MethodLook] | None = None, width: int = 860) -> str:
    """The figure as text; equal figures give equal bytes.

    Args:
        figure: Scatter traces, shapes of lines and annotations, on linear or logarithmic axes with a range.
        looks: Methods of the legend below; None: no legend.
        width: In pixels.
    """
    layout = figure["layout"]
    legend, extra = _legend(looks or {}, width)
    height = int(layout["height"])
    frame = _Frame(layout, width, height)
    inside = "".join(_trace(trace, frame) for trace in figure["data"] if trace.get("visible", True))
    shapes = "".join(_shape(shape, frame) for shape in layout.get("shapes", []))
    notes = "".join(_note(note, frame) for note in layout.get("annotations", []))
    box = {"x": frame.left, "y": frame.top, "width": frame.width, "height": frame.height}
    clip = element("clipPath", element("rect", "", **box), id="inside")
    body = (
        element("rect", "", width=width, height=height + extra, fill="#ffffff")
        + element("defs", clip)
        + frame.axes()
        + element("g", inside, **({} if layout["xaxis"].get("visible") is False else {"clip-path": "url(#inside)"}))
        + shapes
        + notes
        + element("g", legend, transform=f"translate(0 {height})")
    )
    size = {"width": width, "height": height + extra, "viewBox": f"0 0 {width} {height + extra}"}
    head = element(
        "svg", body, xmlns="http://www.w3.org/2000/svg", font_family=FONT, font_size="12.5", fill=_INK, **size
    )
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + head + "\n"


class _Frame:
    """Where values lie on paper."""

    def __init__(self, layout: Mapping[str, Any], width: int, height: int) -> None:
        margin = layout["margin"]
        self.x, self.y = layout["xaxis"], layout["yaxis"]
        self.left, self.top = margin["l"] + 14, margin["t"]
        self.width = width - self.left - margin["r"] - 14
        self.height = height - self.top - margin["b"]

    def across(self, value: float) -> float:
        """Pixels from the left."""
        return float(self.left + self.width * _part(value, self.x))

    def up(self, value: float) -> float:
        """Pixels from the top."""
        return float(self.top + self.height * (1 - _part(value, self.y)))

    def axes(self) -> str:
        """Grid, ticks and titles; nothing where axes are hidden."""
        if self.x.get("visible") is False:
            return ""
        parts = []
        bottom, right = self.top + self.height, self.left + self.width
        for value, words in _ticks(self.x):
            at = self.across(value)
            parts.append(_stroke(at, self.top, at, bottom, _GRID, 1))
            parts.append(_words(words, at, bottom + 16, "middle"))
        for value, words in _ticks(self.y):
            at = self.up(value)
            parts.append(_stroke(self.left, at, right, at, _GRID, 1))
            parts.append(_words(words, self.left - 6, at + 4, "end"))
        parts.append(_words(_plain(self.x["title"]["text"]), self.left + self.width / 2, bottom + 36, "middle"))
        middle = self.top + self.height / 2
        turned = element(
            "text", escape(_plain(self.y["title"]["text"])), text_anchor="middle",
            transform=f"translate({self.left - 48:.1f} {middle:.1f}) rotate(-90)",
        )  # fmt: skip
        return "".join(parts) + turned


def _part(value: float, axis: Mapping[str, Any]) -> float:
    low, high = axis["range"]
    at = math.log10(value) if axis.get("type") == "log" else value
    return float((at - low) / (high - low))


def _ticks(axis: Mapping[str, Any]) -> list[tuple[float, str]]:
    if "tickvals" in axis:
        return [(value, _plain(text)) for value, text in zip(axis["tickvals"], axis["ticktext"], strict=True)]
    low, high = sorted(axis["range"])
    if axis.get("type") == "log":
        powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
        return [(10.0**power, f"{10.0**power:g}") for power in powers]
    raw = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [(i * step, f"{i * step:g}") for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _trace(trace: Mapping[str, Any], frame: _Frame) -> str:
    points = [(x, y) for x, y in zip(trace["x"], trace["y"], strict=True) if x is not None and y is not None]
    if trace.get("fill") == "toself":
        return element("path", "", d=_path(points, frame) + "Z", fill=trace["fillcolor"], opacity=trace["opacity"])
    if "lines" in trace["mode"]:
        line = trace["line"]
        steps = [(x, y) for i, (x, y) in enumerate(points) for y in ([points[i - 1][1], y] if i else [y])]
        drawn = _path(steps if line.get("shape") == "hv" else points, frame)
        return element(
            "path", "", d=drawn, fill="none", stroke=line["color"], stroke_width=line["width"],
            stroke_dasharray=_DASHES[line.get("dash", "solid")], opacity=trace.get("opacity", 1),
        )  # fmt: skip
    marker = trace["marker"]
    return "".join(
        element(
            "circle", "", cx=_fixed(frame.across(x)), cy=_fixed(frame.up(y)), r=marker["size"] / 2, fill=marker["color"]
        )
        for x, y in points
    )


def _path(points: Sequence[tuple[float, float]], frame: _Frame) -> str:
    return "M" + "L".join(f"{_fixed(frame.across(x))} {_fixed(frame.up(y))}" for x, y in points)


def _shape(shape: Mapping[str, Any], frame: _Frame) -> str:
    line = shape["line"]
    ends = frame.across(shape["x0"]), frame.up(shape["y0"]), frame.across(shape["x1"]), frame.up(shape["y1"])
    return _stroke(*ends, line["color"], line["width"])


def _note(note: Mapping[str, Any], frame: _Frame) -> str:
    anchor = {"left": "start", "center": "middle", "right": "end"}[note["xanchor"]]
    down = 4 if note["yanchor"] == "middle" else 0
    return _words(
        _plain(note["text"]), frame.across(note["x"]) + note.get("xshift", 0), frame.up(note["y"]) + down, anchor
    )


def _stroke(x0: float, y0: float, x1: float, y1: float, colour: str, width: float) -> str:
    places = dict(zip(("x1", "y1", "x2", "y2"), map(_fixed, (x0, y0, x1, y1)), strict=True))
    return element("line", "", **places, stroke=colour, stroke_width=width)


def _words(text: str, x: float, y: float, anchor: str) -> str:
    return element("text", escape(text), x=_fixed(x), y=_fixed(y), text_anchor=anchor)


def _plain(text: str) -> str:
    """A label of a figure without its markup; what was escaped for it is so no longer."""
    bare = re.sub(r"</?(?:b|br|span)[^>]*>", "", text)
    return bare.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&").replace("\u200b", "")


def _legend(looks: Mapping[str, MethodLook], width: int) -> tuple[str, int]:
    """Rows of the legend, and their height."""
    if not looks:
        return "", 0
    parts, x, y = [], 24.0, 8.0
    for name, look in looks.items():
        wide = 44 + _SIGN * len(name)
        if x + wide > width - 10:
            x, y = 24.0, y + _ROW
        line = {"x1": _fixed(x), "x2": _fixed(x + 26), "y1": _fixed(y), "y2": _fixed(y)}
        parts.append(
            element(
                "line", "", **line, stroke=look.colour, stroke_width=look.width, stroke_dasharray=_DASHES[look.dash]
            )
        )
        parts.append(_words(name, x + 32, y + 4, "start"))
        x += wide + 8
    return "".join(parts), int(y) + _ROW


def _fixed(value: float) -> str:
    return f"{value:.1f}"
