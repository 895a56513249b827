"""What growth is worth: how many times fewer tokens a grown model needs, and how well that is known.

Source: read from the curves of the warmstarting paper (1.48 at 10 and 1.30 at 20 tokens per parameter for growth 1.74,
    none by growth 8). That is the best that was published, so the prior is wide: see `Gain`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.base.checks import check
from luthier.grow.laws import ScalingLaw
from luthier.grow.ledger import Entry

PRIOR = (0.48, 0.69)  # gain at g = 1.74 and 10 tokens per parameter, and the power with which it falls
BEST = 1.74  # growth factor of the published curves
NONE = 8.0  # growth factor from which no gain was ever found
SOURCE = (10.0, 30.0)  # tokens per parameter of the published sources
NEAR = 0.05  # a run whose prior gain is smaller says nothing about its size
LEAST = 0.2  # a grown run is worth at least so many times its tokens: nothing seen was worse
PRIOR_SPREAD = 0.5  # published gains are those of the best settings; half of them is as likely as half more
FAR = 0.5  # spread for each octave between a growth factor and the nearest of one's own runs
SEED_GAIN = 0x6A15

SpeedUp = Callable[[float, float], float]  # (growth factor, tokens per parameter) -> times


def speed_up(growth: float, per_parameter: float) -> float:
    """The prior: how many times fewer tokens a grown model needs to a loss; 1 at growth 1, and from growth 8 on.

    1 + 0.48 (10 / (D/N))^0.69 w(g). w is 1 at g = 1.74 and falls linearly in log g to 0 at g = 8, as read from the
    paper's curves: 1.48 and 1.30 at 10 and 20 tokens per parameter. Below 1.74 nothing was published; w falls linearly
    in log g to 0 at g = 1, where a grown model is its source.
    """
    check("growth", growth, above=1)
    check("per_parameter", per_parameter, above=0)
    gain, power = PRIOR
    near, far = math.log(growth) / math.log(BEST), math.log(NONE / growth) / math.log(NONE / BEST)
    return float(1 + gain * (10 / per_parameter) ** power * max(0.0, min(near, far)))


def ripeness(per_parameter: float) -> float:
    """What part of a gain a source gives that saw so many tokens per parameter.

    All of it from 10 on, the least of the published sources; below in proportion, since one that was not trained is
    worth nothing. Beyond 30 nothing was published, and no more is expected.
    """
    return min(1.0, per_parameter / SOURCE[0])


@dataclass(frozen=True)
class Gain:
    """The prior's gain times a factor that is known only so well.

    Args:
        scale: The factor's middle; 1 is the prior.
        spread: Its standard deviation for one more run.
        seen: Growth factors of one's own runs; far from all of them the spread widens by `FAR` an octave.
    """

    scale: float = 1.0
    spread: float = PRIOR_SPREAD
    seen: tuple[float, ...] = ()

    def __call__(self, growth: float, per_parameter: float) -> float:
        """How many times fewer tokens, in the middle."""
        return max(LEAST, 1 + self.scale * (speed_up(growth, per_parameter) - 1))

    def draws(self, growth: float, per_parameter: float, count: int) -> np.ndarray:
        """The same as it may turn out: (count,), equal from call to call."""
        far = min((abs(math.log2(growth / g)) for g in self.seen), default=0.0)
        rng = np.random.default_rng([count, SEED_GAIN])
        scales = self.scale + math.hypot(self.spread, FAR * far) * rng.standard_normal(count)
        return np.maximum(LEAST, 1 + scales * (speed_up(growth, per_parameter) - 1))


def fit_gain(entries: Sequence[Entry], law: ScalingLaw) -> Gain | None:
    """The prior scaled to grown runs of one's own; None where there are none with a loss.

    For each grown run: the tokens that the law asks of a run from scratch to its loss, over its own tokens. The median
    ratio to the prior's gain is the scale. One run leaves the prior's spread; more have their own. A source that is in
    the ledger counts with its tokens (`ripeness`).
    """
    scales, growths = [], set()
    sources = {e.run: e for e in entries}
    for entry in entries:
        if entry.growth is None or entry.loss is None or entry.growth <= 1 or not entry.tokens or not entry.size:
            continue
        own = _tokens_to(law, entry.size, entry.loss)
        source = sources.get(entry.source)
        ripe = ripeness((source.tokens + source.before) / source.size) if source is not None and source.size else 1.0
        prior = ripe * (speed_up(entry.growth, entry.tokens / entry.size) - 1)
        if own is not None and prior > NEAR:
            scales.append((own / entry.tokens - 1) / prior)
            growths.add(float(entry.growth))
    if not scales:
        return None
    n = len(scales)
    spread = float(np.std(scales, ddof=1)) * math.sqrt(1 + 1 / n) if n > 1 else PRIOR_SPREAD
    return Gain(float(np.median(scales)), spread, tuple(sorted(growths)))


def _tokens_to(law: ScalingLaw, size: float, loss: float) -> float | None:
    """Tokens at which the law gives a loss; None where it never does."""
    low, high = 0.0, 60.0
    if law.loss(size, math.exp(high)) >= loss:
        return None
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if law.loss(size, math.exp(middle)) > loss else (low, middle)
    return math.exp(high)
