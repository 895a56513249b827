"""Search among sub-networks with frozen weights, by luthier's own studies: any searcher, any constraint, resumable."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.records import Constraint, Objective
from luthier.shrink._fits import check_fits
from luthier.shrink.cost import CostModel
from luthier.shrink.extraction import cut, why_not_stock
from luthier.shrink.front import Front, Point, keeping
from luthier.shrink.latency import Latency
from luthier.shrink.spaces import NetSpace
from luthier.shrink.spec import SubNetSpec
from luthier.shrink.strategies import Distil, finetune
from luthier.shrink.supernet import SuperNet
from luthier.shrink.tasks import Data
from luthier.study import Study

#: The papers' names -> searchers of luthier, with their settings.
METHODS: Mapping[str, Mapping[str, Any]] = {
    "random": {"name": "random"},
    "local": {"name": "local"},
    "nsga2": {"name": "nsga2"},
    "evolution": {"name": "evolution"},
    "ehvi": {"name": "botorch"},
    "scalarised": {"name": "parego", "weighting": "linear"},
}
STOCK = "not_stock"  # as a constraint, at most 0: only what stock classes of transformers can express
COSTS = ("parameters", "non_embedding", "macs", "cache_bytes", "latency_ms")


class Evaluator:
    """Measures sub-networks, each once.

    Args:
        net: The super-network.
        data: The task and its data.
        latency: Predicts or measures milliseconds; None: not measured.
        tokens: Length for which multiply-adds are counted.
    """

    def __init__(self, net: SuperNet, data: Data, *, latency: Latency | None = None, tokens: int = 128) -> None:
        self.net, self.data, self.latency, self.tokens = net, data, latency, tokens
        self.costs = CostModel(net.layout)
        self._known: dict[tuple[SubNetSpec, int, int], dict[str, float]] = {}

    def cost(self, spec: SubNetSpec) -> dict[str, float]:
        """What a sub-network costs."""
        cost = self.costs.cost(spec, self.tokens)
        found = {name: float(getattr(cost, name)) for name in COSTS[:4]}
        return found if self.latency is None else {**found, "latency_ms": self.latency(spec)}

    def __call__(self, spec: SubNetSpec, first: int = 0, last: int | None = None) -> dict[str, float]:
        """Loss and score on the search's batches from `first` up to `last`, and costs."""
        end = len(self.data.search) if last is None else last
        key = (spec, first, end)
        if key not in self._known:
            with self.net.active(spec, dropout=False) as child:
                self._known[key] = self.data.task.evaluate(child, self.data.search[first:end])
        return {**self._known[key], **self.cost(spec)}

    def chance(self) -> float:
        """Error of the best constant answer on the search's data: what is left when nothing of the input is used."""
        key = "targets" if self.data.task.kind == "lm" else "labels"
        told = np.concatenate([batch[key].cpu().numpy().ravel() for batch in self.data.search])
        if self.data.task.kind == "regression":
            return 1.0  # it is correlated with nothing
        counts = np.unique(told[told != -100], return_counts=True)[1] / max(1, int((told != -100).sum()))
        if self.data.task.kind == "classification":
            return float(1.0 - counts.max())
        return float(-(counts * np.log(counts)).sum())


