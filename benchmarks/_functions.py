"""Functions with known optima, as tasks: smooth, ill-conditioned, mixed, and two with noise that differs by place.

A noisy task gives the k-th asking of a configuration its own draw, from the run's seed; it is scored without noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import luthier as lu
from luthier.base.records import Configuration
from luthier.base.seeds import generator

POOL = 20_000  # random configurations; their median is the reference


class Function:
    """A function of the values of a space, with its optimum.

    Args:
        space: Where to search.
        value: From the configuration to what is scored.
        best: Its least value.
        sd: From the configuration to the standard deviation of the noise; None: without noise.
    """

    def __init__(
        self,
        space: lu.Space,
        value: Callable[[Mapping[str, Any]], float],
        best: float,
        sd: Callable[[Mapping[str, Any]], float] | None = None,
    ) -> None:
        self.space, self._value, self.best, self._sd = space, value, best, sd
        found = [value(config) for config in space.sample(POOL, generator(0, "bench"))]
        self.reference = float(np.median(found))

    def seen(self, config: Configuration, seed: int, again: int = 0) -> float:
        """What a search is told when it asks for a configuration the (again + 1)-th time."""
        if self._sd is None:
            return self.score(config)
        key = hashlib.blake2b(repr(sorted(config.items())).encode(), digest_size=4).digest()
        draw = generator(seed, "bench", int.from_bytes(key, "little"), again).standard_normal()
        return self.score(config) + self._sd(config) * float(draw)

    def score(self, config: Configuration) -> float:
        """The value without noise."""
        return float(self._value(config))


def branin() -> Function:
    def value(c: Mapping[str, Any]) -> float:
        x, y = c["x0"], c["x1"]
        bent = y - 5.1 / (4 * np.pi**2) * x**2 + 5 / np.pi * x - 6
        return bent**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10

    return Function(lu.Space(x0=lu.Float(-5.0, 10.0), x1=lu.Float(0.0, 15.0)), value, 0.39788735772973816)


def hartmann6() -> Function:
    a = np.array([[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8],
                  [17, 8, 0.05, 10, 0.1, 14]])  # fmt: skip
    p = 1e-4 * np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
                         [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]])  # fmt: skip
    alpha = np.array([1.0, 1.2, 3.0, 3.2])
    space = _cube(6)
    return Function(space, lambda c: -alpha @ np.exp(-(a * (_vector(c) - p) ** 2).sum(axis=1)), -3.322368011415515)


def noisy6() -> Function:
    """A rotated bowl that flattens far away; where x0 is large, the noise is as wide as the bowl's lower half."""
    rng = np.random.default_rng(6)
    turn, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    centre, weights = np.array([0.42, 0.65, 0.3, 0.55, 0.7, 0.38]), np.geomspace(1.0, 10.0, 6)

    def value(c: Mapping[str, Any]) -> float:
        q = float(weights @ (turn @ (_vector(c) - centre)) ** 2)
        return q / (1.5 + q)

    return Function(_cube(6), value, 0.0, lambda c: 0.03 + 0.3 / (1 + np.exp(-12 * (c["x0"] - 0.6))))


def ackley5() -> Function:
    def value(c: Mapping[str, Any]) -> float:
        x = _vector(c)
        return 20 + np.e - 20 * np.exp(-0.2 * np.sqrt((x**2).mean())) - np.exp(np.cos(2 * np.pi * x).mean())

    return Function(_cube(5, -10.0, 20.0), value, 0.0)


def rosenbrock4() -> Function:
    def value(c: Mapping[str, Any]) -> float:
        x = _vector(c)
        return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())

    return Function(_cube(4, -2.0, 3.0), value, 0.0)


def levy8() -> Function:
    """Levy's function of the logarithms of eight values."""

    def value(c: Mapping[str, Any]) -> float:
        w = 1 + (np.log10(_vector(c)) * 2.5 - 1) / 4
        middle = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)).sum()
        return float(np.sin(np.pi * w[0]) ** 2 + middle + (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2))

    space = lu.Space({f"x{i}": lu.Float(1e-3, 1e4, log=True) for i in range(8)})
    return Function(space, value, 0.0)


