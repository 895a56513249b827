"""Lines of the growth benchmark as tables, verdicts and pictures: docs/results/growth.md, .json and growth/*.svg."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from _growth_economy import depth, ladder, merging, timing
from _growth_warm import stability, warm
from _pictures import Line, draw

from luthier.grow.rates import decide

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
Rows = list[dict[str, Any]]
HEAD = """# Growth: does the rate transfer, does a warm start pay, does the law predict

Measured with `benchmarks/growth.py` on {device} (torch {torch}), a dozen processes on one card; {lines} runs. Reference
decoder (two blocks, RMSNorm, rotary positions, SwiGLU, heads of 32 and 128 tokens of context unless stated), bytes of
Shakespeare, WikiText-2 (validation and test parts) and the source of Python's library, 17 MB, of which 5 % are held
out; batches of 32 x 128 tokens, AdamW (0.9, 0.95) without decay, warm-up a tenth, cooldown a fifth of the steps;
forward passes in bfloat16, weights and moments in float32. muP from width 64 (`init_std` 0.05); peak rate 2^-9 unless
stated. Models of one shape are trained side by side in a stack, which a test holds against the one training loop.
Losses are held out, nats per byte. Intervals are 95 %, bootstrapped over seeds (paired where runs are compared). The
sizes are small: directions of published findings are reproduced or not, no published number is.
"""


QUARTER = """## A quarter as wide, on a processor

What the card's time did not reach: widths 16, 24, 32, 48 and 64 in place of 64, 96, 128, 192 and 256, by whose names
they are called; heads of 8, batches of 16 x 64 tokens, 10 tokens a parameter, peak rate 2^-7, three seeds, float32.
"""


def report(found: Rows) -> None:
    """Write everything that the lines allow."""
    sections, data = _sections([r for r in found if r.get("device") != "cpu"], RESULTS / "growth")
    small = [r for r in found if r.get("device") == "cpu"]
    if small:
        more, data["quarter"] = _sections(small, RESULTS / "growth" / "quarter")
        sections += [QUARTER, *(text.replace("## ", "### ") for text in more)]
    found = [r for r in found if r.get("device") != "cpu"] or found
    devices = sorted({r["device"] for r in found if "device" in r})
    head = HEAD.format(device=", ".join(devices), torch=found[0].get("torch", ""), lines=len(found))
    (RESULTS / "growth.md").write_text(head + "\n" + "\n".join(sections))
    data = {"date": date.today().isoformat(), **data}
    (RESULTS / "growth.json").write_text(json.dumps(_plain(data), indent=1, allow_nan=False) + "\n")
    print("\n".join(sections))


def _sections(found: Rows, place: Path) -> tuple[list[str], dict[str, Any]]:
    """Text and numbers of each part that has lines."""
    parts: dict[str, Rows] = {}
    for row in found:
        parts.setdefault(row["part"], []).append(row)
    makers: list[tuple[str, Callable[[Rows, Path], tuple[str, Any]]]] = [
        ("rates", rates), ("broad", broad), ("coordinates", coordinates), ("warm", warm), ("stability", stability),
        ("depth", depth), ("merging", merging), ("ladder", _ladder(parts)), ("timing", timing),
    ]  # fmt: skip
    sections, data = [], {}
    for name, make in makers:
        if name in parts:
            text, data[name] = make(parts[name], place)
            sections.append(text)
    return sections, data


def _plain(value: Any) -> Any:
    """As JSON: numbers that are not finite are null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _ladder(parts: dict[str, Rows]) -> Callable[[Rows, Path], tuple[str, Any]]:
    return lambda own, place: ladder(own, parts.get("warm", []), place)


def rates(found: Rows, place: Path) -> tuple[str, Any]:
    """Learning rates over widths."""
    text, data = _transfer(found, place, "rates")
    return (
        "## Does the rate transfer (C11)\n\n1,000 steps at every width, rates a factor of two apart.\n\n" + text,
        data,
    )


def broad(found: Rows, place: Path) -> tuple[str, Any]:
    """The sweep with the settings of nanoGPT-mup."""
    text, data = _transfer(found, place, "broad")
    head = (
        "## The same from base 256 (G2)\n\nHeads of 64, start 0.02, 122 steps of 8,192 tokens, twelve rates: the "
        "settings of nanoGPT-mup's sweep.\n\n"
    )
    return head + text, data


