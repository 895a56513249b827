"""The coordinate check: do activations, their changes and logits keep their size when the width grows?

Models of several widths make a few steps on one batch; the slope of log2 size over log2 width says what happens.

    quantity                      passes            warns     fails
    activations, every step       |s| <= 0.10       <= 0.20   above
    their change since the start  |s| <= 0.15       < 0.25    from 0.25 (s <= -0.25: lazy)
    attention and output logits   at the start -0.5 may be (they shrink as 1/sqrt(n)), s > 0.1 fails
    attention logits, later       s <= 0.10         <= 0.20   above; shrinking may last from the start
    output logits at the end      |s| <= 0.20                 above
    control (standard)            some slope >= 0.30, else the rate is too small and the check says nothing
    wider is better               loss not above the narrower one's by more than 0.02

Limits: flat coordinates prove neither that rates transfer nor that weight decay is right; `rate_transfer` is the other
gate.

Start a small proxy at 1/sqrt(width) or so: where weights start far smaller, the first steps outweigh them, and narrow
models are not yet in the regime that slopes are about.

Source: the coordinate check of Tensor Programs V and its issue threads.
Cost: widths x seeds x (steps + 1) passes, twice with the control.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.grow import diagnostics, roles
from luthier.grow._checks import check_model
from luthier.grow.mu_plan import MuPlan
from luthier.nets._torch import nn, torch
from luthier.nets.training import Batch, Loss, Moment, next_token

#: quantity -> (passes to, warns to)
LIMITS = {"activation": (0.10, 0.20), "change": (0.15, 0.25), "logits": (0.20, 0.20), "attention": (0.10, 0.20)}
CONTROL = 0.30  # a control with no slope like this says nothing
WORSE = 0.02  # nats by which a wider model's loss may lie above
TINY = 1e-12  # sizes below are zero, and have no slope


@dataclass(frozen=True)
class Slope:
    """One quantity of one module after one step.

    Args:
        quantity: "activation", "change", "logits" or "attention".
        module: Which module, and which of its calls.
        step: Steps made.
        slope: Of log2 mean size over log2 width.
        sizes: Mean over seeds, by width.
        verdict: "pass", "warning", "fail", or "" where nothing is asked (a start at zero).
    """

    quantity: str
    module: str
    step: int
    slope: float
    sizes: tuple[float, ...]
    verdict: str


@dataclass(frozen=True)
class Coordinates:
    """What a coordinate check found.

    Args:
        widths: Ratios to the proxy's width.
        slopes: Under the plan.
        control: Under the standard parametrisation; empty if it was left out.
        losses: Mean training loss by width, then step.
        verdict: "pass", "warning", "fail" or "void" (the control is flat: take a larger rate).
        reasons: What decided, in words.
    """

    widths: tuple[float, ...]
    slopes: tuple[Slope, ...]
    control: tuple[Slope, ...]
    losses: tuple[tuple[float, ...], ...]
    verdict: str
    reasons: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def coordinate_check(
    plan: MuPlan,
    batches: Callable[[int], Batch],
    *,
    ratios: Sequence[float] = (1, 2, 4, 8),
    steps: int = 4,
    seeds: int = 3,
    lr: float = 2**-6,
    optimiser: str = "adamw",
    control: bool = True,
    loss: Loss = next_token,
    prepare: Callable[[MuPlan, nn.Module], MuPlan] | None = None,
    device: str = "cpu",
) -> Coordinates:
    """Follow models of several widths for a few steps.

    Args:
        plan: Any plan of the proxy.
        batches: Batch number -> tensors; all steps use batch 0.
        ratios: Widths, in units of the proxy's.
        steps: Optimiser steps.
        seeds: Models per width.
        lr: Two to four times the tuned rate: a small one hides explosions.
        optimiser: "adamw", "adam" or "sgd".
        control: Follow the standard parametrisation too.
        loss: What is minimised.
        prepare: (plan, model) -> plan of the groups, after the model is built: to patch a model, or plant a bug.
        device: Where.

    Raises:
        ArgumentError: the plan has errors (MU01, MU07), or fewer than three widths.
    """
    steps = check("steps", steps, at_least=1, whole=True)
    seeds = check("seeds", seeds, at_least=1, whole=True)
    ratios = sorted(set(ratios))
    if len(ratios) < 3:
        raise ArgumentError(f"ratios={list(ratios)!r}. Allowed: three widths or more, for a slope.")
    diagnostics.validate(plan)
    wrong: list[str] = []
    if loss is next_token:
        rows, length = batches(0)["input_ids"].shape
        check_model(plan, rows, length)
    own = _follow(plan, batches, ratios, steps, seeds, lr, optimiser, loss, prepare, device, wrong)
    slopes = _slopes(own[0], ratios, steps)
    other: tuple[Slope, ...] = ()
    if control:
        plain = plan.for_target(plan.proxy, options=replace(plan.options, parametrization="standard"))
        found = _follow(plain, batches, ratios, steps, seeds, lr, optimiser, loss, None, device, [])
        other = _slopes(found[0], ratios, steps)
    verdict, reasons = _verdict(slopes, other, own[1], steps, control)
    if wrong:
        verdict, reasons = "fail", (*wrong[:3], *reasons)
    return Coordinates(tuple(ratios), slopes, other, tuple(map(tuple, own[1].tolist())), verdict, reasons)


Sizes = dict[tuple[str, str, int], np.ndarray]  # (quantity, module, step) -> (widths,)


def _follow(
    plan: MuPlan,
    batches: Callable[[int], Batch],
    ratios: Sequence[float],
    steps: int,
    seeds: int,
    lr: float,
    optimiser: str,
    loss: Loss,
    prepare: Callable[[MuPlan, nn.Module], MuPlan] | None,
    device: str,
    wrong: list[str],
) -> tuple[Sizes, np.ndarray]:
    """Mean sizes over seeds, and losses (widths, steps + 1)."""
    sizes: Sizes = {}
    losses = np.zeros((len(ratios), steps + 1))
    batch = {name: tensor.to(device) for name, tensor in batches(0).items()}
    for column, ratio in enumerate(ratios):
        wide = plan.widened(ratio)
        for seed in range(seeds):
            model = wide.build(seed=seed, device=device)
            ruled = wide if prepare is None else prepare(wide, model)
            groups = ruled.param_groups(model, lr=lr, optimiser=optimiser)
            if seed == 0:
                wrong += _audit(wide, model, groups, lr, optimiser)
                passes = diagnostics.audit_pass(wide, model, lambda m: loss(m, batch, Moment(0, steps + 1, 0, 0)))
                wrong += [str(one) for one in passes]
            stepper = _optimiser(optimiser, groups)
            first: dict[str, torch.Tensor] = {}
            for step in range(steps + 1):
                with _watch(model) as seen:
                    value = loss(model, batch, Moment(step, steps + 1, 0, seed))
                assert isinstance(value, torch.Tensor)
                losses[column, step] += float(value.detach()) / seeds
                for name, tensor in seen.items():
                    quantity = (
                        "attention" if name.endswith("#logits") else "logits" if _reads(wide, name) else "activation"
                    )
                    _add(sizes, (quantity, name, step), column, len(ratios), tensor, seeds)
                    if step == 0:
                        first[name] = tensor
                    elif quantity == "activation":
                        _add(sizes, ("change", name, step), column, len(ratios), tensor - first[name], seeds)
                if step < steps:
                    stepper.zero_grad()
                    value.backward()  # type: ignore[no-untyped-call]
                    stepper.step()
    return sizes, losses


def _audit(plan: MuPlan, model: nn.Module, groups: list[dict[str, Any]], lr: float, optimiser: str) -> list[str]:
    """Errors that need no step: a missing multiplier, scale or rate (slopes show a missing scale late)."""
    found = diagnostics.audit_model(plan, model)
    found += diagnostics.audit_groups(plan, model, groups, lr=lr, kind=optimiser)
    return [str(one) for one in found if one.level == "error"]


def _optimiser(kind: str, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    check("optimiser", kind, one_of=("adamw", "adam", "sgd"))
    if kind == "sgd":
        return torch.optim.SGD(groups)
    return torch.optim.AdamW(groups) if kind == "adamw" else torch.optim.Adam(groups)


def _add(sizes: Sizes, key: tuple[str, str, int], column: int, widths: int, tensor: torch.Tensor, seeds: int) -> None:
    sizes.setdefault(key, np.zeros(widths))[column] += float(tensor.abs().mean()) / seeds


def _reads(plan: MuPlan, name: str) -> bool:
    """Whether a module's output are logits."""
    row = plan.rows.get(f"{name.partition('#')[0]}.weight")
    return (row is not None and row.role == "readout") or (
        name.partition("#")[0] in plan.multipliers and (plan.multipliers[name.partition("#")[0]][1] == "before")
    )


