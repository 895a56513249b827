"""`luthier shrink`: from one transformer to a family of smaller ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli._errors import WRONG
from luthier.cli._options import Debug, Json, Quiet
from luthier.cli._shrink import (
    Batch,
    DataFile,
    Device,
    Kind,
    Label,
    Length,
    MethodName,
    Model,
    Multiple,
    OutRun,
    Rate,
    RunFolder,
    Seed,
    SpaceName,
    Stock,
    Texts,
    Threads,
    begin,
    latency_of,
    limits_of,
    sampler_of,
    seconds_of,
    ticker,
    work_in,
    write_table,
)
from luthier.cli._shrink_models import finetune, inspect, profile, score

shrink = typer.Typer(help="From one transformer to a family of smaller ones.", no_args_is_help=True)
shrink.command()(inspect)


@shrink.command()
def rank(
    model: Model,
    data: DataFile,
    out: OutRun,
    texts: Texts = None,
    label: Label = None,
    kind: Kind = None,
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="activation, magnitude, flap, taylor or random.")
    ] = "activation",
    layers: Annotated[
        str, typer.Option("--layers", metavar="NAME", help="block_influence, mse, loss or first.")
    ] = "block_influence",
    batches: Annotated[int, typer.Option("--batches", metavar="N", help="Of calibration data.")] = 8,
    batch: Batch = 16,
    length: Length = 64,
    seed: Seed = 0,
    threads: Threads = 1,
    device: Device = "cpu",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Score every unit of a model by what it adds, and keep the order."""
    talk = begin(as_json, quiet, threads)
    from luthier.cli import _json
    from luthier.shrink import pipeline

    given = {"model": model, "data": data, "batch": batch, "length": length}
    work = work_in(out, device, **given, seed=seed, texts=texts, label=label, kind=kind)
    found = pipeline.rank(work, method=method, layers=layers, batches=batches)
    if talk.json:
        _json.write({"method": method, "layers": found.layer_order, "file": out / "rank.json"})
    talk.say("layers, the most important first: " + " ".join(map(str, found.layer_order)))
    talk.say(f"next: luthier shrink train {model} --data {data} --out {out}")


