"""Tables of what a comparison cost and lacks: overhead, failures, what was skipped, test values, provenance."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from luthier.bench.statistics import interquartile_mean, normalised
from luthier.bench.studies.analysis import Analysis, Table, share
from luthier.bench.studies.plan import RULE as NOW
from luthier.bench.studies.results import Shown, filled
from luthier.bench.studies.store import Cell
from luthier.bench.studies.traces import EARLIER, RULE, SEVERAL

_PRICES = np.geomspace(1e-3, 3600.0, 60)  # seconds of one evaluation that are looked at
COSTS = {"1 s": 1.0, "1 min": 60.0, "1 h": 3600.0}  # of one evaluation, for which the thinking is set beside it


def overhead(one: Analysis) -> Table:
    """Real time of each method beside the cost of evaluations."""
    rows = []
    for row in one.methods:
        cells = one.comparison.cells(row.method)
        spent = np.array([max(cell.spent, 1.0) for cell in cells])
        thinking = np.array([cell.cpu_seconds for cell in cells])
        each = float((thinking / spent).mean())
        shares = {
            f"thinking_share_at_{name.replace(' ', '_')}": each / (each + cost / one.plan.workers)
            for name, cost in COSTS.items()
        }
        rows.append({
            "method": row.name,
            "cpu_ms_per_evaluation": 1000 * each,
            "cpu_seconds_per_run": float(thinking.mean()),
            "wall_seconds_per_run": float(np.mean([cell.wall_seconds for cell in cells])),
            "answers_seconds_per_run": float(np.mean([cell.answers_seconds for cell in cells])),
            "harness_seconds_per_run": float(np.mean([cell.harness_seconds for cell in cells])),
            "evaluations_per_run": float(spent.mean()),
            "trials_per_run": float(np.mean([cell.trials for cell in cells])),
            "rescored_per_run": float(np.mean([cell.rescored for cell in cells])),
            "utilisation": _mean([cell.busy for cell in cells]),
            **shares,
            "better_from_seconds": _crossover(one, row),
        })  # fmt: skip
    return Table(
        "overhead",
        "Overhead",
        "Real time that a method takes to propose and to learn (luthier's own log of the study is part of it), of the "
        "benchmark's answers and of all else; means over runs. thinking_share: of the whole time, if one evaluation "
        f"took so long on each of {one.plan.workers} workers. better_from_seconds: cost of an evaluation from which on "
        f"the method has less regret than {one.plan.control} when both have the time that {one.plan.control} takes for "
        "the whole budget, thinking included (looked for from a millisecond to an hour; nothing: at no such cost). "
        "Wall times depend on the machine's load, see provenance.",
        rows,
    )


def _crossover(one: Analysis, row: Shown) -> float | None:
    """Cost of one evaluation from which on a method is better than the control at equal total time, thinking included.

    The time is what the control takes for the whole budget. None: not even at an hour, or it is the control.
    """
    if one.control is None or row.method == one.plan.control:
        return None
    control, better = one.plan.control, np.zeros((2, len(one.comparison.tasks), len(_PRICES)))
    for j, task in enumerate(one.comparison.tasks):
        reference = one.comparison.results.references[task.label]
        regrets = np.empty((2, len(one.comparison.seeds), len(_PRICES)))
        for k, seed in enumerate(one.comparison.seeds):
            base = one.comparison.cell(control, task.label, seed)
            whole = one.comparison.evaluations(task) * _PRICES / one.plan.workers + base.cpu_seconds / _stretch(one)
            for i, cell in enumerate((one.comparison.cell(row.method, task.label, seed), base)):
                ends = cell.evaluations[:, None] * _PRICES / one.plan.workers + cell.overhead[:, None]
                values = np.concatenate([[np.nan], cell.scored])[(ends <= whole).sum(axis=0)]
                regrets[i, k] = filled(normalised(values, reference.best, reference.median))
        better[:, j] = np.median(regrets, axis=1)
    means = [np.array([one.mean(column) for column in side.T]) for side in better]
    worse = np.flatnonzero(means[0] >= means[1])
    if len(worse) and worse[-1] == len(_PRICES) - 1:
        return None
    return float(_PRICES[worse[-1] + 1 if len(worse) else 0])


def _stretch(one: Analysis) -> float:
    return one.plan.method(one.plan.control).stretch


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def failures(one: Analysis) -> Table:
    """Runs and trials that failed."""
    rows = []
    for row in one.methods:
        cells = one.comparison.cells(row.method)
        errors = Counter(cell.error for cell in cells if cell.error)
        [(usual, _)] = errors.most_common(1) or [("", 0)]
        first = [_first(cell) for cell in cells]
        rows.append({
            "method": row.name,
            "runs": len(cells),
            "failed_runs": sum(errors.values()),
            "runs_without_result": sum(not len(cell.times) for cell in cells),
            "trials": sum(cell.trials for cell in cells),
            "failed_trials": sum(cell.failures for cell in cells),
            "infeasible_share": sum(cell.infeasible for cell in cells) / max(1, sum(cell.reports for cell in cells)),
            "first_result_at": _mean([at for at in first if at is not None]),
            "usual_error": usual,
        })  # fmt: skip
    return Table(
        "failures",
        "Failures",
        "A run that failed keeps what it had found, from then on; one without a result counts as a median random "
        "configuration and has the worst rank. No run is dropped. infeasible_share: of reports that broke a "
        "constraint. first_result_at: share of the budget, mean over runs (under constraints: of the first feasible "
        "result).",
        rows,
    )


def _first(cell: Cell) -> float | None:
    return float(cell.times[0]) / cell.horizon if len(cell.times) else None


def skipped(one: Analysis) -> Table | None:
    """What the plan names and this comparison lacks."""
    rows = [{"what": name, "why": why} for name, why in one.comparison.left_out.items()]
    sessions = one.comparison.results.sessions
    known = dict(sessions[-1].get("skipped", {})) if sessions else {}
    for row in rows:
        row["why"] = known.pop(row["what"], row["why"])
    part = {task.label for task in one.plan.tasks if task.part == one.comparison.tasks[0].part}
    names = {method.name for method in one.plan.methods}
    rows += [{"what": name, "why": why} for name, why in known.items() if name in part | names]
    if not rows:
        return None
    return Table("skipped", "Left out", "Methods and tasks of the plan that are not compared here.", rows)


def gaps(one: Analysis) -> Table | None:
    """Validation beside test at the end of the budget."""
    shown, point = one.methods, one.plan.checkpoints[-1]
    tested = one.comparison.values(shown, [point], "tested")[..., 0]
    regret = one.measures[share(point)]
    rows = []
    for j, task in enumerate(one.comparison.tasks):
        median, low = one.comparison.results.references[task.label].test
        if not median > low:
            continue
        for i, row in enumerate(shown):
            runs = tested[i, j][~np.isnan(tested[i, j])]
            if len(runs):
                rows.append({
                    "task": task.label, "method": row.name,
                    "test": float(np.median(runs)),
                    "test_regret": interquartile_mean((runs - low) / (median - low)),
                    "validation_regret": interquartile_mean(np.nan_to_num(regret[i, j], nan=1.0)),
                })  # fmt: skip
    if not rows:
        return None
    return Table(
        "gaps",
        f"Validation and test at {share(point)} of the budget",
        "test: median over seeds of the incumbent's test value, to be minimised. test_regret: 0 is the best and 1 the "
        "median of random configurations on the test set; below 0: better than the best of them. Incumbents are chosen "
        "by validation alone; a small validation_regret with a larger test_regret is overfitting of the search.",
        rows,
    )


def _thinking(one: Analysis) -> str:
    machines = one.plan.machines
    words = {"ignore": "not counted", "count": "counted in real seconds of this machine"}
    return words.get(
        machines.overhead, f"{machines.fixed[0]:g} s + {machines.fixed[1]:g} s for each run that has ended"
    )


def _rule(one: Analysis) -> int:
    """By which the compared cells were made: all by one, see `matching`; the present one where they do not say."""
    stores = (one.comparison.results.stores[name] for name in one.comparison.methods)
    found = [int(store.about["setting"]["rule"]) for store in stores if "rule" in store.about.get("setting", {})]
    return min(found, default=NOW)


def provenance(one: Analysis) -> Table:
    """Versions, hashes, seeds, machine, budgets, commands."""
    results, plan = one.comparison.results, one.plan
    pairs: list[tuple[str, Any]] = [
        ("study", plan.name),
        ("about", plan.about),
        ("plan", plan.hash),
        ("question", plan.question_hash),
        ("seeds", " ".join(map(str, one.comparison.seeds))),
        ("pairing", "seed of the method and repetition of the benchmark are the same number; initial designs are each "
                    "method's own"),
        ("workers", plan.workers),
        ("thinking in the virtual clock", _thinking(one)),
        ("a trial that goes on", "pays for what is new" if plan.machines.checkpoints else "pays for all of it again"),
        ("delays, stragglers, crashes", dict(plan.machines.cluster) or "none"),
        ("incumbent", RULE if _rule(one) >= 3 else EARLIER),
    ]  # fmt: skip
    if any(results.references[label].objectives for label in one.comparison.labels):
        pairs.append(("incumbents", SEVERAL))
    for task in one.comparison.tasks:
        budget, reference = plan.budget_of(task), results.references[task.label]
        cell = one.comparison.cell(one.comparison.methods[0], task.label, one.comparison.seeds[0])
        pairs.append((f"task {task.label}", f"{cell.horizon:.6g} {budget.clock} of virtual time; best "
                      f"{reference.best:.6g}, median {reference.median:.6g}: {reference.how}"))  # fmt: skip
    for name in one.comparison.methods:
        store = results.stores[name]
        versions = ", ".join(f"{key} {value}" for key, value in sorted(store.about.get("versions", {}).items()))
        made = store.about.get("definition") or plan.method(name).definition()  # what the cells say, where they do
        pairs.append((f"method {name}", f"{made}; {versions}"))
    for i, session in enumerate(results.sessions, 1):
        pairs.append((f"run {i}", ", ".join(f"{key}: {value}" for key, value in session.items() if key != "skipped")))
    pairs += [(f"sha256 {name}", value) for name, value in results.hashes().items()]
    return Table("provenance", "Provenance", "", [{"what": key, "value": str(value)} for key, value in pairs])
