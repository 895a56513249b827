"""Draws the objective over two hyperparameters: areas of equal value, and the trials on them."""

from __future__ import annotations

from typing import Any

from luthier.report.figures._style import CIVIDIS, Figure, few_ticks, hover, label, layout, scale_axis


def contour_figures(table: dict[str, Any]) -> list[Figure]:
    """One picture for each pair, light where it is good.

    Args:
        table: From `report.contours`.
    """
    return [_one(table, pair) for pair in table["pairs"]]


def _one(table: dict[str, Any], pair: dict[str, Any]) -> Figure:
    x, y, objective = pair["x"], pair["y"], label(table["objective"])
    # two numbers have lines of equal value; a category has cells
    kind = "contour" if x["kind"] == y["kind"] == "number" else "heatmap"
    colours = CIVIDIS[::-1] if table["goal"] == "min" else CIVIDIS
    plane: dict[str, Any] = {
        "type": kind,
        "x": _places(pair["at_x"], x),
        "y": _places(pair["at_y"], y),
        "z": pair["mean"],
        "colorscale": [[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)],
        "colorbar": {"thickness": 10, "outlinewidth": 0, "nticks": 5, "tickfont": {"size": 11}},
        "hovertemplate": hover(f"{objective} %{{z:.5g}}"),
    }
    if kind == "contour":
        plane |= {"ncontours": 12, "line": {"width": 0.6, "color": "rgba(255,255,255,0.78)"}}
    points = pair["points"]
    marks = {
        "type": "scatter",
        "mode": "markers",
        "x": _places([p["x"] for p in points], x),
        "y": _places([p["y"] for p in points], y),
        "customdata": [[p["trial"], p["value"]] for p in points],
        "hovertemplate": hover("trial %{customdata[0]}", f"{objective} %{{customdata[1]:.6g}}"),
        "marker": {"size": 4, "color": "#1f2328", "opacity": 0.55, "line": {"width": 0.5, "color": "#ffffff"}},
        "showlegend": False,
    }
    made = layout(height=300, x=scale_axis(x), y=few_ticks(scale_axis(y, most=10)), showlegend=False)
    made["margin"] = {"l": 52, "r": 8, "t": 8, "b": 42}
    return {"data": [plane, marks], "layout": made}


def _places(values: list[Any], axis: dict[str, Any]) -> list[Any]:
    return values if axis["kind"] == "number" else [axis["categories"].index(value) for value in values]
