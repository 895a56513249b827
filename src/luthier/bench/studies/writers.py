"""Tables as files: CSV with all digits, LaTeX to be read, JSON for pages; equal tables give equal bytes."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.bench.studies.analysis import Table

LONGEST = 100  # rows of a LaTeX table; beyond, it is data for a picture
_SPECIAL = {
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": "$<$",
    ">": "$>$",
}
_PATTERN = re.compile("|".join(map(re.escape, _SPECIAL)))


def to_csv(table: Table) -> str:
    """All rows; ten significant digits, nothing for what is missing."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _columns(table.rows), lineterminator="\n", restval="")
    writer.writeheader()
    for row in table.rows:
        writer.writerow({key: _exact(value) for key, value in row.items()})
    return out.getvalue()


def to_latex(table: Table) -> str:
    """A booktabs table with caption and label; four significant digits."""
    columns = _columns(table.rows)
    numeric = {key for key in columns if all(isinstance(r.get(key), (int, float, type(None))) for r in table.rows)}
    lines = [
        r"\begin{table}",
        rf"\caption{{{_escaped(table.title)}. {_escaped(table.about)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{''.join('r' if key in numeric else 'l' for key in columns)}}}",
        r"\toprule",
        " & ".join(_escaped(key.replace("_", " ")) for key in columns) + r" \\",
        r"\midrule",
        *(" & ".join(_escaped(_short(row.get(key))) for key in columns) + r" \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def to_json(tables: Sequence[Table]) -> str:
    """All tables by name; infinity and NaN become texts, as JSON has neither."""
    found = {
        table.name: {"title": table.title, "about": table.about, "rows": table.rows, "data": table.data}
        for table in tables
    }
    return json.dumps(_plain(found), indent=1) + "\n"


def write(tables: Sequence[Table], folder: str | Path) -> list[Path]:
    """Write NAME.csv for each table, NAME.tex for each that can be read, and tables.json; the paths."""
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    texts = {f"{table.name}.csv": to_csv(table) for table in tables}
    texts |= {f"{table.name}.tex": to_latex(table) for table in tables if len(table.rows) <= LONGEST}
    texts["tables.json"] = to_json(tables)
    for name, text in texts.items():
        (home / name).write_text(text, encoding="utf-8", newline="\n")
    return [home / name for name in texts]


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _exact(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _short(value: Any) -> str:
    if value is None:
        return "--"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    return _PATTERN.sub(lambda found: _SPECIAL[found.group()], text)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
