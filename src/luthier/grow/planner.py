"""The planner: scratch, or grow once or twice, ranked by predicted loss; "do not grow" is an answer.

A grown run is a run from scratch whose tokens count more: `s(g, D/N)` times, falling to 1 with the growth factor, with
tokens per parameter, and with a source that is hardly trained (`gains.py`). s is uncertain, and so is the law;
intervals and the chance to end below scratch hold both, and growing is advised only where that chance is good.

Source: the break-even rule 1/s + 1/g^2 < 1 at equal tokens per parameter; the growth point (20 tokens per parameter of
    the source, factor 2) where no law is fitted: derived here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.grow.gains import SOURCE, Gain, SpeedUp, ripeness
from luthier.grow.laws import ScalingLaw

FACTORS = (1.5, 2.0, 3.0, 4.0)  # growth factors that are tried
SOURCE_TOKENS = 20.0  # per parameter of a source that has still to be trained
SURE = 0.75  # least probability to end below scratch with which growing is advised: a source costs real money


@dataclass(frozen=True)
class Stage:
    """One run of a schedule: size in parameters, tokens, growth factor (None: from scratch), and whether it is sunk."""

    size: float
    tokens: float
    growth: float | None
    sunk: bool = False

    @property
    def flops(self) -> float:
        """6 N D."""
        return 6 * self.size * self.tokens


@dataclass(frozen=True)
class Schedule:
    """A way to spend the budget.

    Args:
        name: "scratch", "grow 2", "grow 2 x 2".
        stages: Runs in order.
        loss: Predicted final loss.
        low: Lower end of the 80 % interval.
        high: Upper end.
        beats_scratch: Probability that it ends lower than the best run from scratch of the same budget.
        flops: To be spent (what is sunk is left out).
        charged: With what is sunk.
        seconds: At the rate given; NaN without one.
    """

    name: str
    stages: tuple[Stage, ...]
    loss: float
    low: float
    high: float
    beats_scratch: float
    flops: float
    charged: float
    seconds: float


@dataclass(frozen=True)
class Plan:
    """Schedules, best first, and the advice.

    Args:
        schedules: By predicted loss.
        advice: In words; begins with "Grow" or "Do not grow".
        grows: Whether growing is advised.
        notes: What was left out, and what is far from all that was published.
    """

    schedules: tuple[Schedule, ...]
    advice: str
    grows: bool
    notes: tuple[str, ...] = ()


def make_plan(
    law: ScalingLaw,
    *,
    size: float,
    flops: float | None = None,
    tokens: float | None = None,
    checkpoints: Sequence[Stage] = (),
    factors: Sequence[float] = FACTORS,
    stages: int = 2,
    gain: Gain | SpeedUp | None = None,
    rate: float | None = None,
    force: bool = False,
) -> Plan:
    """Rank schedules for a target.

    Args:
        law: Fitted to runs from scratch.
        size: The target's parameters.
        flops: Budget in operations; or
        tokens: for the target's own run, from scratch.
        checkpoints: Models that are there: their cost is sunk.
        factors: Growth factors for sources that would have to be trained.
        stages: Most growths, 0 to 3.
        gain: What growth is worth; None: the prior. A function of growth factor and tokens per parameter is taken
            for certain.
        rate: Operations per second, measured; for the hours.
        force: Extrapolate far.

    Raises:
        ArgumentError: no budget, or both; a number that is not above 0; or a frontier, which does not know sizes.
    """
    check("size", size, above=0)
    if (flops is None) == (tokens is None):
        raise ArgumentError(f"plan: flops={flops!r}, tokens={tokens!r}. Allowed: one of the two.")
    if law.form != "chinchilla":
        raise ArgumentError(
            "plan: needs a law of size and tokens. Allowed: six runs or more, of three sizes and counts."
        )
    for name, given in (("flops", flops), ("tokens", tokens), ("rate", rate)):
        if given is not None:
            check(name, given, above=0)
    for have in checkpoints:
        check("checkpoints: size", have.size, above=0)
        check("checkpoints: tokens", have.tokens, above=0)
    for factor in factors:
        check("factors", factor, above=1)
    stages = check("stages", stages, at_least=0, at_most=3, whole=True)
    budget = float(flops if flops is not None else 6 * size * float(tokens or 0))
    scratch = Stage(size, budget / 6 / size, None)
    law.predict(scratch.size, scratch.tokens, force=force)
    base = law.samples(scratch.size, scratch.tokens)
    chains = [(scratch,), *_chains(size, budget, checkpoints, factors, stages)]
    found = [_schedule(law, chain, base, gain or Gain(), rate) for chain in chains]
    found.sort(key=lambda s: s.loss)
    return Plan(tuple(found), *_advice(found, law), tuple(_notes(size, checkpoints)))


def _notes(size: float, checkpoints: Sequence[Stage]) -> Iterator[str]:
    least, most = SOURCE
    for have in checkpoints:
        factor, per = size / have.size, have.tokens / have.size
        what = f"the model of {have.size:.3g} parameters that is there"
        if not 1 < factor <= 8:
            yield f"{what}: growth by {factor:.3g} is not considered. Allowed: above 1, at most 8."
        elif per < least:
            yield (
                f"{what} saw {per:.3g} tokens per parameter; published sources saw {least:g} to {most:g}. Its gain is "
                f"taken as {ripeness(per):.2g} of theirs."
            )
        elif per > most:
            yield (
                f"{what} saw {per:.3g} tokens per parameter; published sources saw {least:g} to {most:g}. Its gain is "
                "taken as theirs, and is not known."
            )


def _chains(
    size: float, budget: float, checkpoints: Sequence[Stage], factors: Sequence[float], stages: int
) -> Iterator[tuple[Stage, ...]]:
    for have in checkpoints:
        factor = size / have.size
        if 1 < factor <= 8 and stages >= 1:
            source = Stage(have.size, have.tokens, have.growth, sunk=True)
            yield (source, Stage(size, budget / 6 / size, factor))
    for count in range(1, stages + 1):
        for factor in factors:
            first = size / factor**count
            chain = [Stage(first, SOURCE_TOKENS * first, None)]
            chain += [Stage(first * factor**i, SOURCE_TOKENS * first * factor**i, factor) for i in range(1, count)]
            left = budget - sum(stage.flops for stage in chain)
            if left > 0.1 * budget:
                yield (*chain, Stage(size, left / 6 / size, factor))


def _schedule(
    law: ScalingLaw, chain: tuple[Stage, ...], scratch: np.ndarray, gain: Gain | SpeedUp, rate: float | None
) -> Schedule:
    last, times, drawn = chain[-1], 1.0, np.ones(len(scratch))
    if last.growth is not None:
        per, ripe = last.tokens / last.size, ripeness(chain[-2].tokens / chain[-2].size)
        times = gain(last.growth, per)
        drawn = gain.draws(last.growth, per, len(scratch)) if isinstance(gain, Gain) else times * drawn
        times, drawn = 1 + ripe * (times - 1), 1 + ripe * (drawn - 1)
    worth = last.tokens * times
    values = law.samples(last.size, last.tokens * drawn)
    low, high = np.quantile(values, [0.1, 0.9])
    spent = sum(stage.flops for stage in chain if not stage.sunk)
    grown = [stage for stage in chain if stage.growth is not None and not stage.sunk]
    name = "scratch" if not grown else f"grow {' x '.join(f'{s.growth:.3g}' for s in grown)}"
    name += ", from what is there" if chain[0].sunk else ""
    beats = 0.0 if last.growth is None else float((values < scratch).mean())
    return Schedule(
        name=name,
        stages=chain,
        loss=law.loss(last.size, worth),
        low=float(low),
        high=float(high),
        beats_scratch=beats,
        flops=spent,
        charged=sum(stage.flops for stage in chain),
        seconds=spent / rate if rate else float("nan"),
    )


def _advice(found: Sequence[Schedule], law: ScalingLaw) -> tuple[str, bool]:
    scratch = next(s for s in found if s.name == "scratch")
    ahead = [s for s in found if scratch.loss - s.loss >= 0.002]
    if not ahead:
        return f"Do not grow: no schedule is predicted below scratch ({scratch.loss:.3f}) by more than 0.002.", False
    sure = [s for s in ahead if s.beats_scratch >= SURE]
    if not sure:
        best = max(ahead, key=lambda s: s.beats_scratch)
        return (
            f"Do not grow: the likeliest to end below scratch ({scratch.loss:.3f}) is {best.name}, with a probability "
            f"of {best.beats_scratch:.2f}; {SURE} are asked for. Grown runs in the ledger narrow this."
        ), False
    best = sure[0]
    words = f"{best.name}: {best.loss:.3f} against {scratch.loss:.3f} from scratch"
    words += f", below it with a probability of {best.beats_scratch:.2f}"
    if best.stages[0].sunk:
        full = best.charged / scratch.charged
        again = law.loss(scratch.stages[-1].size, scratch.stages[-1].tokens * full)
        charged = "still ahead" if best.loss < again else "not ahead"
        return f"Grow ({words}); with the source charged too it is {charged} of a scratch run of that cost.", True
    return f"Grow ({words}), every stage charged.", True
