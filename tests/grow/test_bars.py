"""C11 to C14 and C16: the committed lines give the committed verdicts, and a small sweep is run here and now."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from luthier.base.errors import ArgumentError  # noqa: E402
from luthier.grow.comparing import compare  # noqa: E402
from luthier.grow.hyper import Hyper  # noqa: E402
from luthier.grow.laws import Point, ScalingLaw  # noqa: E402
from luthier.grow.mu_plan import MuPlan  # noqa: E402
from luthier.grow.rates import decide, sweep  # noqa: E402
from luthier.nets import synthetic  # noqa: E402

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results" / "growth"
ROWS = [json.loads(line) for line in (RESULTS / "h100.jsonl").read_text().splitlines()]
QUARTER = [json.loads(line) for line in (RESULTS / "quarter.jsonl").read_text().splitlines()]  # a processor's


def judged(word):
    """The verdict on the committed sweep over widths 64 to 512."""
    own = [r for r in ROWS if r["part"] == "rates" and r["parametrization"] == word]
    widths, grid = sorted({r["width"] for r in own}), sorted({r["lr"] for r in own})
    cells = [[[r["loss"] or math.inf for r in own if (r["width"], r["lr"]) == (w, g)] for g in grid] for w in widths]
    assert (widths, len(grid), {len(c) for row in cells for c in row}) == ([64, 128, 256, 512], 9, {3})
    return decide(np.mean(cells, axis=2), [w / 64 for w in widths], grid, math.nan)


@pytest.mark.slow
def test_c11_the_rate_transfers_under_mup_and_drifts_without():
    """Optima of parabolas within half an octave; standard: more than two cells. The grid's regret bar is missed."""
    mup, standard = judged("mup"), judged("standard")
    assert max(mup.optima) - min(mup.optima) <= 0.5
    assert max(standard.optima) - min(standard.optima) >= 2
    assert max(standard.best) - min(standard.best) >= 2
    assert standard.regret > 10 * mup.regret
    assert 0.01 < mup.regret < 0.03  # of two cells that are level at width 64: what the page says, not what is wanted


@pytest.mark.slow
def test_c12_warm_against_cold():
    rows = [r for r in ROWS if r["part"] == "warm"]
    cold = {r["seed"]: r for r in rows if r["arm"] == "cold"}
    assert len(cold) >= 5

    def curve(row):
        return [{"tokens": t, "flops": t, "val_loss": v} for t, v in row["curve"]]

    seen = [compare(curve(r), curve(cold[r["seed"]])) for r in rows if r["arm"] == "szp 0.4"]
    for share in (0.25, 0.5):
        place = seen[0]["shares"].index(share)
        assert sum(s["warm"][place] < s["cold"][place] for s in seen) >= 0.8 * len(seen)
    assert np.mean([s["warm"][-1] - s["cold"][-1] for s in seen]) <= 0.005
    half = []
    for r in (r for r in rows if r["arm"] == "szp 0.4"):
        before = [p for p in curve(cold[r["seed"]]) if p["tokens"] <= 0.501 * r["tokens"]]
        half.append(compare(curve(r), before)["reached"])
    assert np.mean(half) <= 0.85
    padded = [r["loss"] - cold[r["seed"]]["loss"] for r in rows if r["arm"] == "zeropad"]
    assert np.mean(padded) > 0.02  # padding alone stalls


@pytest.mark.slow
def test_c13_the_order_of_the_arms_at_growth_4():
    """Shrink, pad and perturb first in every seed; zeros alone more than 0.1 nats behind a cold start."""
    rows = [r for r in QUARTER if r["part"] == "warm" and r["source"] == 96]
    ends = {arm: {r["seed"]: r["loss"] for r in rows if r["arm"] == arm} for arm in {r["arm"] for r in rows}}
    assert len(ends["cold"]) >= 3
    assert next(r["growth"] for r in rows if r["growth"]) == pytest.approx(4, rel=0.02)
    for seed, cold in ends["cold"].items():
        assert min(ends, key=lambda arm: ends[arm][seed]) == "szp 0.4"
        assert ends["zeropad"][seed] >= cold + 0.1


@pytest.mark.slow
def test_c14_the_best_rate_is_the_same_warm_and_cold():
    """In the mean the same rate of a grid of twos; in one of two seeds a cell apart, for a little over 0.01 nats."""
    rows = [r for r in QUARTER if r["part"] == "stability"]
    grid, seeds = sorted({r["lr"] for r in rows}), sorted({r["seed"] for r in rows})
    loss = {(r["arm"], r["seed"], r["lr"]): r["loss"] or math.inf for r in rows}
    assert (len(grid), len(loss)) == (5, 2 * len(grid) * len(seeds))
    cold, warm = (np.array([[loss[arm, s, lr] for lr in grid] for s in seeds]) for arm in ("cold", "szp 0.4"))
    best = int(cold.mean(axis=0).argmin())
    assert 0 < best < len(grid) - 1
    assert best == int(warm.mean(axis=0).argmin())
    for own, beside in zip(warm, cold, strict=True):
        assert abs(int(own.argmin()) - int(beside.argmin())) <= 1
        assert own[best] - own.min() < 0.02


@pytest.mark.slow
def test_c16_the_law_predicts_the_run_that_it_has_not_seen():
    """Fitted up to width 128 at one rate; width 192, which that rate has too, is held out."""
    rows = [r for r in ROWS if r["part"] == "ladder" and r["lr"] == 2**-7]
    best: dict[tuple[int, int], float] = {}
    for r in rows:
        key = (r["inner"], r["tokens"])
        best[key] = min(r["loss"], best.get(key, math.inf))
    held = max(best)
    law = ScalingLaw.fit([Point(*key, loss) for key, loss in best.items() if key[0] != held[0]])
    said = law.predict(*held, share=0.9)
    assert said.low <= best[held] <= said.high
    assert abs(said.loss - best[held]) <= 0.03


@pytest.mark.slow
def test_a_small_sweep_here_and_now(tmp_path):
    """Two widths, five rates, two seeds: the best rate stays under muP; stopped and gone on with."""
    text, held_out = synthetic(60_000, vocabulary=32).split(0.1)
    proxy = {"vocabulary": 32, "d_model": 16, "heads": 1, "d_ff": 48, "layers": 2, "context": 32, "init_std": 0.1}
    plan = MuPlan.infer("refgpt", proxy=proxy)
    own = {"rates": [2.0**k for k in range(-9, -4)], "ratios": (1, 2), "seeds": 2, "tokens": "30000"}
    hyper = Hyper(lr=0.01, batch=8, length=32, warmup=0.1)
    with contextlib.suppress(ArgumentError):  # a width may have no run yet
        sweep(plan, hyper, text, held_out, folder=tmp_path / "s", seconds=5.0, **own)
    first = sweep(plan, hyper, text, held_out, folder=tmp_path / "s", **own)
    assert np.isfinite(first.losses).all()
    assert max(first.optima) - min(first.optima) <= 1.0
