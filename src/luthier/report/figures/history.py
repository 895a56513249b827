"""Draws the incumbent over trials or seconds."""

from __future__ import annotations

from typing import Any

from luthier.report._values import short, shown_range, time_axis
from luthier.report.figures._style import (
    BLACK,
    BLUE,
    FAINT,
    GREY,
    STATUS,
    VERMILION,
    Figure,
    axis,
    hover,
    label,
    layout,
)

_ENDED_BADLY = ("diverged", "failed", "lost")


def history_figure(table: dict[str, Any]) -> Figure:
    """The incumbent as a step line over every trial's value; below it, trials without a value.

    Args:
        table: From `report.history.history`.

    Returns:
        Data and layout; `switches` holds for each button of the page the coordinates to swap in: x as "trials" or
        "seconds", y as "linear", and "log" when all values are positive, else "gap" to the best value seen.
    """
    objective = label(table["objective"])
    over, seconds = time_axis(table["seconds"], virtual=table["virtual"])
    traces: list[dict[str, Any]] = []
    places: list[list[dict[str, Any]]] = []  # for each trace its rows, from which every switch takes coordinates
    for status, look in STATUS.items():
        rows = [row for row in table["rows"] if row["status"] == status and row["value"] is not None]
        for inside in (True, False):
            group = [row for row in rows if row["feasible"] is inside]
            if group:
                traces.append(_points(group, look, inside, objective, table["fidelity"]))
                places.append(group)
    if table["incumbent"]:
        line = [*table["incumbent"], _end(table)]
        traces.append(_step(line, objective))
        places.append(line)
    for row in [row for row in table["rows"] if row["trial"] == table["best"]]:
        traces.append(_star(row, objective))
        places.append([row])
    values = [row["value"] for row in table["rows"]]
    bad = [status for status in _ENDED_BADLY if any(row["status"] == status for row in table["rows"])]
    for status in bad:
        rows = [row for row in table["rows"] if row["status"] == status]
        traces.append(_strip(rows, status))
        places.append(rows)
    sign = 1.0 if table["goal"] == "min" else -1.0
    ends = shown_range([*values, table["default"]], sign=sign)
    figure = {"data": traces, "layout": _layout(table, objective, bad, ends)}
    figure["switches"] = _switches(traces, places, values, objective, ends, sign, (over, seconds))
    return figure


def outside(table: dict[str, Any]) -> int:
    """How many values lie beyond the linear axis."""
    sign = 1.0 if table["goal"] == "min" else -1.0
    values = [row["value"] for row in table["rows"] if row["value"] is not None]
    low, high = shown_range([*values, table["default"]], sign=sign) or (0.0, 0.0)
    return sum(not low <= value <= high for value in values)


def _points(
    rows: list[dict[str, Any]], look: Any, inside: bool, objective: str, fidelity: str | None
) -> dict[str, Any]:
    symbol = look.symbol if inside else look.symbol.removesuffix("-open") + "-open"
    spent = [] if fidelity is None else [f"{label(fidelity)} %{{customdata[1]}}"]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": look.label if inside else f"{look.label}, not feasible",
        "x": [row["order"] for row in rows],
        "y": [row["value"] for row in rows],
        "customdata": [[row["trial"], row["resource"], row["value"]] for row in rows],
        "hovertemplate": hover("trial %{customdata[0]}", f"{objective} %{{customdata[2]:.6g}}", *spent, look.label),
        "marker": {"color": look.colour, "symbol": symbol, "size": 6, "opacity": 0.75},
    }


def _end(table: dict[str, Any]) -> dict[str, Any]:
    """The incumbent at the end of the study: the last step goes on to there."""
    last = table["incumbent"][-1]
    return {**last, "order": max(len(table["rows"]), last["order"]), "seconds": table["seconds"]}


def _step(line: list[dict[str, Any]], objective: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "incumbent",
        "x": [row["order"] for row in line],
        "y": [row["value"] for row in line],
        "customdata": [[row["trial"], None, row["value"]] for row in line],
        "hovertemplate": hover("incumbent: trial %{customdata[0]}", f"{objective} %{{customdata[2]:.6g}}"),
        "line": {"shape": "hv", "color": BLUE, "width": 2.5},
    }


