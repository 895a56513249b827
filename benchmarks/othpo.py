"""Ordered transfer: tasks one after the other, each learning from a method's own earlier ones, as in the OTHPO paper.

    LUTHIER_DATA=... python benchmarks/othpo.py run --problem newsvendor --methods random,simple-ordered --seeds 0:50
    LUTHIER_DATA=... python benchmarks/othpo.py report

Four workers, 25 evaluations a task, no default configuration; a run is one method with one seed over all tasks of a
problem. `--shared` gives every method the same history, 25 random configurations of each earlier task, instead of its
own. `run` adds the runs that are missing to docs/results/othpo/ and may be stopped at any moment; `report` writes
docs/results/othpo.md and .json from what is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import _machine

_machine.one_thread()

import _pictures  # noqa: E402
import numpy as np  # noqa: E402
from _othpo import CHECKPOINTS, EVALUATIONS, FOLDER, METHODS, PROBLEMS, Series, Store, run, scores, stores_of  # noqa: E402

#: Scores that were published, recomputed from the released results: at 1, 10 and 25 evaluations, 50 seeds. What is best
#: on a task depends on who took part, so they have a scale of their own.
PUBLISHED = {
    "newsvendor": {
        "random": (574, 163, 100), "gp": (574, 165, 47), "bounding-box": (415, 310, 284), "zero-shot": (327, 110, 69),
        "cts": (292, 134, 108), "transfer-bo-reference": (241, 68, 1.3), "shuffled": (264, 97, 26),
        "simple-ordered": (209, 95, 30), "simple-previous": (204, 97, 15), "replay": (232, 139, 116),
    },
    "xgboost": {
        "random": (904, 185, 100), "gp": (905, 171, 69), "bounding-box": (137, 41, 33), "zero-shot": (596, 75, 38),
        "cts": (170, 6, 0.7), "transfer-bo-reference": (432, 27, 14), "shuffled": (54, 9, 6.8),
        "simple-ordered": (15, 10, 8.0), "simple-previous": (13, 8, 5.4), "replay": (55, 52, 52),
    },
}  # fmt: skip
SHOWN = ("auto", "simple-ordered", "shuffled", "cts", "rgpe", "gp", "random")  # in the pictures
SIGNS = 2.0  # paired standard errors within which two methods count as equal


def report() -> None:
    parts = [
        "Tasks in order; a method learns from its own earlier tasks (25 evaluations each) and has 25 evaluations on "
        "each, with four workers. Score: 0 is the best mean value seen on a task, 100 random search after 25 "
        "evaluations; mean over the tasks after the first, with the standard error over seeds. Methods with published "
        "names run as published, without luthier's guard against earlier tasks that lead astray. aknn and glmnet have "
        "five fractions of each data set, from recorded tables, where the published runs had twenty from a surrogate: "
        "they cannot be compared. "
        "`python benchmarks/othpo.py run` adds runs.",
    ]
    data: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": _machine.machine(["luthier", "numpy", "scipy"]),
    }
    for title, series in PROBLEMS.items():
        for shared in (False, True):
            stores = stores_of(title, shared=shared)
            if "random" not in stores:
                continue
            label = f"{title}, shared history" if shared else title
            rows = _rows(stores)
            for row in rows if title in PUBLISHED and not shared else ():
                row["published at 1, 10, 25"] = ", ".join(map(str, PUBLISHED[title].get(row["method"], ("-",))))
            data[label] = rows
            parts += [f"## {label}", _machine.table(rows)]
            if beside := _default(stores) if "auto" in stores else []:
                data[f"{label}, auto"] = beside
                parts += [
                    "`auto` beside the method with the best mean at each point, paired by seed; equal: within "
                    f"{SIGNS:g} standard errors of the difference:",
                    _machine.table(beside),
                ]
            parts += _draw(label, stores)
            found = _published(series, stores) if series.published and not shared else []
            if found:
                data[f"{label}, published"] = found
                parts += [
                    "Mean raw profit over all tasks after so many evaluations, here and as published (50 seeds), and "
                    "the range of the tasks' differences in combined standard errors (positive: better here):",
                    _machine.table(found),
                ]
    machine = ", ".join(f"{key} {value}" for key, value in data["machine"].items())
    parts += [f"Machine: {machine}."]
    print(_machine.write("othpo", "Ordered transfer", "\n\n".join(parts), data))


class Scale:
    """Scores of runs on the tasks after the first: 0 is the best mean of any method, 100 random search at its end."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        means = {name: np.mean(list(store.runs.values()), axis=0) for name, store in stores.items()}
        self.mean = {name: found[1:] for name, found in scores(means).items()}  # (T - 1, 25)
        self._best = np.min([mean.min(axis=1) for mean in means.values()], axis=0)[1:]
        width = means["random"][1:, -1] - self._best
        self._width = np.where(width > 1e-9 * np.maximum(np.abs(self._best), 1.0), width, np.nan)

    def __call__(self, store: Store, seeds: Iterable[int]) -> np.ndarray:
        """(seeds, T - 1, 25)."""
        runs = np.array([store.runs[s][1:] for s in seeds])
        return 100 * (runs - self._best[:, None]) / self._width[:, None]


