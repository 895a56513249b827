"""Draws methods beside each other: the critical-difference diagram, and who is better than whom how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from luthier.report.figures._style import BLACK, BLUE, GREY, VERMILION, Figure, hover, label, layout

Rows = Sequence[Mapping[str, Any]]
#: Heights in pixels: of the critical difference and the axis, of a bar, of a name.
HEAD, BAR, NAME = 58, 11, 21
_MIDDLE = "#f1f3f5"  # neither is better
_OVER = 0.015  # share of the ranks by which the picture is wider than they are, on either side


def diagram_figure(rows: Rows, data: Mapping[str, Any]) -> Figure:
    """Mean ranks on a line, names beside it, and thick bars that join methods not told apart.

    Args:
        rows: Of the table `diagram`, best first: "method" and "rank".
        data: Of the same table: "groups" (bars by Wilcoxon and Holm) and "critical_difference".

    Returns:
        Data and layout; a pixel is a unit of the vertical axis.
    """
    number, bars = len(rows), data["groups"]
    first = -14 - BAR * len(bars)  # the lowest bar
    bottom = first - NAME * -(-number // 2)
    shapes, notes = _ruler(number, float(data["critical_difference"]))
    more_shapes, more_notes = _names(rows, first)
    ranks = {row["method"]: row["rank"] for row in rows}
    for j, group in enumerate(bars):
        ends = [ranks[name] for name in group]
        y = -9 - BAR * j
        more_shapes.append(_stroke(min(ends) - 0.05, y, max(ends) + 0.05, y, 5.0, BLUE))
    hidden = {"visible": False, "fixedrange": True}
    made = layout(
        height=int(HEAD - bottom) + 16,
        x={**hidden, "range": [1 - _OVER * number, number + _OVER * number]},
        y={**hidden, "range": [bottom, HEAD]},
        margin={"l": 150, "r": 150, "t": 4, "b": 12},
        shapes=[*shapes, *more_shapes],
        annotations=[*notes, *more_notes],
        showlegend=False,
        dragmode=False,
    )
    dots = {
        "type": "scatter", "mode": "markers", "x": [row["rank"] for row in rows], "y": [0] * number,
        "text": [label(row["method"]) for row in rows], "marker": {"color": BLACK, "size": 6},
        "hovertemplate": hover("%{text}", "mean rank %{x:.2f}"), "showlegend": False, "cliponaxis": False,
    }  # fmt: skip
    return {"data": [dots], "layout": made}


def _ruler(number: int, difference: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The line of ranks with its ticks, and the critical difference above it."""
    shapes = [_stroke(1, 0, number, 0, 1.4), *(_stroke(i, 0, i, 6, 1.4) for i in range(1, number + 1))]
    notes = [_note(str(i), i, 8, anchor="center", y_anchor="bottom") for i in range(1, number + 1)]
    end = 1 + min(difference, number - 1)
    shapes += [_stroke(1, 38, end, 38, 1.4), *(_stroke(x, 34, x, 42, 1.4) for x in (1, end))]
    words = f"Nemenyi's critical difference {difference:.2f}"
    notes.append(_note(words, end, 38, anchor="left", y_anchor="middle", shift=6))
    return shapes, notes


def _names(rows: Rows, first: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A line from each method's rank down and out to its name: the better half on the left."""
    number = len(rows)
    half = -(-number // 2)
    shapes, notes = [], []
    for i, row in enumerate(rows):
        left = i < half
        depth = first - NAME * ((i if left else number - 1 - i) + 0.5)
        end = 1 - _OVER * number if left else number + _OVER * number
        shapes += [_stroke(row["rank"], 0, row["rank"], depth, 1.0), _stroke(row["rank"], depth, end, depth, 1.0)]
        words = [label(row["method"]), f"<b>{row['rank']:.2f}</b>"]
        text = "  ".join(words if left else reversed(words))
        anchor, shift = ("right", -5) if left else ("left", 5)
        notes.append(_note(text, end, depth, anchor=anchor, y_anchor="middle", shift=shift))
    return shapes, notes


def _stroke(x0: float, y0: float, x1: float, y1: float, width: float, colour: str = GREY) -> dict[str, Any]:
    return {"type": "line", "x0": x0, "y0": y0, "x1": x1, "y1": y1, "line": {"color": colour, "width": width}}


def _note(text: str, x: float, y: float, *, anchor: str, y_anchor: str, shift: int = 0) -> dict[str, Any]:
    return {
        "text": text, "x": x, "y": y, "xanchor": anchor, "yanchor": y_anchor, "xshift": shift, "showarrow": False,
        "font": {"size": 12.5, "color": BLACK}, "align": anchor,
    }  # fmt: skip


def improvement_figure(rows: Rows, names: Sequence[str]) -> Figure:
    """Probability that the method of the row is better than that of the column.

    Args:
        rows: Of the table `improvement`.
        names: Methods in the order of the overview.
    """
    found = {(row["method"], row["than"]): row for row in rows}
    number = len(names)
    places = list(range(number))
    z: list[list[float | None]] = [[found[a, b]["p"] if a != b else None for b in names] for a in names]
    text = [[f"{value:.2f}" if value is not None else "" for value in line] for line in z]
    hints = [
        [
            f"{label(a)} better than {label(b)}: {found[a, b]['p']:.3f} [{found[a, b]['low']:.3f}, "
            f"{found[a, b]['high']:.3f}]"
            if a != b
            else ""
            for b in names
        ]
        for a in names
    ]
    heat = {
        "type": "heatmap", "x": places, "y": places, "z": z, "zmin": 0, "zmax": 1, "xgap": 1, "ygap": 1,
        "colorscale": [[0, VERMILION], [0.5, _MIDDLE], [1, BLUE]], "showscale": False, "text": text,
        "texttemplate": "%{text}", "textfont": {"size": 11}, "customdata": hints,
        "hovertemplate": hover("%{customdata}"), "hoverongaps": False,
    }  # fmt: skip
    shown = [label(name) for name in names]
    x = {"tickvals": places, "ticktext": shown, "tickangle": -40, "side": "top", "showgrid": False, "ticks": ""}
    y = {"tickvals": places, "ticktext": shown, "autorange": "reversed", "showgrid": False, "ticks": ""}
    made = layout(height=130 + 30 * number, x={**x, "fixedrange": True}, y={**y, "fixedrange": True}, showlegend=False)
    made["margin"] = {"l": 20, "r": 40, "t": 20, "b": 10}
    made["dragmode"] = False
    return {"data": [heat], "layout": made}
