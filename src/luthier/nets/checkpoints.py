"""Checkpoints: tensors as safetensors, all else as JSON; nothing is pickled, none is ever half written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError, SchemaError
from luthier.base.files import new_folder, write_text
from luthier.base.imports import need
from luthier.nets._torch import nn, torch

SCHEMA = 1
MODEL, OPTIMISER, STATE = "model.safetensors", "optimiser.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint on disk.

    Args:
        folder: Where it lies.
        state: Its JSON: `step`, `tokens`, `recipe`, `history`, and what the caller added under `extra`.
    """

    folder: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """Steps that were made."""
        return int(self.state["step"])

    def weights(self) -> dict[str, torch.Tensor]:
        """Every tensor of the model by its name; tensors that are shared appear under each of their names."""
        found = _read(self.folder / MODEL)
        for name, owner in self.state["aliases"].items():
            found[name] = found[owner]
        return found

    def load(self, model: nn.Module, optimiser: torch.optim.Optimizer | None = None) -> None:
        """Put the values into a model, and the moments into an optimiser.

        Raises:
            ArgumentError: tensors are missing, are too many, or have other shapes; or no moments were saved.
        """
        load_weights(model, self.weights(), where=str(self.folder))
        if optimiser is None:
            return
        if self.state["optimiser"] is None:
            raise ArgumentError(f"{self.folder}: has no optimiser state. Allowed: a checkpoint of a training run.")
        tensors = _read(self.folder / OPTIMISER)
        state: dict[int, dict[str, Any]] = {}
        for key, tensor in tensors.items():
            place, _, name = key.partition(".")
            state.setdefault(int(place), {})[name] = tensor
        for place, values in self.state["optimiser"]["scalars"].items():
            state.setdefault(int(place), {}).update(values)
        optimiser.load_state_dict({"state": state, "param_groups": self.state["optimiser"]["groups"]})


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor], *, where: str = "weights") -> None:
    """Copy values into a model, strictly: every tensor there, none too many, all shapes equal, all
    parameters finite.

    Raises:
        ArgumentError: naming the first few tensors that do not fit.
    """
    own = model.state_dict()
    missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or extra:
        raise ArgumentError(
            f"{where}: does not fit the model: missing {_few(missing)}, too many {_few(extra)}. "
            "Build the model from the configuration that the checkpoint names (tied and untied readouts differ)."
        )
    wrong = [name for name in own if own[name].shape != weights[name].shape]
    if wrong:
        name = wrong[0]
        raise ArgumentError(
            f"{where}: tensor {name!r} has shape {tuple(weights[name].shape)}, the model has {tuple(own[name].shape)}. "
            "Build the model from the configuration that the checkpoint names."
        )
    for name, _ in model.named_parameters(remove_duplicate=False):  # a buffer may hold an infinite mask
        if not bool(torch.isfinite(weights[name]).all()):
            raise ArgumentError(f"{where}: tensor {name!r} has values that are no finite numbers: its run diverged.")
    model.load_state_dict(dict(weights))


