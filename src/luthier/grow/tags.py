"""How each tuned hyperparameter goes to a larger model: the tags of a space, the table behind them, the best values.

    mup    as it is: the plan scales what belongs to width (rate, epsilon, multipliers)
    wd     so that rate times decay stays the same
    none   kept, and named as something that is not known to transfer

A domain's own `transfer=` counts; where it says nothing, the name decides.

Source: the list of what transfers in Tensor Programs V, and later ablations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from luthier.base.errors import ArgumentError, did_you_mean
from luthier.base.records import Trial
from luthier.grow.hyper import NOT_TRANSFERRED, Hyper
from luthier.space.space import Space

#: Name -> how it goes to a larger model.
TAGS: Mapping[str, str] = {
    "lr": "mup",
    "eps": "mup",
    "beta1": "mup",
    "beta2": "mup",
    "warmup": "mup",
    "cooldown": "mup",
    "clip": "mup",
    "weight_decay": "wd",
    "batch": "none",
    "length": "none",
}
WORDS = {
    "mup": "as tuned; the plan scales it by tensor",
    "wd": "rate times decay is the same at every width",
    "none": "not known to transfer: tune it at the target, or hold it",
}


@dataclass(frozen=True)
class Tuned:
    """The best values of a study at the proxy.

    Args:
        values: Of the best configuration.
        near: Rates of the next best ones.
        tags: Name -> "mup", "wd" or "none".
        not_transferred: Name -> what to do.
    """

    values: Mapping[str, Any]
    near: tuple[float, ...]
    tags: Mapping[str, str]
    not_transferred: Mapping[str, str]


def tags_of(space: Space) -> dict[str, str]:
    """The tags of a space's hyperparameters, `ratio` and `seed` of a sweep left out.

    Raises:
        ArgumentError: a name that is no hyperparameter of a run.
    """
    known = {f.name for f in fields(Hyper)} & TAGS.keys()
    found = {}
    for name in space:
        if name in ("ratio", "seed"):
            continue
        if name not in known:
            raise ArgumentError(f"space: {name!r} is no hyperparameter of a run. {did_you_mean(name, known)}")
        found[name] = space[name].transfer or TAGS[name]
    return found


def best_of(space: Space, trials: Iterable[Trial], metric: str = "val_loss") -> Tuned | None:
    """The configuration with the lowest mean over seeds at the proxy's width; None where none has a finite one.

    A seed that diverged counts as infinity, as for `rates.judge`.

    Args:
        space: Of the study.
        trials: Its trials.
        metric: What is minimised.
    """
    tags = tags_of(space)
    cells: dict[tuple[Any, ...], list[float]] = {}
    for trial in trials:
        value = float(trial.metrics.get(metric, math.inf))
        if trial.status.ended and trial.config.get("ratio", 1.0) == 1.0:
            key = tuple(trial.config.get(name) for name in tags)
            cells.setdefault(key, []).append(value if math.isfinite(value) else math.inf)
    means = {key: float(np.mean(values)) for key, values in cells.items()}
    order = sorted((key for key in means if math.isfinite(means[key])), key=means.__getitem__)
    if not order:
        return None
    values = dict(zip(tags, order[0], strict=True))
    rates = [key[list(tags).index("lr")] for key in order] if "lr" in tags else []
    near = tuple(dict.fromkeys(rate for rate in rates if rate != rates[0]))[:2]
    notes = {name: NOT_TRANSFERRED.get(name, WORDS["none"]) for name, tag in tags.items() if tag == "none"}
    return Tuned({k: v for k, v in values.items() if v is not None}, near, tags, notes)
