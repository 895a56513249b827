"""The whole way in one call: rank, permute, train, search, select, extract, fine-tune, compare, measure."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError
from luthier.base.files import write_text
from luthier.base.registry import load
from luthier.shrink._fits import check_trained
from luthier.shrink._targets import Targets, affordable, bounded
from luthier.shrink._torch import torch
from luthier.shrink.cost import CostModel
from luthier.shrink.extraction import SPEC, Child, extract
from luthier.shrink.front import Front
from luthier.shrink.importance import rank_units
from luthier.shrink.latency import measure
from luthier.shrink.parity import verify
from luthier.shrink.recovery import recover
from luthier.shrink.searching import METHODS, STOCK, search, title
from luthier.shrink.spec import SubNetSpec
from luthier.shrink.strategies import Distil, train
from luthier.shrink.supernet import SuperNet
from luthier.shrink.tasks import Data
from luthier.shrink.workspace import FRONT, Workspace

#: Shares of the time: the super-network; the search; the ranking after recovery; each of child, baseline and control,
#: over all targets.
TRAIN, SEARCH, RECOVER, EACH = 0.42, 0.12, 0.08, 0.1
LEAST_EVALS, LEAST_RECOVERY = 12, 5  # fewer steps of recovery than this tell nothing: then the search's order stays
CANDIDATES = 8  # that are ranked after recovery
RECOVERED_FRONT = "recovered.json"
Say = Callable[[str], None]
Hook = Callable[[dict[str, Any]], None]


def rank(work: Workspace, *, method: str = "activation", layers: str = "block_influence", batches: int = 8) -> Any:
    """Score units of the run's model, and keep scores and order.

    Args:
        work: The run.
        method: As in `rank_units`.
        layers: As in `rank_units`.
        batches: Of calibration data.

    Raises:
        ArgumentError: the run is trained, in another order.
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

    Raises:
        ArgumentError: as in `train`, or the training has diverged: nothing counts as trained then.
    """
    if work.ranking() is None:
        rank(work)
    data = work.data()
    net = work.ordered(SuperNet.from_model(work.model(data.task)), data)
    history = train(
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
    check_trained(str(work.folder), history, steps=steps, lr=lr)
    work.remember(steps=steps)  # a baseline of `run` has its part of them
    work.save_super(net)
    return net


def search_run(work: Workspace, *, recovery: int = 0, **more: Any) -> Front:
    """Search in the run's trained super-network; goes on where it was killed.

    Args:
        work: The run.
        recovery: Steps of distillation after which the best are ranked anew; 0: they are not.
        **more: As in `search`. Another method, other objectives, constraints or parts are a search of its own, in the
            folder that `title` names; the front of the last one is the run's.

    Returns:
        The front; "study" of its `about` is the search's folder in the run's.
    """
    data, net = work.data(), work.supernet()
    folder = work.folder / title(**more)
    front = search(net, work.space(net), data, folder=folder, seed=work.config["seed"], **more)
    front.about["study"] = folder.name
    if recovery:
        front = recover(net, front, data, steps=recovery, seed=work.config["seed"])
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
    child.about |= work.provenance()
    verify(net, spec, child.model, work.data().search[:2])
    return child, child.save(work.folder / "children" / name)


def child_name(work: Workspace, spec: SubNetSpec) -> str:
    """The name of a sub-network's folder under `children`, by its size; a number follows where another has it."""
    name = f"parameters-{CostModel(work.supernet().layout).cost(spec).parameters}"
    for number in count(1):
        found = name if number == 1 else f"{name}-{number}"
        held = work.folder / "children" / found / SPEC
        if not held.is_file() or SubNetSpec.from_json(held.read_text(encoding="utf-8")) == spec:
            break
    return found


