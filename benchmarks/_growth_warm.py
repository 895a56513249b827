"""Warm against cold: tables of paired differences, both accounts, and the pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _pictures import Line, draw

from luthier.grow.comparing import compare

Rows = list[dict[str, Any]]
SHARES = (0.25, 0.5, 1.0)


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % bootstrap interval."""
    draws = np.random.default_rng(0).choice(np.asarray(values, dtype=float), size=(4000, len(values))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(np.mean(values)), float(low), float(high)


def shown(values: Sequence[float]) -> str:
    """Mean [interval] of differences."""
    mean, low, high = interval(values)
    return f"{mean:+.4f} [{low:+.4f}, {high:+.4f}]"


def records(row: dict[str, Any]) -> list[dict[str, float]]:
    """A line's curve as the product's records."""
    cost = row["flops_per_token"]
    return [{"tokens": t, "flops": cost * t, "val_loss": v} for t, v in row["curve"] if v is not None]


def warm(found: Rows, place: Path) -> tuple[str, Any]:
    """By source: differences on the way, tokens to cold's losses, and both accounts."""
    every = {r["seed"]: r for r in found if r["arm"] == "cold"}
    one = found[0]
    per = one["tokens"] / one["inner"]
    lines = [
        "## Warm against cold (C12, C13, G3)",
        "",
        f"Target: {one['inner']:,} parameters outside of tables, {per:.0f} tokens for each, peak rate "
        f"2^{math.log2(one['lr']):.0f}. Source: as many tokens a parameter, the checkpoint before its cooldown; the "
        "target goes on with the text where the source stopped; moments are fresh, and every arm warms up alike. "
        "Differences are warm - cold of the same seed, nats. `reached`: at which share of cold's cost the warm run is "
        "at cold's final loss (tokens = operations when the source is there anyhow; `charged`: the source's operations "
        "are added). Lambda 0 is the cold start, bit for bit (a test).",
        "",
    ]
    data: dict[str, Any] = {"cold": {str(s): r["loss"] for s, r in every.items()}}
    for source in sorted({r["source"] for r in found}, reverse=True):
        cold = every | {r["seed"]: r for r in found if (r["source"], r["arm"]) == (source, "cold")}
        own = [r for r in found if r["source"] == source and r["arm"] != "cold" and r["seed"] in cold]
        if not own:
            continue
        lines += [f"### From width {source}: growth {own[0]['growth']:.2f}", ""]
        lines += [
            "| arm | seeds | at 25 % | at 50 % | at the end | reached | charged | to cold's loss at 50 % | ends |"
        ]
        lines += ["|" + "---|" * 9]
        data[str(source)] = {"growth": own[0]["growth"]}
        for arm in dict.fromkeys(r["arm"] for r in own):
            numbers = _arm([r for r in own if r["arm"] == arm], cold)
            data[str(source)][arm] = numbers
            lines.append(_line(arm, numbers))
        lines.append("")
        lines += _verdicts(source, data[str(source)])
        if source == 128:
            _draw(place / "warm.svg", own, cold)
            lines += ["![loss over tokens, warm and cold](growth/warm.svg)", ""]
    return "\n".join(lines), data


def _arm(own: Rows, cold: dict[int, dict[str, Any]]) -> dict[str, Any]:
    at: dict[float, list[float]] = {share: [] for share in SHARES}
    reached: dict[str, list[float]] = {"tokens": [], "charged": [], "half": []}
    for row in own:
        a, b = records(row), records(cold[row["seed"]])
        seen = compare(a, b)
        for share in SHARES:
            i = seen["shares"].index(share)
            at[share].append(seen["warm"][i] - seen["cold"][i])
        charged = compare(a, b, equal="flops+base", base=row["base_flops"])
        half = _cut(b, 0.5)
        to_half = compare(a, half)["reached"]
        reached["tokens"].append(seen["reached"] or math.inf)
        reached["charged"].append(charged["reached"] or math.inf)
        reached["half"].append(to_half or math.inf)
    return {
        "seeds": len(own), "differences": {str(k): v for k, v in at.items()},
        "reached": {k: [x if math.isfinite(x) else None for x in v] for k, v in reached.items()},
        "loss": float(np.mean([r["loss"] for r in own])),
    }  # fmt: skip


def _cut(curve: list[dict[str, float]], share: float) -> list[dict[str, float]]:
    """A run's records up to a share of its tokens."""
    end = share * curve[-1]["tokens"]
    return [r for r in curve if r["tokens"] <= end * 1.001]


def _line(arm: str, n: dict[str, Any]) -> str:
    cells = [shown(n["differences"][str(s)]) for s in SHARES]
    ends = [_share(n["reached"][k]) for k in ("tokens", "charged", "half")]
    return f"| {arm} | {n['seeds']} | " + " | ".join([*cells, *ends]) + f" | {n['loss']:.4f} |"


def _share(values: Sequence[float | None]) -> str:
    """Mean share over seeds that got there, and how many did not."""
    there = [v for v in values if v is not None]
    never = len(values) - len(there)
    if not there:
        return "never"
    mean, low, high = interval(there)
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]" + (f", {never} never" if never else "")


