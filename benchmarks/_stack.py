"""Many small decoders trained side by side in one stack: what the one loop does, run for run, at the price of one.

A GPU spends its time on starting kernels when a model is small. Here the weights of n models of one shape lie in one
tensor (n, out, in), each with its own start, rate, schedule, data and seed; gradients do not mix, clipping and AdamW
are each model's own. `tests/grow/test_stack.py` holds it against `luthier.nets.train`: equal to rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from luthier.grow.mu_plan import MuPlan
from luthier.nets.data import Batches, Tokens
from luthier.nets.refgpt import RefConfig, rotation, turn

BETAS, EPS = (0.9, 0.95), 1e-8
Weights = dict[str, torch.Tensor]
Moments = dict[str, tuple[torch.Tensor, torch.Tensor, int]]  # tensor -> (mean, square, steps)


class OutOfTimeError(Exception):
    """The hard end of a call came before the end of a stack."""


@dataclass(frozen=True)
class One:
    """One model of a stack.

    Args:
        weights: Start values by name.
        lr: Peak rate at the proxy.
        seed: Of the data's order.
        start: Windows that were used before.
        factor: (step, steps) -> factor of the rate.
    """

    weights: Mapping[str, torch.Tensor]
    lr: float
    seed: int
    start: int
    factor: Callable[[int, int], float]


@dataclass
class Trained:
    """What a stack has done.

    Args:
        steps: When it was measured.
        losses: (measurements, n) held out, nats per token.
        weights: Last values, by tensor.
        kept: Step -> weights, float32 on the CPU.
        moments: AdamW's state.
        seconds: Of the whole.
    """

    steps: list[int] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)
    weights: Weights = field(default_factory=dict)
    kept: dict[int, Weights] = field(default_factory=dict)
    moments: Moments = field(default_factory=dict)
    seconds: float = 0.0

    def of(self, i: int, step: int | None = None) -> Weights:
        """The weights of one model."""
        source = self.weights if step is None else self.kept[step]
        return {name: tensor[i].detach().float().cpu().clone() for name, tensor in source.items()}

    def curve(self, i: int) -> list[tuple[int, float]]:
        """(step, loss) of one model."""
        return [(step, row[i]) for step, row in zip(self.steps, self.losses, strict=True)]


class Stack:
    """n decoders of a plan.

    Args:
        plan: Whose target all are (RefGPT: RMSNorm with fixed gains, rotary positions, SwiGLU, no biases).
        models: The models.
        device: Where.
        bf16: Forward passes in bfloat16.
    """

    def __init__(self, plan: MuPlan, models: Sequence[One], *, device: str, bf16: bool) -> None:
        self.plan, self.models, self.device, self.bf16 = plan, list(models), device, bf16
        self.config = RefConfig.of(dict(plan.target))
        self.rows = [name for name, row in plan.rows.items() if row.kind == "weight"]
        self.w = {n: torch.stack([m.weights[n].float() for m in models]).to(device).requires_grad_() for n in self.rows}
        self.lrs = torch.tensor([m.lr for m in models], device=device)
        self.factors = {name: plan.factors(name) for name in self.rows}
        self.state: Moments = {n: (torch.zeros_like(t), torch.zeros_like(t), 0) for n, t in self.w.items()}
        own = plan.multipliers
        self.times = {name: own.get(name.rpartition(".")[0], (1.0, ""))[0] for name in self.rows}
        scales = {path: value for path, (_, value) in plan.scales.items()}
        usual = self.config.attention_multiplier or 1 / math.sqrt(self.config.head)
        self.scales = [scales.get(f"model.layers.{i}.self_attn", usual) for i in range(self.config.layers)]

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(n, B, T) tokens -> (n,) mean cross-entropy."""
        c, (n, size, length) = self.config, inputs.shape
        with torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16, enabled=self.bf16):
            shift = torch.arange(n, device=self.device)[:, None] * c.vocabulary
            table = self.w["model.embed_tokens.weight"].flatten(0, 1)
            x = functional.embedding(inputs.reshape(n, -1) + shift, table) * self.times["model.embed_tokens.weight"]
            cos, sin = rotation(length, c.head, c.rope_base, inputs.device, torch.float32)
            for i in range(c.layers):
                x = self._block(x, i, (n * size, length), cos, sin)
            logits = self._linear(self._norm(x), "lm_head.weight")
        flat = functional.cross_entropy(logits.flatten(0, 1).float(), targets.reshape(-1), reduction="none")
        return flat.view(n, -1).mean(1)

    def _block(
        self, x: torch.Tensor, i: int, shape: tuple[int, int], cos: torch.Tensor, sin: torch.Tensor
    ) -> torch.Tensor:
        c, own = self.config, f"model.layers.{i}."
        h = self._norm(x)
        q, k, v = (
            self._linear(h, f"{own}self_attn.{w}_proj.weight").view(*shape, -1, c.head).transpose(1, 2) for w in "qkv"
        )
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        out = functional.scaled_dot_product_attention(
            q, k, v.to(q.dtype), is_causal=True, scale=self.scales[i], enable_gqa=c.n_kv != c.heads
        )
        x = x + self._linear(
            out.transpose(1, 2).reshape(x.shape[0], -1, c.heads * c.head), f"{own}self_attn.o_proj.weight"
        )
        h = self._norm(x)
        inner = functional.silu(self._linear(h, f"{own}mlp.gate_proj.weight")) * self._linear(
            h, f"{own}mlp.up_proj.weight"
        )
        return x + self._linear(inner, f"{own}mlp.down_proj.weight")

    def _norm(self, x: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, (x.shape[-1],), eps=self.config.norm_eps)

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        out = torch.bmm(x, self.w[name].transpose(1, 2))
        return out if self.times[name] == 1 else out * self.times[name]

    @torch.no_grad()
    def step(self, factor: torch.Tensor, *, clip: float = 1.0) -> None:
        """Clip each model's gradients to a norm of 1, and one step of AdamW.

        Args:
            factor: (n,) the schedule's.
            clip: The norm.
        """
        grads = {name: tensor.grad for name, tensor in self.w.items()}
        squares = sum(g.flatten(1).pow(2).sum(1) for g in grads.values() if g is not None)
        assert isinstance(squares, torch.Tensor)
        shrink = (clip / (squares.sqrt() + 1e-6)).clamp(max=1.0)[:, None, None]
        rates = (self.lrs * factor)[:, None, None]
        a, b = BETAS
        for name, tensor in self.w.items():
            grad = grads[name]
            assert grad is not None
            mean, square, done = self.state[name]
            done += 1
            grad.mul_(shrink)
            mean.lerp_(grad, 1 - a)
            square.mul_(b).addcmul_(grad, grad, value=1 - b)
            size = square.sqrt().div_(math.sqrt(1 - b**done)).add_(EPS * self.factors[name].eps)
            tensor.sub_((mean / size).mul_(rates * (self.factors[name].lr / (1 - a**done))))
            self.state[name] = (mean, square, done)
            tensor.grad = None


