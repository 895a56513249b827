"""Rank after recovery: a front's sub-networks anew, by their loss after a repair and a short distillation each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.pareto import fronts
from luthier.shrink._fits import check_trained
from luthier.shrink.extraction import cut
from luthier.shrink.front import Front, Point
from luthier.shrink.importance import Moments
from luthier.shrink.repairing import repair
from luthier.shrink.spec import SubNetSpec
from luthier.shrink.strategies import Distil, finetune
from luthier.shrink.supernet import SuperNet
from luthier.shrink.tasks import Data

RECOVERED = "recovered_error"


def recover(
    net: SuperNet,
    front: Front,
    data: Data,
    *,
    steps: int = 20,
    most: int = 16,
    targets: Sequence[float] = (),
    teacher: Any = None,
    kd: Distil | None = Distil(),  # noqa: B008 - frozen
    lr: float = 2e-4,
    calibration: int = 4,
    seed: int = 0,
) -> Front:
    """Cut out the best of what a search has tried, repair and distil each for a few steps, and rank them by that.

    Loss right after cutting does not tell which sub-network will be the best after training: some losses are of the
    kind that a few steps take back. The search is the low fidelity here, the short distillation the high one.

    Args:
        net: The super-network.
        front: What the search has found; also what was tried beside its front counts, by fronts.
        data: The task; `select` ranks.
        steps: Of distillation for each (20: some tenths of a usual fine-tuning).
        most: Sub-networks that are tried so.
        targets: Shares of the full number of parameters: those that lose least below each are tried. Empty: the front,
            and what comes after it, over all sizes.
        teacher: What they learn from; None: the whole.
        kd: How.
        lr: Highest rate.
        calibration: Batches for `repair`.
        seed: Of training.

    Returns:
        A front over "recovered_error" and the costs of the first; `Front.select` goes by it. What breaks the
        constraints of the search is not tried, and what diverges is left out.

    Raises:
        ArgumentError: numbers out of range, adapters are on, nothing that was tried keeps the constraints (and is
            small enough for a target), or all that does diverges.

    Source: the idea as in NVIDIA's guide to Minitron and Puzzle (candidates are ranked after a short distillation).
    Differs: on top of a search with shared weights; each is repaired first, if that lowers its loss.
    Cost: `most` trainings of `steps` steps.
    """
    steps = check("steps", steps, at_least=1, whole=True)
    most = check("most", most, at_least=1, whole=True)
    net.plain("recover")
    if not front.kept():
        raise ArgumentError(
            f"recover: none of the {len(front.tried)} sub-networks tried keeps the search's constraints. Allowed: a "
            "search with wider ones, or with more evaluations."
        )
    candidates = _below(front, most, targets) if targets else _best(front, most)
    if not candidates:
        least = min(p.metrics["parameters"] for p in front.kept()) / front.full["parameters"]
        raise ArgumentError(
            f"recover: targets={list(targets)}. Allowed: {least:.3f} and more, the smallest of what the search has "
            "tried."
        )
    moments = Moments(net).run(data.calibration(calibration))
    found, broken = [], []
    for point in candidates:
        child = cut(net, point.spec).eval()
        mend(net, point.spec, child, moments, data)
        history = finetune(child, data, teacher=teacher or net.model, kd=kd, steps=steps, lr=lr, seed=seed)
        if history.diverged:
            broken.append(history)
            continue
        error = data.task.evaluate(child, data.select)["error"]
        found.append(Point(point.spec, {**point.metrics, RECOVERED: error}))
    if broken and not found:
        check_trained("recover", broken[0], steps=steps, lr=lr)
    objectives = (RECOVERED, *(name for name in front.objectives if name not in ("loss", "error")))
    about = {**front.about, "recovered": steps}
    made = Front.of(found, objectives, {**front.full, RECOVERED: front.full["error"]}, front.chance, **about)
    made.tried = front.tried
    return made


def mend(net: SuperNet, spec: SubNetSpec, child: Any, moments: Moments, data: Data) -> dict[str, float]:
    """Repair a child, unless that makes it worse on the data that select: then its weights are put back.

    Args:
        net: The super-network.
        spec: What the child is of it.
        child: The extracted model; changed in place.
        moments: Of the whole.
        data: The task.

    Returns:
        "before" and "after": losses.
    """
    kept = {name: p.detach().clone() for name, p in child.named_parameters()}
    before = data.task.evaluate(child, data.select)["loss"]
    after = data.task.evaluate(repair(net, spec, child, moments), data.select)["loss"]
    if not after < before:
        for name, parameter in child.named_parameters():
            parameter.data.copy_(kept[name])
    return {"before": before, "after": min(before, after)}


def _below(front: Front, most: int, targets: Sequence[float]) -> list[Point]:
    """Of what keeps the constraints, for each target as many as fall to it that lose least and are small enough."""
    distinct = front.kept()
    found: dict[SubNetSpec, Point] = {}
    for target in targets:
        fit = [p for p in distinct if p.metrics["parameters"] <= target * front.full["parameters"]]
        fit.sort(key=lambda p: (p.metrics[front.lost], p.metrics["parameters"]))
        found |= {p.spec: p for p in fit[: max(1, most // len(targets))]}
    return list(found.values())


def _best(front: Front, most: int) -> list[Point]:
    """Of what keeps the constraints the first fronts, as many as asked for; of the last one evenly by size."""
    distinct = front.kept()
    ranks = fronts(np.array([[p.metrics[name] for name in front.objectives] for p in distinct]))
    found: list[Point] = []
    for rank in range(int(ranks.max()) + 1):
        layer = [p for p, own in zip(distinct, ranks, strict=True) if own == rank]
        layer.sort(key=lambda p: p.metrics["parameters"])
        room = most - len(found)
        if len(layer) > room:
            places = sorted({round(place) for place in np.linspace(0, len(layer) - 1, room)}) if room else []
            layer = [layer[place] for place in places]
        found += layer
        if len(found) >= most:
            break
    return found
