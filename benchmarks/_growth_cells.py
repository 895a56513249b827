"""The cells of the growth benchmark: each trains one stack (or a source and what grows from it) and gives lines."""

from __future__ import annotations

import gzip
import lzma
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _stack import One, Stack, Trained, train_stack

from luthier.base.errors import CostWarning
from luthier.grow.growing import Growth, grow
from luthier.grow.mu_plan import MuPlan, Options
from luthier.grow.runs import count
from luthier.nets.data import Tokens
from luthier.nets.schedules import WSD

#: 2 layers, heads of 32, inner width 2.75 times the outer; start 0.05 is 0.4 / sqrt(64)
PROXY = {"vocabulary": 256, "d_model": 64, "heads": 2, "kv_heads": 2, "d_head": 32, "d_ff": 176, "layers": 2,
         "context": 128, "init_std": 0.05}  # fmt: skip
#: the same a quarter as wide, for a processor: heads of 8, start 0.4 / sqrt(16)
QUARTER = {**PROXY, "d_model": 16, "d_head": 8, "d_ff": 44, "context": 64, "init_std": 0.1}
#: what nanoGPT-mup's sweep has: base 256, heads of 64, start 0.02
BROAD = {"vocabulary": 256, "d_model": 256, "heads": 4, "kv_heads": 4, "d_head": 64, "d_ff": 688, "layers": 2,
         "context": 256, "init_std": 0.02}  # fmt: skip
RATE = 2.0**-9  # at or beside the best of the sweep over rates, for longer runs want lower ones
WARMUP = 0.1  # of all runs alike, so that a grown one has no other
PADDED, COPIED = Growth(operator="zeropad"), Growth(operator="duplicate", noise=0.1)
#: width of the source -> arms: None, a lambda of szp, or a growth
ARMS = {
    128: {"cold": None, "szp 0.2": 0.2, "szp 0.4": 0.4, "szp 1": 1.0, "zeropad": PADDED},
    96: {
        "szp 0.4": 0.4,
        "szp 1": 1.0,
        "zeropad": PADDED,
        "shrink": Growth(noise=0.0),
        "duplicate": COPIED,
    },
    64: {"szp 0.2": 0.2, "szp 0.4": 0.4, "duplicate": COPIED},
}
TARGET = 192
DEPTH_ARMS = {
    "scratch": (1.0, "", "tokens"),
    "late 0.7 random, equal operations": (0.7, "random", "flops"),
    "late 0.7 random, equal tokens": (0.7, "random", "tokens"),
    "late 0.5 random, equal operations": (0.5, "random", "flops"),
    "late 0.7 stack, equal operations": (0.7, "stack", "flops"),
    "late 0.7 identity, equal operations": (0.7, "identity", "flops"),
}


@dataclass
class Setting:
    """Sizes of all parts but `broad`; widths are told as if the proxy's were 64.

    Args:
        proxy: The proxy.
        batch: Windows per step.
        length: Tokens per window.
        per: Tokens per parameter.
        rates: Exponents of the rates whose warm and cold runs are compared.
    """

    proxy: dict[str, Any]
    batch: int
    length: int
    per: float
    rates: range


SETTINGS = {"gpu": Setting(PROXY, 32, 128, 20, range(-11, -6)), "quarter": Setting(QUARTER, 16, 64, 10, range(-8, -3))}
S = Setting(**vars(SETTINGS["gpu"]))


def use(scale: str) -> None:
    """Take other sizes, in this process."""
    vars(S).update(vars(SETTINGS[scale]))
    planned.cache_clear()


@dataclass(frozen=True)
class Place:
    """Where cells run.

    Args:
        texts: Folder of the texts.
        device: "cpu" or "cuda".
        ends: time.time() after which a stack gives up.
        small: Tiny sizes, to try the command out.
        rate: Peak rate of all but the sweeps.
        scale: One of `SETTINGS`.
    """

    texts: str
    device: str
    ends: float = math.inf
    small: bool = False
    rate: float = RATE
    scale: str = "gpu"

    @property
    def bf16(self) -> bool:
        """Forward passes in bfloat16."""
        return self.device != "cpu"


@dataclass(frozen=True)
class Cell:
    """One unit of work; its line's key is (part, *key)."""

    part: str
    key: tuple[Any, ...]
    seconds: float = 60.0
    seeds: tuple[int, ...] = field(default=(0,))