def search(
    net: SuperNet,
    space: NetSpace,
    data: Data,
    *,
    objectives: str | Sequence[str] = ("error", "parameters"),
    constraints: Mapping[str, float] | None = None,
    method: str = "nsga2",
    evals: int = 100,
    seconds: float | None = None,
    parts: int = 1,
    first: Sequence[Mapping[str, Any]] = (),
    latency: Latency | None = None,
    tokens: int = 128,
    folder: str | Path | None = None,
    seed: int = 0,
    callbacks: Sequence[Callable[..., None]] = (),
) -> Front:
    """Search with frozen weights: one evaluation is a pass over held-out data.

    Args:
        net: The trained super-network.
        space: Where to search.
        data: The task; its `search` part is looked at, `select` only for the points of the front.
        objectives: To be minimised: "error" (see `Task.evaluate`) or "loss", and of `COSTS` what counts.
        constraints: Upper bounds of metrics, such as {"latency_ms": 20.0}, or {"not_stock": 0.0} for what stock classes
            of transformers can express.
        method: One of `METHODS`, or any searcher that luthier has.
        evals: Sub-networks to evaluate (100: the papers').
        seconds: Time for it.
        parts: Above 1: batches are looked at in so many parts, and mo-asha stops what is behind after the first.
        first: Configurations to begin with, after the largest, the smallest and the middle one.
        latency: For the objective or constraint "latency_ms".
        tokens: Length for which multiply-adds are counted.
        folder: Where the study lies; a search that was killed goes on from there.
        seed: Of the searcher.
        callbacks: Of the study.

    Raises:
        ArgumentError: an unknown objective, or no latency for one that needs it; or no sub-network keeps the
            constraints, and the least is told.

    Source: Klein et al. 2024, weight-sharing search; its three first points, with the middle where it should be.
    Cost: `evals` passes over the search part; a sub-network named twice is not evaluated again.
    """
    check_fits(net.model, data)
    objectives = [objectives] if isinstance(objectives, str) else list(objectives)
    limits = _bounds(constraints)
    for name in (*objectives, *limits):
        check("objective", name, one_of=("error", "loss", STOCK, *COSTS))
        if name == "latency_ms" and latency is None:
            raise ArgumentError("objective 'latency_ms': needs to be measured. Give latency=Latency.fitted(...).")
    evals = check("evals", evals, at_least=1, whole=True)
    parts = check("parts", parts, at_least=1, at_most=max(1, len(data.search)), whole=True)
    evaluator = Evaluator(net, data, latency=latency, tokens=tokens)
    searcher = dict(METHODS.get(method, {"name": method}))
    study = Study(
        space.space,
        [Objective(name) for name in objectives],
        searcher=searcher,
        scheduler="straight" if parts == 1 else "mo-asha",
        fidelity=None if parts == 1 else ("part", 1, parts),
        constraints=[Constraint(name, upper) for name, upper in limits.items()],
        first=[*space.ends, *first],
        defaults_first=False,
        folder=folder,
        name=None if folder is not None else "shrink",
        seed=seed,
        callbacks=callbacks,
    )

    def evaluate(run: Any) -> None:
        spec = space.decode(run.config)
        for part in run.resources():
            end = round(part * len(data.search) / parts)
            more = {STOCK: float(bool(why_not_stock(net, spec)))} if STOCK in limits else {}
            run.report({**evaluator(spec, 0, end), **more})

    result = study.run(evaluate, trials=evals, seconds=seconds, executor="inline")
    whole = [t for t in result.trials if t.metrics and (parts == 1 or t.resource == parts)]
    tried = [Point(space.decode(t.config), dict(t.metrics)) for t in whole]
    study.close()
    about = {"method": method, "evals": len(tried), "space": space.name, "seed": seed, "constraints": limits}
    front = Front.of(_keeping(tried, limits), objectives, evaluator(net.full), evaluator.chance(), **about)
    front.tried = tried
    front.points = [Point(p.spec, {**p.metrics, **_selected(net, p.spec, data)}) for p in front.points]
    return front


def title(
    method: str = "nsga2",
    objectives: str | Sequence[str] = ("error", "parameters"),
    constraints: Mapping[str, float] | None = None,
    parts: int = 1,
    **_: Any,
) -> str:
    """A name for a search among others in the same super-network: "search", and what is not as it is by itself.

    Args:
        method: As in `search`.
        objectives: As in `search`.
        constraints: As in `search`.
        parts: As in `search`.
    """
    names = (objectives,) if isinstance(objectives, str) else tuple(objectives)
    words = [
        "" if method == "nsga2" else method,
        "" if names == ("error", "parameters") else ",".join(names),
        *(f"{name}={upper:.12g}" for name, upper in _bounds(constraints).items()),
        "" if parts == 1 else f"parts={parts}",
    ]
    return re.sub(r"[^\w.,=+-]", "_", "-".join(["search", *filter(None, words)]))


