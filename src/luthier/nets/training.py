"""The one training loop: steps, schedule, clipping, accumulation, checkpoints; a run that is resumed ends bit for bit.

    from luthier.nets import Recipe, train

    history = train(model, data, optimiser, Recipe(steps=1000), folder="runs/a", evaluate=measure)

What is particular to a method is its `loss`: a function `(model, batch, moment)` that returns one tensor, or yields
several. Each yielded tensor is back-propagated and let go before the next is asked for, so that a sandwich of four
sub-networks needs the memory of one. Gradients add up; the first tensor is the loss that is reported, unless the
function puts another into `moment.notes["loss"]`. A tensor that is no finite number ends the run, whichever it is.

    def sandwich(model, batch, moment):
        rng = moment.rng()                      # of (seed, step): the same after a resume
        yield next_token(model, batch, moment)
        for sub in draw(rng, 2):
            with model.activate(sub):
                yield next_token(model, batch, moment) / 2
        moment.notes["subnetworks"] = 2         # further numbers of this step's record
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.files import write_text
from luthier.base.seeds import check_seed
from luthier.nets import checkpoints
from luthier.nets._torch import nn, torch
from luthier.nets.schedules import WSD, Schedule

Batch = Mapping[str, torch.Tensor]
Record = dict[str, Any]
Hook = Callable[[Record], None]
Evaluate = Callable[[nn.Module], Mapping[str, float]]
HISTORY = "history.jsonl"
SEED_STEP, SEED_LOSS = 11, 12  # streams of one step: torch's own generator (dropout), and the loss function's


@dataclass(frozen=True)
class Moment:
    """Where the loop is: all that a loss function may depend on beside model and batch.

    Args:
        step: Number of the step, from 0.
        steps: Steps of the run.
        micro: Number of the batch within the step, from 0.
        seed: The run's seed.
        notes: Put numbers here (or tensors of one) that the step's record should have.
    """

    step: int
    steps: int
    micro: int
    seed: int
    notes: dict[str, Any] = field(default_factory=dict)

    def rng(self) -> np.random.Generator:
        """A generator of (seed, step, micro)."""
        return np.random.default_rng([self.seed, SEED_LOSS, self.step, self.micro])


Loss = Callable[[nn.Module, Batch, Moment], "torch.Tensor | Iterator[torch.Tensor]"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to train.

    Args:
        steps: Optimiser steps.
        schedule: Factor of each step's learning rates.
        accumulate: Batches per step; their mean loss is what a step follows.
        clip: Largest norm of all gradients together; 1.0 is the convention for language models. None: no clipping.
        seed: Of dropout and of what the loss draws; data has its own.
        precision: "float32", or "bfloat16" for the forward pass (weights and moments stay float32).
        log_every: Steps between two records.
        evaluate_every: Steps between two evaluations; None: at the end only.
        save_every: Steps between two checkpoints; None: before the cooldown and at the end only.
        save_at: Further steps (counted when made) to save at; these and the one before the cooldown are never removed.
        keep: Newest checkpoints of `save_every` that stay.
    """

    steps: int
    schedule: Schedule = field(default_factory=WSD)
    accumulate: int = 1
    clip: float | None = 1.0
    seed: int = 0
    precision: str = "float32"
    log_every: int = 10
    evaluate_every: int | None = None
    save_every: int | None = None
    save_at: tuple[int, ...] = ()
    keep: int = 2

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        check("precision", self.precision, one_of=("float32", "bfloat16"))
        check_seed(self.seed)
        if self.clip is not None:
            check("clip", self.clip, above=0)
        for name in ("steps", "accumulate", "log_every", "keep", "evaluate_every", "save_every"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, check(name, given, at_least=1, whole=True))

    def data(self) -> dict[str, Any]:
        """What decides the numbers of a run: a checkpoint is continued only under the same."""
        return {
            "steps": self.steps,
            "schedule": self.schedule.data(),
            "accumulate": self.accumulate,
            "clip": self.clip,
            "seed": self.seed,
            "precision": self.precision,
        }


@dataclass
class History:
    """What a run has reported.

    Args:
        records: Each has `step`, `loss` (mean since the record before), `rate` (the schedule's factor), `seconds`, the
            loss function's notes, and `tokens`, `flops` and what was evaluated where these are known.
        diverged: The loss was no finite number, and the run ended there.
        step: Steps made.
    """

    records: list[Record] = field(default_factory=list)
    diverged: bool = False
    step: int = 0

    def last(self, name: str) -> float:
        """The newest number of that name; infinity after a divergence, NaN where there is none."""
        if self.diverged:
            return math.inf
        return next((float(r[name]) for r in reversed(self.records) if name in r), math.nan)

    def curve(self, name: str, over: str = "step") -> tuple[list[float], list[float]]:
        """(x, y) of all records that have both."""
        found = [(float(r[over]), float(r[name])) for r in self.records if name in r and over in r]
        return [x for x, _ in found], [y for _, y in found]


