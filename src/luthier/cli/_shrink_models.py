"""Commands of `luthier shrink` about one model: what it is, how fast and how good, and its further training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from luthier.cli._options import Debug, Json, Quiet
from luthier.cli._shrink import (
    Batch,
    DataFile,
    Device,
    ItsSeed,
    Kind,
    Label,
    Length,
    Model,
    Multiple,
    Rate,
    Texts,
    Threads,
    begin,
    ticker,
)


def inspect(
    model: Model, multiple: Multiple = 8, as_json: Json = False, quiet: Quiet = False, debug: Debug = False
) -> None:
    """Show a model's axes, its parameters, the spaces, and what a stock configuration can express."""
    from luthier.cli import _json

    talk = begin(as_json, quiet)
    from dataclasses import asdict

    from luthier.base.errors import ArgumentError
    from luthier.shrink import PRESETS, CostModel, SuperNet, preset
    from luthier.shrink.workspace import open_model

    net = SuperNet.from_model(open_model(model))
    costs = CostModel(net.layout)
    full = costs.cost(net.full)
    spaces: dict[str, Any] = {}
    for name in PRESETS:
        try:
            space = preset(net.sizes, name, multiple=multiple)
            least = costs.cost(space.smallest).parameters
            spaces[name] = {"axes": len(space.space), "size": str(space.space.size), "least": least / full.parameters}
        except ArgumentError as error:
            spaces[name] = {"refused": str(error)}
    family = net.layout.family
    if talk.json:
        _json.write(
            {
                "family": family.name,
                **asdict(net.sizes),
                "cost": asdict(full),
                "coupled": family.coupled,
                "spaces": spaces,
            }
        )
        return
    talk.say(f"{type(net.model).__name__}, family {family.name}: {net.full}")
    talk.say(
        f"{full.parameters:,} parameters, {full.non_embedding:,} without tables; groups {net.sizes.groups} of "
        f"{net.sizes.queries} queries, head size {net.sizes.head_dim}"
    )
    for name, row in spaces.items():
        talk.say(f"  {name:<9} {_words(row)}")
    limit = (
        "head size = width / heads, so heads go with the width" if family.coupled else "any uniform shape, or nearly"
    )
    talk.say(f"stock transformers can express: equal layers only; {limit}")
    talk.say(f"next: luthier shrink run {model} --data FILE --budget 20m")


def _words(space: dict[str, Any]) -> str:
    """What is said of one space."""
    if "refused" in space:
        return str(space["refused"])
    size = space["size"] if len(space["size"]) < 12 else f"10^{len(space['size']) - 1}"
    return f"{space['axes']:>4} axes, {size:>12} sub-networks, down to {space['least']:.3f} of the size"


