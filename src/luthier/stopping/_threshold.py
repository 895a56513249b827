"""How well the objective is known: the noise below which what is left to gain could not be told from luck."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, NumericsWarning
from luthier.base.records import Configuration, Fidelity, Objective, Trial

SOURCES = ("auto", "folds", "holdout", "repeats", "model")
FIRST = 20  # results that `relative` looks at
RUNS = 3  # repetitions that a standard error needs
TOLERANCE = 1e-6  # by which a mean may leave the range of its scores, relative to their size: rounding


@dataclass(frozen=True)
class Noise:
    """An estimate of how well the objective is known.

    Args:
        value: Its standard error, in units of the objective; None: unknown.
        source: One of `SOURCES` or "given"; empty when unknown.
        words: Where it comes from, or why there is none.
    """

    value: float | None
    source: str
    words: str


class Threshold:
    """Finds the standard error of the objective at the best configurations.

    Sources, the first that there is:

    - a number that the user gave, `epsilon` or `relative`;
    - the scores of folds (`run.report(loss=..., folds=[...])`): the variance of their mean, corrected for training
      sets that overlap, (1/J + n_test/n_train) s^2 with J scores and n_test/n_train = 1/(k - 1) for k folds;
    - one hold-out split: its standard error as the program reports it, as a metric of that name
      (`run.report(loss=..., loss_stderr=...)`, see `luthier.stopping.standard_error`), or the share of errors p among
      `examples`: p (1 - p) / examples; and repetitions, three at least, of a configuration. The larger of the two:
      one does not know what the other measures;
    - "model", the noise that the process learnt, only when asked for: it is a lower estimate.

    Args:
        objective: What is minimised or maximised.
        axis: The fidelity.
        source: One of `SOURCES`.
        epsilon: Standard error, in units of the objective.
        relative: Share of what the first 20 results differ by, median less best.
        pool: So many of the best configurations; the median of their variances is used.
        divisor: "k-1", or "k" as Optuna has it, for s^2.
        folds: Folds of one cross-validation, where the scores are those of several; or the sizes of its folds.
        ratio: n_test/n_train, for splits that are no folds.
        examples: Examples in the hold-out split.

    Raises:
        ArgumentError: an argument is out of range, or two contradict each other.

    Source: Nadeau, Bengio 2003; Makarova et al. 2022, section 4.
    Differs: pooled over configurations, for a lucky incumbent with like folds would set a threshold near 0; p is
        smoothed, (errors + 1) / (examples + 2), for the same reason.
    """

    def __init__(
        self,
        objective: Objective,
        axis: Fidelity | None,
        *,
        source: str = "auto",
        epsilon: float | None = None,
        relative: float | None = None,
        pool: int = 5,
        divisor: str = "k-1",
        folds: int | Sequence[int] | None = None,
        ratio: float | None = None,
        examples: int | None = None,
    ) -> None:
        check("threshold", source, one_of=SOURCES)
        check("divisor", divisor, one_of=("k-1", "k"))
        pool = check("pool", pool, at_least=1, whole=True)
        self._numbers(epsilon, relative, source)
        self.objective, self.axis, self.source = objective, axis, source
        self.epsilon, self.relative, self.pool, self.divisor = epsilon, relative, pool, divisor
        self.sizes = _sizes(folds)
        self.k = int(folds) if isinstance(folds, (int, float)) else None if self.sizes is None else len(self.sizes)
        for name, value in (("ratio", ratio), ("examples", examples)):
            if value is not None:
                check(name, value, above=0, whole=name == "examples")
        self.ratio, self.examples = ratio, examples
        if source == "model":
            warnings.warn(
                "threshold='model': the noise that a process learns is a lower estimate of how well the objective is "
                "known, for it sees neither the split nor the training set. Report folds or loss_stderr, or give "
                "epsilon.",
                NumericsWarning,
                stacklevel=4,
            )

    def _numbers(self, epsilon: float | None, relative: float | None, source: str) -> None:
        given = [name for name, value in (("epsilon", epsilon), ("relative", relative)) if value is not None]
        if len(given) > 1 or (given and source != "auto"):
            words = [*given, *([f"threshold={source!r}"] if source != "auto" else [])]
            raise ArgumentError(f"{' and '.join(words)} are two thresholds. Give one of them.")
        if epsilon is not None:
            check("epsilon", epsilon, at_least=0)
        if relative is not None:
            check("relative", relative, above=0, below=1)

    def of(self, found: Sequence[Trial], learnt: float | None = None) -> Noise:
        """The noise of the best configurations.

        Args:
            found: Feasible trials with a result, in the order of their ends.
            learnt: Noise of the process, in units of the objective.
        """
        if self.epsilon is not None:
            return Noise(self.epsilon, "given", "as given")
        if self.relative is not None:
            return self._share(found)
        if self.source == "model":
            return Noise(learnt, "model", "as the model learnt it, a lower estimate")
        everything, found = found, self._best_first(found)
        if self.source in ("auto", "folds"):
            pooled = self._pooled(found, self._of_folds)
            if isinstance(pooled, str):
                return Noise(None, "", pooled)
            if pooled is not None or self.source == "folds":
                return Noise(pooled, "folds", "from the scores of folds") if pooled is not None else self._none(found)
        errors: dict[str, float] = {}
        for source, each, among in (
            ("holdout", self._of_split, found),
            ("repeats", self._of_repeats(everything), found[: self.pool]),
        ):
            value = self._pooled(among, each) if self.source in ("auto", source) else None
            if isinstance(value, float):
                errors[source] = value
        if not errors:
            return self._none(found)
        source = max(errors, key=lambda one: errors[one])
        words = {"holdout": "of the hold-out split only", "repeats": f"from {RUNS} or more repetitions"}[source]
        return Noise(errors[source], source, words)

    def beforehand(self, found: Sequence[Trial]) -> str:
        """What the first results say of where the threshold will come from, so that nobody learns too late."""
        if self.relative is not None or self.source == "model":
            return "its threshold will be there by then"
        noise = self.of(found)
        return noise.words if noise.value is None else f"its threshold will be the noise {noise.words}"

    def _best_first(self, found: Sequence[Trial]) -> list[Trial]:
        """One trial a configuration, the best first."""
        name, sign = self.objective.name, self.objective.sign
        once: dict[Configuration, Trial] = {}
        for trial in sorted(found, key=lambda trial: sign * trial.metrics[name]):
            once.setdefault(trial.config, trial)
        return [*once.values()]

    def _none(self, found: Sequence[Trial]) -> Noise:
        name = self.objective.name
        broken = next((trial.number for trial in found if not _finite(self._scores(trial))), None)
        if broken is not None and self.source in ("auto", "folds"):
            return Noise(
                None,
                "",
                f"the noise of {name!r} is unknown: trial {broken} reported NaN or infinity among the scores of its "
                "folds, and no other trial reported folds that are finite. Leave such folds out, or report the trial's "
                f"{name!r} as NaN",
            )
        ways = {
            "folds": f"report folds=[...] beside {name!r}",
            "holdout": f"report {name}_stderr=...",
            "repeats": f"run each configuration {RUNS} times, repeats={RUNS}",
        }
        told = [ways[self.source]] if self.source in ways else [*ways.values()]
        told += [f"or give the rule epsilon=... in units of {name!r}, or relative=0.01"]
        return Noise(None, "", f"the noise of {name!r} is unknown: {', '.join(told)}")

    def _pooled(self, found: Sequence[Trial], each: Callable[[Trial], float | str | None]) -> float | str | None:
        """Root of the median of the variances of the best that have one."""
        variances: list[float] = []
        for trial in found:
            variance = each(trial)
            if isinstance(variance, str):
                return variance
            if variance is not None:
                variances.append(variance)
            if len(variances) == self.pool:
                break
        return math.sqrt(float(np.median(variances))) if variances else None

    def _share(self, found: Sequence[Trial]) -> Noise:
        values = [self.objective.sign * trial.metrics[self.objective.name] for trial in found[:FIRST]]
        if len(values) < FIRST:
            return Noise(None, "", f"relative={self.relative} needs {FIRST} results")
        spread = float(np.median(values)) - min(values)
        words = f"{self.relative:.2%} of what the first {FIRST} results differ by"
        return Noise((self.relative or 0.0) * spread, "given", words)

    # variances of one trial ------------------------------------------------------------------------------

    def _of_folds(self, trial: Trial) -> float | str | None:
        lists = self._scores(trial)
        scores = np.array([score for one in lists for score in one])
        if len(scores) < 2 or not _finite(lists):
            return None
        k = self.k or len(lists[0])
        if len(scores) % k or (self.k is None and any(len(one) != k for one in lists)):
            return (
                f"trial {trial.number} reported {len(scores)} scores, which are no whole number of cross-validations "
                f"of {k} folds. Say how many folds: folds={k}, or report all of them"
            )
        metric = trial.metrics[self.objective.name]
        slack = TOLERANCE * float(np.abs(scores).max())
        if not scores.min() - slack <= metric <= scores.max() + slack:
            return (
                f"trial {trial.number} reported {self.objective.name}={metric:.6g}, outside of the scores of its folds "
                f"({scores.min():.6g} to {scores.max():.6g}): they are in other units. Report both on one scale"
            )
        sizes = None if self.sizes is None else np.tile(self.sizes, len(scores) // k)
        return corrected(scores, k, sizes=sizes, ratio=self.ratio, divisor=self.divisor)

    def _scores(self, trial: Trial) -> list[tuple[float, ...]]:
        """Scores at the full resource, one list a repetition."""
        lists: dict[int, tuple[float, ...]] = {}
        for report in trial.reports:
            if report.folds and (self.axis is None or (report.resource or 0.0) >= self.axis.high):
                lists[report.repeat] = report.folds
        return [*lists.values()]

    def _of_split(self, trial: Trial) -> float | None:
        name = self.objective.name
        error = trial.metrics.get(f"{name}_stderr")
        if error is not None and math.isfinite(error) and error >= 0.0:
            return error**2
        share = trial.metrics[name]
        if self.examples is None or not 0.0 <= share <= 1.0:
            return None
        smooth = (share * self.examples + 1.0) / (self.examples + 2.0)
        return smooth * (1.0 - smooth) / self.examples

    def _of_repeats(self, found: Sequence[Trial]) -> Callable[[Trial], float | None]:
        """Variance of the mean of a configuration's repetitions; those of equal configurations count together."""
        name = self.objective.name
        values: Mapping[Configuration, list[float]] = defaultdict(list)
        for trial in found:
            runs = [one[name] for one in trial.repeats if name in one] or [trial.metrics[name]]
            values[trial.config].extend(runs)

        def each(trial: Trial) -> float | None:
            runs = values[trial.config]
            return float(np.var(runs, ddof=1)) / len(runs) if len(runs) >= RUNS else None

        return each


