"""Which sub-networks training draws: where on the size axis quality is spent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.shrink.cost import CostModel
from luthier.shrink.spaces import NetSpace
from luthier.shrink.spec import SubNetSpec
from luthier.space import Choice

KINDS = ("uniform_axes", "uniform_params", "log_params", "grid", "around")
#: Numbers that a kind may be written with: "grid(32)", "around(0.3)", "around(0.3, 0.05)".
NUMBERS = {"grid": ("bins",), "around": ("target", "spread")}
POOL = 2000  # draws of all axes but the neurons, from which each target takes one that reaches it
ROUNDS = 3  # of correcting: a sub-layer that is left out whole takes its norm along
TOLERANCE = 0.01  # of the target's size: the papers' bins are wider
PICKS = 8  # of the pool for one target: where neurons come in few sizes, not every one of them can be brought there
DRAWS = 100  # of plain axes for one in the range, before one is made to measure


def parsed(text: str) -> dict[str, Any]:
    """A kind and the numbers behind it, as options of `Sampler`.

    Args:
        text: Such as "grid" or "around(0.3, 0.05)".

    Raises:
        ArgumentError: no such kind, or numbers that it has not.
    """
    kind, _, inner = text.partition("(")
    check("sampler", kind, one_of=KINDS)
    given = [word.strip() for word in inner.rstrip(")").split(",") if word.strip()]
    names = NUMBERS.get(kind, ())
    plain = all(re.fullmatch(r"\d+(\.\d*)?|\.\d+", word) for word in given)
    if len(given) > len(names) or not plain:
        allowed = f"{kind}({', '.join(names)})" if names else f"{kind}, without numbers"
        raise ArgumentError(f"sampler={text!r}. Allowed: {allowed}.")
    values = [int(word) if word.isdigit() else float(word) for word in given]
    return {"kind": kind, **dict(zip(names, values, strict=False))}


class Sampler:
    """Draws sub-networks of a space.

    "uniform_axes" draws each axis (within `low` and `high`, where these are given), which gives mid-sized networks
    nearly always. The calibrated kinds draw the number
    of parameters first ("uniform_params", "log_params", "around" a target), then axes that reach it; the neurons, of
    which the number of parameters is a linear function, are solved for. "grid" has `bins` fixed sub-networks, the
    smallest and the largest of the range among them.

    Args:
        space: The space.
        costs: Closed forms of the super-network.
        kind: One of `KINDS`.
        bins: Of "grid".
        target: Of "around": share of the full number of parameters.
        spread: Of "around": standard deviation, as such a share.
        low: Smallest share of the full number of parameters; None: what the space has.
        high: Largest share.
        seed: Of the pool and the grid.

    Raises:
        ArgumentError: the space has no sub-network in the range, or the target lies outside of it; what is possible is
            told.

    Source: Sukthanker et al. 2024, calibrated sampling (seen in whittle's code: bins with rejection).
    Differs: no rejection loop: a feasible draw is picked from a pool, and the neurons are solved for.
    Cost: one pool of 2000 counted draws, then O(2000 + depth) a draw.
    """

    def __init__(
        self,
        space: NetSpace,
        costs: CostModel,
        *,
        kind: str = "uniform_params",
        bins: int = 20,
        target: float = 0.5,
        spread: float = 0.1,
        low: float | None = None,
        high: float | None = None,
        seed: int = 0,
    ) -> None:
        check("sampler", kind, one_of=KINDS)
        bins = check("bins", bins, at_least=2, whole=True)
        check("target", target, above=0, at_most=1)
        check("spread", spread, above=0)
        self.space, self.costs, self.kind = space, costs, kind
        #: What was chosen, as plain data.
        self.settings = {"kind": kind, "bins": bins, "target": target, "spread": spread, "low": low, "high": high,
                         "seed": seed}  # fmt: skip
        self._target, self._spread = target, spread
        self._full = int(costs.parameters(costs.arrays([SubNetSpec.full(space.sizes)]))[0])
        ends = [space.smallest, space.largest]
        least, most = (int(n) for n in costs.parameters(costs.arrays(ends)))
        self.low = max(least, 0 if low is None else round(low * self._full))
        self.high = min(most, self._full if high is None else round(high * self._full))
        if self.low > self.high:
            raise ArgumentError(
                f"sampler: no sub-network of space {space.name!r} has {low} to {high} of {self._full:,} parameters. "
                f"Allowed: {least / self._full:.3f} to {most / self._full:.3f}; the smallest possible has {least:,}."
            )
        if kind == "around" and not self.low <= round(target * self._full) <= self.high:
            raise ArgumentError(
                f"sampler: target={target:g} of {self._full:,} parameters, and space {space.name!r} has none there. "
                f"Allowed: {self.low / self._full:.3f} to {self.high / self._full:.3f}, which is {self.low:,} to "
                f"{self.high:,}."
            )
        rng = np.random.default_rng([seed, 31])
        self._axes = [name for name in space.space if name.partition(".")[0] == "inter"]
        self._values = {name: _values(space.space[name]) for name in self._axes}
        self._pool: list[dict[str, Any]] = []
        self._bounded = self.low > least or self.high < most
        if kind != "uniform_axes" or self._bounded:
            self._fill(rng)
        self._grid = self._made_grid(bins, rng) if kind == "grid" else []

    def draw(self, rng: np.random.Generator) -> SubNetSpec:
        """One sub-network."""
        if self.kind == "uniform_axes":
            return self._plain(rng)
        if self.kind == "grid":
            return self._grid[int(rng.integers(len(self._grid)))]
        return self.sized(self._size(rng), rng)

    def _plain(self, rng: np.random.Generator) -> SubNetSpec:
        """Each axis uniformly; within a range by drawing again, where it is hit rarely by solving for the neurons."""
        for _ in range(DRAWS):
            spec = self.space.decode(self.space.draw(rng))
            if not self._bounded or self.low <= self._count(spec) <= self.high:
                return spec
        return self.sized(float(rng.uniform(self.low, self.high)), rng)

    def _count(self, spec: SubNetSpec) -> int:
        return int(self.costs.parameters(self.costs.arrays([spec]))[0])

    def _size(self, rng: np.random.Generator) -> float:
        if self.kind == "log_params":
            return float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))
        if self.kind == "around":
            drawn = self._full * rng.normal(self._target, self._spread)
            return float(np.clip(drawn, self.low, self.high))
        return float(rng.uniform(self.low, self.high))

    def sized(self, parameters: float, rng: np.random.Generator) -> SubNetSpec:
        """A random sub-network of a size; where none has it, of the nearest size.

        Args:
            parameters: Number of parameters wanted.
            rng: Decides which.
        """
        if not self._pool:
            self._fill(rng)
        reach = (self._least <= parameters) & (parameters <= self._most)
        if reach.any():
            near = np.flatnonzero(reach)
        else:
            off = np.minimum(np.abs(self._least - parameters), np.abs(self._most - parameters))
            near = np.flatnonzero(off <= max(off.min(), TOLERANCE * parameters))
        best: tuple[float, SubNetSpec] | None = None
        for _ in range(PICKS):
            found = self._made(int(rng.choice(near)), parameters, rng)
            best = found if best is None or found[0] < best[0] else best
            if best[0] <= TOLERANCE * parameters or not self._axes:
                break
        assert best is not None
        return best[1]

    def _made(self, picked: int, parameters: float, rng: np.random.Generator) -> tuple[float, SubNetSpec]:
        """One of the pool with its neurons solved for, and by how much it misses the size."""
        config = dict(self._pool[picked])
        width = float(self._most[picked] - self._least[picked])
        if not self._axes or width <= 0:
            spec = self.space.decode(config)
            return abs(parameters - self._count(spec)), spec
        weights, aim = rng.exponential(size=len(self._axes)), float(parameters)
        found: list[tuple[float, SubNetSpec]] = []
        for _ in range(ROUNDS):
            share = float(np.clip((aim - self._least[picked]) / width, 0, 1))
            spec = self.space.decode({**config, **self._solved(share, weights, config)})
            missing = parameters - self._count(spec)
            found.append((abs(missing), spec))
            if abs(missing) <= TOLERANCE / 2 * parameters:
                break
            aim += missing
        return min(found, key=lambda one: one[0])

    def _fill(self, rng: np.random.Generator) -> None:
        """Draws of all axes but the neurons, with what they count with the fewest and the most neurons."""
        ends = self.space.ends[:2]
        self._pool = [*ends, *(self.space.draw(rng) for _ in range(POOL))]
        sizes = []
        for at in (0, -1):
            filled = [{**config, **self._neurons(at)} for config in self._pool]
            sizes.append(self.costs.parameters(self.costs.arrays([self.space.decode(c) for c in filled])))
        self._least: NDArray[np.float64] = sizes[0].astype(float)
        self._most: NDArray[np.float64] = sizes[1].astype(float)

    def _neurons(self, at: int) -> dict[str, int]:
        return {name: int(values[at]) for name, values in self._values.items()}

    def _solved(self, share: float, drawn: NDArray[np.float64], config: Mapping[str, Any]) -> dict[str, int]:
        """Numbers of neurons that add up to a share of the whole range: random ones, stretched until they do."""
        low, high = self._neurons(0), self._neurons(-1)
        counted = [name for name in self._axes if self._counts(name, config)]
        found = {name: low[name] for name in self._axes}
        if not counted:
            return found
        least = np.array([low[name] for name in counted], dtype=float)
        width = np.array([high[name] for name in counted], dtype=float) - least
        wanted = share * width.sum()
        weights = drawn[[self._axes.index(name) for name in counted]]
        ends = [0.0, float((width / weights).max())]
        for _ in range(50):
            middle = sum(ends) / 2
            ends[int(np.minimum(middle * weights, width).sum() > wanted)] = middle
        raw = np.minimum(ends[0] * weights, width)
        allowed = [self._values[name] - base for name, base in zip(counted, least, strict=True)]
        places = [int(np.abs(values - x).argmin()) for values, x in zip(allowed, raw, strict=True)]
        whole = np.array([values[place] for values, place in zip(allowed, places, strict=True)])
        for axis in np.argsort(-np.abs(raw - whole)):  # rounding adds up: correct where it was largest
            error = whole.sum() - wanted
            after = places[axis] - int(np.sign(error))
            if 0 <= after < len(allowed[axis]):
                moved = allowed[axis][after]
                if abs(error + moved - whole[axis]) < abs(error):
                    whole[axis] = moved
        found |= {name: int(base + more) for name, base, more in zip(counted, least, whole, strict=True)}
        return found

    def _counts(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether an axis belongs to a layer that is kept."""
        _, _, layer = name.partition(".")
        kept = self.space.ranking[: int(config.get("depth", self.space.sizes.depth))]
        return not layer or int(layer) in kept

    def _made_grid(self, bins: int, rng: np.random.Generator) -> list[SubNetSpec]:
        ends = {self._count(spec): spec for spec in (self.space.smallest, self.space.largest)}
        sizes = np.linspace(self.low, self.high, bins)
        found = [ends.get(round(size)) or self.sized(float(size), rng) for size in sizes]
        return list(dict.fromkeys(found))


def _values(domain: Any) -> NDArray[np.float64]:
    """Numbers of neurons that an axis allows, ascending."""
    if isinstance(domain, Choice):
        return np.array(sorted(domain.values), dtype=float)
    return np.arange(int(domain.low), int(domain.high) + 1, int(domain.step or 1), dtype=float)