@cache
def texts(folder: str) -> tuple[Tokens, Tokens]:
    """Shakespeare, WikiText-2 (validation and test) and the source of Python's library; 5 % of each are held out."""
    raw = []
    for path in sorted(Path(folder).iterdir()):
        if path.suffix in (".gz", ".xz"):
            data = path.read_bytes()
            raw.append(gzip.decompress(data) if path.suffix == ".gz" else lzma.decompress(data))
    parts = [Tokens(np.frombuffer(r, dtype=np.uint8), 256, "part").split(0.05) for r in raw]
    both = (np.concatenate([p[i].values for p in parts]) for i in (0, 1))
    names = ("Shakespeare, WikiText-2, Python's library", "held out")
    first, second = (Tokens(v, 256, n) for v, n in zip(both, names, strict=True))
    return first, second


@cache
def planned(word: str = "mup", *, broad: bool = False, layers: int = 2) -> MuPlan:
    """The plan of the proxy."""
    return MuPlan.infer(
        "refgpt", proxy={**(BROAD if broad else S.proxy), "layers": layers}, options=Options(parametrization=word)
    )


def started(plan: MuPlan, seed: int) -> dict[str, torch.Tensor]:
    return {name: tensor.detach() for name, tensor in plan.build(seed=seed).named_parameters()}


def stack(plan: MuPlan, models: Sequence[One], place: Place) -> Stack:
    return Stack(plan, models, device=place.device, bf16=place.bf16)


def fit(own: Stack, place: Place, steps: int, *, batch: int = 0, length: int = 0, **more: Any) -> Trained:
    text, held_out = texts(place.texts)
    sizes = {"evaluations": 4, "count": 2} if place.small else {}
    batch, length = batch or S.batch, length or S.length
    batch = min(batch, 2) if place.small else batch
    return train_stack(
        own, text, held_out, steps=steps, batch=batch, length=length, ends=place.ends, **{**sizes, **more}
    )


def steps_of(plan: MuPlan, per: float, place: Place, batch: int = 0, length: int = 0) -> int:
    batch, length = batch or S.batch, length or S.length
    return 24 if place.small else max(1, round(per * count(plan, length).inner / (batch * length)))


def line(cell: Cell, plan: MuPlan, done: Trained, i: int, *, batch: int = 0, length: int = 0, **more: Any) -> dict:
    """One model's line; losses that are not finite are null."""
    batch, length = batch or S.batch, length or S.length
    sizes, each = count(plan, length), batch * length
    curve = [[step * each, loss if math.isfinite(loss) else None] for step, loss in done.curve(i)]
    return {
        "part": cell.part, "key": list(cell.key), **more, "loss": curve[-1][1], "inner": sizes.inner,
        "total": sizes.total, "flops_per_token": sizes.flops_per_token, "tokens": curve[-1][0], "curve": curve,
        "seconds": done.seconds / len(done.losses[0]),
    }  # fmt: skip


# -- parts --


def rates(cell: Cell, place: Place) -> list[dict]:
    """Key (parametrisation, width, seed): nine rates side by side for 1,000 steps."""
    word, width, seed = cell.key
    plan = planned(word).widened(width / 64)
    grid = [2.0**k for k in range(-11, -2)]
    return _sweep(cell, place, plan, grid, seed, 12 if place.small else 1000, S.batch, S.length)


def broad(cell: Cell, place: Place) -> list[dict]:
    """Key (parametrisation, width, seed): twelve rates for 122 steps of 8,192 tokens from base 256."""
    word, width, seed = cell.key
    plan = planned(word, broad=True).widened(width / 256)
    grid = [2.0**k for k in range(-14, -2)]
    return _sweep(cell, place, plan, grid, seed, 3 if place.small else 122, 2 if place.small else 32, 256)


def _sweep(
    cell: Cell, place: Place, plan: MuPlan, grid: Sequence[float], seed: int, steps: int, batch: int, length: int
) -> list[dict]:
    weights, factor = started(plan, seed), WSD(WARMUP, 0.2).factor
    models = [One(weights, lr, seed, 0, factor) for lr in grid]
    done = fit(stack(plan, models, place), place, steps, batch=batch, length=length, evaluations=5, count=32)
    word, width, _ = cell.key
    return [
        line(cell, plan, done, i, batch=batch, length=length, parametrization=word, width=width, lr=lr, seed=seed)
        for i, lr in enumerate(grid)
    ]