def _finite(lists: Sequence[Sequence[float]]) -> bool:
    return all(math.isfinite(score) for one in lists for score in one)


def corrected(scores: Any, k: int, *, sizes: Any = None, ratio: float | None = None, divisor: str = "k-1") -> float:
    """Variance of the mean of cross-validation scores, corrected for training sets that overlap.

    Args:
        scores: (J,) scores, of one or several cross-validations.
        k: Folds of one.
        sizes: (J,) examples that each score is a mean over; None: all alike.
        ratio: n_test/n_train; None: as k folds have it, or as the sizes say.
        divisor: "k-1" or "k", for the variance of the scores.

    Returns:
        (1/J + n_test/n_train) s^2, in squared units of the scores.

    Source: Nadeau, Bengio 2003, the corrected resampled t test.
    Differs: scores are weighted by the sizes of their folds, where these are given.
    """
    m = np.asarray(scores, dtype=float)
    count = len(m)
    weights = np.full(count, 1.0 / count)
    between = 1.0 / (k - 1) if ratio is None else ratio
    if sizes is not None:
        n = np.asarray(sizes, dtype=float)
        weights = n / n.sum()
        if ratio is None:
            whole = n[:k].sum()
            between = float(np.mean(n[:k] / (whole - n[:k])))
    squares = float(weights @ (m - weights @ m) ** 2) * (count / (count - 1) if divisor == "k-1" else 1.0)
    return (1.0 / count + between) * squares


