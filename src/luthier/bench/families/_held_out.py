"""How well the forests of a stand-in predict what they were not fitted to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from luthier.base.seeds import generator
from luthier.bench.families._trees import Trees, grown

Array = NDArray[np.float64]
_FOLDS = 5
_PART = 9  # which decision of the bench room the parts are


def held_out(X: Array, guide: Array, values: Array, *, trees: int) -> Array:
    """Predictions for each fifth of the rows by a forest that was grown on the others.

    Args:
        X: (n, columns) what is asked about.
        guide: (n, m) or (n,) as of `grown`.
        values: (n, k) what the leaves answer with.
        trees: Number of trees.

    Returns:
        (n, k).
    """
    found = np.empty(values.shape)
    for part in np.array_split(generator(0, "bench", _PART).permutation(len(X)), _FOLDS):
        rest = np.setdiff1d(np.arange(len(X)), part)
        forest = Trees(grown(X[rest], guide[rest], values[rest], trees=trees), X.shape[1], "held out")
        found[part] = [forest.predict(row) for row in X[part]]
    return found


def agreement(a: Array, b: Array) -> float:
    """Spearman's rank correlation: two (n,) -> a number."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic)
