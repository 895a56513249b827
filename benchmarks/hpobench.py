"""HPOBench's protocol over its families: the figures of a study's folder as a page, CSV and pictures.

    luthier bench run --preset hpobench --out DIR
    python benchmarks/hpobench.py DIR

Figures go to docs/results/hpobench.md and .json, tables and pictures to docs/results/hpobench/.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

from luthier.bench.studies.analysis import Table, analyse  # noqa: E402
from luthier.bench.studies.store import Store  # noqa: E402
from luthier.bench.studies.writers import to_csv  # noqa: E402
from luthier.report.comparison import write_pictures  # noqa: E402

TABLES = ("overview", "summary", "findings", "protocol", "pairs", "failures", "overhead", "conclusions", "provenance")
HERE = _machine.RESULTS / "hpobench"
QUESTIONS = {
    1: "Better than the baseline at the end:",
    2: "Ahead early by cheap fidelities, and less so at the end:",
    3: "Nobody is the best everywhere:",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="where `luthier bench run` left its results")
    folder = parser.parse_args().folder
    tables = {table.name: table for table in analyse(folder)}
    HERE.mkdir(parents=True, exist_ok=True)
    for name in TABLES:
        (HERE / f"{name}.csv").write_text(to_csv(tables[name]), encoding="utf-8", newline="\n")
    with tempfile.TemporaryDirectory() as made:
        for picture in write_pictures(list(tables.values()), Path(made)):
            shutil.copy(picture, HERE)
    pictures = sorted(path.name for path in HERE.glob("*.svg"))
    data = {"date": date.today().isoformat(), **{name: tables[name].rows for name in ("overview", "findings")}}
    text = _text(tables, pictures, _cells(folder, tables["overview"]))
    print(_machine.write("hpobench", "HPOBench's protocol", text, data))


def _cells(folder: Path, overview: Table) -> list[dict[str, Any]]:
    """What was run of each method."""
    found = []
    for name in (row["method"] for row in overview.rows):
        cells = Store(folder, name.partition(",")[0]).cells
        seeds = {seed for _, seed in cells}
        found.append(
            {
                "method": name, "tasks": len({task for task, _ in cells}), "seeds": len(seeds), "runs": len(cells),
                "failed": sum(bool(cell.error) for cell in cells.values()),
                "CPU s a run": _short(sum(c.cpu_seconds for c in cells.values()) / max(len(cells), 1)),
            }
        )  # fmt: skip
    return found


def _text(tables: dict[str, Table], pictures: Sequence[str], cells: list[dict[str, Any]]) -> str:
    overview, findings, about = tables["overview"], tables["findings"], tables["provenance"].rows
    kept = {row["what"]: row["value"] for row in about}
    parts = [
        f"{kept.get('about', '')} One worker, in virtual time that counts what the benchmark says it costs. Regret is "
        "normalised: 0 is the best known of a task, 1 a median random configuration.",
        "## At the end of the budget",
        _machine.table(
            [
                {
                    "method": row["method"],
                    "mean rank [95 %]": _range(row, "rank"),
                    "median regret [95 %]": _range(row, "regret"),
                    "best on": row["best_on"],
                    "wins, ties, losses against the control": _counts(row),
                    "thinking, ms an evaluation": _short(row["thinking_ms"]),
                }
                for row in overview.rows
            ]
        ),
        *(f"![{name.removesuffix('.svg')}](hpobench/{name})" for name in pictures),
        "## Findings of the paper",
        _summary(findings.rows),
        findings.about,
        _machine.table(
            [
                {
                    "finding": row["statement"],
                    "verdict": row["verdict"],
                    "wins, ties, losses": _counts(row),
                    "shift [95 %]": _range(row, "shift"),
                    "effect": _short(row.get("effect")),
                    "p": _short(row.get("p")),
                }
                for row in findings.rows
            ]
        ),
        "## What may not be concluded",
        "\n".join(f"- {row['sentence']}" for row in tables["conclusions"].rows),
        "## Runs",
        _machine.table(cells),
        f"Study {kept.get('plan')}. {date.today()}. {_machine_line()}",
    ]
    return "\n\n".join(parts)


def _machine_line() -> str:
    found = _machine.machine(("luthier", "numpy", "scipy", "scikit-learn"))
    return ", ".join(f"{key} {value}" for key, value in found.items()) + ". Versions of tools: provenance.csv."


def _summary(rows: list[dict[str, Any]]) -> str:
    """How many statements of each question came out how."""
    said = []
    for question, words in QUESTIONS.items():
        verdicts = Counter(row["verdict"] for row in rows if row["question"] == question)
        said.append(f"{words} " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()) + ".")
    return "Verdicts. " + " ".join(said)


def _counts(row: dict[str, Any]) -> str:
    return ", ".join(str(row[name]) for name in ("wins", "ties", "losses") if row.get(name) is not None)


def _range(row: dict[str, Any], name: str) -> str:
    if row.get(name) is None:
        return ""
    return f"{_short(row[name])} [{_short(row.get(f'{name}_low'))}, {_short(row.get(f'{name}_high'))}]"


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
