"""Late depth, merged checkpoints, the scaling law on its held-out run, the planner, and throughput."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from _growth_warm import interval, shown
from _pictures import Line, draw

from luthier.grow.gains import Gain, fit_gain
from luthier.grow.laws import ScalingLaw
from luthier.grow.ledger import Entry, Ledger, best_points
from luthier.grow.planner import Plan, Stage, make_plan

Rows = list[dict[str, Any]]


def depth(found: Rows, place: Path) -> tuple[str, Any]:
    """Late depth growth against four blocks from scratch."""
    scratch = {r["seed"]: r for r in found if r["arm"] == "scratch"}
    lines = [
        "## Late depth growth (frontier G7)",
        "",
        f"Four blocks, {found[0]['inner']:,} parameters outside of tables; against one block at the constant rate for "
        "a share of the steps, then four: what was there keeps its moments, new blocks start without. Operations are "
        "of the whole run.",
        "",
        "| arm | seeds | tokens, M | operations / scratch | loss | minus scratch |",
        "|---|---|---|---|---|---|",
    ]
    data = {}
    for arm in dict.fromkeys(r["arm"] for r in found):
        own = [r for r in found if r["arm"] == arm and r["loss"] is not None]
        gaps = [r["loss"] - scratch[r["seed"]]["loss"] for r in own if r["seed"] in scratch]
        flops = [r["flops"] / scratch[r["seed"]]["flops"] for r in own if r["seed"] in scratch]
        loss = float(np.mean([r["loss"] for r in own]))
        gap = shown(gaps) if gaps and arm != "scratch" else "-"
        cost = f"{np.mean(flops):.2f}" if flops else "-"
        lines.append(f"| {arm} | {len(own)} | {own[0]['tokens'] / 1e6:.1f} | {cost} | {loss:.4f} | {gap} |")
        data[arm] = {"loss": loss, "gaps": gaps, "operations": flops, "seeds": len(own)}
    return "\n".join([*lines, ""]), data


def merging(found: Rows, place: Path) -> tuple[str, Any]:
    """A cooldown against the mean of eight checkpoints at the constant rate."""
    arms = {arm: {r["seed"]: r for r in found if r["arm"] == arm} for arm in ("cooldown", "constant")}
    seeds = sorted(arms["cooldown"])
    gaps = {
        "constant rate, as it ends": [arms["constant"][s]["loss"] - arms["cooldown"][s]["loss"] for s in seeds],
        "constant rate, mean of eight": [arms["constant"][s]["merged"] - arms["cooldown"][s]["loss"] for s in seeds],
    }
    shares = [
        (arms["constant"][s]["loss"] - arms["constant"][s]["merged"])
        / (arms["constant"][s]["loss"] - arms["cooldown"][s]["loss"])
        for s in seeds
    ]
    lines = [
        "## Merging in place of a cooldown (frontier G10)",
        "",
        f"{found[0]['inner']:,} parameters, {len(seeds)} seeds.",
        "",
    ]
    lines += ["| judged by | minus cooldown of the same seed |", "|---|---|"]
    lines += [f"| {name} | {shown(values)} |" for name, values in gaps.items()]
    mean, low, high = interval(shares)
    words = f"The merge has {mean:.0%} [{low:.0%}, {high:.0%}] of what the cooldown brings."
    if np.mean(gaps["constant rate, as it ends"]) <= 0:
        words = "Runs of this length are better without a cooldown: the question is not answered here."
    lines += ["", words, ""]
    return "\n".join(lines), {**gaps, "share": shares}


def ladder(found: Rows, grown: Rows, place: Path) -> tuple[str, Any]:
    """A law of the small runs, its prediction for the largest, and the planner on the same ledger."""
    rates = [r["lr"] for r in found]
    rate = max(set(rates), key=rates.count)  # runs at another one are of another law
    other = sorted({(r["width"], r["per"], r["lr"], r["loss"]) for r in found if r["lr"] != rate})
    found, grown = ([r for r in rows if r["lr"] == rate] for rows in (found, grown))
    largest = max((r["width"] for r in found), default=0)
    held = [r for r in found if r["width"] == largest]
    ledger = _ledger(place, [r for r in found if r["width"] != largest], grown)
    law = ScalingLaw.fit(best_points(ledger.entries))
    size, tokens, losses = held[0]["inner"], held[0]["tokens"], [r["loss"] for r in held]
    said, least = law.predict(size, tokens, share=0.9), min(losses)
    inside, close = said.low <= least <= said.high, abs(said.loss - least) <= 0.03
    gain = fit_gain(ledger.entries, law)
    there = [Stage(r["inner"], r["tokens"], None) for r in grown if r["arm"] == "cold"][:1]
    plan = make_plan(law, size=size, tokens=tokens, checkpoints=there, gain=gain, force=True)
    verdict = f"{'inside' if inside else 'outside'}, {abs(said.loss - least):.4f} away"
    lines = [
        "## The law and the planner (C16)",
        "",
        _fitted(
            law, rate, sorted({r["width"] for r in found if r["width"] != largest}), len(best_points(ledger.entries))
        ),
        "",
        f"Held out: width {largest}, {size:,} parameters, {tokens:,} tokens: predicted **{said.loss:.4f}**, 90 % "
        f"interval [{said.low:.4f}, {said.high:.4f}]; measured {least:.4f} (best of {len(losses)}; mean "
        f"{np.mean(losses):.4f}): {verdict}; C16 {'passes' if inside and close else 'fails'}.",
        "",
        *[f"- warning: {words}" for words in law.warnings],
        *[
            f"- left out, for its rate is 2^{math.log2(lr):.0f}: width {width}, {per}x: {loss:.4f} (the law at the "
            f"other rate says {law.loss(*_place(width, per)):.4f})"
            for width, per, lr, loss in other
        ],
        "",
        *_planned(plan, gain or Gain()),
    ]
    _draw_law(place / "law.svg", law, found, largest)
    lines += [f"![loss over operations]({place.as_posix().partition('/results/')[2]}/law.svg)", ""]
    data = {"prediction": asdict(said), "measured": losses, "law": law.numbers, "noise": law.noise, "inside": inside,
            "advice": plan.advice, "warnings": list(law.warnings)}  # fmt: skip
    return "\n".join(lines), data


def _ledger(place: Path, small: Rows, grown: Rows) -> Ledger:
    """The runs that the law and the planner may see, written as the product writes them."""
    place.mkdir(parents=True, exist_ok=True)
    path = place / "ledger.jsonl"
    path.unlink(missing_ok=True)
    ledger = Ledger.open(path)
    for r in small:
        ledger.add(_entry(r, f"{r['width']}-{r['per']}x-{r['seed']}", "scratch"))
    for r in grown:
        if r["arm"] in ("szp 0.2", "szp 0.4"):
            ledger.add(_entry(r, f"{r['source']}-{r['arm']}-{r['seed']}".replace(" ", "-"), "growth", r["growth"]))
    return ledger


def _fitted(law: ScalingLaw, rate: float, widths: list[int], points: int) -> str:
    """What the law was fitted to, and its numbers."""
    numbers = ", ".join(f"{k} = {v:.4g}" for k, v in law.numbers.items())
    form = law.form + (f" ({law.label})" if law.label else "")
    return (
        f"Runs from scratch of widths {widths} at 10, 20 and 40 tokens a parameter, three seeds each, of which the "
        f"best counts: {points} points at rate 2^{math.log2(rate):.0f}, {form}. {numbers}; noise {law.noise:.2%}."
    )


def _planned(plan: Plan, gain: Gain) -> list[str]:
    """The planner's table."""
    lines = [
        "`luthier grow plan` for that run, on this ledger (grown runs set how much growth is worth):",
        "",
        "| schedule | loss | 80 % interval | P(below scratch) | operations | charged |",
        "|---|---|---|---|---|---|",
    ]
    for s in plan.schedules:
        cost = f"{s.flops:.2e} | {s.charged:.2e}"
        lines.append(f"| {s.name} | {s.loss:.4f} | {s.low:.4f} - {s.high:.4f} | {s.beats_scratch:.2f} | {cost} |")
    worth = f"Growth 2 at 20 tokens a parameter is worth {gain(2.0, 20.0):.2f} times the tokens."
    return [*lines, "", plan.advice, "", worth, ""]


