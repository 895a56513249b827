"""Checkpoints behind a URL, for nodes that share no folder: anything that fsspec can reach (s3, gs, file, ...)."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from luthier.base.imports import need
from luthier.base.records import Decision
from luthier.runtime.executors._base import Launch, Message
from luthier.runtime.executors._channel import Channel, RunFailed
from luthier.runtime.executors._checkpoints import order

#: Written last: a checkpoint without it is not whole.
_WHOLE = ".whole"


def reach(url: str) -> tuple[Any, str]:
    """The file system behind a URL, and the path in it.

    Raises:
        MissingExtra: fsspec, or what the protocol needs, is not installed.
    """
    fsspec = need("fsspec", what=f"checkpoints under {url}", extra="ray")
    found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    return found


class Store:
    """What lies under a URL: `TRIAL/NAME/...`, one folder for each checkpoint.

    Args:
        url: Where; made on use.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.files, self.root = reach(url)

    def place(self, checkpoint: Path) -> str:
        """Where a checkpoint's folder (`.../trials/TRIAL/checkpoints/NAME`) is kept."""
        return f"{self.root}/{checkpoint.parents[1].name}/{checkpoint.name}"

    def holds(self, checkpoint: Path) -> bool:
        """Whether it is there, and whole."""
        return bool(self.files.exists(f"{self.place(checkpoint)}/{_WHOLE}"))

    def pin(self, checkpoint: Path) -> None:
        """Keep it for good."""
        self.files.pipe_file(f"{self.place(checkpoint)}.keep", b"")

    def put(self, checkpoint: Path) -> None:
        """Copy a folder there."""
        place = self.place(checkpoint)
        self.files.makedirs(place, exist_ok=True)
        self.files.put(f"{checkpoint}/", f"{place}/", recursive=True)
        self.files.pipe_file(f"{place}/{_WHOLE}", b"")

    def get(self, checkpoint: Path, folder: Path) -> None:
        """Copy it here, as `folder`."""
        folder.mkdir(parents=True)
        self.files.get(f"{self.place(checkpoint)}/", f"{folder}/", recursive=True)
        (folder / _WHOLE).unlink(missing_ok=True)

    def prune(self, folder: Path, attempt: int, kept: set[str]) -> None:
        """Delete checkpoints of a run that its own folder has no more, and that are not pinned.

        Args:
            folder: The trial's folder.
            attempt: The run.
            kept: Names that stay.
        """
        home = f"{self.root}/{folder.name}"
        names = {str(path).rstrip("/").rpartition("/")[2] for path in self.files.ls(home, detail=False)}
        for name in names - kept:
            key = order(name)
            if key is not None and key[0] == attempt and f"{name}.keep" not in names:
                self.files.rm(f"{home}/{name}/{_WHOLE}")  # first: nobody may find half of it
                self.files.rm(f"{home}/{name}", recursive=True)


class Remote:
    """A run with a folder of its own on this node, whose checkpoints go to a URL.

    Args:
        url: Where checkpoints are kept.
        launch: The run as the driver sees it.
    """

    def __init__(self, url: str, launch: Launch) -> None:
        self.store = Store(url)
        self._given = launch
        self.launch = launch

    def __enter__(self) -> Self:
        given = self._given
        assert given.folder is not None
        self._scratch = Path(tempfile.mkdtemp(prefix="luthier-run-"))
        start = None
        if given.checkpoint is not None:
            if not self.store.holds(given.checkpoint):
                self.__exit__(None, None, None)
                raise RunFailed(f"the checkpoint to start from is gone: {self.store.place(given.checkpoint)}")
            start = self._scratch / "start" / given.checkpoint.parents[1].name / "checkpoints" / given.checkpoint.name
            self.store.get(given.checkpoint, start)
        folder = self._scratch / "trials" / given.folder.name
        folder.mkdir(parents=True)
        self.launch = replace(given, folder=folder, checkpoint=start)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        log = self._scratch / "trials" / self._given.folder.name / f"run-{self._given.attempt}.log"  # type: ignore[union-attr]
        with contextlib.suppress(Exception):  # output is not worth a trial
            if log.is_file() and log.stat().st_size:
                place = f"{self.store.root}/{log.parent.name}"
                self.store.files.makedirs(place, exist_ok=True)
                self.store.files.put_file(str(log), f"{place}/{log.name}")
        shutil.rmtree(self._scratch, ignore_errors=True)


class RemoteChannel:
    """A channel that stores a checkpoint under the URL before the report that names it.

    Args:
        channel: What passes reports on.
        run: The run.
    """

    def __init__(self, channel: Channel, run: Remote) -> None:
        self._channel, self._run = channel, run
        self._newest: str | None = None

    def report(self, message: Message) -> Decision:
        """Store, then pass on."""
        folder, store = self._run.launch.folder, self._run.store
        name, fresh = message.checkpoint, message.checkpoint != self._newest
        assert folder is not None
        if name is not None and fresh:
            store.put(folder / "checkpoints" / name)
        decision = self._channel.report(message)
        if name is not None and fresh:
            known = [path.name for path in (folder / "checkpoints").iterdir() if order(path.name) is not None]
            store.prune(folder, self._run.launch.attempt, _needed(known, name))
            self._newest = name
        return decision

    def suggest(self, name: str, domain: Any) -> Any:
        """Pass on."""
        return self._channel.suggest(name, domain)


def _needed(known: list[str], reported: str) -> set[str]:
    """As `Checkpoints.prune`: the one that was reported, the one before it, and everything newer."""
    names = sorted(known, key=order)  # type: ignore[arg-type]
    return set(names[max(0, names.index(reported) - 1) :])
