"""The whole way in one call: rank, permute, train, search, select, extract, fine-tune, compare, measure."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.shrink import baselines
from luthier.shrink._torch import torch
from luthier.shrink.extraction import Child, extract, load
from luthier.shrink.front import Front
from luthier.shrink.importance import rank_units
from luthier.shrink.latency import measure
from luthier.shrink.parity import verify
from luthier.shrink.searching import STOCK, search
from luthier.shrink.spec import SubNetSpec
from luthier.shrink.strategies import Distil, finetune, train
from luthier.shrink.supernet import SuperNet
from luthier.shrink.tasks import Data
from luthier.shrink.workspace import FRONT, Workspace, scratch

#: Shares of the time: the super-network; the search; each of child, baseline and control, over all targets.
TRAIN, SEARCH, EACH = 0.45, 0.15, 0.1
MOST_STEPS, LEAST_STEPS, LEAST_EVALS = 5000, 5, 12
Say = Callable[[str], None]
Hook = Callable[[dict[str, Any]], None]


def rank(work: Workspace, *, method: str = "activation", layers: str = "block_influence", batches: int = 8) -> Any:
    """Score units of the run's model, and keep scores and order.

    Args:
        work: The run.
        method: As in `rank_units`.
        layers: As in `rank_units`.
        batches: Of calibration data.
    """
    data = work.data()
    net = SuperNet.from_model(work.model(data.task))
    ranking = rank_units(
        net, data.calibration(batches), method=method, layers=layers, task=data.task, seed=work.config["seed"]
    )
    work.write_ranking(ranking, ranking.order(net.sizes.groups))
    return ranking


def train_super(
    work: Workspace,
    *,
    strategy: str = "sandwich",
    random: int = 2,
    kd: Distil | None = Distil(),  # noqa: B008 - frozen
    sampler: str = "uniform_params",
    steps: int = 1000,
    lr: float = 2e-4,
    hooks: Sequence[Hook] = (),
) -> SuperNet:
    """Train the run's super-network, its units in order; goes on where it was killed.

    Args:
        work: The run; ranked by activation first if it was not.
        strategy: As in `train`.
        random: As in `train`.
        kd: As in `train`.
        sampler: As in `train`.
        steps: As in `train`.
        lr: As in `train`.
        hooks: As in `train`.
    """
    if work.ranking() is None:
        rank(work)
    data = work.data()
    net = work.ordered(SuperNet.from_model(work.model(data.task)), data)
    train(
        net,
        work.space(net),
        data,
        strategy=strategy,
        random=random,
        kd=kd,
        sampler=sampler,
        steps=steps,
        lr=lr,
        seed=work.config["seed"],
        folder=work.folder / "train",
        save_every=max(10, steps // 10),
        hooks=hooks,
    )
    work.save_super(net)
    return net


def search_run(work: Workspace, **more: Any) -> Front:
    """Search in the run's trained super-network; goes on where it was killed.

    Args:
        work: The run.
        **more: As in `search`.
    """
    data, net = work.data(), work.supernet()
    front = search(net, work.space(net), data, folder=work.folder / "search", seed=work.config["seed"], **more)
    front.save(work.folder / FRONT)
    return front


def extract_run(work: Workspace, spec: SubNetSpec, name: str, *, form: str = "auto") -> tuple[Child, Path]:
    """Cut a sub-network out of the run's super-network, verify it, and write it.

    Args:
        work: The run.
        spec: Which one.
        name: Of its folder under `children`.
        form: As `format` in `extract`.
    """
    net = work.supernet()
    child = extract(net, spec, format=form, source=work.config["model"])
    verify(net, spec, child.model, work.data().search[:2])
    return child, child.save(work.folder / "children" / name)


def run(
    work: Workspace,
    *,
    seconds: float,
    targets: Sequence[float] = (0.5,),
    method: str = "nsga2",
    evals: int = 100,
    stock: bool = False,
    lr: float = 2e-4,
    controls: bool = True,
    say: Say = print,
    hooks: Sequence[Hook] = (),
) -> dict[str, Any]:
    """All steps within a time, and a report.

    Args:
        work: The run; what is there already is not done again.
        seconds: Time for everything, roughly kept.
        targets: Shares of the parameters to extract a sub-network for.
        method: Of the search.
        evals: Most evaluations of the search.
        stock: Keep to what stock classes of transformers can express.
        lr: Highest rate of all trainings.
        controls: Train the baseline and the from-scratch control too, for as many steps.
        say: Told in a line what is done.
        hooks: Called with each record of the super-network's training.

    Returns:
        The report: "rows" with parameters, latency, loss and score on test data of the whole, each child, its baseline
        and its control; "front".

    Raises:
        ArgumentError: a target that no sub-network reaches; the smallest is told.
    """
    check("seconds", seconds, above=0)
    begin = time.monotonic()
    data = work.data()
    say(f"data: {data.task.kind}, {len(data.search)} batches to search on, as many to select and to test")
    if work.ranking() is None:
        say("ranking units by activation, layers by block influence")
        rank(work)
    if not work.trained:
        steps = work.config.get("steps") or _affordable(work, data, TRAIN * seconds, lr)
        work.remember(steps=steps)
        say(f"training the super-network for {steps} steps (sandwich, distillation in place)")
        train_super(work, steps=steps, lr=lr, hooks=hooks)
    net = work.supernet()
    _reachable(work, net, targets)
    evals = min(evals, _evaluations(net, data, SEARCH * seconds))
    say(f"searching with {method} among {evals} sub-networks")
    limits = {STOCK: 0.0} if stock else {}
    front = search_run(work, method=method, evals=evals, constraints=limits)
    left = max(0.0, seconds - (time.monotonic() - begin))
    each = min(EACH * seconds, left / 4) / len(targets)
    rows = [_row("whole", net.model, data, net)]
    for target in targets:
        rows += _target(work, net, front, data, target, each, lr, controls, say, len(targets))
    for row, timed in zip(rows, measure([row.pop("model") for row in rows], tokens=work.config["length"]), strict=True):
        row["latency_ms"] = timed.median_ms
    report = {
        "task": data.task.kind,
        "score": data.task.score_name,
        "chance": data.task.chance,
        "chance_loss": front.chance,
        "rows": rows,
        "front": front.rows(),
        "hypervolume": front.hypervolume(),
        "seconds": time.monotonic() - begin,
        "threads": torch.get_num_threads(),
    }
    (work.folder / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _reachable(work: Workspace, net: SuperNet, targets: Sequence[float]) -> None:
    from luthier.shrink.cost import CostModel

    costs = CostModel(net.layout)
    full, least = (costs.cost(spec).parameters for spec in (net.full, work.space(net).smallest))
    for target in targets:
        check("target", target, above=0, at_most=1)
        if target * full < least:
            raise ArgumentError(
                f"target={target:g}: {target * full:,.0f} parameters. The smallest sub-network of space "
                f"{work.config['space']!r} has {least:,}, a share of {least / full:.3f}. Ask for more, or take a space "
                "with a width ('width', 'joint')."
            )


def _affordable(work: Workspace, data: Data, seconds: float, lr: float) -> int:
    """Steps of the super-network's training that fit into a time: two are tried on a copy that is thrown away."""
    net = SuperNet.from_model(work.model(data.task))
    space = work.space(net)
    train(net, space, data, steps=1, lr=lr, sampler="uniform_axes")
    begin = time.monotonic()
    train(net, space, data, steps=2, lr=lr, sampler="uniform_axes")
    return _bounded(seconds / max(1e-6, (time.monotonic() - begin) / 2))


