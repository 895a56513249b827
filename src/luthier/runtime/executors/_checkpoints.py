"""Checkpoints of a trial: complete or absent, never half written, never changed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = re.compile(r"r(?P<resource>[0-9.]+)-a(?P<attempt>\d+)(?:-(?P<again>\d+))?$")


def pin(checkpoint: Path) -> None:
    """Keep a checkpoint for good: another trial starts from it, or the program asked for it.

    The mark is an empty file beside the folder, `<name>.keep`, so that the folder itself stays as it was written.

    Args:
        checkpoint: Folder of a complete checkpoint.
    """
    checkpoint.with_name(checkpoint.name + ".keep").touch()


def order(name: str) -> tuple[int, float, int] | None:
    """Sorting key of a checkpoint's name (attempt, resource, number of the save); None for anything else."""
    match = _NAME.match(name)
    if match is None:
        return None
    try:
        return int(match["attempt"]), float(match["resource"]), int(match["again"] or 1)
    except ValueError:
        return None


class Checkpoints:
    """The folder `checkpoints/` of one trial, as one run of it writes it.

    Args:
        folder: The folder, made on first use.
        attempt: Number of the run.
    """

    __slots__ = ("_attempt", "_folder")

    def __init__(self, folder: Path, attempt: int) -> None:
        self._folder, self._attempt = folder, attempt

    @contextmanager
    def write(self, resource: float, *, keep: bool) -> Iterator[tuple[Path, list[str]]]:
        """A folder to write into, which becomes a checkpoint when the block ends without an error.

        Args:
            resource: Amount spent, for the name.
            keep: Whether it is never deleted.

        Yields:
            The folder, and a list that holds the checkpoint's name after the block.
        """
        draft = self._draft()
        named: list[str] = []
        try:
            yield draft, named
            _sync_tree(draft)
            final = self._free_name(resource)
            os.rename(draft, final)
            _sync(self._folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        if keep:
            pin(final)
        named.append(final.name)

    def prune(self, reported: str) -> None:
        """Delete what no resume can need any more.

        The study's log knows checkpoints from reports, so the one named by the last durable report, the one
        before it and everything newer stay; so does whatever carries the mark of `pin`.

        Args:
            reported: Name of the checkpoint in the last report that the study acknowledged.
        """
        known = sorted((key, name) for name in os.listdir(self._folder) if (key := order(name)) is not None)
        position = next((i for i, (_, name) in enumerate(known) if name == reported), 0)
        for _, name in known[: max(0, position - 1)]:
            if not (self._folder / f"{name}.keep").exists():
                # the rename makes it vanish at once: a reader never finds half a checkpoint
                doomed = self._folder / f".old-{name}"
                os.rename(self._folder / name, doomed)
                shutil.rmtree(doomed, ignore_errors=True)

    def _draft(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        for name in os.listdir(self._folder):
            # left by a run that was killed. A later run is left alone: then it is this one that others took for dead
            if name.startswith(".old-") or 0 < _attempt_of(name) <= self._attempt:
                shutil.rmtree(self._folder / name, ignore_errors=True)
        draft = self._folder / f".draft-a{self._attempt}"
        draft.mkdir()
        return draft

    def _free_name(self, resource: float) -> Path:
        amount = f"{int(resource):04d}" if float(resource).is_integer() else f"{resource:.9f}".rstrip("0")
        path = self._folder / f"r{amount}-a{self._attempt}"
        again = 2
        while path.exists():
            path = self._folder / f"r{amount}-a{self._attempt}-{again}"
            again += 1
        return path


def _attempt_of(name: str) -> int:
    """The run that a draft belongs to; 0 for anything else."""
    number = name.removeprefix(".draft-a")
    return int(number) if number != name and number.isdigit() else 0


def _sync_tree(folder: Path) -> None:
    for place, _, files in os.walk(folder, topdown=False):
        for file in files:
            path = Path(place, file)
            if path.is_file() and not path.is_symlink():
                _sync(path)
        _sync(Path(place))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
