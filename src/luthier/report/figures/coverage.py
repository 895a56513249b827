"""Draws the coverage of the searcher's model over trials."""

from __future__ import annotations

from typing import Any

from luthier.report.figures._style import BLUE, GREY, ORANGE, Figure, hover, layout


def coverage_figure(table: dict[str, Any]) -> Figure:
    """Promised, uncorrected and measured coverage over trials.

    Args:
        table: From `report.coverage.coverage`.

    Returns:
        Data and layout.
    """
    rows = table["rows"]
    traces = [
        _line(rows, "promised", {"color": GREY, "width": 2, "dash": "dash"}, "lines"),
        _line(rows, "uncorrected", {"color": ORANGE, "width": 2, "dash": "dot"}, "lines+markers"),
        _line(rows, "measured", {"color": BLUE, "width": 2.5}, "lines+markers"),
    ]
    traces[-1]["error_y"] = {
        "type": "data",
        "array": [row["error"] for row in rows],
        "color": BLUE,
        "thickness": 1,
        "width": 3,
    }
    made = layout(height=320, x="trials that the model knew", y="coverage (fraction)")
    made["xaxis"]["rangemode"] = "tozero"
    made["yaxis"]["range"] = [0.0, 1.02]
    return {"data": [trace for trace in traces if any(value is not None for value in trace["y"])], "layout": made}


def _line(rows: list[dict[str, Any]], name: str, line: dict[str, Any], mode: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": mode,
        "name": name,
        "x": [row["trials"] for row in rows],
        "y": [row[name] for row in rows],
        "line": line,
        "marker": {"size": 6},
        "hovertemplate": hover("%{x} trials", f"{name} %{{y:.2f}}"),
    }
