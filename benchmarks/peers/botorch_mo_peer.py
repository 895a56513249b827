"""BoTorch, put together as its tutorials do: an exact GP for each output, qLogNEHVI or qLogNEI, multi-start L-BFGS.

The option `objectives` says how many there are; a value that is told is a list: the objectives, then the amounts by
which constraints are exceeded. The first 2 (d + 1) configurations, 12 at most, are random. Numbers are positions
in [0, 1]; a categorical hyperparameter is a column that the model and the optimiser know as such; inactive ones hold
their first value. The reference point is inferred from the data, as BoTorch's helper does. It runs in Syne Tune's
environment.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from botorch.acquisition import qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective import logei
from botorch.acquisition.objective import GenericMCObjective
from botorch.fit import fit_gpytorch_mll
from botorch.models import MixedSingleTaskGP, ModelListGP, SingleTaskGP
from botorch.models.transforms import Standardize
from botorch.optim import optimize_acqf, optimize_acqf_mixed_alternating
from botorch.utils.multi_objective.hypervolume import infer_reference_point
from botorch.utils.multi_objective.pareto import is_non_dominated
from gpytorch.mlls import SumMarginalLogLikelihood

torch.set_num_threads(1)
torch.set_default_dtype(torch.double)
warnings.filterwarnings("ignore")
logei._load_attempted = True  # no compiling at the first call: where a build was interrupted, it waits for ever

RESTARTS, RAW = 4, 128


class Botorch:
    def __init__(self, setting: Any) -> None:
        torch.manual_seed(setting.seed)
        self._rng = np.random.default_rng(setting.seed)
        self._space, self._objectives = setting.space, setting.options["objectives"]
        space = self._space
        self._choices = [i for i, one in enumerate(space) if one["kind"] == "choice"]
        self._discrete = {
            i: np.linspace(0, 1, len(one["values"])).tolist() for i, one in enumerate(space) if one["kind"] == "ordinal"
        }
        self._X: list[list[float]] = []
        self._Y: list[list[float]] = []
        self._initial = min(12, 2 * (len(space) + 1))

    def ask(self, trial: int) -> dict[str, Any]:
        row = self._random() if len(self._X) < self._initial else self._best()
        config: dict[str, Any] = {}
        for u, one in zip(row, self._space, strict=True):
            when = one.get("when")
            if when is None or config.get(when["parent"]) in when["values"]:
                config[one["name"]] = value(u, one)
        self._row = [position(config.get(one["name"]), one) for one in self._space]
        return config

    def _random(self) -> list[float]:
        row = self._rng.random(len(self._space)).tolist()
        for i in self._choices:
            row[i] = float(self._rng.integers(len(self._space[i]["values"])))
        return row

    def _best(self) -> list[float]:
        X, Y = torch.tensor(self._X), -torch.tensor(self._Y)  # BoTorch maximises
        models = []
        for column in range(Y.shape[1]):
            y, outcome = Y[:, column : column + 1], Standardize(m=1)
            models.append(
                MixedSingleTaskGP(X, y, cat_dims=self._choices, outcome_transform=outcome)
                if self._choices
                else SingleTaskGP(X, y, outcome_transform=outcome)
            )
        model = ModelListGP(*models)
        fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
        bounds = torch.tensor([[0.0] * len(self._space), [1.0] * len(self._space)])
        for i in self._choices:
            bounds[1, i] = len(self._space[i]["values"]) - 1
        common = {"bounds": bounds, "q": 1, "num_restarts": RESTARTS, "raw_samples": RAW}
        acquisition = self._acquisition(model, X, Y)
        if self._choices or self._discrete:
            cats = {i: [float(v) for v in range(len(self._space[i]["values"]))] for i in self._choices}
            found, _ = optimize_acqf_mixed_alternating(
                acquisition, discrete_dims=self._discrete, cat_dims=cats, **common
            )
        else:
            found, _ = optimize_acqf(acquisition, **common)
        return found[0].tolist()

    def _acquisition(self, model: Any, X: torch.Tensor, Y: torch.Tensor) -> Any:
        if self._objectives > 1:
            front = Y[is_non_dominated(Y)]
            return logei.qLogNoisyExpectedHypervolumeImprovement(
                model, ref_point=infer_reference_point(front).tolist(), X_baseline=X, prune_baseline=True
            )
        return qLogNoisyExpectedImprovement(
            model,
            X_baseline=X,
            objective=GenericMCObjective(lambda Z, X=None: Z[..., 0]),
            constraints=[lambda Z, c=c: -Z[..., c] for c in range(1, Y.shape[1])],
            prune_baseline=True,
        )

    def tell(self, trial: int, value: Any, resource: float | None, done: bool, failed: bool) -> None:
        self._X.append(self._row)
        self._Y.append(value)


def value(u: float, one: Mapping[str, Any]) -> Any:
    """What a position stands for."""
    if one["kind"] == "choice":
        return one["values"][round(u)]
    if one["kind"] == "ordinal":
        return one["values"][round(u * (len(one["values"]) - 1))]
    low, high = (math.log(one[end]) if one["log"] else one[end] for end in ("low", "high"))
    number = low + u * (high - low)
    number = math.exp(number) if one["log"] else number
    return min(max(round(number), one["low"]), one["high"]) if one["kind"] == "int" else number


def position(value: Any, one: Mapping[str, Any]) -> float:
    """The position of a value; 0 for none."""
    if value is None:
        return 0.0
    if one["kind"] == "choice":
        return float(one["values"].index(value))
    if one["kind"] == "ordinal":
        return one["values"].index(value) / (len(one["values"]) - 1)
    low, high, at = (math.log(v) if one["log"] else v for v in (one["low"], one["high"], value))
    return min(max((at - low) / (high - low), 0.0), 1.0)


make = Botorch
