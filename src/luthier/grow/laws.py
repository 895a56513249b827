"""Scaling laws: loss as a function of size and tokens, with intervals that come from refits, not from formulas.

    chinchilla   L(N, D) = E + A N^-a + B D^-b        three sizes and three token counts
    frontier     L(C) = E + c C^-p                    compute alone, for smaller designs ("indicative")

Fitted by Huber's loss (delta 1e-3) on log L, from a grid of starts; bootstrap over runs for intervals.

Source: Hoffmann et al. 2022 for the law and its fit; bootstrap intervals in place of parameter tables, for single fits
    of few runs differ in E by half a nat at equal loss.
Differs: residuals resampled around the fit (with their spread inflated for the parameters spent), for cases resampled
    from ten runs often lose a whole size.
Cost: starts x (bootstrap + 1) small fits; about a second for 200 refits of 12 runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.seeds import check_seed

DELTA = 1e-3  # Huber's bend, in log loss: Hoffmann et al.
SCALE = 1e6  # of the cost, so that the optimiser's own tolerances are far below what matters
FAR = 10.0  # compute beyond the largest run that is refused without force
SEED_BOOTSTRAP = 31


@dataclass(frozen=True)
class Point:
    """One finished run: size (parameters), tokens, and loss in nats."""

    size: float
    tokens: float
    loss: float

    @property
    def flops(self) -> float:
        """6 N D."""
        return 6 * self.size * self.tokens


@dataclass(frozen=True)
class Prediction:
    """A loss with its interval.

    Args:
        loss: By the fit of all runs.
        low: Lower end.
        high: Upper end.
        share: Probability of the interval.
    """

    loss: float
    low: float
    high: float
    share: float


@dataclass(frozen=True)
class ScalingLaw:
    """A fitted law.

    Args:
        form: "chinchilla" or "frontier".
        theta: Its numbers: (log A, log B, log E, a, b), or (log c, log E, p).
        draws: (bootstrap, numbers): the same of refits.
        noise: Standard deviation of log loss around the law.
        points: What it was fitted to.
        label: "" or "indicative": the design is too small for the law that was asked for.
        warnings: What speaks against it.
    """

    form: str
    theta: tuple[float, ...]
    draws: np.ndarray = field(repr=False)
    noise: float
    points: tuple[Point, ...] = field(repr=False)
    label: str = ""
    warnings: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        points: Sequence[Point],
        *,
        form: str = "chinchilla",
        bootstrap: int = 500,
        seed: int = 0,
        strict: bool = False,
    ) -> ScalingLaw:
        """Fit a law.

        Args:
            points: Finished runs.
            form: "chinchilla" or "frontier".
            bootstrap: Refits for intervals.
            seed: Of the resampling.
            strict: Refuse a design that is too small, where otherwise the frontier is fitted and labelled.

        Raises:
            ArgumentError: fewer than five runs (three distinct ones for a frontier), or losses that are not positive.
        """
        check("form", form, one_of=("chinchilla", "frontier"))
        bootstrap = check("bootstrap", bootstrap, at_least=0, whole=True)
        _check(points)
        label = ""
        sizes, tokens = len({p.size for p in points}), len({p.tokens for p in points})
        if form == "chinchilla" and (sizes < 3 or tokens < 3 or len(points) < 6):
            words = (
                f"{len(points)} runs of {sizes} sizes and {tokens} token counts. Allowed: 6, of 3 sizes and 3 counts"
            )
            if strict or len({p.flops for p in points}) < 3:
                raise ArgumentError(f"law: {words}, or form='frontier' with three computes.")
            form, label = "frontier", "indicative"
        if form == "frontier" and len({p.flops for p in points}) < 3:
            raise ArgumentError("law: runs of fewer than three computes. Allowed: three or more.")
        theta = _fit(points, form, _starts(points, form))
        spread = np.log([p.loss for p in points]) - _log_loss(theta, points, form)
        left = max(len(points) - len(theta), 1)
        noise = float(np.sqrt((spread**2).sum() / left))
        draws = _bootstrap(points, form, theta, noise, bootstrap, check_seed(seed))
        found = cls(form, tuple(theta), draws, noise, tuple(points), label)
        return cls(form, tuple(theta), draws, noise, tuple(points), label, tuple(_warnings(found)))

    def loss(self, size: float, tokens: float) -> float:
        """The law's value."""
        return float(np.exp(_log_loss(np.asarray(self.theta), [Point(size, tokens, 1.0)], self.form)[0]))

    def predict(self, size: float, tokens: float, *, share: float = 0.8, force: bool = False) -> Prediction:
        """The loss of one more run: uncertainty of the law and the run's own noise.

        Args:
            size: Parameters.
            tokens: Tokens.
            share: Probability of the interval.
            force: Extrapolate beyond ten times the largest run's compute.

        Raises:
            ArgumentError: too far, without force.
        """
        check("share", share, above=0, below=1)
        largest = max(p.flops for p in self.points)
        if 6 * size * tokens > FAR * largest and not force:
            raise ArgumentError(
                f"predict: {6 * size * tokens / largest:.3g} times the largest run's compute. Allowed: up to {FAR:g} "
                "times; force it, knowing that intervals are too narrow there."
            )
        values = self.samples(size, tokens)
        low, high = np.quantile(values, [(1 - share) / 2, (1 + share) / 2])
        return Prediction(self.loss(size, tokens), float(low), float(high), share)

    def samples(self, size: float, tokens: float | np.ndarray) -> np.ndarray:
        """Losses of one more run by every refit, each with noise: (draws,). Tokens may differ from refit to refit."""
        each = np.broadcast_to(tokens, (len(self.draws),))
        logs = np.array(
            [_log_loss(theta, [Point(size, float(t), 1.0)], self.form)[0]
             for theta, t in zip(self.draws, each, strict=True)]
        )  # fmt: skip
        rng = np.random.default_rng([len(self.draws), SEED_BOOTSTRAP, 1])
        return np.exp(logs + self.noise * rng.standard_normal(len(logs)))

    @property
    def numbers(self) -> dict[str, float]:
        """The law's numbers by name."""
        t = self.theta
        if self.form == "frontier":
            return {"E": math.exp(t[1]), "c": math.exp(t[0]), "p": float(t[2])}
        return {"E": math.exp(t[2]), "A": math.exp(t[0]), "a": float(t[3]), "B": math.exp(t[1]), "b": float(t[4])}

    def best_size(self, flops: float) -> tuple[float, float]:
        """Size and tokens of the least loss at a compute of 6 N D.

        Raises:
            ArgumentError: a frontier does not say.
        """
        if self.form != "chinchilla":
            raise ArgumentError("best_size: a frontier does not part compute into size and tokens.")
        log_a, log_b, _, a, b = self.theta
        size = ((a * math.exp(log_a)) / (b * math.exp(log_b)) * (flops / 6) ** b) ** (1 / (a + b))
        return size, flops / 6 / size

    def data(self) -> dict[str, Any]:
        """As JSON, refits included."""
        return {
            "form": self.form,
            "theta": list(self.theta),
            "draws": self.draws.tolist(),
            "noise": self.noise,
            "points": [[p.size, p.tokens, p.loss] for p in self.points],
            "label": self.label,
            "warnings": list(self.warnings),
            "numbers": self.numbers,
        }

    @classmethod
    def of(cls, data: dict[str, Any]) -> ScalingLaw:
        """From JSON."""
        points = tuple(Point(*p) for p in data["points"])
        return cls(
            data["form"], tuple(data["theta"]), np.asarray(data["draws"]), data["noise"], points, data["label"],
            tuple(data["warnings"]),
        )  # fmt: skip