def _bounds(constraints: Any) -> dict[str, float]:
    """Upper bounds by metric."""
    if constraints is not None and not isinstance(constraints, Mapping):
        raise ArgumentError(
            f"constraints={constraints!r}. Allowed: upper bounds by name, such as {{'latency_ms': 20.0}}."
        )
    return dict(constraints or {})


def _keeping(tried: Sequence[Point], limits: Mapping[str, float]) -> list[Point]:
    """Those that keep the constraints; if none does, the error names the least of each metric."""
    kept = keeping(tried, limits)
    if tried and not kept:
        least = ", ".join(f"{n} {min(p.metrics[n] for p in tried):,.6g} (asked: {u:,.6g})" for n, u in limits.items())
        raise ArgumentError(f"search: no sub-network keeps the constraints; the least found is {least}.")
    return kept


def _selected(net: SuperNet, spec: SubNetSpec, data: Data) -> dict[str, float]:
    """Loss and score on data that the search has not seen."""
    with net.active(spec, dropout=False) as child:
        return {f"select_{name}": value for name, value in data.task.evaluate(child, data.select).items()}


def _later(data: Data, batches: int) -> Data:
    """The same data, its training part from a later batch on."""
    return replace(data, train=lambda k: data.train(k + batches))


def standard_search(
    net: SuperNet,
    space: NetSpace,
    data: Data,
    *,
    steps: int = 200,
    parts: int = 4,
    evals: int = 20,
    seconds: float | None = None,
    lr: float = 2e-4,
    kd: Distil | None = None,
    teacher: Any = None,
    folder: str | Path | None = None,
    seed: int = 0,
    models: dict[SubNetSpec, Any] | None = None,
) -> Front:
    """The other way, for comparison: each candidate is cut out and trained on its own, and mo-asha stops the worse.

    Args:
        net: The pre-trained model, as a super-network.
        space: Where to search.
        data: The task.
        steps: Optimiser steps of a candidate that runs to its end.
        parts: Reports on the way.
        evals: Candidates.
        seconds: Time for it.
        lr: Highest rate.
        kd: What candidates learn from a teacher; None: nothing.
        teacher: A frozen model to learn from.
        folder: Where the study lies.
        seed: Of searcher and training.
        models: Filled with the trained candidates.

    Returns:
        The front of all candidates, each as it was when it was stopped: one that mo-asha or the time stopped is a
        trained model too.

    Raises:
        ArgumentError: data that the model cannot read.

    Source: Klein et al. 2024, standard NAS (random search under MO-ASHA).
    Differs: each part is a training of its own with warm-up and cooldown, which goes on from the weights of the part
        before; after a restart of the process a candidate begins anew.
    Cost: a training for each candidate; all that may be promoted stay in memory.
    """
    check_fits(net.model, data)
    evaluator = Evaluator(net, data)
    candidates: dict[int, tuple[Any, dict[float, dict[str, float]]]] = {}
    study = Study(
        space.space,
        ["error", "parameters"],
        searcher="random",
        scheduler="mo-asha",
        fidelity=("part", 1, parts),
        first=space.ends,
        defaults_first=False,
        folder=folder,
        name=None if folder is not None else "shrink-standard",
        seed=seed,
    )

    def evaluate(run: Any) -> None:
        spec = space.decode(run.config)
        child, reports = candidates.setdefault(run.number, (cut(net, spec), {}))
        for part in run.resources():
            if part not in reports:  # a promoted candidate is told from its first part on again
                before, due = (max(0, round(steps * p / parts)) for p in (part - 1, part))
                more = max(1, due - before)
                finetune(child, _later(data, before), steps=more, lr=lr, seed=seed, kd=kd, teacher=teacher)
                reports[part] = {**data.task.evaluate(child, data.search), **evaluator.cost(spec)}
            if models is not None:
                models[spec] = child.eval()
            run.report(reports[part])
        if parts in reports:
            del candidates[run.number]

    result = study.run(evaluate, trials=evals, seconds=seconds, executor="inline")
    tried = [Point(space.decode(t.config), dict(t.metrics)) for t in result.trials if t.metrics]
    study.close()
    full = evaluator(net.full)
    return Front.of(
        tried, ("error", "parameters"), full, evaluator.chance(), method="standard", evals=evals, steps=steps
    )
