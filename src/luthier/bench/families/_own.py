"""Test functions of our own making: mixed with choices, and two whose noise differs by place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from luthier.bench.families._functions import VALUE, Array, Columns, Formula, cube, point, single
from luthier.space.domains import Choice, Float, Int
from luthier.space.space import Space

_SOURCE = "luthier"

# mixed6: where each word puts the bowl, and what it costs
_SHIFT = {"a": 0.2, "b": 0.75, "c": 0.5, "d": 0.9, "u": 0.0, "v": 0.25, "w": -0.3}
_COST = {"a": 0.3, "b": 0.0, "c": 0.15, "d": 0.4, "u": 0.1, "v": 0.25, "w": 0.0}
_NORM = {"p": 0.3, "q": 0.12, "r": 0.0, "s": 0.2, "t": 0.5}


def mixed6() -> Formula:
    """Three floats and three choices; each word moves the bowl that the floats lie in."""

    def values(columns: Columns, resource: float) -> Mapping[str, Array]:
        kind, mode, norm = (columns[name].tolist() for name in ("kind", "mode", "norm"))
        centre = np.clip([_SHIFT[k] + _SHIFT[m] for k, m in zip(kind, mode, strict=True)], 0.05, 0.95)
        words = [_COST[k] + _COST[m] + _NORM[n] for k, m, n in zip(kind, mode, norm, strict=True)]
        agree = [0.25 * ((k == "b") == (n == "q")) for k, n in zip(kind, norm, strict=True)]
        steep = np.where(np.isin(columns["norm"], ("p", "r")), 8.0, 2.0)
        off = (columns["x0"] - centre) ** 2 + (columns["x1"] - 0.5 * (1 - centre) - 0.2) ** 2
        return {VALUE: np.array(words) + agree + steep * off + (columns["x2"] - 0.35) ** 2}

    domains: dict[str, Any] = {f"x{i}": Float(0.0, 1.0) for i in range(3)}
    domains |= {"kind": Choice(*"abcd"), "mode": Choice(*"uvw"), "norm": Choice(*"pqrst")}
    return Formula(
        Space(domains),
        values,
        {VALUE: 0.0},  # what the words b, w and r cost, which is least, at their bowl's lowest point
        _SOURCE,
        "Three floats in a bowl that three words move, cost, and steepen.",
        best=({"x0": 0.45, "x1": 0.475, "x2": 0.35, "kind": "b", "mode": "w", "norm": "r"},),
        highest={VALUE: 20.0},
    )


def noisy6() -> Formula:
    """A rotated bowl that flattens far away; where x0 is large, the noise is as wide as the bowl's lower half."""
    turn, _ = np.linalg.qr(np.random.default_rng(6).standard_normal((6, 6)))
    centre, weights = np.array([0.42, 0.65, 0.3, 0.55, 0.7, 0.38]), np.geomspace(1.0, 10.0, 6)

    def bowl(x: Array) -> Array:
        q = ((x - centre) @ turn.T) ** 2 @ weights
        found: Array = q / (1.5 + q)
        return found

    def sd(columns: Columns) -> Array:
        found: Array = 0.03 + 0.3 / (1 + np.exp(-12 * (columns["x0"] - 0.6)))
        return found

    return Formula(
        cube(6),
        single(bowl),
        {VALUE: 0.0},
        _SOURCE,
        "A rotated bowl that flattens far away, under noise that grows with x0.",
        best=(point(*centre.tolist()),),
        sd=sd,
    )


def noisy5() -> Formula:
    """Two logarithmic floats, a float and two integers; the noise grows with the first value."""

    def values(columns: Columns, resource: float) -> Mapping[str, Array]:
        rate, decay = np.log10(columns["rate"]) + 2.2, np.log10(columns["decay"]) + 4
        width, depth = np.log2(columns["width"]) - 6.5, columns["depth"] - 4.0
        smooth = 0.1 * decay**2 + 0.05 * depth**2 + (columns["drop"] - 0.2) ** 2
        return {VALUE: np.abs(rate) ** 1.5 + 0.3 * (width - rate) ** 2 + smooth}

    def sd(columns: Columns) -> Array:
        found: Array = 0.05 + 0.25 * (np.log10(columns["rate"]) + 5)
        return found

    # 2^6.5 is no whole number: the two nearest widths, with the best rate for each
    value, rate, width = min(_noisy5_at(width) for width in (90, 91))
    return Formula(
        Space(
            rate=Float(1e-5, 1.0, log=True),
            decay=Float(1e-6, 1e-1, log=True),
            drop=Float(0.0, 0.8),
            width=Int(8, 1024, log=True),
            depth=Int(1, 10),
        ),
        values,
        {VALUE: value},
        _SOURCE,
        "A rate, a decay, a share and two whole numbers that interact, under noise that grows with the rate.",
        best=({"rate": rate, "decay": 1e-4, "drop": 0.2, "width": width, "depth": 4},),
        sd=sd,
    )


def _noisy5_at(width: int) -> tuple[float, float, int]:
    """Least value at a width, the rate there, and the width.

    With r = log10(rate) + 2.2 and w = log2(width) - 6.5 the value is |r|^1.5 + 0.3 (w - r)^2; the zero of its slope,
    1.5 sqrt|r| = 0.6 |w - r| on the side of w, is a quadratic in sqrt|r|.
    """
    w = np.log2(width) - 6.5
    root = (-1.5 + np.sqrt(1.5**2 + 4 * 0.6**2 * abs(w))) / (2 * 0.6)
    r = float(np.sign(w) * root**2)
    return float(abs(r) ** 1.5 + 0.3 * (w - r) ** 2), float(10 ** (r - 2.2)), width
