"""One small language model through its life: tune, grow, shrink, profile; one store, one ledger, a picture a step.

    python examples/lifecycle/lifecycle.py --out lifecycle          # some minutes on two cores
    python examples/lifecycle/lifecycle.py --out lifecycle --quick  # a minute: all steps, no figures worth having

Run again, it goes on where it was stopped. Text: Python's own library; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from luthier import Float, Ordinal, Space, Study, shrink
from luthier.base.errors import CostWarning
from luthier.grow import MuPlan
from luthier.grow.granite import to_llama
from luthier.grow.growing import Growth, grow
from luthier.grow.hyper import Hyper
from luthier.grow.ledger import Ledger
from luthier.grow.rates import transfer, tune
from luthier.grow.runs import count, run, tokens_of
from luthier.nets import Batches, python_library
from luthier.nets.checkpoints import at_step, read
from luthier.nets.data import held_out_loss
from luthier.report.figures.lines import draw_lines

PROXY = {"vocabulary": 256, "d_model": 48, "heads": 2, "kv_heads": 2, "d_head": 24, "d_ff": 128, "layers": 2,
         "context": 64, "init_std": 0.06}  # fmt: skip
TARGET = {"d_model": 72, "heads": 3, "kv_heads": 3, "d_ff": 192}
SPACE = Space(lr=Float(2**-11, 2**-5, log=True, transfer="mup"), warmup=Ordinal(0.02, 0.05, 0.1, transfer="mup"))


@dataclass
class Life:
    """What all steps share.

    Args:
        out: Folder of the store, the ledger, runs and pictures.
        quick: Tiny budgets.
    """

    out: Path
    quick: bool

    def __post_init__(self) -> None:
        """Text, plans and ledger."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.text, self.held_out = python_library(300_000 if self.quick else 3_000_000).split(0.05)
        self.plan = MuPlan.infer("refgpt", proxy=PROXY)
        self.target = self.plan.for_target(TARGET)
        self.ledger = Ledger.open(self.out / "ledger.jsonl")
        self.per = "0.5x" if self.quick else "5x"
        self.trials = 2 if self.quick else 4
        self.hyper = Hyper(lr=2**-8, batch=16, length=64, fingerprint=self.plan.fingerprint)
        self.measure = held_out_loss(Batches(self.held_out, 16, 64), 4 if self.quick else 40)

    def tokens(self, plan: MuPlan) -> int:
        """Of a run of that plan."""
        return tokens_of(self.per, count(plan, 64).inner)

    def say(self, words: str) -> None:
        """A line with the time."""
        print(f"[{time.strftime('%H:%M:%S')}] {words}", flush=True)


def tune_small(life: Life) -> Hyper:
    """A study over rate and warm-up at the proxy; its best values for the target."""
    study = tune(
        life.plan, SPACE, life.hyper, life.text, life.held_out, folder=life.out, trials=life.trials, tokens=life.per,
        ledger=life.ledger,
    )  # fmt: skip
    hyper = transfer(life.out, life.target)
    hyper.save(life.out / "hp.json")
    found = sorted((t.config["lr"], t.metrics["val_loss"]) for t in study.trials if t.metrics)
    draw_lines(
        life.out / "1-tune.svg", {"trials at the proxy": tuple(zip(*found, strict=True))}, x="peak rate", y="loss",
        log_x=True,
    )  # fmt: skip
    left = ", ".join(hyper.not_transferred)
    life.say(f"tuned: lr {hyper.lr:.4g}, warm-up {hyper.warmup:g}; does not transfer: {left}")
    return hyper


def grow_large(life: Life, hyper: Hyper) -> tuple[Any, Any, Any]:
    """Base, its growth, and the cold run beside it: three models."""
    more = {"ledger": life.ledger}
    _, small = run(
        life.plan, hyper, life.text, life.held_out, tokens=life.tokens(life.plan), folder=life.out / "base",
        purpose="base", **more,
    )  # fmt: skip
    source = at_step(life.out / "base", "pre-cooldown")
    grown = grow(source.weights(), life.plan, life.target, Growth(lam=0.4), where="base")
    start = source.step * hyper.batch
    _, warm = run(
        life.target, hyper, life.text, life.held_out, tokens=life.tokens(life.target), folder=life.out / "warm",
        model=grown.model(), growth=grown.factor, grown_from="base", purpose="growth", data_start=start, **more,
    )  # fmt: skip
    _, cold = run(
        life.target, hyper, life.text, life.held_out, tokens=life.tokens(life.target), folder=life.out / "cold", **more
    )
    curves = {}
    for name in ("warm", "cold"):
        points = [r for r in read(life.out / name).state["history"] if "val_loss" in r]
        curves[name] = ([r["tokens"] for r in points], [r["val_loss"] for r in points])
    draw_lines(life.out / "2-grow.svg", curves, x="tokens of the target", y="validation loss")
    life.say(f"grown by {grown.factor:.2f}: warm {curves['warm'][1][-1]:.4f}, cold {curves['cold'][1][-1]:.4f}")
    return small, warm, cold


