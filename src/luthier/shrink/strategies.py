"""Training a super-network: which sub-networks a step trains, and what they learn from the whole.

    train(net, space, data, strategy="sandwich", steps=1000, folder="run")

Each strategy is a loss function of the one training loop in `nets`: it yields one tensor for each sub-network, which
is back-propagated at once, so the memory is that of the largest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from luthier.base.checks import check, check_fields
from luthier.base.errors import ArgumentError
from luthier.nets.training import History, Moment, Recipe
from luthier.nets.training import train as run_loop
from luthier.shrink._fits import check_fits
from luthier.shrink._torch import nn, torch
from luthier.shrink.cost import CostModel
from luthier.shrink.extraction import fingerprint
from luthier.shrink.lora import Lora
from luthier.shrink.samplers import Sampler, parsed
from luthier.shrink.spaces import NetSpace
from luthier.shrink.spec import SubNetSpec
from luthier.shrink.supernet import SuperNet, evaluating, inputs, output
from luthier.shrink.tasks import Batch, Data, Task

STRATEGIES = ("standard", "random", "random_linear", "ats", "sandwich")
PARTIAL = ("random", "random_linear", "ats")  # have steps that leave parts of the super-network out
Terms = list[tuple[float, SubNetSpec]]


@dataclass(frozen=True)
class Distil:
    """What sub-networks learn from the whole.

    Args:
        tau: Temperature of both (2 for language models; the encoder paper has 10).
        weight: Of the soft loss beside the task's own, whose weight is 1.
        hidden: Of the mean square between last hidden states, over the channels that the sub-network has.
    """

    tau: float = 2.0
    weight: float = 1.0
    hidden: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        check("tau", self.tau, above=0)
        check("weight", self.weight, at_least=0)
        check("hidden", self.hidden, at_least=0)


@dataclass(frozen=True)
class Said:
    """What a network said: logits, and its last hidden states where they are wanted."""

    logits: torch.Tensor
    hidden: torch.Tensor | None

    def detach(self) -> Said:
        """Without gradients."""
        return Said(self.logits.detach(), None if self.hidden is None else self.hidden.detach())


def say(model: Any, batch: Batch, *, hidden: bool = False) -> Said:
    """Run a model."""
    found = model(**inputs(batch), **({"output_hidden_states": True} if hidden else {}))
    return Said(output(found), found.hidden_states[-1] if hidden else None)


def taught_by(teacher: Any, batch: Batch, *, hidden: bool = False) -> Said:
    """What a teacher says: in evaluation mode, whatever mode it was given in, and without gradients.

    Args:
        teacher: A model; or a super-network, whose whole speaks, with its adapters.
        batch: What it reads.
        hidden: Also its last hidden states.
    """
    with evaluating(teacher.model if isinstance(teacher, SuperNet) else teacher), torch.no_grad():
        return say(teacher, batch, hidden=hidden)


def distilled(own: Said, teacher: Said, task: Task, batch: Batch, kd: Distil) -> torch.Tensor:
    """The soft loss: tau^2 times the cross-entropy with the teacher's softened answer, or the mean square of outputs.

    Source: Klein et al. 2024 (code): tau^2 CE(softmax(z_full / tau), z_sub / tau); mean square for regression.
    """
    if task.kind == "regression":
        soft = nn.functional.mse_loss(own.logits.float(), teacher.logits.float())
    else:
        goal = torch.softmax(teacher.logits.float() / kd.tau, dim=-1)
        told = nn.functional.log_softmax(own.logits.float() / kd.tau, dim=-1)
        each = -(goal * told).sum(-1)
        counted = batch["targets"] != -100 if task.kind == "lm" else torch.ones_like(each, dtype=torch.bool)
        soft = kd.tau**2 * each[counted].mean()
    total = kd.weight * soft
    if kd.hidden and own.hidden is not None and teacher.hidden is not None:
        channels = own.hidden.shape[-1]
        goal = teacher.hidden[..., :channels].float()
        total = total + kd.hidden * (own.hidden.float() - goal).square().mean() / goal.square().mean().clamp_min(1e-6)
    return total


@dataclass(frozen=True)
class Strategy:
    """The loss function of a step: the mean loss of the networks that the step trains.

    "sandwich": the whole, the smallest and some random sub-networks. "random": random ones alone. "random_linear":
    those with a probability that rises from 0 to 1 over the training, else the whole. "ats": the two in turns.
    "standard": the whole.

    Args:
        net: The super-network.
        task: Its task.
        sampler: Draws sub-networks.
        name: One of `STRATEGIES`.
        random: Random sub-networks a step.
        kd: What sub-networks learn from a teacher; None: nothing.
        teacher: A model to learn from; None: the whole in its present state, in the same step.
        dropout: Leave dropout on in sub-networks.

    Source: Yu and Huang 2019 (sandwich, in-place distillation); Klein et al. 2024 (random, random-linear, full);
        Mohtashami et al. 2022 (ats).
    Differs: the weights of all terms of a step add up to 1, so that clipping means the same in every strategy.
    Cost: a pass for each term; "sandwich" with two random ones took 2.1 plain steps in the space "small" (a Llama of
        2.7 million parameters, one thread), distillation in place no more.
    """

    net: SuperNet
    task: Task
    sampler: Sampler
    name: str = "sandwich"
    random: int = 2
    kd: Distil | None = None
    teacher: Any = None
    dropout: bool = False

    def __post_init__(self) -> None:
        """Refuse unknown names."""
        check("strategy", self.name, one_of=STRATEGIES)
        check_fields(self, "random", at_least=1, whole=True)

    def terms(self, moment: Moment) -> Terms:
        """Weights and sub-networks of a step; the whole first, if it is among them."""
        rng, full = moment.rng(), self.net.full
        drawn = [self.sampler.draw(rng) for _ in range(self.random)]
        plain, free = [full], drawn
        if self.name == "standard":
            chosen = plain
        elif self.name == "random":
            chosen = free
        elif self.name == "random_linear":
            chosen = free if rng.random() < moment.step / max(1, moment.steps) else plain
        elif self.name == "ats":
            chosen = free if moment.step % 2 == 0 else plain
        else:
            chosen = [full, self.sampler.space.smallest, *drawn]
        chosen = sorted(chosen, key=lambda spec: spec != full)  # it teaches the others, so it speaks before them
        return [(1.0 / len(chosen), spec) for spec in chosen]

    def __call__(self, model: nn.Module, batch: Batch, moment: Moment) -> Iterator[torch.Tensor]:
        """One loss for each term; the first one's own task loss, without its weight, is what the step reports."""
        terms, full = self.terms(moment), self.net.full
        hidden = self.kd is not None and self.kd.hidden > 0
        taught = self._taught(batch, hidden) if self.kd is not None and self._needs_teacher(terms) else None
        for place, (weight, spec) in enumerate(terms):
            with self.net.active(spec, dropout=self.dropout or spec == full) as child:
                own = say(child, batch, hidden=hidden)
                loss = self.task.loss(own.logits, batch)
                if place == 0:
                    moment.notes["loss"] = loss.detach()
                if spec == full:
                    moment.notes["full_loss"] = loss.detach()
                    if self.kd is not None and taught is None:
                        taught = own.detach()
                elif self.kd is not None and taught is not None:
                    loss = loss + distilled(own, taught, self.task, batch, self.kd)
                yield weight * loss

    def _needs_teacher(self, terms: Terms) -> bool:
        """Whether someone else than this step's own pass of the whole has to be asked."""
        return self.teacher is not None or all(spec != self.net.full for _, spec in terms)

    def _taught(self, batch: Batch, hidden: bool) -> Said:
        if self.teacher is not None:
            return taught_by(self.teacher, batch, hidden=hidden)
        with torch.no_grad(), self.net.active(self.net.full, dropout=False) as whole:
            return say(whole, batch, hidden=hidden)


