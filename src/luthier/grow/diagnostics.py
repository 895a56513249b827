"""MU01 to MU11: what goes wrong when muP is done by hand, each with a name, a level and words.

MU01  a map whose inner size the delta forgot                 MU07  attention's scale against the width of heads
MU02  a map to a fixed size that has no readout's multiplier  MU08  fused tensors
MU03  at the proxy's size the model is not what it was        MU09  what does not transfer is present
MU04  an optimiser's groups are not those of the plan         MU10  hyperparameters tuned at another proxy
MU05  values are not the plan's start                         MU11  a fixed size inside a block
MU06  tied tensors
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.grow import roles, scaled
from luthier.grow.mu_plan import MuPlan
from luthier.nets._torch import nn, torch
from luthier.nets.training import Batch, Moment, next_token

LEVELS = ("note", "warning", "error")
NEAR = 1e-9  # relative; group rates are products of a few floats


@dataclass(frozen=True)
class Diagnostic:
    """One finding.

    Args:
        id: "MU01" to "MU11".
        level: "note", "warning" or "error".
        where: Tensor, module or group; empty for the whole.
        words: What was seen, and what to do.
    """

    id: str
    level: str
    where: str
    words: str

    def __str__(self) -> str:
        """One line."""
        place = f" {self.where}:" if self.where else ""
        return f"{self.id} {self.level}:{place} {self.words}"


def worst(found: Sequence[Diagnostic]) -> str:
    """The highest level; "ok" where there is nothing above a note."""
    levels = {one.level for one in found}
    return "error" if "error" in levels else "warning" if "warning" in levels else "ok"


def inspect(plan: MuPlan) -> list[Diagnostic]:
    """What the plan's inference has seen (MU01, MU05 to MU09, MU11), and readouts by override (MU02)."""
    found = [Diagnostic(*note) for note in plan.notes]
    for name, row in plan.rows.items():
        named = roles.override(name, plan.overrides)
        if named in ("input", "hidden") and row.kind == "weight" and row.m_in != 1 and row.m_out == 1:
            words = f"maps a growing to a fixed dimension, and was named {named}: no multiplier. "
            if roles.blocks(name):  # a readout starts at zero, and nothing would pass through the block
                words += "If that dimension never grows, name it 'bottleneck'."
            else:
                words += "Name it 'readout'."
            found.append(Diagnostic("MU02", "warning", name, words))
    return found


def validate(plan: MuPlan) -> list[Diagnostic]:
    """As `inspect`, and errors are raised.

    Raises:
        ArgumentError: with the first error's words.
    """
    found = inspect(plan)
    for one in found:
        if one.level == "error":
            raise ArgumentError(f"plan: {one}")
    return found


def audit_model(plan: MuPlan, model: nn.Module) -> list[Diagnostic]:
    """Whether a model has the plan's multipliers (MU02), attention scales (MU07), and start values (MU05).

    Raises:
        ArgumentError: it is not of the plan's sizes.
    """
    plan.check_shapes(model)
    found = []
    modules = dict(model.named_modules())
    for path, (number, _) in plan.multipliers.items():
        own = scaled.multiplier_of(scaled.carrier(modules, path))
        if abs(own - number) > NEAR * abs(number):
            words = f"multiplies by {own:g}, the plan says {number:g}. Use plan.build() or plan.apply(model)."
            found.append(Diagnostic("MU02", "error", path, words))
    expected = {**plan.scales}
    for path, module, word, _ in roles.attentions(model):
        if path in expected:
            attribute, value = expected[path]
            if abs(float(getattr(module, attribute)) - value) > NEAR * abs(value):
                words = f"{attribute} is {getattr(module, attribute):g}, the plan says {value:g}: heads became wider."
                found.append(Diagnostic("MU07", "error", path, words))
        elif word and plan.options.parametrization == "mup" and path in _unscaled(plan):
            value = _unscaled(plan)[path]
            if abs(float(getattr(module, word)) - value) > NEAR * abs(value):
                words = f"{word} is {getattr(module, word):g}, its own is {value:g}; heads are as wide as the proxy's."
                found.append(Diagnostic("MU07", "error", path, words))
    own_tensors = dict(model.named_parameters())
    for name, row in plan.rows.items():
        tensor = own_tensors[name]
        if row.kind != "weight" or row.start == "own" or tensor.is_meta or tensor.numel() < 100:
            continue
        if plan.options.parametrization == "standard":
            continue
        size = float(tensor.detach().float().pow(2).mean().sqrt())
        wanted = abs(row.value)
        if abs(size - wanted) > 0.2 * max(size, wanted):
            words = (
                f"values of size {size:.3g}, the plan starts at {wanted:.3g}: trained or loaded ones stay as they are."
            )
            found.append(Diagnostic("MU05", "note", name, words))
    return found


