"""What executors share whose runs work in other processes or on other machines."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from luthier.runtime.executors._base import End, Launch


def absolute(launch: Launch) -> Launch:
    """A launch whose paths hold in any current folder: a cluster chooses its own."""
    folder = None if launch.folder is None else launch.folder.absolute()
    return replace(
        launch, folder=folder, checkpoint=None if launch.checkpoint is None else launch.checkpoint.absolute()
    )


def with_log(launch: Launch, end: End, folder: Path | None) -> End:
    """An end that names the file with the run's output, if there is one.

    Args:
        launch: The run.
        end: How it ended.
        folder: The study's; the file is named relative to it.
    """
    path = None if launch.folder is None else launch.folder / f"run-{launch.attempt}.log"
    if path is None or not path.exists():
        return replace(end, log=None)
    return replace(end, log=str(path) if folder is None else os.path.relpath(path, folder))


def one_line(error: BaseException) -> str:
    """An error of another tool in one line; such texts run over many."""
    text = " ".join(str(error).split())
    return (text[:237] + "..." if len(text) > 240 else text).rstrip(".") or type(error).__name__
