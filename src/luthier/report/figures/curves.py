"""Draws learning curves and rungs."""

from __future__ import annotations

import math
from typing import Any

from luthier.report._values import short, shown_range
from luthier.report.figures._style import (
    BLACK,
    GREEN,
    GREY,
    SKY,
    STATUS,
    VERMILION,
    Figure,
    gapped,
    hover,
    label,
    layout,
)


def curves_figure(table: dict[str, Any]) -> Figure:
    """Learning curves: thin lines by how the trial ended, a mark where it ended, incumbent and default on top.

    Args:
        table: From `report.curves.curves`.

    Returns:
        Data and layout.
    """
    objective, fidelity = label(table["objective"]), label(table["fidelity"])
    traces: list[dict[str, Any]] = []
    for status, look in STATUS.items():
        group = [curve for curve in table["curves"] if curve["status"] == status]
        if group:
            traces += [_lines(group, look), _marks(group, look, objective, fidelity)]
    special = {table["default"]: ("default", BLACK, "dot"), table["best"]: ("incumbent", VERMILION, "solid")}
    for number, (name, colour, dash) in special.items():
        for curve in [curve for curve in table["curves"] if curve["trial"] == number and number is not None]:
            traces.append(_highlight(curve, name, colour, dash, objective, fidelity))
    sign = 1.0 if table["goal"] == "min" else -1.0
    ends = shown_range([curve["values"][-1] for curve in table["curves"]], sign=sign)
    made = layout(height=400, x=_resource_axis(table, fidelity), y=objective)
    if ends is not None:
        made["yaxis"]["range"] = list(ends)
    return {"data": traces, "layout": made}


def _lines(group: list[dict[str, Any]], look: Any) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": gapped([curve["resources"] for curve in group]),
        "y": gapped([curve["values"] for curve in group]),
        "line": {"color": look.colour, "width": 1},
        "opacity": 0.4,
        "hoverinfo": "skip",
        "legendgroup": look.label,
        "showlegend": False,
    }


def _marks(group: list[dict[str, Any]], look: Any, objective: str, fidelity: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": look.label,
        "legendgroup": look.label,
        "x": [curve["resources"][-1] for curve in group],
        "y": [curve["values"][-1] for curve in group],
        "customdata": [curve["trial"] for curve in group],
        "hovertemplate": hover("trial %{customdata}", f"{fidelity} %{{x}}", f"{objective} %{{y:.6g}}", look.label),
        "marker": {"color": look.colour, "symbol": look.symbol, "size": 7, "opacity": 0.9},
    }


def _highlight(
    curve: dict[str, Any], name: str, colour: str, dash: str, objective: str, fidelity: str
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(curve["resources"]) <= 12 else "lines",
        "name": f"{name} (trial {curve['trial']})",
        "x": curve["resources"],
        "y": curve["values"],
        "line": {"color": colour, "width": 2.5, "dash": dash},
        "marker": {"size": 5},
        "hovertemplate": hover(f"{name}: trial {curve['trial']}", f"{fidelity} %{{x}}", f"{objective} %{{y:.6g}}"),
    }


def _resource_axis(table: dict[str, Any], fidelity: str) -> dict[str, Any]:
    """Logarithmic when the resource spans more than a factor of ten, as halving does."""
    resources = [resource for curve in table["curves"] for resource in curve["resources"]]
    title = {"title": {"text": fidelity, "standoff": 8}}
    if resources and min(resources) > 0 and max(resources) / min(resources) > 10:
        levels = _powers(min(resources), max(resources))
        ends = [math.log10(min(resources)) - 0.04, math.log10(max(resources)) + 0.06]
        text = [short(level) for level in levels]
        return {**title, "type": "log", "tickvals": levels, "ticktext": text, "range": ends}
    return title


def _powers(low: float, high: float) -> list[float]:
    """1, 3, 9, ... or 1, 10, 100, ...: levels from `low` to `high`, at most seven."""
    base = next(base for base in (2, 3, 4, 5, 10, 100, 10**9) if math.log(high / low, base) <= 6)
    count = math.floor(math.log(high / low, base) + 1e-9)
    return [float(f"{low * base**i:.6g}") for i in range(count + 1)]


def rungs_figure(table: dict[str, Any]) -> Figure:
    """Values at each rung: triangles went on, hollow circles did not.

    Args:
        table: From `report.curves.rungs`.

    Returns:
        Data and layout.
    """
    objective, fidelity = label(table["objective"]), label(table["fidelity"] or "resource")
    columns = _columns(table)
    places = {(column["ladder"], column["resource"]): i for i, column in enumerate(columns)}
    rows = [row for row in table["rows"] if row["value"] is not None]
    traces = []
    for name, group, marker in (
        ("did not go on", [r for r in rows if not r["promoted"] and not r["last"]], (GREY, "circle-open", 6)),
        ("went on", [r for r in rows if r["promoted"] and not r["last"]], (SKY, "triangle-right", 8)),
        ("reached the end", [r for r in rows if r["last"]], (GREEN, "circle", 8)),
    ):
        if group:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "x": [_spread(places[row["ladder"], row["resource"]], row["trial"]) for row in group],
                    "y": [row["value"] for row in group],
                    "customdata": [[row["trial"], row["resource"]] for row in group],
                    "hovertemplate": hover(
                        "trial %{customdata[0]}", f"{fidelity} %{{customdata[1]}}", f"{objective} %{{y:.6g}}", name
                    ),
                    "marker": {"color": marker[0], "symbol": marker[1], "size": marker[2], "opacity": 0.85},
                }
            )
    words = [_level(column, several=len(table["ladders"]) > 1) for column in columns]
    x = {"tickvals": list(range(len(words))), "ticktext": words, "range": [-0.6, len(words) - 0.4], "showgrid": False}
    x["tickangle"] = 0
    made = layout(height=360, x={**x, "title": {"text": f"rung ({fidelity})", "standoff": 8}}, y=objective)
    sign = 1.0 if table["goal"] == "min" else -1.0
    ends = shown_range([row["value"] for row in rows], sign=sign)
    if ends is not None:
        made["yaxis"]["range"] = list(ends)
    return {"data": traces, "layout": made}


def _columns(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rungs of each ladder, those of its brackets together."""
    found: dict[tuple[int, float], dict[str, Any]] = {}
    for row in table["rows"]:
        place = row["ladder"], row["resource"]
        column = found.setdefault(place, {"entered": 0, "promoted": 0, "last": row["last"]})
        column["entered"] += 1
        column["promoted"] += row["promoted"]
    firsts = [ladder["first"] for ladder in table["ladders"]]
    return [
        {"ladder": ladder, "first": firsts[ladder], "resource": resource, **found[ladder, resource]}
        for ladder, resource in sorted(found)
    ]


def _level(column: dict[str, Any], *, several: bool) -> str:
    head = f"<b>{short(column['resource'])}</b>" + (f"<br>from {short(column['first'])}" if several else "")
    return f"{head}<br>{column['entered']} in" + ("" if column["last"] else f"<br>{column['promoted']} on")


def _spread(place: int, trial: int) -> float:
    return float(f"{place + 0.5 * (math.modf(trial * 0.6180339887)[0] - 0.5):.3f}")
