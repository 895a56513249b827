"""Tables of the comparison in virtual time, from the cells that are there: docs/results/multi_fidelity.md and .json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import _machine
import _stats
import numpy as np
from _anytime import Cell, Store
from scipy.stats import wilcoxon

FOLDER = _machine.RESULTS / "multi_fidelity"
CONTROL, CHALLENGER = "asha", "cqr+asha"
#: Tools without early stopping: they stand in every group.
YARDSTICKS = ("random", "tpe", "cqr")
MARKS = {"10 %": 0.1, "30 %": 0.3, "100 %": 1.0}
#: What is judged; the first is the one that was chosen beforehand.
MEASURES = ("100 %", "30 %", "10 %", "anytime")
#: Random search with more time: read off its longer runs.
STRETCHED = {"random, 2 x time": 2.0, "random, 4 x time": 4.0}
#: A table for the tools with at least so many complete seeds; a slow tool must not cut the others' seeds down.
FEWEST_SEEDS = (30, 10, 5, 3, 2, 1)

SIGNAL = (
    "Spearman correlation between the accuracy of 1000 random configurations at an epoch and at the last one. The "
    "surrogate's first epoch says nothing about the last on nearly all instances, and most tools judge there by "
    "default: whoever trusts those values is misled. So all schedulers ran a second time, with their first judgement "
    "at epoch 3 (grace, min_resource, grace_period). That was decided after two seeds, for all tools alike."
)

PROTOCOL = """
- Instances: ten of yahpo/lcbench (52 epochs), those that the comparison of searchers is judged on. Curves are the
  surrogate's: deterministic, the time of a training adds up over its epochs.
- Four asynchronous workers in virtual time, without delays; what a tool thinks takes no virtual time (overhead
  "ignore"). Budget: the time in which four workers train about fifty random configurations to the end, from the mean
  cost of 1000 fixed random ones; see the table.
- Incumbent: the trial with the highest epoch reported, then the highest validation accuracy seen. Scored by the
  surrogate's accuracy of its configuration at epoch 52, which costs nothing and which no tool sees: (score - best) /
  (median random configuration - best) within [0, 1.5], best and median as in quality.md. Before the first report the
  incumbent counts as a median random configuration (1).
- Anytime: mean over 200 log-spaced moments from a thousandth of the budget to all of it.
- All tools at their documented defaults with their own initial designs, seeds paired; ours without the space's
  default configuration as first trial. Under one seed random search proposes the same configurations to every
  scheduler of ours.
- Peers decide inside our executor, on the same curves and clock: Optuna's TPE with its HyperbandPruner (told the full
  resource), Syne Tune's schedulers by their suggest and on_trial_result.
- Tests: one number a task (the median over seeds), Wilcoxon with Pratt's zeros, Holm over the tools of a table. Inside
  one instance: Wilcoxon over paired seeds, Holm over the instances; such a result speaks of that instance.
- Trials that are known to be behind count for models (docs/decisions.md). On the same cells cqr under asha ended better
  with them than without on 9 of 10 instances, and bore worse on 7 (medians over 30 seeds; p = 0.02 and 0.1); its
  threshold was mended after that on development instances, which here made no difference (better on 5, worse on 5).
  From epoch 3 on cqr gained on 9 of 10 (mean regret 0.179 -> 0.140), bore on 6, with 3 worse (0.153 -> 0.146).
