"""`luthier tune`: search good hyperparameters of a function or of any program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli._options import Debug, Json, Out, Quiet, Seconds, Trials, option

if TYPE_CHECKING:
    from luthier.base.records import Constraint, Fidelity, Objective
    from luthier.runtime.executors._base import Target
    from luthier.space import Space

_HERE = "What is tuned"
_HOW = "How it searches"
_RUNS = "How trials run"


def tune(
    target: Annotated[
        str | None,
        typer.Argument(metavar="TARGET", help="file.py:function or package.module:function.", show_default=False),
    ] = None,
    command: Annotated[
        str | None,
        option(_HERE, "TEXT", help='Any program instead: "python train.py --lr {lr}". It prints JSON lines.'),
    ] = None,
    space: Annotated[
        Path | None,
        option(_HERE, "FILE", help="The space: .yaml, .toml or .json. Default: `space` of TARGET's file."),
    ] = None,
    minimize: Annotated[
        list[str] | None,
        option(_HERE, "METRIC", "--minimize", "--minimise", help="Metric to minimise; may be repeated. Default: loss."),
    ] = None,
    maximize: Annotated[
        list[str] | None,
        option(_HERE, "METRIC", "--maximize", "--maximise", help="Metric to maximise; may be repeated."),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        option(_HERE, "METRIC<=X", help='Upper bound of a metric, such as "latency_ms<=20".'),
    ] = None,
    maximum: Annotated[
        str | None,
        option(_HERE, "NAME=X", "--max", help="Full resource of a trial, such as epoch=27."),
    ] = None,
    minimum: Annotated[
        str | None,
        option(_HERE, "NAME=X", "--min", help="Smallest resource that means something. Default: 1."),
    ] = None,
    first: Annotated[
        Path | None,
        option(_HERE, "FILE", help="Configurations to try first: one, or a list, in .yaml or .json."),
    ] = None,
    past: Annotated[
        list[str] | None,
        option(
            _HERE,
            "STUDY",
            help="An earlier study to learn from, or a pattern (URL#retune-*); may be repeated, oldest first.",
        ),
    ] = None,
    order: Annotated[
        float | None,
        option(_HERE, "X", help="Where this study stands in time or data size, where its past has such numbers."),
    ] = None,
    searcher: Annotated[str, typer.Option(metavar="NAME", help="Who proposes.", rich_help_panel=_HOW)] = "auto",
    scheduler: Annotated[
        str, typer.Option(metavar="NAME", help="Who spends the resource.", rich_help_panel=_HOW)
    ] = "straight",
    stopping: Annotated[
        list[str] | None,
        option(_HOW, "RULE", help="When the study ends, or may end: plateau, regret ...; may be repeated."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        option(
            _HOW, "PART.NAME=X", "--set", help="Own argument: scheduler.eta=4. See: luthier list searchers --verbose."
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option(metavar="K", help="Evaluations of each configuration.", rich_help_panel=_HOW)
    ] = 1,
    incumbent: Annotated[
        str,
        typer.Option(
            metavar="RULE",
            help="How the best is chosen: single, posterior-mean, one-standard-error, guarded.",
            rich_help_panel=_HOW,
        ),
    ] = "auto",
    untouched: Annotated[
        str | None,
        option(_HOW, "METRIC", help="A metric on data that nothing learns from; it is only shown."),
    ] = None,
    reshuffle: Annotated[
        bool, typer.Option("--reshuffle", help="A split seed of its own for each trial.", rich_help_panel=_HOW)
    ] = False,
    seed: Annotated[int, typer.Option(metavar="N", help="Decides every random draw.", rich_help_panel=_HOW)] = 0,
    trials: Trials = None,
    seconds: Seconds = None,
    workers: Annotated[
        int, typer.Option("--workers", "-w", metavar="W", help="Trials at once.", rich_help_panel=_RUNS)
    ] = 1,
    executor: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Who runs them; inline: in this process, for debugging.", rich_help_panel=_RUNS
        ),
    ] = "processes",
    time_limit: Annotated[
        float | None,
        option(_RUNS, "S", help="Seconds of one run."),
    ] = None,
    memory: Annotated[
        float | None,
        option(_RUNS, "MB", help="Memory of one trial."),
    ] = None,
    gpus: Annotated[
        float,
        typer.Option("--gpus-per-trial", metavar="G", help="A fraction shares one.", rich_help_panel=_RUNS),
    ] = 0,
    cpus: Annotated[
        int | None,
        option(_RUNS, "C", "--cpus-per-trial", help="Threads of one trial."),
    ] = None,
    out: Out = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the study.", show_default=False)] = None,
    storage: Annotated[
        str | None, typer.Option(metavar="URL", help="Store. Default: study.db in the folder.", show_default=False)
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Tune a function or any program.

    A study that is there already, with the same definition, goes on.
    """
    from luthier.base.checks import check
    from luthier.base.errors import ArgumentError
    from luthier.cli._drive import check_budget, conclude, drive, kept, unused
    from luthier.cli._own import parts
    from luthier.cli._progress import Talk
    from luthier.cli._text import heading
    from luthier.runtime.executors import Command, Limits
    from luthier.study import Study

    talk = Talk(json=as_json, quiet=quiet)
    program, info = the_target(target, command)
    domains = _space(space, program)
    if isinstance(program, Command):
        program.check(domains.names if domains is not None else ())
    check("workers", workers, at_least=1)  # before the folder is there: a study cannot be begun twice
    title = name or (None if out is not None else _name(target, command))
    the = parts(searcher, scheduler, settings or [], stopping or [])
    check_budget(trials, seconds)
    if trials is None and seconds is None and not (the.stopping or _ends(scheduler, domains)):
        raise ArgumentError("tune without a budget, and this space never ends. Give --trials 100 or --seconds 3600.")
    study = Study(
        domains,
        _objectives(minimize or [], maximize or []),
        searcher=the.searcher,
        scheduler=the.scheduler,
        stopping=the.stopping,
        fidelity=_fidelity(minimum, maximum),
        constraints=[_constraint(text) for text in constraint or []],
        past=past or [],
        order=order,
        first=_configurations(first),
        repeats=repeats,
        incumbent=incumbent,
        untouched=untouched,
        reshuffle=reshuffle,
        storage=storage,
        folder=out if out is not None else Path(f"luthier-{title}"),
        name=title,
        seed=seed,
    )
    with kept(study):
        talk.detail(heading(study))
        for line in unused(study, program) if isinstance(program, Command) else ():
            talk.detail(line)
        if study.trials:
            talk.detail(f"it goes on: {len(study.trials)} trials are there")
        limits = Limits(time_limit, memory, gpus, cpus)
        result = drive(
            study,
            program,
            talk,
            trials=trials,
            seconds=seconds,
            workers=workers,
            executor=executor,
            limits=limits,
            info=info,
        )
        conclude(study, result, talk)


