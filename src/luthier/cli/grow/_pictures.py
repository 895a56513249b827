"""The two pictures of the checks: sizes over widths, and losses over rates by width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.report.figures.lines import Curve, draw_lines

if TYPE_CHECKING:
    from luthier.grow.coordinates import Coordinates, Slope
    from luthier.grow.rates import Transfer


def draw_rates(path: Path, found: Transfer, base: int) -> None:
    """Loss over the rate, one line a width."""
    lines = {f"{base * ratio:g}": (found.rates, row) for ratio, row in zip(found.ratios, found.losses, strict=True)}
    low = min(v for row in found.losses for v in row if math.isfinite(v))
    draw_lines(path, lines, x="peak learning rate at the proxy", y="validation loss, nats", log_x=True, top=low + 1.0)


def draw_coordinates(path: Path, found: Coordinates, base: int) -> None:
    """Sizes after the last step over width: of the steepest module of each quantity, muP beside the control."""
    lines: dict[str, Curve] = {}
    widths = [base * ratio for ratio in found.widths]
    for word, slopes in (("muP", found.slopes), ("standard", found.control)):
        for quantity, one in _steepest(slopes).items():
            lines[f"{quantity}, {word}"] = (widths, one.sizes)
    draw_lines(path, lines, x="width", y="mean size after the last step", log_x=True, log_y=True)


def _steepest(slopes: Sequence[Slope]) -> dict[str, Slope]:
    last = max((s.step for s in slopes), default=0)
    found: dict[str, Slope] = {}
    for one in slopes:
        finite = one.step == last and min(one.sizes) > 0 and all(math.isfinite(v) for v in one.sizes)
        if finite and (one.quantity not in found or abs(one.slope) > abs(found[one.quantity].slope)):
            found[one.quantity] = one
    return found