def save(
    folder: str | Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer | None = None,
    *,
    step: int = 0,
    state: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Write a checkpoint: into a folder beside, then renamed, so that it is whole or not there.

    Args:
        folder: Where; one that is there is replaced.
        model: The model.
        optimiser: Its optimiser, to continue from here.
        step: Steps made.
        state: More of the training state, JSON.
        extra: What else belongs to it (a plan, a configuration), JSON.

    Returns:
        The checkpoint.
    """
    target = Path(folder)
    tensors, aliases = _owned(model.state_dict())
    content = {
        "schema": SCHEMA,
        "step": step,
        "aliases": aliases,
        "optimiser": None,
        **(state or {}),
        "extra": dict(extra or {}),
    }
    with new_folder(target) as partial:
        _write(partial / MODEL, tensors)
        if optimiser is not None:
            moments, content["optimiser"] = _moments(optimiser)
            _write(partial / OPTIMISER, moments)
        (partial / STATE).write_text(json.dumps(content, indent=1) + "\n")
    return Checkpoint(target, content)


def read(folder: str | Path) -> Checkpoint:
    """A checkpoint, or the newest one of a run's folder.

    Raises:
        ArgumentError: there is none.
        SchemaError: a newer luthier has written it.
    """
    place = Path(folder)
    if not (place / STATE).exists():
        found = latest(place)
        if found is None:
            raise ArgumentError(f"{place}: no checkpoint there. Allowed: a folder with {STATE}, or a run's folder.")
        return found
    content = json.loads((place / STATE).read_text())
    if content.get("schema", 0) > SCHEMA:
        raise SchemaError(f"{place}: schema {content['schema']}, this luthier knows {SCHEMA}. Install a newer luthier.")
    return Checkpoint(place, content)


def amend(checkpoint: Checkpoint, **state: Any) -> None:
    """Put other values into a checkpoint's JSON; its tensors stay.

    Args:
        checkpoint: Which.
        state: Name -> value, JSON.
    """
    checkpoint.state.update(state)
    write_text(checkpoint.folder / STATE, json.dumps(checkpoint.state, indent=1) + "\n")


def steps_in(folder: str | Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(path for path in Path(folder).glob("step-*") if (path / STATE).exists())


def latest(folder: str | Path) -> Checkpoint | None:
    """The newest checkpoint of a run; None where there is none."""
    found = steps_in(folder)
    return read(found[-1]) if found else None


def at_step(folder: str | Path, where: str | int = "last") -> Checkpoint:
    """A checkpoint of a run by its place.

    Args:
        folder: Of the run, or a checkpoint ("last" only).
        where: "last", "pre-cooldown" (the last one at the full rate: the one to grow from), or a step's number.

    Raises:
        ArgumentError: there is none at that place.
    """
    if where == "last":
        return read(folder)
    there = {int(path.name[5:]): path for path in steps_in(folder)}
    if where == "pre-cooldown" and there:
        recipe = read(folder).state["recipe"]
        wanted = _cooldown_starts(recipe["schedule"], recipe["steps"])
    else:
        wanted = int(where) if str(where).isdigit() else -1
    if wanted not in there:
        raise ArgumentError(
            f"{folder}: no checkpoint at {where!r}. Allowed: 'last', 'pre-cooldown', or one of {sorted(there)}."
        )
    return read(there[wanted])


def _cooldown_starts(schedule: Mapping[str, Any], steps: int) -> int:
    """The step at which a stored schedule begins to cool down; its end where it does not."""
    if schedule.get("kind") == "stretch":  # a part of a longer one
        return min(max(_cooldown_starts(schedule["whole"], schedule["steps"]) - int(schedule["first"]), 1), steps)
    return steps - round(float(schedule.get("cooldown", 0.0)) * steps)


def merge(checkpoints: Sequence[Checkpoint], shares: Sequence[float] | None = None) -> dict[str, torch.Tensor]:
    """The weighted mean of several checkpoints' weights: what a cooldown would give, without running one.

    Args:
        checkpoints: Of one run, at a constant rate.
        shares: Weight of each; None: equal. They are divided by their sum.

    Returns:
        Tensors by name; whole numbers are those of the last checkpoint.

    Raises:
        ArgumentError: nothing to merge, or shares that do not fit.

    Source: WSM (2025), merging in place of decay, by abstract; equal shares stand for a linear decay's second half.
    Cost: one model in memory, and each checkpoint read once.
    """
    given = [1.0] * len(checkpoints) if shares is None else list(shares)
    if not checkpoints or len(given) != len(checkpoints) or min(given) < 0 or sum(given) <= 0:
        allowed = f"Allowed: one number from 0 for each of {len(checkpoints)} checkpoints, at least one."
        raise ArgumentError(f"shares={shares!r}. {allowed}")
    total: dict[str, torch.Tensor] = {}
    for share, one in zip(given, checkpoints, strict=True):
        for name, tensor in one.weights().items():
            if not tensor.is_floating_point():
                total[name] = tensor
                continue
            part = tensor.double() * (share / sum(given))
            total[name] = total[name] + part if name in total else part
    like = checkpoints[-1].weights()
    return {name: tensor.to(like[name].dtype) for name, tensor in total.items()}


def _owned(weights: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors that own their memory, and the other names of each."""
    seen: dict[tuple[Any, ...], str] = {}
    tensors: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    for name, tensor in weights.items():
        key = (tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride()))
        if tensor.numel() and key in seen:
            aliases[name] = seen[key]
            continue
        seen[key] = name
        tensors[name] = tensor.detach().cpu().contiguous()
    return tensors, aliases


def _moments(optimiser: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    content = optimiser.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    scalars: dict[str, dict[str, Any]] = {}
    for place, values in content["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{place}.{name}"] = value.detach().cpu().contiguous()
            else:
                scalars.setdefault(str(place), {})[name] = value
    return tensors, {"scalars": scalars, "groups": content["param_groups"]}


def _read(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = need("safetensors.torch", what="a checkpoint", extra="llm").load_file(path)
    return found


def _write(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    need("safetensors.torch", what="a checkpoint", extra="llm").save_file(
        {name: tensor.clone() for name, tensor in tensors.items()}, path
    )


def _few(names: Sequence[str]) -> str:
    return "none" if not names else ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
