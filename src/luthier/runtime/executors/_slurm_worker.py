"""What runs inside a job of a queue: one run, which talks to the driver by files of a shared folder.

Each run has a box, a folder. Files appear in it whole, by renaming: `ask-N` from the run, `answer-N` from the driver,
`cancel` when the run is to end now. The folder above holds `alive`, a number that the driver raises while it lives.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.base.records import Status
from luthier.runtime.executors import _tree
from luthier.runtime.executors._base import End, Launch
from luthier.runtime.executors._channel import Asking, opened
from luthier.runtime.executors._runner import describe, execute

_QUICK, _SLOW = 0.01, 0.5  # seconds between two looks for an answer, at first and in the end
_LOOK = 1.0  # seconds between two looks at the driver


def write(path: Path, content: Any) -> None:
    """A file that appears whole."""
    draft = path.with_name(f".{path.name}-{os.getpid()}")
    draft.write_bytes(pickle.dumps(content))
    os.replace(draft, path)


@dataclass(frozen=True)
class Order:
    """What a job is sent. Submitit pickles it.

    Args:
        box: The run's box.
        launch: What to run.
        target: The program.
        path: Where the driver looks for modules.
        labels: Environment variables.
        driver_seconds: How long the driver may give no sign before the job ends itself.
    """

    box: str
    launch: Launch
    target: Any
    path: tuple[str, ...]
    labels: dict[str, str]
    driver_seconds: float


class Job:
    """The body of a job: runs an order to its end, and puts how it ended into its box.

    Args:
        order: What to do, pickled apart: so that a program that cannot be loaded is found out here, and told.
    """

    def __init__(self, order: bytes, box: str, path: tuple[str, ...]) -> None:
        self.order, self.box, self.path = order, box, path

    def __call__(self) -> None:
        """Run it."""
        box = Path(self.box)
        sys.path.extend(place for place in self.path if place not in sys.path)
        try:
            order: Order = pickle.loads(self.order)  # made by this study's driver
        except BaseException as failure:
            write(box / "ask-0", ("broken", describe(failure)))
            return
        mark = uuid.uuid4().hex
        os.environ.update(_tree.with_mark({**os.environ, **order.labels}, mark))
        channel = _Files(box)
        channel.send("begun", None)
        threading.Thread(target=_watch, args=(box, order.driver_seconds, mark), daemon=True).start()
        log = None if order.launch.folder is None else order.launch.folder / f"run-{order.launch.attempt}.log"
        try:
            if log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
                for place in (1, 2):
                    os.dup2(descriptor, place)
            end = execute(order.target, order.launch, channel, log=log)
        except KeyboardInterrupt:  # submitit's way to cancel a local job
            end = End(Status.STOPPED)
        except Exception as failure:
            end = End(Status.FAILED, None, describe(failure))
        _tree.kill(None, mark)
        channel.send("end", end)


class _Files(Asking):
    """The channel of a run: files in its box."""

    def __init__(self, box: Path) -> None:
        self._box, self._count = box, 0
        self._lock = threading.Lock()  # a program may report from a thread

    def send(self, kind: str, content: Any) -> int:
        """Say something; its number."""
        self._count += 1
        write(self._box / f"ask-{self._count}", (kind, content))
        return self._count

    def _ask(self, kind: str, content: Any) -> Any:
        with self._lock:
            place = self._box / f"answer-{self.send(kind, content)}"
            pause = _QUICK
            while not place.exists():
                time.sleep(pause)
                pause = min(1.2 * pause, _SLOW)
            words = pickle.loads(place.read_bytes())
            place.unlink()
        return opened(words)


def _watch(box: Path, driver_seconds: float, mark: str) -> None:
    """End this job and all it started when it is cancelled, or when the driver is gone."""
    alive, last, since = box.parent / "alive", "", time.monotonic()
    while True:
        time.sleep(_LOOK)
        try:
            now = alive.read_text()
        except OSError:
            now = last  # the folder is gone, or cannot be reached for the moment
        if now != last:
            last, since = now, time.monotonic()
        if (box / "cancel").exists() or time.monotonic() - since > driver_seconds:
            _tree.kill(None, mark, seconds=3.0)
            os._exit(1)