def _place(width: int, per: float) -> tuple[float, float]:
    """Size and tokens of a width's run."""
    from _growth_cells import planned

    from luthier.grow.runs import count

    size = count(planned().widened(width / 64), 128).inner
    return size, per * size


def _entry(r: dict[str, Any], name: str, purpose: str, growth: float | None = None) -> Entry:
    flops = r["flops_per_token"] * r["tokens"]
    return Entry(
        run=name, purpose=purpose, size=r["inner"], total=r["total"], tokens=r["tokens"], flops=flops,
        seconds=round(r["seconds"], 2), loss=r["loss"], lr=r["lr"], growth=growth, seed=r["seed"],
    )  # fmt: skip


def _draw_law(path: Path, law: ScalingLaw, found: Rows, largest: int) -> None:
    lines = {}
    for width in sorted({r["width"] for r in found}):
        own: dict[int, list[dict[str, Any]]] = {}
        for r in found:
            if r["width"] == width:
                own.setdefault(r["tokens"], []).append(r)
        tokens = sorted(own)
        size = own[tokens[0]][0]["inner"]
        x = [6 * size * t for t in tokens]
        if len(x) > 1:
            lines[f"width {width}"] = Line(x, np.array([min(r["loss"] for r in own[t]) for t in tokens]))
        grid = np.geomspace(min(tokens) / 1.3, max(tokens) * 1.3, 12)
        name = f"law at {width}" + (" (held out)" if width == largest else "")
        lines[name] = Line([6 * size * t for t in grid], np.array([law.loss(size, t) for t in grid]))
    draw(path, lines, control=next(iter(lines)), x="operations (6 N D)", y="validation loss, nats per byte", log_x=True)


