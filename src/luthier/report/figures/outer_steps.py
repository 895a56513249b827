"""Draws tuning by gradients: small pictures over outer steps, of the loss and of each hyperparameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from luthier.report._values import short
from luthier.report.figures._style import (
    BLUE,
    GREY,
    STATUS,
    VERMILION,
    Figure,
    few_ticks,
    gapped,
    hover,
    label,
    layout,
    scale_axis,
)

_SMALL = {"l": 58, "r": 10, "t": 8, "b": 40}
_NEEDS_LOG = 20.0  # ratio of the largest to the smallest value from which a loss or a norm is told by powers of ten


def outer_figures(table: Mapping[str, Any]) -> list[tuple[str, Figure]]:
    """One small picture each for the loss, the hypergradient's norm, and what was moved.

    Args:
        table: From `report.outer_steps.outer_steps`.

    Returns:
        What each shows, and the figure.
    """
    if not table["rows"]:
        return []
    rows = table["rows"]
    made = [(table["objective"], _curve(table, "value", label(table["objective"])))]
    if any(row["slope"] for row in rows):
        made.append(("norm of the hypergradient", _curve(table, "slope", "hypergradient")))
    made += [(entry["axis"]["name"], _moved(table, entry)) for entry in table["moved"]]
    made += [(entry["name"], _tensor(table, entry)) for entry in table["tensors"]]
    return made


def _curve(table: Mapping[str, Any], what: str, name: str) -> Figure:
    rows = table["rows"]
    line = _line(rows, lambda row: row[what], name)
    traces = [line]
    known = [row[what] for row in rows if row[what] is not None]
    if what == "value":
        traces += _marks(table, lambda row: row["value"])
        traces.append(_ended_badly(rows, min(known, default=0.0)))
    y: dict[str, Any] = {"title": {"text": name, "standoff": 6}}
    if known and min(known) > 0 and max(known) / min(known) >= _NEEDS_LOG:
        y = {"title": {"text": f"{name} (log)", "standoff": 6}, "type": "log", "dtick": "D2"}
    return _figure([trace for trace in traces if trace["x"]], table, y)


def _moved(table: Mapping[str, Any], entry: Mapping[str, Any]) -> Figure:
    name, points = label(entry["axis"]["name"]), entry["points"]
    traces = [_line(points, lambda point: point["value"], name)]
    by_place = {point["place"]: point["value"] for point in points}
    traces += _marks(table, lambda row: by_place[row["place"]])
    return _figure(traces, table, few_ticks(scale_axis(entry["axis"], most=12)))


def _tensor(table: Mapping[str, Any], entry: Mapping[str, Any]) -> Figure:
    name, points = label(entry["name"]), entry["points"]
    ends = [
        {
            **_line(points, lambda point, end=end: point[end], f"{name}, {words}"),  # type: ignore[misc]
            "mode": "lines",
            "line": {"color": GREY, "width": 1.2},
        }
        for end, words in (("low", "lowest"), ("high", "highest"))
    ]
    by_place = {point["place"]: point["mean"] for point in points}
    traces = [*ends, _line(points, lambda point: point["mean"], f"{name}, mean")]
    traces += _marks(table, lambda row: by_place[row["place"]])
    shown = [trace for trace in traces if any(y is not None for y in trace["y"])]
    return _figure(shown, table, {"title": {"text": name, "standoff": 6}})


def _line(rows: Sequence[Mapping[str, Any]], of: Callable[[Any], float | None], name: str) -> dict[str, Any]:
    """A line that is broken between chains and where a step diverged."""
    chains: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        chains.setdefault(row["chain"], []).append(row)
    parts = list(chains.values())
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": gapped([[row["place"] for row in part] for part in parts]),
        "y": gapped([[of(row) for row in part] for part in parts]),
        "customdata": gapped([[short(of(row)) for row in part] for part in parts]),
        "hovertemplate": hover("outer step %{x}", f"{name} %{{customdata}}"),
        "line": {"color": BLUE, "width": 2},
        "marker": {"color": BLUE, "size": 4},
    }


def _marks(table: Mapping[str, Any], of: Callable[[Any], float | None]) -> list[dict[str, Any]]:
    best = [row for row in table["rows"] if row["trial"] == table["best"]]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [row["place"]],
            "y": [of(row)],
            "customdata": [[row["trial"], short(of(row))]],
            "hovertemplate": hover("best step: trial %{customdata[0]}", "%{customdata[1]}"),
            "marker": {"color": VERMILION, "symbol": "star", "size": 13, "line": {"color": "#ffffff", "width": 1}},
        }
        for row in best
    ]


def _ended_badly(rows: Sequence[Mapping[str, Any]], low: float) -> dict[str, Any]:
    """Steps without a value, at the foot of the picture."""
    bad, look = [row for row in rows if row["value"] is None], STATUS["diverged"]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [row["place"] for row in bad],
        "y": [low for _ in bad],
        "customdata": [[row["trial"], row["status"]] for row in bad],
        "hovertemplate": hover("trial %{customdata[0]}: %{customdata[1]}"),
        "marker": {"color": look.colour, "symbol": look.symbol, "size": 9, "line": {"width": 2}},
    }


def _figure(traces: list[dict[str, Any]], table: Mapping[str, Any], y: dict[str, Any]) -> Figure:
    last = max(1, len(table["rows"]) - 1)
    x = {"title": {"text": "outer step", "standoff": 6}, "range": [-0.02 * last, 1.03 * last]}
    made = layout(height=230, x=x, y=y, showlegend=False)
    made["margin"] = dict(_SMALL)
    return {"data": traces, "layout": made}
