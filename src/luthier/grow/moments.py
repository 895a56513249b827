"""Optimiser state over growth: carried for duplicates, kept for old and reset for new channels otherwise.

A duplicated unit's gradient is the old one divided by the number of its copies (and by what its multiplier lost), so
Adam's first moment is divided by that number and the second by its square; with epsilon and rates by the plan the
widened model then trains step by step as the small one would.

Source: the equivalence of arXiv 2602.10545; the reset of new channels alone: SPARKLING (arXiv 2602.02472), by abstract.
Differs: for padded units the moments are as they were: an approximation, which a re-warm forgives.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.base.errors import ArgumentError
from luthier.grow.layouts import NEW, counts
from luthier.nets._torch import nn, torch
from luthier.nets.checkpoints import OPTIMISER, Checkpoint, _read, _write

if TYPE_CHECKING:
    from luthier.grow.growing import _Maker

CARRIED = "carried.safetensors"  # in a grown checkpoint
Moments = dict[str, dict[str, torch.Tensor]]


def moments_of(checkpoint: Checkpoint) -> Moments:
    """Optimiser state by tensor; the groups must have had names, as a plan's do.

    Raises:
        ArgumentError: no state, or groups without names.
    """
    content = checkpoint.state["optimiser"]
    if content is None:
        raise ArgumentError(f"{checkpoint.folder}: has no optimiser state to carry. Allowed: a training checkpoint.")
    names: dict[int, str] = {}
    for group in content["groups"]:
        if "names" not in group:
            raise ArgumentError(f"{checkpoint.folder}: groups without names. Train with plan.param_groups(...).")
        names.update(dict(zip(group["params"], group["names"], strict=True)))
    found: Moments = {}
    for key, tensor in _read(checkpoint.folder / OPTIMISER).items():
        place, _, word = key.partition(".")
        found.setdefault(names[int(place)], {})[word] = tensor
    return found


def keep(folder: Path, moments: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    """Write carried moments beside a grown checkpoint."""
    tensors = {f"{name}|{word}": tensor for name, state in moments.items() for word, tensor in state.items()}
    _write(folder / CARRIED, {name: tensor.contiguous() for name, tensor in tensors.items()})


def kept(folder: Path) -> Moments | None:
    """The moments that were carried into a grown checkpoint; None where there are none."""
    if not (folder / CARRIED).exists():
        return None
    found: Moments = {}
    for key, tensor in _read(folder / CARRIED).items():
        name, _, word = key.partition("|")
        found.setdefault(name, {})[word] = tensor
    return found


def put(moments: Mapping[str, Mapping[str, torch.Tensor]], model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Put moments into an optimiser of the model; tensors without any start with none, as new ones do."""
    for name, tensor in model.named_parameters():
        if name in moments and tensor.requires_grad:
            state = moments[name].items()
            optimiser.state[tensor] = {k: v.clone().to(tensor.device if v.ndim else "cpu") for k, v in state}


def carry(moments: Mapping[str, Mapping[str, torch.Tensor]], made: _Maker) -> Moments:
    """The target's state.

    Raises:
        ArgumentError: key heads are repeated, whose gradients are not the old ones divided.
    """
    small, large = made.small.sizes, made.large.sizes
    if made.growth.operator == "duplicate" and large.heads == small.heads and large.groups != small.groups:
        raise ArgumentError("optimiser state: cannot be carried where key heads alone are repeated. Use fresh moments.")
    found: Moments = {}
    for name in made.target.rows:
        origin = made.origin(name)
        if origin is None or origin not in moments:
            continue
        part, state = made.large.parts[name], {}
        ratio = _gradient(made, name)
        for word, tensor in moments[origin].items():
            if tensor.ndim == 0:
                state[word] = tensor.clone()
                continue
            moved = tensor
            for place, dim in enumerate(part.dims):
                if dim in made.maps:
                    units = torch.from_numpy(made.maps[dim])
                    moved = moved.index_select(place, units.clamp(min=0))
                    shape = [1] * moved.ndim
                    shape[place] = -1
                    moved = torch.where((units == NEW).view(shape), torch.zeros_like(moved), moved)
            state[word] = (moved * (ratio**2 if word.endswith("sq") else ratio)).to(tensor.dtype)
        found[name] = state
    return found


def _gradient(made: _Maker, name: str) -> torch.Tensor:
    """What the gradient of each entry is multiplied by, to be broadcast."""
    part = made.large.parts[name]
    if made.growth.operator != "duplicate":
        return torch.ones(1)
    from luthier.grow._exact import multiplier

    origin = made.origin(name) or name
    ratio = 1.0
    if part.kind in ("readout", "writer"):
        ratio = multiplier(made.target, name) / multiplier(made.source, origin)
    dim = part.dims[part.out]
    if dim not in made.maps:
        return torch.tensor([ratio], dtype=torch.float64)
    shape = [1] * len(part.dims)
    shape[part.out] = -1
    return (ratio / torch.from_numpy(counts(made.maps[dim])).double()).view(shape)
