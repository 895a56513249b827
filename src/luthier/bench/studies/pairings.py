"""Every method beside every other at the end of the budget: how often, how much, how sure, and who is alike."""

from __future__ import annotations

import numpy as np

from luthier.bench.statistics import cliques, contrast, critical_difference, friedman, paired_ranks, pairwise
from luthier.bench.studies.analysis import ALPHA, Analysis, Table, share


def probability(one: Analysis) -> Table | None:
    """P(row is better than column) at the end of the budget."""
    if len(one.methods) < 2:
        return None
    measure = share(one.plan.checkpoints[-1])
    rows = []
    for i, row in enumerate(one.methods):
        for j, other in enumerate(one.methods[:i]):
            p, low, high = (float(end) for end in one.better[i, j])
            rows.append({"method": row.name, "than": other.name, "p": p, "low": low, "high": high})
            rows.append({"method": other.name, "than": row.name, "p": 1 - p, "low": 1 - high, "high": 1 - low})
    return Table(
        "improvement",
        f"Probability of improvement at {measure} of the budget",
        "p: probability that a run of the method is better than a run of the other on the same task, ties count half; "
        "mean over tasks, with a 95 % interval when tasks and runs are drawn again. 0.5: neither.",
        rows,
    )


def pairs(one: Analysis) -> Table | None:
    """All pairs of methods at the end of the budget: Wilcoxon with Holm, how much, and how often."""
    if not one.verdicts or len(one.methods) < 2:
        return None
    measure = share(one.plan.checkpoints[-1])
    medians = one.medians(measure)
    p = pairwise(medians, tasks=one.comparison.labels)
    rows = []
    for i, method in enumerate(one.methods):
        for j in range(i):
            gap = contrast(medians[i], medians[j])
            better, low, high = (float(end) for end in one.better[i, j])
            rows.append({
                "method": method.name, "than": one.methods[j].name,
                "wins": gap.wins, "ties": gap.ties, "losses": gap.losses, "shift": gap.shift, "shift_low": gap.low,
                "shift_high": gap.high, "effect": gap.effect, "p": gap.p, "p_holm": float(p[i, j]),
                "p_better": better, "p_better_low": low, "p_better_high": high,
            })  # fmt: skip
    return Table(
        "pairs",
        f"All pairs at {measure} of the budget",
        "shift (Hodges-Lehmann, below 0: the method is better), effect (matched pairs, -1 to 1) and p (Wilcoxon, "
        "two-sided) over tasks, of their medians over seeds; p_holm: adjusted for all pairs. p_better: probability "
        "that a run of the method is better than one of the other on the same task, with its 95 % interval.",
        rows,
    )


def diagram(one: Analysis) -> Table | None:
    """Mean ranks of task medians with the groups that were not told apart."""
    if not one.verdicts or len(one.methods) < 3:
        return None
    measure = share(one.plan.checkpoints[-1])
    medians = one.medians(measure)
    mean = paired_ranks(medians).mean(axis=1)
    p = pairwise(medians, tasks=one.comparison.labels)
    distance = critical_difference(len(mean), medians.shape[1])
    names = [row.name for row in one.methods]
    groups = cliques(mean, p >= ALPHA)
    bars = cliques(mean, np.abs(mean[:, None] - mean[None, :]) < distance)
    test = friedman(medians)
    order = np.argsort(mean, kind="stable")
    return Table(
        "diagram",
        f"Critical-difference diagram at {measure} of the budget",
        f"Mean ranks of task medians. Friedman (Iman-Davenport): F = {test.F:.4g}, p = {test.p:.3g}. groups: methods "
        "that Wilcoxon's tests of all pairs with Holm's correction do not tell apart at 5 %. nemenyi: the same by "
        f"Nemenyi's critical difference of {distance:.2f}, which depends on who takes part.",
        [
            {
                "method": names[i],
                "rank": float(mean[i]),
                "groups": " ".join(str(g + 1) for g, group in enumerate(groups) if i in group),
                "nemenyi": " ".join(str(g + 1) for g, group in enumerate(bars) if i in group),
            }
            for i in order.tolist()
        ],
        {
            "friedman": test._asdict(),
            "critical_difference": distance,
            "groups": [[names[i] for i in group] for group in groups],
            "nemenyi": [[names[i] for i in group] for group in bars],
            "p": {names[i]: {names[j]: float(p[i, j]) for j in range(len(names))} for i in range(len(names))},
        },
    )
