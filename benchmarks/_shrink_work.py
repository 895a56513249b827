"""What the cells of the shrink benchmark do."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from _shrink_runner import Cell, Setting, rows
from _shrink_start import begin, constant, data_for, decodes, judged, keep, rate, super_of, targets
from scipy.stats import kendalltau

from luthier.base.errors import ArgumentError
from luthier.shrink import (
    CostModel,
    Data,
    Latency,
    Moments,
    Ranking,
    Sampler,
    SubNetSpec,
    SuperNet,
    baselines,
    extract,
    finetune,
    rank_units,
    repair,
    search,
    standard_search,
    verify,
)
from luthier.shrink.extraction import cut
from luthier.shrink.front import Point, hypervolume_of
from luthier.shrink.workspace import scratch

Row = dict[str, Any]
SIZES = 12  # sub-networks over the whole range of sizes on which strategies are compared
SEARCHERS = ("random", "local", "nsga2", "evolution", "scalarised")
PACE = (0.4, 0.55, 0.7, 0.85)  # of the whole's milliseconds, as they are predicted


def described(net: SuperNet, spec: SubNetSpec) -> Row:
    """A sub-network's size."""
    costs = CostModel(net.layout)
    cost, full = costs.cost(spec), costs.cost(net.full)
    return {"parameters": cost.parameters, "share": round(cost.non_embedding / full.non_embedding, 5),
            "macs": cost.macs / full.macs, "spec": spec.to_json()}  # fmt: skip


def start(cell: Cell, setting: Setting) -> Row:
    """The decoder before compression."""
    net, data = begin(cell, setting), data_for(cell, setting)
    if cell.seed == 0 and setting.options["keep"]:
        keep(net.model, setting.out.parent / "decoder_start.safetensors", half=True)
    return {"test": judged(net.model, data), "constant": constant(data), **described(net, net.full)}


def strategy(cell: Cell, setting: Setting) -> Row:
    """A super-network trained in one way: the whole, and sub-networks over all sizes, as they are."""
    found, data = super_of(cell, setting, strategy=cell.option), data_for(cell, setting)
    net = found.net
    if cell.option == "full" and decodes(cell) and cell.seed == 0 and setting.options["keep"]:
        keep(net.model, setting.out.parent / "decoder_super.safetensors", half=True)
    sampler = Sampler(found.space, CostModel(net.layout), kind="grid", bins=SIZES, seed=0)
    subs = []
    for spec in sampler._grid:
        with net.active(spec, dropout=False) as child:
            subs.append({**described(net, spec), "test": judged(child, data)})
    return {"whole": judged(net.model, data), "subs": subs, "constant": constant(data), "train_seconds": found.seconds}


def shared(cell: Cell, setting: Setting) -> Row:
    """Weight sharing from end to end: search in the super-network, cut out each target, fine-tune it."""
    found, data = super_of(cell, setting), data_for(cell, setting)
    net = found.net
    begun = time.perf_counter()
    front = search(net, found.space, data, evals=int(setting.options["evals"]), seed=cell.seed)
    searching = time.perf_counter() - begun
    points = []
    for point in front.points:
        with net.active(point.spec, dropout=False) as child:
            points.append({**described(net, point.spec), "test": judged(child, data)})
    moments = Moments(net).run(data.calibration(8))
    made = []
    for share, most in targets(net, setting).items():
        spec = front.select(max_params=most).spec
        child = cut(net, spec).eval()
        row = {"target": share, **described(net, spec), "cut": judged(child, data)}
        row["parity"] = _parity(net, spec, child, data)
        mended = repair(net, spec, copy.deepcopy(child), moments)
        row["repaired"] = judged(mended, data)
        if cell.option == "repair":
            child = mended
        _tuned(child, data, net.model, setting.steps("tune", cell), cell, setting)
        made.append({**row, "test": judged(child, data)})
        if setting.options.get("children"):
            _save(net, spec, child, setting, f"{cell.task}-{cell.seed}-{share:g}")
    return {"whole": judged(net.model, data), "points": points, "children": made, "constant": constant(data),
            "train_seconds": found.seconds, "search_seconds": searching, "evaluated": len(front.tried)}  # fmt: skip


