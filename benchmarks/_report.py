"""Tables of the quality comparison, from the cells that are there: docs/results/quality.md and .json."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import _cells
import _machine
import _stats
import numpy as np
from _peers import PEERS

CHECKPOINTS = (25, 50, 100)
CONTROL = "auto"
#: A table for the tools with at least so many complete seeds; a slow tool must not cut the others' seeds down.
FEWEST_SEEDS = (30, 10, 5, 2, 1)
SLOW_SEEDS = 10  # what slow peers are to have on the slow tasks
Stores = dict[str, _cells.Store]

PROTOCOL = """
- Score: (score - best) / (score of a median random configuration - best), within [0, 1.5]. Best and median are fixed
  per task and independent of this comparison (table: exact; surrogates: a fixed local search; functions: known; live
  tasks: a fixed pool, benchmarks/live_pool.json).
- What a tool is told: one recorded repetition of a table (which one depends on the run's seed and the configuration,
  so that it is the same for every tool and at every repetition), a function's value with its noise (a configuration
  asked again gets a new draw), or three-fold loss on the split of the run's seed. What is scored: the mean over
  repetitions, the value without noise, three fixed splits. No tool sees it.
- Incumbent: the lowest value seen. A luthier searcher that names the trial it believes best (`recommend`) is asked
  after 25, 50 and 100 evaluations, and its answer counts until the next time.
- Every tool runs at its documented defaults with its own initial design and the run's seed, on one thread, one
  evaluation at a time. A configuration proposed again is evaluated again. No task gives NaN or infinity; should one,
  a peer is told the worst finite value so far.
- Ordered lists: luthier Ordinal; Optuna and HEBO an integer index; Syne Tune `ordinal(kind="equal")`; SMAC its
  ordinal. Conditions: luthier, Optuna (define-by-run) and SMAC (ConfigSpace) have them; Syne Tune and HEBO get the
  flat space, and inactive values are dropped before the evaluation.
- SMAC runs with `deterministic=True` and is told the number of evaluations, on which its initial design depends.
- Slow peers ran on 20 of the judged tasks, most of them with 50 evaluations.
- Cells were made on several machines of two cores, some of them twice as fast as others; times of asking are a mixture.
  From machine to machine runs of `auto` part by rounding after some forty evaluations.