def _evaluations(net: SuperNet, data: Data, seconds: float) -> int:
    """Evaluations that fit into a time; one of the whole is tried, and a front needs some, however long they take."""
    begin = time.monotonic()
    data.task.evaluate(net.model, data.search)
    return max(LEAST_EVALS, int(seconds / max(1e-6, time.monotonic() - begin)))


def _bounded(steps: float) -> int:
    return int(min(MOST_STEPS, max(LEAST_STEPS, steps)))


def _steps(model: Any, data: Data, seconds: float, lr: float) -> int:
    """Steps of a plain training that fit into a time; they are tried on a copy."""
    import copy

    tried = copy.deepcopy(model)
    finetune(tried, data, steps=1, lr=lr)
    begin = time.monotonic()
    finetune(tried, data, steps=2, lr=lr)
    return _bounded(seconds / max(1e-6, (time.monotonic() - begin) / 2))


def _target(
    work: Workspace,
    net: SuperNet,
    front: Front,
    data: Data,
    target: float,
    seconds: float,
    lr: float,
    controls: bool,
    say: Say,
    shared: int,
) -> list[dict[str, Any]]:
    """The child of one target, fine-tuned; the baseline and the control of its size, trained as long."""
    chosen = front.select(max_params=target)
    seed = work.config["seed"]
    name = f"share-{target:g}"
    child, folder = extract_run(work, chosen.spec, name)
    done = folder / "tuned.json"
    if done.is_file():  # a run that was killed after this child goes on with the next
        child.model = load(folder / "tuned").eval()
        steps = int(json.loads(done.read_text(encoding="utf-8"))["steps"])
    else:
        steps = _steps(child.model, data, seconds, lr)
        say(f"target {target:g}: {chosen.spec}; fine-tuning for {steps} steps with the whole as teacher")
        finetune(child.model, data, teacher=net.model, steps=steps, lr=lr, seed=seed)
        child.save(folder / "tuned")
        done.write_text(json.dumps({"steps": steps}) + "\n", encoding="utf-8")
    rows = [_row(f"child {target:g}", child.model, data, net, spec=chosen.spec, steps=steps, folder=folder / "tuned")]
    if not controls:
        return rows
    fair = steps + int(work.config.get("steps", 0)) // shared  # the child's own, and its part of the super-network's
    say(f"target {target:g}: {fair} steps each for uniform magnitude pruning and for a model from scratch")
    start = SuperNet.from_model(work.model(data.task))
    size = float(chosen.metrics["parameters"]) / float(front.full["parameters"])
    try:
        spec = baselines.uniform(start, rank_units(start, method="magnitude", layers="first"), min(1.0, size))
    except ArgumentError as error:
        say(f"no baseline of this size: {error}")
    else:
        pruned = extract(start, spec).model
        finetune(pruned, data, teacher=start.model if _knows(data) else None, steps=fair, lr=lr, seed=seed)
        rows.append(_row(f"uniform magnitude {target:g}", pruned, data, net, spec=spec, steps=fair))
    fresh = scratch(net, chosen.spec, seed=seed)
    finetune(fresh, data, steps=fair, lr=lr, seed=seed)
    return [*rows, _row(f"from scratch {target:g}", fresh, data, net, spec=chosen.spec, steps=fair)]


def _knows(data: Data) -> bool:
    """Whether the start can teach: a classifier's head is new, and teaches nothing."""
    return data.task.kind == "lm"


def _row(
    name: str,
    model: Any,
    data: Data,
    net: SuperNet,
    *,
    spec: SubNetSpec | None = None,
    steps: int | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """One line of the report."""
    full = sum(p.numel() for p in net.model.parameters())
    own = sum(p.numel() for p in model.parameters())
    model.eval()
    more: Mapping[str, Any] = {} if folder is None else {"folder": str(folder)}
    measured = data.task.evaluate(model, data.test)
    shape = str(spec or net.full)
    row = {"name": name, "parameters": own, "share": own / full, **measured, "spec": shape, "steps": steps}
    return {**row, **more, "model": model}
