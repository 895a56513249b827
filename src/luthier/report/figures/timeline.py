"""Draws who ran what when."""

from __future__ import annotations

from typing import Any

from luthier.report._values import duration, time_unit
from luthier.report.figures._style import STATUS, Figure, hover, label, layout


def timeline_figure(table: dict[str, Any]) -> Figure:
    """A bar for each run, one row for each worker.

    Args:
        table: From `report.timeline.timeline`.

    Returns:
        Data and layout.
    """
    unit, seconds = time_unit(table["seconds"] or 0.0)
    rows = {worker: i for i, worker in enumerate(table["workers"])}
    traces = []
    for status, look in STATUS.items():
        bars = [bar for bar in table["bars"] if bar["outcome"] == status]
        if bars:
            traces.append(
                {
                    "type": "bar",
                    "orientation": "h",
                    "name": look.label,
                    "base": [_round(bar["start"] / seconds) for bar in bars],
                    "x": [_round((bar["end"] - bar["start"]) / seconds) for bar in bars],
                    "y": [rows[bar["worker"]] for bar in bars],
                    "width": 0.7,
                    "customdata": [_said(bar) for bar in bars],
                    "hovertemplate": hover("%{customdata}", look.label),
                    "marker": {"color": look.colour, "line": {"color": "#ffffff", "width": 0.6}},
                }
            )
    words = [
        label(worker if len(worker) <= 24 else worker[:23] + "…") + _share(table["busy"].get(worker))
        for worker in table["workers"]
    ]
    y = {"tickvals": list(rows.values()), "ticktext": words, "range": [len(rows) - 0.4, -0.6], "showgrid": False}
    return {
        "data": traces,
        "layout": layout(
            height=110 + 34 * max(2, len(rows)),
            x={"title": {"text": f"{unit} of the study", "standoff": 8}, "rangemode": "tozero"},
            y={**y, "ticks": "", "fixedrange": True},
            barmode="overlay",
        ),
    }


def _share(busy: float | None) -> str:
    return "" if busy is None else f"<br><span style='font-size:11px'>{100 * busy:.0f} % busy</span>"


def _said(bar: dict[str, Any]) -> str:
    again = f", run {bar['attempt']}" if bar["attempt"] > 1 else ""
    return f"trial {bar['trial']}{again}<br>{label(bar['worker'])}<br>{duration(bar['end'] - bar['start'])}"


def _round(value: float) -> float:
    return float(f"{value:.5g}")