def _save(net: SuperNet, spec: SubNetSpec, model: Any, setting: Setting, name: str) -> None:
    """A child's folder, and the whole's beside it, for times in another process."""
    child = extract(net, spec, source=setting.options["model"])
    read_from = {name: p.detach() for name, p in model.named_parameters()}
    with torch.no_grad():
        for key, parameter in child.model.named_parameters():
            parameter.copy_(read_from[key])
    folder = setting.out.parent / "children"
    child.save(folder / name)
    net.model.save_pretrained(folder / (name.rpartition("-")[0] + "-whole"))


def _parity(net: SuperNet, spec: SubNetSpec, child: Any, data: Data) -> float:
    """Largest difference between masks, slices and the extracted model, in full single precision."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    batch = {k: v[:16] for k, v in data.search[0].items()}
    parity = verify(net, spec, child, [batch])
    torch.set_float32_matmul_precision(before)
    return max(parity.masked, parity.extracted)


def _tuned(model: Any, data: Data, teacher: Any, steps: int, cell: Cell, setting: Setting) -> None:
    finetune(model, data, teacher=teacher, steps=steps, lr=rate(cell, setting), seed=cell.seed)


def alone(cell: Cell, setting: Setting) -> Row:
    """A baseline: each target is pruned from the start and trained; all targets together take as many steps."""
    data, made = data_for(cell, setting), []
    method, _, times = cell.option.partition("_x")
    for share, most in targets(begin(cell, setting), setting).items():
        net = begin(cell, setting)
        full = CostModel(net.layout).cost(net.full).parameters
        by = {"layer_drop": "activation", "scratch": "magnitude"}.get(method, method)
        ranking = rank_units(net, data.calibration(8), method=by, seed=cell.seed)
        way: Callable[..., SubNetSpec] = baselines.uniform
        if method in ("flap", "layer_drop"):
            way = getattr(baselines, method)
        try:
            spec = way(net, ranking, most / full)
        except ArgumentError as error:  # a size that this way cannot reach
            made.append({"target": share, "refused": str(error)})
            continue
        child = scratch(net, spec, seed=cell.seed) if method == "scratch" else cut(net, spec).eval()
        row = {"target": share, **described(net, spec), "cut": judged(child, data)}
        steps = int(times or 1) * setting.steps("alone", cell)
        teacher = net.model if decodes(cell) and method != "scratch" else None  # an encoder's head is new
        _tuned(child, data, teacher, steps, cell, setting)
        made.append({**row, "steps": steps, "test": judged(child, data)})
    return {"children": made, "constant": constant(data)}


def standard(cell: Cell, setting: Setting) -> Row:
    """Standard NAS under mo-asha for as much time as weight sharing took to train and search."""
    known = {row["key"]: row for row in rows(setting.out)}
    beside = known.get(Cell("shared", cell.task, cell.seed).key)
    if beside is None or "error" in beside:
        raise RuntimeError("weight sharing has not run for this seed: there is no time to equal")
    seconds = beside["train_seconds"] + beside["search_seconds"]
    net, data = begin(cell, setting), data_for(cell, setting)
    ranking = rank_units(net, data.calibration(8))
    net.permute_(ranking.order(net.sizes.groups))
    from luthier.shrink import preset

    space = preset(net.sizes, "small", ranking=ranking.layer_order)
    models: dict[SubNetSpec, Any] = {}
    front = standard_search(net, space, data, steps=setting.steps("alone", cell), parts=4, evals=1000, seconds=seconds,
                            lr=rate(cell, setting), seed=cell.seed, models=models)  # fmt: skip
    points = [{**described(net, p.spec), "test": judged(models[p.spec], data)} for p in front.points]
    made = []
    for share, most in targets(net, setting).items():
        try:
            spec = front.select(max_params=most).spec
        except ArgumentError as error:
            made.append({"target": share, "refused": str(error)})
            continue
        made.append({"target": share, **described(net, spec), "test": judged(models[spec], data)})
    return {"points": points, "children": made, "ended": len(models), "constant": constant(data),
            "equal_seconds": seconds}  # fmt: skip


def searchers(cell: Cell, setting: Setting) -> Row:
    """Searchers in one super-network of the space `medium`: hypervolume of what they have found after 25, 50, 100."""
    found, data = super_of(cell, setting, space="medium"), data_for(cell, setting)
    made = {}
    for method in SEARCHERS:
        begun = time.perf_counter()
        front = search(found.net, found.space, data, method=method, evals=int(setting.options["evals"]), seed=cell.seed)
        row: Row = {"seconds": time.perf_counter() - begun}
        for n in (25, 50, 100):
            row[str(n)] = hypervolume_of(front.tried[:n], front.full, front.chance, cost="non_embedding")
        made[method] = row
    return {"searchers": made, "train_seconds": found.seconds}


def fidelity(cell: Cell, setting: Setting) -> Row:
    """Twenty sub-networks: their loss with shared weights, and after training each by itself from the start."""
    found, data = super_of(cell, setting), data_for(cell, setting)
    net = found.net
    sampler = Sampler(found.space, CostModel(net.layout), kind="grid", bins=20, seed=cell.seed)
    alone_, at_once, sizes = [], [], []
    for spec in sampler._grid:
        with net.active(spec, dropout=False) as child:
            at_once.append(data.task.evaluate(child, data.select)["loss"])
        fresh = begin(cell, setting)
        fresh.permute_(net.order)  # type: ignore[arg-type]
        model = cut(fresh, spec)
        _tuned(model, data, None, setting.steps("fidelity", cell), cell, setting)
        alone_.append(data.task.evaluate(model, data.select)["loss"])
        sizes.append(described(net, spec)["share"])
    tau = {"tau": float(kendalltau(at_once, alone_).statistic)}
    return {"shared": at_once, "alone": alone_, "share": sizes, **tau, "tau_size": float(
        kendalltau([-s for s in sizes], alone_).statistic)}  # fmt: skip


def timed(cell: Cell, setting: Setting) -> Row:
    """Search over error, parameters and milliseconds; cut out the best for each limit on milliseconds, fine-tune it."""
    found, data = super_of(cell, setting), data_for(cell, setting)
    net, tokens = found.net, int(setting.options["length"])
    costs = CostModel(net.layout)
    fitted, held = (Sampler(found.space, costs, kind="grid", bins=n, seed=cell.seed + n)._grid for n in (24, 12))
    latency = Latency.fitted(net, fitted, held_out=held, batch=1, tokens=tokens, runs=5, rounds=6)
    front = search(net, found.space, data, objectives=("error", "parameters", "latency_ms"), latency=latency,
                   tokens=tokens, evals=int(setting.options["evals"]), seed=cell.seed)  # fmt: skip
    whole, made = latency(net.full), []
    for share in PACE:
        point = front.select(max_latency_ms=share * whole)
        child = cut(net, point.spec).eval()
        row = {"limit": share, **described(net, point.spec), "predicted": point.metrics["latency_ms"] / whole}
        row |= {"parity": _parity(net, point.spec, child, data), "cut": judged(child, data)}
        _tuned(child, data, net.model, setting.steps("tune", cell), cell, setting)
        name = f"{cell.task}-{cell.seed}-latency-{share:g}"
        _save(net, point.spec, child, setting, name)
        made.append({**row, "name": name, "test": judged(child, data)})
    by_size = [p for p in front.points if not _worse(p, front.points, ("error", "parameters"))]
    return {"whole": judged(net.model, data), "whole_ms": whole, "tau": latency.tau, "fitted": len(fitted),
            "held_out": len(held), "points": len(front.points), "by_size": len(by_size),
            "evaluated": len(front.tried), "made": made, "constant": constant(data)}  # fmt: skip


def _worse(point: Point, others: Sequence[Point], names: Sequence[str]) -> bool:
    """Whether another point is no worse in all of these metrics and better in one."""
    own = [point.metrics[name] for name in names]
    beside = [[p.metrics[name] for name in names] for p in others]
    return any(all(a <= b for a, b in zip(one, own, strict=True)) and one != own for one in beside)


def untrained(cell: Cell, setting: Setting) -> Row:
    """Importance without any training: loss at 70 % of the parameters beside the tables, before and after `repair`."""
    data = data_for(cell, setting)
    net = begin(cell, setting) if decodes(cell) else super_of(cell, setting, strategy="standard").net
    if net.order is not None:
        net.permute_(net.order.inverse())
    full = CostModel(net.layout).cost(net.full)
    share = 1 - 0.3 * full.non_embedding / full.parameters
    moments, calibration = Moments(net).run(data.calibration(8)), data.calibration(8)
    made: Row = {}
    for method in ("none", "activation", "magnitude", "flap", "taylor", "random"):
        ranking = _unordered(net) if method == "none" else rank_units(
            net, calibration, method=method, task=data.task, seed=cell.seed)  # fmt: skip
        spec = baselines.uniform(net, ranking, share)
        child = cut(net, spec).eval()
        before = judged(child, data)
        made[method] = {"cut": before, "repaired": judged(repair(net, spec, child, moments), data)}
    return {"whole": judged(net.model, data), "methods": made, "constant": constant(data)}


def _unordered(net: SuperNet) -> Ranking:
    s = net.sizes

    def down(*shape: int) -> Any:
        return np.broadcast_to(np.arange(shape[-1], 0, -1, dtype=float), shape)

    return Ranking("none", "first", down(s.width), down(s.depth, s.heads), down(s.depth, s.inter), down(s.depth))


WORK: dict[str, Callable[[Cell, Setting], Row]] = {
    "start": start, "strategy": strategy, "shared": shared, "alone": alone, "standard": standard,
    "searchers": searchers, "fidelity": fidelity, "timed": timed, "untrained": untrained,
}  # fmt: skip

BASELINES = ("magnitude", "activation", "layer_drop", "flap", "random", "scratch")
STRATEGIES = ("full", "standard", "sandwich", "random", "random_linear", "ats")


def cells(seeds: Sequence[int], tasks: Sequence[str]) -> list[Cell]:
    """All cells, the most needed first, every seed of a comparison before the next."""
    found: list[Cell] = []

    def add(kind: str, task: str, *options: str) -> None:
        if task in tasks:
            found.extend(Cell(kind, task, seed, option) for option in options or ("",) for seed in seeds)

    add("shared", "qnli")
    add("alone", "qnli", "magnitude", "activation")
    add("start", "decoder")
    add("shared", "decoder")
    add("alone", "decoder", "magnitude", "activation", "scratch", "layer_drop")
    add("untrained", "decoder")
    add("standard", "qnli")
    add("alone", "qnli", "layer_drop", "scratch")
    add("shared", "stsb")
    add("alone", "stsb", "magnitude", "activation")
    add("strategy", "qnli", *STRATEGIES)
    add("searchers", "qnli")
    add("fidelity", "qnli")
    add("alone", "qnli", "flap", "random")
    add("alone", "stsb", *BASELINES[2:])
    add("alone", "decoder", "flap", "random")
    add("standard", "stsb")
    add("strategy", "decoder", *STRATEGIES)
    add("searchers", "decoder")
    add("standard", "decoder")
    add("fidelity", "decoder")
    add("alone", "qnli", "activation_x3")
    add("alone", "decoder", "activation_x3")
    add("alone", "stsb", "activation_x3")
    add("strategy", "stsb", *STRATEGIES)
    add("searchers", "stsb")
    for task in ("qnli", "stsb", "decoder"):
        add("shared", task, "repair")
    add("untrained", "qnli")
    add("untrained", "stsb")
    add("fidelity", "stsb")
    add("timed", "stsb")
    return found


if __name__ == "__main__":
    print(json.dumps([cell.key for cell in cells(range(5), ("qnli", "stsb", "decoder"))], indent=1))
