"""The guard: the best trials and the default are measured again on fresh splits, and the default has to be beaten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.base.records import Configuration, Status, Trial
from luthier.base.seeds import split_seed
from luthier.space.problem import Problem
from luthier.study._selection import CONFIRM

#: What the confirmation may cost, as a share of the trials of the search.
SHARE = 0.2
FINALISTS = 2  # the default and the best trial; more of them, each on fewer splits, let more luck pass
ROUNDS = (3, 10)  # fresh splits: of two the spread is a guess, and beyond ten the data, not the splits, decide
#: One-sided risk of leaving a default that is as good: that of one standard error. See docs/results/overtuning.md.
RISK = 0.16
#: Validation rows over training rows of a trial that reports no folds: a third is held out.
HELD_OUT = 0.5


@dataclass(frozen=True)
class Verdict:
    """What the confirmation says.

    Args:
        trial: Number of the trial that is chosen.
        words: Why.
    """

    trial: int
    words: str


def searched(trials: Sequence[Trial]) -> list[Trial]:
    """Trials of the search itself."""
    return [trial for trial in trials if trial.origin != CONFIRM]


def plan(found: Sequence[Trial], trials: Sequence[Trial], seed: int) -> list[tuple[Configuration, int]]:
    """What to measure again, each configuration once a round.

    Args:
        found: Feasible trials of the search that may be chosen, the best first.
        trials: All trials of the search.
        seed: The study's.

    Returns:
        Configurations with their split seeds, round after round; empty when there is nothing to choose between.
    """
    default = next((trial for trial in found if trial.origin == "default"), None)
    measured = list(dict.fromkeys(trial.config for trial in ([] if default is None else [default]) + list(found)))
    if len(measured) < FINALISTS:
        return []
    rounds = math.floor(SHARE * len(trials) / FINALISTS)
    seeds = [split_seed(seed, "round", len(trials), r) for r in range(min(max(rounds, ROUNDS[0]), ROUNDS[1]))]
    return [(config, split) for split in seeds for config in measured[:FINALISTS]]


def judge(found: Sequence[Trial], trials: Sequence[Trial], problem: Problem) -> Verdict | None:
    """Choose by the confirmation: the finalist with the best mean, if it beats the default by more than its noise.

    The gain over the default is the mean of paired differences on the same fresh splits, J of them (every fold counts),
    with standard deviation s; its corrected standard error is s sqrt(1/J + r), where r is the number of validation rows
    over that of training rows: 1/(k - 1) for k folds, else a half. The splits overlap, so the error does not vanish
    however many there are. The gain has to exceed it by the factor t(1 - `RISK`, J - 1) of Student's distribution,
    which is 1 for many splits.

    Args:
        found: Feasible trials of the search that may be chosen, the best first.
        trials: All trials.
        problem: The problem.

    Returns:
        None while no finalist has been confirmed.

    Source: Nadeau, Bengio 2003 (corrected variance).
    """
    name, sign = problem.objectives[0].name, problem.objectives[0].sign
    rounds: dict[Configuration, dict[int, np.ndarray]] = {}
    for trial in trials:
        if trial.origin == CONFIRM and trial.status is Status.COMPLETED and _holds(trial, problem):
            folds = trial.reports[-1].folds
            if len(folds) < 2 or not np.isfinite(folds).all():
                folds = (trial.metrics[name],)
            rounds.setdefault(trial.config, {})[trial.split_seed] = sign * np.array(folds)
    first = {trial.config: trial for trial in reversed(found)}  # the best of those with the same configuration
    default = next((trial for trial in found if trial.origin == "default"), None)
    means = {
        config: float(np.mean([scores.mean() for scores in scores_of.values()]))
        for config, scores_of in rounds.items()
        if config in first and len(scores_of) > 1
    }
    finalists = [config for config in means if default is None or config != default.config]
    if not finalists:
        return None
    best = min(finalists, key=lambda config: (means[config], first[config].number))
    number, count = first[best].number, len(rounds[best])
    told = f"confirmed on {count} fresh splits: mean {sign * means[best]:.4g}"
    if default is None or default.config not in means:
        return Verdict(number, f"best mean on fresh splits, {told}")
    gain, noise = _gain(rounds[default.config], rounds[best])
    words = f"gain over the default {round(gain, 12):.2g}, noise {noise:.2g}"
    if gain > 0 and gain > noise:
        return Verdict(number, f"{told}, {words}")
    kept = f"the default, as no gain on fresh splits exceeds its noise: trial {number}, {words}"
    return Verdict(default.number, kept)


def _holds(trial: Trial, problem: Problem) -> bool:
    return problem.usable(trial.metrics) and all(trial.metrics[c.name] <= c.upper for c in problem.constraints)


def _gain(default: dict[int, np.ndarray], best: dict[int, np.ndarray]) -> tuple[float, float]:
    """Mean of the paired differences, and what it has to exceed."""
    pairs = [(default[split], best[split]) for split in best if split in default]
    pairs = [(a, b) if len(a) == len(b) else (a.mean(keepdims=True), b.mean(keepdims=True)) for a, b in pairs]
    if not pairs:
        return 0.0, math.inf
    gains = np.concatenate([a - b for a, b in pairs])
    if len(gains) < 2:
        return float(gains.mean()), math.inf
    folds = len(pairs[0][0])
    ratio = 1.0 / (folds - 1) if folds > 1 else HELD_OUT
    from scipy.special import stdtrit  # here, for most studies need none of it

    error = math.sqrt((1.0 / len(gains) + ratio) * float(gains.var(ddof=1)))
    return float(gains.mean()), float(stdtrit(len(gains) - 1, 1.0 - RISK)) * error