def _star(row: dict[str, Any], objective: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "best",
        "x": [row["order"]],
        "y": [row["value"]],
        "customdata": [[row["trial"], None, row["value"]]],
        "hovertemplate": hover("best: trial %{customdata[0]}", f"{objective} %{{customdata[2]:.6g}}"),
        "marker": {"color": VERMILION, "symbol": "star", "size": 14, "line": {"color": "#ffffff", "width": 1}},
    }


def _strip(rows: list[dict[str, Any]], status: str) -> dict[str, Any]:
    look = STATUS[status]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": look.label,
        "showlegend": False,
        "x": [row["order"] for row in rows],
        "y": [status] * len(rows),
        "yaxis": "y2",
        "customdata": [[row["trial"]] for row in rows],
        "hovertemplate": hover("trial %{customdata[0]}", look.label),
        "marker": {
            "color": look.colour,
            "symbol": look.symbol,
            "size": 8,
            "line": {"width": 1.75, "color": look.colour},
        },
    }


def _layout(table: dict[str, Any], objective: str, bad: list[str], ends: tuple[float, float] | None) -> dict[str, Any]:
    strip = 0.07 * len(bad)
    main = {"title": {"text": objective, "standoff": 8}, "domain": [strip + (0.03 if bad else 0.0), 1.0]}
    made = layout(
        height=400 + 18 * len(bad),
        x={
            "title": {"text": "trials with a result", "standoff": 8},
            "anchor": "y2" if bad else "y",
            "rangemode": "tozero",
        },
        y=main,
    )
    if ends is not None:
        made["yaxis"]["range"] = list(ends)
    if bad:
        made["yaxis2"] = axis("", domain=[0.0, strip], type="category", fixedrange=True, categoryarray=bad[::-1])
        made["yaxis2"] |= {"categoryorder": "array", "range": [-0.6, len(bad) - 0.4], "ticks": ""}
    if table["default"] is not None:
        made["shapes"] = [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": table["default"], "y1": table["default"]}
            | {"line": {"color": GREY, "width": 1.5, "dash": "dot"}, "layer": "below"}
        ]
        made["annotations"] = [
            {"text": f"default {short(table['default'])}", "xref": "paper", "x": 0.005, "xanchor": "left"}
            | {"y": table["default"], "yanchor": "bottom", "showarrow": False, "font": {"color": BLACK, "size": 12}}
            | {"bgcolor": "rgba(0,0,0,0)", "bordercolor": FAINT, "borderwidth": 0}
        ]
    return made


def _switches(
    traces: list[dict[str, Any]],
    places: list[list[dict[str, Any]]],
    values: list[float | None],
    objective: str,
    ends: tuple[float, float] | None,
    sign: float,
    time: tuple[str, float],
) -> dict[str, Any]:
    over, seconds = time
    over_time = [
        [None if row["seconds"] is None else _round(row["seconds"] / seconds) for row in rows] for rows in places
    ]
    found: dict[str, Any] = {
        "x": {
            "trials": {"x": [trace["x"] for trace in traces], "title": "trials with a result"},
            "seconds": {"x": over_time, "title": over},
        },
        "y": {"linear": {"y": [trace["y"] for trace in traces], "title": objective, "type": "linear", "range": ends}},
    }
    known = [value for value in values if value is not None]
    if known and min(known) > 0 and sign > 0:
        found["y"]["log"] = {"y": found["y"]["linear"]["y"], "title": objective, "type": "log", "range": None}
    elif known:
        best = min(sign * value for value in known)
        gaps = [
            trace["y"] if trace.get("yaxis") == "y2" else [_gap(sign * value - best) for value in trace["y"]]
            for trace in traces
        ]
        title = f"gap of {objective} to the best seen"
        found["y"]["gap"] = {"y": gaps, "title": title, "type": "log", "range": None}
    return found


def _gap(value: float) -> float | None:
    """A gap for a logarithmic axis; the best trial itself has none."""
    return _round(value) if value > 0 else None


def _round(value: float) -> float:
    return float(f"{value:.6g}")