def next_token(model: nn.Module, batch: Batch, moment: Moment | None = None) -> torch.Tensor:
    """Mean cross-entropy in nats of `targets` (batch, length) given `input_ids` (batch, length).

    The model returns logits (batch, length, vocabulary), or an object that has them as `.logits`. Targets of -100 do
    not count.
    """
    out = model(batch["input_ids"])
    logits: torch.Tensor = out if isinstance(out, torch.Tensor) else out.logits
    return nn.functional.cross_entropy(logits.flatten(0, -2).float(), batch["targets"].flatten())


def train(
    model: nn.Module,
    data: Callable[[int], Batch],
    optimiser: torch.optim.Optimizer,
    recipe: Recipe,
    *,
    loss: Loss = next_token,
    evaluate: Evaluate | None = None,
    folder: str | Path | None = None,
    resume: bool = True,
    hooks: Sequence[Hook] = (),
    flops: float | None = None,
    extra: Mapping[str, Any] | None = None,
) -> History:
    """Train a model in place.

    Args:
        model: The model; it stays on its device.
        data: Batch number k (from 0) -> tensors; a pure function, so that a resumed run reads the same.
        optimiser: Any of torch; each group's rate at the start is what the schedule multiplies.
        recipe: How long and how.
        loss: What is minimised; see the head of this file.
        evaluate: Model -> numbers, under no_grad and in evaluation mode.
        folder: Where checkpoints and `history.jsonl` go; None: nowhere.
        resume: Continue from the folder's newest checkpoint. False: refuse a folder that has one.
        hooks: Called with each record (a ledger, a progress line).
        flops: Operations of one token's forward and backward pass, for the records.
        extra: Kept in every checkpoint, JSON (the model's configuration, a plan).

    Returns:
        The history, what was done before a resume included. After a divergence the model holds the broken values.

    Raises:
        ArgumentError: the folder holds a run of another recipe, or one may not resume.

    Cost: that of the passes; a checkpoint writes weights and moments once.
    """
    run = _Run(model, optimiser, recipe, None if folder is None else Path(folder), dict(extra or {}))
    run.begin(resume)
    device = next(model.parameters()).device
    was = model.training
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model.train()
        while run.history.step < recipe.steps and not run.history.diverged:
            _step(run, data, loss, device)
            _after(run, evaluate, hooks, flops)
    model.train(was)
    return run.history


def _step(run: _Run, data: Callable[[int], Batch], loss: Loss, device: torch.device) -> None:
    """One optimiser step."""
    recipe, step = run.recipe, run.history.step
    seed = np.random.SeedSequence([recipe.seed, SEED_STEP, step]).generate_state(1)[0]
    torch.manual_seed(int(seed))
    factor = recipe.schedule.factor(step, recipe.steps)
    for group in run.optimiser.param_groups:
        group["lr"] = group["initial_lr"] * factor
    run.optimiser.zero_grad(set_to_none=True)
    losses, totals = [], []
    notes: dict[str, Any] = {}
    for micro in range(recipe.accumulate):
        batch = {k: v.to(device, non_blocking=True) for k, v in data(step * recipe.accumulate + micro).items()}
        run.tokens += int(batch["targets"].numel()) if "targets" in batch else 0
        first, total = _backward(run, loss, batch, Moment(step, recipe.steps, micro, recipe.seed, notes), device)
        losses.append(notes.pop("loss", first))
        totals.append(total)
    run.sum += sum(float(one) for one in losses) / recipe.accumulate  # one wait for the device in a step
    run.count += 1
    run.factor, run.notes = factor, {name: float(value) for name, value in notes.items()}
    run.history.diverged = not math.isfinite(run.sum + sum(float(one) for one in totals))
    if run.history.diverged:
        return
    if recipe.clip is not None:
        nn.utils.clip_grad_norm_(run.model.parameters(), recipe.clip)
    run.optimiser.step()
    run.history.step += 1


def _backward(run: _Run, loss: Loss, batch: Batch, moment: Moment, device: torch.device) -> list[Any]:
    """Gradients of one batch; the value of the first tensor, and the sum of all."""
    bf16 = run.recipe.precision == "bfloat16"
    values: list[torch.Tensor] = []

    def tensors() -> Iterator[torch.Tensor]:
        found = loss(run.model, batch, moment)
        yield from ([found] if isinstance(found, torch.Tensor) else found)

    source = tensors()
    while True:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
            tensor = next(source, None)
        if tensor is None:
            return [values[0], sum(values)]
        values.append(tensor.detach())
        (tensor / run.recipe.accumulate).backward()  # type: ignore[no-untyped-call]


