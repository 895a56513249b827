"""Draws who ran what when, and how many workers were busy."""

from __future__ import annotations

from typing import Any

from luthier.report._values import duration, percent, time_axis
from luthier.report.figures._style import BLUE, GREY, STATUS, Figure, axis, hover, label, layout

#: Rows that are as high as two lines of text; more get thinner, down to the least height in pixels.
TALL, ROW, LEAST = 16, 34, 9
#: Height of the count of busy workers, and of the gap above it, in pixels.
LOAD, GAP = 72, 26


def timeline_figure(table: dict[str, Any]) -> Figure:
    """A bar for each run, one row for each worker; below, how many workers were busy.

    Args:
        table: From `report.timeline.timeline`.

    Returns:
        Data and layout.
    """
    title, seconds = time_axis(table["seconds"], virtual=table["virtual"])
    rows = {worker: i for i, worker in enumerate(table["workers"])}
    traces = []
    for status, look in STATUS.items():
        bars = [bar for bar in table["bars"] if bar["outcome"] == status]
        if bars:
            traces.append(_bars(bars, rows, look, seconds))
    tall = len(rows) <= TALL
    high = max(2, len(rows)) * (ROW if tall else max(LEAST, ROW * TALL // len(rows)))
    counted = len(rows) > 1 and bool(table["load"])
    whole = high + (GAP + LOAD if counted else 0)
    words = [_said_of(worker, table["busy"].get(worker), tall) for worker in table["workers"]]
    every = 1 if tall else -(-len(rows) // TALL)
    y = {"tickvals": list(rows.values())[::every], "ticktext": words[::every], "range": [len(rows) - 0.4, -0.6]}
    y |= {"showgrid": False, "ticks": "", "fixedrange": True, "domain": [1 - high / whole, 1]}
    x: dict[str, Any] = {"title": {"text": title, "standoff": 8}, "anchor": "y2" if counted else "y"}
    if table["seconds"]:
        x["range"] = [0, 1.01 * table["seconds"] / seconds]
    made = layout(height=112 + whole, x=x, y=y, barmode="overlay")
    if counted:
        traces += _load(table, seconds)
        most = max([one["workers"] for one in table["stretches"]] or [max(row["busy"] for row in table["load"])])
        marks = {"tickvals": [0, most], "range": [0, 1.08 * most], "domain": [0, LOAD / whole], "fixedrange": True}
        made["yaxis2"] = axis("busy", **marks)
    return {"data": traces, "layout": made}


def _bars(bars: list[dict[str, Any]], rows: dict[str, int], look: Any, seconds: float) -> dict[str, Any]:
    return {
        "type": "bar",
        "orientation": "h",
        "name": look.label,
        "base": [_round(bar["start"] / seconds) for bar in bars],
        "x": [_round((bar["end"] - bar["start"]) / seconds) for bar in bars],
        "y": [rows[bar["worker"]] for bar in bars],
        "width": 0.7,
        "customdata": [_said(bar) for bar in bars],
        "hovertemplate": hover("%{customdata}", look.label),
        "marker": {"color": look.colour, "line": {"color": "#ffffff", "width": 0.6 if len(bars) < 600 else 0.2}},
    }


def _load(table: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
    """Workers there were, and those that were busy."""
    there: list[tuple[float, float]] = []
    for one in table["stretches"]:
        there += [(one["start"], one["workers"]), (one["end"], one["workers"])]
    common = {"type": "scatter", "mode": "lines", "yaxis": "y2", "showlegend": False}
    busy = "%{y:.3g} busy" + (" on average" if table["load_is_mean"] else "")
    return [
        common
        | {"x": [_round(at / seconds) for at, _ in there], "y": [workers for _, workers in there]}
        | {"line": {"color": GREY, "width": 1, "dash": "dot"}, "hoverinfo": "skip"},
        common
        | {"x": [_round(row["seconds"] / seconds) for row in table["load"]], "y": [r["busy"] for r in table["load"]]}
        | {"line": {"color": BLUE, "width": 1.5, "shape": "hv"}, "fill": "tozeroy", "fillcolor": "rgba(0,114,178,0.18)"}
        | {"hovertemplate": hover(busy)},
    ]


def _said_of(worker: str, busy: float | None, tall: bool) -> str:
    words = label(worker if len(worker) <= 24 else worker[:23] + "…")
    if busy is None or not tall:
        return words
    return f"{words}<br><span style='font-size:11px'>{percent(busy)} busy</span>"


def _said(bar: dict[str, Any]) -> str:
    again = f", run {bar['attempt']}" if bar["attempt"] > 1 else ""
    return f"trial {bar['trial']}{again}<br>{label(bar['worker'])}<br>{duration(bar['end'] - bar['start'])}"


def _round(value: float) -> float:
    return float(f"{value:.5g}")
