"""Rows of a comparison's tables as HTML: numbers for the eye, intervals drawn, long tables folded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from luthier.report._html import element, escape
from luthier.report._values import short

Row = Mapping[str, Any]


class Column(NamedTuple):
    """A column of a sheet.

    Args:
        title: Its heading.
        cell: From a row to markup.
        number: Whether it is aligned as numbers are.
        hint: What it means, shown when the heading is pointed at.
    """

    title: str
    cell: Callable[[Row], str]
    number: bool = True
    hint: str = ""


def text(key: str, title: str, hint: str = "") -> Column:
    """A column of words."""
    return Column(title, lambda row: escape("–" if row.get(key) is None else row[key]), False, hint)


def figure(key: str, title: str, hint: str = "", *, digits: int = 3) -> Column:
    """A column of numbers."""
    return Column(title, lambda row: number(row.get(key), digits), True, hint)


def probable(key: str, title: str, hint: str = "") -> Column:
    """A column of p-values."""
    return Column(title, lambda row: p_value(row.get(key)), True, hint)


def between(key: str, low: str, high: str, title: str, hint: str = "", *, digits: int = 3) -> Column:
    """A column of estimates with their intervals."""

    def cell(row: Row) -> str:
        if row.get(key) is None:
            return "–"
        ends = f"{number(row[low], digits)}, {number(row[high], digits)}"
        return f"{number(row[key], digits)} {element('small', f'[{ends}]')}"

    return Column(title, cell, True, hint)


def counted(keys: Sequence[str], title: str, hint: str = "") -> Column:
    """A column of several counts, such as wins / ties / losses."""

    def cell(row: Row) -> str:
        if all(row.get(key) is None for key in keys):
            return "–"
        return " / ".join("–" if row.get(key) is None else str(row[key]) for key in keys)

    return Column(title, cell, True, hint)


def ranged(key: str, low: str, high: str, title: str, hint: str = "") -> Column:
    """A column of shares drawn as a point with an interval on a scale from 0 to 1 with its middle."""

    def cell(row: Row) -> str:
        if row.get(key) is None:
            return "–"
        at, first, last = (4 + 92 * min(1.0, max(0.0, float(row[name]))) for name in (key, low, high))
        words = f"{row[key]:.2f}, interval {row[low]:.2f} to {row[high]:.2f}"
        return (
            f'<svg class="range" width="100" height="14" role="img" aria-label="{words}"><title>{words}</title>'
            '<line x1="4" x2="96" y1="7" y2="7" class="scale"/><line x1="50" x2="50" y1="1" y2="13" class="scale"/>'
            f'<line x1="{first:.1f}" x2="{last:.1f}" y1="7" y2="7" class="span"/>'
            f'<circle cx="{at:.1f}" cy="7" r="3.5"/></svg> {row[key]:.2f}'
        )

    return Column(title, cell, True, hint)


def number(value: Any, digits: int = 3) -> str:
    """A number for the eye; infinity by its sign."""
    if value is None or isinstance(value, str):
        return "–" if value is None else escape(value)
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return short(value, digits).replace("-", "−")


def p_value(value: float | None) -> str:
    """A p-value for the eye."""
    if value is None:
        return "–"
    return "&lt; 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def sheet(
    rows: Sequence[Row], columns: Sequence[Column], *, label: str, strong: Callable[[Row], bool] | None = None
) -> str:
    """Rows as a table that scrolls sideways where it has to; the first column is its heading and stays.

    Args:
        rows: The rows.
        columns: What of them is shown.
        label: What the table is, for those who do not see it.
        strong: Which rows are brought out.
    """
    head = "".join(
        element("th", escape(one.title), scope="col", **_about(one), class_="number" if one.number else "words")
        for one in columns
    )
    body = "".join(_line(row, columns, strong is not None and strong(row)) for row in rows)
    table = element("table", f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>", class_="sheet")
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)


def _about(one: Column) -> dict[str, str]:
    return {"title": one.hint} if one.hint else {}


def _line(row: Row, columns: Sequence[Column], strong: bool) -> str:
    first, *rest = columns
    cells = element("th", first.cell(row), scope="row")
    cells += "".join(element("td", one.cell(row), class_="number" if one.number else "words") for one in rest)
    return element("tr", cells, **({"class_": "first"} if strong else {}))


def folded(title: str, inside: str) -> str:
    """What is there for those who ask."""
    return element("details", element("summary", escape(title)) + inside)


def plain(rows: Sequence[Row], *, label: str) -> str:
    """Rows with all their keys as they are, the keys as headings."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    columns = [
        figure(key, key.replace("_", " "), digits=4) if _numeric(rows, key) else text(key, key.replace("_", " "))
        for key in keys
    ]
    return sheet(rows, columns, label=label)


def _numeric(rows: Sequence[Row], key: str) -> bool:
    known = [row[key] for row in rows if row.get(key) is not None]
    return bool(known) and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known)
