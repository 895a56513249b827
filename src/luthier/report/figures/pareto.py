"""Draws the Pareto set and its hypervolume."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from luthier.report._values import shown_range
from luthier.report.figures._style import BLUE, GREY, VERMILION, Figure, hover, label, layout
from luthier.report.pareto_front import staircase

#: Pairs of objectives drawn: four objectives have six.
MOST_PAIRS = 6


def pareto_figures(table: dict[str, Any]) -> list[Figure]:
    """A picture for each pair of objectives (the first six): the Pareto set over all trials.

    Args:
        table: From `report.pareto_front.pareto_front`.

    Returns:
        Figures; empty with one objective.
    """
    pairs = list(combinations(range(len(table["objectives"])), 2))[:MOST_PAIRS]
    return [_pair(table, i, j) for i, j in pairs]


def _pair(table: dict[str, Any], i: int, j: int) -> Figure:
    across, up = table["objectives"][i], table["objectives"][j]
    text = hover("trial %{customdata}", f"{label(across['name'])} %{{x:.6g}}", f"{label(up['name'])} %{{y:.6g}}")
    front = [point for point in table["points"] if point["front"]]
    groups = [
        (
            "not counted",
            [p for p in table["points"] if not p["front"] and not p["counted"]],
            _marker(GREY, "circle-open", 5, 0.5),
        ),
        ("dominated", [p for p in table["points"] if not p["front"] and p["counted"]], _marker(BLUE, "circle", 6, 0.5)),
        ("Pareto set", front, _marker(VERMILION, "diamond", 9, 1.0)),
    ]
    traces = []
    if len(table["objectives"]) == 2 and front:
        signs = (_sign(across), _sign(up))
        line = staircase([(point["values"][i], point["values"][j]) for point in front], signs)
        traces.append(
            {"type": "scatter", "mode": "lines", "x": [x for x, _ in line], "y": [y for _, y in line]}
            | {"line": {"color": VERMILION, "width": 1.5}, "hoverinfo": "skip", "showlegend": False}
        )
    for name, points, marker in groups:
        if points:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": [point["values"][i] for point in points],
                    "y": [point["values"][j] for point in points],
                    "customdata": [point["trial"] for point in points],
                    "hovertemplate": text,
                    "marker": marker,
                }
            )
    made = layout(height=400, x=_title(across), y=_title(up))
    for axis, k in (("xaxis", i), ("yaxis", j)):
        ends = shown_range([point["values"][k] for point in table["points"]], sign=_sign(table["objectives"][k]))
        if ends is not None:
            made[axis]["range"] = list(ends)
    return {"data": traces, "layout": made}


def _marker(colour: str, symbol: str, size: float, opacity: float) -> dict[str, Any]:
    return {"color": colour, "symbol": symbol, "size": size, "opacity": opacity}


def _sign(objective: dict[str, Any]) -> float:
    return 1.0 if objective["goal"] == "min" else -1.0


def _title(objective: dict[str, Any]) -> str:
    arrow = "less is better" if objective["goal"] == "min" else "more is better"
    return f"{label(objective['name'])} ({arrow})"


def hypervolume_figure(table: dict[str, Any], results: int) -> Figure:
    """Dominated volume over trials.

    Args:
        table: From `report.pareto_front.pareto_front`.
        results: Trials with a result: where the line ends.

    Returns:
        Data and layout.
    """
    rows = table["hypervolume"]
    last = [{**rows[-1], "order": max(results, rows[-1]["order"])}] if rows else []
    line = [*rows, *last]
    trace = {
        "type": "scatter",
        "mode": "lines",
        "x": [row["order"] for row in line],
        "y": [row["volume"] for row in line],
        "customdata": [row["trial"] for row in line],
        "hovertemplate": hover("trial %{customdata}", "hypervolume %{y:.4f}"),
        "line": {"shape": "hv", "color": BLUE, "width": 2.5},
    }
    made = layout(height=300, x="trials with a result", y="hypervolume (fraction)", showlegend=False)
    made["xaxis"]["rangemode"] = made["yaxis"]["rangemode"] = "tozero"
    return {"data": [trace], "layout": made}
