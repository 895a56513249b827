"""Modules with a number on their input or output: their class is exchanged in place, everything else stays.

State-dict keys, tying and hooks are as before, and the number is a plain float: it survives compile, deepcopy and
pickling of whole models, and a module that is exchanged twice has one number.

torch's own attention multiplies by `out_proj.weight` and never calls `out_proj`, so that its number is on the
attention's output. Its encoder layers pass by all their modules in evaluation (the fast path): one with a number takes
the plain path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from luthier.nets._torch import nn, torch

#: name of the class -> (the class that it replaces; which side of the module the number is on)
_MADE: dict[str, type] = {}


class _Before:
    """Multiplies what comes in: a bias is not scaled. For readouts."""

    multiplier: float

    def forward(self, x: torch.Tensor, *more: Any, **named: Any) -> Any:
        """As the plain module, of x times the number."""
        return super().forward(x * self.multiplier, *more, **named)  # type: ignore[misc]


class _After:
    """Multiplies what comes out (of several things the first): the bias too. For branches and embeddings."""

    multiplier: float

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """As the plain module, times the number."""
        found = super().forward(*inputs, **named)  # type: ignore[misc]
        if isinstance(found, tuple):
            return (found[0] * self.multiplier, *found[1:])
        return found * self.multiplier


class ReadoutLinear(_Before, nn.Linear):  # type: ignore[misc]
    """A readout with its multiplier."""


class BranchLinear(_After, nn.Linear):
    """The last map of a residual branch with its multiplier."""


class ScaledEmbedding(_After, nn.Embedding):
    """An embedding with its multiplier."""


_MADE |= {"ReadoutLinear": ReadoutLinear, "BranchLinear": BranchLinear, "ScaledEmbedding": ScaledEmbedding}
_PLAIN = {ReadoutLinear: nn.Linear, BranchLinear: nn.Linear, ScaledEmbedding: nn.Embedding}


def scale(module: nn.Module, multiplier: float, *, side: str) -> None:
    """Give a module its number.

    Args:
        module: The module; changed in place.
        multiplier: The number.
        side: "before" or "after".
    """
    plain = _PLAIN.get(type(module), type(module))
    module.__class__ = _class(plain, side)
    module.multiplier = float(multiplier)  # type: ignore[assignment]


def apply(model: nn.Module, multipliers: Mapping[str, tuple[float, str]]) -> None:
    """Give modules their numbers, such that no pass goes by them.

    Args:
        model: Changed in place.
        multipliers: Module -> (number, "before" or "after").
    """
    modules = dict(model.named_modules())
    for path, (number, side) in multipliers.items():
        scale(carrier(modules, path), number, side=side)
    for module in modules.values():
        if isinstance(module, nn.TransformerEncoderLayer) and _has_number(module):
            module.activation_relu_or_gelu = 0  # read by the fast path alone: it knows neither, and is not taken
        if isinstance(module, nn.TransformerEncoder) and _has_number(module):
            module.use_nested_tensor = False  # made for the fast path of its layers


def carrier(modules: Mapping[str, nn.Module], path: str) -> nn.Module:
    """The module that has the number of the map at a path: itself, or torch's attention that uses its weight."""
    parent, _, name = path.rpartition(".")
    above = modules.get(parent)
    return above if name == "out_proj" and isinstance(above, nn.MultiheadAttention) else modules[path]


def silent(model: nn.Module, multipliers: Mapping[str, tuple[float, str]], run: Callable[[], Any]) -> list[str]:
    """Paths of the numbers that a pass never reads.

    Args:
        model: The model; as before afterwards.
        multipliers: By path.
        run: One pass of the model.
    """
    modules = dict(model.named_modules())
    called: set[int] = set()

    def counted(module: nn.Module, plain: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*inputs: Any, **named: Any) -> Any:
            called.add(id(module))
            return plain(*inputs, **named)

        return forward

    carriers = {path: carrier(modules, path) for path in multipliers}
    own = {id(module): module for module in carriers.values()}
    try:
        for module in own.values():  # no hooks: they would turn the fast path off
            module.__dict__["forward"] = counted(module, module.forward)
        run()
    finally:
        for module in own.values():
            module.__dict__.pop("forward", None)
    return [path for path, module in carriers.items() if id(module) not in called]


def _has_number(module: nn.Module) -> bool:
    return any(isinstance(one, (_Before, _After)) for one in module.modules())


def multiplier_of(module: nn.Module) -> float:
    """A module's number; 1 for one that has none."""
    return float(module.multiplier) if isinstance(module, (_Before, _After)) else 1.0


def _class(plain: type, side: str) -> type:
    known = {
        (nn.Linear, "before"): ReadoutLinear,
        (nn.Linear, "after"): BranchLinear,
        (nn.Embedding, "after"): ScaledEmbedding,
    }.get((plain, side))
    if known is not None:
        return known
    name = f"{side}__{plain.__module__.replace('.', '__dot__')}__class__{plain.__qualname__}"
    if name not in _MADE:
        base = _Before if side == "before" else _After
        made = type(name, (base, plain), {"__module__": __name__, "__doc__": f"{plain.__name__} with a multiplier."})
        _MADE[name], _PLAIN[made] = made, plain
    return _MADE[name]


def __getattr__(name: str) -> Any:
    """Classes made for other modules are found again when a whole model is unpickled."""
    side, _, rest = name.partition("__")
    module, marked, plain = rest.replace("__dot__", ".").partition("__class__")
    if not marked or side not in ("before", "after"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return _class(getattr(importlib.import_module(module), plain), side)