@contextmanager
def _watch(model: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Outputs of every map, table and block by module and number of the call, and attention's logits."""
    seen: dict[str, torch.Tensor] = {}
    calls: dict[str, int] = {}
    handles = []

    def hook(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
                number = calls[name] = calls.get(name, -1) + 1
                seen[f"{name}#{number}" if number else name] = tensor.detach().float()

        return keep

    for name, module in model.named_modules():
        plain = isinstance(module, (nn.Linear, nn.Embedding, nn.Conv2d)) or type(module).__name__.endswith("Conv1D")
        block = name.rpartition(".")[2].isdigit()
        if plain or block:
            handles.append(module.register_forward_hook(hook(name)))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
    for path, module, word, width in roles.attentions(model):
        q, k = seen.get(f"{path}.q_proj"), seen.get(f"{path}.k_proj")
        if q is not None and k is not None and word:
            logits = _products(q, k, width) * float(getattr(module, word))
            seen[f"{path}#logits"] = logits


def _products(q: torch.Tensor, k: torch.Tensor, width: int) -> torch.Tensor:
    """Queries times keys before rotation: (batch, heads, length, length)."""
    q, k = (x.view(*x.shape[:2], -1, width).transpose(1, 2) for x in (q, k))
    return q @ k.repeat_interleave(q.shape[1] // k.shape[1], dim=1).transpose(-1, -2)


def _slopes(sizes: Sizes, ratios: Sequence[float], steps: int) -> tuple[Slope, ...]:
    found = []
    x = np.log2(np.asarray(ratios, dtype=float))
    for (quantity, module, step), values in sizes.items():
        if values.max() <= TINY or not np.isfinite(values).all():
            exploded = not np.isfinite(values).all()
            verdict = "fail" if exploded else ""
            found.append(Slope(quantity, module, step, math.inf if exploded else 0.0, tuple(values), verdict))
            continue
        slope = float(np.polyfit(x, np.log2(np.maximum(values, TINY)), 1)[0])
        found.append(Slope(quantity, module, step, slope, tuple(values), _judge(quantity, slope, step, steps)))
    return tuple(found)


def _judge(quantity: str, slope: float, step: int, steps: int) -> str:
    passes, warns = LIMITS[quantity]
    if quantity in ("logits", "attention") and step == 0:
        return "pass" if slope <= 0.1 else "fail"  # shrinking at the start is as it should be
    if quantity == "logits" and step < steps:
        return ""  # on the way from the start's size to the learned one
    size = max(slope, 0.0) if quantity == "attention" else abs(slope)  # it may still shrink as at the start
    return "pass" if size <= passes else "warning" if size < warns else "fail"


def _verdict(
    slopes: Sequence[Slope], control: Sequence[Slope], losses: np.ndarray, steps: int, controlled: bool
) -> tuple[str, tuple[str, ...]]:
    reasons = []
    level = "pass"
    for word in ("fail", "warning"):
        found = sorted((s for s in slopes if s.verdict == word), key=lambda s: -abs(s.slope))
        if found:
            level = word if level == "pass" else level
            worst = found[0]
            reasons.append(
                f"{len(found)} of {len(slopes)} slopes: {word}; the steepest is {worst.slope:+.2f}, "
                f"{worst.quantity} of {worst.module} after {worst.step} steps"
            )
    worse = np.diff(losses, axis=0).max(initial=0.0)
    if worse > WORSE or not np.isfinite(losses).all():
        level = (
            "fail" if not np.isfinite(losses).all() or worse > 5 * WORSE else "warning" if level == "pass" else level
        )
        reasons.append(f"a wider model's loss lies {worse:.3f} above a narrower one's (up to {WORSE} is noise)")
    if controlled:
        steepest = max((s.slope for s in control if s.step == steps), default=0.0)
        if steepest < CONTROL:
            level = "void"  # whatever else was seen: nothing moved
            reasons.append(f"the control's steepest slope is {steepest:.2f}, below {CONTROL}: take a larger rate")
        else:
            reasons.append(f"the control's steepest slope is {steepest:+.2f}, as it should be")
    return level, tuple(reasons)


def summary(slopes: Sequence[Slope]) -> list[dict[str, Any]]:
    """One line a quantity and step: the steepest slope and its module."""
    keys = sorted({(s.quantity, s.step) for s in slopes})
    found: list[Mapping[str, Any]] = []
    for quantity, step in keys:
        own = [s for s in slopes if (s.quantity, s.step) == (quantity, step)]
        worst = max(own, key=lambda s: abs(s.slope))
        order = ("fail", "warning", "pass", "")
        verdict = min((s.verdict for s in own), key=order.index)
        found.append(
            {"quantity": quantity, "step": step, "slope": worst.slope, "module": worst.module, "verdict": verdict}
        )
    return [dict(row) for row in found]