class Feed:
    """Windows of each model by number of the step, gathered on the device.

    Args:
        text: (tokens,) on the device.
        batches: One per model; equal ones are drawn once.
    """

    def __init__(self, text: torch.Tensor, batches: Sequence[Batches]) -> None:
        keys = [(b.seed, b.start) for b in batches]
        self.own = list(dict.fromkeys(keys))
        self.text, self.batches = text, [batches[keys.index(key)] for key in self.own]
        self.which = torch.tensor([self.own.index(key) for key in keys], device=text.device)
        one = batches[0]
        self.size, self.length = one.size, one.length
        self.offsets = torch.arange(one.length + 1, device=text.device)
        self.block: tuple[int, torch.Tensor] | None = None
        self.orders: dict[tuple[int, int], np.ndarray] = {}

    def __call__(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets, (n, size, length)."""
        chunk, place = divmod(k, 128)
        if self.block is None or self.block[0] != chunk:
            rows = np.stack([self._starts(b, chunk * 128) for b in self.batches])  # (different, 128, size)
            self.block = (chunk, torch.from_numpy(rows).to(self.text.device))
        starts = self.block[1][:, place]
        both = self.text[starts[:, :, None] + self.offsets].long()
        if len(self.own) != len(self.which):
            both = both[self.which]
        return both[..., :-1], both[..., 1:]

    def _starts(self, batches: Batches, first: int) -> np.ndarray:
        numbers = batches.start + first * self.size + np.arange(128 * self.size)
        epochs, places = np.divmod(numbers, batches.windows)
        found = np.empty(len(numbers), dtype=np.int64)
        for epoch in np.unique(epochs):
            key = (batches.seed, int(epoch))
            if key not in self.orders:
                from luthier.nets.data import SEED_ORDER

                rng = np.random.default_rng([batches.seed, SEED_ORDER, int(epoch)])
                self.orders[key] = rng.permutation(batches.windows)
            inside = epochs == epoch
            found[inside] = self.orders[key][places[inside]] * self.length
        return found.reshape(128, self.size)


def train_stack(
    stack: Stack,
    text: Tokens,
    held_out: Tokens,
    *,
    steps: int,
    batch: int,
    length: int,
    first: int = 0,
    until: int | None = None,
    keep: Iterable[int] = (),
    evaluations: int = 20,
    count: int = 16,
    ends: float = math.inf,
) -> Trained:
    """Train a stack in place.

    Args:
        stack: The models.
        text: Tokens to train on.
        held_out: Tokens of the loss.
        steps: Of the whole run, for the schedules.
        batch: Windows per step and model.
        length: Tokens per window.
        first: Step to begin with.
        until: Step to stop before; None: the end.
        keep: Steps (counted when made) whose weights are kept.
        evaluations: Over the run.
        count: Batches of held-out text.
        ends: time.time() after which it gives up.

    Raises:
        OutOfTimeError: it has given up.
    """
    device, until = stack.device, steps if until is None else until
    began, found = time.perf_counter(), Trained()
    feed = Feed(_on(text, device), [Batches(text, batch, length, seed=m.seed, start=m.start) for m in stack.models])
    measure = Feed(_on(held_out, device), [Batches(held_out, batch, length) for _ in stack.models])
    table = torch.tensor([[m.factor(s, steps) for m in stack.models] for s in range(steps)], device=device)
    wanted, every = set(keep), max(1, steps // evaluations)
    for step in range(first, until):
        stack.loss(*feed(step)).sum().backward()
        stack.step(table[step])
        if (step + 1) % every == 0 or step + 1 == until:
            found.steps.append(step + 1)
            found.losses.append(evaluate(stack, measure, count))
            if time.time() > ends:
                raise OutOfTimeError
        if step + 1 in wanted:
            found.kept[step + 1] = {n: t.detach().float().cpu().clone() for n, t in stack.w.items()}
    found.weights = {name: tensor.detach() for name, tensor in stack.w.items()}
    found.moments, found.seconds = stack.state, time.perf_counter() - began
    return found


def evaluate(stack: Stack, measure: Feed, count: int) -> list[float]:
    """Mean loss of each model over the first batches of held-out text."""
    total: Any = 0.0
    with torch.no_grad():
        for k in range(count):
            total = total + stack.loss(*measure(k))
    return [float(v) for v in (total / count).tolist()]


def _on(text: Tokens, device: str) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(text.values)).to(device)