""".strip()


def measures(cell: Cell, stretch: float = 1.0) -> dict[str, float]:
    """All scores of a cell, less is better."""
    found = {name: float(cell.at([at * stretch])[0]) for name, at in MARKS.items()}
    return {**found, "anytime": cell.anytime(stretch)}


def gather(stores: Mapping[str, Store], tasks: Sequence[str], seeds: Sequence[int]) -> dict[str, dict[str, np.ndarray]]:
    """Measure to tool to (tasks, seeds); random search with more time too."""
    views = [(tool, tool, 1.0) for tool in stores]
    views += [(shown, "random", times) for shown, times in STRETCHED.items() if "random" in stores]
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in MEASURES}
    for shown, tool, stretch in views:
        rows = [[measures(stores[tool].cells[task, seed], stretch) for seed in seeds] for task in tasks]
        for name in MEASURES:
            found[name][shown] = np.array([[one[name] for one in row] for row in rows])
    return found


def write(
    budgets: Mapping[str, float], development: Mapping[str, float], signal: Mapping[str, Mapping[int, float]]
) -> Path:
    """Read all cells, and write the report.

    Args:
        budgets: Judged task to virtual seconds.
        development: The same of the others.
        signal: Task to epoch to the rank correlation of its values with those of the last epoch.
    """
    tasks = list(budgets)
    stores = {path.stem: Store(path) for path in sorted(FOLDER.glob("*.npz"))}
    data: dict[str, Any] = {"date": date.today().isoformat(), "budgets": {**budgets, **development}}
    parts = [
        "How soon does early stopping find good networks? Luthier's methods have plain names (a searcher alone runs "
        "every trial to its end; a scheduler alone goes with random search); peers are named after their tool. "
        "Normalised regret: 0 is the best of an instance, 1 a median random configuration. Intervals are 95 % (tasks "
        "drawn again, then seeds inside them)."
    ]
    data["sections"], data["development"] = groups(stores, tasks), groups(stores, list(development))
    data["signal"] = dict(signal)
    parts += [paragraph for one in data["sections"] for paragraph in text(one)]
    if data["development"]:
        parts.append("# Development instances: defaults may be chosen on them, and they are no part of the verdict")
        parts += [paragraph for one in data["development"] for paragraph in text(one)]
    data["cells"], words = coverage(stores, tasks)
    parts += ["## What early epochs say", SIGNAL, _machine.table([
        {"instance": task, **{f"epoch {epoch}": f"{value:+.2f}" for epoch, value in by.items()}}
        for task, by in signal.items()
    ])]  # fmt: skip
    parts += ["## Runs", *words, "## How", PROTOCOL, "Budgets: " + ", ".join(
        f"{task} {seconds:.0f} s" for task, seconds in data["budgets"].items()) + "."]  # fmt: skip
    about = _machine.machine(["luthier", "numpy", "scipy", "onnxruntime"])
    data["machine"], data["versions"] = about, {tool: store.versions for tool, store in stores.items()}
    versions = sorted({f"{k} {v}" for one in data["versions"].values() for k, v in one.items()})
    parts.append(f"{', '.join(f'{k} {v}' for k, v in about.items())}. Tools: {', '.join(versions)}.")
    parts.append(f"`python benchmarks/multi_fidelity.py report`, {data['date']}.")
    return _machine.write("multi_fidelity", "Early stopping in virtual time", "\n\n".join(parts), data)


def groups(stores: Mapping[str, Store], tasks: Sequence[str]) -> list[dict[str, Any]]:
    """All sections: tools that judge from the first epoch on, as is their default, then those that do so later."""
    marks = sorted({tool.partition("@")[2] for tool in stores})
    found = []
    for mark in marks:
        chosen = {tool: s for tool, s in stores.items() if tool.partition("@")[2] == mark or tool in YARDSTICKS}
        suffix = f"@{mark}" if mark else ""
        found += [{**one, "mark": mark} for one in sections(chosen, tasks, suffix)]
    return found


def sections(stores: Mapping[str, Store], tasks: Sequence[str], suffix: str) -> list[dict[str, Any]]:
    """One for each set of tools that have enough seeds in common, of two tools and more."""
    seeds = {tool: store.seeds(tasks) for tool, store in stores.items()}
    found, shown = [], []
    for fewest in FEWEST_SEEDS:
        tools = {tool for tool in stores if len(seeds[tool]) >= fewest}
        if len(tools) < 2 or tools in shown:
            continue
        shown.append(tools)
        common = sorted(set.intersection(*(seeds[tool] for tool in tools)))
        if common:
            found.append(section({tool: stores[tool] for tool in sorted(tools)}, tasks, common, suffix))
    return found


def section(stores: Mapping[str, Store], tasks: Sequence[str], seeds: Sequence[int], suffix: str) -> dict[str, Any]:
    """All figures of some tools on the seeds that they have in common."""
    scores, control, challenger = gather(stores, tasks, seeds), CONTROL + suffix, CHALLENGER + suffix
    tools = list(scores[MEASURES[0]])
    rows: dict[str, dict[str, Any]] = {tool: {"tool": tool} for tool in tools}
    found: dict[str, Any] = {"seeds": list(seeds), "tasks": list(tasks), "rows": rows, "tests": {}}
    for name in MEASURES:
        every = np.array([scores[name][tool] for tool in tools])  # (tools, tasks, seeds)
        medians, ranks = np.median(every, axis=2), _stats.paired_ranks(np.round(every, 9))
        for i, tool in enumerate(tools):
            rows[tool][name] = {
                "rank": float(ranks[i].mean()),
                "rank_95": _stats.interval(ranks[i]),
                "mean": float(medians[i].mean()),
                "iqm": _stats.interquartile_mean(medians[i]),
                "tasks": dict(zip(tasks, medians[i].tolist(), strict=True)),
            }
        if control in tools and len(tasks) >= _stats.FEWEST:
            pairs = _stats.against(medians, tools.index(control))
            found["tests"][name] = [{**one, "tool": tools[one["tool"]]} for one in pairs]
    if control in tools and challenger in tools:
        found["claim"] = claim(
            {name: scores[name][challenger] - scores[name][control] for name in MEASURES},
            {
                name: np.median(scores[name][challenger], axis=1) - np.median(scores[name][control], axis=1)
                for name in MEASURES
            },
            tasks,
        )
    return found


def claim(
    gaps: Mapping[str, np.ndarray], between: Mapping[str, np.ndarray], tasks: Sequence[str]
) -> list[dict[str, Any]]:
    """The challenger beside the control: over tasks, and inside each; one row a measure.

    The p-values over tasks are adjusted over the measures, those inside instances over the instances.

    Args:
        gaps: Measure to the differences of paired seeds, (tasks, seeds); below 0 speaks for the challenger.
        between: Measure to the differences of the medians over seeds, (tasks,).
        tasks: Names.
    """
    rows = []
    for name, gap in gaps.items():
        medians = between[name]
        inside = [_paired(row) for row in gap]
        adjusted = _stats.holm(inside)
        shifts = [_stats.hodges_lehmann(row) for row in gap]
        rows.append({
            "measure": name,
            "wins": int((medians < 0).sum()), "ties": int((medians == 0).sum()), "losses": int((medians > 0).sum()),
            "shift": _stats.hodges_lehmann(medians), "p": _paired(medians),
            "better": [t for t, p, s in zip(tasks, adjusted, shifts, strict=True) if p < 0.05 and s < 0],
            "worse": [t for t, p, s in zip(tasks, adjusted, shifts, strict=True) if p < 0.05 and s > 0],
            "p_inside": dict(zip(tasks, adjusted, strict=True)),
            "improvement": float(((gap < 0) + 0.5 * (gap == 0)).mean()),
        })  # fmt: skip
    for row, p in zip(rows, _stats.holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    return rows


def _paired(gap: np.ndarray) -> float:
    return float(wilcoxon(gap, zero_method="pratt").pvalue) if (gap != 0).any() and len(gap) >= 2 else 1.0


def text(one: Mapping[str, Any]) -> list[str]:
    """A section as Markdown."""
    rows = sorted(one["rows"].values(), key=lambda row: row[MEASURES[0]]["rank"])
    seeds, tasks = len(one["seeds"]), len(one["tasks"])
    judged = f", judged from epoch {one['mark']} on" if one["mark"] else ", judged from epoch 1 on (defaults)"
    parts = [f"## {len(rows)} tools, {tasks} instances, {seeds} seed{'s' * (seeds > 1)}{judged}"]
    parts.append("Mean rank, and mean over the instances of the median over seeds:")
    parts.append(_machine.table([
        {"tool": row["tool"], **{key: value for name in MEASURES for key, value in (
            (f"rank, {name}", "{:.2f} [{:.2f}, {:.2f}]".format(row[name]["rank"], *row[name]["rank_95"])),
            (f"regret, {name}", f"{row[name]['mean']:.4f}"))}}
        for row in rows
    ]))  # fmt: skip
    if "claim" in one:
        parts += [f"**{CHALLENGER} beside {CONTROL} with random search, both alike, at equal time:**", _machine.table([
            {
                "measure": row["measure"],
                "win / tie / loss over instances": f"{row['wins']} / {row['ties']} / {row['losses']}",
                "shift (Hodges-Lehmann)": f"{row['shift']:+.4f}",
                "p (Wilcoxon)": f"{row['p']:.3g}",
                "p (Holm, measures)": f"{row['p_holm']:.3g}",
                "P(better), paired seeds": f"{row['improvement']:.2f}",
                "instances better / worse at 5 % (Holm)": f"{len(row['better'])} / {len(row['worse'])}",
            }
            for row in one["claim"]
        ])]  # fmt: skip
    for name, pairs in one["tests"].items():
        if name in (MEASURES[0], "anytime"):
            parts += [f"Against {CONTROL}, {name}:", _machine.table([_against(pair) for pair in pairs])]
    parts += [f"Median regret of each instance at {MEASURES[0]}:", _machine.table([
        {"tool": row["tool"], **{t.split("/")[1]: f"{v:.4f}" for t, v in row[MEASURES[0]]["tasks"].items()}}
        for row in rows
    ])]  # fmt: skip
    return parts


def _against(pair: Mapping[str, Any]) -> dict[str, str]:
    """Seen from the other tool; the tests are made from the control's side."""
    return {
        "tool": pair["tool"],
        f"better / equal / worse than {CONTROL}": f"{pair['losses']} / {pair['ties']} / {pair['wins']}",
        "shift (below 0: better)": f"{-pair['shift']:+.4f}",
        "p (Wilcoxon)": f"{pair['p']:.3g}",
        "p (Holm)": f"{pair['p_holm']:.3g}",
    }


def coverage(stores: Mapping[str, Store], tasks: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """What was run, what it took, what failed and what is missing."""
    rows, lines = [], []
    for tool, store in stores.items():
        fine = [cell for (task, _), cell in store.cells.items() if not cell.error and task in tasks]
        seeds = sorted({seed for task, seed in store.cells if task in tasks})
        row: dict[str, Any] = {"tool": tool, "cells": f"{len(fine)} of {len(tasks)} x {len(seeds)}"}
        if fine:
            row |= {
                "trials, mean": round(float(np.mean([cell.trials for cell in fine]))),
                "reports, mean": round(float(np.mean([cell.reports for cell in fine]))),
                "busy workers": f"{np.nanmean([cell.busy for cell in fine]):.1%}",
                "thinking of a run, mean s": f"{np.mean([cell.thinking for cell in fine]):.1f}",
            }
        rows.append(row)
        wrong = {f"{task} {seed}": cell.error for (task, seed), cell in store.cells.items() if cell.error}
        lines += [f"Failed, {tool}, {key}: {error}" for key, error in wrong.items()]
    note = "Random search's runs last four times the budget. Thinking is real time of the tool, on a shared machine."
    return rows, [_machine.table(rows) if rows else "None.", note, *lines]
