"""Draws a population's genealogy and the hyperparameters along the best lineage."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from luthier.report._axes import word
from luthier.report._values import short
from luthier.report.figures._style import (
    CIVIDIS,
    FAINT,
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

#: Shades from the best to the worst fifth: neighbours are told apart, the lightest of the palette is lost on white.
SHADES = (CIVIDIS[0], CIVIDIS[1], CIVIDIS[2], CIVIDIS[4], CIVIDIS[5])
#: Height of a bar and of the gap between lanes in pixels; least height of a lane, and the most of all of them.
BAR, GAP, THIN, MOST = 15, 8, 10, 620
#: Trials whose numbers still fit into their bars; segments of others behind the best lineage's schedule.
NUMBERED, BEHIND = 120, 400
_BAD = ("failed", "diverged", "lost")


def genealogy_figure(table: dict[str, Any]) -> Figure:
    """A bar for each trial in its member's lane, dark for the best values; lines lead from parents to clones.

    Args:
        table: From `report.genealogy.genealogy`.

    Returns:
        Data and layout.
    """
    at, thick, lane = _places(table)
    traces = [_links(table["links"], at)]
    traces += _bars(table, at, thick, numbered=thick * lane >= 11 and len(table["segments"]) <= NUMBERED)
    traces += _ended_badly(table, at)
    traces += _line(table, at)
    members = table["members"]
    x = {"title": {"text": label(table["fidelity"] or "resource"), "standoff": 8}, "range": [0, 1.015 * _top(table)]}
    y: dict[str, Any] = {"title": {"text": "member", "standoff": 8}, "showgrid": False, "ticks": ""}
    y |= {"tickvals": list(range(0, members, -(-members // 20) or 1)), "range": [members - 0.4, -0.6]}
    made = layout(height=112 + lane * max(3, members), x=x, y=y, barmode="overlay")
    return {"data": [trace for trace in traces if trace["x"]], "layout": made}


def _places(table: dict[str, Any]) -> tuple[dict[int, float], float, int]:
    """Where each trial's bar lies, in lanes; the bars' height, in lanes; and a lane's, in pixels."""
    segments = table["segments"]
    layers = _layers(segments)
    depths: dict[int, int] = {}
    for segment in segments:
        depths[segment["lane"]] = max(depths.get(segment["lane"], 0), 1 + layers[segment["trial"]])
    depth = max(depths.values(), default=1)
    thick = (1 - GAP / (BAR * depth + GAP)) / depth
    at = {s["trial"]: s["lane"] + (layers[s["trial"]] - (depths[s["lane"]] - 1) / 2) * thick for s in segments}
    return at, thick, max(THIN, min(BAR * depth + GAP, MOST // max(1, table["members"])))


def _top(table: dict[str, Any]) -> float:
    """Where the axis of the resource ends."""
    return float(table["full"] or max((segment["to"] for segment in table["segments"]), default=1.0))


def _layers(segments: list[dict[str, Any]]) -> dict[int, int]:
    """A sub-lane for each trial: a clone may start from a checkpoint older than the end of who it replaced."""
    ends: dict[tuple[int, int], float] = {}
    layers: dict[int, int] = {}
    for segment in segments:
        layer = 0
        while ends.get((segment["lane"], layer), -math.inf) > segment["from"] + 1e-9 and layer < 2:
            layer += 1
        layers[segment["trial"]] = layer
        ends[segment["lane"], layer] = max(segment["to"], ends.get((segment["lane"], layer), 0.0))
    return layers


def _bars(table: dict[str, Any], at: dict[int, float], thick: float, *, numbered: bool) -> list[dict[str, Any]]:
    sign = 1.0 if table["goal"] == "min" else -1.0
    known = sorted((s for s in table["segments"] if s["value"] is not None), key=lambda s: sign * s["value"])
    groups = [known[len(known) * i // len(SHADES) : len(known) * (i + 1) // len(SHADES)] for i in range(len(SHADES))]
    without = [s for s in table["segments"] if s["value"] is None]
    shaded = [(_range(group), group, shade) for group, shade in zip(groups, SHADES, strict=True)]
    return [
        _shade(name, group, colour, table, at, thick, numbered=numbered)
        for name, group, colour in [*shaded, ("no value", without, FAINT)]
        if group
    ]


def _range(group: list[dict[str, Any]]) -> str:
    if not group:
        return ""
    ends = short(group[0]["value"]), short(group[-1]["value"])
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _shade(
    name: str,
    group: list[dict[str, Any]],
    colour: str,
    table: dict[str, Any],
    at: dict[int, float],
    thick: float,
    *,
    numbered: bool,
) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": name,
        "base": [segment["from"] for segment in group],
        "x": [_round(segment["to"] - segment["from"]) for segment in group],
        "y": [at[segment["trial"]] for segment in group],
        "width": thick,
        "text": [str(segment["trial"]) if numbered else "" for segment in group],
        "textposition": "inside",
        "insidetextanchor": "end",
        "textangle": 0,
        "constraintext": "inside",
        "customdata": [_said(segment, table) for segment in group],
        "hovertemplate": hover("%{customdata}"),
        "marker": {"color": colour, "line": {"color": "#ffffff", "width": 1}},
    }


def _said(segment: dict[str, Any], table: dict[str, Any]) -> str:
    fidelity = label(table["fidelity"] or "resource")
    origin = "" if segment["parent"] is None else f", from trial {segment['parent']}"
    lines = [
        f"<b>trial {segment['trial']}</b>{origin}",
        f"{fidelity} {short(segment['from'])} to {short(segment['to'])}, {segment['outcome']}",
        f"{label(table['objective'])} {short(segment['value'])}",
    ]
    values = list(segment["config"].items())
    lines += [f"{label(name)} {label(_told(value))}" for name, value in values[:10]]
    return "<br>".join(lines + (["…"] if len(values) > 10 else []))


def _told(value: Any) -> str:
    return short(value) if isinstance(value, float) else word(value)


def _links(links: list[dict[str, Any]], at: dict[int, float]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "copied from",
        "legendrank": 1010,
        "x": gapped([[link["resource"]] * 2 for link in links]),
        "y": gapped([[at[link["parent"]], at[link["trial"]]] for link in links]),
        "line": {"color": GREY, "width": 1.2},
        "opacity": 0.7,
        "hoverinfo": "skip",
    }


def _ended_badly(table: dict[str, Any], at: dict[int, float]) -> list[dict[str, Any]]:
    made = []
    for status in _BAD:
        group = [segment for segment in table["segments"] if segment["outcome"] == status]
        look = STATUS[status]
        made.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": look.label,
                "x": [segment["to"] for segment in group],
                "y": [at[segment["trial"]] for segment in group],
                "customdata": [_said(segment, table) for segment in group],
                "hovertemplate": hover("%{customdata}"),
                "marker": {"color": look.colour, "symbol": look.symbol, "size": 9, "line": {"width": 2}},
            }
        )
    return made


def _line(table: dict[str, Any], at: dict[int, float]) -> list[dict[str, Any]]:
    """The best lineage as one path through the lanes, with arrowheads where it changes them."""
    by_trial = {segment["trial"]: segment for segment in table["segments"]}
    line = [by_trial[n] for n in table["lineage"] if n in by_trial]
    if not line:
        return []
    x, y = [line[0]["from"]], [at[line[0]["trial"]]]
    for before, after in pairwise(line):
        x += [after["from"], after["from"]]
        y += [at[before["trial"]], at[after["trial"]]]
    x.append(line[-1]["to"])
    y.append(at[line[-1]["trial"]])
    path = {
        "type": "scatter",
        "mode": "lines",
        "name": f"incumbent's line (trial {line[-1]['trial']})",
        "x": x,
        "y": y,
        "line": {"color": VERMILION, "width": 2.5},
        "hoverinfo": "skip",
    }
    turns = list(pairwise(line))
    heads = {
        "type": "scatter",
        "mode": "markers",
        "showlegend": False,
        "x": [after["from"] for _, after in turns],
        "y": [at[after["trial"]] for _, after in turns],
        "marker": {
            "color": VERMILION,
            "size": 9,
            # lanes are counted from the top
            "symbol": ["triangle-down" if at[b["trial"]] > at[a["trial"]] else "triangle-up" for a, b in turns],
        },
        "hoverinfo": "skip",
    }
    return [path, heads]


def schedule_figures(table: dict[str, Any]) -> list[Figure]:
    """One small picture for each hyperparameter: its value along the best lineage, over those of all others.

    Args:
        table: From `report.genealogy.genealogy`.

    Returns:
        Figures in the order of the space.
    """
    return [_one(table, entry) for entry in table["schedule"]]


def _one(table: dict[str, Any], entry: dict[str, Any]) -> Figure:
    scale, name = entry["axis"], label(entry["axis"]["name"])
    behind = [s for s in table["segments"] if s["config"].get(scale["name"]) is not None]
    behind = behind[:: -(-len(behind) // BEHIND) or 1]
    others = {
        "type": "scatter",
        "mode": "lines",
        "x": gapped([[s["from"], s["to"]] for s in behind]),
        "y": gapped([[_place(s["config"][scale["name"]], scale)] * 2 for s in behind]),
        "line": {"color": GREY, "width": 1},
        "opacity": 0.45,
        "hoverinfo": "skip",
    }
    steps = [step for step in entry["steps"] if step["value"] is not None]
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": [x for step in steps for x in (step["from"], step["to"])],
        "y": [_place(step["value"], scale) for step in steps for _ in range(2)],
        "customdata": [[step["trial"], label(_told(step["value"]))] for step in steps for _ in range(2)],
        "hovertemplate": hover("trial %{customdata[0]}", f"{name} %{{customdata[1]}}"),
        "line": {"color": VERMILION, "width": 2.5, "simplify": False},  # a small step would be drawn as a slope
    }
    top = _top(table)
    x = {"title": {"text": label(table["fidelity"] or "resource"), "standoff": 6}, "range": [0, 1.02 * top]}
    made = layout(height=230, x=x, y=few_ticks(scale_axis(scale, most=12)), showlegend=False)
    made["margin"] = {"l": 58, "r": 10, "t": 8, "b": 40}
    return {"data": [trace for trace in (others, line) if trace["x"]], "layout": made}


def _place(value: Any, scale: dict[str, Any]) -> Any:
    return scale["categories"].index(word(value)) if scale["kind"] == "category" else value


def _round(value: float) -> float:
    return float(f"{value:.6g}")
