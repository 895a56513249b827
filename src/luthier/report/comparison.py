"""The page of a comparison: one HTML file with the tables and pictures of a study of methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.bench.studies.analysis import Table
from luthier.report._comparison import ALL, comparison_sections, looks_of
from luthier.report._document import document, write_page
from luthier.report._html import element, escape
from luthier.report._sheets import number
from luthier.report._svg import to_svg
from luthier.report.figures.pairings import diagram_figure
from luthier.report.figures.regret import rank_figure, regret_figure

NAME = "comparison.html"


def write_comparison(tables: Sequence[Table], path: str | Path) -> Path:
    """Write a comparison as one static page; it asks nothing of the network, and equal tables give equal bytes.

    Args:
        tables: From `luthier.bench.studies.analysis.analyse`.
        path: File to write, replaced at once if it exists; a folder gets `comparison.html`.

    Returns:
        The file.

    Raises:
        ArgumentError: it cannot be written there.
    """
    return write_page(render_comparison(tables), path, NAME)


def write_pictures(tables: Sequence[Table], folder: str | Path) -> list[Path]:
    """Write regret.svg, ranks.svg and diagram.svg, as far as there are tables for them, for documents without script.

    Args:
        tables: From `luthier.bench.studies.analysis.analyse`.
        folder: Where; it has to exist.

    Returns:
        The files.
    """
    found = []
    for name, text in _pictures({table.name: table for table in tables}).items():
        path = Path(folder) / f"{name}.svg"
        path.write_text(text, encoding="utf-8", newline="\n")
        found.append(path)
    return found


def _pictures(tables: Mapping[str, Table]) -> dict[str, str]:
    """Name to SVG of the pictures that stand for themselves."""
    looks = looks_of(tables)
    mine = {row["method"]: looks[row["method"]] for row in tables["overview"].rows}
    every = [row for row in tables["curves"].rows if row["family"] == ALL]
    found = {"regret": to_svg(regret_figure(every, looks), looks=looks)}
    if len(mine) > 1:
        found["ranks"] = to_svg(rank_figure(tables["ranks"].rows, mine), looks=mine)
    if "diagram" in tables:
        found["diagram"] = to_svg(diagram_figure(tables["diagram"].rows, tables["diagram"].data))
    return found


def render_comparison(tables: Sequence[Table]) -> str:
    """The page as text.

    Args:
        tables: From `luthier.bench.studies.analysis.analyse`.

    Returns:
        A whole HTML document.
    """
    by_name = {table.name: table for table in tables}
    parts = comparison_sections(by_name)
    facts = by_name["overview"].data
    return document(
        facts["study"],
        _head(facts, by_name["overview"].rows),
        parts,
        element("main", "".join(part.markup() for part in parts)),
        _foot(facts),
        without_script="Pictures need JavaScript; all tables are here without it.",
    )


def _head(facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    parts = [
        element("p", "luthier <span>comparison of methods</span>", class_="brand"),
        element("h1", escape(facts["study"])),
        element("p", escape(facts["about"]), class_="subtitle") if facts["about"] else "",
        element("div", "".join(_cards(facts, rows)), class_="cards"),
        element("div", _plan(facts) + _machine(facts), class_="columns"),
    ]
    return element("header", "".join(parts))


def _card(title: str, figure: str, *lines: str) -> str:
    body = element("h2", title) + element("p", figure, class_="figure")
    return element("div", body + "".join(element("p", line) for line in lines if line), class_="card")


def _cards(facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    best = rows[0]
    rank = f"{number(best['rank'])} [{number(best['rank_low'])}, {number(best['rank_high'])}]"
    regret = f"median regret {number(best['regret'])}"
    families, tasks, seeds = len(facts["families"]), len(facts["tasks"]), len(facts["seeds"])
    workers = facts["workers"]
    return [
        _card("Lowest mean rank", escape(best["method"]), f"mean rank {rank}", regret),
        _card("Methods", _of(len(facts["methods"]), facts["methods_planned"]), f"control: {escape(facts['control'])}"),
        _card("Tasks", _of(tasks, facts["tasks_planned"]), f"from {families} famil{'ies' if families > 1 else 'y'}"),
        _card(
            "Seeds",
            _of(seeds, facts["seeds_planned"]),
            f"{facts['runs']} runs, {facts['trials']:,} trials".replace(",", "\u202f", 1).replace(",", "\u202f"),
            f"{workers} worker{'s' * (workers > 1)} each",
        ),
    ]  # fmt: skip


def _of(number_: int, planned: int) -> str:
    return str(number_) if number_ == planned else f"{number_} <small>of {planned} planned</small>"


def _rows(title: str, pairs: Sequence[tuple[str, str]]) -> str:
    body = "".join(
        element("tr", element("th", escape(key), scope="row") + element("td", value)) for key, value in pairs if value
    )
    table = element("table", f"<tbody>{body}</tbody>", class_="config facts")
    return element("section", element("h2", title) + element("div", table, class_="scroll"), class_="panel")


def _plan(facts: Mapping[str, Any]) -> str:
    families: dict[str, list[str]] = {}
    for task, family in zip(facts["tasks"], facts["family_of"], strict=True):
        families.setdefault(family, []).append(task)
    tasks = "<br>".join(f"<strong>{escape(name)}</strong> {escape(', '.join(of))}" for name, of in families.items())
    question = facts["question"]
    if facts["primary"] is not None:
        question += f": {facts['primary'][0]} against {facts['primary'][1]}"
    thinking = {"ignore": "not counted in virtual time", "count": "counted in real seconds"}
    return _rows(
        "What was compared",
        [
            ("question", escape(question)),
            ("part", "development tasks: no verdicts" if facts["part"] == "dev" else ""),
            ("methods", escape(", ".join(facts["methods"]))),
            ("tasks", tasks),
            ("budget", escape("; ".join(facts["budgets"]))),
            ("checkpoints", escape(", ".join(facts["checkpoints"]))),
            ("seeds", escape(_seeds(facts["seeds"]))),
            ("thinking", escape(thinking.get(facts["overhead"], "by a fixed model"))),
        ],
    )


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _machine(facts: Mapping[str, Any]) -> str:
    cpu, cores, system, python = facts["machine"]
    versions = ", ".join(f"{name} {value}" for name, value in sorted(facts["versions"].items()))
    return _rows(
        "Where and with what",
        [
            ("processor", escape(cpu)),
            ("cores", escape(cores)),
            ("system", escape(" ".join(word for word in (system, f"Python {python}" if python else "") if word))),
            ("versions", escape(versions)),
            ("plan", element("code", escape(facts["plan"]))),
            ("begun", escape(facts["begun"].replace("T", " "))),
            ("calls", escape(facts["runs_of_plan"]) if facts["runs_of_plan"] else ""),
        ],
    )


def _foot(facts: Mapping[str, Any]) -> str:
    words = f"Drawn by luthier from the runs of plan {facts['plan']}. Pictures by plotly.js (MIT)."
    return element("footer", element("p", escape(words)))