@dataclass(frozen=True)
class Source:
    """Trained sources, and where they are in the data."""

    plan: MuPlan
    weights: list[dict[str, torch.Tensor]]
    start: int
    flops: float
    tokens: int


def sources(width: int, seeds: Sequence[int], place: Place) -> Source:
    """Models of a width trained on 20 tokens per parameter; their weights before the cooldown."""
    plan, schedule = planned().widened(width / 64), WSD(WARMUP, 0.2)
    steps = steps_of(plan, S.per, place)
    cut = schedule.cooldown_starts(steps)
    models = [One(started(plan, s), place.rate, s, 0, schedule.factor) for s in seeds]
    done = fit(stack(plan, models, place), place, steps, until=cut, keep=[cut])
    tokens = cut * S.batch * S.length
    weights = [done.of(i, cut) for i in range(len(seeds))]
    return Source(plan, weights, cut * S.batch, count(plan, S.length).flops_per_token * tokens, tokens)


def _full(plan: MuPlan, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """With the fixed gains, which a stack does not hold."""
    gains = {n: torch.ones(tuple(r.shape)) for n, r in plan.rows.items() if r.kind != "weight"}
    return {**gains, **weights}


def warm(cell: Cell, place: Place) -> list[dict]:
    """Key (width of the source, seeds): every arm and seed in one stack at width 192."""
    width = cell.key[0]
    found, target = sources(width, cell.seeds, place), planned().widened(TARGET / 64)
    steps, factor = steps_of(target, S.per, place), WSD(WARMUP, 0.2).factor
    models, labels, growth = [], [], None
    arms = ARMS[width] if S.proxy is PROXY or width == 128 else {"cold": None, **ARMS[width]}
    for arm, how in arms.items():
        for i, seed in enumerate(cell.seeds):
            weights, start = started(target, seed), 0
            if how is not None:
                given = replace(how, seed=seed) if isinstance(how, Growth) else Growth(lam=how, seed=seed)
                grown = grow(_full(found.plan, found.weights[i]), found.plan, target, given, force=True)
                weights, growth, start = dict(grown.weights), grown.factor, found.start
            models.append(One(weights, place.rate, seed, start, factor))
            labels.append((arm, seed))
    done = fit(stack(target, models, place), place, steps)
    more = {"source": width, "growth": growth, "base_flops": found.flops, "base_tokens": found.tokens, "lr": place.rate}
    return [line(cell, target, done, i, arm=arm, seed=seed, **more) for i, (arm, seed) in enumerate(labels)]


def stability(cell: Cell, place: Place) -> list[dict]:
    """Key (seeds): five rates, cold and warm (128 to 192, lambda 0.4): one stack."""
    found, target = sources(128, cell.seeds, place), planned().widened(TARGET / 64)
    steps, factor = steps_of(target, S.per, place), WSD(WARMUP, 0.2).factor
    models, labels = [], []
    for arm in ("cold", "szp 0.4"):
        for i, seed in enumerate(cell.seeds):
            weights, start = started(target, seed), 0
            if arm != "cold":
                given = Growth(lam=0.4, seed=seed)
                grown = grow(_full(found.plan, found.weights[i]), found.plan, target, given)
                weights, start = dict(grown.weights), found.start
            for k in S.rates:
                models.append(One(weights, 2.0**k, seed, start, factor))
                labels.append((arm, seed, 2.0**k))
    done = fit(stack(target, models, place), place, steps)
    return [line(cell, target, done, i, arm=a, seed=s, lr=lr) for i, (a, s, lr) in enumerate(labels)]


def ladder(cell: Cell, place: Place) -> list[dict]:
    """Key (width, tokens per parameter): runs from scratch for the scaling law."""
    width, per = cell.key
    plan, factor = planned().widened(width / 64), WSD(WARMUP, 0.2).factor
    models = [One(started(plan, s), place.rate, s, 0, factor) for s in cell.seeds]
    done = fit(stack(plan, models, place), place, steps_of(plan, per, place))
    return [
        line(cell, plan, done, i, width=width, per=per, seed=seed, lr=place.rate) for i, seed in enumerate(cell.seeds)
    ]


def depth(cell: Cell, place: Place) -> list[dict]:
    """Key (arm): four layers of width 128 from scratch, or grown late from one layer at the constant rate."""
    (arm,) = cell.key
    share, rule, equal = DEPTH_ARMS[arm]
    deep = planned(layers=4).widened(2)
    one = deep.for_target({"d_model": 2 * S.proxy["d_model"], "layers": 1})
    costs = [count(p, S.length).flops_per_token for p in (one, deep)]
    steps = steps_of(deep, S.per, place)
    if equal == "flops":
        steps = round(steps * costs[1] / (share * costs[0] + (1 - share) * costs[1]))
    factor = WSD(WARMUP, 0.2).factor
    if not rule:
        models = [One(started(deep, s), place.rate, s, 0, factor) for s in cell.seeds]
        done = fit(stack(deep, models, place), place, steps)
        spent, tail = costs[1] * steps * S.batch * S.length, done
    else:
        cut = round(share * steps)
        models = [One(started(one, s), place.rate, s, 0, factor) for s in cell.seeds]
        head = fit(stack(one, models, place), place, steps, until=cut, keep=[cut])
        how = [Growth(operator="zeropad", depth=rule, seed=s) for s in cell.seeds]
        grown = [grow(_full(one, head.of(i, cut)), one, deep, h) for i, h in enumerate(how)]
        models = [One(dict(g.weights), place.rate, s, 0, factor) for g, s in zip(grown, cell.seeds, strict=True)]
        own = stack(deep, models, place)
        own.state |= head.moments  # of what was there; new blocks start without
        tail = fit(own, place, steps, first=cut)
        done = Trained(head.steps + tail.steps, head.losses + tail.losses, seconds=head.seconds + tail.seconds)
        spent = (costs[0] * cut + costs[1] * (steps - cut)) * S.batch * S.length
    more = {"arm": arm, "flops": spent, "lr": place.rate, "steps": steps}
    return [line(cell, deep, done, i, seed=seed, **more) for i, seed in enumerate(cell.seeds)]


def merging(cell: Cell, place: Place) -> list[dict]:
    """Width 128: cooldown against no cooldown, judged as it is and by the mean of the last checkpoints."""
    plan = planned().widened(2)
    steps = steps_of(plan, S.per, place)
    schedules = {"cooldown": WSD(WARMUP, 0.2), "constant": WSD(WARMUP, 0.0)}
    labels = [(arm, seed) for arm in schedules for seed in cell.seeds]
    models = [One(started(plan, s), place.rate, s, 0, schedules[a].factor) for a, s in labels]
    own = stack(plan, models, place)
    at = sorted({round(steps * (0.8 + 0.2 * (i + 1) / 8)) for i in range(8)})
    done = fit(own, place, steps, keep=at)
    found = [line(cell, plan, done, i, arm=arm, seed=seed) for i, (arm, seed) in enumerate(labels)]
    with torch.no_grad():
        for name, tensor in own.w.items():
            tensor.copy_(torch.stack([done.kept[step][name] for step in at]).mean(0))
    from _stack import Feed, _on, evaluate

    held_out = texts(place.texts)[1]
    from luthier.nets.data import Batches

    feed = Feed(_on(held_out, place.device), [Batches(held_out, S.batch, S.length) for _ in models])
    merged = evaluate(own, feed, 2 if place.small else 16)
    for row, loss in zip(found, merged, strict=True):
        row["merged"] = loss
    return found


PARTS = {"rates": rates, "broad": broad, "warm": warm, "stability": stability, "ladder": ladder, "depth": depth,
         "merging": merging}  # fmt: skip


def run_cell(cell: Cell, place: Place) -> list[dict]:
    """A cell's lines."""
    warnings.simplefilter("ignore", CostWarning)
    torch.set_num_threads(1)
    use(place.scale)
    torch.set_float32_matmul_precision("high")
    began = time.time()
    from _growth_coordinates import coordinates

    work = {**PARTS, "coordinates": coordinates}[cell.part]
    found = work(cell, place)
    name = torch.cuda.get_device_name() if place.device == "cuda" else "cpu"
    for row in found:
        row |= {"cell_seconds": round(time.time() - began, 1), "device": name, "torch": torch.__version__}
    if place.device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**30
        for row in found:
            row["peak_gib"] = round(peak, 2)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return found
