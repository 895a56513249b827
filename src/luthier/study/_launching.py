"""From a trial that is to run to what its executor needs to know: seeds, the grant, the checkpoint to start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from luthier.base.records import Trial
from luthier.base.seeds import trial_seed
from luthier.runtime.executors._base import Executor, Launch

if TYPE_CHECKING:
    from luthier.study.study import Study


def launch_of(study: Study, executor: Executor, trial: Trial) -> Launch:
    """The run that a trial in the state "started" is to have now."""
    definition = study._definition
    home = None if study.folder is None else study.folder / "trials" / f"{trial.number:05d}"
    repeat = len(trial.repeats)
    start, after = _checkpoint(trial, home, executor)
    return Launch(
        trial.number,
        trial.runs,
        trial.config,
        trial_seed(study.seed, trial.number, repeat),
        repeat,
        definition.problem.fidelity,
        after,
        trial.until,
        home,
        start,
        definition.open_space,
        definition.selection.split_of(study.seed, trial, repeat),
    )


def _checkpoint(trial: Trial, home: Path | None, executor: Executor) -> tuple[Path | None, float]:
    """Folder of the checkpoint to start from, and the resource spent in it."""
    if trial.checkpoint is None:
        return None, 0
    spent = [r.resource for r in trial.reports if r.resource is not None]
    parent, _, name = trial.checkpoint.rpartition("/")
    after = resource_of(name, default=max(spent, default=0))
    if executor.virtual:
        return None, after
    if home is None:
        return None, 0
    folder = (home.with_name(f"{int(parent):05d}") if parent else home) / "checkpoints" / name
    if parent and executor.holds(folder):
        executor.pin(folder)  # at once: while the clone gets ready, the parent goes on and clears away
    if trial.parent is None and not executor.holds(folder):
        return None, 0  # cleaned away: the trial starts afresh, what it reports again is known
    return folder, after  # a clone whose start is gone fails: nothing else leads to where its parent was


def resource_of(checkpoint: str, *, default: float) -> float:
    """The resource in a checkpoint's name (`r9-a1`, `r0.5-a2`)."""
    head = checkpoint.partition("-")[0].removeprefix("r")
    try:
        return float(head)
    except ValueError:
        return default
