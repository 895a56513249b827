"""Draws the objective over one hyperparameter."""

from __future__ import annotations

import math
from typing import Any

from luthier.report._values import shown_range
from luthier.report.figures._style import BLUE, SKY, VERMILION, Figure, hover, label, layout, scale_axis


def slice_figures(table: dict[str, Any]) -> list[Figure]:
    """One small picture for each hyperparameter, all with the same vertical axis.

    Filled points used the full resource (or the study has none), hollow ones ended earlier.

    Args:
        table: From `report.slices.slices`.

    Returns:
        Figures in the order of the space.
    """
    sign = 1.0 if table["goal"] == "min" else -1.0
    ends = shown_range([p["value"] for one in table["slices"] for p in one["points"]], sign=sign)
    return [_one(table, one, ends) for one in table["slices"]]


def _one(table: dict[str, Any], one: dict[str, Any], ends: tuple[float, float] | None) -> Figure:
    scale, objective = one["axis"], label(table["objective"])
    name = label(scale["name"])
    full = [p for p in one["points"] if table["full"] is None or p["resource"] == table["full"]]
    early = [p for p in one["points"] if not (table["full"] is None or p["resource"] == table["full"])]
    best = [p for p in one["points"] if p["trial"] == table["best"]]
    spent = "" if table["fidelity"] is None else f"{label(table['fidelity'])} %{{customdata[1]}}"
    here = "%{customdata[2]}" if scale["kind"] == "category" else "%{x:.6g}"
    lines = [f"{name} {here}", f"{objective} %{{y:.6g}}", *([spent] if spent else [])]
    text = hover("trial %{customdata[0]}", *lines)
    traces = [
        _trace(early, scale, {"color": SKY, "size": 4.5, "symbol": "circle-open", "opacity": 0.75}, text),
        _trace(full, scale, {"color": BLUE, "size": 6, "opacity": 0.7}, text),
        _trace(
            best,
            scale,
            {"color": VERMILION, "symbol": "star", "size": 14, "line": {"color": "#ffffff", "width": 1}},
            text,
        ),
    ]
    made = layout(height=230, x=scale_axis(scale), y={"nticks": 5}, showlegend=False)
    made["margin"] = {"l": 46, "r": 10, "t": 8, "b": 40}
    if ends is not None:
        made["yaxis"]["range"] = list(ends)
    return {"data": [trace for trace in traces if trace["x"]], "layout": made}


def _trace(points: list[dict[str, Any]], scale: dict[str, Any], marker: dict[str, Any], text: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [_place(point, scale) for point in points],
        "y": [point["value"] for point in points],
        "customdata": [
            [p["trial"], p["resource"], *([label(p["x"])] if scale["kind"] == "category" else [])] for p in points
        ],
        "hovertemplate": text,
        "marker": marker,
    }


def _place(point: dict[str, Any], scale: dict[str, Any]) -> float | None:
    """A number as it is; a category at its code, spread a little by the trial's number so that points part."""
    if scale["kind"] == "number":
        return point["x"]  # type: ignore[no-any-return]
    spread = math.modf(point["trial"] * 0.6180339887)[0] - 0.5  # the golden ratio fills an interval evenly
    return float(f"{scale['categories'].index(point['x']) + 0.5 * spread:.3f}")
