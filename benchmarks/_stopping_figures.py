"""Numbers from recorded and judged studies: when rules stop, what that costs, and how validation and test differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from _stats import interval
from _stopping_cells import Run
from _stopping_judged import Trace
from scipy.stats import spearmanr

#: When a rule stops: from a study and its traces to the number of trials, None: it does not.
When = Callable[[Run, Mapping[str, Trace]], int | None]


def stagnation(i: int) -> When:
    """No improvement in i trials."""

    def when(run: Run, traces: Mapping[str, Trace]) -> int | None:
        best = np.minimum.accumulate(run.seen)
        stops = np.flatnonzero(best[i:] == best[:-i])
        return int(stops[0]) + i + 1 if len(stops) else None

    return when


def said(name: str) -> When:
    """As the rule said it."""

    def when(run: Run, traces: Mapping[str, Trace]) -> int | None:
        trace = traces[name]
        stops = np.flatnonzero(trace.stop > 0)
        return int(trace.results[stops[0]]) if len(stops) else None

    return when


def below(name: str, factor: float, *, patience: int = 2) -> When:
    """When the bound was below `factor` times the threshold in so many checks in a row."""

    def when(run: Run, traces: Mapping[str, Trace]) -> int | None:
        trace = traces[name]
        streak = 0
        for results, bound, threshold in zip(trace.results, trace.bound, trace.threshold, strict=True):
            streak = streak + 1 if bound <= factor * threshold else 0
            if streak == patience:
                return int(results)
        return None

    return when


#: Rules of the main table; the first is the one that the others are compared with.
MAIN: dict[str, When] = {
    "regret": said("regret"),
    "regret, paths": said("regret, paths"),
    "regret, incumbent's error": said("regret, incumbent"),
    "regret, better half": said("regret, better half"),
    "regret, as Optuna sets it": said("regret, Optuna's"),
    "prb": said("prb"),
    "gap": said("gap"),
    "log-ei 0.1 sd": below("log-ei", 100.0),
    "log-ei 0.01 sd": below("log-ei", 10.0),
    "log-ei 0.001 sd": below("log-ei", 1.0),
    "log-ei 1e-5 sd": below("log-ei", 0.01),
    "pi 0.2": below("pi", 4.0),
    "pi 0.05": below("pi", 1.0),
    "pi 0.01": below("pi", 0.2),
    "no improvement in 10": stagnation(10),
    "no improvement in 30": stagnation(30),
    "no improvement in 50": stagnation(50),
}
#: One-split studies, whose error comes from the losses of the split.
SPLIT: dict[str, When] = {name: MAIN[name] for name in ("regret", "no improvement in 10", "no improvement in 30")}


@dataclass(frozen=True)
class Stop:
    """What stopping did to one study.

    Args:
        after: Trials until then; all, where it was not stopped.
        stopped: Whether it was.
        rtc: Share of the time that was saved.
        ryc: (test score at the end - when stopped) / the larger; above 0 stopping helped.
        change: The difference itself, in units of the score.
    """

    after: int
    stopped: bool
    rtc: float
    ryc: float
    change: float


def stop(run: Run, after: int | None) -> Stop:
    n = len(run.seen) if after is None else after
    full, then = (float(run.test[int(np.argmin(run.seen[:m]))]) for m in (len(run.seen), n))
    larger = max(full, then)
    time = run.seconds
    ryc = (full - then) / larger if larger > 0 else 0.0
    return Stop(n, after is not None, 1.0 - float(time[:n].sum() / time.sum()), ryc, full - then)


def grid(runs: Sequence[Run]) -> tuple[list[tuple[str, str]], list[int]]:
    """Tasks and seeds such that every task has every seed."""
    found: dict[tuple[str, str], set[int]] = {}
    for run in runs:
        found.setdefault((run.key.data, run.key.learner), set()).add(run.key.seed)
    tasks = [task for task, seeds in found.items() if 0 in seeds]
    seeds = sorted(set.intersection(*(found[task] for task in tasks))) if tasks else []
    return tasks, seeds


def by_task(runs: Sequence[Run], values: Iterable[float]) -> np.ndarray:
    """(tasks, seeds) of one value a study."""
    tasks, seeds = grid(runs)
    table = {(run.key.data, run.key.learner, run.key.seed): v for run, v in zip(runs, values, strict=True)}
    return np.array([[table[*task, seed] for seed in seeds] for task in tasks])


def mean_and_interval(values: np.ndarray, digits: int = 3) -> str:
    """Mean over tasks with its interval, from tasks and seeds drawn with replacement."""
    low, high = interval(values)
    return f"{values.mean():.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def judged_rows(
    studies: Sequence[tuple[Run, Mapping[str, Trace]]], rules: Mapping[str, When]
) -> list[dict[str, str | float]]:
    """One row a rule: how often and when it stops, what is saved, what it costs; and the difference from the first."""
    runs = [run for run, _ in studies]
    stops = {name: [stop(run, when(run, traces)) for run, traces in studies] for name, when in rules.items()}
    saved = {name: by_task(runs, [s.rtc for s in found]) for name, found in stops.items()}
    change = {name: by_task(runs, [s.ryc for s in found]) for name, found in stops.items()}
    first = next(iter(rules))
    rows: list[dict[str, str | float]] = []
    for name in rules:
        rtc, ryc = saved[name], change[name]
        after = by_task(runs, [s.after for s in stops[name]])
        rows.append(
            {
                "rule": name,
                "stops": f"{by_task(runs, [s.stopped for s in stops[name]]).mean():.0%}",
                "trials, median": f"{np.median(after):.0f}",
                "RTC": mean_and_interval(rtc),
                "RYC": mean_and_interval(ryc, 4),
                "RYC, median": f"{np.median(ryc):.4f}",
                "size of RYC, median": f"{np.median(np.abs(ryc)):.4f}",
                "change in score": f"{by_task(runs, [s.change for s in stops[name]]).mean():.4f}",
                "worse by > 2 %": f"{(ryc < -0.02).mean():.0%}",
                "better by > 2 %": f"{(ryc > 0.02).mean():.0%}",
                f"RTC less that of {first}": "" if name == first else mean_and_interval(rtc - saved[first]),
                f"RYC less that of {first}": "" if name == first else mean_and_interval(ryc - change[first], 4),
            }
        )
    return rows


def plane(
    studies: Sequence[tuple[Run, Mapping[str, Trace]]], rules: Mapping[str, When]
) -> dict[str, tuple[float, float]]:
    """Mean RTC and RYC of each rule."""
    runs = [run for run, _ in studies]
    found = {name: [stop(run, when(run, traces)) for run, traces in studies] for name, when in rules.items()}
    return {
        name: (float(by_task(runs, [s.rtc for s in each]).mean()), float(by_task(runs, [s.ryc for s in each]).mean()))
        for name, each in found.items()
    }


# the paper's first half -------------------------------------------------------------------------------------


def curves(runs: Sequence[Run]) -> dict[str, np.ndarray]:
    """(runs, n) regrets of the incumbent, in units of the score.

    "validation": above the best of the study. "test": above the best test score that any of its trials has.
    """
    rows: dict[str, list[np.ndarray]] = {"validation": [], "test": []}
    for run in runs:
        best = np.array([int(np.argmin(run.seen[: n + 1])) for n in range(len(run.seen))])
        rows["validation"].append(run.seen[best] - run.seen.min())
        rows["test"].append(run.test[best] - run.test.min())
    longest = max(len(row) for row in rows["test"])
    return {
        name: np.array([np.pad(row, (0, longest - len(row)), mode="edge") for row in each])
        for name, each in rows.items()
    }


def overfitting(runs: Sequence[Run], early: int = 20) -> dict[str, float]:
    """How the second part of a search, after `early` trials, changes validation and test score.

    Returns:
        Shares of studies in which the validation score improves, in which the test score of the incumbent then
        worsens and improves; mean relative change of both scores; the optimism of the last incumbent (test less
        validation score); and the median rank correlation of validation and test score within a study,
        over all trials and over the better half.
    """
    rows = []
    for run in runs:
        then, last = int(np.argmin(run.seen[:early])), int(np.argmin(run.seen))
        half = run.seen <= np.median(run.seen)
        rows.append(
            (
                run.seen[last] < run.seen[then],
                run.test[last] > run.test[then],
                run.test[last] < run.test[then],
                1.0 - run.seen[last] / run.seen[then] if run.seen[then] > 0 else 0.0,
                1.0 - run.test[last] / run.test[then] if run.test[then] > 0 else 0.0,
                run.test[last] - run.seen[last],
                _rank(run.seen, run.test),
                _rank(run.seen[half], run.test[half]),
            )
        )
    found = np.array(rows, dtype=float)
    improved = found[:, 0] > 0
    return {
        "studies": len(found),
        "validation improves": float(improved.mean()),
        "test worsens, of these": float(found[improved, 1].mean()) if improved.any() else float("nan"),
        "test improves, of these": float(found[improved, 2].mean()) if improved.any() else float("nan"),
        "gain in validation": float(found[:, 3].mean()),
        "gain in test": float(found[:, 4].mean()),
        "optimism at the end": float(found[:, 5].mean()),
        "rank correlation": float(np.nanmedian(found[:, 6])),
        "rank correlation, better half": float(np.nanmedian(found[:, 7])),
    }


def _rank(a: np.ndarray, b: np.ndarray) -> float:
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def paired_test(first: Sequence[Run], second: Sequence[Run]) -> tuple[np.ndarray, int]:
    """(tasks, seeds) of how much lower the first's final test score is, relative to the larger; and how many pairs."""
    last = {run.key._replace(how=""): float(run.test[int(np.argmin(run.seen))]) for run in second}
    pairs = [run for run in first if run.key._replace(how="") in last]
    values = []
    for run in pairs:
        a, b = float(run.test[int(np.argmin(run.seen))]), last[run.key._replace(how="")]
        values.append((b - a) / max(a, b) if max(a, b) > 0 else 0.0)
    table = by_task(pairs, values)
    return table, table.size