def run(
    work: Workspace,
    *,
    seconds: float,
    targets: Sequence[float] = (),
    method: str = "nsga2",
    evals: int = 100,
    stock: bool = False,
    lr: float = 2e-4,
    controls: bool = True,
    recovery: bool = True,
    say: Say = print,
    hooks: Sequence[Hook] = (),
) -> dict[str, Any]:
    """All steps within a time, and a report.

    Args:
        work: The run; what is there already is not done again.
        seconds: Time for everything, roughly kept.
        targets: Shares of the parameters to extract a sub-network for. None: half, or the least that the space holds.
        method: Of the search.
        evals: Most evaluations of the search.
        stock: Keep to what stock classes of transformers can express.
        lr: Highest rate of all trainings.
        controls: Train the baseline and the from-scratch control too, for as many steps.
        recovery: Rank the best of the search by their loss after a repair and a short distillation of each.
        say: Told in a line what is done.
        hooks: Called with each record of the super-network's training.

    Returns:
        The report: "rows" with parameters, latency, loss and score on test data of the whole, each child, its baseline
        and its control; "front"; "search", the folder of the study.

    Raises:
        ArgumentError: a target that no sub-network reaches, and the smallest is told; another rate than the run was
            begun with; or a training that diverged.
    """
    check("seconds", seconds, above=0)
    work.agree(lr=lr)
    begin = time.monotonic()
    data = work.data()
    read = f" of {' and '.join(data.about['texts'])} by {data.about['label']}" if "texts" in data.about else ""
    say(f"data: {data.task.kind}{read}; {len(data.search)} batches to search on, as many to select and to test")
    targets = _reachable(work, SuperNet.from_model(work.model(data.task)), targets, method)
    if work.ranking() is None:
        say("ranking units by activation, layers by block influence")
        rank(work)
    if not work.trained:
        steps = work.config.get("steps") or _affordable(work, data, TRAIN * seconds, lr)
        work.remember(steps=steps)  # a time that is measured again would give others, after a kill
        say(f"training the super-network for {steps} steps (sandwich, distillation in place)")
        train_super(work, steps=steps, lr=lr, hooks=hooks)
    work.remember(lr=lr)
    net = work.supernet()
    evals = min(evals, _evaluations(net, data, SEARCH * seconds))
    say(f"searching with {method} among {evals} sub-networks")
    limits = {STOCK: 0.0} if stock else {}
    front = searched = search_run(work, method=method, evals=evals, constraints=limits)
    if recovery:
        front = _recovered(work, net, front, data, targets, RECOVER * seconds, lr, say)
    left = max(0.0, seconds - (time.monotonic() - begin))
    each = min(EACH * seconds, left / 4) / len(targets)
    make = Targets(
        work, net, front, data, each, lr, len(targets), partial(extract_run, work), controls=controls, say=say
    )
    rows = [make.whole(), *(row for target in targets for row in make.rows(target))]
    for row, timed in zip(rows, measure([row.pop("model") for row in rows], tokens=work.config["length"]), strict=True):
        row["latency_ms"] = timed.median_ms
    report = {
        "task": data.task.kind,
        "score": data.task.score_name,
        "chance": data.task.chance,
        "chance_error": front.chance,
        "rows": rows,
        "front": front.rows(),
        "search": str(work.folder / searched.about["study"]),
        "hypervolume": searched.hypervolume(),
        "seconds": time.monotonic() - begin,
        "threads": torch.get_num_threads(),
    }
    write_text(work.folder / "report.json", json.dumps(report, indent=1) + "\n")
    return report


def _recovered(
    work: Workspace,
    net: SuperNet,
    front: Front,
    data: Data,
    targets: Sequence[float],
    seconds: float,
    lr: float,
    say: Say,
) -> Front:
    """The front anew, ranked after recovery, where the time is enough; kept in the run's folder."""
    path = work.folder / RECOVERED_FRONT
    tried = json.dumps([point.spec.to_json() for point in front.tried])
    made_of = {
        "targets": list(targets),
        "tried": hashlib.blake2b(tried.encode(), digest_size=8).hexdigest(),
        "objectives": list(front.objectives),
        "constraints": front.about["constraints"],
        "lr": lr,
        "seed": work.config["seed"],
    }
    if path.is_file():
        known = Front.read(path)
        if known.about.get("made_of") == made_of:
            return known
    steps = affordable(net.model, data, seconds / CANDIDATES, lr, net.model)
    if steps <= LEAST_RECOVERY:
        return front
    say(f"ranking {CANDIDATES} sub-networks by their loss after a repair and {min(steps, 50)} steps of distillation")
    kept = recover(
        net,
        front,
        data,
        steps=min(steps, 50),
        most=CANDIDATES,
        targets=targets,
        lr=lr,
        seed=work.config["seed"],
    )
    kept.about["made_of"] = made_of
    kept.save(path)
    return kept


def _reachable(work: Workspace, net: SuperNet, targets: Sequence[float], method: str) -> Sequence[float]:
    """The targets, or a default that the space can reach; what cannot work is told before anything is trained."""
    if method not in METHODS:
        load("searcher", method)
    costs = CostModel(net.layout)
    full, least = (costs.cost(spec).parameters for spec in (net.full, work.space(net).smallest))
    if not targets:
        return (max(0.5, math.ceil(20 * least / full) / 20),)
    for target in targets:
        check("target", target, above=0, at_most=1)
        if target * full < least:
            raise ArgumentError(
                f"target={target:g}: {target * full:,.0f} parameters. The smallest sub-network of space "
                f"{work.config['space']!r} has {least:,}, a share of {least / full:.3f}. Ask for more, or take a space "
                "with a width ('width', 'joint')."
            )
    return targets


def _affordable(work: Workspace, data: Data, seconds: float, lr: float) -> int:
    """Steps of the super-network's training that fit into a time: two are tried on a copy that is thrown away."""
    net = SuperNet.from_model(work.model(data.task))
    space = work.space(net)
    train(net, space, data, steps=1, lr=lr, sampler="uniform_axes")
    begin = time.monotonic()
    train(net, space, data, steps=2, lr=lr, sampler="uniform_axes")
    return bounded(seconds / max(1e-6, (time.monotonic() - begin) / 2))


def _evaluations(net: SuperNet, data: Data, seconds: float) -> int:
    """Evaluations that fit into a time; one of the whole is tried, and a front needs some, however long they take."""
    begin = time.monotonic()
    data.task.evaluate(net.model, data.search)
    return max(LEAST_EVALS, int(seconds / max(1e-6, time.monotonic() - begin)))
