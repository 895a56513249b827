"""Draws what methods reach over the budget: regret, ranks, shares of targets; and profiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from luthier.report._methods import MethodLook
from luthier.report.figures._style import Figure, hover, label, layout

Rows = Sequence[Mapping[str, Any]]
#: Least regret that a logarithmic axis shows; what is less is drawn there.
LEAST = 1e-4
_BAND = 0.16  # opacity
_TOP = math.log10(1.55)  # of a logarithmic axis: regrets are clipped at 1.5


def by_method(rows: Rows) -> dict[str, list[Mapping[str, Any]]]:
    """Rows of each method, in their order."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["method"], []).append(row)
    return found


def regret_figure(
    rows: Rows, looks: Mapping[str, MethodLook], *, low: str = "low", high: str = "high", height: int = 430
) -> Figure:
    """Normalised regret over the share of the budget, with a band for some methods; switches to a linear axis.

    Args:
        rows: "method", "share", "regret" and the ends of a band; of the table `curves`.
        looks: How methods are drawn.
        low: Key of the band's lower end.
        high: Key of its upper end.
        height: In pixels.

    Returns:
        Data, layout and switches.
    """
    floor = _floor(row["regret"] for row in rows)
    traces: list[dict[str, Any]] = []
    for name, look in looks.items():
        mine = by_method(rows).get(name, [])
        if mine:
            traces += [_band(mine, name, look, low, high), _line(mine, name, look, "regret")]
    made = layout(height=height, x=_budget(), y="normalised regret", showlegend=False)
    logs = [[max(floor, y) if y is not None else None for y in trace["y"]] for trace in traces]
    linear = [trace["y"] for trace in traces]
    ends = [math.log10(floor) - 0.03, _TOP]
    title = "normalised regret (log)"
    for trace, y in zip(traces, logs, strict=True):
        trace["y"] = y
    made["yaxis"] |= {"type": "log", "range": ends, "title": {"text": title, "standoff": 8}, "dtick": 1}
    switches = {
        "x": {"share": {}},
        "y": {
            "log": {"title": title, "type": "log", "range": ends, "y": logs},
            "linear": {"title": "normalised regret", "type": "linear", "range": [0, 1.55], "y": linear},
        },
    }
    made["margin"]["r"] = 26
    return {"data": traces, "layout": made, "switches": switches}


def small_figure(rows: Rows, looks: Mapping[str, MethodLook]) -> Figure:
    """The same for one task or family, small and without bands."""
    floor = _floor(row["regret"] for row in rows)
    groups = by_method(rows)
    traces = []
    for name, look in looks.items():
        if name in groups:
            line = _line(groups[name], name, look._replace(width=max(1.2, look.width - 0.5)), "regret")
            line["y"] = [max(floor, y) for y in line["y"]]
            traces.append(line)
    made = layout(height=228, x=_budget(), y="", showlegend=False)
    made["margin"] = {"l": 46, "r": 18, "t": 8, "b": 40}
    made["yaxis"] |= {"type": "log", "range": [math.log10(floor) - 0.03, _TOP], "dtick": 1}
    return {"data": traces, "layout": made}


def rank_figure(rows: Rows, looks: Mapping[str, MethodLook]) -> Figure:
    """Mean rank over the share of the budget, the best on top.

    Args:
        rows: Of the table `ranks`.
        looks: How methods are drawn.
    """
    groups = by_method(rows)
    traces: list[dict[str, Any]] = []
    for name, look in looks.items():
        if name in groups:
            traces += [_band(groups[name], name, look, "low", "high"), _line(groups[name], name, look, "rank")]
    made = layout(height=430, x=_budget(), y="mean rank (1 is best)", showlegend=False)
    most = max((row["high"] for row in rows), default=1.0)
    made["yaxis"] |= {"range": [most + 0.3, min(0.7, min((row["low"] for row in rows), default=1.0) - 0.2)]}
    made["margin"]["r"] = 26
    return {"data": traces, "layout": made}


def reached_figure(rows: Rows, looks: Mapping[str, MethodLook]) -> Figure:
    """Share of targets reached over the share of the budget.

    Args:
        rows: Of the table `reached`.
        looks: How methods are drawn.
    """
    groups = by_method(rows)
    traces = [_line(groups[name], name, look, "part") for name, look in looks.items() if name in groups]
    made = layout(height=400, x=_budget(), y="share of targets reached", showlegend=False)
    made["margin"]["r"] = 26
    made["yaxis"] |= {"range": [0, 1.02]}
    return {"data": traces, "layout": made}


def profile_figure(rows: Rows, looks: Mapping[str, MethodLook]) -> Figure:
    """Share of runs up to each regret.

    Args:
        rows: Of the table `profiles`.
        looks: How methods are drawn.
    """
    groups = by_method(rows)
    traces = []
    for name, look in looks.items():
        mine = [{**row, "regret": max(LEAST, row["regret"])} for row in groups.get(name, [])]
        if mine:
            line = _line(mine, name, look, "share", x="regret", scale=1.0)
            line["hovertemplate"] = hover(label(name), "regret up to %{x:.3g}", "%{y:.0%} of runs")
            traces.append(line)
    levels = [LEAST * 10**i for i in range(5)]
    across = {
        "title": {"text": "normalised regret at most (log)", "standoff": 8}, "type": "log", "tickvals": levels,
        "ticktext": [f"{level:g}" for level in levels], "range": [math.log10(LEAST), math.log10(1.5)],
    }  # fmt: skip
    made = layout(height=400, x=across, y="share of runs", showlegend=False)
    made["yaxis"] |= {"range": [0, 1.02]}
    return {"data": traces, "layout": made}


def _budget() -> dict[str, Any]:
    ticks = [0.1, 1, 10, 100]
    return {
        "title": {"text": "share of the budget (log)", "standoff": 8}, "type": "log", "tickvals": ticks,
        "ticktext": [f"{tick:g} %" for tick in ticks], "range": [-1, 2.01],
        "ticklabeloverflow": "allow",
    }  # fmt: skip


def _floor(values: Iterable[float]) -> float:
    """Where a logarithmic axis begins: the power of ten below the least value, if there is need of one."""
    least = min((value for value in values if value > 0), default=0.1)
    return max(LEAST, 10.0 ** math.floor(math.log10(min(least, 0.1) * 1.0001)))


def _line(
    rows: Rows, name: str, look: MethodLook, key: str, *, x: str = "share", scale: float = 100.0
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(name),
        "x": [_round(scale * row[x]) for row in rows],
        "y": [_round(row[key]) for row in rows],
        "line": {"color": look.colour, "width": look.width, "dash": look.dash, "shape": "hv"},
        "hovertemplate": hover(label(name), "%{x:.3g} % of the budget", "%{y:.3g}"),
        "meta": {"method": name},
    }


def _band(rows: Rows, name: str, look: MethodLook, low: str, high: str) -> dict[str, Any]:
    """A polygon of steps: up along the upper ends, back along the lower ones."""
    x = [_round(100 * row["share"]) for row in rows]
    along = [x[(i + 1) // 2] for i in range(2 * len(x) - 1)]
    upper, lower = ([_round(rows[i // 2][key]) for i in range(2 * len(x) - 1)] for key in (high, low))
    return {
        "type": "scatter",
        "mode": "none",
        "x": along + along[::-1],
        "y": upper + lower[::-1],
        "fill": "toself",
        "fillcolor": look.colour,
        "opacity": _BAND,
        "visible": look.band,
        "hoverinfo": "skip",
        "meta": {"method": name, "band": True, "shown": look.band},
    }


def _round(value: float) -> float:
    return float(f"{value:.4g}")
