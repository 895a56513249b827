"""`luthier demo`: a first result in seconds from a recorded table, or the real thing with `--full`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.base.threads import single_thread
from luthier.cli._options import Debug, Json, Out, Quiet

if TYPE_CHECKING:
    from luthier.base.records import Trial
    from luthier.cli._progress import Talk
    from luthier.study import Result, Study

TABLE = "fcnet/protein_structure"
TRIALS = 50
FULL_TRIALS = 100
#: Advice alone: the demo goes on. Some seven of its trials reach the last epoch, so regret looks from five results on.
STOPPING: list[dict[str, Any]] = [{"name": "regret", "first": 5}, {"name": "plateau", "advise": True}]


def demo(
    full: Annotated[bool, typer.Option("--full", help="Tune a real model on real data, in minutes.")] = False,
    out: Out = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Decides every random draw.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show what luthier does, in seconds.

    A search in a recorded table; with --full a real model on real data, in minutes.
    """
    single_thread()
    from luthier.cli._progress import Talk

    talk = Talk(json=as_json, quiet=quiet)
    folder = out if out is not None else Path("luthier-demo-full" if full else "luthier-demo")
    (_full if full else _table)(folder, seed, talk)


def _table(folder: Path, seed: int, talk: Talk) -> None:
    """Cqr and random search on a table of recorded trainings; nothing is trained."""
    from luthier import bench
    from luthier.cli import _json
    from luthier.cli._drive import drive, kept
    from luthier.cli._text import configuration, follow
    from luthier.report import write_report
    from luthier.runtime.executors import Limits
    from luthier.study import Study

    benchmark = bench.load(TABLE)
    objective = benchmark.objectives[0]
    talk.detail(
        f"{TABLE}: {benchmark.space.size} recorded networks, minimise {objective.name}; {TRIALS} trials each of cqr "
        "and of random search"
    )
    rows: dict[str, list[float]] = {}
    for searcher in ("random", "cqr"):
        place = folder / searcher
        study = Study(benchmark.space, benchmark.objectives, searcher=searcher, folder=place, seed=seed)
        with kept(study):
            result = drive(
                study,
                bench.objective(benchmark, seed=None),
                talk,
                trials=TRIALS,
                seconds=None,
                workers=1,
                executor="inline",
                limits=Limits(),
                info={},
            )
            rows[searcher] = [_best_within(result.trials, objective.name, n) for n in _STAGES]
            if searcher == "cqr":
                page = write_report(study, folder / "report.html")
                best = result.best
    optimum = benchmark.card.optimum.get(objective.name)
    if talk.json:
        _json.write(
            {"event": "result", "benchmark": TABLE, "stages": _STAGES, "best": rows, "optimum": optimum,
             "report": str(page)}
        )  # fmt: skip
    talk.say(f"best {objective.name} after" + "".join(f"{n:>10}" for n in _STAGES))
    for searcher, values in rows.items():
        talk.say(f"  {searcher:<{len(objective.name) + 9}}" + "".join(f"{value:>10.4f}" for value in values))
    if optimum is not None:
        talk.say(f"best of the whole table: {optimum:.4f}")
    if best is not None:
        talk.say(f"cqr's best: {configuration(best)}")
    talk.say(f"report: {page}")
    talk.say(follow("show", str(folder / "cqr")))


_STAGES = (10, 25, TRIALS)


def _best_within(trials: list[Trial], name: str, n: int) -> float:
    return min(trial.metrics[name] for trial in trials[:n] if name in trial.metrics)


def _full(folder: Path, seed: int, talk: Talk) -> None:
    """A digit classifier, epoch by epoch, in two processes; the winner is judged on images that no trial saw."""
    from luthier.bench import demo as problem
    from luthier.cli._drive import conclude, drive, kept
    from luthier.cli._text import heading
    from luthier.runtime.executors import Limits
    from luthier.runtime.executors._function import FunctionTarget
    from luthier.study import Study

    study = Study(
        problem.space(),
        problem.OBJECTIVE,
        searcher="cqr",
        scheduler="asha",
        fidelity=problem.FIDELITY,
        stopping=STOPPING,
        folder=folder,
        name="demo",
        seed=seed,
    )
    with kept(study):
        talk.detail(heading(study))
        target = FunctionTarget("luthier.bench.demo", "train")
        result = drive(
            study,
            target,
            talk,
            trials=FULL_TRIALS,
            seconds=None,
            workers=2,
            executor="processes",
            limits=Limits(),
            info={"target": target.text, "command": None, "cwd": os.getcwd()},
        )
        if result.best is None:
            conclude(study, result, talk)
        else:
            _judge(study, result, folder, talk)


def _judge(study: Study, result: Result, folder: Path, talk: Talk) -> None:
    """The winner beside scikit-learn's default, on the test images."""
    from luthier.bench import demo as problem
    from luthier.cli import _json
    from luthier.cli._text import closing, counts, follow
    from luthier.report import write_report

    best = result.best
    assert best is not None
    talk.say(f"{counts(result)}; {result.reason}")
    for line in closing(result, study.problem):
        talk.say(line)
    talk.detail("training the winner and scikit-learn's default on training and validation images, three times each")
    ours = problem.held_out(best.config, int(best.resource or problem.EPOCHS))
    theirs = problem.sklearn_default()
    lines: list[tuple[str, Any]] = [
        ("winner", problem.accuracy(ours)),
        ("scikit-learn's MLPClassifier()", problem.accuracy(theirs)),
        ("difference", problem.difference(ours, theirs)),
    ]
    page = write_report(study, folder / "report.html")
    if talk.json:
        judged = {name: {"mean": i.mean, "low": i.low, "high": i.high} for name, i in lines}
        _json.write(
            {"event": "result", **_json.study_data(study), "held_out": judged, "images": len(ours), "report": str(page)}
        )
    talk.say(f"accuracy on {len(ours)} held-out images, in percent, with 95 % intervals (bootstrap over images):")
    for name, interval in lines:
        sign = "+" if name == "difference" else ""
        talk.say(f"  {name:<32}{interval.mean:{sign}.2f}  [{interval.low:{sign}.2f}, {interval.high:{sign}.2f}]")
    talk.say(f"report: {page}")
    talk.say(follow("show", study.where))
