"""Racing: folds are the resource, and a trial ends when its first folds leave it no chance against the best."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from luthier.base.checks import check
from luthier.base.records import Configuration, Decision, Report, Status
from luthier.base.registry import register
from luthier.schedulers._axis import SLACK, needed, spent
from luthier.schedulers._base import Scheduler
from luthier.searchers._base import Searcher
from luthier.space.problem import Problem

_NOTHING = Configuration()


@dataclass(slots=True)
class Card:
    """What a trial has scored.

    Args:
        folds: How many folds each report is the mean of, rising.
        means: The means of each objective, to be minimised.
        feasible: Whether the last report kept every constraint.
    """

    folds: list[float] = field(default_factory=list)
    means: list[tuple[float, ...]] = field(default_factory=list)
    feasible: bool = True

    def at(self, folds: float) -> tuple[float, ...] | None:
        """The means of that many folds, None if they were not reported."""
        i = bisect_left(self.folds, folds / SLACK)
        return self.means[i] if i < len(self.folds) and self.folds[i] <= folds * SLACK else None


@register("scheduler")
class Race(Scheduler):
    """Ends a trial whose folds so far say that it will not beat the best trial over all of them.

    The fidelity counts folds, ("fold", 1, 10), and each report is the mean over the folds so far (`run.report_fold`
    makes it so). The rival is the best trial that has completed all folds. Over the n folds that both have measured,
    with d the mean of the paired differences and s their standard deviation, the trial ends when

        d / (s sqrt(1/n - 1/k)) > t(1 - risk, n - 1),

    the upper quantile of Student's distribution. The root has 1/n - 1/k in place of 1/n because the question is about
    the mean over these k folds, of which n are known, and not about other data. Where all differences are alike, any
    positive one ends the trial. Between two reports that lie several folds apart, all those folds are one difference.

    With several objectives every trial that no other completed one dominates is a rival, and a trial ends when it is
    behind one of them in every objective. An infeasible trial is no rival. On different splits the pairs mean nothing,
    so it does not go with `reshuffle`.

    Args:
        problem: What is to be solved; its fidelity counts folds.
        searcher: Who proposes.
        seed: Decides every random draw of the searcher's side, >= 0; nothing is drawn here.
        risk: Probability of ending a trial that would have won, at each look, in (0, 0.5) (0.05: convention).
        least: Reports before the first look, a whole number >= 2 (3: of two differences the quantile is 6.3, and
            few trials are that much worse).

    Raises:
        ArgumentError: no fidelity, or an argument out of range.

    Source: Maron, Moore 1994 (races over cross-validation); Birattari, Stuetzle, Paquete, Varrentrapp 2002 (F-race).
    Differs: paired t with the finite number of folds, against the best alone; one trial after the other.
    Cost: O(k) a report and rival.
    """

    needs_fidelity = True
    multi_objective = True
    learnt = "last"  # a mean over few folds is a mean over the data too: models see what was ended

    def __init__(self, problem: Problem, searcher: Searcher, *, seed: int, risk: float = 0.05, least: int = 3) -> None:
        super().__init__(problem, searcher, seed=seed)
        self._fidelity = needed(problem, self.name)
        check("risk", risk, above=0, below=0.5)
        least = check("least", least, at_least=2, whole=True)
        self._risk, self._least = risk, least
        self._cards: dict[int, Card] = {}  # of trials under way
        self._over: set[int] = set()  # told to stop: a run that is repeated is told so again
        self._rivals: list[Card] = []  # of the best trials with all folds: one for one objective

    def on_report(self, report: Report) -> Decision:
        """Compare a trial with the best, fold by fold.

        Raises:
            ArgumentError: the report carries no resource.
        """
        trial, folds = report.trial, spent(report, self._fidelity, self.name)
        if trial in self._over or not self.problem.usable(report.metrics):
            self._over.add(trial)
            return Decision.STOP
        card = self._cards.setdefault(trial, Card())
        if card.folds and folds <= card.folds[-1] * SLACK:
            return Decision.CONTINUE  # a repeated run; it was judged
        observed = self.problem.observe(trial, _NOTHING, report.metrics)
        card.folds.append(folds)
        card.means.append(observed.values)
        card.feasible = observed.violation <= 0
        if folds * SLACK >= self._fidelity.high or not any(self._beaten(card, rival) for rival in self._rivals):
            return Decision.CONTINUE
        self._over.add(trial)
        return Decision.STOP

    def _beaten(self, card: Card, rival: Card) -> bool:
        """Whether a trial is behind a rival in every objective."""
        both = [(n, means, others) for n, means in zip(card.folds, card.means, strict=True)
                if (others := rival.at(n)) is not None]  # fmt: skip
        if len(both) < self._least:
            return False
        share = both[-1][0] / self._fidelity.high
        for i in range(len(self.problem.objectives)):
            pairs = [(n, means[i] - others[i]) for n, means, others in both]
            if not behind(blocks(pairs), pairs[-1][1], share, self._risk):
                return False
        return True

    def on_end(self, trial: int, status: Status) -> None:
        """A trial that has all folds may become the rival of the others."""
        super().on_end(trial, status)
        if not status.ended:
            return
        card = self._cards.pop(trial, None)
        if status is not Status.COMPLETED or card is None or not card.feasible:
            return
        if card.folds[-1] * SLACK < self._fidelity.high:
            return
        new = card.means[-1]
        if not any(_no_worse(rival.means[-1], new) for rival in self._rivals):
            self._rivals = [rival for rival in self._rivals if not _no_worse(new, rival.means[-1])] + [card]


def _no_worse(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True))


def blocks(both: Sequence[tuple[float, float]]) -> list[float]:
    """Differences between single reports, from differences of means: pairs (folds, difference of means) -> (n,)."""
    found, before, total = [], 0.0, 0.0
    for folds, difference in both:
        found.append((folds * difference - total) / (folds - before))
        before, total = folds, folds * difference
    return found


def behind(differences: Sequence[float], mean: float, share: float, risk: float) -> bool:
    """Whether the mean over all folds will hardly be better than the rival's.

    Args:
        differences: n paired differences, a positive one speaks against the trial.
        mean: Of all folds so far.
        share: Of all folds that are known, in (0, 1).
        risk: Probability of being wrong.
    """
    n = len(differences)
    centre = math.fsum(differences) / n
    s = math.sqrt(math.fsum((d - centre) ** 2 for d in differences) / (n - 1))
    if s <= 1e-12 * abs(mean):  # all alike, up to rounding
        return mean > 0.0
    return mean > quantile(risk, n - 1) * s * math.sqrt((1.0 - share) / n)


@cache
def quantile(risk: float, freedom: int) -> float:
    """Upper quantile of Student's distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1.0 - risk))
