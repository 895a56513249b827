"""BoTorch's acquisitions on its own Gaussian process: noise, constraints, several objectives (extra botorch)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import NumericsWarning
from luthier.base.pareto import reference_point
from luthier.base.records import Configuration, Observation
from luthier.base.registry import register
from luthier.base.seeds import generator
from luthier.models.acquisition import log_feasible
from luthier.models.botorch_gp import alone, failures, fit, hyperparameters, module, posterior, process, tamed
from luthier.models.warp import warp_values
from luthier.searchers._base import Searcher
from luthier.searchers._crash import Crash
from luthier.searchers._features import INACTIVE, Features
from luthier.searchers._highest import trials_of
from luthier.searchers._latest import Snapshot
from luthier.searchers._maximise import STEPS, Score, maximise
from luthier.searchers._seen import Seen, draw, one_by_one, unreported
from luthier.space.problem import Problem
from luthier.space.values import Array, Mask

ACQUISITIONS = ("nei", "ei")
NEAR = 10  # best configurations whose neighbourhoods are searched
FINE = (*STEPS, 0.004)  # a smooth process can tell apart what trees cannot
CHUNK = 200  # configurations scored in one call: bounds the memory of samples times configurations
VOLUME = 4  # objectives up to which hypervolumes are computed; their cost is exponential in the number
NOISY = 0.05  # share of the noise in the variance, above which a low value may be luck; the prior's mode is 0.007
_ROOM = 3  # coordinate of this searcher's generators of models


class _Known(NamedTuple):
    """What is known at one moment, from trials that gave a result.

    Args:
        X: (n, p) features.
        values: (n, m) warped objectives, to be minimised.
        feasible: (n,) which trials are.
        places: (n,) where they stand among the snapshot's records.
        model: BoTorch's process, with an output for each objective.
        limits: The same for constraints, feasible where <= 0; None without.
    """

    X: Array
    values: Array
    feasible: Mask
    places: NDArray[np.intp]
    model: Any
    limits: Any


class _Data(NamedTuple):
    """What processes are fitted to.

    Args:
        places: (n,) records of trials that gave a result.
        X: (n, p) features.
        values: (n, m) warped objectives.
        limits: (n, c) violations; None without constraints.
    """

    places: NDArray[np.intp]
    X: Array
    values: Array
    limits: Array | None

    def processes(self) -> list[Any]:
        """A process for the objectives and, with constraints, one for these, at the modes of their priors."""
        found = [process(self.X, self.values)]
        return found if self.limits is None else [*found, process(self.X, self.limits, exact=True)]


@register("searcher")
class Botorch(Searcher):
    """Models the metric by BoTorch's Gaussian process, and maximises one of its acquisition functions.

    1. The first `initial` results come from the draws that `random` makes under the same seed.
    2. `SingleTaskGP` with its default kernel and priors is fitted to warped values in double precision, with an output
       for each objective and each constraint. Choices are one-hot; what is inactive is alike.
    3. One objective: qLogNoisyExpectedImprovement ("nei"), or qLogExpectedImprovement over the lowest value seen
       ("ei"). Up to four: qLogNoisyExpectedHypervolumeImprovement. More: "nei" of a random Chebyshev weighting, a new
       one for each proposal. Pending configurations are given as `X_pending`.
    4. Constraints multiply by the probability that their outputs are <= 0, and only feasible results count as the
       baseline; before there is one that probability alone is maximised. Regions of failed trials are avoided by the
       probability of success.
    5. The maximum is searched over random configurations and ever closer neighbours of the best, so that no choice is
       relaxed. A batch is made one by one, each pending for the next.

    torch's random state and number of threads are as before after every call. A fit or an acquisition that fails falls
    back (to the priors' modes, to a random configuration), is counted in `diagnostics`, and warned of once.

    Args:
        problem: What is to be solved.
        seed: Decides every random draw, >= 0.
        acquisition: "nei" or "ei", for one objective.
        initial: Results before the model takes over; None: d + 1 for d hyperparameters, at least 5 and at most 10.
        samples: Base samples of the posterior, a power of two (64: a proposal then takes 0.1 s at 100 results).
        candidates: Configurations compared before the search among neighbours (1000: as in `gp`).
        fidelity: What is learnt from results at several resources: "highest" (default), those at the highest resource
            that has `initial` of them, or "last", the last of each trial (behind for the other models).

    Raises:
        MissingExtra: botorch is not installed.
        ArgumentError: an option is out of range.

    Source: Balandat et al. 2020 (BoTorch); Ament et al. 2023 (the logarithms); Daulton, Balandat, Bakshy 2021 (noisy
        hypervolume improvement); Hvarfner, Hellsten, Nardi 2024 (priors).
    Differs: warped values; search without gradients; the exact probability of feasibility (outputs are independent)
        instead of sampled violations through a smoothed indicator, from a process whose noise may vanish; hypervolume
        kernels in Python alone, so that nothing is compiled and proposals do not depend on a compiler.
    Cost: a fit of some 100 * O(n^3) at every result up to 40, then at every twentieth more; a proposal scores some 2200
        configurations with `samples` draws each, in seconds.
    """

    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel", "fidelity"})

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        acquisition: str = "nei",
        initial: int | None = None,
        samples: int = 64,
        candidates: int = 1000,
        fidelity: str = "highest",
    ) -> None:
        super().__init__(problem, seed=seed)
        check("acquisition", acquisition, one_of=ACQUISITIONS)
        samples = check("samples", samples, at_least=1, whole=True)
        candidates = check("candidates", candidates, at_least=1, whole=True)
        if initial is not None:
            initial = check("initial", initial, at_least=1, whole=True)
        module("botorch")  # missing extras are named before any trial runs
        self._initial = initial or min(max(5, problem.space.dimensions + 1), 10)
        self._acquisition, self._samples, self._candidates = acquisition, samples, candidates
        self._features = Features(problem.space)
        self._seen = Seen(problem)
        self._latest = trials_of(problem, fidelity, fewest=self._initial)
        self._crash = Crash(problem.space, seed=seed)
        # caches, keyed by the numbers of snapshots
        self._fitted: tuple[int, _Known | None] = (0, None)
        self._hyper: tuple[int, list[dict[str, Any]]] = (0, [])
        self._fallbacks = {"fit": 0, "acquisition": 0}

    def tell(self, observations: Sequence[Observation]) -> None:
        """Take over new results; the process is fitted when the next proposal is asked for."""
        self._seen.add(observations)
        self._latest.add(observations)

    def recommend(self) -> int | None:
        """The trial with the lowest posterior mean among feasible ones, where noise was found; else None."""
        known = self._now()
        if known is None or known.values.shape[1] > 1 or not known.feasible.any() or self._noise(known)[0] <= NOISY:
            return None
        with alone(0), module("torch").no_grad():
            mean, _ = posterior(known.model, known.X)
        best = int(np.argmin(np.where(known.feasible, mean[:, 0], np.inf)))
        return self._latest.trials()[int(known.places[best])]

    def diagnostics(self) -> dict[str, float | str]:
        """Fall-backs since the searcher was made, and the share of each objective's variance that is noise."""
        found: dict[str, float | str] = {f"fallbacks_{what}": float(n) for what, n in self._fallbacks.items()}
        known = self._now()
        if known is not None:
            shares = self._noise(known)
            found |= {f"noise_share_{o.name}": shares[i] for i, o in enumerate(self.problem.objectives)}
        return found

    def _propose(self, n: int, k: int, pending: Sequence[Configuration]) -> list[Configuration]:
        return one_by_one(self._one, n, k, pending)

    def _one(self, k: int, waiting: list[Configuration]) -> Configuration | None:
        """Proposal k; None when the space is exhausted."""
        rng = self.rng(k)
        taken = self._seen.taken(waiting)
        known = self._now()
        if known is None:
            return draw(self._seen, taken, rng)
        near = self._latest.best(NEAR)
        silent = unreported(self.space, waiting, self._latest.rows())
        pending = self._encode(silent) if len(silent) else None
        try:
            with alone(int(self.rng(k, 1).integers(2**31))), module("torch").no_grad():
                score = self._score(known, pending, self.rng(k, 2))
                rows, _ = maximise(self._seen, taken, score, rng, near=near, candidates=self._candidates, steps=FINE)
        except failures() as error:
            self._fell_back("acquisition", "a random configuration was proposed", error)
            return draw(self._seen, taken, self.rng(k))
        return self.space.decode(rows[:1])[0] if len(rows) else draw(self._seen, taken, rng)

    def _encode(self, rows: Array) -> Array:
        """Features in [0, 1]: all configurations without a number agree in it."""
        found = self._features(rows)
        return np.where(found == INACTIVE, 0.5, found)

    # -- the model --

    def _now(self) -> _Known | None:
        """What the present snapshot says; None while there is nothing to learn from."""
        snapshot = self._latest.snapshot
        if self._fitted[0] != snapshot.number:
            self._fitted = (snapshot.number, self._know(snapshot))
        return self._fitted[1]

    def _know(self, snapshot: Snapshot) -> _Known | None:
        data = self._data(snapshot)
        if data is None or len(snapshot.records) < self._initial:
            return None
        anchor = self._latest.anchor
        if self._hyper[0] != anchor.number:
            basis = self._data(anchor)
            self._hyper = (anchor.number, [self._fit(anchor.number, one) for one in basis.processes()] if basis else [])
        model, *limits = data.processes()
        for place, one in enumerate((model, *limits)):
            if self._hyper[1]:
                one.load_state_dict(self._hyper[1][place], strict=False)
            one.eval()
        feasible = snapshot.feasible[data.places]
        return _Known(data.X, data.values, feasible, data.places, model, limits[0] if limits else None)

    def _data(self, snapshot: Snapshot) -> _Data | None:
        """What there is to fit to; None while no trial has a result."""
        places = np.flatnonzero(~snapshot.failed)
        if not len(places) or not self.space.dimensions:
            return None
        values, violations = snapshot.values()[places], snapshot.violations()[places]
        limits = [tamed(column) for column in violations.T]
        return _Data(
            places,
            self._encode(self._latest.rows(snapshot)[places]),
            np.stack([warp_values(column) for column in values.T], axis=1),
            np.stack(limits, axis=1) if limits else None,
        )

    def _fit(self, number: int, unfitted: Any) -> dict[str, Any]:
        """Hyperparameters of highest posterior density; the priors' modes where that fails."""
        before = hyperparameters(unfitted)
        try:
            with alone(int(generator(self.seed, "model", number, _ROOM).integers(2**31))):
                return fit(unfitted)
        except failures() as error:
            self._fell_back("fit", "hyperparameters stay at the modes of their priors", error)
        return before

    def _noise(self, known: _Known) -> list[float]:
        """Share of the noise in each output's variance; the kernel's is 1."""
        noise = known.model.likelihood.noise.detach().reshape(-1).tolist()
        return [share / (1.0 + share) for share in noise]

    def _fell_back(self, what: str, instead: str, error: Exception) -> None:
        if not any(self._fallbacks.values()):
            warnings.warn(
                f"searcher 'botorch': the {what} failed ({type(error).__name__}: {error}); {instead}. "
                "Further fall-backs are counted in diagnostics().",
                NumericsWarning,
                stacklevel=2,
            )
        self._fallbacks[what] += 1

    # -- the acquisition --

    def _score(self, known: _Known, pending: Array | None, rng: np.random.Generator) -> Score:
        """What is maximised over rows; call inside `alone`."""
        torch = module("torch")
        function = self._function(known, pending, rng) if known.feasible.any() else None

        def score(rows: Array) -> Array:
            X = self._encode(rows)
            found = self._crash.log_success(self._latest, rows)
            if function is not None:  # else something feasible is to be found first
                parts = torch.as_tensor(X).unsqueeze(1).split(CHUNK)
                found = found + np.concatenate([function(part).numpy() for part in parts])
            if known.limits is not None:
                found = found + log_feasible(*posterior(known.limits, X))
            return np.nan_to_num(found, nan=-np.inf, posinf=np.inf, neginf=-np.inf)

        return score

    def _function(self, known: _Known, pending: Array | None, rng: np.random.Generator) -> Any:
        """BoTorch's acquisition function."""
        torch = module("torch")
        acquisition = module("botorch.acquisition")
        sampling = module("botorch.sampling.normal")
        m = known.values.shape[1]
        seed = int(rng.integers(2**31))
        common = {
            "model": known.model,
            "sampler": sampling.SobolQMCNormalSampler(torch.Size([self._samples]), seed=seed),
            "X_pending": None if pending is None else torch.as_tensor(pending),
        }
        baseline = torch.as_tensor(known.X[known.feasible])
        if 1 < m <= VOLUME:
            return _hypervolume(known, baseline, common)
        if m > VOLUME:
            weigh = module("botorch.utils.multi_objective.scalarization")
            weights = torch.as_tensor(rng.dirichlet(np.ones(m)))
            weighted = weigh.get_chebyshev_scalarization(weights, -torch.as_tensor(known.values))
            objective = acquisition.GenericMCObjective(lambda Y, X=None: weighted(-Y))
        else:
            objective = acquisition.GenericMCObjective(lambda Y, X=None: -Y[..., 0])
        if self._acquisition == "ei" and m == 1:
            best = float(-known.values[known.feasible, 0].min())
            return acquisition.qLogExpectedImprovement(best_f=best, objective=objective, **common)
        return acquisition.qLogNoisyExpectedImprovement(X_baseline=baseline, objective=objective, **common)


def _hypervolume(known: _Known, baseline: Any, common: dict[str, Any]) -> Any:
    """The noisy expected hypervolume improvement over what is feasible."""
    multi = module("botorch.acquisition.multi_objective")
    objectives = module("botorch.acquisition.multi_objective.objective")
    return multi.qLogNoisyExpectedHypervolumeImprovement(
        ref_point=(-reference_point(known.values[known.feasible])).tolist(),
        X_baseline=baseline,
        objective=objectives.GenericMCMultiOutputObjective(lambda Y, X=None: -Y),
        prune_baseline=True,
        **common,
    )
