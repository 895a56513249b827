"""The tables with tests: the primary contrast, and HPOBench's protocol of sign tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from luthier.bench.statistics import (
    EPSILON,
    ROPE,
    contrast,
    equivalence_p,
    hodges_lehmann,
    holm,
    improvement,
    inside,
    log_regret,
    matched_pairs,
    max_statistic,
    mixed_model,
    shift_interval,
    sign_test,
    signed_rank_posterior,
)
from luthier.bench.statistics._guards import Array
from luthier.bench.studies.analysis import CURVE, Analysis, Table, share
from luthier.bench.studies.plan import ANYTIME
from luthier.bench.studies.results import filled

_MEANING = "below 0 speaks for the method"


def primary(one: Analysis) -> Table | None:
    """The contrast that the study was made for; the only p-value of it that stands without adjustment."""
    chosen = one.plan.primary
    names = one.comparison.methods
    if chosen is None or not one.verdicts or not {chosen.method, chosen.control} <= set(names):
        return None
    places = names.index(chosen.method), names.index(chosen.control)
    runs = _runs(one, chosen.at)
    medians = inside(runs, "median", axis=2)
    a, b = (medians[i] for i in places)
    found, posterior = contrast(a, b), signed_rank_posterior(a, b)
    better = improvement(runs[places[0]], runs[places[1]])
    rows = [
        {"what": "wins / ties / losses over tasks", "value": f"{found.wins} / {found.ties} / {found.losses}"},
        {"what": "shift of normalised regret (Hodges-Lehmann)", "value": _between(found.shift, found.low, found.high)},
        {"what": "effect (matched pairs, -1 to 1)", "value": f"{found.effect:.3f}"},
        {"what": "p (Wilcoxon over tasks, two-sided)", "value": f"{found.p:.3g}"},
        {"what": "P(better run), over tasks", "value": _between(*(float(end) for end in better))},
        {"what": f"P(better, practically the same, worse), region {ROPE:g}",
         "value": " / ".join(f"{value:.3f}" for value in posterior)},
        {"what": f"p of equivalence within {ROPE:g} (two one-sided tests)", "value": f"{equivalence_p(a, b):.3g}"},
        *_mixed(one, runs, places),
        *_along(one, places),
    ]  # fmt: skip
    when = "over the whole budget" if chosen.at == ANYTIME else f"at {share(float(chosen.at))} of the budget"
    return Table(
        "primary",
        f"{chosen.method} against {chosen.control}, {when}",
        f"Decided before the study ran. Differences are {chosen.method} minus {chosen.control}: {_MEANING}. One number "
        "for each task, the median over seeds.",
        rows,
        {"p": found.p, "shift": found.shift},
    )


def _runs(one: Analysis, at: float | str) -> Array:
    """Regret of every run at the moment of the primary contrast; (methods, tasks, seeds)."""
    if at == ANYTIME:
        return one.measures[ANYTIME][: len(one.methods)]
    return np.asarray(filled(one.comparison.regret(one.methods, [float(at)])[..., 0]))


def _between(estimate: float, low: float, high: float) -> str:
    return f"{estimate:.4g} [{low:.4g}, {high:.4g}]"


def _mixed(one: Analysis, runs: Array, places: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """The same by a linear mixed model, which knows of families."""
    several = len(set(one.comparison.families)) > 1
    families = one.comparison.families if several else ()
    fit = mixed_model(log_regret(runs), families=families)
    gap = fit.difference(*places)
    words = "task and family" if several else "task"
    yield {
        "what": f"difference of log10 (regret + {EPSILON:g}), mixed model (spread over {words})",
        "value": f"{_between(gap.estimate, gap.low, gap.high)}, p = {gap.p:.3g}, df = {fit.df:.1f}",
    }
    yield {
        "what": "its variances",
        "value": ", ".join(f"{name} {value:.3g}" for name, value in fit.components.items())
        + f"; interaction: skewness {fit.skew:.2f}, excess kurtosis {fit.kurtosis:.2f}",
    }


def _along(one: Analysis, places: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """Where along the budget the two differ, the error of the whole curve held at 5 %."""
    medians = inside(filled(one.curves[list(places)]), "median", axis=2)  # (2, tasks, moments)
    gap = medians[0] - medians[1]
    found = max_statistic(gap)
    for word, sign in (("better", -1), ("worse", 1)):
        where = CURVE[(found.p < 0.05) & (np.sign(found.statistic) == sign)]
        shown = f"{100 * where.min():.3g} % to {100 * where.max():.3g} % of the budget" if len(where) else "nowhere"
        yield {"what": f"{word} by a max-statistic permutation test over the whole curve", "value": shown}


def against_control(one: Analysis) -> Table | None:
    """Every method beside the control at the end of the budget: how much, how sure, and whether it matters."""
    if one.control is None or not one.verdicts or len(one.methods) < 2:
        return None
    measure = share(one.plan.checkpoints[-1])
    runs, medians = filled(one.measures[measure][: len(one.methods)]), one.medians(measure)
    several = len(set(one.comparison.families)) > 1
    fit = mixed_model(log_regret(runs), families=one.comparison.families if several else ())
    rows: list[dict[str, Any]] = []
    for i, method in enumerate(one.methods):
        if i == one.control:
            continue
        gap, better = fit.difference(i, one.control), improvement(runs[i], runs[one.control])
        posterior = signed_rank_posterior(medians[i], medians[one.control])
        rows.append({
            "method": method.name, "difference": gap.estimate, "low": gap.low, "high": gap.high, "p": gap.p,
            "p_better": float(better.estimate), "p_better_low": float(better.low), "p_better_high": float(better.high),
            "posterior_better": posterior.better, "posterior_same": posterior.same, "posterior_worse": posterior.worse,
            "p_equivalent": equivalence_p(medians[i], medians[one.control]),
        })  # fmt: skip
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    words = "task and family" if several else "task"
    return Table(
        "against_control",
        f"Against {one.plan.control} at {measure} of the budget",
        f"difference: of log10 (normalised regret + {EPSILON:g}), below 0: better than {one.plan.control}; estimate, "
        f"95 % interval and p of a linear mixed model in which methods differ from {words} to {words}; its degrees of "
        f"freedom are {fit.df:.1f}. p_holm: adjusted for the methods of this table. p_better: probability that a run "
        "is better than one of the control's on the same task, with its 95 % interval over tasks. posterior: of the "
        f"Bayesian signed-rank test with differences of regret up to {ROPE:g} as none. p_equivalent: of two one-sided "
        "tests for a difference smaller than that.",
        rows,
        {"components": dict(fit.components), "df": fit.df, "F": fit.F, "p": fit.p},
    )


def protocol(one: Analysis) -> Table | None:
    """HPOBench's tests: one-sided sign tests over tasks at each checkpoint."""
    questions = [
        *((control, other, len(others), "baseline") for control, others in one.plan.baselines for other in others),
        *((before, after, 1, "pair") for before, after in one.plan.pairs),
    ]
    names = one.comparison.methods
    rows = [
        _sign_row(one, measure, before, after, number, kind)
        for before, after, number, kind in questions
        if {before, after} <= set(names)
        for measure in (share(point) for point in one.plan.checkpoints)
    ]
    if not rows:
        return None
    return Table(
        "protocol",
        "HPOBench's protocol",
        "Is `after` better than `before` on more tasks than chance gives? One-sided sign test over tasks of the median "
        "over seeds, ties split. baseline: significant at 5 % over the number of methods that are compared with the "
        "same baseline (Bonferroni); pair: at 5 %, uncorrected, as in the paper. shift and effect: of normalised "
        "regret, below 0 speaks for `after`; they say how much, which the sign test does not.",
        rows,
    )


def _sign_row(one: Analysis, measure: str, before: str, after: str, number: int, kind: str) -> dict[str, Any]:
    medians, names = one.medians(measure), one.comparison.methods
    a, b = (medians[names.index(name)] for name in (after, before))
    found, gap = sign_test(a, b), a - b
    low, high = shift_interval(gap)
    return {
        "at": measure, "kind": kind, "before": before, "after": after,
        "wins": found.wins, "ties": found.ties, "losses": found.losses, "p": found.p,
        "significant": bool(found.p < 0.05 / number) if one.verdicts else None,
        "shift": hodges_lehmann(gap), "shift_low": low, "shift_high": high,
        "effect": matched_pairs(gap),
    }  # fmt: skip
