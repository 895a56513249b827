"""Which dimension of which tensor grows: read off two models that differ in all that grows, on the meta device."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.grow.factories import Factory
from luthier.grow.tables import ROLES
from luthier.nets._torch import nn, torch

#: Which dimension of a weight is the output, which the input, by the module's class name; spatial ones are neither.
_AXES: Mapping[str, tuple[int, int]] = {
    "Linear": (0, 1),
    "Conv1D": (1, 0),  # transformers' transposed linear map
    "Conv1d": (0, 1),
    "Conv2d": (0, 1),
    "Conv3d": (0, 1),
    "Bilinear": (0, 1),
    "MultiheadAttention": (0, 1),
    "LSTM": (0, 1),
    "GRU": (0, 1),
    "RNN": (0, 1),
    "Embedding": (1, 0),
    "NonDynamicallyQuantizableLinear": (0, 1),
}
#: Maps that make queries.
QUERY = re.compile(r"(^|\.)(q_proj|query|q|wq)\.weight$")


@dataclass(frozen=True)
class Slot:
    """One tensor of a model, before sizes are compared.

    Args:
        name: Its first name.
        aliases: Its other names.
        shape: Its shape.
        kind: "weight", "bias", "gain" or "vector".
        axes: Its output and input dimension; None where the module's class is not known and it has several.
        owner: Class name of its module.
        embedding: It is looked up, not multiplied.
    """

    name: str
    aliases: tuple[str, ...]
    shape: tuple[int, ...]
    kind: str
    axes: tuple[int, int | None] | None
    owner: str
    embedding: bool


def on_meta(factory: Factory, sizes: Mapping[str, Any]) -> nn.Module:
    """A model without memory; with memory where its function reads values, which the meta device has none of.

    Raises:
        ArgumentError: the factory does not take these sizes, or fails.
    """
    try:
        with torch.device("meta"):
            return factory(**sizes)
    except (TypeError, RuntimeError):  # values are read (`x.item()`, numpy); or the sizes are wrong, told below
        pass
    try:
        with torch.random.fork_rng(devices=[]):
            return factory(**sizes)
    except (TypeError, RuntimeError) as error:
        raise ArgumentError(
            f"sizes={dict(sizes)!r}: the model cannot be built: {error}. Allowed: sizes that its function takes."
        ) from error


def slots(model: nn.Module) -> dict[str, Slot]:
    """Every parameter of a model, each once, by its first name."""
    modules = dict(model.named_modules())
    names: dict[int, list[str]] = {}
    tensors: dict[int, nn.Parameter] = {}
    for name, tensor in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(tensor), []).append(name)
        tensors[id(tensor)] = tensor
    return {every[0]: _slot(every, tensors[key], modules) for key, every in names.items()}


def _slot(names: list[str], tensor: nn.Parameter, modules: Mapping[str, nn.Module]) -> Slot:
    path, _, leaf = names[0].rpartition(".")
    owner = modules[path]
    kind_of_module = next((c.__name__ for c in type(owner).__mro__ if c.__name__ in _AXES), type(owner).__name__)
    shape = tuple(tensor.shape)
    embedding = any(isinstance(modules[name.rpartition(".")[0]], nn.Embedding) for name in names)
    normalises = "norm" in type(owner).__name__.lower()
    axes: tuple[int, int | None] | None
    if normalises:
        kind, axes = ("bias" if leaf == "bias" else "gain"), (len(shape) - 1, None)
    elif len(shape) <= 1:
        kind, axes = ("bias" if "bias" in leaf else "vector"), (0, None)
    elif kind_of_module in _AXES:
        kind, axes = "weight", _AXES[kind_of_module]
    else:
        kind, axes = "vector", None
    if embedding:
        axes = (1, 0)
    return Slot(names[0], tuple(names[1:]), shape, kind, axes, kind_of_module, embedding)


def lists(model: nn.Module) -> dict[str, int]:
    """Lists of blocks: path -> how many."""
    return {name: len(m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList)}


class Layers:
    """Which layer of the proxy each layer of the target is like.

    Args:
        proxy: Lists of blocks of the proxy.
        target: Those of the target.

    Raises:
        ArgumentError: the proxy has none where the target has some.
    """

    def __init__(self, proxy: Mapping[str, int], target: Mapping[str, int]) -> None:
        self.ratio: dict[str, tuple[int, int]] = {}
        for path, count in target.items():
            own = proxy.get(path)
            if own is not None and own != count:
                check(f"layers of the proxy ({path})", own, at_least=1, whole=True)
                self.ratio[path] = (own, count)

    def template(self, name: str) -> tuple[str, float]:
        """The proxy's name for a tensor, and layers / proxy's layers (1 outside of lists that grew)."""
        for path, (own, count) in self.ratio.items():
            found = re.match(rf"{re.escape(path)}\.(\d+)\.(.+)$", name)
            if found:
                return f"{path}.{int(found[1]) * own // count}.{found[2]}", count / own
        return name, 1.0


def grown(slot: Slot, delta: Slot) -> tuple[int, ...]:
    """The dimensions in which two models differ.

    Raises:
        ArgumentError: another number of dimensions.
    """
    if len(slot.shape) != len(delta.shape):
        raise ArgumentError(f"tensor {slot.name!r}: {slot.shape} in the proxy, {delta.shape} in the delta.")
    return tuple(i for i, (a, b) in enumerate(zip(slot.shape, delta.shape, strict=True)) if a != b)


def role_of(slot: Slot, dims: tuple[int, ...], given: str | None) -> tuple[str, int | None, int | None]:
    """Role, and the output and input dimension among those that grow.

    Args:
        slot: The tensor.
        dims: Its dimensions that grow.
        given: The user's word for its role, if there is one.

    Raises:
        ArgumentError: the role cannot be told; the message says how to give it.
    """
    if given is not None:
        check(f"overrides[{slot.name!r}]", given, one_of=ROLES)
    if not dims:
        return given or "scalar", None, None
    if slot.axes is None and len(dims) == 1:
        return given or "input", (None if given == "readout" else dims[0]), (dims[0] if given == "readout" else None)
    if slot.axes is None or len(dims) > 2 or any(d not in slot.axes for d in dims):
        raise ArgumentError(
            f"tensor {slot.name!r} of {slot.owner}: dimensions {dims} of {slot.shape} grow, and which of them is the "
            f"input is not known. Name its role: overrides={{{slot.name!r}: 'hidden'}} (output first, input second)."
            if len(dims) < 3 and given is None
            else f"tensor {slot.name!r} of {slot.owner}: dimensions {dims} of {slot.shape} grow. Allowed: two at most."
        )
    out, into = slot.axes
    grows_out, grows_in = (out if out in dims else None), (into if into in dims else None)
    own = {(True, True): "hidden", (True, False): "input", (False, True): "readout"}
    found = given or own[grows_out is not None, grows_in is not None]
    return found, grows_out, grows_in


def override(name: str, overrides: Mapping[str, str]) -> str | None:
    """The user's word for a tensor: the first pattern (a regular expression) that is found in its name."""
    return next((role for pattern, role in overrides.items() if re.search(pattern, name)), None)


def blocks(name: str) -> str:
    """The block that a tensor is in: its path up to the last number that holds its module; empty outside of blocks.

    A module that is itself numbered, as in `nn.Sequential`, is a layer and no block.
    """
    module = name.rpartition(".")[0]
    found = re.match(r"(.*\.\d+)\.", f".{module}")
    return found[1][1:] if found else ""


def attentions(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, int]]:
    """Every attention module: path, module, name of the attribute that scales queries times keys ("" if none), width of
    a head.
    """
    for path, module in model.named_modules():
        width = next(
            (
                int(getattr(module, word))
                for word in ("head_dim", "head_size", "attention_head_size", "d_head")
                if isinstance(getattr(module, word, None), int)
            ),
            None,
        )
        if width is None or not any(p is not None for p in module.children()):
            continue
        word = next((w for w in ("scaling", "scale") if isinstance(getattr(module, w, None), float)), "")
        yield path, module, word, width
