"""Draws what half of the runs attain on a task with two objectives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from luthier.report._methods import MethodLook
from luthier.report.figures._style import BLACK, FAINT, Figure, hover, label, layout


def attainment_figure(surface: Mapping[str, Any], looks: Mapping[str, MethodLook]) -> Figure:
    """Median attainment surfaces over the known front.

    Args:
        surface: One of the table `fronts`' data: "objectives", "at", "front", "point", and "methods".
        looks: How methods are drawn.
    """
    names = [label(name) for name in surface["objectives"]]
    front = surface["front"]
    traces: list[dict[str, Any]] = [{
        "type": "scatter", "mode": "markers", "x": [_round(x) for x, _ in front], "y": [_round(y) for _, y in front],
        "marker": {"color": BLACK, "size": 3, "opacity": 0.5}, "name": "known front", "hoverinfo": "skip",
    }]  # fmt: skip
    for name, look in looks.items():
        heights = surface["methods"].get(name)
        if heights is None:
            continue
        traces.append({
            "type": "scatter", "mode": "lines", "name": label(name), "x": [_round(x) for x in surface["at"]],
            "y": [_round(y) if math.isfinite(y) else None for y in heights],
            "line": {"color": look.colour, "width": look.width, "dash": look.dash, "shape": "hv"},
            "hovertemplate": hover(label(name), f"{names[0]} %{{x:.4g}}", f"{names[1]} %{{y:.4g}}"),
            "meta": {"method": name},
        })  # fmt: skip
    made = layout(height=330, x=f"{names[0]} (to be minimised)", y=names[1], showlegend=False)
    made["margin"] = {"l": 56, "r": 10, "t": 8, "b": 44}
    x, y = surface["point"]
    if all(math.isfinite(value) for value in (x, y)):
        corner = {"color": FAINT, "width": 1, "dash": "dot"}
        made["shapes"] = [
            {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": corner},
            {"type": "line", "y0": y, "y1": y, "x0": 0, "x1": 1, "xref": "paper", "line": corner},
        ]
    return {"data": traces, "layout": made}


def _round(value: float) -> float:
    return float(f"{value:.5g}")
