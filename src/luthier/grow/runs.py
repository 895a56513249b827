"""Runs: a plan's model trained from its start or from a checkpoint, with its line in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.grow import diagnostics
from luthier.grow.hyper import Hyper
from luthier.grow.layouts import layout
from luthier.grow.ledger import Entry, Ledger
from luthier.grow.mu_plan import MuPlan
from luthier.nets._torch import nn, torch
from luthier.nets.checkpoints import Checkpoint, load_weights
from luthier.nets.data import Batches, Tokens, held_out_loss
from luthier.nets.schedules import WSD
from luthier.nets.training import History, Hook, Recipe, train

REWARM = 100  # least warm-up steps after growth: the variance estimate is 0 there; at most a tenth of the run


@dataclass(frozen=True)
class Count:
    """Parameters of a plan's target: all, and those outside of tables and readout; operations per token."""

    total: int
    inner: int
    flops_per_token: float


def count(plan: MuPlan, length: int) -> Count:
    """Parameters and operations of a plan's target, 6 per weight in a product and attention's own."""
    import math

    own = layout(plan)
    sizes = {name: math.prod(row.shape) for name, row in plan.rows.items()}
    inner = sum(size for name, size in sizes.items() if own.parts[name].kind not in ("table", "readout"))
    tables = [name for name, part in own.parts.items() if part.kind == "table" and plan.rows[name].aliases]
    readout = [name for name, part in own.parts.items() if part.kind == "readout"]
    products = inner + sum(sizes[name] for name in (*readout, *tables))
    attention = 12 * own.sizes.layers * own.sizes.heads * own.sizes.head * length
    return Count(sum(sizes.values()), inner, float(6 * products + attention))


def tokens_of(text: str, parameters: int) -> int:
    """A number of tokens: "20x" is twenty a parameter, "3e6" is that many.

    Raises:
        ArgumentError: neither.
    """
    try:
        value = float(text[:-1]) * parameters if text.endswith("x") else float(text)
    except ValueError:
        value = -1.0
    if not value > 0:
        raise ArgumentError(f"tokens={text!r}. Allowed: a number, or a number per parameter such as '20x'.")
    return round(value)


def run(
    plan: MuPlan,
    hyper: Hyper,
    text: Tokens,
    held_out: Tokens,
    *,
    tokens: int,
    folder: str | Path | None = None,
    source: Checkpoint | None = None,
    seed: int = 0,
    purpose: str = "scratch",
    name: str = "",
    ledger: Ledger | None = None,
    data_start: int = 0,
    evaluations: int = 8,
    evaluate_every: int | None = None,
    save_every: int | None = None,
    hooks: Sequence[Hook] = (),
    growth: float | None = None,
    grown_from: str = "",
    model: nn.Module | None = None,
    schedule: WSD | None = None,
    device: str = "cpu",
) -> tuple[History, nn.Module]:
    """Train a plan's target.

    Args:
        plan: What is trained.
        hyper: With what.
        text: Tokens to train on.
        held_out: Tokens of `val_loss`.
        tokens: How many to see.
        folder: Of the run; it is resumed where it stopped.
        source: Start values (a grown checkpoint, or a run to continue); None: the plan's own start.
        seed: Of start, data and dropout.
        purpose: See the ledger.
        name: Of the run in the ledger; empty: the folder's.
        ledger: Where the run is entered when it ends.
        data_start: Windows that the source has used, to continue the stream.
        evaluations: Batches of held-out text.
        evaluate_every: Steps between two evaluations; None: twenty over the run.
        save_every: Steps between two checkpoints.
        hooks: Called with every record.
        growth: Growth factor, for the ledger.
        grown_from: Name of the source's run, for the ledger.
        model: A model that is there already (grown), instead of `source`.
        schedule: In place of the one that `hyper` says.
        device: Where.

    Returns:
        The history and the trained model.

    Raises:
        ArgumentError: hyperparameters of another proxy without a reason, or fewer tokens than one step.
    """
    if hyper.fingerprint:
        diagnostics.check_fingerprint(plan, hyper.fingerprint, reason=hyper.reason or None)
    steps = tokens // (hyper.batch * hyper.length)
    if steps < 1:
        raise ArgumentError(f"tokens={tokens}: fewer than one step of {hyper.batch} x {hyper.length}.")
    net = plan.build(seed=seed, device=device) if model is None else model
    if source is not None:
        load_weights(net, source.weights(), where=str(source.folder))
    grown = growth is not None or (source is not None and "growth" in source.state["extra"])
    least = min(REWARM, steps // 10) if grown else 0
    wsd = schedule or WSD(hyper.warmup, hyper.cooldown, least)
    batches = Batches(text, hyper.batch, hyper.length, seed=seed, start=data_start)
    sizes = count(plan, hyper.length)
    recipe = Recipe(
        steps=steps,
        schedule=wsd,
        clip=hyper.clip,
        seed=seed,
        evaluate_every=evaluate_every or max(1, steps // 20),
        save_every=save_every,
    )
    extra: dict[str, Any] = {"plan": plan.data(), "hyper": _plain(hyper), "data": batches.tokens.fingerprint}
    extra["cursor"] = batches.after(steps)
    if source is not None and "growth" in source.state["extra"]:
        extra["growth"] = source.state["extra"]["growth"]
    measure = held_out_loss(Batches(held_out, hyper.batch, hyper.length, seed=0), evaluations)
    history = train(
        net,
        batches,
        hyper.make(plan, net),
        recipe,
        evaluate=measure,
        folder=folder,
        hooks=hooks,
        flops=sizes.flops_per_token,
        extra=extra,
    )
    label = name or (Path(folder).name if folder else purpose)
    if ledger is not None and label not in {e.run for e in ledger.entries}:
        ledger.add(_entry(label, purpose, sizes, history, hyper, growth, grown_from, seed))
    return history, net


def _entry(
    name: str, purpose: str, sizes: Count, history: History, hyper: Hyper, growth: float | None, source: str, seed: int
) -> Entry:
    last = history.records[-1]
    loss = history.last("val_loss")
    return Entry(
        run=name,
        purpose=purpose,
        size=sizes.inner,
        total=sizes.total,
        tokens=last["tokens"],
        flops=sizes.flops_per_token * last["tokens"],
        seconds=last["seconds"],
        loss=None if history.diverged or loss != loss else loss,
        lr=hyper.lr,
        growth=growth,
        source=source,
        seed=seed,
    )


def _plain(hyper: Hyper) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(hyper)


def drift(before: nn.Module, after: nn.Module, batch: dict[str, torch.Tensor]) -> float:
    """Mean Kullback-Leibler divergence in nats of the second model's next-token law from the first's."""

    def laws(model: nn.Module) -> torch.Tensor:
        out = model(batch["input_ids"])
        found: torch.Tensor = (out if isinstance(out, torch.Tensor) else out.logits).double().log_softmax(-1)
        return found

    with torch.no_grad():
        p, q = laws(before.eval()), laws(after.eval())
        return float((p.exp() * (p - q)).sum(-1).mean())


def memory(plan: MuPlan) -> dict[str, int]:
    """Bytes of the target: weights, and what training with Adam in float32 needs (weights, gradients, two moments)."""
    import math

    total = sum(math.prod(row.shape) for row in plan.rows.values())
    return {"weights": 4 * total, "training": 16 * total}