def _rows(stores: Mapping[str, Store]) -> list[dict[str, Any]]:
    """One row a method; means over each method's own seeds."""
    scale, rows = Scale(stores), []
    for name, store in stores.items():
        each, mean = scale(store, sorted(store.runs)), scale.mean[name]
        row: dict[str, Any] = {"method": name, "seeds": len(each)}
        for at in CHECKPOINTS:
            error = _error(np.nanmean(each[..., at - 1], axis=1))
            row[f"at {at}"] = f"{np.nanmean(mean[:, at - 1]):.1f}" + (f" ± {error:.1f}" if len(each) > 1 else "")
        row["median at 25"] = f"{np.nanmedian(mean[:, -1]):.1f}"
        row["ms a proposal"] = f"{1000 * min(store.seconds.values()):.1f}"  # of the quickest run: others were disturbed
        rows.append(row)
    return rows


def _error(values: np.ndarray) -> float:
    """Standard error of a mean; NaN for one value."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def _default(stores: Mapping[str, Store]) -> list[dict[str, Any]]:
    """`auto` against the best other method at each point, of those that have all of its seeds."""
    scale, rows = Scale(stores), []
    for at in CHECKPOINTS:
        found = []
        for name, store in stores.items():
            seeds = sorted(stores["auto"].runs)
            if name != "auto" and len(seeds) > 1 and store.runs.keys() >= set(seeds):
                gap = scale(stores["auto"], seeds)[..., at - 1] - scale(store, seeds)[..., at - 1]
                found.append((float(np.nanmean(scale(store, seeds)[..., at - 1])), name, np.nanmean(gap, axis=1)))
        if not found:
            return []
        _, name, gap = min(found, key=lambda one: one[0])
        verdict = "better" if gap.mean() < 0 else "equal" if gap.mean() <= SIGNS * _error(gap) else "worse"
        rows.append({"at": at, "best other": name, "auto minus it": f"{gap.mean():+.1f} ± {_error(gap):.1f}",
                     "auto is": verdict, "seeds": len(gap)})  # fmt: skip
    return rows


def _draw(label: str, stores: Mapping[str, Store]) -> list[str]:
    """Pictures over evaluations and over tasks."""
    scale, over_evaluations, over_tasks = Scale(stores), {}, {}
    for name in SHOWN:
        if name in stores:
            each = scale(stores[name], sorted(stores[name].runs))
            whole, after_five = np.nanmean(each, axis=1), each[..., 4]
            for lines, found, first in ((over_evaluations, whole, 1), (over_tasks, after_five, 2)):
                error = found.std(axis=0, ddof=1) / len(found) ** 0.5 if len(found) > 1 else None
                lines[name] = _pictures.Line(range(first, first + found.shape[1]), found.mean(axis=0), error)
    slug = label.replace(", ", "-").replace(" ", "-")
    first, second = FOLDER / f"{slug}-evaluations.svg", FOLDER / f"{slug}-tasks.svg"
    _pictures.draw(first, over_evaluations, control="random", log=True, x="evaluations", y="score")
    _pictures.draw(second, over_tasks, control="random", log=True, x="task", y="score after 5 evaluations")
    return [f"![Scores over evaluations](othpo/{first.name})", f"![Scores after five evaluations](othpo/{second.name})"]


def _published(series: Series, stores: Mapping[str, Store]) -> list[dict[str, Any]]:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from luthier.bench.data import folder

    where = folder()
    if where is None:
        return []
    table = pq.read_table(where / "othpo" / "published_best_so_far.parquet")
    table = table.filter(pc.equal(table["experiment"], series.published))
    rows = []
    for name, store in stores.items():
        if not METHODS[name].published or len(store.runs) < 2:
            continue
        part = table.filter(pc.equal(table["method"], METHODS[name].published))
        task, value, at = (np.array(part[column].to_pylist()) for column in ("task", "best_so_far", "iteration"))
        runs = -np.array([store.runs[s] for s in sorted(store.runs)])  # a profit; (seeds, T, 25)
        row: dict[str, Any] = {"method": name, "seeds": len(runs)}
        for i in (1, 10, EVALUATIONS):
            ours = runs[..., i - 1]
            theirs = [value[(task == t) & (at == i)] for t in np.unique(task)]
            gaps = [
                (ours[:, t].mean() - one.mean()) / np.hypot(_error(ours[:, t]), _error(one))
                for t, one in enumerate(theirs)
            ]
            row |= {
                f"here @{i}": f"{ours.mean():.1f}",
                f"published @{i}": f"{np.mean([one.mean() for one in theirs]):.1f}",
                f"differences @{i}": f"{min(gaps):+.1f} to {max(gaps):+.1f}",
            }
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("run")
    adding.add_argument("--problem", choices=PROBLEMS, required=True)
    adding.add_argument("--methods", default=",".join(METHODS))
    adding.add_argument("--seeds", default="0:10")
    adding.add_argument("--shared", action="store_true")
    commands.add_parser("report")
    given = parser.parse_args()
    if given.command == "report":
        report()
        return
    methods = given.methods.split(",")
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        parser.error(f"unknown methods {unknown}; known: {', '.join(METHODS)}")
    low, _, high = given.seeds.partition(":")
    run(given.problem, methods, range(int(low), int(high)), shared=given.shared)


if __name__ == "__main__":
    main()
