"""The bars of checks 9 to 14 in words: what the medians say, and whether seeds drawn anew could say otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from _shrink_report import Cells

Row = dict[str, Any]
MOST = 0.8  # of the seeds: 4 of 5


def told(cells: Cells) -> str:
    """A line for each check that the cells can answer."""
    found = [check(cells) for check in (ordered, beside_magnitude, shared_steps, searched, ranked, unharmed, sampled)]
    return "\n".join(f"- {line}" for line in found if line)


def _won(gaps: np.ndarray) -> str:
    return f"{int((gaps > 0).sum())} of {len(gaps)} seeds"


def _drawn(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, and the 95 % interval of medians of seeds drawn anew."""
    kept = np.asarray(values, dtype=float)
    draws = np.median(np.random.default_rng(0).choice(kept, size=(4000, len(kept))), axis=1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(np.median(kept)), float(low), float(high)


def _against(value: tuple[float, float, float], bar: float, *, above: bool, fits: bool = True) -> str:
    """On which side of a bar the median lies, and whether the whole interval does."""
    middle, low, high = value
    good = middle >= bar if above else middle <= bar
    sure = low >= bar or high < bar if above else high <= bar or low > bar
    return ("passes" if good and fits else "fails") + ("" if sure else ", though its interval reaches over the bar")


def ordered(cells: Cells) -> str:
    """Check 9: an order by importance beside none, without training."""
    rows = cells.by.get("untrained", {})
    if not rows:
        return ""
    gaps = np.array(
        [r["methods"]["none"]["cut"]["loss"] - r["methods"]["activation"]["cut"]["loss"] for r in rows.values()]
    )
    word = "passes" if (gaps > 0).all() else "fails"
    return f"Check 9, order by activation below no order at 70 % without training: {_won(gaps)} (bar: all): {word}."


def _gaps(cells: Cells, other: str) -> np.ndarray:
    """Of the other's hypervolume, by seed."""
    own, theirs = cells.volume("shared"), cells.volume(other)
    return np.array([own[s] / theirs[s] - 1 for s in sorted(set(own) & set(theirs)) if theirs[s] > 0])


def beside_magnitude(cells: Cells) -> str:
    """Check 10, first part."""
    gaps = _gaps(cells, "alone/magnitude")
    if len(gaps) < 3:
        return ""
    value = _drawn(gaps)
    word = _against(value, 0.05, above=True, fits=(gaps > 0).mean() >= MOST)
    shown = f"median {value[0]:+.1%} [{value[1]:+.1%}, {value[2]:+.1%}]"
    return (
        f"Check 10, hypervolume above magnitude pruning of each size at equal steps: {_won(gaps)}, {shown} (bars: 4 of "
        f"5, +5 %): {word}."
    )


def shared_steps(cells: Cells) -> str:
    """Check 10, second part: not worse than activation-ranked pruning that has three times the steps."""
    gaps = _gaps(cells, "alone/activation_x3")
    if len(gaps) < 3:
        return ""
    value = _drawn(gaps)
    shown = f"median {value[0]:+.1%} [{value[1]:+.1%}, {value[2]:+.1%}]"
    word = _against(value, -0.01, above=True)
    return (
        f"Check 10, beside activation-ranked pruning with three times the steps: {_won(gaps)}, {shown} (bar: -1 %): "
        f"{word}."
    )


def searched(cells: Cells) -> str:
    """Check 11."""
    rows = list(cells.by.get("searchers", {}).values())
    if not rows:
        return ""
    parts, fits = [], []
    for method in ("nsga2", "local"):
        gaps = np.array([r["searchers"][method]["100"] / r["searchers"]["random"]["100"] - 1 for r in rows])
        fits.append(bool((gaps > -0.01).all() and np.median(gaps) >= 0))
        parts.append(f"{method} {np.median(gaps):+.1%}, not worse by 1 % in {int((gaps > -0.01).sum())} of {len(gaps)}")
    word = "passes" if any(fits) else "fails"
    return f"Check 11, beside random search after 100: {'; '.join(parts)} (bar: one of the two, all seeds): {word}."


def ranked(cells: Cells) -> str:
    """Check 12."""
    rows = list(cells.by.get("fidelity", {}).values())
    if not rows:
        return ""
    value, size = _drawn([r["tau"] for r in rows]), float(np.median([r["tau_size"] for r in rows]))
    shown = f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
    return (
        f"Check 12, Kendall's tau of shared weights' loss with that of training alone: median {shown}, of size alone "
        f"{size:.3f} (bar: 0.7): {_against(value, 0.7, above=True)}."
    )


def unharmed(cells: Cells) -> str:
    """Check 13."""
    full, plain = cells.by.get("strategy/full", {}), cells.by.get("strategy/standard", {})
    seeds = sorted(set(full) & set(plain))
    if not seeds:
        return ""
    value = _drawn([full[s]["whole"]["loss"] / plain[s]["whole"]["loss"] - 1 for s in seeds])
    shown = f"{value[0]:+.2%} [{value[1]:+.2%}, {value[2]:+.2%}]"
    return (
        f"Check 13, the whole's loss against plain fine-tuning at equal steps: median {shown}, {len(seeds)} seeds (bar "
        f"+2 %): {_against(value, 0.02, above=False)}."
    )


def sampled(cells: Cells) -> str:
    """Check 14."""

    def mid(row: Row) -> float:
        return float(np.mean([cells.error(s["test"]) for s in row["subs"] if 0.3 <= s["share"] < 0.5]))

    plain, parts, fits = cells.by.get("strategy/standard", {}), [], []
    for option in ("random_linear", "ats", "random", "sandwich"):
        rows = cells.by.get(f"strategy/{option}", {})
        seeds = sorted(set(plain) & set(rows))
        if not seeds:
            continue
        gaps = np.array([mid(plain[s]) - mid(rows[s]) for s in seeds])
        fits.append((gaps > 0).mean() >= MOST)
        parts.append(f"{option} in {_won(gaps)}")
    if not parts:
        return ""
    word = "passes" if all(fits) and len(parts) == 4 else "fails" if len(parts) == 4 else "so far"
    return (
        f"Check 14, training without sub-networks is worse at 30 to 50 % than {', '.join(parts)} (bar: 4 of 5): {word}."
    )