""".strip()


def write(judged: Sequence[str], development: Sequence[str], slow: Sequence[str]) -> Path:
    """Read all cells, and write the report."""
    stores = {path.stem: _cells.Store(path.stem) for path in sorted(_cells.FOLDER.glob("*.npz"))}
    data: dict[str, Any] = {"date": date.today().isoformat(), "machine": _machine.machine(["luthier", "numpy"])}
    parts = [
        "Which searcher finds better configurations sooner? Luthier's searchers have plain names; peers are named "
        "after their tool. 0 is the best of a task, 1 a median random configuration; a rank is among the tools of its "
        "table. Intervals are 95 % (tasks drawn again, then seeds inside them).",
    ]
    groups = {
        "All judged tasks": judged,
        "The twenty judged tasks that slow tools ran on too": slow,
        "Development tasks (defaults were chosen on them; no part of the verdict)": development,
    }
    for title, tasks in groups.items():
        data[title] = [one for at in CHECKPOINTS for one in sections(stores, tasks, at)]
        parts += [f"## {title}", *(text(one) for one in data[title])]
        if not data[title]:
            parts.append("No two tools have complete cells.")
    parts += ["## Incumbents by recommendation", recommended(stores, [*judged, *development])]
    data["cells"], words = coverage(stores, judged, development, slow)
    parts += ["## Cells", words]
    data["versions"] = {name: store.versions for name, store in stores.items()}
    parts += ["## How", PROTOCOL, "Judged: " + ", ".join(judged) + ".", "Development: " + ", ".join(development) + "."]
    versions = sorted({f"{k} {v}" for versions in data["versions"].values() for k, v in versions.items()})
    parts += [f"Versions: {', '.join(versions)}. Each peer has its own environment (luthier bench env create)."]
    parts += [_machine.table([{"machine": k, "": v} for k, v in data["machine"].items()])]
    parts += [f"`python benchmarks/quality.py report`, {data['date']}."]
    return _machine.write("quality", "Search quality beside other tools", "\n\n".join(parts), data)


def complete(store: _cells.Store, tasks: Sequence[str], at: int) -> set[int]:
    """Seeds with a result of at least `at` evaluations on every task."""
    seeds: dict[str, set[int]] = defaultdict(set)
    for (task, seed), cell in store.cells.items():
        if not cell.error and len(cell.regret) >= at:
            seeds[task].add(seed)
    return set.intersection(*(seeds[task] for task in tasks))


def sections(stores: Stores, tasks: Sequence[str], at: int) -> list[dict[str, Any]]:
    """One for each set of tools that have enough seeds in common, of two tools and more."""
    have = {name: complete(store, tasks, at) for name, store in stores.items()}
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for fewest in FEWEST_SEEDS:
        tools = tuple(name for name, seeds in have.items() if len(seeds) >= fewest)
        if len(tools) < 2 or tools in found:
            continue
        common = sorted(set.intersection(*(have[tool] for tool in tools)))
        if common:
            found[tools] = section(stores, tools, tasks, common, at)
    return list(found.values())


def section(
    stores: Stores, tools: Sequence[str], tasks: Sequence[str], common: Sequence[int], at: int
) -> dict[str, Any]:
    """All figures of some tools on a group of tasks and seeds at one number of evaluations."""
    regret = np.array(
        [[[stores[tool].cells[task, s].regret[at - 1] for s in common] for task in tasks] for tool in tools],
        dtype=float,
    )
    medians = np.median(regret, axis=2)
    rows = [_row(*parts, tasks) for parts in zip(tools, medians, _stats.paired_ranks(regret), strict=True)]
    rows.sort(key=lambda row: row["rank"])
    found: dict[str, Any] = {"evaluations": at, "tasks": len(tasks), "seeds": list(common), "tools": rows}
    if len(tools) >= 3 and len(tasks) >= _stats.FEWEST:
        found["friedman"] = _stats.friedman(medians)._asdict()
    if CONTROL in tools and len(tasks) >= _stats.FEWEST:
        pairs = _stats.against(medians, tools.index(CONTROL))
        found["against"] = [{**row, "tool": tools[row["tool"]]} for row in pairs]
    return found


def _row(tool: str, medians: np.ndarray, ranks: np.ndarray, tasks: Sequence[str]) -> dict[str, Any]:
    """One tool's figures; medians: (tasks,), ranks: (tasks, seeds)."""
    inside: dict[str, list[int]] = defaultdict(list)
    for i, task in enumerate(tasks):
        inside[task.split("/")[0]].append(i)
    return {
        "tool": tool,
        "rank": float(ranks.mean()),
        "rank_95": _stats.interval(ranks),
        "rank_families": float(np.mean([ranks[places].mean() for places in inside.values()])),
        "mean": float(medians.mean()),
        "iqm": _stats.interquartile_mean(medians),
        "families": {family: float(medians[places].mean()) for family, places in sorted(inside.items())},
        "tasks": dict(zip(tasks, medians.tolist(), strict=True)),
    }


def text(one: dict[str, Any]) -> str:
    """A section as Markdown."""
    lines = [f"### {one['evaluations']} evaluations: {len(one['tools'])} tools, {one['tasks']} tasks, "
             f"{len(one['seeds'])} seed{'s' * (len(one['seeds']) > 1)}"]  # fmt: skip
    lines.append(
        _machine.table([
            {
                "tool": row["tool"],
                "mean rank": f"{row['rank']:.2f} [{row['rank_95'][0]:.2f}, {row['rank_95'][1]:.2f}]",
                "families alike": f"{row['rank_families']:.2f}",
                "regret, mean": f"{row['mean']:.4f}",
                "IQM": f"{row['iqm']:.4f}",
                **{family: f"{value:.4f}" for family, value in row["families"].items()},
            }
            for row in one["tools"]
        ])
    )  # fmt: skip
    lines.append("Regret: of each task the median over seeds; then mean and interquartile mean over all tasks, and "
                 "the mean inside each family.")  # fmt: skip
    if "friedman" in one:
        test = one["friedman"]
        lines.append(f"Friedman (Iman-Davenport) over the task medians: F = {test['F']:.2f}, p = {test['p']:.2g}.")
    if "against" in one:
        lines.append(
            _machine.table([
                {
                    f"{CONTROL} against": row["tool"],
                    "win / tie / loss": f"{row['wins']} / {row['ties']} / {row['losses']}",
                    "shift (Hodges-Lehmann)": f"{row['shift']:+.4f}",
                    "p (Wilcoxon)": f"{row['p']:.3g}",
                    "p (Holm)": f"{row['p_holm']:.3g}",
                }
                for row in one["against"]
            ])
        )  # fmt: skip
    return "\n\n".join(lines)


