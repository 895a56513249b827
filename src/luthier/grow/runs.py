"""Runs: a plan's model trained from its start or from a checkpoint, with its line in the ledger."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, did_you_mean
from luthier.base.files import write_text
from luthier.grow import diagnostics, roles
from luthier.grow._checks import check_model, check_text
from luthier.grow.hyper import Hyper
from luthier.grow.layouts import layout
from luthier.grow.ledger import PURPOSES, Entry, Ledger
from luthier.grow.moments import kept, put
from luthier.grow.mu_plan import MuPlan
from luthier.nets._torch import nn, torch
from luthier.nets.checkpoints import Checkpoint, amend, load_weights, read
from luthier.nets.checkpoints import merge as merged
from luthier.nets.data import Batches, Tokens, held_out_loss
from luthier.nets.schedules import WSD, Schedule
from luthier.nets.training import HISTORY, Evaluate, History, Hook, Recipe, Record, lines, train

REWARM = 100  # least warm-up steps after growth: the variance estimate is 0 there; at most a tenth of the run


@dataclass(frozen=True)
class Count:
    """Parameters of a plan's target: all, and those outside of tables and readout; operations per token."""

    total: int
    inner: int
    flops_per_token: float


def count(plan: MuPlan, length: int) -> Count:
    """Parameters and operations of a plan's target, 6 per weight in a product and attention's own.

    Of a model whose heads are not known tables are its embeddings, and attention's own operations are not counted.
    """
    sizes = {name: math.prod(row.shape) for name, row in plan.rows.items()}
    kinds, attention = _kinds(plan)
    inner = sum(size for name, size in sizes.items() if kinds[name] not in ("table", "readout"))
    products = [n for n in sizes if kinds[n] == "readout" or (kinds[n] == "table" and plan.rows[n].aliases)]
    flops = 6 * (inner + sum(sizes[name] for name in products)) + attention * length
    return Count(sum(sizes.values()), inner, float(flops))


def _kinds(plan: MuPlan) -> tuple[dict[str, str], int]:
    """What each tensor is, and attention's own operations per token and length."""
    try:
        own = layout(plan)
    except ArgumentError:  # a function of one's own, or a family that growth does not know: roles have to do
        modules = dict(roles.on_meta(plan._factory(), plan.target).named_modules())
        tables = {n for n in plan.rows if isinstance(modules[n.rpartition(".")[0]], nn.Embedding)}
        return {n: "table" if n in tables else row.role for n, row in plan.rows.items()}, 0
    attention = 12 * own.sizes.layers * own.sizes.heads * own.sizes.head
    return {name: part.kind for name, part in own.parts.items()}, attention


def tokens_of(text: str | float, parameters: int) -> int:
    """A number of tokens: "20x" is twenty a parameter, "3e6" and 3_000_000 are that many.

    Raises:
        ArgumentError: neither.
    """
    try:
        each = isinstance(text, str) and text.endswith("x")
        value = float(str(text)[:-1]) * parameters if each else float(text)
    except (TypeError, ValueError):
        value = -1.0
    if not 0 < value < math.inf:
        raise ArgumentError(f"tokens={text!r}. Allowed: a number, or a number per parameter such as '20x'.")
    return round(value)