def the_target(target: str | None, command: str | None) -> tuple[Target, dict[str, Any]]:
    """What to run, and the words by which `luthier resume` finds it again."""
    import os

    from luthier.base.errors import ArgumentError
    from luthier.runtime.executors import Command
    from luthier.runtime.executors._function import FunctionTarget

    if (target is None) == (command is None):
        given = "neither TARGET nor --command" if target is None else "TARGET and --command"
        raise ArgumentError(
            f'tune: {given} given. Allowed: one of them, such as train.py:train or --command "python train.py --lr '
            '{lr}".'
        )
    if command is not None:
        return Command(command), {"target": None, "command": command, "cwd": os.getcwd()}
    assert target is not None
    function = FunctionTarget.parse(target)
    function.load()
    return function, {"target": function.text, "command": None, "cwd": os.getcwd()}


def _name(target: str | None, command: str | None) -> str:
    """`train.py:train` and `python train.py` give "train", `models.py:fit` gives "models-fit"."""
    import shlex

    if target is not None:
        path, _, function = target.rpartition(":")
        stem = Path(path).stem if path.endswith(".py") else path.rpartition(".")[2]
        return stem if stem == function else f"{stem}-{function.replace('.', '-')}"
    words = shlex.split(command or "")
    scripts = [word for word in words if word.endswith((".py", ".sh", ".R", ".jl"))]
    return Path([*scripts, *words, "command"][0]).stem


