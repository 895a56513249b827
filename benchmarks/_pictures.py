"""Lines with bands, as SVG files for documents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from luthier.report._methods import MethodLook, method_looks
from luthier.report._svg import to_svg
from luthier.report.figures._style import layout


class Line(NamedTuple):
    """What one method did.

    Args:
        x: (n,).
        y: (n,).
        error: (n,) half the width of its band; None: no band.
    """

    x: Sequence[float]
    y: np.ndarray
    error: np.ndarray | None = None


def draw(
    path: Path, lines: Mapping[str, Line], *, control: str, x: str, y: str, log: bool = False, log_x: bool = False
) -> None:
    """Write a picture; on a logarithmic axis values below its foot lie at the foot."""
    looks: dict[str, MethodLook] = method_looks(list(lines), control, list(lines))
    values = np.concatenate([np.asarray(line.y, dtype=float) for line in lines.values()])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    if log:
        low = max(low, high * 1e-4)
        across = [math.log10(low) - 0.05, math.log10(high) + 0.05]
    else:
        room = 0.05 * (high - low)
        across = [low - room, high + room]
    data = []
    for name, line in lines.items():
        look, places = looks[name], np.maximum(line.y, low) if log else line.y
        if line.error is not None:
            below, above = places - line.error, places + line.error
            below = np.maximum(below, low) if log else below
            data.append({"x": [*line.x, *reversed(line.x)], "y": [*above.tolist(), *below[::-1].tolist()],
                         "fill": "toself", "fillcolor": look.colour, "opacity": 0.12})  # fmt: skip
        data.append({"x": list(line.x), "y": places.tolist(), "mode": "lines",
                     "line": {"color": look.colour, "width": look.width, "dash": look.dash}})  # fmt: skip
    along = np.concatenate([np.asarray(line.x, dtype=float) for line in lines.values()])
    ends = [float(along.min()), float(along.max())]
    axes = {
        "x": {"title": {"text": x}, "range": [math.log10(end) for end in ends] if log_x else ends}
        | ({"type": "log"} if log_x else {}),
        "y": {"title": {"text": y}, "range": across} | ({"type": "log"} if log else {}),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_svg({"data": data, "layout": layout(height=360, **axes)}, looks=looks, width=760))
