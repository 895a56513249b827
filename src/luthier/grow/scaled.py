"""Modules with a number on their input or output: their class is exchanged in place, everything else stays.

State-dict keys, tying and hooks are as before, and the number is a plain float: it survives compile, deepcopy and
pickling of whole models, and a module that is exchanged twice has one number.
"""

from __future__ import annotations

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
    """Multiplies what comes out: the bias too. For branches and embeddings."""

    multiplier: float

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """As the plain module, times the number."""
        return super().forward(*inputs, **named) * self.multiplier  # type: ignore[misc]


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
