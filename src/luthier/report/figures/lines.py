"""Plain lines with axes and a key, as one SVG file: for whatever is no study (losses over rates, sizes over widths)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from luthier.report._methods import method_looks
from luthier.report._svg import to_svg
from luthier.report.figures._style import layout

Curve = tuple[Sequence[float], Sequence[float]]  # x, y; points that are not finite are left out


def draw_lines(
    path: Path,
    lines: Mapping[str, Curve],
    *,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    top: float = math.inf,
) -> None:
    """Write lines as an SVG file.

    Args:
        path: Where.
        lines: Name -> curve; points that are not finite, or above `top`, are left out.
        x: Title of the axis.
        y: Title of the axis.
        log_x: Logarithmic.
        log_y: Logarithmic.
        top: Largest y that is shown.
    """
    shown = {
        name: [(a, b) for a, b in zip(*curve, strict=True) if math.isfinite(b) and b <= top]
        for name, curve in lines.items()
    }
    points = [point for curve in shown.values() for point in curve]
    if not points:
        return
    looks = method_looks(list(shown), next(iter(shown)), list(shown))
    data = [
        {"x": [a for a, _ in curve], "y": [b for _, b in curve], "mode": "lines",
         "line": {"color": looks[name].colour, "width": looks[name].width, "dash": looks[name].dash}}
        for name, curve in shown.items()
    ]  # fmt: skip
    axes = {
        "x": {"title": {"text": x}} | _axis([a for a, _ in points], log_x),
        "y": {"title": {"text": y}} | _axis([b for _, b in points], log_y),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_svg({"data": data, "layout": layout(height=360, **axes)}, looks=looks, width=760))


def _axis(values: Sequence[float], log: bool) -> dict[str, object]:
    low, high = min(values), max(values)
    if log:
        low, high = math.log10(low), math.log10(high)
    room = 0.04 * ((high - low) or 1.0)
    return {"range": [low - room, high + room]} | ({"type": "log"} if log else {})