def train(
    net: SuperNet,
    space: NetSpace,
    data: Data,
    *,
    strategy: str = "sandwich",
    random: int = 2,
    kd: Distil | None = Distil(),
    teacher: Any = None,
    sampler: str | Sampler = "uniform_params",
    steps: int = 1000,
    lr: float = 2e-4,
    decay: float = 0.0,
    peft: Lora | None = None,
    precision: str = "float32",
    seed: int = 0,
    folder: str | Path | None = None,
    resume: bool = True,
    save_every: int | None = 200,
    log_every: int = 10,
    hooks: Sequence[Callable[[dict[str, Any]], None]] = (),
) -> History:
    """Train a super-network in place.

    Args:
        net: The super-network.
        space: Whose sub-networks are trained.
        data: The task and its data.
        strategy: One of `STRATEGIES`; "sandwich" trains the whole, the smallest and `random` others in each step.
        random: Random sub-networks a step (2: usual).
        kd: What sub-networks learn from the whole; None: nothing.
        teacher: A frozen model to learn from in place of the whole.
        sampler: Kind, perhaps with its numbers ("grid(32)", "around(0.3)"), or a sampler: where on the size axis
            quality is spent.
        steps: Optimiser steps.
        lr: Highest rate of AdamW (2e-4; the encoder paper has 2e-5 for five epochs).
        decay: Of weights, AdamW's. Where a step leaves parts of the super-network out, entries without a gradient do
            not decay.
        peft: Adapters that learn in place of the weights.
        precision: As in `nets.Recipe`.
        seed: Of dropout and drawn sub-networks.
        folder: Where checkpoints go; a run that was killed goes on from there.
        resume: As in `nets.train`.
        save_every: Steps between two checkpoints.
        log_every: Steps between two records.
        hooks: Called with each record.

    Raises:
        ArgumentError: options out of range, data that the model cannot read, or memory ran out; what was saved stays.
    """
    check_fits(net.model, data)
    costs = CostModel(net.layout)
    drawn = sampler if isinstance(sampler, Sampler) else Sampler(space, costs, **parsed(sampler), seed=seed)
    chosen = Strategy(net, data.task, drawn, strategy, random, kd if strategy != "standard" else None, teacher)
    holder = net.model if peft is None else nn.ModuleList([net.model, peft])
    recipe = Recipe(steps=steps, seed=seed, save_every=save_every, log_every=log_every, precision=precision)
    about = {
        "strategy": strategy, "random": random, "space": space.name, "sampler": drawn.kind,
        "kd": None if chosen.kd is None else asdict(chosen.kd),
        "teacher": teacher is not None,
    }  # fmt: skip
    about |= {"sampling": drawn.settings, "axes": space.space.to_dict()["hyperparameters"],
              "ranking": list(space.ranking), "lora": None if peft is None else peft.settings}  # fmt: skip
    wise = None if chosen.kd is None else teacher
    where: dict[str, Any] = {"folder": folder, "resume": resume, "hooks": hooks}
    return guarded(holder, data, recipe, chosen, lr, decay, about, wise, touched=strategy in PARTIAL, **where)


