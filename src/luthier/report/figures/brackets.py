"""Draws trials climbing rungs over time."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from luthier.report._values import short, time_axis
from luthier.report.figures._style import (
    FAINT,
    GREY,
    ORANGE,
    STATUS,
    VERMILION,
    Figure,
    axis,
    gapped,
    hover,
    label,
    layout,
)

#: Height of the only ladder, and of each of several, in pixels; ladders that are drawn (Hyperband has five to seven).
ALONE, EACH, MOST_LADDERS = 330, 190, 8


def brackets_figure(table: dict[str, Any]) -> Figure:
    """A line a trial, from its start to its end, over thin lines for the rungs; one facet for each ladder.

    Args:
        table: From `report.brackets.brackets`.

    Returns:
        Data and layout.
    """
    title, seconds = time_axis(table["seconds"], virtual=table["virtual"])
    count = min(len(table["ladders"]), MOST_LADDERS)
    height = ALONE if count == 1 else EACH * count
    made = layout(height=height + 70, x={"title": {"text": title, "standoff": 8}})
    if table["seconds"]:
        made["xaxis"]["range"] = [0, 1.01 * table["seconds"] / seconds]
    made["xaxis"]["anchor"] = "y" if count == 1 else f"y{count}"
    made["shapes"], made["annotations"] = [], []
    traces: list[dict[str, Any]] = []
    shown: set[str] = set()
    floor = _floor(table)
    for i in range(count):
        name = "y" if i == 0 else f"y{i + 1}"
        for trace in _ladder(table, i, floor, seconds):
            trace["showlegend"] = "name" in trace and trace["name"] not in shown
            shown.add(trace.get("name", ""))
            traces.append({**trace, "yaxis": name})
        made["yaxis" + name[1:]] = _axis(table, i, count, floor)
        made["shapes"] += [_rung(level, name) for level in table["ladders"][i]["levels"]]
        if count > 1:
            made["annotations"].append(_caption(table, i, name))
    return {"data": traces, "layout": made}


def _ladder(table: dict[str, Any], i: int, floor: float, seconds: float) -> list[dict[str, Any]]:
    mine = [trial for trial in table["trials"] if trial["ladder"] == i]
    ways = {trial["trial"]: [_placed(run, floor, seconds) for run in trial["runs"]] for trial in mine}
    traces = [_pauses([_between(ways[trial["trial"]]) for trial in mine])]
    for rank, (status, look) in enumerate(STATUS.items()):
        group = [trial for trial in mine if trial["outcome"] == status]
        if group:
            traces.append(_lines([way for trial in group for way in ways[trial["trial"]]], look))
            traces.append({**_marks(group, ways, look, table), "legendrank": 1000 + rank})
    for trial in mine:
        if trial["trial"] == table["best"]:
            traces.append(_best(trial, ways[trial["trial"]]))
    return [trace for trace in traces if trace["x"]]


def _placed(run: dict[str, Any], floor: float, seconds: float) -> tuple[list[float], list[float]]:
    """A run in the units of the picture; a logarithmic axis knows no 0, so runs start at its floor."""
    return [_round(at / seconds) for at in run["seconds"]], [max(floor, spent) for spent in run["resources"]]


def _between(ways: list[tuple[list[float], list[float]]]) -> list[tuple[list[float], list[float]]]:
    """The gaps between a trial's runs."""
    return [([before[0][-1], after[0][0]], [before[1][-1], after[1][0]]) for before, after in pairwise(ways)]


def _pauses(gaps: list[list[tuple[list[float], list[float]]]]) -> dict[str, Any]:
    flat = [gap for one in gaps for gap in one]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "set aside",
        "x": gapped([x for x, _ in flat]),
        "y": gapped([y for _, y in flat]),
        "line": {"color": ORANGE, "width": 1.5, "dash": "dot"},
        "legendrank": 1020,
        "hoverinfo": "skip",
    }


def _lines(ways: list[tuple[list[float], list[float]]], look: Any) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": gapped([x for x, _ in ways]),
        "y": gapped([y for _, y in ways]),
        "line": {"color": look.colour, "width": 1.2},
        "opacity": 0.6,
        "hoverinfo": "skip",
        "legendgroup": look.label,
    }


def _marks(group: list[dict[str, Any]], ways: dict[int, Any], look: Any, table: dict[str, Any]) -> dict[str, Any]:
    lines = [f"{label(table['fidelity'] or 'resource')} %{{y}}", f"{label(table['objective'])} %{{customdata[1]}}"]
    if any(ladder["brackets"] > 1 for ladder in table["ladders"]) or len(table["ladders"]) > 1:
        lines.append("bracket %{customdata[2]}")
    return {
        "type": "scatter",
        "mode": "markers",
        "name": look.label,
        "legendgroup": look.label,
        "x": [ways[trial["trial"]][-1][0][-1] for trial in group],
        "y": [ways[trial["trial"]][-1][1][-1] for trial in group],
        "customdata": [[trial["trial"], short(trial["value"]), trial["bracket"]] for trial in group],
        "hovertemplate": hover("trial %{customdata[0]}", *lines, look.label),
        "marker": {"color": look.colour, "symbol": look.symbol, "size": 6, "opacity": 0.9},
    }


def _best(trial: dict[str, Any], ways: list[tuple[list[float], list[float]]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": f"incumbent (trial {trial['trial']})",
        "x": gapped([x for x, _ in ways]),
        "y": gapped([y for _, y in ways]),
        "line": {"color": VERMILION, "width": 2.5},
        "hoverinfo": "skip",
        "legendrank": 1010,
    }


def _floor(table: dict[str, Any]) -> float:
    """Where runs start: 0, or on a logarithmic axis half the first rung."""
    return float(table["ladders"][0]["first"] / 2) if table["geometric"] else 0.0


def _axis(table: dict[str, Any], i: int, count: int, floor: float) -> dict[str, Any]:
    levels = table["ladders"][i]["levels"]
    top = max(level for ladder in table["ladders"] for level in ladder["levels"])
    ends = [floor, 1.06 * top]
    gap = 0.0 if count == 1 else 0.03
    made = axis(
        label(table["fidelity"] or "resource") if i == count // 2 or count == 1 else "",
        tickvals=levels,
        ticktext=[short(level) for level in levels],
        showgrid=False,
        domain=[1 - (i + 1) / count + (gap if i < count - 1 else 0), 1 - i / count - gap],
        range=ends,
    )
    if table["geometric"]:
        made |= {"type": "log", "range": [math.log10(ends[0]), math.log10(1.25 * top)]}
    return made


def _rung(level: float, name: str) -> dict[str, Any]:
    line = {"color": FAINT, "width": 1}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": name, "y0": level, "y1": level} | {
        "line": line,
        "layer": "below",
    }


def _caption(table: dict[str, Any], i: int, name: str) -> dict[str, Any]:
    ladder = table["ladders"][i]
    many = f", {ladder['brackets']} brackets" if ladder["brackets"] > 1 else ""
    words = f"from {label(table['fidelity'] or 'resource')} {short(ladder['first'])}{many}, {ladder['trials']} trials"
    return {"text": words, "xref": "paper", "x": 1, "xanchor": "right", "yref": f"{name} domain", "y": 1} | {
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"color": GREY, "size": 12},
    }


def _round(value: float) -> float:
    return float(f"{value:.5g}")
