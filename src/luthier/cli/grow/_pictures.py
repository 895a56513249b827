"""The two pictures of the checks: sizes over widths, and losses over rates by width."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.report._methods import method_looks
from luthier.report._svg import to_svg
from luthier.report.figures._style import layout

if TYPE_CHECKING:
    from luthier.grow.coordinates import Coordinates, Slope
    from luthier.grow.rates import Transfer

Curve = tuple[Sequence[float], Sequence[float]]  # x, y; points that are not finite are left out


def draw_rates(path: Path, found: Transfer, base: int) -> None:
    """Loss over the rate, one line a width."""
    lines = {f"{base * ratio:g}": (found.rates, row) for ratio, row in zip(found.ratios, found.losses, strict=True)}
    low = min(v for row in found.losses for v in row if math.isfinite(v))
    draw(path, lines, x="peak learning rate at the proxy", y="validation loss, nats", log_x=True, top=low + 1.0)


def draw_coordinates(path: Path, found: Coordinates, base: int) -> None:
    """Sizes after the last step over width: of the steepest module of each quantity, muP beside the control."""
    lines: dict[str, Curve] = {}
    widths = [base * ratio for ratio in found.widths]
    for word, slopes in (("muP", found.slopes), ("standard", found.control)):
        for quantity, one in _steepest(slopes).items():
            lines[f"{quantity}, {word}"] = (widths, one.sizes)
    draw(path, lines, x="width", y="mean size after the last step", log_x=True, log_y=True)


def _steepest(slopes: Sequence[Slope]) -> dict[str, Slope]:
    last = max((s.step for s in slopes), default=0)
    found: dict[str, Slope] = {}
    for one in slopes:
        finite = one.step == last and min(one.sizes) > 0 and all(math.isfinite(v) for v in one.sizes)
        if finite and (one.quantity not in found or abs(one.slope) > abs(found[one.quantity].slope)):
            found[one.quantity] = one
    return found


def draw(
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