def standard_error(losses: Any, *more: Any, metric: Any = None, draws: int = 200, seed: int = 0) -> float:
    """Standard error of a hold-out score, to be reported beside it.

    `run.report(loss=..., loss_stderr=standard_error(losses))` tells a study how well one split knows the loss.

    Args:
        losses: (n,) losses of the examples, where the score is their mean; else what `metric` takes first.
        *more: What else it takes, such as the predictions; (n, ...) each.
        metric: From arrays, drawn with replacement, to the score, where it is no mean (a ranking metric, say).
        draws: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        In units of the score. It leaves out what another training set would change.
    """
    arrays = [np.asarray(array) for array in (losses, *more)]
    n = len(arrays[0])
    check("losses", n, at_least=2, whole=True)
    if metric is None:
        return float(np.std(arrays[0], ddof=1) / math.sqrt(n))
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        drawn = rng.integers(n, size=n)
        found.append(float(metric(*(array[drawn] for array in arrays))))
    return float(np.std(found, ddof=1))


def _sizes(folds: Any) -> tuple[int, ...] | None:
    """Sizes of folds, if that is what was given."""
    if folds is None:
        return None
    if isinstance(folds, Sequence) and not isinstance(folds, str):
        check("folds", len(folds), at_least=2, whole=True)
        for size in folds:
            check("size of a fold", size, at_least=1, whole=True)
        return tuple(int(size) for size in folds)
    check("folds", folds, at_least=2, whole=True)
    return None
