"""Two runs beside each other at equal cost: tokens, operations, or operations with the source charged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)


def compare(
    warm: Sequence[Mapping[str, Any]],
    cold: Sequence[Mapping[str, Any]],
    *,
    metric: str = "val_loss",
    equal: str = "tokens",
    base: float = 0.0,
    names: tuple[str, str] = ("warm", "cold"),
) -> dict[str, Any]:
    """Losses at shares of the cold run's cost, and the share at which the warm one reaches the cold one's final loss.

    Args:
        warm: Records of the grown run.
        cold: Records of the run from scratch.
        metric: What is compared; smaller is better.
        equal: "tokens", "flops", or "flops+base" (the source's operations are added to the warm run's).
        base: Operations of the source.
        names: What the two are called in words.

    Returns:
        `shares`, `warm`, `cold` (NaN before the first and after the last measurement), `reached` (share of the cold
        run's cost; None: never), `words`.

    Raises:
        ArgumentError: a metric that was not measured twice, or a source to be charged whose cost is not given.
    """
    check("equal", equal, one_of=("tokens", "flops", "flops+base"))
    check("base", base, at_least=0)
    if equal == "flops+base" and base == 0:
        raise ArgumentError(
            "equal='flops+base' with base=0: nothing would be charged. Allowed: the source's operations (--base X; the "
            "ledger has them as `flops` of the source's run), or equal='flops'."
        )
    over = "tokens" if equal == "tokens" else "flops"
    curves = []
    for name, records in zip(names, (warm, cold), strict=True):
        rows = [(float(r[over]), float(r[metric])) for r in records if metric in r and over in r]
        if len(rows) < 2:
            raise ArgumentError(f"{name}: {metric!r} was measured {len(rows)} times. Allowed: twice or more.")
        curves.append(np.array(rows))
    a, b = curves
    if equal == "flops+base":
        a[:, 0] += base
    whole = b[-1, 0]
    places = [share * whole for share in SHARES]
    left = [_at(a, x) for x in places]
    right = [_at(b, x) for x in places]
    reached = first_at(a, b[-1, 1])
    share = None if reached is None else reached / whole
    words = (
        f"{names[0]} never reaches {names[1]}'s {b[-1, 1]:.4f}"
        if share is None
        else f"{names[0]} reaches {names[1]}'s final {b[-1, 1]:.4f} at {share:.0%} of its {equal}"
    )
    return {"shares": list(SHARES), "warm": left, "cold": right, "reached": share, "words": words}


def _at(curve: np.ndarray, x: float) -> float:
    if x < curve[0, 0] - 1e-9 or x > curve[-1, 0] * (1 + 1e-9):
        return math.nan
    return float(np.interp(x, curve[:, 0], curve[:, 1]))


def first_at(curve: np.ndarray, level: float) -> float | None:
    """Where a curve first falls to a level, between measurements by a straight line; None: it never does.

    Args:
        curve: (n, 2): cost and loss.
        level: The loss.
    """
    for i, (x, y) in enumerate(curve):
        if y <= level:
            if i == 0:
                return float(x)
            x0, y0 = curve[i - 1]
            return float(x0 + (x - x0) * (y0 - level) / (y0 - y))
    return None