def recommended(stores: Stores, tasks: Sequence[str]) -> str:
    """Where a searcher's recommendation differs from the lowest value seen: what it won or lost."""
    rows = []
    for name, store in stores.items():
        for task in tasks:
            cells = [c for (t, _), c in store.cells.items() if t == task and not c.error]
            last = [c for c in cells if len(c.regret) >= max(CHECKPOINTS)]
            if any((c.regret != c.lowest).any() for c in last):
                by, low = (np.median([getattr(c, kind)[-1] for c in last]) for kind in ("regret", "lowest"))
                rows.append({
                    "tool": name, "task": task, "seeds": len(last), "recommended": f"{by:.4f}", "lowest": f"{low:.4f}",
                })  # fmt: skip
    if not rows:
        return "No searcher named another trial than the one with the lowest value."
    return "Median normalised regret after 100 evaluations of the trial recommended, and of the one with the lowest " \
        "value, where they differ.\n\n" + _machine.table(rows)  # fmt: skip


def unfinished(name: str, store: _cells.Store, slow: Sequence[str]) -> list[str]:
    """Which of a peer's cells on the slow tasks are still missing, and how long it has thought until now."""
    missing = {seed: [task for task in slow if (task, seed) not in store.cells] for seed in range(SLOW_SEEDS)}
    missing = {seed: tasks for seed, tasks in missing.items() if tasks}
    if not missing:
        return []
    whole = [seed for seed, tasks in missing.items() if len(tasks) == len(slow)]
    parts = [f"of seed {seed} {', '.join(tasks)}" for seed, tasks in missing.items() if seed not in whole]
    parts += [f"all tasks of seeds {', '.join(map(str, whole))}"] * bool(whole)
    hours = sum(cell.seconds * len(cell.regret) for cell in store.cells.values()) / 3600
    return [f"Unfinished, {name}, after {hours:.1f} hours of asking: {'; '.join(parts)}."]


def coverage(
    stores: Stores, judged: Sequence[str], development: Sequence[str], slow: Sequence[str]
) -> tuple[list[dict[str, Any]], str]:
    """What was run, what failed and what is missing."""
    rows, failures = [], defaultdict(list)
    for name, store in stores.items():
        fine = {key: cell for key, cell in store.cells.items() if not cell.error}
        asked = [1000 * cell.seconds for cell in fine.values()]
        row: dict[str, Any] = {
            "tool": name,
            "ask + tell, mean ms": f"{np.mean(asked):.1f}" if asked else "",
            "evaluations": "/".join(map(str, sorted({len(c.regret) for c in fine.values()}))),
        }
        for word, tasks in (("judged", judged), ("slow", slow), ("development", development)):
            if word == "slow" and name not in PEERS:
                continue
            seeds = sorted({seed for (task, seed) in store.cells if task in tasks})
            done = sum((task, seed) in fine for task in tasks for seed in seeds)
            row[f"{word}: cells of tasks × seeds"] = f"{done} of {len(tasks)} × {len(seeds)}"
            missing = [f"{task} {seed}" for seed in seeds for task in tasks if (task, seed) not in store.cells]
            row[f"{word}_missing"] = missing if len(seeds) > 0 else []
        for (task, seed), cell in store.cells.items():
            if cell.error:
                failures[name, cell.error].append(f"{task} {seed}")
        rows.append(row)
    shown = [{k: v for k, v in row.items() if not k.endswith("_missing")} for row in rows]
    columns = list(dict.fromkeys(key for row in shown for key in row))
    lines = [_machine.table([{key: row.get(key, "") for key in columns} for row in shown])] if rows else ["None."]
    lines += [words for name in stores if name in PEERS for words in unfinished(name, stores[name], slow)]
    for (name, error), cells in failures.items():
        lines.append(f"Failed, {name}, {len(cells)} cells: {error} ({', '.join(cells[:6])}{' …' * (len(cells) > 6)})")
    return rows, "\n\n".join(lines)
