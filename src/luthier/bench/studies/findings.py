"""HPOBench's qualitative findings, each as a statement that holds here, does not hold, or stays undecided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import beta

from luthier.bench.statistics import hodges_lehmann, matched_pairs, shift_interval, sign_test, wilcoxon_p
from luthier.bench.statistics._guards import Array
from luthier.bench.studies.analysis import ALPHA, Analysis, Table, share

HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"


def findings(one: Analysis) -> Table | None:
    """The paper's statements about baselines, pairs and winners, with effect sizes and intervals."""
    rows = [*_baselines(one), *_pairs(one)]
    if not rows:
        return None
    rows += _nobody(one)
    return Table(
        "findings",
        "Do the paper's findings hold?",
        "Statements of the HPOBench study, as far as this plan has the methods for them. holds: the one-sided sign "
        "test over tasks is significant (question 1: 5 % over the number of methods compared with the baseline; "
        "question 2: 5 % for each, as in the paper). does not hold: the same test the other way round is. undecided: "
        "neither, or fewer tasks than a test needs. won: share of tasks on which the first is better, ties half, with "
        "its 95 % interval (Clopper-Pearson). shift: of normalised regret (Hodges-Lehmann, 95 %), below 0 speaks for "
        "the statement, as does effect (matched pairs, -1 to 1). Tasks of one family are alike, so that intervals over "
        "tasks are too narrow where families have several.",
        rows,
    )


def _baselines(one: Analysis) -> Iterator[dict[str, Any]]:
    """Question 1: is it better than its baseline at the end of the budget?"""
    measure, names = share(one.plan.checkpoints[-1]), one.comparison.methods
    for control, others in one.plan.baselines:
        for other in others:
            if {control, other} <= set(names):
                yield _row(one, 1, f"{other} beats {control} at {measure}", measure, other, control, len(others))


def _pairs(one: Analysis) -> Iterator[dict[str, Any]]:
    """Question 2: is the multi-fidelity method ahead early on, and does its lead fade?"""
    first, last = (share(point) for point in (one.plan.checkpoints[0], one.plan.checkpoints[-1]))
    for before, after in one.plan.pairs:
        if not {before, after} <= set(one.comparison.methods):
            continue
        for measure in (share(point) for point in one.plan.checkpoints[:-1]):
            yield _row(one, 2, f"{after} beats {before} at {measure}", measure, after, before, 1)
        if first != last:
            a, b = (one.comparison.methods.index(name) for name in (after, before))
            early, late = one.medians(first), one.medians(last)
            # the lead at the end less the lead at the beginning: the statement is that it has become smaller
            change = (early[a] - early[b]) - (late[a] - late[b])
            words = f"the lead of {after} over {before} at {first} is smaller or gone at {last}"
            yield _judged(one, 2, words, f"{first} to {last}", after, before, change, wilcoxon=True)


def _nobody(one: Analysis) -> Iterator[dict[str, Any]]:
    """Is there one method that is best everywhere?"""
    if len(one.methods) < 3:
        return
    measure = share(one.plan.checkpoints[-1])
    medians = one.medians(measure)
    best = medians == medians.min(axis=0)
    top, tasks = int(best.sum(axis=1).argmax()), medians.shape[1]
    wins = int(best[top].sum())
    low, high = _share_interval(wins, tasks)
    verdict = OPEN if not one.verdicts else FAILS if wins == tasks else HOLDS
    yield {
        "question": 3, "statement": f"no method is the best on every task at {measure}", "verdict": verdict,
        "at": measure, "first": one.methods[top].name, "second": "all others", "won": wins / tasks, "won_low": low,
        "won_high": high, "wins": wins, "ties": None, "losses": tasks - wins, "shift": None, "shift_low": None,
        "shift_high": None, "effect": None, "p": None,
    }  # fmt: skip


def _row(one: Analysis, question: int, words: str, measure: str, a: str, b: str, number: int) -> dict[str, Any]:
    names, medians = one.comparison.methods, one.medians(measure)
    gap = medians[names.index(a)] - medians[names.index(b)]
    return _judged(one, question, words, measure, a, b, gap, number=number)


def _judged(
    one: Analysis,
    question: int,
    words: str,
    at: str,
    a: str,
    b: str,
    gap: Array,
    *,
    number: int = 1,
    wilcoxon: bool = False,
) -> dict[str, Any]:
    """A statement that is true where `gap` is below 0; (tasks,)."""
    test, back = sign_test(gap, np.zeros_like(gap)), sign_test(-gap, np.zeros_like(gap))
    p, against = test.p, back.p
    if wilcoxon:  # magnitudes matter for a change
        p, against = wilcoxon_p(gap, "less"), wilcoxon_p(gap, "greater")
    verdict = OPEN
    if one.verdicts and min(p, against) < ALPHA / number:
        verdict = HOLDS if p < against else FAILS
    low, high = _share_interval(test.wins + test.ties / 2, len(gap))
    ends = shift_interval(gap)
    return {
        "question": question, "statement": words, "verdict": verdict, "at": at, "first": a, "second": b,
        "won": (test.wins + test.ties / 2) / len(gap), "won_low": low, "won_high": high,
        "wins": test.wins, "ties": test.ties, "losses": test.losses,
        "shift": hodges_lehmann(gap), "shift_low": ends[0], "shift_high": ends[1], "effect": matched_pairs(gap), "p": p,
    }  # fmt: skip


def _share_interval(won: float, tasks: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share; half wins are interpolated as the beta quantiles have it."""
    low = float(beta.ppf(0.025, won, tasks - won + 1)) if won > 0 else 0.0
    high = float(beta.ppf(0.975, won + 1, tasks - won)) if won < tasks else 1.0
    return low, high
