"""Draws shares as bars with their intervals, and the way from the default to the best."""

from __future__ import annotations

from typing import Any

from luthier.report._values import short
from luthier.report.figures._style import BLUE, GREEN, GREY, SKY, VERMILION, Figure, hover, label, layout

#: Bars in a picture; shorter ones are named in the caption.
MOST = 24
#: Longest name beside a bar, in letters.
NAME = 24


def importance_figure(table: dict[str, Any]) -> Figure:
    """Bars, the most important on top; a thin mark shows what chance alone reaches.

    Args:
        table: From `report.importance`, with rows.
    """
    rows = table["rows"][:MOST][::-1]
    places = list(range(len(rows)))
    text = hover("%{customdata[0]}", "share %{x:.1%}", "%{customdata[1]}")
    above = [row["chance"] is None or row["share"] > row["chance"] for row in rows]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [row["share"] for row in rows],
        "y": places,
        "width": 0.62,
        "marker": {"color": [BLUE if one else SKY for one in above]},
        "error_x": _whiskers(rows, "share"),
        "customdata": [[label(row["name"]), _interval(row)] for row in rows],
        "hovertemplate": text,
        "showlegend": False,
    }
    known = [(row["chance"], place) for row, place in zip(rows, places, strict=True) if row["chance"] is not None]
    chance = {
        "type": "scatter",
        "mode": "markers",
        "x": [value for value, _ in known],
        "y": [place for _, place in known],
        "marker": {"symbol": "line-ns-open", "size": 15, "color": VERMILION, "line": {"width": 2}},
        "name": "chance",
        "hovertemplate": hover("what chance reaches in one of twenty: %{x:.1%}"),
    }
    made = layout(
        height=64 + 26 * max(3, len(rows)),
        x={"tickformat": ".0%", "rangemode": "tozero", "nticks": 6},
        y={"tickvals": places, "ticktext": [label(_cut(row["name"])) for row in rows], "showgrid": False},
        showlegend=False,
        dragmode=False,
    )
    made["margin"] = {"l": 40, "r": 16, "t": 6, "b": 30}
    return {"data": [bars, *([chance] if known else [])], "layout": made}


def _whiskers(rows: list[dict[str, Any]], middle: str) -> dict[str, Any]:
    """Intervals from `low` to `high` around a value."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [row["high"] - row[middle] for row in rows],
        "arrayminus": [row[middle] - row["low"] for row in rows],
        "color": GREY,
        "thickness": 1.3,
        "width": 4,
    }


def _interval(row: dict[str, Any]) -> str:
    return f"{100 * row['low']:.0f} to {100 * row['high']:.0f} %"


def _cut(name: str) -> str:
    return name if len(name) <= NAME else name[: NAME - 1] + "…"


def ablation_figure(table: dict[str, Any]) -> Figure:
    """The value after each change, from the default on top to the best at the foot.

    Args:
        table: From `report.ablation`, with steps.
    """
    steps = table["steps"]
    places = list(range(len(steps)))
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [step["value"] for step in steps],
        "y": places,
        "line": {"color": GREEN, "width": 2},
        "marker": {"size": 8, "color": GREEN},
        "error_x": _whiskers(steps, "value"),
        "customdata": [[label(words(step))] for step in steps],
        "hovertemplate": hover("%{customdata[0]}", f"{label(table['objective'])} %{{x:.6g}}"),
        "showlegend": False,
    }
    made = layout(
        height=70 + 26 * max(3, len(steps)),
        x={"title": {"text": label(table["objective"]), "standoff": 6}, "nticks": 6},
        y={
            "tickvals": places,
            "ticktext": [label(_cut(words(step, short_names=True))) for step in steps],
            "autorange": "reversed",
            "showgrid": False,
        },
        dragmode=False,
    )
    made["margin"] = {"l": 40, "r": 16, "t": 6, "b": 44}
    return {"data": [trace], "layout": made}


def words(step: dict[str, Any], *, short_names: bool = False) -> str:
    """A step in words: `lr 0.001 → 0.03`; a hyperparameter that becomes active shows its value alone."""
    if not step["names"]:
        return "default"
    parts = []
    for name in step["names"]:
        before, after = step["from"][name], step["to"][name]
        now = "off" if after is None else _value(after)
        parts.append(f"{name} {now}" if short_names or before is None else f"{name} {_value(before)} → {now}")
    return ", ".join(parts)


def _value(value: Any) -> str:
    return short(value, 3) if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)