def tune_large(life: Life) -> float:
    """The same study at the target's own size: what tuning would have cost, and what it finds."""
    study = Study(SPACE, "val_loss", folder=life.out, name="direct", seed=0)

    def one(trial: Any) -> None:
        own = replace(life.hyper, **trial.config)
        history, _ = run(
            life.target, own, life.text, life.held_out, tokens=life.tokens(life.target), purpose="eval",
            name=f"direct-{trial.number}", ledger=life.ledger,
        )  # fmt: skip
        trial.report(val_loss=history.last("val_loss"))

    study.run(one, trials=life.trials, executor="inline")
    best = min(t.metrics["val_loss"] for t in study.trials if t.metrics)
    life.say(f"tuned at the target itself: {best:.4f} after {life.trials} trials")
    return best


def shrink_it(life: Life, warm: Any) -> list[tuple[str, Any]]:
    """A super-network of the grown model, a search in the same store, and two children."""
    path = life.out / "text.txt"
    path.write_bytes(life.text.values.tobytes())
    model = to_llama(warm).eval()
    net = shrink.SuperNet.from_model(model)
    data = shrink.read_data(path, size=16, length=64)
    ranking = shrink.rank_units(net, data.calibration())
    net.permute_(ranking.order(net.sizes.groups), data.calibration(2))
    space = shrink.preset(net.sizes, "small", ranking=ranking.layer_order)
    steps = 10 if life.quick else 150
    shrink.train(net, space, data, steps=steps, lr=1e-3, folder=life.out / "super")
    front = shrink.search(net, space, data, method="nsga2", evals=8 if life.quick else 24, folder=life.out)
    points = sorted((p.metrics["parameters"], p.metrics["loss"]) for p in front.points)
    draw_lines(life.out / "3-shrink.svg", {"front": tuple(zip(*points, strict=True))}, x="parameters", y="search loss")
    found = []
    for share in (0.8, 0.65):
        child = shrink.extract(net, front.select(max_params=share).spec)
        shrink.finetune(child.model, data, teacher=model, steps=steps, lr=1e-3)
        child.save(life.out / f"child-{share:g}")
        found.append((f"shrunk to {share:.0%}", child.model.eval()))
    life.say(f"shrunk: {len(points)} points on the front")
    return found


def profile(life: Life, models: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Loss on held-out text, parameters and latency of each, in turns."""
    times = shrink.measure([m for _, m in models], batch=1, tokens=64, rounds=1 if life.quick else 5)
    rows = []
    for (name, model), took in zip(models, times, strict=True):
        loss = life.measure(model)["val_loss"]
        parameters = sum(p.numel() for p in model.parameters())
        rows.append({"model": name, "loss": loss, "parameters": parameters, "latency_ms": took.median_ms})
        print(f"{name:<24} loss {loss:.4f}  {parameters:>8,} parameters  {took.median_ms:6.2f} ms")
    curve = sorted((r["latency_ms"], r["loss"]) for r in rows)
    draw_lines(life.out / "4-profile.svg", {"models": tuple(zip(*curve, strict=True))}, x="latency, ms", y="loss")
    return rows


def account(life: Life, warm: float, direct: float) -> dict[str, float]:
    """Operations spent, against tuning at the target."""
    bill = life.ledger.bill("warm")
    tuned_there = sum(e.flops for e in life.ledger.entries if e.run.startswith("direct-"))
    spent = bill.sweep + bill.base + bill.growth
    print(f"spent: tuning {bill.sweep:.3g}, base {bill.base:.3g}, growth {bill.growth:.3g}: {spent:.3g} operations")
    print(f"tuning at the target, as many trials: {tuned_there:.3g} operations, loss {direct:.4f} (ours {warm:.4f})")
    print(f"so {spent / tuned_there:.0%} of its compute")
    print(bill.words)
    parts = {"tuning": bill.sweep, "base": bill.base, "growth": bill.growth, "cold": bill.scratch}
    return {**parts, "spent": spent, "direct": tuned_there, "loss": warm, "direct_loss": direct}


def factor(life: Life) -> float:
    """How many times as large the grown model is, tables aside."""
    [grown] = [e.growth for e in life.ledger.entries if e.run == "warm" and e.growth]
    return grown


def main() -> None:
    """All steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("lifecycle"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--threads", type=int, default=1, help="of torch; two are slower where others use the cores too"
    )
    given = parser.parse_args()
    began = time.time()
    warnings.simplefilter("ignore", CostWarning)
    torch.set_num_threads(given.threads)
    life = Life(given.out, given.quick)
    hyper = tune_small(life)
    small, warm, cold = grow_large(life, hyper)
    direct = tune_large(life)
    children = shrink_it(life, warm)
    models = [(name, to_llama(m).eval()) for name, m in (("proxy", small), ("grown", warm), ("cold", cold))]
    rows = profile(life, [*models, *children])
    ended = [r["val_loss"] for r in read(given.out / "warm").state["history"] if "val_loss" in r][-1]
    bill = account(life, ended, direct)  # both on the batches that runs are measured on
    about = {"date": time.strftime("%Y-%m-%d"), "processor_seconds": round(time.process_time(), 1)}
    about |= {"growth": factor(life), "tokens_per_parameter": float(life.per.rstrip("x"))}
    (given.out / "lifecycle.json").write_text(json.dumps({**about, "models": rows, "bill": bill}, indent=1) + "\n")
    life.say(f"done in {time.time() - began:.0f} s; pictures, store and ledger in {given.out}")


if __name__ == "__main__":
    main()