@shrink.command()
def train(
    model: Model,
    data: DataFile,
    out: OutRun,
    texts: Texts = None,
    label: Label = None,
    kind: Kind = None,
    space: SpaceName = "small",
    strategy: Annotated[
        str, typer.Option("--strategy", metavar="NAME", help="sandwich, random, random_linear, ats or standard.")
    ] = "sandwich",
    random: Annotated[int, typer.Option("--random", metavar="N", help="Random sub-networks a step.")] = 2,
    kd: Annotated[bool, typer.Option("--kd/--no-kd", help="Sub-networks learn from the whole.")] = True,
    tau: Annotated[float, typer.Option("--tau", metavar="X", help="Temperature of distillation.")] = 2.0,
    sampler: Annotated[
        str, typer.Option("--sampler", metavar="NAME", help="uniform_params, log_params, uniform_axes, grid or around.")
    ] = "uniform_params",
    around: Annotated[
        float | None,
        typer.Option(
            "--around", metavar="X", help="Of --sampler around: share of the parameters (0.5).", show_default=False
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Optimiser steps.")] = 1000,
    lr: Rate = 2e-4,
    batch: Batch = 16,
    length: Length = 64,
    multiple: Multiple = 8,
    seed: Seed = 0,
    threads: Threads = 1,
    device: Device = "cpu",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a super-network: one model that holds all sub-networks; goes on where it was stopped."""
    talk = begin(as_json, quiet, threads)
    sampler = sampler_of(sampler, around)
    from luthier.cli import _json
    from luthier.shrink import Distil, pipeline

    given = {"model": model, "data": data, "space": space, "batch": batch, "length": length}
    work = work_in(out, device, **given, multiple=multiple, seed=seed, texts=texts, label=label, kind=kind)
    pipeline.train_super(
        work,
        strategy=strategy,
        random=random,
        kd=Distil(tau=tau) if kd else None,
        sampler=sampler,
        steps=steps,
        lr=lr,
        hooks=[ticker(talk)],
    )
    if talk.json:
        _json.write({"run": out, "steps": steps, "super": out / "super"})
    talk.say(f"trained: {out / 'super'}")
    talk.say(f"next: luthier shrink search {out}")


@shrink.command()
def search(
    run: RunFolder,
    method: MethodName = "nsga2",
    evals: Annotated[int, typer.Option("--evals", metavar="N", help="Sub-networks to evaluate.")] = 100,
    objective: Annotated[
        str, typer.Option("--objective", metavar="A,B", help="error, loss, parameters, macs, cache_bytes, latency_ms.")
    ] = "error,parameters",
    constraint: Annotated[
        list[str] | None, typer.Option("--constraint", metavar="NAME=X", help="Upper bound.", show_default=False)
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", metavar="S", help="Time.", show_default=False)] = None,
    parts: Annotated[int, typer.Option("--parts", metavar="N", help="Look at data in parts, and stop early.")] = 1,
    stock: Stock = False,
    recover: Annotated[
        int, typer.Option("--recover", metavar="N", help="Rank the best anew after N steps of distillation each.")
    ] = 0,
    threads: Threads = 1,
    device: Device = "cpu",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Search for sub-networks that lose least at each size; goes on where it was stopped."""
    talk = begin(as_json, quiet, threads)
    from luthier.cli import _json
    from luthier.shrink import pipeline
    from luthier.shrink.workspace import Workspace

    limits = {**limits_of(constraint or []), **({"not_stock": 0.0} if stock else {})}
    work = Workspace(run, device=device)
    names = tuple(name.strip() for name in objective.split(",") if name.strip())
    latency = latency_of(work, talk) if "latency_ms" in (*names, *limits) else None
    front = pipeline.search_run(
        work,
        method=method,
        evals=evals,
        objectives=names,
        constraints=limits,
        seconds=seconds,
        parts=parts,
        latency=latency,
        recovery=recover,
    )
    if talk.json:
        _json.write({"front": front.rows(), "hypervolume": front.hypervolume(), "file": run / "front.json"})
    talk.say(front.table())
    talk.say(f"hypervolume {front.hypervolume():.4f}; the knee: {front.knee().spec}")
    talk.say(f"next: luthier shrink extract {run} --max-params 0.5")


@shrink.command()
def extract(
    run: RunFolder,
    max_params: Annotated[
        float | None, typer.Option("--max-params", metavar="X", help="Share up to 1, or a number.", show_default=False)
    ] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option("--max-latency-ms", metavar="X", help="Highest latency.", show_default=False)
    ] = None,
    spec: Annotated[
        Path | None, typer.Option("--spec", metavar="FILE", help="A specification, as JSON.", show_default=False)
    ] = None,
    all_pareto: Annotated[bool, typer.Option("--all-pareto", help="Every sub-network of the front.")] = False,
    form: Annotated[str, typer.Option("--format", metavar="NAME", help="auto, hf-stock or hf-custom.")] = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Cut sub-networks out as models of their own, and check that they compute the same.

    Exit code 4 when one does not.
    """
    talk = begin(as_json, quiet)
    from luthier.base.errors import ArgumentError
    from luthier.cli import _json
    from luthier.shrink import ParityError, SubNetSpec, pipeline
    from luthier.shrink.workspace import Workspace

    work = Workspace(run)
    small = max_params is not None or max_latency_ms is not None
    if sum((spec is not None, all_pareto, small)) != 1:
        raise ArgumentError(
            "extract: which? Name one of --spec, --all-pareto, or sizes: --max-params, --max-latency-ms or both."
        )
    if spec is not None:
        chosen = [SubNetSpec.from_json(spec.read_text(encoding="utf-8"))]
    elif all_pareto:
        chosen = [point.spec for point in work.front().points]
    else:
        chosen = [work.front().select(max_params=max_params, max_latency_ms=max_latency_ms).spec]
    written = []
    for one in chosen:
        try:
            child, folder = pipeline.extract_run(work, one, pipeline.child_name(work, one), form=form)
        except ParityError as error:
            talk.say(f"{one}: {error}")
            raise typer.Exit(WRONG) from None
        written.append({"folder": folder, "format": child.format, "parameters": child.parameters, "spec": str(one)})
        talk.say(f"{folder}: {child.parameters:,} parameters, {child.format}; {one}")
    if talk.json:
        _json.write(written)
    talk.say(f"next: luthier shrink profile {written[-1]['folder']} --against {work.folder / 'super'}")


@shrink.command()
def verify(
    run: RunFolder,
    spec: Annotated[Path, typer.Option("--spec", metavar="FILE", help="A specification, as JSON.")],
    child: Annotated[
        Path | None,
        typer.Option("--child", metavar="DIR", help="An extracted model; default: a fresh one.", show_default=False),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tol",
            metavar="X",
            help="Share of the largest output. Default: 1e-5, in half precision 2e-2.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compute a sub-network in three ways (masks, slices, extracted) and compare.

    Exit code 4 when they differ.
    """
    talk = begin(as_json, quiet)
    from dataclasses import asdict

    from luthier.cli import _json
    from luthier.shrink import ParityError, SubNetSpec, load
    from luthier.shrink import extract as cut
    from luthier.shrink import verify as compare
    from luthier.shrink.workspace import Workspace

    work = Workspace(run)
    net, one = work.supernet(), SubNetSpec.from_json(spec.read_text(encoding="utf-8"))
    model = cut(net, one).model if child is None else load(child).float()
    try:
        parity = compare(net, one, model, work.data().search[:2], tolerance=tolerance)
    except ParityError as error:
        if talk.json:
            _json.write({**asdict(error.parity), "ok": False})
        talk.say(str(error))
        raise typer.Exit(WRONG) from None
    if talk.json:
        _json.write({**asdict(parity), "ok": True})
    talk.say(f"equal: {parity}")


for _command in (finetune, profile, score):
    shrink.command()(_command)


@shrink.command("run")
def run_(
    model: Model,
    data: DataFile,
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="Such as 20m; roughly kept.")] = "20m",
    target: Annotated[
        list[float] | None,
        typer.Option(
            "--target-params",
            metavar="X",
            help="Share of the parameters; may be repeated. Default: 0.5, or the least of the space.",
            show_default=False,
        ),
    ] = None,
    out: OutRun = Path("luthier-shrink"),
    texts: Texts = None,
    label: Label = None,
    kind: Kind = None,
    space: SpaceName = "small",
    method: MethodName = "nsga2",
    evals: Annotated[int, typer.Option("--evals", metavar="N", help="Most sub-networks to evaluate.")] = 100,
    stock: Stock = False,
    lr: Rate = 2e-4,
    batch: Batch = 16,
    length: Length = 64,
    multiple: Multiple = 8,
    controls: Annotated[bool, typer.Option("--controls/--no-controls", help="Train baseline and control too.")] = True,
    seed: Seed = 0,
    threads: Threads = 1,
    device: Device = "cpu",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Do everything: rank, train, search, extract, fine-tune, compare, measure; writes a page. Goes on if stopped."""
    talk = begin(as_json, quiet, threads)
    from luthier.cli import _json
    from luthier.report import write_report
    from luthier.shrink import pipeline
    from luthier.study import Study

    given = {"model": model, "data": data, "space": space, "batch": batch, "length": length}
    work = work_in(out, device, **given, multiple=multiple, seed=seed, texts=texts, label=label, kind=kind)
    found = pipeline.run(
        work,
        seconds=seconds_of(budget),
        targets=tuple(target or ()),
        method=method,
        evals=evals,
        stock=stock,
        lr=lr,
        controls=controls,
        say=talk.detail,
        hooks=[ticker(talk)],
    )
    with Study.open(found["search"]) as study:
        page = write_report(study, out / "report.html")
    if talk.json:
        _json.write({**found, "report": page})
    write_table(talk, found)
    talk.say(f"report: {page}")
    talk.say(f"next: luthier shrink extract {out} --all-pareto")