def _check(points: Sequence[Point]) -> None:
    for p in points:
        if not all(math.isfinite(v) and v > 0 for v in (p.size, p.tokens, p.loss)):
            raise ArgumentError(f"law: run {p}. Allowed: positive sizes, tokens and losses; leave diverged runs out.")
    if len(points) < 3:
        raise ArgumentError(f"law: {len(points)} runs. Allowed: three or more, six for a law of size and tokens.")


def _log_loss(theta: np.ndarray, points: Sequence[Point], form: str) -> np.ndarray:
    if form == "frontier":
        log_c, log_e, p = theta
        x = np.log([q.flops for q in points])
        return np.asarray(np.logaddexp(log_c - p * x, log_e))
    log_a, log_b, log_e, a, b = theta
    n, d = np.log([q.size for q in points]), np.log([q.tokens for q in points])
    return np.asarray(logsumexp([log_a - a * n, log_b - b * d, np.full(len(n), log_e)], axis=0))


def _starts(points: Sequence[Point], form: str) -> list[np.ndarray]:
    low = math.log(min(p.loss for p in points))
    if form == "frontier":
        x = math.log(np.median([p.flops for p in points]))
        return [np.array([low - 1 + p * x, low + e, p]) for p in (0.05, 0.15, 0.4) for e in (-2.0, -0.5, -0.1)]
    n, d = (math.log(np.median([getattr(p, w) for p in points])) for w in ("size", "tokens"))
    return [
        np.array([low - 1.5 + a * n, low - 1.5 + b * d, low + e, a, b])
        for a in (0.2, 0.5)
        for b in (0.2, 0.5)
        for e in (-1.5, -0.3)
    ]


