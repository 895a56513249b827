"""Grown starts on disk: written once, and never over something else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.base.errors import ArgumentError
from luthier.grow.moments import keep, kept
from luthier.nets import checkpoints
from luthier.nets._torch import nn, torch
from luthier.nets.training import differing

if TYPE_CHECKING:
    from luthier.grow.growing import Grown


def save(grown: Grown, folder: str | Path) -> checkpoints.Checkpoint:
    """Write a grown start as a checkpoint, with plan, provenance, how it was grown, and carried moments.

    Raises:
        ArgumentError: something else is there.
    """
    growth = {**grown.growth.data(), "factor": grown.factor, "source": grown.source}
    extra = {"growth": growth, "plan": grown.plan.data(), "provenance": list(grown.provenance)}
    model = grown.model()
    _check_place(Path(folder), grown, model, extra)
    found = checkpoints.save(folder, model, extra=extra)
    if grown.moments is not None:
        keep(found.folder, grown.moments)
    return found


def _check_place(place: Path, grown: Grown, model: nn.Module, extra: Mapping[str, Any]) -> None:
    """Refuse a folder that holds anything but this very start: what is there would be gone."""
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    there = checkpoints.read(place) if (place / checkpoints.STATE).exists() else None
    if there is None or "growth" not in there.state["extra"]:
        raise ArgumentError(f"folder={str(place)!r}: holds something that is no grown start. Choose another folder.")
    first = {"growth": extra["growth"], "plan": {"target": extra["plan"]["target"]}}  # rather than what follows from it
    other = differing(there.state["extra"], first) or differing(there.state["extra"], extra)
    if other is None and not _equal(there, grown, model):
        other = "weights or moments", "others", "its own"
    if other is not None:
        name, was, now = other
        raise ArgumentError(
            f"folder={str(place)!r}: holds a start with {name}={was}, this one has {now}. Choose another folder, or "
            "remove that one."
        )


def _equal(there: checkpoints.Checkpoint, grown: Grown, model: nn.Module) -> bool:
    """Whether a start on disk has a model's tensors, and the same moments."""
    weights, own = there.weights(), model.state_dict()
    if own.keys() != weights.keys() or not all(torch.equal(own[name], weights[name]) for name in own):
        return False
    old, new = kept(there.folder), grown.moments
    if old is None or new is None:
        return old is new
    return all(word in old.get(n, {}) and torch.equal(old[n][word], v.cpu()) for n in new for word, v in new[n].items())
