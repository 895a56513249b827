"""Muon for hidden matrices beside AdamW for all else, as one optimiser whose groups a plan has scaled.

Source: `torch.optim.Muon`; that rates carry over width when the update's spectral norm goes as sqrt(n_out / n_in):
    arXiv 2512.05620 and 2601.01306, by abstract. What torch's own `adjust_lr_fn` does is divided out by the plan.
Cost: five products of each hidden matrix with itself per step, beside those of the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, NoReturn

from luthier.base.errors import ArgumentError
from luthier.grow.mu_plan import MuPlan
from luthier.nets._torch import nn, torch


class _States(MutableMapping[Any, Any]):
    """States of two optimisers, each tensor's where it belongs."""

    def __init__(self, parts: tuple[torch.optim.Optimizer, torch.optim.Optimizer]) -> None:
        self._parts = parts
        self._owner = {p: part for part in parts for group in part.param_groups for p in group["params"]}

    def __getitem__(self, tensor: Any) -> Any:
        return self._owner[tensor].state[tensor]

    def __setitem__(self, tensor: Any, state: Any) -> None:
        self._owner[tensor].state[tensor] = state

    def __delitem__(self, tensor: Any) -> None:
        del self._owner[tensor].state[tensor]

    def __iter__(self) -> Iterator[Any]:
        return (tensor for part in self._parts for tensor in part.state)

    def __len__(self) -> int:
        return sum(len(part.state) for part in self._parts)


class Both(torch.optim.Optimizer):
    """Two optimisers of one model: their groups and states one after the other.

    Args:
        first: The first.
        second: The second.
    """

    def __init__(self, first: torch.optim.Optimizer, second: torch.optim.Optimizer) -> None:
        self.parts = (first, second)
        self._whole = False
        super().__init__(self.param_groups, {})  # hooks around a step, and what schedules and profilers look for
        self._whole = True

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of both."""
        return [group for part in self.parts for group in part.param_groups]

    @param_groups.setter
    def param_groups(self, groups: list[dict[str, Any]]) -> None:
        """The parts have their own: what torch's constructor sets is let go."""

    @property  # type: ignore[override]
    def state(self) -> MutableMapping[Any, Any]:
        """States of both, by tensor."""
        return _States(self.parts)

    @state.setter
    def state(self, found: Any) -> None:
        """As for groups."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refused: which part it belongs to is not known.

        Raises:
            ArgumentError: always, once both are there.
        """
        if self._whole:
            raise ArgumentError("add_param_group: of two optimisers. Add the group to one of `parts`.")

    def register_state_dict_pre_hook(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: states are read from the parts."""
        raise ArgumentError("hooks of state dicts: of two optimisers. Register them with `parts`.")

    register_state_dict_post_hook = register_state_dict_pre_hook
    register_load_state_dict_pre_hook = register_state_dict_pre_hook
    register_load_state_dict_post_hook = register_state_dict_pre_hook

    def __getstate__(self) -> dict[str, Any]:
        """Copies have parts of their own."""
        return {"parts": self.parts, "defaults": self.defaults, "_whole": True}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Of both."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Of both."""
        if closure is not None:
            raise ArgumentError("closure: not with two optimisers. Allowed: None.")
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Both states; the second's numbers follow the first's."""
        first, second = (part.state_dict() for part in self.parts)
        moved = self._count()
        groups = [{**g, "params": [k + moved for k in g["params"]]} for g in second["param_groups"]]
        state = {**first["state"], **{k + moved: v for k, v in second["state"].items()}}
        return {"state": state, "param_groups": [*first["param_groups"], *groups]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        moved, groups = self._count(), len(self.parts[0].param_groups)
        own, other = state_dict["param_groups"][:groups], state_dict["param_groups"][groups:]
        state = state_dict["state"]
        self.parts[0].load_state_dict({"state": {k: v for k, v in state.items() if k < moved}, "param_groups": own})
        behind = {k - moved: v for k, v in state.items() if k >= moved}
        back = [{**g, "params": [k - moved for k in g["params"]]} for g in other]
        self.parts[1].load_state_dict({"state": behind, "param_groups": back})

    def _count(self) -> int:
        return sum(len(group["params"]) for group in self.parts[0].param_groups)


def muon_adamw(
    plan: MuPlan,
    model: nn.Module,
    *,
    lr: float,
    adam_lr: float,
    weight_decay: float = 0.0,
    adjust: str = "original",
    momentum: float = 0.95,
    betas: tuple[float, float] = (0.9, 0.95),
) -> Both:
    """Muon on hidden matrices, AdamW on tables, readout, gains and biases.

    Args:
        plan: Of the model.
        model: The model.
        lr: Muon's rate at the proxy.
        adam_lr: AdamW's rate at the proxy.
        weight_decay: At the proxy; rate times decay stays.
        adjust: "original" or "match_rms_adamw": torch's `adjust_lr_fn`.
        momentum: Of Muon; torch's default.
        betas: Of AdamW.

    Raises:
        ArgumentError: the model has no hidden matrix, or torch has no Muon.
    """
    if not hasattr(torch.optim, "Muon"):
        raise ArgumentError(f"torch {torch.__version__} has no Muon. Allowed: torch 2.9 or newer.")
    hidden = [
        n for n, row in plan.rows.items() if row.role == "hidden" and row.kind == "weight" and len(row.shape) == 2
    ]
    if not hidden:
        raise ArgumentError(
            "muon: the plan has no hidden matrix. Allowed: a model with maps between growing dimensions."
        )
    groups = plan.param_groups(model, lr=lr, weight_decay=weight_decay, optimiser="muon", adjust=adjust, only=hidden)
    rest = [name for name in plan.rows if name not in hidden]
    muon = torch.optim.Muon(groups, lr=lr, momentum=momentum, adjust_lr_fn=adjust)
    others = plan.param_groups(model, lr=adam_lr, weight_decay=weight_decay, only=rest)
    return Both(muon, torch.optim.AdamW(others, betas=betas))