def audit_pass(plan: MuPlan, model: nn.Module, forward: Callable[[nn.Module], Any]) -> list[Diagnostic]:
    """Whether passes of a model read all its multipliers (MU02): a weight that is used past its module has none.

    Args:
        plan: The plan.
        model: Built by it; its mode, buffers and torch's random numbers are as before afterwards.
        forward: One pass, of the model to anything. It is made in training and in evaluation without gradients.
    """
    if plan.options.parametrization == "standard":
        return []
    found: list[Diagnostic] = []
    modes = [(module, module.training) for module in model.modules()]
    cuda = list({p.device for p in model.parameters() if p.device.type == "cuda"})
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]  # a norm's running means move in training
    try:
        for training in (True, False):
            model.train(training)
            with torch.random.fork_rng(devices=cuda), torch.set_grad_enabled(training):
                missed = scaled.silent(model, plan.multipliers, lambda: forward(model))
            mode = "training" if training else "evaluation"
            for path in missed:
                if all(path != one.where for one in found):
                    words = (
                        f"its multiplier {plan.multipliers[path][0]:g} does nothing in {mode}: the module is never "
                        "called, its weight is used past it. Call the module itself in the model's forward."
                    )
                    found.append(Diagnostic("MU02", "error", path, words))
    finally:
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
    return found


def _unscaled(plan: MuPlan) -> dict[str, float]:
    """Attention scales of the target's own function."""
    model = roles.on_meta(plan._factory(), plan.target)
    return {path: float(getattr(m, word)) for path, m, word, _ in roles.attentions(model) if word}


def audit_groups(
    plan: MuPlan,
    model: nn.Module,
    optimiser: torch.optim.Optimizer | Sequence[Mapping[str, Any]],
    *,
    lr: float,
    weight_decay: float = 0.0,
    eps: float = 1e-8,
    kind: str = "adamw",
    decay: str = "independent",
) -> list[Diagnostic]:
    """MU04: every trained tensor in one group, with the plan's rate, decay and epsilon.

    A schedule may have multiplied all rates by one number; one that has overwritten them (the usual trap) is found, as
    the ratios are gone.

    Args:
        plan: The plan.
        model: Whose tensors.
        optimiser: The optimiser, or its groups.
        lr: The proxy's tuned rate.
        weight_decay: The proxy's.
        eps: The proxy's.
        kind: Which optimiser's column.
        decay: How weight decay scales.
    """
    groups = optimiser.param_groups if isinstance(optimiser, torch.optim.Optimizer) else list(optimiser)
    expected = {
        name: group
        for group in plan.param_groups(model, lr=lr, weight_decay=weight_decay, eps=eps, optimiser=kind, decay=decay)
        for name in group["names"]
    }
    places: dict[int, list[Mapping[str, Any]]] = {}
    for group in groups:
        for tensor in group["params"]:
            places.setdefault(id(tensor), []).append(group)
    found: list[Diagnostic] = []
    now: dict[str, float] = {}
    for name, tensor in model.named_parameters():
        if name not in expected:
            continue
        own = places.get(id(tensor), [])
        if len(own) != 1:
            words = f"is in {len(own)} groups. Allowed: one. Use plan.param_groups(model, ...)."
            found.append(Diagnostic("MU04", "error", name, words))
            continue
        now[name] = float(own[0]["lr"]) / expected[name]["lr"]
        for word in ("weight_decay", "eps"):
            wanted = expected[name].get(word)
            given = own[0].get(word)
            if wanted is not None and given is not None and abs(given - wanted) > NEAR * max(abs(wanted), 1e-30):
                words = f"{word} is {given:g}, the plan says {wanted:g}."
                found.append(Diagnostic("MU04", "error", name, words))
    return found + _ratios(now)


