"""Hyperparameters tuned at a proxy, as a file: what transfers by muP, what does not, and whose proxy it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from luthier.base.checks import check, check_fields
from luthier.base.errors import ArgumentError, did_you_mean
from luthier.grow.mu_plan import MuPlan
from luthier.nets._torch import nn, torch

#: Names that do not transfer over width, and what to do about them.
NOT_TRANSFERRED: Mapping[str, str] = {
    "dropout": "depends on the sizes of model and data: 0 for less than an epoch, else tune at the target",
    "label_smoothing": "depends on the sizes of model and data: tune at the target",
    "batch": "hold it fixed, or refit the rate on three batch sizes",
    "tokens": "longer runs want lower rates: tune proxies at the same tokens per parameter",
    "length": "no guarantee: keep it",
}


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """What a run is trained with.

    Args:
        lr: Peak rate, tuned at the proxy.
        weight_decay: At the proxy; scaled so that rate times decay stays.
        eps: Of Adam, at the proxy.
        beta1: Of Adam.
        beta2: Of Adam; 0.95 is usual for language models.
        batch: Windows per step.
        length: Tokens per window.
        warmup: Share of the steps.
        cooldown: Share of the steps.
        clip: Largest gradient norm.
        optimiser: "adamw" or "sgd".
        fingerprint: Of the proxy that they were tuned at; empty: not known.
        near: Next best rates, to hedge with.
        not_transferred: Name -> what to do.
        reason: Why another proxy's are used.
    """

    lr: float
    weight_decay: float = 0.0
    eps: float = 1e-8
    beta1: float = 0.9
    beta2: float = 0.95
    batch: int = 16
    length: int = 64
    warmup: float = 0.01
    cooldown: float = 0.2
    clip: float = 1.0
    optimiser: str = "adamw"
    fingerprint: str = ""
    near: tuple[float, ...] = ()
    not_transferred: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with."""
        check("lr", self.lr, above=0)
        check("optimiser", self.optimiser, one_of=("adamw", "sgd"))
        check_fields(self, "batch", "length", at_least=1, whole=True)
        check("weight_decay", self.weight_decay, at_least=0)
        check("eps", self.eps, above=0)
        check("clip", self.clip, above=0)
        for name in ("beta1", "beta2"):
            check(name, getattr(self, name), at_least=0, below=1)
        for name in ("warmup", "cooldown"):
            check(name, getattr(self, name), at_least=0, at_most=1)

    def make(self, plan: MuPlan, model: nn.Module) -> torch.optim.Optimizer:
        """The optimiser of a model, by its plan."""
        groups = plan.param_groups(
            model, lr=self.lr, weight_decay=self.weight_decay, eps=self.eps, optimiser=self.optimiser
        )
        if self.optimiser == "sgd":
            return torch.optim.SGD(groups)
        return torch.optim.AdamW(groups, betas=(self.beta1, self.beta2))

    def save(self, path: str | Path) -> None:
        """Write as JSON."""
        Path(path).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Hyper:
        """From a mapping; unknown names are refused.

        Raises:
            ArgumentError: naming the unknown one.
        """
        known = {f.name for f in fields(cls)}
        for name in data:
            if name not in known:
                raise ArgumentError(f"{name}: no hyperparameter of a run. {did_you_mean(name, known)}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)

    @classmethod
    def load(cls, path: str | Path) -> Hyper:
        """Read JSON or YAML."""
        import yaml

        text = Path(path).read_text()
        try:
            found = json.loads(text)
        except json.JSONDecodeError:
            found = yaml.safe_load(text)
        if isinstance(found, dict):  # YAML takes 1e-8 for a text
            numbers = {f.name for f in fields(cls) if f.type == "float"}
            found = {k: float(v) if k in numbers and isinstance(v, str) else v for k, v in found.items()}
        if not isinstance(found, dict):
            raise ArgumentError(f"{path}: no mapping of hyperparameters. Allowed: a file that `grow transfer` wrote.")
        return cls.of(found)
