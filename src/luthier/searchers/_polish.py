"""The last step of maximising the expected improvement: along the gradient of the continuous numbers."""

from __future__ import annotations

import math

import numpy as np

from luthier.base.imports import later
from luthier.models.acquisition import log_improvement
from luthier.models.gp import GP
from luthier.searchers._kernel_features import KernelFeatures
from luthier.space.space import Space
from luthier.space.values import Array

optimize = later("scipy.optimize")
special = later("scipy.special")

POLISHED = 3  # of the best rows: they may lie in different basins
STEPS = 30
_HALF = 0.5 * math.log(2.0 * math.pi)


def polish(
    space: Space, features: KernelFeatures, process: GP, best: float, rows: Array, scores: Array, taken: set[bytes]
) -> Array:
    """Rows moved uphill in log EI, best first.

    Continuous numbers move within their bounds, everything else stays. A row that ends at one that is taken or
    forbidden, or lower than it was, stays where it was.

    Args:
        space: Where rows come from.
        features: Of rows.
        process: Its expected improvement is maximised.
        best: Value to be improved on.
        rows: (m, d) snapped, best first, at least one.
        scores: (m,) log EI.
        taken: Keys that are not allowed.

    Returns:
        (m, d) snapped rows, best first.

    Cost: some 3 * 30 gradients of O(n^2).
    """
    rows, scores = rows.copy(), scores.copy()
    for i in range(min(POLISHED, len(rows))):
        free = _free(space, features, rows[i])
        if not len(free):
            continue
        moved = _climb(space, features, process, best, rows[i], free)
        if space.unit_keys(moved[None])[0] in taken or not space.allowed(moved[None])[0]:
            continue
        value = -_loss(moved[free], moved, free, features, process, best)[0]
        if value > scores[i]:
            rows[i], scores[i] = moved, value
    return rows[np.argsort(-scores, kind="stable")]


def _free(space: Space, features: KernelFeatures, row: Array) -> Array:
    """Columns that may move: continuous and active."""
    active = space.active(row[None])[0]
    return np.array([place for place in features.smooth if active[place]], dtype=int)


def _climb(space: Space, features: KernelFeatures, process: GP, best: float, row: Array, free: Array) -> Array:
    found = optimize.minimize(
        _loss,
        row[free],
        args=(row, free, features, process, best),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * len(free),
        options={"maxiter": STEPS},
    )
    moved = row.copy()
    moved[free] = found.x
    snapped: Array = space.snap(moved[None])[0]
    return snapped


def _loss(x: Array, row: Array, free: Array, features: KernelFeatures, process: GP, best: float) -> tuple[float, Array]:
    """-log EI and its gradient by the free columns."""
    moved = row.copy()
    moved[free] = x
    mean, sd, mean_slope, sd_slope = process.slopes(features(moved[None])[0])
    z = (best - mean) / sd
    log_h = float(log_improvement(np.array([z]))[0])
    by_mean = -math.exp(min(float(special.log_ndtr(z)) - log_h, 700.0)) / sd
    by_sd = math.exp(min(-0.5 * z * z - _HALF - log_h, 700.0)) / sd
    # the first features are the columns themselves
    gradient = by_mean * mean_slope[free] + by_sd * sd_slope[free]
    return -(log_h + math.log(sd)), -gradient
