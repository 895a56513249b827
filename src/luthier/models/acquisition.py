"""Acquisition functions of normal predictions, for minimisation, in logarithms where they would underflow."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from luthier.base.imports import later

special = later("scipy.special")

Array = NDArray[np.float64]

_ROOT = math.sqrt(2.0 * math.pi)
_HALF = math.log(math.sqrt(2.0 * math.pi))
_TAIL, _FAR = -1.0, 300.0  # where `log_improvement` changes its form


def improvement(z: Array) -> Array:
    """Expected improvement of a standard normal variable below z: z Phi(z) + phi(z); (n,) -> (n,)."""
    found: Array = z * special.ndtr(z) + np.exp(-0.5 * z**2) / _ROOT
    return found


def log_improvement(z: Array) -> Array:
    """Logarithm of `improvement`, finite for |z| < 1e150; (n,) -> (n,).

    Left of -1 it is -z^2/2 - log sqrt(2 pi) + log(1 - |z| sqrt(pi/2) erfcx(|z| / sqrt 2)); left of -300, where the
    difference cancels, its last term is log(1/z^2 - 3/z^4 + 15/z^6), the series of Mills' ratio.

    Source: Ament, Daulton, Eriksson, Balandat, Bakshy 2023, equation 9.
    Differs: where the series takes over.
    """
    z = np.asarray(z, dtype=float)
    found = np.empty_like(z)
    near = z > _TAIL
    found[near] = np.log(improvement(z[near]))
    far = -z[~near]
    rest = 1.0 - far * math.sqrt(math.pi / 2.0) * special.erfcx(far / math.sqrt(2.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # 1 - x m(x) with Mills' ratio m: 1/x^2 - 3/x^4 + 15/x^6
        series = -2.0 * np.log(far) + np.log1p(-3.0 / far**2 + 15.0 / far**4)
        found[~near] = -0.5 * far**2 - _HALF + np.where(far > _FAR, series, np.log(np.maximum(rest, 1e-300)))
    return found


def log_ei(mean: Array, sd: Array, best: Array | float) -> Array:
    """Logarithm of the expected improvement below `best`.

    Args:
        mean: (n,) predicted means.
        sd: (n,) predicted standard deviations, > 0.
        best: Value to be improved on, one or (n,).

    Returns:
        (n,) log((best - mean) Phi(z) + sd phi(z)) with z = (best - mean) / sd.
    """
    found: Array = log_improvement((best - mean) / sd) + np.log(sd)
    return found


def log_pi(mean: Array, sd: Array, best: Array | float) -> Array:
    """Logarithm of the probability to fall below `best`, arguments as in `log_ei`; (m,), (m,) -> (m,)."""
    found: Array = special.log_ndtr((best - mean) / sd)
    return found


def log_feasible(mean: Array, sd: Array) -> Array:
    """Logarithm of the probability that constraints hold.

    Args:
        mean: (n, c) predicted violations, feasible where <= 0.
        sd: (n, c) their standard deviations, > 0.

    Returns:
        (n,) sums over constraints of log Phi(-mean / sd): they are taken as independent.

    Source: Gardner et al. 2014; Gelbart, Snoek, Adams 2014.
    """
    found: Array = special.log_ndtr(-mean / sd).sum(axis=1)
    return found


def ehvi(mean: Array, sd: Array, front: Array, reference: Array) -> Array:
    """Expected hypervolume improvement for two objectives, exact.

    Args:
        mean: (n, 2) predicted means.
        sd: (n, 2) standard deviations, > 0; the objectives are taken as independent.
        front: (p, 2) non-dominated values, all better than the reference.
        reference: (2,) worst values that count.

    Returns:
        (n,) expected growth of the dominated area, >= 0.

    Source: the strip decomposition of Emmerich, Giannakoglou, Naujoks 2006 and Yang et al. 2019, in the form
        sum_i [psi(a_i) - psi(a_{i-1})] psi(b_{i-1}), psi(u) = E max(0, u - Y).
    Cost: O(n p).
    """
    order = np.argsort(front[:, 0], kind="stable") if len(front) else np.empty(0, dtype=int)
    a = np.concatenate([front[order, 0], reference[:1]])  # right ends of the strips
    b = np.concatenate([reference[1:], front[order, 1]])  # their heights
    first = _below(mean[:, :1], sd[:, :1], a)
    widths = np.diff(np.concatenate([np.zeros((len(mean), 1)), first], axis=1), axis=1)
    found: Array = (widths * _below(mean[:, 1:], sd[:, 1:], b)).sum(axis=1)
    return np.maximum(found, 0.0)


def _below(mean: Array, sd: Array, limits: Array) -> Array:
    """E max(0, limit - Y) for normal Y; (n, 1), (n, 1), (q,) -> (n, q)."""
    return sd * improvement((limits[None, :] - mean) / sd)
