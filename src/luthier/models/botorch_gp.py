"""Gaussian processes by BoTorch, on plain arrays: in double precision, and apart from all other use of torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.imports import need

Array = NDArray[np.float64]

ITERATIONS = 100  # of a fit of the hyperparameters
STRAIGHT = 3.0  # nine-tenths quantiles of a violation up to which its scale is straight
EXACT = 1e-8  # least noise variance of a constraint, in units of its variance: bytes and parameters have none
TINY = 1e-18  # least variance of a prediction, so that its logarithm is finite


def module(name: str) -> Any:
    """A module of BoTorch or of what it needs."""
    return need(name, what="searcher 'botorch'", extra="botorch")


def process(X: Array, Y: Array, *, exact: bool = False) -> Any:
    """BoTorch's process with the hyperparameters at the modes of their priors.

    Args:
        X: (n, p) features.
        Y: (n, q) outputs.
        exact: Whether the noise may vanish. BoTorch's prior and bound keep it above a hundredth of the spread, and a
            search that has come closer than that to the boundary of what is feasible would go on to step over it.
    """
    torch = module("torch")
    # values that are all equal have no spread to divide by
    standard = module("botorch.models.transforms").Standardize(m=Y.shape[1], min_stdv=1e-8)
    likelihood = None
    if exact:
        bound = module("gpytorch.constraints").GreaterThan(EXACT, transform=None, initial_value=1e-4)
        batch = torch.Size([Y.shape[1]]) if Y.shape[1] > 1 else torch.Size()
        likelihood = module("gpytorch.likelihoods").GaussianLikelihood(noise_constraint=bound, batch_shape=batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are all equal
        return module("botorch.models").SingleTaskGP(
            torch.as_tensor(X), torch.as_tensor(Y), likelihood=likelihood, outcome_transform=standard
        )


def fit(unfitted: Any) -> dict[str, Any]:
    """Move the hyperparameters of a process to the highest posterior density; call inside `alone`.

    Args:
        unfitted: A process; it is changed.

    Returns:
        Their state, for `load_state_dict(state, strict=False)` of another process.

    Raises:
        Exception: one of `failures`.
    """
    likelihood = module("gpytorch.mlls").ExactMarginalLogLikelihood(unfitted.likelihood, unfitted)
    module("botorch.optim.fit").fit_gpytorch_mll_scipy(likelihood, options={"maxiter": ITERATIONS})
    return hyperparameters(unfitted)


def hyperparameters(fitted: Any) -> dict[str, Any]:
    """State of a process without what belongs to its data."""
    state = fitted.state_dict()
    return {name: value.clone() for name, value in state.items() if not name.startswith("outcome_transform")}


def posterior(fitted: Any, X: Array) -> tuple[Array, Array]:
    """Means and standard deviations of a process's q outputs; (n, p) -> (n, q), (n, q)."""
    found = fitted.posterior(module("torch").as_tensor(X))
    return found.mean.numpy(), np.maximum(found.variance.numpy(), TINY) ** 0.5


def tamed(violation: Array) -> Array:
    """Violations of unit size on a scale that keeps 0, is straight for nearly all of them, and logarithmic far out.

    A scale that bends close to 0, where a search ends up, would make a linear constraint look unknown everywhere else.

    Args:
        violation: (n,) amounts over the bound.
    """
    unit = STRAIGHT * float(np.quantile(np.abs(violation), 0.9))
    far = np.abs(violation) / (unit if unit > 0.0 else 1.0)
    found: Array = np.sign(violation) * np.where(far > 1.0, 1.0 + np.log(np.maximum(far, 1.0)), far)
    return found


def failures() -> tuple[type[Exception], ...]:
    """What BoTorch, GPyTorch and torch raise when numbers fail them."""
    errors = module("botorch.exceptions.errors")
    linear = module("linear_operator.utils.errors")
    return (errors.ModelFittingError, errors.BotorchError, linear.NotPSDError, RuntimeError)


@contextmanager
def alone(seed: int) -> Iterator[None]:
    """PyTorch with a random state of its own, one thread, exact factors, and nothing compiled; all put back after.

    The order of additions depends on the number of threads, and beyond 800 points GPyTorch would take approximate
    factors, so proposals would depend on the machine.
    """
    torch = module("torch")
    settings = module("linear_operator.settings")
    volumes = module("botorch.acquisition.multi_objective.logei")
    threads = torch.get_num_threads()
    # newer releases compile a kernel for hypervolumes on first use; `_C` is where they keep it
    kept = {name: getattr(volumes, name) for name in ("_C", "_load_attempted") if hasattr(volumes, name)}
    with torch.random.fork_rng(devices=[]), settings.max_cholesky_size(10**9), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fall-backs are counted; warnings of fits that then succeed say nothing
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        for name in kept:
            setattr(volumes, name, None if name == "_C" else True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            for name, value in kept.items():
                setattr(volumes, name, value)