def finetune(
    child: Annotated[Path, typer.Argument(metavar="CHILD", help="Folder of an extracted model.")],
    data: DataFile,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write to.")],
    texts: Texts = None,
    label: Label = None,
    kind: Kind = None,
    teacher: Annotated[
        Path | None, typer.Option("--teacher", metavar="MODEL", help="Learn from it too.", show_default=False)
    ] = None,
    tau: Annotated[float, typer.Option("--tau", metavar="X", help="Temperature of distillation.")] = 2.0,
    steps: Annotated[int, typer.Option("--steps", metavar="N", help="Optimiser steps.")] = 500,
    lr: Rate = 2e-4,
    batch: Batch = 16,
    length: Length = 64,
    seed: ItsSeed = None,
    threads: Threads = 1,
    device: Device = "cpu",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train an extracted model further, with or without a teacher; goes on where it was stopped."""
    talk = begin(as_json, quiet, threads)
    from luthier.base.errors import ArgumentError
    from luthier.cli import _json
    from luthier.shrink import Child, Distil, SubNetSpec
    from luthier.shrink import finetune as tune
    from luthier.shrink._fits import check_trained
    from luthier.shrink.extraction import about_of

    about = about_of(child)
    if "spec" not in about:
        raise ArgumentError(
            f"{child}: not an extracted child, as no luthier.json there says what it is of its parent. Allowed: a "
            "folder that extract or finetune has written."
        )
    model = _opened(child, device, learns=True)
    columns = {"texts": texts or (), "label": label or "", "kind": kind or ""}
    task, seed = _read(model, child, data, seed, size=batch, length=length, **columns)
    before = task.task.evaluate(model, task.test)
    wise = None if teacher is None else _opened(teacher, device)
    out.mkdir(parents=True, exist_ok=True)
    history = tune(
        model,
        task,
        teacher=wise,
        kd=Distil(tau=tau),
        steps=steps,
        lr=lr,
        seed=seed,
        folder=out / "train",
        about={"child": {"parent": about.get("parent"), "spec": about["spec"]}},
        hooks=[ticker(talk)],
    )
    check_trained(str(out), history, steps=steps, lr=lr)
    after = task.task.evaluate(model, task.test)
    rest: dict[str, Any] = {k: v for k, v in about.items() if k not in ("format", "spec")}
    learnt = {"data": str(data.resolve()), "seed": seed, **columns, "steps": steps, "lr": lr}
    rest["trained_on"] = [*rest.get("trained_on", ()), {**learnt, "teacher": None if teacher is None else str(teacher)}]
    Child(model, SubNetSpec.from_json(about["spec"]), about["format"], rest, child).save(out)
    if talk.json:
        _json.write({"before": before, "after": after, "folder": out})
    score = task.task.score_name
    talk.say(
        f"test loss {before['loss']:.4f} -> {after['loss']:.4f}, {score} {before[score]:.4f} -> {after[score]:.4f}"
    )


def _opened(folder: Path, device: str, *, learns: bool = False) -> Any:
    """A model on a device; in single precision on processors, which emulate half, and wherever weights learn."""
    from luthier.shrink import load
    from luthier.shrink._torch import torch
    from luthier.shrink.workspace import checked_device

    found: Any = load(folder)
    if learns or torch.device(checked_device(device)).type == "cpu":
        found = found.float()
    return found.to(device).eval()


def _read(model: Any, folder: Path, data: Path, seed: int | None, **more: Any) -> tuple[Any, int]:
    """Data for a model, split and read as when it was trained on them, and the seed; checked to fit it."""
    from luthier.shrink import read_data
    from luthier.shrink._fits import check_fits
    from luthier.shrink.reading import trained_on

    known = trained_on(folder, data, seed)
    columns = {name: more.pop(name) or known.get(name) or "" for name in ("texts", "label", "kind")}
    seed = known["seed"] if seed is None else seed
    task = read_data(data, folder, seed=seed, **more, **columns)
    if task.task.pad is not None and getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = task.task.pad
    check_fits(model, task)
    return task, seed


def profile(
    child: Annotated[Path, typer.Argument(metavar="CHILD", help="Folder of a model.")],
    against: Annotated[
        Path | None, typer.Option("--against", metavar="MODEL", help="Another, in turns.", show_default=False)
    ] = None,
    batch: Batch = 1,
    tokens: Annotated[int, typer.Option("--tokens", metavar="N", help="Length of the input.")] = 128,
    runs: Annotated[int, typer.Option("--runs", metavar="N", help="Passes of each a round.")] = 10,
    rounds: Annotated[int, typer.Option("--rounds", metavar="N", help="Turns.")] = 3,
    threads: Threads = 1,
    device: Device = "cpu",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Measure latency: the whole input, and for decoders one further token with a cache."""
    talk = begin(as_json, quiet, threads)
    from dataclasses import asdict

    from luthier.cli import _json
    from luthier.nets.families import family_of
    from luthier.shrink import measure
    from luthier.shrink._fits import check_length

    names = [child, *([against] if against is not None else [])]
    models = [_opened(name, device) for name in names]
    causal = all(family_of(model.config).causal and hasattr(model, "generate") for model in models)
    for model in models:
        check_length(model, tokens, name="tokens", more=int(causal))
    found: dict[str, Any] = {}
    for kind in ("prefill", *(["decode"] if causal else [])):
        times = measure(models, batch=batch, tokens=tokens, runs=runs, rounds=rounds, decode=kind == "decode")
        found[kind] = [asdict(one) for one in times]
        for name, one in zip(names, times, strict=True):
            talk.say(
                f"{kind:<8} {one.median_ms:>9.2f} ms [{one.low_ms:.2f}, {one.high_ms:.2f}]  {name}  "
                f"({one.runs} runs, batch {one.batch}, {one.tokens} tokens, {one.threads} threads, {one.device})"
            )
        if against is not None:
            ratio = times[1].median_ms / times[0].median_ms
            apart = times[0].high_ms < times[1].low_ms
            talk.say(f"{kind:<8} {ratio:.2f} times as fast" + ("" if apart else "; the quartiles overlap: not sure"))
    if talk.json:
        _json.write(found)


def score(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a model, extracted or not.")],
    data: Annotated[
        Path, typer.Option("--data", "-d", metavar="FILE", help="Text, labelled texts, or questions (MMLU, PIQA).")
    ],
    texts: Texts = None,
    label: Label = None,
    kind: Kind = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", help="Most questions, drawn by the seed.", show_default=False)
    ] = None,
    batch: Batch = 16,
    length: Length = 64,
    seed: ItsSeed = None,
    threads: Threads = 1,
    device: Device = "cpu",
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Say how good a model is: perplexity, accuracy, or right answers, beside the chance level and with an interval."""
    talk = begin(as_json, quiet, threads)
    from dataclasses import asdict

    from luthier.base.errors import ArgumentError
    from luthier.cli import _json
    from luthier.shrink import read_questions, score_choices
    from luthier.shrink.choices import asks
    from luthier.shrink.reading import classes_of

    net = _opened(model, device)
    if asks(data):
        told = score_choices(net, read_questions(data, limit=limit, seed=seed or 0), model, rows=batch)
        if talk.json:
            _json.write({**asdict(told), "beyond_chance": told.beyond_chance})
        talk.say(str(told))
        return
    columns = {"texts": texts or (), "label": label or "", "kind": kind or ""}
    task, _ = _read(net, model, data, seed, size=batch, length=length, **columns)
    names = classes_of(model)
    own = names != tuple(map(str, range(len(names))))  # without names of its own, the number of classes has to do
    if own and task.task.kind == "classification" and task.task.names != names:
        raise ArgumentError(
            f"labels {', '.join(task.task.names)}: the model's are {', '.join(names)}. Allowed: a file with the "
            "model's own labels."
        )
    found = task.task.evaluate(net, task.test)
    if talk.json:
        _json.write({**found, "chance": task.task.chance})
    name = task.task.score_name
    chance = f" by chance {task.task.chance:.4f}" if task.task.kind == "classification" else ""
    talk.say(f"test loss {found['loss']:.4f}, {name} {found[name]:.4f}{chance}")
