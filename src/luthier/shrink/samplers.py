"""Which sub-networks training draws: where on the size axis quality is spent."""

from __future__ import annotations

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
POOL = 2000  # draws of all axes but the neurons, from which each target takes one that reaches it
ROUNDS = 3  # of correcting: a sub-layer that is left out whole takes its norm along
TOLERANCE = 0.01  # of the target's size: the papers' bins are wider


class Sampler:
    """Draws sub-networks of a space.

    "uniform_axes" draws each axis, which gives mid-sized networks nearly always. The calibrated kinds draw the number
    of parameters first ("uniform_params", "log_params", "around" a target), then axes that reach it; the neurons, of
    which the number of parameters is a linear function, are solved for. "grid" has `bins` fixed sub-networks, the
    smallest and the largest among them.

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
        ArgumentError: the space has no sub-network in the range; the smallest possible size is told.

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
        check("bins", bins, at_least=2, whole=True)
        check("target", target, above=0, at_most=1)
        check("spread", spread, above=0)
        self.space, self.costs, self.kind = space, costs, kind
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
        rng = np.random.default_rng([seed, 31])
        self._axes = [name for name in space.space if name.partition(".")[0] == "inter"]
        self._pool: list[dict[str, Any]] = []
        if kind != "uniform_axes":
            self._fill(rng)
        self._grid = self._made_grid(bins, rng) if kind == "grid" else []

    def draw(self, rng: np.random.Generator) -> SubNetSpec:
        """One sub-network."""
        if self.kind == "uniform_axes":
            return self.space.decode(self.space.draw(rng))
        if self.kind == "grid":
            return self._grid[int(rng.integers(len(self._grid)))]
        return self.sized(self._size(rng), rng)

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
        reach = (self._least <= parameters) & (parameters <= self._most)
        if reach.any():
            picked = int(rng.choice(np.flatnonzero(reach)))
        else:
            off = np.minimum(np.abs(self._least - parameters), np.abs(self._most - parameters))
            near = np.flatnonzero(off <= max(off.min(), TOLERANCE * parameters))
            picked = int(rng.choice(near))
        config = dict(self._pool[picked])
        width = float(self._most[picked] - self._least[picked])
        if not self._axes or width <= 0:
            return self.space.decode(config)
        weights, aim = rng.exponential(size=len(self._axes)), float(parameters)
        found: list[tuple[float, SubNetSpec]] = []
        for _ in range(ROUNDS):
            share = float(np.clip((aim - self._least[picked]) / width, 0, 1))
            spec = self.space.decode({**config, **self._solved(share, weights, config)})
            missing = parameters - float(self.costs.parameters(self.costs.arrays([spec]))[0])
            found.append((abs(missing), spec))
            if abs(missing) <= TOLERANCE / 2 * parameters:
                break
            aim += missing
        return min(found, key=lambda one: one[0])[1]

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
        found = {}
        for name in self._axes:
            domain: Any = self.space.space[name]
            values = sorted(domain.values) if isinstance(domain, Choice) else [domain.low, domain.high]
            found[name] = int(values[at])
        return found

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
        steps = np.array([self._step(name) for name in counted], dtype=float)
        whole = np.round(raw / steps) * steps
        for place in np.argsort(-np.abs(raw - whole)):  # rounding adds up: correct where it was largest
            error = whole.sum() - wanted
            if abs(error) * 2 <= steps[place]:
                break
            whole[place] = np.clip(whole[place] - np.sign(error) * steps[place], 0, width[place])
        found |= {name: int(base + more) for name, base, more in zip(counted, least, whole, strict=True)}
        return found

    def _step(self, name: str) -> int:
        domain: Any = self.space.space[name]
        return 1 if isinstance(domain, Choice) else int(domain.step or 1)

    def _counts(self, name: str, config: Mapping[str, Any]) -> bool:
        """Whether an axis belongs to a layer that is kept."""
        _, _, layer = name.partition(".")
        kept = self.space.ranking[: int(config.get("depth", self.space.sizes.depth))]
        return not layer or int(layer) in kept

    def _made_grid(self, bins: int, rng: np.random.Generator) -> list[SubNetSpec]:
        inner = np.linspace(self.low, self.high, bins)[1:-1]
        found = [self.space.smallest, *(self.sized(float(size), rng) for size in inner), self.space.largest]
        return list(dict.fromkeys(found))
