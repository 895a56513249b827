"""The sections of a comparison's page, from its tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.bench.studies.analysis import Table
from luthier.report._html import element, escape
from luthier.report._methods import MethodLook, method_legend, method_looks, swatch
from luthier.report._section import Section, put, wide
from luthier.report._sheets import (
    Column,
    between,
    counted,
    figure,
    folded,
    plain,
    probable,
    ranged,
    sheet,
    text,
)
from luthier.report._values import short
from luthier.report.figures._style import Figure
from luthier.report.figures.attainment import attainment_figure
from luthier.report.figures.pairings import diagram_figure, improvement_figure
from luthier.report.figures.regret import (
    profile_figure,
    rank_figure,
    reached_figure,
    regret_figure,
    small_figure,
)

Tables = Mapping[str, Table]
Looks = dict[str, MethodLook]
ALL = "all families"
_KEY = re.compile(r"(^|\. )([a-z_]+(?:(?:, | )[a-z_/]+){0,2}):")  # up to three words before a colon
_WORD = re.compile(r"\b[a-z]+(?:_[a-z0-9]+)+\b")


def comparison_sections(tables: Tables) -> list[Section]:
    """All sections that there are tables for, in the order of the page."""
    looks = looks_of(tables)
    made = [
        _overview(tables, looks),
        _conclusions(tables),
        _primary(tables),
        _regret(tables, looks),
        _ranks(tables, looks),
        _diagram(tables),
        _profiles(tables, looks),
        _pairs(tables),
        _control(tables),
        _findings(tables),
        _fronts(tables, looks),
        _tasks(tables, looks),
        _overhead(tables),
        _failures(tables),
        _gaps(tables),
        _provenance(tables),
    ]
    return [section for section in made if section is not None]


def looks_of(tables: Tables) -> Looks:
    """How each method is drawn."""
    overview = tables["overview"]
    names = [row["method"] for row in overview.rows]
    return method_looks(
        names, overview.data["control"], list(dict.fromkeys(r["method"] for r in tables["curves"].rows))
    )


def _overview(tables: Tables, looks: Looks) -> Section:
    table = tables["overview"]
    control = table.data["control"]

    def named(row: Mapping[str, Any]) -> str:
        return element("span", swatch(looks[row["method"]]) + escape(row["method"]), class_="named")

    columns = [
        Column("method", named, False),
        between("rank", "rank_low", "rank_high", "mean rank", "with its 95 % interval"),
        between("regret", "regret_low", "regret_high", "median regret", "normalised, with its 95 % interval"),
        Column("best on", lambda row: f"{row['best_on']} <small>of {row['tasks']}</small>", hint="tasks"),
        counted(("wins", "ties", "losses"), f"against {control}", "tasks won / tied / lost"),
        counted(("failed_runs", "failed_trials"), "failed", "runs / trials"),
        figure("thinking_ms", "thinking, ms", "CPU time of the method for each evaluation"),
    ]
    body = sheet(table.rows, columns, label=table.title)
    return Section("overview", table.title, _how(table), body, short="Overview")


def _how(table: Table) -> str:
    """How to read a table: its keys brought out, with spaces for their underscores."""
    said = _KEY.sub(lambda found: f"{found[1]}<strong>{found[2]}</strong>:", escape(table.about).replace("`", ""))
    return _WORD.sub(lambda found: found[0].replace("_", " "), said)


def _conclusions(tables: Tables) -> Section | None:
    table = tables.get("conclusions")
    if table is None:
        return None
    items = "".join(element("li", escape(row["sentence"])) for row in table.rows)
    return Section("conclusions", table.title, _how(table), element("ul", items, class_="said"), short="Limits")


def _primary(tables: Tables) -> Section | None:
    table = tables.get("primary")
    if table is None:
        return None
    body = sheet(table.rows, [text("what", "measure"), text("value", "value")], label=table.title)
    return Section("primary", "Primary contrast: " + table.title, _how(table), body, short="Primary")


def _regret(tables: Tables, looks: Looks) -> Section:
    table = tables["curves"]
    figures: dict[str, Figure] = {}
    every = [row for row in table.rows if row["family"] == ALL]
    drawn = regret_figure(every, looks)
    body = method_legend(looks) + _switch("plot-regret", drawn)
    body += put(figures, "plot-regret", drawn, f"Regret of {len(looks)} methods over the budget")
    families = [name for name in dict.fromkeys(row["family"] for row in table.rows) if name != ALL]
    if families:
        parts = []
        for i, family in enumerate(families):
            rows = [row for row in table.rows if row["family"] == family]
            small = small_figure(rows, looks)
            parts.append(_titled(family, put(figures, f"plot-small-family-{i}", small, f"Regret, family {family}")))
        body += element("h3", "By family") + element("div", "".join(parts), class_="grid")
    how = _how(table) + " Choose methods in the legend to bring them out with their bands, in every picture."
    return Section("regret", table.title, how, body, figures, short="Regret")


def _titled(title: str, place: str) -> str:
    return element("figure", element("figcaption", escape(title), class_="above") + place)


def _switch(plot: str, drawn: Figure) -> str:
    buttons = "".join(
        element("button", key.capitalize(), type="button", data_key=key, aria_pressed=str(i == 0).lower())
        for i, key in enumerate(drawn["switches"]["y"])
    )
    group = element(
        "div", buttons, class_="switch", role="group", aria_label="Vertical axis", data_plot=plot, data_axis="y"
    )
    return element("div", group, class_="tools")


def _ranks(tables: Tables, looks: Looks) -> Section | None:
    table, names = tables["ranks"], [row["method"] for row in tables["overview"].rows]
    if len(names) < 2:
        return None
    figures: dict[str, Figure] = {}
    mine = {name: looks[name] for name in names}
    place = put(figures, "plot-ranks", rank_figure(table.rows, mine), "Mean rank over the budget")
    return Section("ranks", table.title, _how(table), method_legend(mine) + place, figures, short="Ranks")


def _diagram(tables: Tables) -> Section | None:
    table = tables.get("diagram")
    if table is None:
        return None
    figures: dict[str, Figure] = {}
    drawn = diagram_figure(table.rows, table.data)
    place = put(figures, "plot-diagram", drawn, f"Critical-difference diagram of {len(table.rows)} methods")
    body = wide(place, 640)
    columns = [
        text("method", "method"), figure("rank", "mean rank of task medians"), text("groups", "groups"),
        text("nemenyi", "by Nemenyi"),
    ]  # fmt: skip
    body += folded("The groups as a table", sheet(table.rows, columns, label=table.title))
    how = " A thick bar joins methods that the tests do not tell apart."
    return Section("diagram", table.title, _how(table) + how, body, figures, short="Critical difference")


def _profiles(tables: Tables, looks: Looks) -> Section:
    table, other = tables["profiles"], tables["reached"]
    figures: dict[str, Figure] = {}
    body = method_legend(looks) + put(figures, "plot-profiles", profile_figure(table.rows, looks), table.title)
    body += element("h3", escape(other.title)) + element("p", _how(other), class_="how")
    body += put(figures, "plot-reached", reached_figure(other.rows, looks), other.title)
    return Section("profiles", table.title, _how(table), body, figures, short="Profiles")


def _pairs(tables: Tables) -> Section | None:
    table = tables.get("improvement")
    if table is None:
        return None
    figures: dict[str, Figure] = {}
    names = [row["method"] for row in tables["overview"].rows]
    place = put(figures, "plot-improvement", improvement_figure(table.rows, names), table.title)
    body = wide(place, 170 + 52 * len(names))
    how = _how(table) + " In the picture: of the row's method over the column's."
    pairs = tables.get("pairs")
    if pairs is not None:
        columns = [
            Column("pair", lambda row: f"{escape(row['method'])} – {escape(row['than'])}", False),
            counted(("wins", "ties", "losses"), "tasks", "won / tied / lost by the first"),
            between("shift", "shift_low", "shift_high", "shift", "of normalised regret, below 0: the first is better"),
            figure("effect", "effect", "matched pairs, -1 to 1", digits=2),
            ranged("p_better", "p_better_low", "p_better_high", "P(first better)", "of a run, with 95 % interval"),
            probable("p", "p", "Wilcoxon, two-sided"),
            probable("p_holm", "p (Holm)", "adjusted for all pairs"),
        ]
        inside = element("p", _how(pairs), class_="how") + sheet(
            pairs.rows, columns, label=pairs.title, strong=lambda row: row["p_holm"] < 0.05
        )
        body += folded(f"All {len(pairs.rows)} pairs with tests", inside)
    return Section("pairs", table.title, how, body, figures, short="Pairs")


def _control(tables: Tables) -> Section | None:
    table = tables.get("against_control")
    if table is None:
        return None
    columns = [
        text("method", "method"),
        between("difference", "low", "high", "difference", "of log10 normalised regret, mixed model"),
        probable("p", "p"), probable("p_holm", "p (Holm)"),
        ranged("p_better", "p_better_low", "p_better_high", "P(better run)"),
        Column("P(better, same, worse)", _posterior, hint="Bayesian signed-rank test"),
        probable("p_equivalent", "p (equivalent)", "two one-sided tests"),
    ]  # fmt: skip
    body = sheet(table.rows, columns, label=table.title, strong=lambda row: row["p_holm"] < 0.05)
    parts = ", ".join(f"{escape(name)} {short(value, 3)}" for name, value in table.data["components"].items())
    note = (
        f"Mixed model of all methods: F = {short(table.data['F'], 3)}, p = {table.data['p']:.2g}. Variances: {parts}."
    )
    return Section("control", table.title, _how(table), body + element("p", note, class_="note"), short="Control")


def _posterior(row: Mapping[str, Any]) -> str:
    return " / ".join(f"{row[key]:.2f}" for key in ("posterior_better", "posterior_same", "posterior_worse"))


def _findings(tables: Tables) -> Section | None:
    table = tables.get("findings")
    if table is None:
        return None
    words = {"holds": "holds", "does not hold": "fails", "undecided": "open"}
    columns = [
        text("statement", "statement"),
        Column(
            "verdict", lambda r: element("span", escape(r["verdict"]), class_=f"verdict {words[r['verdict']]}"), False
        ),
        ranged("won", "won_low", "won_high", "tasks won", "by the first of the statement, with 95 % interval"),
        counted(("wins", "ties", "losses"), "won / tied / lost"),
        between("shift", "shift_low", "shift_high", "shift", "below 0 speaks for the statement"),
        figure("effect", "effect", "matched pairs, -1 to 1", digits=2),
        probable("p", "p", "one-sided"),
    ]
    titles = {
        1: "Question 1: better than random search and Hyperband at the end?",
        2: "Question 2: does the multi-fidelity method lead, and does its lead fade?",
        3: "And no single winner?",
    }
    body = ""
    for question, title in titles.items():
        rows = [row for row in table.rows if row["question"] == question]
        if rows:
            body += element("h3", title) + sheet(rows, columns, label=title)
    protocol = tables.get("protocol")
    if protocol is not None:
        inside = element("p", _how(protocol), class_="how") + sheet(protocol.rows, _signs(), label=protocol.title)
        body += folded("Every sign test of the protocol", inside)
    return Section("findings", table.title, _how(table), body, short="Findings")


def _signs() -> list[Column]:
    return [
        Column("after – before", lambda row: f"{escape(row['after'])} – {escape(row['before'])}", False),
        text("at", "at"), text("kind", "kind"), counted(("wins", "ties", "losses"), "won / tied / lost"),
        probable("p", "p", "one-sided sign test"),
        Column("significant", lambda row: {True: "yes", False: "no"}.get(row["significant"], "–"), False),
        between("shift", "shift_low", "shift_high", "shift"), figure("effect", "effect", digits=2),
    ]  # fmt: skip


def _fronts(tables: Tables, looks: Looks) -> Section | None:
    table = tables.get("fronts")
    if table is None:
        return None
    figures: dict[str, Figure] = {}
    body = ""
    surfaces: Sequence[Mapping[str, Any]] = table.data["surfaces"]
    if surfaces:
        mine = {row["method"]: looks[row["method"]] for row in tables["overview"].rows}
        parts = [
            _titled(one["task"], put(figures, f"plot-small-front-{i}", attainment_figure(one, mine), one["task"]))
            for i, one in enumerate(surfaces)
        ]
        told = (
            "Median attainment surfaces: the line of a method is what half of its runs reach or beat. Dots are the "
            "known front, dotted lines the reference point. An objective with a minus sign is maximised."
        )
        body += method_legend(mine) + element("p", told, class_="how") + element("div", "".join(parts), class_="grid")
    columns = [
        text("task", "task"), text("method", "method"),
        Column("hypervolume", lambda r: f"{short(r['hypervolume'], 4)} <small>of {short(r['best_known'], 4)}</small>"),
        figure("igd_plus", "IGD+"), figure("points", "points"), figure("runs_without", "runs without"),
    ]  # fmt: skip
    body += folded("Hypervolume and IGD+ on every task", sheet(table.rows, columns, label=table.title))
    return Section("fronts", table.title, _how(table), body, figures, short="Fronts")


def _tasks(tables: Tables, looks: Looks) -> Section:
    curves, table = tables["task_curves"], tables["tasks"]
    figures: dict[str, Figure] = {}
    parts = []
    for i, task in enumerate(dict.fromkeys(row["task"] for row in curves.rows)):
        rows = [row for row in curves.rows if row["task"] == task]
        small = small_figure(rows, looks)
        parts.append(_titled(task, put(figures, f"plot-small-task-{i}", small, f"Regret on {task}")))
    body = method_legend(looks) + element("div", "".join(parts), class_="grid")
    body += folded("Medians as a table", sheet(table.rows, _medians(table), label=table.title))
    return Section("tasks", table.title, _how(curves), body, figures, short="Tasks")


def _medians(table: Table) -> list[Column]:
    known = [text("task", "task"), text("at", "at")]
    names = [
        key for key in dict.fromkeys(key for row in table.rows for key in row) if key not in ("at", "family", "task")
    ]
    return [*known, *(figure(name, name) for name in names)]


def _overhead(tables: Tables) -> Section:
    table = tables["overhead"]

    def part(cost: str) -> Column:
        key = f"thinking_share_at_{cost.replace(' ', '_')}"
        return Column(f"share at {cost}", lambda row: _percent(row[key]), hint="thinking in the whole time")

    columns = [
        text("method", "method"), figure("cpu_ms_per_evaluation", "ms each", "CPU time for each evaluation"),
        figure("cpu_seconds_per_run", "CPU s a run"), figure("wall_seconds_per_run", "wall s a run"),
        figure("evaluations_per_run", "evaluations"), figure("trials_per_run", "trials"),
        figure("utilisation", "utilisation", digits=2), part("1 s"), part("1 min"), part("1 h"),
        figure("better_from_seconds", "better from, s", "cost of an evaluation from which on it beats the control"),
    ]  # fmt: skip
    body = sheet(table.rows, columns, label=table.title)
    return Section("overhead", table.title, _how(table), body + folded("All figures", plain(table.rows, label="All")))


def _failures(tables: Tables) -> Section:
    table, skipped = tables["failures"], tables.get("skipped")
    columns = [
        text("method", "method"), figure("runs", "runs"), figure("failed_runs", "failed"),
        figure("runs_without_result", "without result"), figure("trials", "trials"),
        figure("failed_trials", "failed trials"),
        Column("infeasible", lambda row: _percent(row["infeasible_share"]), hint="share of reports"),
        Column("first result", lambda r: _percent(r["first_result_at"]), hint="share of the budget, mean"),
        text("usual_error", "usual error"),
    ]  # fmt: skip
    body = sheet(table.rows, columns, label=table.title)
    if skipped is not None:
        body += element("h3", escape(skipped.title)) + element("p", _how(skipped), class_="how")
        body += sheet(skipped.rows, [text("what", "what"), text("why", "why")], label=skipped.title)
    return Section("failures", table.title, _how(table), body)


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    return "&lt; 0.01 %" if 0 < share < 1e-4 else f"{100 * share:.2g} %"


def _gaps(tables: Tables) -> Section | None:
    table = tables.get("gaps")
    if table is None:
        return None
    columns = [
        text("task", "task"), text("method", "method"), figure("test", "test value"),
        figure("test_regret", "test regret"), figure("validation_regret", "validation regret"),
    ]  # fmt: skip
    body = folded(f"{len(table.rows)} rows", sheet(table.rows, columns, label=table.title))
    return Section("gaps", table.title, _how(table), body, short="Test values")


def _provenance(tables: Tables) -> Section:
    table = tables["provenance"]
    how = "Versions, hashes, seeds, machine, budgets and commands, from which all of this can be made again."
    body = folded(
        f"{len(table.rows)} entries",
        sheet(table.rows, [text("what", "what"), text("value", "value")], label="Provenance"),
    )
    return Section("provenance", table.title, how, body)
