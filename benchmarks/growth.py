"""Warm against cold, and does the learning rate transfer: small decoders on the bytes of Python's own library.

    python benchmarks/growth.py warm --seeds 5         # shrink-pad-perturb at three lambdas, padding alone, scratch
    python benchmarks/growth.py rates                  # rates 2^-11 to 2^-4 at four widths, muP and standard
    python benchmarks/growth.py table                  # what docs/results/growth has, in words

Every run is written when it ends, and not run again. Seeds are paired: base, cold and warm of a seed see the same text.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results" / "growth"
SMALL = {
    "vocabulary": 256,
    "d_model": 32,
    "heads": 2,
    "d_head": 16,
    "d_ff": 80,
    "layers": 2,
    "context": 64,
    "init_std": 0.05,
}
LARGE = {**SMALL, "d_model": 48, "heads": 3, "kv_heads": 3, "d_ff": 120}
ARMS = {"cold": None, "szp 0.2": 0.2, "szp 0.4": 0.4, "szp 1": 1.0, "zeropad": "zeropad"}
RATE = 2**-7


def setting():
    from luthier.grow.hyper import Hyper
    from luthier.grow.mu_plan import MuPlan
    from luthier.nets import python_library

    text, held_out = python_library(4_000_000).split(0.05)
    plan = MuPlan.infer("refgpt", proxy=SMALL)
    hyper = Hyper(lr=RATE, batch=16, length=64, warmup=0.1, fingerprint=plan.fingerprint)  # all arms warm up alike
    return plan, hyper, text, held_out


def warm(seeds: int, per: int, scratch: Path) -> None:
    """Base (its checkpoint before the cooldown is the source), then every arm, at equal tokens of the target."""
    from luthier.base.errors import CostWarning
    from luthier.grow.growing import Growth, grow
    from luthier.grow.runs import count, run
    from luthier.nets.checkpoints import read, steps_in

    warnings.simplefilter("ignore", CostWarning)
    plan, hyper, text, held_out = setting()
    target = plan.for_target(LARGE)
    sizes, small = count(target, hyper.length), count(plan, hyper.length)
    path = RESULTS / f"warm-{per}x.jsonl"
    done = {(r["seed"], r["arm"]) for r in rows(path)}
    for seed in range(seeds):
        missing = [arm for arm in ARMS if (seed, arm) not in done]
        if not missing:
            continue
        folder = scratch / f"base-{per}-{seed}"
        base_tokens = per * small.inner
        run(plan, hyper, text, held_out, tokens=base_tokens, folder=folder, seed=seed, purpose="base")
        source = read(steps_in(folder)[0])  # before the cooldown
        for arm in missing:
            kind, model, factor = ARMS[arm], None, None
            if kind is not None:
                how = Growth(operator="zeropad") if kind == "zeropad" else Growth(lam=kind, seed=seed)
                made = grow(source.weights(), plan, target, how)
                model, factor = made.model(), made.factor
            history, _ = run(
                target, hyper, text, held_out, tokens=per * sizes.inner, seed=seed, model=model, growth=factor,
                data_start=0 if kind is None else source.step * hyper.batch,
            )  # fmt: skip
            row = {"seed": seed, "arm": arm, "per": per, "growth": factor, "inner": sizes.inner}
            row["base_flops"] = small.flops_per_token * source.state["tokens"]
            row["curve"] = [(r["tokens"], r["flops"], r["val_loss"]) for r in history.records if "val_loss" in r]
            write(path, row)
            print(per, seed, arm, f"{history.last('val_loss'):.4f}", flush=True)


def rates(seeds: int) -> None:
    """Both parametrisations over widths 32 to 256."""
    from luthier.grow.rates import sweep

    plan, hyper, text, held_out = setting()
    for word in ("mup", "standard"):
        grid = [2.0**-k for k in range(11, 3, -1)]
        found = sweep(
            plan, hyper, text, held_out, folder=RESULTS / f"rates-{word}", rates=grid, ratios=(1, 2, 4, 8),
            tokens="200000", seeds=seeds, parametrization=word,
        )  # fmt: skip
        (RESULTS / f"rates-{word}.json").write_text(json.dumps(found.data(), indent=1) + "\n")
        print(word, found.verdict, found.words, flush=True)


def table() -> None:
    """Differences to cold of the same seed: mean and 95 % bootstrap interval; tokens to cold's final loss."""
    from luthier.grow.comparing import compare

    for path in sorted(RESULTS.glob("warm-*.jsonl")):
        found = rows(path)
        cold = {r["seed"]: records(r) for r in found if r["arm"] == "cold"}
        print(f"{path.stem}: {len(cold)} seeds, cold ends at {np.mean([c[-1]['val_loss'] for c in cold.values()]):.4f}")
        for arm in list(ARMS)[1:]:
            own = [r for r in found if r["arm"] == arm and r["seed"] in cold]
            if not own:
                continue
            pairs = [(records(r), cold[r["seed"]], r["base_flops"]) for r in own]
            at = {s: [] for s in (0.25, 0.5, 1.0)}
            reached = {"tokens": [], "flops+base": []}
            for a, b, base in pairs:
                seen = compare(a, b)
                for share in at:
                    place = seen["shares"].index(share)
                    at[share].append(seen["warm"][place] - seen["cold"][place])
                for equal in reached:
                    reached[equal].append(compare(a, b, equal=equal, base=base)["reached"])
            words = [f"{share:.0%} {interval(values)}" for share, values in at.items()]
            ends = [f"{k} {np.mean([x or np.inf for x in v]):.2f}x" for k, v in reached.items()]
            print(f"  {arm:<8} {', '.join(words)}; to cold's final loss: {', '.join(ends)}")


def interval(values: list[float]) -> str:
    draws = np.random.default_rng(0).choice(values, size=(2000, len(values))).mean(axis=1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{np.mean(values):+.4f} [{low:+.4f}, {high:+.4f}]"


def records(row):
    return [{"tokens": t, "flops": f, "val_loss": v} for t, f, v in row["curve"]]


def rows(path: Path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def write(path: Path, row) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("warm", "rates", "table"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--per", type=int, default=20, help="tokens per parameter")
    parser.add_argument("--scratch", type=Path, default=Path("growth-runs"), help="where checkpoints go")
    given = parser.parse_args()
    if given.what == "warm":
        warm(given.seeds, given.per, given.scratch)
    elif given.what == "rates":
        rates(1)
    else:
        table()
