"""Draws parallel coordinates as plain lines: they print, need no WebGL, and the page can brush them."""

from __future__ import annotations

from typing import Any

from luthier.report.figures._style import BLACK, CIVIDIS, FAINT, GREY, Figure, gapped, label, layout

#: Where lines run whose hyperparameter is not active: below the axis.
INACTIVE = -0.12


def parallel_figure(table: dict[str, Any], *, top: int | None = None) -> Figure:
    """One line a trial; the best `top` in colour (dark is best), the others behind them in grey.

    Args:
        table: From `report.parallel.parallel`.
        top: How many to colour; None: a tenth of them, at least ten.

    Returns:
        Data, layout, and `top`. Trace 0 is the grey background, then one trace for each shade, the best last.
    """
    lines, axes = table["lines"], table["axes"]
    top = min(len(lines), max(10, len(lines) // 10)) if top is None else top
    across = list(range(len(axes)))
    traces = [_trace(across, [line["at"] for line in lines[top:]], FAINT, 1.0, 0.55)]
    shades = CIVIDIS[:-1]  # its lightest shade is lost on white
    for shade in range(len(shades) - 1, -1, -1):
        share = [line["at"] for i, line in enumerate(lines[:top]) if i * len(shades) // max(1, top) == shade]
        traces.append(_trace(across, share, shades[shade], 1.4, 0.9))
    return {"data": traces, "layout": _layout(axes), "top": top}


def _trace(
    across: list[int], lines: list[list[float | None]], colour: str, width: float, opacity: float
) -> dict[str, Any]:
    placed = [[INACTIVE if at is None else at for at in line] for line in lines]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": gapped([across] * len(lines)),
        "y": gapped(placed),
        "line": {"color": colour, "width": width},
        "opacity": opacity,
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _layout(axes: list[dict[str, Any]]) -> dict[str, Any]:
    conditional = any(axis["when"] for axis in axes)
    shapes, notes = [], []
    for i, axis in enumerate(axes):
        shapes.append({"type": "line", "x0": i, "x1": i, "y0": 0, "y1": 1, "line": {"color": GREY, "width": 1.2}})
        title = label(_cut(axis["name"], 15))
        title = f"<b>{title}</b>" if axis["objective"] else title
        below = "<br><span style='font-size:10px'>log</span>" if axis["log"] else ""
        notes.append(_note(title + below, i, 1.17, yanchor="top", size=12.5, xanchor="center"))
        for place, text in axis["ticks"]:
            notes.append(_note(label(_cut(text, 12)), i, place, yanchor="middle", size=11, xanchor="left", xshift=5))
        if axis["when"]:
            notes.append(_note("not active", i, INACTIVE, yanchor="middle", size=11, xanchor="left", xshift=5))
    hidden = {"visible": False, "fixedrange": True}
    return layout(
        height=440 if conditional else 400,
        x={**hidden, "range": [-0.45, len(axes) - 1 + 0.55]},
        y={**hidden, "range": [INACTIVE - 0.05 if conditional else -0.05, 1.18]},
        margin={"l": 12, "r": 12, "t": 4, "b": 4},
        shapes=shapes,
        annotations=notes,
        showlegend=False,
        dragmode=False,
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _note(text: str, x: float, y: float, *, yanchor: str, size: float, xanchor: str, xshift: int = 0) -> dict[str, Any]:
    return {
        "text": text,
        "x": x,
        "y": y,
        "xanchor": xanchor,
        "yanchor": yanchor,
        "xshift": xshift,
        "showarrow": False,
        "font": {"size": size, "color": BLACK},
        "bgcolor": "rgba(255,255,255,0.78)" if size < 12 else "rgba(0,0,0,0)",
        "borderpad": 1,
    }