def _after(run: _Run, evaluate: Evaluate | None, hooks: Sequence[Hook], flops: float | None) -> None:
    """Records, evaluation and checkpoints after a step."""
    recipe, step = run.recipe, run.history.step
    ends = step == recipe.steps or run.history.diverged
    measured: dict[str, float] = {}
    if evaluate is not None and not run.history.diverged and (ends or _due(step, recipe.evaluate_every)):
        run.model.eval()
        with torch.no_grad():
            measured = {name: float(value) for name, value in evaluate(run.model).items()}
        run.model.train()
    if ends or measured or _due(step, recipe.log_every):
        record: Record = {"step": step, "loss": run.sum / max(run.count, 1), "rate": run.factor, "tokens": run.tokens}
        if flops is not None:
            record["flops"] = flops * run.tokens
        record.update(run.notes)
        record.update(measured)
        record["seconds"] = run.seconds()
        run.sum, run.count = 0.0, 0
        run.history.records.append(record)
        for hook in hooks:
            hook(record)
    if run.folder is not None and not run.history.diverged and run.due_to_save():
        run.save()


def _due(step: int, every: int | None) -> bool:
    return every is not None and step % every == 0


class _Run:
    """A run's state: everything that a checkpoint has to hold."""

    def __init__(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        recipe: Recipe,
        folder: Path | None,
        extra: dict[str, Any],
    ) -> None:
        self.model, self.optimiser, self.recipe, self.folder, self.extra = model, optimiser, recipe, folder, extra
        self.history = History()
        self.tokens = 0
        self.sum, self.count, self.factor = 0.0, 0, 1.0
        self.notes: dict[str, float] = {}
        self._before = 0.0
        self._began = time.perf_counter()
        for group in optimiser.param_groups:
            group.setdefault("initial_lr", group["lr"])

    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._began

    def begin(self, resume: bool) -> None:
        found = None if self.folder is None else checkpoints.latest(self.folder)
        if found is None:
            return
        if not resume:
            raise ArgumentError(f"folder={str(self.folder)!r}: holds a run. Choose another folder, or resume it.")
        stored, own = found.state["recipe"], self.recipe.data()
        optimiser = found.state.get("optimiser")
        pairs = [(stored, own), (found.state["extra"], self.extra)]
        if optimiser is not None:
            pairs.append((_rates(optimiser["groups"]), _rates(self.optimiser.param_groups)))
        other = next((one for pair in pairs if (one := differing(*pair)) is not None), None)
        if other is not None:
            name, was, now = other
            raise ArgumentError(
                f"folder={str(self.folder)!r}: holds a run with {name}={was}, this one has {now}. Choose another "
                "folder, or the same as there."
            )
        found.load(self.model, self.optimiser)
        state = found.state
        self.tokens, self.sum, self.count = state["tokens"], state["sum"], state["count"]
        self._before = state["seconds"]
        self.history = History([dict(record) for record in state["history"]], False, found.step)

    def due_to_save(self) -> bool:
        step = self.history.step
        return step == self.recipe.steps or step in self._kept() or _due(step, self.recipe.save_every)

    def _kept(self) -> set[int]:
        starts = getattr(self.recipe.schedule, "cooldown_starts", None)
        return {*self.recipe.save_at, *([] if starts is None else [starts(self.recipe.steps)]), self.recipe.steps}

    def save(self) -> None:
        assert self.folder is not None
        step = self.history.step
        state = {
            "recipe": self.recipe.data(),
            "tokens": self.tokens,
            "sum": self.sum,
            "count": self.count,
            "seconds": self.seconds(),
            "history": self.history.records,
        }
        checkpoints.save(
            self.folder / f"step-{step:08d}", self.model, self.optimiser, step=step, state=state, extra=self.extra
        )
        write_text(self.folder / HISTORY, lines(self.history.records))
        passing = [p for p in checkpoints.steps_in(self.folder) if int(p.name[5:]) not in self._kept()]
        for old in passing[: -self.recipe.keep]:
            _remove(old)


def lines(records: Iterable[Record]) -> str:
    """A run's records as `history.jsonl` has them."""
    return "".join(json.dumps(record) + "\n" for record in records)


def _rates(groups: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What an optimiser's groups were given; loading its state would put the old values back without a word."""
    names = {"initial_lr": "lr", "weight_decay": "weight_decay"}
    return {name: [group.get(key) for group in groups] for key, name in names.items()}


def differing(stored: Mapping[str, Any], own: Mapping[str, Any], where: str = "") -> tuple[str, str, str] | None:
    """The first value that a run in a folder had otherwise: its name, what it was and what it is; None: none.

    What the folder does not have is new, and was not said then.
    """
    for name, now in json.loads(json.dumps(dict(own))).items():
        if name not in stored:
            continue
        was = stored[name]
        if isinstance(was, dict) and isinstance(now, dict):
            found = differing(was, now, f"{where}{name}.")
            if found is not None:
                return found
        elif json.dumps(was) != json.dumps(now):
            return f"{where}{name}", f"{was!r:.80}", f"{now!r:.80}"
    return None


def _remove(folder: Path) -> None:
    (folder / checkpoints.STATE).unlink()  # first, so that what is left of it is no checkpoint
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