def _space(file: Path | None, program: Target) -> Space | None:
    """The space of `--space`, else the variable `space` beside the function, else none: it is named while running."""
    from luthier.base.errors import ArgumentError
    from luthier.runtime.executors._function import FunctionTarget
    from luthier.space import Space, load_space

    if file is not None:
        return load_space(file)
    if not isinstance(program, FunctionTarget):
        raise ArgumentError("--command without a space. Give one: --space space.yaml (names, types and ranges).")
    found = getattr(program.module(), "space", None)
    return found if isinstance(found, Space) else None


def _ends(scheduler: str, space: Space | None) -> bool:
    """Whether the search ends by itself: its scheduler does, or the space has so many configurations and no more."""
    from luthier.base.registry import load

    finite = space is not None and space.size is not None
    return finite or (scheduler != "auto" and load("scheduler", scheduler).ends)  # type: ignore[attr-defined]


def _objectives(minimize: Sequence[str], maximize: Sequence[str]) -> list[Objective]:
    from luthier.base.records import Objective

    found = [*(Objective(name) for name in minimize), *(Objective(name, "max") for name in maximize)]
    return found or [Objective("loss")]


def _constraint(text: str) -> Constraint:
    from luthier.base.errors import ArgumentError
    from luthier.base.records import Constraint

    name, mark, bound = text.partition("<=")
    try:
        if not mark or not name.strip():
            raise ValueError(text)
        return Constraint(name.strip(), float(bound))
    except ValueError:
        raise ArgumentError(
            f'--constraint "{text}". Allowed: a metric and its upper bound, such as "latency_ms<=20". For a lower '
            "bound report the negative of the metric."
        ) from None


def _fidelity(low: str | None, high: str | None) -> Fidelity | None:
    from luthier.base.errors import ArgumentError
    from luthier.base.records import Fidelity

    if high is None:
        if low is not None:
            raise ArgumentError(f"--min {low} without --max. Give both, such as --min epoch=1 --max epoch=27.")
        return None
    name, top = _amount("--max", high)
    if low is None:
        return Fidelity(name, min(1, top), top)
    other, bottom = _amount("--min", low)
    if other != name:
        raise ArgumentError(f"--min {low} and --max {high}. Allowed: the same name in both. Write --min {name}=1.")
    return Fidelity(name, bottom, top)


def _amount(flag: str, text: str) -> tuple[str, float]:
    from luthier.base.errors import ArgumentError

    name, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not name.strip() or not value > 0:
        raise ArgumentError(f"{flag} {text}. Allowed: a name and a number above 0, such as {flag} epoch=27.")
    return name.strip(), int(value) if value.is_integer() else value


def _configurations(file: Path | None) -> list[Mapping[str, Any]]:
    """The list of `--first`."""
    from luthier.base.errors import ArgumentError
    from luthier.space.files import READERS

    if file is None:
        return []
    reader = READERS.get(file.suffix.lower())
    if reader is None or file.suffix.lower() == ".toml":  # TOML knows no list at its top
        raise ArgumentError(f"--first {file}. Allowed: a file that ends in .yaml, .yml or .json. Rename it.")
    try:
        data = reader(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArgumentError(f"--first {file}: {error}. Give a list of configurations.") from error
    if isinstance(data, Mapping):
        data = [data]
    if not isinstance(data, list) or not all(isinstance(one, Mapping) for one in data):
        raise ArgumentError(f"--first {file}: no list of configurations. Write: [{{lr: 0.1, width: 8}}, ...].")
    return data