def timing(found: Rows, place: Path) -> tuple[str, Any]:
    """Tokens per second of the plan's model and the plain one."""
    lines = [
        "## What the wrapper costs (G5)",
        "",
        f"RefGPT of {found[0]['parameters'] / 1e6:.0f} M parameters (width 1024, four blocks, vocabulary 4096) on "
        f"{found[0]['device']}, 16 x 512 tokens, bfloat16, fused AdamW; both models in turn, 21 rounds of 8 steps; MFU "
        "against 989 TFLOP/s.",
        "",
        "| mode | plain, tokens/s | muP, tokens/s | overhead (median of rounds) | MFU plain | MFU muP |",
        "|---|---|---|---|---|---|",
    ]
    data = {}
    for r in found:
        rate, mfu = r["tokens_per_second"], r["mfu"]
        rounds = np.array(r["steps"]["mup"]) / np.array(r["steps"]["plain"]) - 1
        draws = np.median(np.random.default_rng(0).choice(rounds, size=(4000, len(rounds))), axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        both = f"{r['overhead']:+.2%} [{low:+.2%}, {high:+.2%}]"
        speeds = f"{rate['plain']:,.0f} | {rate['mup']:,.0f}"
        lines.append(f"| {r['mode']} | {speeds} | {both} | {mfu['plain']:.1%} | {mfu['mup']:.1%} |")
        data[r["mode"]] = {"rate": rate, "mfu": mfu, "overhead": r["overhead"], "interval": [low, high]}
    return "\n".join([*lines, ""]), data


def write_lines(path: Path, rows: Rows) -> None:
    """Lines as they came, for whoever wants to look again."""
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