def guarded(
    model: Any,
    data: Data,
    recipe: Recipe,
    loss: Any,
    lr: float,
    decay: float,
    about: Mapping[str, Any],
    teacher: Any,
    *,
    touched: bool = False,
    **more: Any,
) -> History:
    """The training loop with AdamW; memory that runs out is told as such. `touched`: without a gradient no decay.

    A training that goes on has to have in common with its beginning, beside its recipe: data, teacher, and `about`.
    """
    check("lr", lr, above=0)
    check("decay", decay, at_least=0)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=lr, weight_decay=decay)
    if touched and decay:
        _decay_touched(optimiser)
    extra = dict(about)
    try:
        if more.get("folder") is not None:
            extra["data"] = data.identity()
            extra["taught_by"] = None if teacher is None else _fingerprint(teacher)
        return run_loop(model, data.train, optimiser, recipe, loss=loss, extra=extra, **more)
    except (MemoryError, RuntimeError) as error:
        if not (isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)):
            raise
        folder = more.get("folder")
        kept = "" if folder is None else f" Checkpoints in {folder} are kept; the next call goes on from there."
        raise ArgumentError(f"out of memory. Take a smaller batch or shorter texts.{kept}") from error


def _fingerprint(teacher: Any) -> str:
    """Of a model; of a super-network with its adapters, if they are on."""
    if not isinstance(teacher, SuperNet):
        return fingerprint(teacher)
    adapters = "" if teacher.adapters is None else fingerprint(teacher.adapters)
    return fingerprint(teacher.model) + adapters


def _decay_touched(optimiser: torch.optim.Optimizer) -> None:
    """Let weights decay only where a step has a gradient; AdamW itself shrinks whole tensors."""
    kept: list[float] = []

    def before(optimiser: Any, given: Any, named: Any) -> None:
        kept[:] = [group["weight_decay"] for group in optimiser.param_groups]
        with torch.no_grad():
            for group in optimiser.param_groups:
                factor = 1 - group["lr"] * group["weight_decay"]
                for p in group["params"]:
                    if p.grad is not None:
                        p.mul_(torch.where(p.grad != 0, factor, 1.0).to(p.dtype))
                group["weight_decay"] = 0.0

    def after(optimiser: Any, given: Any, named: Any) -> None:
        for group, decay in zip(optimiser.param_groups, kept, strict=True):
            group["weight_decay"] = decay

    optimiser.register_step_pre_hook(before)
    optimiser.register_step_post_hook(after)


def finetune(
    model: Any,
    data: Data,
    *,
    teacher: Any = None,
    kd: Distil | None = Distil(),
    steps: int = 500,
    lr: float = 2e-4,
    seed: int = 0,
    folder: str | Path | None = None,
    about: Mapping[str, Any] | None = None,
    hooks: Sequence[Callable[[dict[str, Any]], None]] = (),
) -> History:
    """Train one model on its own, as an extracted sub-network or a baseline.

    Args:
        model: The model.
        data: The task and its data.
        teacher: A frozen model to learn from too, or a super-network with what adapters it has; None: the task alone.
        kd: How.
        steps: Optimiser steps.
        lr: Highest rate.
        seed: Of dropout.
        folder: Where checkpoints go; a run that was killed goes on from there, with the same data, teacher and `kd`.
        about: What else it must have in common then, such as which model it began as; JSON.
        hooks: Called with each record; its "loss" is the task's alone.

    Raises:
        ArgumentError: options out of range, data that the model cannot read, memory ran out, or the folder holds
            another run.
    """
    check_fits(model, data)
    hidden = kd is not None and kd.hidden > 0 and teacher is not None

    def loss(model: nn.Module, batch: Batch, moment: Moment) -> torch.Tensor:
        own = say(model, batch, hidden=hidden)
        found = data.task.loss(own.logits, batch)
        if teacher is None or kd is None:
            return found
        moment.notes["loss"] = found.detach()
        return found + distilled(own, taught_by(teacher, batch, hidden=hidden), data.task, batch, kd)

    recipe = Recipe(steps=steps, seed=seed, save_every=None if folder is None else 200)
    taught = teacher is not None and kd is not None
    common = {**(about or {}), "kd": asdict(kd) if taught and kd is not None else None}
    return guarded(model, data, recipe, loss, lr, 0.0, common, teacher if taught else None, folder=folder, hooks=hooks)
