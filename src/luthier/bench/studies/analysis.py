"""Tables of a comparison: plain rows, made from the study's folder alone; whoever draws or writes takes them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.bench.statistics import (
    CLIP,
    DRAWS,
    FEWEST,
    NOTHING_YET,
    Band,
    Contrast,
    adjust,
    aggregate,
    contrasts,
    hierarchical,
    improvement,
    inside,
    paired_ranks,
    profile,
    unpaired_ranks,
)
from luthier.bench.statistics._guards import Array
from luthier.bench.studies.plan import ANYTIME
from luthier.bench.studies.results import Comparison, Results, Shown, filled

CURVE: Array = np.geomspace(1e-3, 1.0, 50)  # shares of the budget that curves are drawn at
LEVELS: Array = np.concatenate([[0.0], np.geomspace(1e-4, CLIP, 60)])  # regrets that profiles are read at
TARGETS: Array = np.geomspace(1.0, 1e-3, 31)  # regrets that are to be reached: ten to a power of ten
CURVE_DRAWS, CURVE_REPLICATES = 2000, 200  # bands of curves are read by eye
ALPHA = 0.05
_ALL = "all families"


@dataclass(frozen=True)
class Table:
    """Rows with the same keys.

    Args:
        name: Of its file.
        title: What it shows.
        about: How to read it, in a few sentences.
        rows: The rows; values are texts, numbers or None.
        data: What belongs to the whole of it, such as a critical difference.
    """

    name: str
    title: str
    about: str
    rows: Sequence[Mapping[str, Any]]
    data: Mapping[str, Any] = field(default_factory=dict)


class Analysis:
    """Everything that is computed once for the tables of a comparison.

    Args:
        comparison: The runs.
        draws: Bootstrap samples behind each interval of a number.
    """

    def __init__(self, comparison: Comparison, *, draws: int = DRAWS) -> None:
        draws = check("draws", draws, at_least=1, whole=True)
        self.comparison, self.plan, self.draws = comparison, comparison.plan, draws
        self.shown = comparison.shown
        self.methods = self.shown[: len(comparison.methods)]
        self.control = comparison.methods.index(self.plan.control) if self.plan.control in comparison.methods else None

    @property
    def verdicts(self) -> bool:
        """Whether there are enough tasks for a test."""
        return len(self.comparison.tasks) >= FEWEST

    @cached_property
    def measures(self) -> dict[str, Array]:
        """Measure to normalised regret, NaN where undefined; (rows, tasks, seeds)."""
        at = self.comparison.regret(self.shown, self.plan.checkpoints)
        found = {share(point): at[..., i] for i, point in enumerate(self.plan.checkpoints)}
        return {**found, ANYTIME: self.comparison.anytime(self.shown)}

    @cached_property
    def curves(self) -> Array:
        """Normalised regret along `CURVE`, NaN where undefined; (rows, tasks, seeds, moments)."""
        return self.comparison.regret(self.shown, CURVE)

    def medians(self, measure: str) -> Array:
        """One number for each task: the median over seeds; (methods, tasks), without the rows of more budget."""
        return inside(filled(self.measures[measure][: len(self.methods)]), "median", axis=2)

    @cached_property
    def contrasts(self) -> dict[tuple[str, int], Contrast]:
        """(measure, method) to the contrast with the control; Holm over all of them, as all are looked at."""
        if self.control is None or not self.verdicts or len(self.methods) < 2:
            return {}
        found = {
            (measure, i): one
            for measure in self.measures
            for i, one in contrasts(self.medians(measure), self.control, tasks=self.comparison.labels).items()
        }
        return dict(zip(found, adjust(list(found.values())), strict=True))

    @cached_property
    def better(self) -> dict[tuple[int, int], Band]:
        """(i, j), j before i, to the probability that method i is better than j at the end of the budget."""
        runs = filled(self.measures[share(self.plan.checkpoints[-1])])
        return {(i, j): improvement(runs[i], runs[j]) for i in range(len(self.methods)) for j in range(i)}

    def mean(self, tasks: Array) -> float:
        """Mean over tasks inside families, then over families, of one number for each task."""
        return float(aggregate(tasks[:, None], families=self.comparison.families))

    def band(self, values: Array, *, how: str = "iqm", curve: bool = False) -> Band:
        """Aggregate of one row with its 95 % interval; families weigh alike."""
        families = self.comparison.families if len(set(self.comparison.families)) > 1 else ()
        if curve:
            return hierarchical(values, how=how, families=families, draws=CURVE_DRAWS, replicates=CURVE_REPLICATES)
        return hierarchical(values, how=how, families=families, draws=self.draws)


def share(point: float) -> str:
    """A share of the budget as a word: "10 %"."""
    return f"{100 * point:g} %"


def analyse(
    folder: str | Path, *, methods: Collection[str] = (), part: str = "test", draws: int = DRAWS
) -> list[Table]:
    """All tables of a study.

    Args:
        folder: The study's folder.
        methods: Only these; empty: all that can be compared.
        part: "test", or "dev" for a look that gives no verdict.
        draws: Bootstrap samples behind each interval of a number.

    Raises:
        StorageError: the folder holds no study.
        ArgumentError: nothing can be compared.

    Cost: with 20 tasks, 10 methods, 30 seeds and 10 000 draws about 6 s of one processor; `luthier bench compare` adds
        the page (`luthier.report.comparison.write_comparison`, 0.1 s) and files (`writers.write`).
    """
    from luthier.bench.studies.accounts import failures, gaps, overhead, provenance, skipped
    from luthier.bench.studies.attainment import fronts
    from luthier.bench.studies.conclusions import conclusions
    from luthier.bench.studies.findings import findings
    from luthier.bench.studies.overview import overview
    from luthier.bench.studies.pairings import diagram, pairs, probability
    from luthier.bench.studies.protocol import against_control, primary, protocol

    one = Analysis(Results.read(folder).compare(methods=methods, part=part), draws=draws)
    makers = (
        primary, overview, summary, against_control, ranks, curves, probability, pairs, diagram, profiles, reached,
        protocol,
        findings, per_task, task_curves, fronts, gaps, overhead, failures, skipped, conclusions, provenance,
    )  # fmt: skip
    return [table for make in makers if (table := make(one)) is not None]


def summary(one: Analysis) -> Table:
    """Regret, rank, win/tie/loss, tests and speed-up at every checkpoint."""
    rows = [row for measure in one.measures for row in _measure_rows(one, measure)]
    control = one.plan.control
    return Table(
        "summary",
        "At each checkpoint",
        "regret: normalised, 0 is the best known and 1 a median random configuration; interquartile mean over seeds of "
        "a task, then the mean over tasks of a family and over families, with the 95 % interval of that aggregate "
        "when families, tasks and seeds are drawn again. rank: mean over paired seeds, tasks and families, among the "
        "methods of this table without more budget; rank_unpaired: the same with one run of each drawn without regard "
        "to seeds, as HPOBench's runner does. wins/ties/losses, shift (Hodges-Lehmann, below 0: better than "
        f"{control}), effect (matched pairs) and p (Wilcoxon, two-sided): over tasks, of their medians over seeds. "
        "p_holm: adjusted for all methods and checkpoints of this table. speed_up: evaluations that random search "
        "would need for the same median value, over those used; median over tasks, 'inf' where the pool of random "
        "configurations holds none as good.",
        rows,
    )


def _measure_rows(one: Analysis, measure: str) -> Iterator[dict[str, Any]]:
    values = one.measures[measure]
    ranked = paired_ranks(values[: len(one.methods)])
    unpaired = unpaired_ranks(values[: len(one.methods)])
    for i, row in enumerate(one.shown):
        band = one.band(filled(values[i]))
        found: dict[str, Any] = {"at": measure, "method": row.name}
        found |= {"regret": float(band.estimate), "regret_low": float(band.low), "regret_high": float(band.high)}
        if i < len(one.methods):
            rank = one.band(ranked[i], how="mean")
            found |= {"rank": float(rank.estimate), "rank_low": float(rank.low), "rank_high": float(rank.high)}
            found["rank_unpaired"] = one.mean(unpaired[i])
        else:
            found |= dict.fromkeys(("rank", "rank_low", "rank_high", "rank_unpaired"))
        yield {**found, **_contrast(one.contrasts.get((measure, i))), "speed_up": _speed_up(one, row, measure)}


def _contrast(found: Contrast | None) -> dict[str, Any]:
    names = {"wins": "wins", "ties": "ties", "losses": "losses", "shift": "shift", "shift_low": "low",
             "shift_high": "high", "effect": "effect", "p": "p", "p_holm": "p_holm"}  # fmt: skip
    return {key: None if found is None else getattr(found, name) for key, name in names.items()}


def _speed_up(one: Analysis, row: Shown, measure: str) -> float | None:
    """Median over tasks, 0 on those where nothing was found; None for the mean over the budget."""
    point = next((p for p in one.plan.checkpoints if share(p) == measure), None)
    if point is None:
        return None
    values = one.comparison.values([row], [point])[0, :, :, 0]
    found = []
    for task, runs in zip(one.comparison.tasks, values, strict=True):
        reference = one.comparison.results.references[task.label]
        median = float(np.median(np.where(np.isnan(runs), np.inf, runs)))
        used = one.comparison.evaluations(task) * point * row.stretch
        found.append(reference.equivalent(median) / used if np.isfinite(median) else 0.0)
    return float(np.median(found))


def ranks(one: Analysis) -> Table:
    """Mean rank over the budget."""
    ranked = paired_ranks(one.curves[: len(one.methods)])
    rows = [
        {"method": row.name, "share": float(moment), "rank": float(rank), "low": float(low), "high": float(high)}
        for row, values in zip(one.methods, ranked, strict=True)
        for moment, rank, low, high in zip(CURVE, *one.band(values, how="mean", curve=True), strict=True)
    ]
    return Table(
        "ranks",
        "Mean rank over the budget",
        "Rank among the methods on each task and paired seed at a share of the budget (1 is best; ties share a mean, "
        "runs without an incumbent the worst); mean over seeds, tasks and families, with its 95 % interval when "
        "families, tasks and seeds are drawn again. Ranks hide magnitudes and depend on who takes part.",
        rows,
    )


def curves(one: Analysis) -> Table:
    """Regret over the budget, of each family and of all."""
    rows: list[dict[str, Any]] = []
    families = list(dict.fromkeys(one.comparison.families))
    for family in [_ALL, *families] if len(families) > 1 else [_ALL]:
        places = [i for i, name in enumerate(one.comparison.families) if family in (_ALL, name)]
        for row, values in zip(one.shown, filled(one.curves), strict=True):
            if family == _ALL:
                band = one.band(values, curve=True)
            else:
                band = hierarchical(values[places], how="iqm", draws=CURVE_DRAWS, replicates=CURVE_REPLICATES)
            rows += [
                {"family": family, "method": row.name, "share": float(moment), "regret": float(estimate),
                 "low": float(low), "high": float(high)}
                for moment, estimate, low, high in zip(CURVE, *band, strict=True)
            ]  # fmt: skip
    return Table(
        "curves",
        "Regret over the budget",
        "Normalised regret of the incumbent (chosen by what the method saw, scored without noise at the full resource) "
        "at a share of the budget: interquartile mean over seeds, then means over tasks and families, with the 95 % "
        "interval of that aggregate when families, tasks and seeds are drawn again. Of a family with one task the "
        f"interval is over seeds alone. Before the first result the regret is {NOTHING_YET:g}, a median random "
        "configuration's.",
        rows,
    )


def profiles(one: Analysis) -> Table:
    """Share of runs up to each regret at the end of the budget."""
    measure = share(one.plan.checkpoints[-1])
    rows = [
        {"method": row.name, "regret": float(level), "share": float(part)}
        for row, values in zip(one.shown, filled(one.measures[measure]), strict=True)
        for level, part in zip(LEVELS, profile(values, LEVELS), strict=True)
    ]
    return Table(
        "profiles",
        f"Performance profiles at {measure} of the budget",
        "share: of runs whose normalised regret is at most `regret`, tasks weighing alike.",
        rows,
    )


def reached(one: Analysis) -> Table:
    """Share of tasks, seeds and targets reached over the budget."""
    rows = []
    for row, values in zip(one.shown, filled(one.curves), strict=True):
        best = np.minimum.accumulate(values, axis=-1)  # a target that was reached stays reached
        shares = (best[..., None] <= TARGETS).mean(axis=(1, 3))  # (tasks, moments)
        rows += [
            {"method": row.name, "share": float(moment), "part": one.mean(part)}
            for moment, part in zip(CURVE, shares.T, strict=True)
        ]
    return Table(
        "reached",
        "Targets reached over the budget",
        f"part: share of pairs of a run and a target that were reached until a share of the budget; {len(TARGETS)} "
        f"targets of normalised regret from {TARGETS[0]:g} to {TARGETS[-1]:g}, evenly on a logarithmic scale; mean "
        "over seeds, tasks and families.",
        rows,
    )


def per_task(one: Analysis) -> Table:
    """Median regret on every task, without selection."""
    rows = []
    for measure, values in one.measures.items():
        medians = inside(filled(values), "median", axis=2)
        for j, task in enumerate(one.comparison.tasks):
            cells = {row.name: float(medians[i, j]) for i, row in enumerate(one.shown)}
            rows.append({"at": measure, "family": task.family, "task": task.label, **cells})
    return Table(
        "tasks",
        "Every task",
        "Median over seeds of the normalised regret at a share of the budget, and its mean.",
        rows,
    )


def task_curves(one: Analysis) -> Table:
    """Regret over the budget on every task."""
    rows = []
    for j, task in enumerate(one.comparison.tasks):
        for row, values in zip(one.shown, filled(one.curves[:, j]), strict=True):
            low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
            rows += [
                {"task": task.label, "method": row.name, "share": float(moment), "regret": float(m), "q25": float(a),
                 "q75": float(b)}
                for moment, a, m, b in zip(CURVE, low, middle, high, strict=True)
            ]  # fmt: skip
    return Table(
        "task_curves",
        "Regret over the budget on every task",
        "Median over seeds of the normalised regret, with quartiles over seeds: a spread, no interval of the median.",
        rows,
    )
