"""`luthier show`: what a study has found, or one trial in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.base.threads import single_thread
from luthier.cli._options import Debug, Json, Where

if TYPE_CHECKING:
    from luthier.base.records import Trial
    from luthier.study import Study


def show(
    where: Where,
    trial: Annotated[
        int | None, typer.Option("--trial", "-t", metavar="N", help="One trial in full.", show_default=False)
    ] = None,
    importance: Annotated[
        bool, typer.Option("--importance", "-i", help="How much each hyperparameter matters.")
    ] = False,
    last: Annotated[int, typer.Option("--last", metavar="N", help="How many of the last trials to list.")] = 10,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what a study has found, or one trial in full.

    Trials by status, the best with its rule, the default beside it, failures and the last trials. With --importance the
    shares of the hyperparameters instead, by two methods, and the way from the default to the best.
    """
    single_thread()
    from luthier.cli import _json
    from luthier.study import Study

    with Study.open(where) as study:
        if trial is not None:
            _one(study, trial, as_json=as_json)
        elif importance:
            _importance(study, as_json=as_json)
        elif as_json:
            _json.write({**_json.study_data(study), "trials": [_json.trial_data(t) for t in study.trials]})
        else:
            _summary(study, last)


def _summary(study: Study, last: int) -> None:
    from luthier.cli._drive import failures
    from luthier.cli._text import closing, configuration, counts, follow, heading, outcome

    result, problem = study.result(), study.problem
    print(heading(study))
    print(f"{counts(result)}; {result.reason}" if result.reason else counts(result))
    for line in [*closing(result, problem), *failures(study, 5)]:
        print(line)
    if result.trials and last > 0:
        _table(
            ["trial", "status", "from", "result", "configuration"],
            [[str(t.number), t.status.value, t.origin, outcome(t, problem), configuration(t)] for t in result.trials][
                -last:
            ],
        )
    unfinished = not result.trials or result.reason in (None, "interrupted")
    print(follow("resume" if unfinished and study.resumable else "report", study.where))


def _importance(study: Study, *, as_json: bool) -> None:
    from luthier.cli import _json
    from luthier.cli._text import follow
    from luthier.report import ablation
    from luthier.report.text import importance_lines, importance_tables

    shares, ways = importance_tables(study), [ablation(study, i) for i in range(len(study.problem.objectives))]
    if as_json:
        _json.write({"importance": shares, "ablation": ways})
        return
    for line in importance_lines(shares, ways):
        print(line)
    print(follow("report", study.where))


def _one(study: Study, number: int, *, as_json: bool) -> None:
    from luthier.base.errors import ArgumentError
    from luthier.cli import _json
    from luthier.cli._text import follow

    found = next((t for t in study.trials if t.number == number), None)
    if found is None:
        count = len(study.trials)
        allowed = f"0 to {count - 1}" if count else "none yet"
        raise ArgumentError(f"study {study.name!r} has no trial {number}. Allowed: {allowed}.")
    files = _files(study, found)
    if as_json:
        _json.write({**_json.trial_data(found, full=True), "files": files})
        return
    _details(study, found, files)
    print(follow("show", study.where))


def _details(study: Study, trial: Trial, files: list[str]) -> None:
    from luthier.base.records import pairs
    from luthier.cli._text import duration, outcome

    rows: list[tuple[str, str]] = [
        (f"trial {trial.number}", f"{trial.status.value}, from {trial.origin}"),
        ("result", outcome(trial, study.problem)),
        ("time", f"{duration(trial.seconds)} in {trial.runs} {'run' if trial.runs == 1 else 'runs'}"),
        ("worker", trial.worker or "none"),
        *([("error", trial.error)] if trial.error else []),
        *([("clone of", f"trial {trial.parent}")] if trial.parent is not None else []),
        *([("note", trial.note)] if trial.note else []),
        *(("tag", f"{name}={text}") for name, text in trial.tags.items()),
        *(("configuration" if i == 0 else "", text) for i, text in enumerate(pairs(trial.config))),
        *(("file", file) for file in files),
    ]
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        print(f"{label:<{width}}  {text}")
    axis = study.problem.fidelity
    names = list(dict.fromkeys(name for report in trial.reports for name in report.metrics))
    if names:
        _table(
            [axis.name if axis else "report", *names, "seconds"],
            [
                [
                    f"{i}" if report.resource is None else f"{report.resource:g}",
                    *(f"{report.metrics[n]:.6g}" if n in report.metrics else "" for n in names),
                    f"{report.seconds:.2f}",
                ]
                for i, report in enumerate(trial.reports)
            ],
        )


def _files(study: Study, trial: Trial) -> list[str]:
    """Output and checkpoint of a trial, as far as they are there."""
    if study.folder is None:
        return []
    home = study.folder / "trials" / f"{trial.number:05d}"
    found = [str(path) for path in sorted(home.glob("run-*.log"))]
    if trial.checkpoint is not None and (home / "checkpoints" / trial.checkpoint).exists():
        found.append(str(home / "checkpoints" / trial.checkpoint))
    return found


def _table(names: list[str], rows: list[list[Any]]) -> None:
    """Columns of text; the last one is cut at the width of the terminal, if there is one."""
    import shutil
    import sys

    widths = [max(len(str(row[i])) for row in [names, *rows]) for i in range(len(names))]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for row in [names, *rows]:
        line = "  ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        print(line[:room] if room else line)
