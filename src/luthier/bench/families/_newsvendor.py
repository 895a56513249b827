"""The news-vendor who sets three prices: thirty customers in turn, each buying what pleases best and is in stock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from luthier.base.records import Card, Configuration, Evaluation, Objective
from luthier.bench._base import BaseBenchmark
from luthier.space.domains import Int
from luthier.space.space import Space

Array = NDArray[np.float64]
Matrix = tuple[tuple[int, int, int], ...]

CUSTOMERS, REPLICATIONS = 30, 10
STOCK, UNIT_COST, HIGHEST_PRICE = np.array([8.0, 6.0, 20.0]), 5.0, 20
PRICES = ("price_A", "price_B", "price_C")
#: What each product is worth at each time, as released: a random walk from (7, 7, 7).
WORTH = (
    (7, 7, 7), (7, 5, 7), (5, 5, 9), (4, 7, 9), (5, 7, 11), (5, 7, 10), (6, 9, 10), (4, 10, 11), (5, 11, 10),
)  # fmt: skip
#: Highest profit at each time, found by trying all 9 261 prices.
HIGHEST = (182.6, 168.2, 214.0, 228.8, 308.9, 271.2, 299.0, 336.9, 309.8)

# L'Ecuyer's combined multiple recursive generator: two moduli, and the matrices of one step
_MODULI = (4294967087, 4294944443)
_STEPS: tuple[Matrix, Matrix] = (
    ((0, 1, 0), (0, 0, 1), (-810728, 1403580, 0)),
    ((0, 1, 0), (0, 0, 1), (-1370589, 0, 527612)),
)
_SEED = (12345, 12345, 12345)
_JUMPS = (141, 94, 47)  # steps from one stream, substream and sub-substream to the next, as powers of two


def uniforms(stream: tuple[int, int, int]) -> Iterator[float]:
    """Random numbers in (0, 1) from the start of a stream, substream and sub-substream.

    Source: L'Ecuyer 1999 (MRG32k3a); the streams of L'Ecuyer, Simard, Chen, Kelton 2002, and of the package mrg32k3a
        for the third level.
    """
    states = []
    for step, modulus in zip(_STEPS, _MODULI, strict=True):
        state = _SEED
        for count, power in zip(stream, _JUMPS, strict=True):
            jump = step
            for _ in range(power):
                jump = _product(jump, jump, modulus)
            for _ in range(count):
                state = _applied(jump, state, modulus)
        states.append(state)
    first, second = states
    while True:
        first, second = (_applied(m, s, p) for m, s, p in zip(_STEPS, (first, second), _MODULI, strict=True))
        apart = (first[2] - second[2]) % _MODULI[0]
        yield (apart or _MODULI[0]) / (_MODULI[0] + 1)


def _product(a: Matrix, b: Matrix, modulus: int) -> Matrix:
    rows = range(3)
    return tuple(tuple(sum(a[i][k] * b[k][j] for k in rows) % modulus for j in rows) for i in rows)  # type: ignore[misc]


def _applied(a: Matrix, x: tuple[int, int, int], modulus: int) -> tuple[int, int, int]:
    return tuple(sum(p * q for p, q in zip(row, x, strict=True)) % modulus for row in a)  # type: ignore[return-value]


def whims(source: Iterator[float], replications: int) -> Array:
    """What each customer feels about each product beside its worth: Gumbel numbers of mean 0; (r, customers, 3)."""
    drawn = np.array([next(source) for _ in range(replications * CUSTOMERS * 3)])
    found: Array = (-np.euler_gamma - np.log(-np.log(drawn))).reshape(replications, CUSTOMERS, 3)
    return found


@cache
def _usual() -> Array:
    return whims(uniforms((1, 2, 3)), REPLICATIONS)


def profits(prices: Array, worth: Sequence[float], felt: Array) -> Array:
    """Profit of n price lists in each of r replications.

    Args:
        prices: (n, 3) prices.
        worth: (3,) what the products are worth to everybody; half the price is taken off.
        felt: (r, customers, 3) of `whims`.

    Returns:
        (n, r) profits: what was sold at its price, less the cost of all that was in stock.
    """
    utility = np.asarray(worth, dtype=float) - prices / 2
    stock = np.tile(STOCK, (len(prices), len(felt), 1))
    for customer in range(felt.shape[1]):
        tempting = np.where(stock > 0, utility[:, None] + felt[None, :, customer], -np.inf)
        chosen = tempting.argmax(axis=-1)[..., None]
        buys = np.take_along_axis(tempting, chosen, axis=-1) > 0
        np.put_along_axis(stock, chosen, np.take_along_axis(stock, chosen, axis=-1) - buys, axis=-1)
    sold = STOCK - stock
    found: Array = (sold * prices[:, None]).sum(axis=-1) - UNIT_COST * STOCK.sum()
    return found


class NewsVendor(BaseBenchmark):
    """Prices of three products at one time; the mean profit of ten simulated days, always the same ones.

    Args:
        time: From 1 to 9.

    Attributes:
        order: The time.

    Source: `DynamNewsMaxProfit` of simoptlib 1.0.1 as called by Hellan et al. 2023 (GitHub sighellan/syne-tune), with
        the same random numbers: stream (1, 2, 3) without a jump between replications.
    Differs: nothing known. At all nine times the highest of the 9 261 profits equals the best value that the published
        runs ever reached.
    Cost: 1 ms for one configuration, 20 us each in large batches.
    """

    def __init__(self, time: int) -> None:
        self.order = float(time)
        self._worth = WORTH[time - 1]
        self.space = Space({name: Int(0, HIGHEST_PRICE) for name in PRICES})
        self.objectives = (Objective("profit", "max"),)
        items = float(STOCK.sum())
        # nothing sold; everything sold at the highest price
        self.bounds = {"profit": (-UNIT_COST * items, (HIGHEST_PRICE - UNIT_COST) * items)}
        self.card = Card(
            f"othpo/newsvendor/{time}",
            "GitHub sighellan/syne-tune, branch othpo-results, commit 1647d4ea766e (constants); simulated here",
            "Apache-2.0",
            optimum={"profit": HIGHEST[time - 1]},
            description="Mean profit of a news-vendor over ten simulated days, one of nine times in order.",
        )

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        prices = np.array([[config[name] for name in PRICES] for config in configs], dtype=float).reshape(-1, 3)
        means = profits(prices, self._worth, _usual()).mean(axis=1)
        return [Evaluation({"profit": mean}) for mean in means.tolist()]