def _fit(points: Sequence[Point], form: str, starts: Sequence[np.ndarray]) -> np.ndarray:
    """Least Huber loss over the starts; sizes are centred while fitting, for the numbers' sake."""
    wanted = np.log([p.loss for p in points])
    axes = [[p.flops for p in points]] if form == "frontier" else [[p.size for p in points], [p.tokens for p in points]]
    x = np.log(np.asarray(axes, dtype=float))  # (axes, runs)
    middle = x.mean(axis=1)
    x = x - middle[:, None]
    k = len(x)  # theta: k logarithms of factors, log E, k exponents

    def cost(theta: np.ndarray) -> tuple[float, np.ndarray]:
        terms = np.vstack([theta[:k, None] - theta[k + 1 :, None] * x, np.full(x.shape[1], theta[k])])
        top = terms.max(axis=0)
        parts = np.exp(terms - top)
        total = parts.sum(axis=0)
        away = wanted - top - np.log(total)
        far = np.abs(away)
        value = np.where(far <= DELTA, 0.5 * away**2, DELTA * (far - 0.5 * DELTA)).sum()
        pull = np.clip(away, -DELTA, DELTA) * parts / total  # (k + 1, runs)
        slope = np.concatenate([-pull.sum(axis=1), (pull[:k] * x).sum(axis=1)])
        return float(value * SCALE), slope * SCALE

    bounds = [*[(None, None)] * k, (None, float(wanted.min())), *[(1e-3, 3.0)] * k]
    best, least = starts[0], np.inf
    for start in starts:
        moved = start.copy()
        moved[:k] -= moved[k + 1 :] * middle
        moved[k] = min(moved[k], float(wanted.min()))
        found = minimize(cost, moved, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 300})
        if found.fun < least:
            least, best = float(found.fun), found.x.copy()
            best[:k] += best[k + 1 :] * middle
    return np.asarray(best)


def _bootstrap(
    points: Sequence[Point], form: str, theta: np.ndarray, noise: float, count: int, seed: int
) -> np.ndarray:
    rng = np.random.default_rng([seed, SEED_BOOTSTRAP])
    fitted = _log_loss(theta, points, form)
    draws = []
    for _ in range(count):
        losses = np.exp(fitted + noise * rng.standard_normal(len(points)))
        again = [Point(p.size, p.tokens, float(loss)) for p, loss in zip(points, losses, strict=True)]
        draws.append(_fit(again, form, [theta]))
    return np.array(draws) if draws else theta[None]


def _warnings(law: ScalingLaw) -> list[str]:
    found = []
    lows, highs = np.quantile(law.draws, [0.1, 0.9], axis=0)
    e = 1 if law.form == "frontier" else 2
    least = min(p.loss for p in law.points)
    if math.exp(highs[e]) - math.exp(lows[e]) > 0.3 * least:
        found.append(f"the floor E is not known: {math.exp(lows[e]):.2f} to {math.exp(highs[e]):.2f} in 80 % of refits")
    for name, place in (("p", 2),) if law.form == "frontier" else (("a", 3), ("b", 4)):
        if law.theta[place] <= 2e-3 or lows[place] <= 2e-3:
            found.append(f"exponent {name} is not told from zero: one of size and tokens does not matter in these runs")
    return found
