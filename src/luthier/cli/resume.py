"""`luthier resume`: go on with a study where it was, with the program and the settings of its last run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli._options import Debug, Json, Quiet, Seconds, Trials, Where

if TYPE_CHECKING:
    from luthier.study import Study


def resume(
    where: Where,
    trials: Trials = None,
    seconds: Seconds = None,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", metavar="W", help="Trials at once.", show_default=False)
    ] = None,
    stopping: Annotated[
        bool, typer.Option("--stopping/--no-stopping", help="Heed the study's stopping rules.", show_default=False)
    ] = True,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Go on with a study where it was.

    Same program, same settings; nothing that was reported is done again.
    """
    from luthier.cli._drive import check_budget, conclude, drive, kept
    from luthier.cli._progress import Talk
    from luthier.cli._text import heading
    from luthier.runtime.executors import Limits
    from luthier.study import Study

    check_budget(trials, seconds)
    talk = Talk(json=as_json, quiet=quiet)
    with Study.open(where) as study:
        settings = study.settings
        total = trials if trials is not None else settings.get("trials")
        if seconds is None and _done(study, total):
            count = len(study.trials)
            talk.detail(f"{count} of {total} trials are done; give --trials {int(1.5 * count)} for more")
            conclude(study, study.result(), talk)
            return
        info = {key: settings.get(key) for key in ("target", "command", "cwd")}
        _refuse_unknown(study)
        executor = _executor(study)
        place = _place(study, where)
    # opened again by its full path, since the program may need another current folder
    with kept(Study.open(place)) as study:
        target = _program(study)
        talk.detail(heading(study))
        talk.detail(f"it goes on: {len(study.trials)} trials are there")
        limits = settings.get("limits") or {}
        result = drive(
            study,
            target,  # type: ignore[arg-type]
            talk,
            trials=total,
            seconds=seconds if seconds is not None else settings.get("seconds"),
            workers=workers or settings.get("workers") or 1,
            executor=executor,
            limits=Limits(
                limits.get("time_limit"), limits.get("memory_mb"), limits.get("gpus") or 0, limits.get("cpus")
            ),
            info=info,
            stopping=stopping,
        )
        conclude(study, result, talk)


def _done(study: Study, total: int | None) -> bool:
    """Whether the trials that were asked for have all ended."""
    counted = [trial for trial in study.trials if trial.origin != "added"]
    return total is not None and len(counted) >= total and all(trial.status.ended for trial in study.trials)


def _refuse_unknown(study: Study) -> None:
    """Say so when nothing is known of the program: the study was run from Python, or not at all."""
    from luthier.base.errors import ArgumentError

    settings = study.settings
    if settings.get("command") or settings.get("target"):
        return
    how = "was run from Python with a function that has no importable name" if settings else "has not been run yet"
    raise ArgumentError(
        f"study {study.name!r} {how}, so this command cannot find its program. Allowed: studies run by `luthier tune`, "
        "or with a function of a module. Give the command that made it, or run your script, again: it continues."
    )


def _executor(study: Study) -> dict[str, Any] | None:
    """The executor of the last run, with its arguments."""
    from luthier.base.errors import ArgumentError
    from luthier.runtime.executors._again import spec

    try:
        return spec(study.settings)
    except ArgumentError as error:
        raise ArgumentError(f"study {study.name!r}: {error}") from error


def _place(study: Study, where: str) -> str:
    """The study by a name that holds in every folder."""
    import os

    cwd = study.settings.get("cwd")
    if not cwd or not Path(cwd).is_dir() or Path(cwd).samefile(os.getcwd()):
        return where
    place = str(study.folder.resolve()) if "://" not in where and study.folder is not None else None
    if place is None:
        place = f"{study.url}#{study.name}"
    os.chdir(cwd)
    return place


def _program(study: Study) -> object:
    """What the study was last run with.

    Raises:
        ArgumentError: it is not there any more.
        ExecutorError: to import it would run it: it has no guard.
    """
    from luthier.base.errors import ArgumentError, ExecutorError
    from luthier.runtime.executors import Command
    from luthier.runtime.executors._function import FunctionTarget

    settings = study.settings
    if settings.get("command"):
        return Command(settings["command"])
    try:
        target = FunctionTarget.parse(settings["target"])
        target.load()
    except ExecutorError as error:
        raise ExecutorError(f"{error} Or run your script again: it continues study {study.name!r}.") from error
    except ArgumentError as error:
        raise ArgumentError(
            f"study {study.name!r} was run with {settings['target']}: {error} Put it back, or start the study again "
            "from where the program is now: `luthier tune` with the same options and --out continues it."
        ) from error
    return target
