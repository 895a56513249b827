"""Adaptive complexity: ordered features learnt from earlier tasks, as many as today's trials decide on."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np

from luthier.base.checks import check, check_flag
from luthier.base.records import Configuration
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.models.adaptive_basis import STEPS, UNITS, Basis, Task, learn
from luthier.models.basis_process import (
    HEADS,
    BasisProcess,
    Heads,
    Prior,
    condition,
    fit_head,
    fit_map,
    plain_loss,
    summarise,
)
from luthier.searchers._features import Features
from luthier.searchers._kernel_features import KernelFeatures
from luthier.searchers._maximise import STEPS as SEARCH
from luthier.searchers._maximise import Score
from luthier.searchers.transfer._joint import Joint, Model, Today
from luthier.searchers.transfer._thinned import some
from luthier.space.problem import Problem
from luthier.space.values import Array, Mask

#: Trials of today that precisions are fitted to.
FITTED = 200
#: Steps by which features follow today's trials with `retrain`: a tenth of a second.
FOLLOWED = 100
#: Trials of today from which on the features are compared with a process of today's trials alone, and the gain in the
#: logarithm of the evidence from which on that takes over.
JUDGED, CLEARLY = 5, 2.0
#: Networks kept in memory, by what they were learnt from.
KEPT = 8

_learnt: OrderedDict[bytes, tuple[Basis, Prior]] = OrderedDict()


@dataclass(frozen=True)
class _Encoders:
    """From rows to features of the network and of the process for the rest."""

    network: Features
    kernel: KernelFeatures

    def __call__(self, basis: Basis, rows: Array) -> tuple[Array, Array]:
        """(n, d) -> (n, D), (n, p)."""
        return basis(self.network(rows)), self.kernel(rows)


@dataclass(frozen=True)
class _Mixture:
    """Processes on the same features, with weights that sum to 1."""

    parts: tuple[BasisProcess, ...]
    weights: Array
    basis: Basis
    encode: _Encoders

    def predict(self, rows: Array) -> tuple[Array, Array]:
        Phi, Z = self.encode(self.basis, rows)
        if len(self.parts) == 1:
            return self.parts[0].predict(Phi, Z)
        means, sds = (np.stack(one) for one in zip(*(part.predict(Phi, Z) for part in self.parts), strict=True))
        mean = self.weights @ means
        return mean, np.sqrt(np.maximum(self.weights @ (sds**2 + means**2) - mean**2, 1e-12))

    def believing(self, rows: Array) -> Model:
        if not len(rows):
            return self
        Phi, Z = self.encode(self.basis, rows)
        mean = self.predict(rows)[0]
        return replace(self, parts=tuple(part.believing(Phi, Z, mean) for part in self.parts))

    @property
    def effective(self) -> float:
        return float(self.weights @ [part.effective for part in self.parts])

    def draw(self, rng: np.random.Generator) -> Score:
        """One function, negative: weights of the features drawn, what they miss at its mean given these."""
        part = self.parts[int(rng.choice(len(self.parts), p=self.weights))]
        weights = part.draw(rng)
        return lambda rows: -part.path(weights, *self.encode(self.basis, rows))


@register("searcher")
class Abrac(Joint):
    """Learns ordered features from earlier tasks once, and regresses today's trials on them.

    Before the first proposal a small network is trained on the earlier tasks by nested dropout: in every step only
    the first b features count, with b drawn anew, so the first ones serve most tasks and later ones refine. The
    evidence of each task is maximised, its weights integrated out. The tasks then say what weights to expect: a mean
    and a precision each.

    Today the features stay as they are. With each result a precision for every weight is found that is most likely
    given today's trials and near what the earlier tasks lead to expect ("map"): few trials decide on few weights, and
    the model grows with them. A Gaussian process takes up what the features cannot say, so that a task of a new kind
    is learnt as by `gp`. The expected improvement decides what to try.

    Heads: "map"; "ard", precisions by evidence alone, which with few trials keep late features by chance; "truncated",
    the first b features with one precision, averaged over b by evidence; "isotropic", one precision for all of a
    network without nested dropout, and no mean: adaptive Bayesian linear regression (ABLR).

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        head: "map", "ard", "truncated" or "isotropic".
        agree: Whether weights have a mean over tasks; without, a task's sign is as good as its opposite. Never with
            "isotropic".
        rest: Whether a Gaussian process takes up what the features miss ("map" alone).
        retrain: Whether the features follow today's trials, by 100 steps at each result, as ABLR does and ABRAC
            does not.
        acquisition: "ei", the logarithm of the expected improvement, or "ts", Thompson sampling of the weights.
        units: Features (50, as in public implementations of ABLR).
        steps: Of training (1000: twice as many gained nothing on quadratics).
        candidates: Configurations compared before the search among neighbours (1000, as in `gp`).
        guard: Whether to go on as `gp` while today's trials speak against the earlier tasks.

    Raises:
        ArgumentError: an option is out of range.

    Source: Horvath, Klein, Richtarik, Archambeau 2021, of which the abstract alone could be read: ordered features by
        nested dropout, relevance determined on the current task. ABLR: Perrone, Jenatton, Seeger, Archambeau 2018.
    Differs: everything that the abstract leaves open: evidence in training, the prior of the precisions, the mean of
        the weights, the process for the rest, the scale of today's values.
    Cost: once O(steps * 1024 * 50^2), about 2 s for 30 tasks of 100 trials; at each result 25 steps of
        O(n^3 + n^2 (units + d)); O(candidates (n^2 + 50^2)) a proposal.
    """

    #: Finer than usual at the end, in place of a climb along gradients.
    _steps_of_search = (*SEARCH, 0.003, 0.001)

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        head: str = "map",
        agree: bool = True,
        rest: bool = True,
        retrain: bool = False,
        acquisition: str = "ei",
        units: int = UNITS,
        steps: int = STEPS,
        candidates: int = 1000,
        guard: bool = True,
    ) -> None:
        check("head", head, one_of=HEADS)
        check("acquisition", acquisition, one_of=("ei", "ts"))
        units = check("units", units, at_least=1, whole=True)
        steps = check("steps", steps, at_least=1, whole=True)
        super().__init__(problem, seed=seed, guard=guard, candidates=candidates)
        self._head, self._agree = head, check_flag("agree", agree) and head != "isotropic"
        self._rest, self._retrain = check_flag("rest", rest) and head == "map", check_flag("retrain", retrain)
        self._acquisition = acquisition
        self._units, self._steps = units, steps
        self._encode = _Encoders(Features(problem.space), self._features)
        # caches, keyed by the numbers of anchors
        self._followed: tuple[int, tuple[Basis, Prior]] | None = None
        self._heads: tuple[int, Heads] | None = None
        self._plain: tuple[int, float] | None = None

    # once ------------------------------------------------------------------------------------------------------------

    def _pairs(self) -> list[Task]:
        """Features and values of the earlier tasks, in an order that does not depend on theirs."""
        pairs = [(self._encode.network(task.rows), y) for task, y in zip(self._tasks, self._values, strict=True)]
        return sorted(pairs, key=lambda pair: pair[0].tobytes() + pair[1].tobytes())

    def _learn(self) -> tuple[Basis, Prior]:
        """What the earlier tasks teach; kept in memory by what it depends on."""
        pairs = self._pairs()
        options = (self.seed, self._units, self._steps, self._head == "isotropic", self._agree)
        digest = hashlib.blake2b(repr(options).encode())
        for X, y in pairs:
            digest.update(repr(X.shape).encode() + X.tobytes() + y.tobytes())
        key = digest.digest()
        if key not in _learnt:
            _learnt[key] = self._train(pairs)
            while len(_learnt) > KEPT:
                _learnt.popitem(last=False)
        return _learnt[key]

    def _train(self, pairs: list[Task]) -> tuple[Basis, Prior]:
        dropout = "none" if self._head == "isotropic" else "nested"
        rng = generator(self.seed, "model", 0, 9)
        basis, held = learn(pairs, rng, units=self._units, steps=self._steps, dropout=dropout, centred=self._agree)
        return basis, summarise(basis, pairs, held, centred=self._agree)

    @property
    def _mode(self) -> Heads:
        """What to expect of a task before its first trial."""
        basis, prior = self._learn()
        Phi, Z = self._encode(basis, np.empty((0, self.space.dimensions)))
        return fit_map(Phi, Z, np.empty(0), prior, self._categorical, rest=self._rest)

    @property
    def _categorical(self) -> Mask:
        return self._features.categorical

    def _expectation(self, rows: Array) -> tuple[Array, Array]:
        basis, prior = self._learn()
        mode = self._mode.sets[0]
        none = np.empty((0, self.space.dimensions))
        process = condition(*self._encode(basis, none), np.empty(0), prior.centre, mode, self._categorical)
        mean, covariance = process.joint(*self._encode(basis, rows))
        return mean, covariance + np.eye(len(rows)) / mode.beta

    def _expected(self, rows: Array) -> Array:
        basis, prior = self._learn()
        return np.asarray(basis(self._encode.network(rows)) @ prior.average)

    # at each result --------------------------------------------------------------------------------------------------

    def _current(self) -> tuple[Basis, Prior]:
        """Features and prior, which have followed today's trials or not."""
        basis, prior = self._learn()
        anchor = self._latest.anchor
        if not self._retrain or not len(anchor.records):
            return basis, prior
        if self._followed is None or self._followed[0] != anchor.number:
            today = self._today(anchor)
            pairs = [*self._pairs(), (self._encode.network(today.rows), today.values)]
            dropout = "none" if self._head == "isotropic" else "nested"
            rng = generator(self.seed, "model", anchor.number, 9)
            basis, held = learn(
                pairs, rng, units=self._units, steps=FOLLOWED, dropout=dropout, centred=self._agree, start=basis
            )
            found = summarise(basis, pairs[:-1], held, centred=self._agree)
            self._followed = (anchor.number, (basis, replace(found, missed=prior.missed)))
        return self._followed[1]

    def _found(self) -> Heads:
        """Precisions given the anchor's trials."""
        anchor = self._latest.anchor
        if not len(anchor.records):
            return self._mode
        if self._heads is None or self._heads[0] != anchor.number:
            (basis, prior), (rows, _, values) = self._current(), self._at_anchor()
            Phi, Z = self._encode(basis, rows)
            found = fit_head(Phi, Z, values, prior, self._categorical, head=self._head, rest=self._rest)
            self._heads = (anchor.number, found)
        return self._heads[1]

    def _at_anchor(self) -> Today:
        today = self._today(self._latest.anchor)
        kept = some(today.merit, FITTED)
        return Today(*(part[kept] for part in today))

    def _fit(self, today: Today) -> _Mixture:
        basis, prior = self._current()
        Phi, Z = self._encode(basis, today.rows)
        found = self._found()
        parts = tuple(condition(Phi, Z, today.values, prior.centre, one, self._categorical) for one in found.sets)
        return _Mixture(parts, found.weights, basis, self._encode)

    def _beaten(self) -> bool:
        """Whether a process of today's trials alone explains them clearly better than the features do."""
        anchor = self._latest.anchor
        if not self._guard or len(anchor.records) < JUDGED:
            return False
        if self._plain is None or self._plain[0] != anchor.number:
            rows, _, values = self._at_anchor()
            self._plain = (anchor.number, plain_loss(self._features(rows), values, self._categorical))
        return self._plain[1] < self._found().loss - CLEARLY

    def _recall(self, k: int, taken: set[bytes], waiting: list[Configuration]) -> Configuration | None:
        return None if self._beaten() else super()._recall(k, taken, waiting)

    def _score(self, model: Model, best: float, rng: np.random.Generator) -> Score:
        if self._acquisition == "ts" and isinstance(model, _Mixture):
            return model.draw(rng)
        return super()._score(model, best, rng)

    @property
    def _plan(self) -> str:
        if self._beaten():
            return "as gp: a process of today's trials alone explains them better than the features learnt before"
        trials = sum(len(task) for task in self._tasks)
        return (
            f"{self._units} features learnt from {trials} trials of {len(self._tasks)} earlier tasks, head {self._head}"
        )

    def diagnostics(self) -> dict[str, float | str]:
        """As all of its kind; what was learnt offline, and the effective number of features today."""
        found = super().diagnostics()
        if not self._tasks:
            return found
        basis, prior = self._learn()
        found |= {"offline_steps": basis.steps, "offline_missed": prior.missed}
        found["offline_features"] = int((1.0 / prior.alpha > SEEN * (1.0 / prior.alpha).max()).sum())
        if len(self._latest.snapshot.records):
            model = self._now()
            if isinstance(model, _Mixture):
                found["effective_features"] = model.effective
            if self._rest:
                found["rest"] = self._found().sets[0].rest
            if self._beaten():
                found["fallback"] = self.why
        return found


#: Share of the largest prior variance from which a feature counts as one that the earlier tasks use.
SEEN = 0.01