def run(
    plan: MuPlan,
    hyper: Hyper,
    text: Tokens,
    held_out: Tokens,
    *,
    tokens: int | str,
    folder: str | Path | None = None,
    source: Checkpoint | None = None,
    seed: int = 0,
    purpose: str = "scratch",
    name: str = "",
    ledger: Ledger | str | Path | None = None,
    data_start: int = 0,
    evaluations: int = 8,
    evaluate_every: int | None = None,
    save_every: int | None = None,
    hooks: Sequence[Hook] = (),
    growth: float | None = None,
    grown_from: str = "",
    model: nn.Module | None = None,
    schedule: Schedule | None = None,
    moments: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
    merge: int = 0,
    device: str = "cpu",
) -> tuple[History, nn.Module]:
    """Train a plan's target.

    Args:
        plan: What is trained.
        hyper: With what.
        text: Tokens to train on.
        held_out: Tokens of `val_loss`.
        tokens: How many to see, or "20x": so many for each parameter outside of tables.
        folder: Of the run; it is resumed where it stopped.
        source: Start values: a grown checkpoint, or a run to continue. The latter is "continued" in the ledger: records
            count its tokens and operations on, moments begin anew. None: the plan's own start.
        seed: Of start, data and dropout.
        purpose: See the ledger.
        name: Of the run in the ledger; empty: the folder's.
        ledger: Where the run is entered when it ends: a ledger, or its file.
        data_start: Windows that the source has used, to continue the stream.
        evaluations: Batches of held-out text.
        evaluate_every: Steps between two evaluations; None: twenty over the run.
        save_every: Steps between two checkpoints.
        hooks: Called with every record.
        growth: Growth factor, for the ledger.
        grown_from: Name of the source's run, for the ledger; of a run that is continued its folder's, unless given.
        model: A model that is there already (grown), instead of `source`.
        schedule: In place of the one that `hyper` says.
        moments: Optimiser state to begin with, by tensor; None: what a grown `source` carries.
        merge: 0: the rate falls at the end. Else it stays, and the run is judged by the mean of that many checkpoints
            of its last fifth, which the model then has: what it would be after a cooldown, and the run can be gone on
            with or grown from any of them.
        device: Where.

    Returns:
        The history and the trained model.

    Raises:
        ArgumentError: an unknown purpose, a source that the ledger lacks, or of a run that was not grown,
            hyperparameters of another proxy without a reason, fewer tokens than one step, a plan with an error (MU01,
            MU07), a model that sees later tokens or has too few positions, or groups that are not the plan's, now or
            later (MU04: a hook that sets rates).

    Source: judging by merged checkpoints: WSM (2025), by abstract.
    """
    check("purpose", purpose, one_of=PURPOSES)
    ledger = Ledger.open(ledger) if isinstance(ledger, str | Path) else ledger
    grown = growth is not None or (source is not None and "growth" in source.state["extra"])
    earlier = _earlier(source, plan, hyper.length)
    _check_source(grown_from, grown or purpose == "growth" or earlier is not None, ledger)
    if purpose == "continued" and earlier is None:
        raise ArgumentError("purpose='continued': nothing to continue. Allowed with the checkpoint of a run as source.")
    if earlier is not None and source is not None:
        purpose = "continued" if purpose in ("scratch", "growth") else purpose  # its tokens are not its own alone
        growth, grown_from = None, grown_from or _run_of(source)
        hooks = [Added(earlier), *hooks]
    check_text(plan, text, held_out)
    if hyper.fingerprint:
        diagnostics.check_fingerprint(plan, hyper.fingerprint, reason=hyper.reason or None)
    sizes = count(plan, hyper.length)
    steps = tokens_of(tokens, sizes.inner) // (hyper.batch * hyper.length)
    if steps < 1:
        raise ArgumentError(
            f"tokens={tokens}: fewer than one step of {hyper.batch} x {hyper.length}. Give more, or a smaller batch."
        )
    net = plan.build(seed=seed, device=device) if model is None else model
    if source is not None:
        load_weights(net, source.weights(), where=str(source.folder))
    check_model(plan, hyper.batch, hyper.length, net)
    optimiser = hyper.make(plan, net)
    carried = moments if moments is not None or source is None else kept(source.folder)
    if carried is not None:
        put(carried, net, optimiser)
    batches = Batches(text, hyper.batch, hyper.length, seed=seed, start=data_start)
    recipe = Recipe(
        steps=steps,
        schedule=schedule or _schedule(hyper, grown and carried is None, steps, merge),
        clip=hyper.clip,
        seed=seed,
        evaluate_every=evaluate_every or max(1, steps // 20),
        save_every=save_every,
        save_at=_last_fifth(steps, merge),
    )
    measure = held_out_loss(Batches(held_out, hyper.batch, hyper.length, seed=0), evaluations)
    audit = _Audit(plan, net, optimiser, hyper)
    with _place(folder, merge) as place:
        history = train(
            net, batches, optimiser, recipe, evaluate=measure, folder=place, hooks=[*hooks, audit],
            flops=sizes.flops_per_token, extra=_extra(plan, hyper, batches, steps, source),
        )  # fmt: skip
        if merge and not history.diverged:
            _judge_merged(history, net, Path(place or ""), recipe.save_at, measure)
    label = name or (Path(folder).name if folder else purpose)
    if ledger is not None:
        _enter(ledger, _entry(label, purpose, sizes, history, hyper, growth, grown_from, seed))
    return history, net


def _same(one: Entry, other: Entry) -> bool:
    """Whether two entries are of one run that was opened again; one that diverged has made its last steps anew."""
    seconds = other.seconds if other.loss is None else one.seconds
    kept = replace(one, run=other.run, source=other.source, seconds=seconds, before=other.before, curve=other.curve)
    return kept == other


def name_of(ledger: Ledger, run: str, seconds: float) -> str:
    """The name under which a run is in the ledger: its own, or with a number behind it."""
    return next((e.run for e in reversed(ledger.entries) if e.seconds == seconds and e.run.startswith(run)), run)


def _enter(ledger: Ledger, entry: Entry) -> None:
    """Add a run once; another one of the same name gets a number behind it."""
    known = {one.run: one for one in ledger.entries}
    name, number = entry.run, 1
    while name in known:
        if _same(known[name], entry):
            return
        number += 1
        name = f"{entry.run}-{number}"
    ledger.add(replace(entry, run=name))


def _check_source(name: str, grown: bool, ledger: Ledger | None) -> None:
    """Refuse a source that the ledger could charge nothing for."""
    if name and not grown:
        raise ArgumentError(
            f"grown from {name!r}: the run begins at its plan's own start. Allowed: no source (no --from), a start "
            "that `luthier grow expand` wrote, or a run that is continued."
        )
    if name and ledger is not None and all(name != one.run for one in ledger.entries):
        known = did_you_mean(name, {one.run for one in ledger.entries}) if ledger.entries else "It has no run."
        raise ArgumentError(f"grown from {name!r}: no run of that name in {ledger.path}. {known}")


class Added:
    """A hook that adds what an earlier part has cost.

    Args:
        before: Name of a number in the records -> what is added.
    """

    def __init__(self, before: Mapping[str, float]) -> None:
        self._before = before

    def __call__(self, record: Record) -> None:
        """Add it to a record."""
        for name, value in self._before.items():
            record[name] = record.get(name, 0) + value


def _earlier(source: Checkpoint | None, plan: MuPlan, length: int) -> dict[str, float] | None:
    """Tokens and operations of a run up to a checkpoint, its own earlier parts included; None: it is no run's."""
    if source is None or "recipe" not in source.state or not source.step:
        return None
    own = source.state["tokens"]
    spent = own * count(plan, source.state["extra"].get("hyper", {}).get("length", length)).flops_per_token
    found = {"tokens": own, "flops": spent}
    last = source.state["history"][-1] if source.state["history"] else {}
    done = last.get("step", 0) / source.step  # no record is due at every checkpoint
    return {name: value + max(0.0, last.get(name, 0) - done * value) for name, value in found.items()}


def _run_of(source: Checkpoint) -> str:
    """The name of a checkpoint's run: its folder's."""
    place = source.folder.resolve()
    return place.parent.name if place.name.startswith("step-") else place.name


class _Audit:
    """A hook that looks at the groups: at once, and with every record (MU04)."""

    def __init__(self, plan: MuPlan, model: nn.Module, optimiser: torch.optim.Optimizer, hyper: Hyper) -> None:
        self._parts = (plan, model, optimiser, hyper)
        self({})

    def __call__(self, record: Record) -> None:
        plan, model, optimiser, hyper = self._parts
        found = diagnostics.audit_groups(
            plan, model, optimiser, lr=hyper.lr, weight_decay=hyper.weight_decay, eps=hyper.eps, kind=hyper.optimiser
        )
        wrong = [one for one in found if one.level == "error"]
        if wrong:
            raise ArgumentError(f"optimiser: {wrong[0]}")


def _schedule(hyper: Hyper, rewarms: bool, steps: int, merge: int) -> WSD:
    least = min(REWARM, steps // 10) if rewarms else 0
    return WSD(hyper.warmup, 0.0 if merge else hyper.cooldown, least)


def _last_fifth(steps: int, count: int) -> tuple[int, ...]:
    """Places of `count` checkpoints, spread over the last fifth of the steps, the last one at the end."""
    return tuple(sorted({max(1, round(steps * (0.8 + 0.2 * (i + 1) / count))) for i in range(count)}))


@contextmanager
def _place(folder: str | Path | None, merge: int) -> Iterator[str | Path | None]:
    """The run's folder; a passing one where checkpoints are needed and none was named."""
    if folder is not None or not merge:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="luthier-merge-") as passing:
        yield passing


def _judge_merged(history: History, net: nn.Module, place: Path, steps: Sequence[int], measure: Evaluate) -> None:
    """Put a run's merged weights into its model, and what they come to into its last record, on disk too."""
    last = history.records[-1]
    last.setdefault("unmerged", last["val_loss"])  # a run that is opened again was judged before
    load_weights(net, merged([read(place / f"step-{k:08d}") for k in steps]))
    was = net.training
    last |= measure(net.eval())
    net.train(was)
    amend(read(place), history=history.records)  # its last checkpoint was written before
    write_text(place / HISTORY, lines(history.records))


def _extra(plan: MuPlan, hyper: Hyper, batches: Batches, steps: int, source: Checkpoint | None) -> dict[str, Any]:
    extra: dict[str, Any] = {"plan": plan.data(), "hyper": asdict(hyper), "data": batches.tokens.fingerprint}
    extra["cursor"] = batches.after(steps)
    if source is not None and "growth" in source.state["extra"]:
        extra["growth"] = source.state["extra"]["growth"]
    return extra


def _entry(
    name: str, purpose: str, sizes: Count, history: History, hyper: Hyper, growth: float | None, source: str, seed: int
) -> Entry:
    last, loss = history.records[-1], history.last("val_loss")
    tokens = history.step * hyper.batch * hyper.length  # a record may have the shallow part's too
    flops = sizes.flops_per_token * tokens
    earlier = last["flops"] - flops
    return Entry(
        run=name,
        purpose=purpose,
        size=sizes.inner,
        total=sizes.total,
        tokens=tokens,
        flops=flops,
        before=last["tokens"] - tokens,
        curve=tuple((r["flops"] - earlier, r["val_loss"]) for r in history.records if "val_loss" in r),
        seconds=last["seconds"],
        loss=None if history.diverged or loss != loss else loss,
        lr=hyper.lr,
        growth=growth,
        source=source,
        seed=seed,
    )


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
    total = sum(math.prod(row.shape) for row in plan.rows.values())
    return {"weights": 4 * total, "training": 16 * total}