def _transfer(found: Rows, place: Path, name: str) -> tuple[str, Any]:
    lines, data = [], {}
    for word in ("mup", "standard"):
        own = [r for r in found if r["parametrization"] == word]
        if not own:
            continue
        widths, grid = sorted({r["width"] for r in own}), sorted({r["lr"] for r in own})
        cells = {
            (w, lr): [math.inf if r["loss"] is None else r["loss"] for r in own if (r["width"], r["lr"]) == (w, lr)]
            for w in widths
            for lr in grid
        }
        table = np.array([[np.mean(cells[w, lr]) for lr in grid] for w in widths])
        spread = [np.std(v, ddof=1) / math.sqrt(len(v)) for v in cells.values() if len(v) > 1 and np.isfinite(v).all()]
        verdict = decide(table, [w / widths[0] for w in widths], grid, float(np.median(spread)) if spread else math.nan)
        called = "muP" if word == "mup" else "Standard"
        again = _redrawn(own, widths, grid)
        lines += [f"**{called}**: {verdict.words}; {verdict.verdict}. {again}".strip(), ""]
        lines += ["| width | seeds | " + " | ".join(f"2^{math.log2(lr):.0f}" for lr in grid) + " | optimum |"]
        lines += ["|" + "---|" * (len(grid) + 3)]
        for w, row, at, best in zip(widths, table, verdict.optima, verdict.best, strict=True):
            shown = [_loss(v, bold=i == best) for i, v in enumerate(row)]
            lines.append(f"| {w} | {len(cells[w, grid[0]])} | " + " | ".join(shown) + f" | 2^{at:.2f} |")
        lines += ["", f"![loss over rates, {word}](growth/{name}-{word}.svg)", ""]
        _draw_rates(place / f"{name}-{word}.svg", widths, grid, table)
        data[word] = {"widths": widths, "rates": grid, "losses": _finite(table), "optima": list(verdict.optima),
                      "best": list(verdict.best), "regret": verdict.regret, "verdict": verdict.verdict,
                      "noise": verdict.noise, "seeds": [len(cells[w, grid[0]]) for w in widths]}  # fmt: skip
    return "\n".join(lines), data


def _redrawn(own: Rows, widths: Sequence[int], grid: Sequence[float]) -> str:
    """The regret under seeds drawn anew, the same ones at every width; nothing where there are less than three."""
    losses = {(r["width"], r["lr"], r["seed"]): math.inf if r["loss"] is None else r["loss"] for r in own}
    seeds = sorted({r["seed"] for r in own if r["width"] == widths[-1]})
    if len(seeds) < 3 or len(widths) < 2:
        return ""
    ends = [np.array([[losses[w, lr, s] for lr in grid] for s in seeds]) for w in (widths[0], widths[-1])]
    drawn = np.random.default_rng(0).integers(len(seeds), size=(4000, len(seeds)))
    first, last = (values[drawn].mean(axis=1) for values in ends)
    regret = last[np.arange(len(drawn)), first.argmin(axis=1)] - last.min(axis=1)
    low, high = np.quantile(regret, [0.025, 0.975])
    word = "does not settle" if low <= 0.01 < high else "agrees on"
    return f"Under seeds drawn anew the regret is {low:.4f} to {high:.4f} (95 %), which {word} the bar of 0.01."


def _draw_rates(path: Path, widths: Sequence[int], grid: Sequence[float], table: np.ndarray) -> None:
    top = float(np.nanmin(np.where(np.isfinite(table), table, np.nan))) + 1.2
    lines = {}
    for width, row in zip(widths, table, strict=True):
        shown = [(lr, v) for lr, v in zip(grid, row, strict=True) if math.isfinite(v) and v <= top]
        lines[f"width {width}"] = Line([lr for lr, _ in shown], np.array([v for _, v in shown]))
    control = f"width {widths[0]}"
    draw(
        path, lines, control=control, x="peak learning rate at the base", y="validation loss, nats per byte", log_x=True
    )


def coordinates(found: Rows, place: Path) -> tuple[str, Any]:
    """Slopes of muP and of the control, and what became of the planted bugs."""
    lines = ["## Coordinate check at large widths (C5, G1)", ""]
    own = next((r for r in found if r["key"] == ["adamw"]), None)
    if own is not None:
        shown = (
            f"Widths {', '.join(map(str, own['widths']))}, {own['seeds']} seeds, AdamW at 2^{math.log2(own['lr']):.0f}"
        )
        lines += [f"{shown}, bfloat16 passes: **{own['verdict']}**.", ""]
        lines += [f"- {words}" for words in own["reasons"]]
        lines += ["", "| quantity | step | muP, steepest slope | standard | verdict |", "|---|---|---|---|---|"]
        plain = {(r["quantity"], r["step"]): r["slope"] for r in own["standard"]}
        for r in own["mup"]:
            other = plain.get((r["quantity"], r["step"]), math.nan)
            lines.append(
                f"| {r['quantity']} | {r['step']} | {r['slope']:+.3f} | {other:+.2f} | {r['verdict'] or '-'} |"
            )
        sizes = {f"muP: {k}": v for k, v in own["sizes"].items() if k.startswith("change")}
        sizes |= {f"standard: {k}": v for k, v in own["sizes_standard"].items() if k.startswith("change")}
        drawn = {k: Line(own["widths"], np.array(v)) for k, v in sizes.items() if all(math.isfinite(x) for x in v)}
        if drawn:
            draw(
                place / "coordinates.svg",
                drawn,
                control=next(iter(drawn)),
                x="width",
                y="mean change",
                log=True,
                log_x=True,
            )
            lines += ["", "![change of activations over width](growth/coordinates.svg)"]
    bugs = [r for r in found if r["key"] != ["adamw"]]
    if bugs:
        lines += ["", "Planted bugs:", "", "| bug | verdict | first reason |", "|---|---|---|"]
        lines += [f"| {r['key'][0]} | {r['verdict']} | {r['reasons'][0][:160]} |" for r in bugs]
    return "\n".join([*lines, ""]), [{k: r.get(k) for k in ("key", "verdict", "reasons", "widths")} for r in found]


def _loss(value: float, *, bold: bool) -> str:
    text = f"{value:.3f}" if math.isfinite(value) else "-"
    return f"**{text}**" if bold else text


def _finite(table: np.ndarray) -> list[list[float | None]]:
    return [[float(v) if math.isfinite(v) else None for v in row] for row in table]