def _verdicts(source: int, data: dict[str, Any]) -> list[str]:
    """C12 and C13 as the specification words them."""
    found = []
    if source == 128 and "szp 0.4" in data:
        n = data["szp 0.4"]
        ahead = [sum(d < 0 for d in n["differences"][s]) for s in ("0.25", "0.5")]
        _, low, high = interval(n["differences"]["1.0"])
        half = [v if v is not None else math.inf for v in n["reached"]["half"]]
        fits = min(ahead) >= 0.8 * n["seeds"] and np.mean(n["differences"]["1.0"]) <= 0.005 and np.mean(half) <= 0.85
        unclear = low < 0.005 < high
        word = "passes" if fits and high <= 0.005 else "inconclusive" if unclear else "fails"
        found.append(
            f"C12 (lambda 0.4): lower than cold at 25 % in {ahead[0]} and at 50 % in {ahead[1]} of {n['seeds']} seeds, "
            f"end {shown(n['differences']['1.0'])}, cold's loss at half its tokens after {np.mean(half):.2f} of these: "
            f"{word}."
        )
    if source == 96 and "zeropad" in data:
        found.append(_order(data))
    if source == 64:
        arms = [k for k in data if isinstance(data[k], dict)]
        best = min(arms, key=lambda k: data[k]["loss"])
        mean, low, high = interval(data[best]["differences"]["1.0"])
        word = "a gain" if high < 0 else "a loss" if low > 0 else "no difference that is told from zero"
        found.append(
            f"Growth {data['growth']:.1f}, forced: {word} at the end even for the best arm ({best}, {mean:+.4f})."
        )
    return [*found, ""] if found else []


def _order(data: dict[str, Any]) -> str:
    """C13: shrink, pad and perturb is the best or level with it; padding alone ends at least 0.1 nats behind cold."""
    ends = {k: np.array(v["differences"]["1.0"]) for k, v in data.items() if isinstance(v, dict)}
    ranked = sorted(ends, key=lambda k: ends[k].mean())
    own = next(k for k in ranked if k.startswith("szp"))
    other = next(k for k in ranked if not k.startswith("szp"))
    _, low, high = interval(ends[own] - ends[other])
    order = "the best" if high < 0 else "behind" if low > 0 else "level"
    _, behind, at_most = interval(ends["zeropad"])
    fits = order != "behind" and behind >= 0.1
    word = "passes" if fits else "fails" if order == "behind" or at_most < 0.1 else "inconclusive"
    arms = ", ".join(f"{k} {ends[k].mean():+.4f}" for k in ranked)
    gap = shown(ends[own] - ends[other])
    return (
        f"C13: the arms at the end, cold 0: {arms}. {own} is {order} (minus {other}: {gap}); padding alone: "
        f"{shown(ends['zeropad'])} (bar: +0.1 above cold): {word}."
    )


def _draw(path: Path, own: Rows, cold: dict[int, dict[str, Any]]) -> None:
    lines = {}
    for arm in ("cold", "szp 0.2", "szp 0.4", "szp 1", "zeropad"):
        rows = list(cold.values()) if arm == "cold" else [r for r in own if r["arm"] == arm]
        curves = np.array([[v for _, v in r["curve"]] for r in rows], dtype=float)[:, 1:]
        tokens = [t / 1e6 for t, _ in rows[0]["curve"]][1:]
        error = 1.96 * curves.std(axis=0, ddof=1) / math.sqrt(len(curves)) if len(curves) > 1 else None
        lines[arm] = Line(tokens, curves.mean(axis=0), error)
    draw(path, lines, control="cold", x="tokens of the target, millions", y="validation loss, nats per byte")


def stability(found: Rows, place: Path) -> tuple[str, Any]:
    """Best rates, warm and cold."""
    grid = sorted({r["lr"] for r in found})
    seeds = sorted({r["seed"] for r in found})
    head = "| arm | " + " | ".join(f"2^{math.log2(lr):.0f}" for lr in grid) + " |"
    lines = [
        "## Is the best rate the same warm and cold (C14)",
        "",
        f"Growth 2.25, {found[0]['inner']:,} parameters, {len(seeds)} seeds.",
        "",
        head,
    ]
    lines += ["|" + "---|" * (len(grid) + 1)]
    best, table, every = {}, {}, {}
    for arm in ("cold", "szp 0.4"):
        every[arm] = np.array([[_finite(found, arm, seed, lr) for lr in grid] for seed in seeds])
        table[arm] = row = every[arm].mean(axis=0)
        best[arm] = int(row.argmin())
        values = [f"**{v:.4f}**" if i == best[arm] else f"{v:.4f}" for i, v in enumerate(row)]
        lines.append(f"| {arm} | " + " | ".join(values) + " |")
    apart, regret = _kept(table["cold"], table["szp 0.4"])
    alone = [_kept(cold, own) for cold, own in zip(every["cold"], every["szp 0.4"], strict=True)]
    fits = [_fits(*one) for one in ((apart, regret), *alone)]
    word = "passes" if all(fits) else "inconclusive" if any(fits) else "fails"
    each = ", ".join(f"{cells} and {lost:.4f}" for cells, lost in alone)
    lines += [
        "",
        f"{apart} cells apart; cold's best rate costs the warm run {regret:.4f} nats (seed by seed: {each}; bars: 1 "
        f"and 0.01; a verdict only where every seed has it): C14 {word}.",
        "",
    ]
    return "\n".join(lines), {"rates": grid, "best": best, "regret": regret, "verdict": word, "alone": alone,
                              "losses": {k: v.tolist() for k, v in table.items()}}  # fmt: skip


def _finite(found: Rows, arm: str, seed: int, lr: float) -> float:
    """A run's loss; infinity where it diverged."""
    [loss] = [r["loss"] for r in found if (r["arm"], r["seed"], r["lr"]) == (arm, seed, lr)]
    return math.inf if loss is None else float(loss)


def _kept(cold: np.ndarray, own: np.ndarray) -> tuple[int, float]:
    """How many cells the best rates lie apart, and what cold's best costs the warm run."""
    first = int(cold.argmin())
    return abs(first - int(own.argmin())), float(own[first] - own.min())


def _fits(apart: int, regret: float) -> bool:
    return apart <= 1 and regret <= 0.01
