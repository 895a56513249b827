"""How a model's own function starts its tensors: measured at the proxy, read as the rule behind the numbers.

And how a target is started: what a row says, in which precision, and what stays as the function made it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.grow.factories import Factory
from luthier.grow.roles import Slot
from luthier.grow.tables import Row
from luthier.nets._torch import nn, torch

BUILDS = 3  # proxies measured, so that a tensor of 1,000 numbers is known to 1.3 %
LARGE = 20_000_000  # parameters from which one is measured (and a second one compared with it)


class Starts:
    """Standard deviations (or constants) of a proxy's tensors at the start.

    Args:
        make: The model's function.
        sizes: Of the proxy.
    """

    def __init__(self, make: Factory, sizes: Mapping[str, Any]) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            before = torch.random.get_rng_state()
            first = make(**sizes)
            after = torch.random.get_rng_state()
            second = make(**sizes)
            again = torch.random.get_rng_state()
            large = sum(p.numel() for p in first.parameters()) > LARGE
            models = [first] if large else [first, second, *(make(**sizes) for _ in range(BUILDS - 2))]
        self._tensors = [dict(model.named_parameters()) for model in models]
        self._named = _named(first)
        pairs = [self._tensors[0], dict(second.named_parameters())]
        self._same = {name for name, tensor in pairs[0].items() if _alike(tensor, pairs[1][name])}
        drawn = {name for name, tensor in pairs[0].items() if tensor.ndim > 1 and not _constant(tensor)}
        # equal builds tell nothing where the function seeds torch, or has a generator of its own for all its matrices
        reseeds = torch.equal(after, again) and not torch.equal(before, after)
        self.seeded = reseeds or (bool(drawn) and drawn <= self._same)

    def of(self, slot: Slot) -> tuple[str, float]:
        """("constant", value), ("normal", standard deviation), or ("own", size) for what every build starts alike."""
        values = torch.stack([tensors[slot.name].detach().float().flatten() for tensors in self._tensors])
        if slot.embedding:
            values = values[:, values.abs().sum(0) > 0]  # a padding row is zero
        low, high = float(values.min()), float(values.max())
        if low == high:
            return "constant", low
        measured = float(values.double().pow(2).mean().sqrt())
        if slot.name in self._same and not self.seeded:
            return "own", measured
        return "normal", self._rule(measured, slot, values.numel())

    def _rule(self, measured: float, slot: Slot, numbers: int) -> float:
        """The rule whose value is nearest, where one is within the measurement's error."""
        fan = 1
        if slot.axes is not None and slot.axes[1] is not None and len(slot.shape) > 1:
            fan = math.prod(slot.shape) // slot.shape[slot.axes[0]]
        rules = [1 / math.sqrt(3 * fan), 1 / math.sqrt(fan), math.sqrt(2 / fan), 1.0, *self._named]
        error = max(0.005, 4 / math.sqrt(2 * numbers))
        near = [rule for rule in rules if rule > 0 and abs(measured / rule - 1) <= error]
        return min(near, key=lambda rule: abs(measured / rule - 1)) if near else measured


def _alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.detach(), b.detach())


def _constant(tensor: torch.Tensor) -> bool:
    return bool((tensor.detach() == tensor.detach().flatten()[:1]).all())


def _named(model: nn.Module) -> list[float]:
    """Standard deviations that the model's configuration names, and GPT-2's smaller one for branches."""
    config = getattr(model, "config", None)
    found = [getattr(config, word, None) for word in ("init_std", "initializer_range")]
    layers = next((getattr(config, w) for w in ("n_layer", "num_hidden_layers", "layers") if hasattr(config, w)), 0)
    plain = [float(value) for value in found if value]
    return plain + [value / math.sqrt(2 * layers) for value in plain if layers]


def cast(model: nn.Module, dtype: torch.dtype) -> None:
    """Give parameters a precision, and buffers where nothing is lost by it.

    Rotary frequencies in half precision would turn far positions to other angles. The means of a batch norm are as its
    weights, whatever they are: torch computes with no others.
    """
    norms = {id(b) for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) for b in m.buffers()}
    for tensor in (*model.parameters(), *model.buffers()):
        finer = torch.finfo(dtype).bits >= torch.finfo(tensor.dtype).bits if tensor.is_floating_point() else False
        if tensor.is_floating_point() and (finer or isinstance(tensor, nn.Parameter) or id(tensor) in norms):
            tensor.data = tensor.data.to(dtype)


def zero_rows(model: nn.Module) -> list[torch.Tensor]:
    """Rows of embeddings that stand for padding and are zero: without a gradient they stay what they start as."""
    tables = [m for m in model.modules() if isinstance(m, nn.Embedding) and m.padding_idx is not None]
    return [m.weight[m.padding_idx] for m in tables if not m.weight[m.padding_idx].any()]


def start(row: Row, seed: int, *, name: str | None = None) -> torch.Tensor:
    """The start values of one tensor, float32 on the CPU: a function of (row, seed, name).

    Args:
        row: The tensor.
        seed: The model's seed.
        name: Another stream than the tensor's own.

    Raises:
        ArgumentError: only the model's function knows them.
    """
    if row.start == "own":
        raise ArgumentError(
            f"tensor {row.name!r}: its start is the model's own, and no rule makes it. Allowed: plan.build(), which "
            "leaves it as the function made it."
        )
    if row.start == "constant":
        return torch.full(tuple(row.shape), row.value)
    digest = hashlib.blake2b(f"{seed}/{name or row.name}".encode(), digest_size=8).digest()
    draw = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
    return torch.randn(tuple(row.shape), generator=draw) * row.value
