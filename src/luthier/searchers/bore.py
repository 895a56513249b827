"""BORE and LFBO: a classifier learns which configurations are among the best; fast, at home in mixed spaces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from luthier.base.checks import check
from luthier.base.imports import later, need
from luthier.base.records import Configuration, Observation
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.models.classifier import CLASSIFIERS, Classifier, Mask, SmoothClassifier, fit_classifier
from luthier.models.labels import ACQUISITIONS, Labels, label, thin
from luthier.searchers._ascent import Slope, ascend
from luthier.searchers._base import Searcher
from luthier.searchers._features import Features
from luthier.searchers._fidelity import Aggregation, Table
from luthier.searchers._maximise import maximise
from luthier.searchers._seen import Seen, draw, unreported
from luthier.space.problem import Problem
from luthier.space.values import Array

special = later("scipy.special")

#: Ways to use several resources; see `_fidelity.Aggregation`.
WAYS = ("last", "rank", "mature", "rung", "highest")
FEWEST, MOST = 6, 10  # of the initial results: so that one in four is two, and no more than other searchers draw
RANDOM = {"rf": 0.0, "gbt": 0.0, "mlp": 0.1}  # bagged trees disagree where they know nothing; networks extrapolate
FEASIBLE = 2  # feasible results from which on their values matter: one has no better ones to follow
TIE = 1e-12  # scores that differ by less are equal, and chance decides


@register("searcher")
class Bore(Searcher):
    """Tries what a classifier thinks is most likely among the best.

    1. The first `initial` results come from the draws that `random` makes under the same seed.
    2. Results up to the `gamma`-quantile are class 1, the others and what is pending class 0.
    3. A classifier is fitted, and the configuration with the highest score is tried, chance deciding between equal
       ones. Trees are searched by neighbours at ever smaller steps, networks by gradients; a small space is scored
       whole. Nothing is proposed twice.

    With `acquisition="pi"` (BORE) the score ranks by the probability to be below the quantile: that is the probability
    of improvement on it, not, as the paper has it, expected improvement, since how far below does not matter. With
    "ei" (LFBO) class 1 is weighted by how far below, and the score ranks by expected improvement. "pi" does not depend
    on the unit of the metric, "ei" only up to shifts and factors.

    A failed or diverged trial is of class 0. With constraints the quantile is that of the feasible results, and the
    score is multiplied by a second classifier's probability to be feasible; while fewer than two are feasible, class 1
    are those that violate least. Several objectives are ordered by front and crowding; "ei" takes places in that order
    for values.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        classifier: "rf" (default: some ten times faster than the others), "gbt" boosted trees, "mlp" networks (extra
            "torch"; on a few development tables ahead of "rf", on functions behind; "gbt" behind on tables).
        acquisition: "ei" (default: level with "pi" on tables, ahead of it on functions) or "pi".
        gamma: Share of results that is class 1 (0.25: published; 0.15 and 0.4 were no better on development tasks).
        initial: Results before the classifier takes over (default: hyperparameters + 1, at least 6 and at most 10).
        candidates: Configurations drawn for each proposal, a fifth of them near class 1 (1000: with the neighbours that
            are searched afterwards as many scores as 2000 candidates alone, which were no better).
        explore: Share of proposals that are random (default: 0 for trees, 0.1 for "mlp").
        fidelity: How results at several resources are used. "highest" (default): those at the highest resource that has
            `initial` of them; trials that are known to be behind them are of class 0 besides. "last": the last one of
            each trial (under asha, regret 0.30 averaged over time on five development instances of lcbench, 0.18 with
            "highest"). "rung": all, each labelled among those at its own resource and weighted by it, the resource
            being a feature; scores are those at the full one. "rank" and "mature": see `Aggregation`.

    Raises:
        ArgumentError: an option is out of range.
        MissingExtra: "mlp" without torch.

    Source: Tiao, Klein, Seeger, Bonilla, Archambeau, Ramos 2021 (ICML), section 3; "ei": Song, Yu, Neiswanger, Ermon
        2022 (ICML).
    Differs: a forest by default; rules for ties and failures; local search; no duplicates; the resource as a feature
        in place of a recurrent network; beyond 2000 rows class 0 is thinned out.
    Cost: a fit of the classifier whenever something was told (beyond 500 trials after every ceil(n / 500) results) and
        for each pending set; a proposal takes candidates + 1000 scores.
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity"})

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        classifier: str = "rf",
        acquisition: str = "ei",
        gamma: float = 0.25,
        initial: int | None = None,
        candidates: int = 1000,
        explore: float | None = None,
        fidelity: str = "highest",
    ) -> None:
        super().__init__(problem, seed=seed)
        check("classifier", classifier, one_of=CLASSIFIERS)
        check("acquisition", acquisition, one_of=ACQUISITIONS)
        check("gamma", gamma, above=0, below=1)
        candidates = check("candidates", candidates, at_least=1, whole=True)
        check("fidelity", fidelity, one_of=WAYS)
        initial = min(max(problem.space.dimensions + 1, FEWEST), MOST) if initial is None else initial
        initial = check("initial", initial, at_least=1, whole=True)
        explore = RANDOM[classifier] if explore is None else explore
        check("explore", explore, at_least=0, at_most=1)
        if classifier == "mlp":
            need("torch", what="classifier 'mlp'", extra="torch")  # missing packages are missed before any trial
        self._classifier, self._acquisition, self._gamma = classifier, acquisition, gamma
        self._initial, self._candidates, self._explore = initial, candidates, explore
        self._way = fidelity if problem.fidelity is not None else "last"
        self._features = Features(problem.space)
        self._seen = Seen(problem)
        self._told = Aggregation(problem, self._way, apart=True, fewest=self._initial)
        # caches, keyed by the snapshot's number, the second by what is pending too
        self._learnt: tuple[int, _Lesson | None] = (0, None)
        self._fitted: tuple[int, bytes, Classifier | None] = (0, b"", None)

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take over new results; the classifier is fitted when the next proposal is asked for."""
        self._seen.add(observations)
        self._told.add(observations)

    def diagnostics(self) -> dict[str, float | str]:
        """How well the classifier ranks results that it has not learnt from.

        Returns:
            `trials` told and, once there is a classifier, how many rows are `positive`, and `auc`: the probability
            that it ranks one of them before another row, by members that have not seen them. Near 0.5 the search is
            random.
        """
        found: dict[str, float | str] = {"trials": float(len(self._told.snapshot.records))}
        lesson, model = self._lesson(), self._model(self._no_rows())
        if lesson is not None and model is not None:
            found["positive"] = float((lesson.labels.target > 0).sum())
            auc = model.auc(lesson.X, lesson.labels.target)
            if math.isfinite(auc):
                found["auc"] = auc
        return found

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        taken = self._seen.taken(pending)
        waiting = unreported(self.space, pending, self._told.table().rows) if pending else self._no_rows()
        proposed: list[Configuration] = []
        for i in range(n):
            found = self._one(k + i, taken, waiting)
            if found is None:
                break
            row, _ = self.space.encode([found])
            taken.update(self.space.unit_keys(row))
            waiting = np.concatenate([waiting, row])
            proposed.append(found)
        return proposed

    def _no_rows(self) -> Array:
        return np.empty((0, self.space.dimensions))

    def _one(self, k: int, taken: set[bytes], waiting: Array) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""
        rng = self.rng(k)
        lesson, model = self._lesson(), self._model(waiting)
        if lesson is None or model is None or (self._explore and self.rng(k, 1).random() < self._explore):
            return draw(self._seen, taken, rng)
        rows, scores = self._maximise(model, lesson.bounds, lesson.best, taken, rng)
        if not len(rows):
            return draw(self._seen, taken, rng)
        ties = int(np.count_nonzero(scores >= scores[0] - TIE))
        return self.space.decode(rows[rng.integers(ties)][None])[0]

    def _maximise(
        self, model: Classifier, bounds: Classifier | None, near: Array, taken: set[bytes], rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """Rows with high scores, best first, and the scores."""
        if isinstance(model, SmoothClassifier):
            slope = model.slope if not isinstance(bounds, SmoothClassifier) else within(model, bounds)
            return ascend(self._seen, taken, self._at_full, slope, rng, near=near, candidates=self._candidates)

        def score(rows: Array) -> Array:
            X = self._at_full(rows)
            return model.score(X) if bounds is None else model.score(X) * bounds.score(X)

        return maximise(self._seen, taken, score, rng, near=near, candidates=self._candidates)

    def _at_full(self, rows: Array) -> Array:
        """Features of rows at the full resource; (m, d) -> (m, p)."""
        features = self._features(rows)
        return np.column_stack([features, np.ones(len(rows))]) if self._way == "rung" else features

    def _model(self, waiting: Array) -> Classifier | None:
        """The classifier of the present snapshot and pending rows; None while there is nothing to learn from."""
        number, key = self._told.snapshot.number, waiting.tobytes()
        if self._fitted[:2] != (number, key):
            self._fitted = (number, key, self._fit(waiting))
        return self._fitted[2]

    def _fit(self, waiting: Array) -> Classifier | None:
        lesson = self._lesson()
        if lesson is None:
            return None
        X, (target, weight) = lesson.X, lesson.labels
        if len(waiting):
            X = np.concatenate([X, self._at_full(waiting)])
            target = np.concatenate([target, np.zeros(len(waiting))])
            weight = np.concatenate([weight, np.ones(len(waiting))])
        rng = generator(self.seed, "model", self._told.snapshot.number)
        return fit_classifier(self._classifier, X, Labels(target, weight), rng)

    def _lesson(self) -> _Lesson | None:
        """What there is to learn from; None before `initial` results, and while they say nothing."""
        number = self._told.snapshot.number
        if self._learnt[0] != number:
            self._learnt = (number, self._learn())
        return self._learnt[1]

    def _learn(self) -> _Lesson | None:
        snapshot = self._told.snapshot
        if len(snapshot.records) < self._initial or not self.space.dimensions:
            return None
        table = self._told.table()
        failed = snapshot.failed[table.place]
        feasible = None
        if table.excess is not None:
            feasible = (table.excess <= 0) & ~failed
            if np.count_nonzero(feasible) < FEASIBLE:
                table, feasible = table._replace(merit=table.excess), None
        # what is only known to be behind is of class 0, and its number must not move the threshold
        there = table.place < self._told.latest.measured
        among = there if feasible is None else feasible & there
        labels = label_levels(table, failed | ~there, among, self._gamma, self._acquisition)
        if not 0 < np.count_nonzero(labels.target) < len(labels.target):
            return None
        order = np.lexsort((table.merit, table.level) if feasible is None else (table.merit, table.level, ~feasible))
        best = table.rows[order[labels.target[order] > 0]]
        rows, kept = thin(labels, generator(self.seed, "model", snapshot.number, 1))
        X = self._features(table.rows[rows])
        if self._way == "rung":
            X = np.column_stack([X, table.resource[rows]])
        if feasible is None or feasible[rows].all():
            return _Lesson(X, kept, best, None)
        # a row counts as often as the rows that were left out for it
        weight = table.weight[rows] * kept.weight / labels.weight[rows]
        rng = generator(self.seed, "model", snapshot.number, 2)
        bounds = fit_classifier(self._classifier, X, Labels(feasible[rows].astype(float), weight), rng)
        return _Lesson(X, kept, best, bounds)


class _Lesson(NamedTuple):
    """What a classifier learns from.

    Args:
        X: (n, p) features.
        labels: Of the n rows.
        best: (b, d) snapped rows of class 1, best first.
        bounds: What tells feasible configurations apart; None without constraints, and while it is not needed.
    """

    X: Array
    labels: Labels
    best: Array
    bounds: Classifier | None


def within(model: SmoothClassifier, bounds: SmoothClassifier) -> Slope:
    """Slope of a model's score plus the logarithm of the probability that constraints hold."""

    def slope(X: Array) -> tuple[Array, Array]:
        (score, gradient), (logit, rise) = model.slope(X), bounds.slope(X)
        return score + special.log_expit(logit), gradient + special.expit(-logit)[:, None] * rise

    return slope


def label_levels(table: Table, failed: Mask, feasible: Mask | None, gamma: float, acquisition: str) -> Labels:
    """Labels of a table's rows, each among those of its level, where levels stand side by side; else among all.

    Args:
        table: m rows.
        failed: (m,) rows of trials that failed: of class 0 at every level.
        feasible: (m,) rows that thresholds are taken from, at levels that have any; None: all.
        gamma: Share that is class 1.
        acquisition: One of `ACQUISITIONS`.

    Returns:
        Labels of the m rows; the table's weights are multiplied in.
    """
    target, weight = np.zeros(len(table.merit)), table.weight.copy()
    level = table.level if table.feature else np.zeros(len(target), dtype=np.intp)
    for at in np.unique(level):
        here = np.flatnonzero(level == at)
        among = feasible[here] if feasible is not None and feasible[here].any() else None
        found = label(table.merit[here], gamma, acquisition=acquisition, failed=failed[here], among=among)
        target[here] = found.target
        weight[here] *= found.weight
    return Labels(target, weight)
