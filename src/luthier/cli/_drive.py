"""Run a study from a command: progress, the closing lines, and what to say when it ends before its time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer

from luthier.base.checks import check
from luthier.base.errors import LuthierError, StorageError, TrialError
from luthier.cli import _json
from luthier.cli._errors import FAILED, INTERRUPTED, USER
from luthier.cli._progress import Talk, progress
from luthier.cli._text import closing, counts, follow

if TYPE_CHECKING:
    from luthier.runtime.executors import Command, Limits
    from luthier.runtime.executors._base import Target
    from luthier.study import Result, Study


@contextmanager
def kept(study: Study) -> Iterator[Study]:
    """Close a study at the end; when something went wrong, that is what is told, not what its closing meets then."""
    try:
        yield study
    except BaseException:
        with suppress(StorageError):
            study.close()
        raise
    study.close()


def check_budget(trials: int | None, seconds: float | None) -> None:
    """Refuse a budget that allows nothing. Raises ArgumentError."""
    if trials is not None:
        check("--trials", trials, at_least=1, whole=True)
    if seconds is not None:
        check("--seconds", seconds, above=0)


def drive(
    study: Study,
    target: Target,
    talk: Talk,
    *,
    trials: int | None,
    seconds: float | None,
    workers: int,
    executor: str | Mapping[str, Any] | None,
    limits: Limits,
    info: Mapping[str, Any],
    stopping: bool = True,
) -> Result:
    """Run until the budget is used.

    Args:
        study: The study.
        target: What to run.
        talk: How to speak.
        trials: Trials of the study in all.
        seconds: Time for this call.
        workers: Trials at once.
        executor: Name of the executor, or name and arguments.
        limits: What one trial may use.
        info: What `luthier resume` needs to find the program again.
        stopping: Whether the study's stopping rules are heeded.

    Returns:
        What was found; the closing lines are for `conclude`.
    """
    shown = progress(study, talk, (trials, seconds))
    study.callbacks.append(shown)
    try:
        with shown:
            return study.run(
                target,
                trials=trials,
                seconds=seconds,
                workers=workers,
                executor=executor,
                time_limit=limits.seconds,
                memory_mb=limits.memory_mb,
                gpus=limits.gpus,
                cpus=limits.cpus,
                info=info,
                stopping=stopping,
            )
    except KeyboardInterrupt as interrupt:
        _last_object(talk, "interrupted", str(interrupt), INTERRUPTED, study)
        raise
    except (StorageError, OSError) as error:
        text = _saved(error, study)
        _last_object(talk, "error", text, USER, study)
        raise StorageError(text) from error
    except LuthierError as error:
        _last_object(talk, "error", str(error), FAILED if isinstance(error, TrialError) else USER, study)
        raise
    finally:
        study.callbacks.remove(shown)


def _last_object(talk: Talk, kind: str, text: str, code: int, study: Study) -> None:
    if talk.json:
        _json.write({"event": kind, "message": text, "exit": code, "where": study.where, "trials": len(study.trials)})


def _saved(error: Exception, study: Study) -> str:
    """A store's or a disk's error, with what is safe."""
    if isinstance(error, OSError):
        place = "" if error.filename is None else f"{error.filename}: "
        text = f"{place}{error.strerror or error}. Allowed: a disk with free space that can be written. Make room."
    else:
        text = str(error)
    trials = study.trials
    reports = sum(len(trial.reports) for trial in trials)
    return (
        f"{text} Saved until now: {len(trials)} trials with {reports} reports. Continue with: luthier resume "
        f"{study.where}"
    )


def conclude(study: Study, result: Result, talk: Talk) -> None:
    """Print what was found and what to do next; leave with exit code 2 when there is no usable result."""
    from luthier.study.result import nearest

    usable = result.best is not None or bool(result.pareto) or nearest(result.trials, study.problem) is not None
    if talk.json:
        _json.write({"event": "result", **_json.study_data(study), "exit": 0 if usable else FAILED})
    talk.say(f"{counts(result)}; {result.reason}" if result.reason else counts(result))
    for line in closing(result, study.problem):
        talk.say(line)
    for line in [*failures(study, 3), *unheeded(study, result)]:
        talk.say(line)
    if not usable and result.trials:
        talk.say("what has ended stays ended: once the program is repaired, give another --out, or more --trials")
    talk.say(follow("report" if usable else "show", study.where))
    if not usable:
        raise typer.Exit(FAILED)


def unheeded(study: Study, result: Result) -> list[str]:
    """A line for what the study was told of and no trial reported: mostly a name that differs."""
    return [*_unheeded_untouched(study, result), *_unheeded_fidelity(study, result)]


def _unheeded_untouched(study: Study, result: Result) -> list[str]:
    name, reported = study.untouched, dict.fromkeys(n for t in result.trials for r in t.reports for n in r.metrics)
    if not name or not reported or any(trial.untouched is not None for trial in result.trials):
        return []
    return [f"note: no trial reported {name!r}, the untouched metric; reported were {', '.join(reported)}"]


def _unheeded_fidelity(study: Study, result: Result) -> list[str]:
    axis, done = study.problem.fidelity, [t for t in result.trials if t.status.value == "completed"]
    if axis is None or axis.low == axis.high or study.scheduler_name == "straight" or not done:
        return []
    if any(report.resource is not None and report.resource < axis.high for t in result.trials for report in t.reports):
        return []
    return [
        f"note: no trial reported before {axis.name} {axis.high:g}, so {study.scheduler_name} stopped nothing. "
        f'A report on the way names it: {{"{study.problem.objectives[0].name}": 0.31, "{axis.name}": 1}}'
    ]


def unused(study: Study, command: Command) -> list[str]:
    """A line where the command line lacks hyperparameters, which the program may or may not find elsewhere."""
    missing = [name for name in study.space.names if name not in command.names]
    if not missing or not command.names:
        return []
    return [f"note: not in the command: {', '.join(missing)}. The program has to read LUTHIER_CONFIG for them."]


def failures(study: Study, limit: int) -> list[str]:
    """The last failed and lost trials in a line each, with the file that holds their output."""
    found = {t.number: t for t in study.trials if t.status.value in ("failed", "lost")}
    if not found:
        return []
    logs = {e.trial: e.data.get("log") for e in study.events() if e.kind in ("failed", "lost")}
    lines = []
    for number in sorted(found)[-limit:]:
        log, trial = logs.get(number), found[number]
        # without a folder the log's path is the best that is known
        place = f" (output: {study.folder / log if study.folder is not None else log})" if log else ""
        lines.append(f"{trial.status.value}: trial {number}, {trial.error or 'it is not known why'}{place}")
    if len(found) > limit:
        kinds = " and ".join(dict.fromkeys(trial.status.value for _, trial in sorted(found.items())))
        lines.insert(0, f"{kinds}: {len(found)} trials, the last {limit}:")
    return lines
