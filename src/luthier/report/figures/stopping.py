"""Draws what stopping rules compared, the incumbents on data that the search never saw, and the tuning curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luthier.report.figures._style import BLUE, GREEN, GREY, ORANGE, VERMILION, Figure, hover, label, layout

_BAND = "rgba(0,114,178,0.16)"  # BLUE


def stopping_figure(rule: Mapping[str, Any], objective: str) -> Figure:
    """What may be left to gain against what is not worth it, over trials.

    Args:
        rule: One of the rules of `report.stopping.stopping`.
        objective: Name of what is gained.

    Returns:
        Data and layout; the axis is logarithmic where all numbers are positive.
    """
    rows = rule["rows"]
    traces = [
        _line(rows, "bound", "what may be left to gain", BLUE, "lines+markers"),
        _line(
            [row for row in rows if row["threshold"] is not None], "threshold", "not worth it below", ORANGE, "lines"
        ),
    ]
    traces[1]["line"]["dash"] = "dash"
    stops = [row for row in rows if row["stop"]]
    if stops:
        traces.append(_line(stops, "bound", "the study may end", GREEN, "markers"))
        traces[-1]["marker"] = {"symbol": "star", "size": 13, "color": GREEN, "line": {"color": "white", "width": 1}}
    made = layout(height=330, x="trials that had ended", y=f"{label(objective)}, left to gain")
    made["xaxis"]["rangemode"] = "tozero"
    numbers = [row[key] for row in rows for key in ("bound", "threshold") if row[key] is not None]
    if numbers and min(numbers) > 0 and max(numbers) > 10 * min(numbers):
        made["yaxis"]["type"] = "log"
    else:
        made["yaxis"]["rangemode"] = "tozero"
    return {"data": traces, "layout": made}


def _line(rows: Any, key: str, name: str, colour: str, mode: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": mode,
        "name": name,
        "x": [row["trials"] for row in rows],
        "y": [row[key] for row in rows],
        "line": {"color": colour, "width": 2.5},
        "marker": {"size": 5, "color": colour},
        "hovertemplate": hover("%{x} trials", f"{name}: %{{y:.4g}}"),
    }


def overtuned_figure(table: Mapping[str, Any]) -> Figure:
    """The incumbent on the data of the search and on the untouched data, over results.

    Args:
        table: Of `report.overtuned.overtuned`.

    Returns:
        Data and layout.
    """
    rows = [*table["rows"], {**table["rows"][-1], "results": max(table["results"], table["rows"][-1]["results"])}]
    traces = [
        _steps(rows, "value", f"{label(table['objective'])}, which it was chosen by", BLUE),
        _steps(rows, "untouched", f"{label(table['metric'])}, untouched", VERMILION),
    ]
    if table["default"] is not None:
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{label(table['metric'])} of the default",
                "x": [rows[0]["results"], rows[-1]["results"]],
                "y": [table["default"]] * 2,
                "line": {"color": GREY, "width": 1.5, "dash": "dot"},
                "hovertemplate": hover("default: %{y:.5g}"),
            }
        )
    made = layout(height=330, x="results", y="the incumbent's value")
    return {"data": traces, "layout": made}


def _steps(rows: list[Mapping[str, Any]], key: str, name: str, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [row["results"] for row in rows],
        "y": [row[key] for row in rows],
        "customdata": [row["trial"] for row in rows],
        "line": {"shape": "hv", "color": colour, "width": 2.5},
        "marker": {"size": 6, "color": colour},
        "hovertemplate": hover("trial %{customdata}", f"{name}: %{{y:.5g}}"),
    }


def tuning_curve_figure(table: Mapping[str, Any]) -> Figure:
    """The best of n random trials with its band.

    Args:
        table: Of `report.tuning_curve.tuning_curve`, with rows.

    Returns:
        Data and layout. Where the band has no end on one side, it is left open: drawn to the edge of what was seen.
    """
    rows, objective = table["rows"], label(table["objective"])
    known = [row[key] for row in rows for key in ("median", "low", "high") if row[key] is not None]
    ends = {"low": min(known, default=None), "high": max(known, default=None)}
    edge = {key: [row[key] if row[key] is not None else ends[key] for row in rows] for key in ("low", "high")}
    traces = [
        {**_curve(rows, edge["low"], "", BLUE), "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False},
        {
            **_curve(rows, edge["high"], f"{table['level']:.0%} band of the median", BLUE),
            "line": {"width": 0},
            "fill": "tonexty",
            "fillcolor": _BAND,
            "hoverinfo": "skip",
        },
        _curve(rows, [row["median"] for row in rows], "median", BLUE),
        _curve(rows, [row["mean"] for row in rows], "mean", ORANGE),
    ]
    traces[3]["line"]["dash"] = "dash"
    for trace in traces[:2]:
        del trace["hovertemplate"]
    if all(row["mean"] is None for row in rows):
        traces.pop()
    made = layout(height=330, x="random trials", y=f"best {objective} of so many")
    made["xaxis"]["type"] = "log"
    return {"data": traces, "layout": made}


def _curve(rows: Any, values: list[Any], name: str, colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [row["n"] for row in rows],
        "y": values,
        "line": {"color": colour, "width": 2.5},
        "hovertemplate": hover("best of %{x}", f"{name}: %{{y:.5g}}"),
    }