def noisy5() -> Function:
    """Two logarithmic floats, a float and two integers; noise grows with the first value."""

    def value(c: Mapping[str, Any]) -> float:
        rate, decay = np.log10(c["rate"]) + 2.2, np.log10(c["decay"]) + 4
        width, depth = np.log2(c["width"]) - 6.5, c["depth"] - 4
        return abs(rate) ** 1.5 + 0.1 * decay**2 + 0.3 * (width - rate) ** 2 + 0.05 * depth**2 + (c["drop"] - 0.2) ** 2

    space = lu.Space(
        rate=lu.Float(1e-5, 1.0, log=True),
        decay=lu.Float(1e-6, 1e-1, log=True),
        drop=lu.Float(0.0, 0.8),
        width=lu.Int(8, 1024, log=True),
        depth=lu.Int(1, 10),
    )
    # least value over the whole widths, rate chosen for each
    best = min(
        value({"rate": 10 ** (r - 2.2), "decay": 1e-4, "drop": 0.2, "width": w, "depth": 4})
        for w in range(80, 103)
        for r in np.linspace(-0.05, 0.05, 201)
    )
    return Function(space, value, best, lambda c: 0.05 + 0.25 * (np.log10(c["rate"]) + 5))


def mixed6() -> Function:
    """Three floats and three categoricals; each word moves the bowl that the floats lie in."""
    words = {"kind": "abcd", "mode": "uvw", "norm": "pqrst"}
    shift = {"a": 0.2, "b": 0.75, "c": 0.5, "d": 0.9, "u": 0.0, "v": 0.25, "w": -0.3}
    cost = {"a": 0.3, "b": 0.0, "c": 0.15, "d": 0.4, "u": 0.1, "v": 0.25, "w": 0.0}
    norm = dict(zip("pqrst", (0.3, 0.12, 0.0, 0.2, 0.5), strict=True))

    def value(c: Mapping[str, Any]) -> float:
        centre = np.clip(shift[c["kind"]] + shift[c["mode"]], 0.05, 0.95)
        off = (c["x0"] - centre) ** 2 + (c["x1"] - 0.5 * (1 - centre) - 0.2) ** 2
        steep = 8.0 if c["norm"] in "pr" else 2.0
        interaction = 0.25 if (c["kind"] == "b") == (c["norm"] == "q") else 0.0
        return cost[c["kind"]] + cost[c["mode"]] + norm[c["norm"]] + interaction + steep * off + (c["x2"] - 0.35) ** 2

    space = lu.Space({**{f"x{i}": lu.Float(0.0, 1.0) for i in range(3)},
                      **{name: lu.Choice(*values) for name, values in words.items()}})  # fmt: skip
    # every combination of words has its bowl's lowest point inside the cube, where only the words cost
    combinations = [{"kind": k, "mode": m, "norm": n} for k in "abcd" for m in "uvw" for n in "pqrst"]
    best = min(
        value({**c, "x0": z, "x1": 0.5 * (1 - z) + 0.2, "x2": 0.35})
        for c in combinations
        for z in [float(np.clip(shift[c["kind"]] + shift[c["mode"]], 0.05, 0.95))]
    )
    return Function(space, value, best)


FUNCTIONS: dict[str, Callable[[], Function]] = {
    one.__name__: one for one in (branin, hartmann6, noisy6, ackley5, rosenbrock4, levy8, noisy5, mixed6)
}


def _cube(dimensions: int, low: float = 0.0, high: float = 1.0) -> lu.Space:
    return lu.Space({f"x{i}": lu.Float(low, high) for i in range(dimensions)})


def _vector(config: Mapping[str, Any]) -> np.ndarray:
    return np.array(list(config.values()), dtype=float)