def _ratios(now: Mapping[str, float]) -> list[Diagnostic]:
    """Rates are all the plan's times one number, or they are wrong."""
    if not now:
        return []
    usual = sorted(now.values())[len(now) // 2]
    wrong = {name: ratio for name, ratio in now.items() if abs(ratio - usual) > NEAR * max(abs(usual), 1e-30)}
    return [
        Diagnostic(
            "MU04",
            "error",
            name,
            f"its rate is {ratio:g} times the plan's, most others' {usual:g} times. Schedules must multiply each "
            "group's own rate, never set one for all.",
        )
        for name, ratio in wrong.items()
    ]


def check_base(
    plan: MuPlan,
    batches: Callable[[int], Batch],
    *,
    lr: float = 1e-3,
    steps: int = 3,
    loss: Callable[..., Any] = next_token,
) -> list[Diagnostic]:
    """MU03: at the proxy's own sizes muP changes nothing, bit by bit: forward pass and steps of AdamW.

    Args:
        plan: Any plan of the proxy.
        batches: Batch number -> tensors.
        lr: Rate of the steps.
        steps: How many.
        loss: (model, batch, moment) -> loss.
    """
    from dataclasses import replace

    plain = replace(plan.options, alpha_in=1.0, alpha_out=1.0, alpha_attention=1.0, zero_readout=False)
    own = plan.for_target(plan.proxy, options=plain)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bare = own._factory()(**plan.proxy)
    wrapped = own.apply(copy.deepcopy(bare))
    both = (
        torch.optim.AdamW([p for p in bare.parameters() if p.requires_grad], lr=lr, weight_decay=0.0),
        torch.optim.AdamW(own.param_groups(wrapped, lr=lr)),
    )
    for step in range(steps):
        values = []
        for model, optimiser in zip((bare, wrapped), both, strict=True):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(step)
                value = loss(model, batches(step), Moment(step, steps, 0, 0))
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            values.append(float(value.detach()))
        if values[0] != values[1]:
            words = f"at the proxy's size step {step} has loss {values[1]!r}, the plain model {values[0]!r}."
            return [Diagnostic("MU03", "error", "", words)]
    for (name, a), b in zip(bare.named_parameters(), wrapped.parameters(), strict=True):
        if not torch.equal(a, b):
            return [Diagnostic("MU03", "error", name, f"differs from the plain model's after {steps} steps.")]
    return []


def check_fingerprint(plan: MuPlan, fingerprint: str, *, reason: str | None = None) -> list[Diagnostic]:
    """MU10: hyperparameters belong to the plan's proxy.

    Args:
        plan: The plan.
        fingerprint: Of the proxy that the hyperparameters were tuned at.
        reason: Why another is right here; it is kept in the manifest.

    Raises:
        ArgumentError: another proxy, and no reason.
    """
    if fingerprint == plan.fingerprint:
        return []
    words = f"hyperparameters were tuned at proxy {fingerprint}, the plan's is {plan.fingerprint}."
    if not reason:
        raise ArgumentError(f"MU10: {words} Infer the plan from the proxy that was tuned, or give a reason.")
    return [Diagnostic("MU10", "warning", "", f"{words} Allowed, because: {reason}")]
