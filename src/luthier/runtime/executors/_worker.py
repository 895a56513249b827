"""The inside of a worker process: it is started once, and runs one trial after another."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from multiprocessing import process, spawn
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.base.records import Status
from luthier.runtime.executors import _tree
from luthier.runtime.executors._base import End, Launch, Target
from luthier.runtime.executors._channel import Asking, opened
from luthier.runtime.executors._runner import describe, execute

#: Whether this process is a worker that still imports the user's script (see `Processes.open`).
booting = False


def main(descriptor: int, driver: int, mark: str) -> None:
    """Live as a worker until the driver says goodbye or is gone.

    Args:
        descriptor: This process's end of the connection.
        driver: Process number of the driver.
        mark: What the environment of this process and its children carries.
    """
    os.set_inheritable(descriptor, False)
    # no SIG_IGN: programs started by a trial would inherit it, while a handler is reset when they start
    signal.signal(signal.SIGINT, lambda *_: None)
    _tree.adopt_orphans()
    threading.Thread(target=_watch, args=(descriptor, driver, mark), daemon=True, name="luthier-watch").start()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    connection = Connection(descriptor)
    target: Target | None = None
    boot_output = os.dup(1)
    while True:
        try:
            kind, content = connection.recv()
        except EOFError:
            return
        if kind == "close":
            return
        if kind == "load":
            target = _load(connection, **content)
            if target is None:
                return
        else:
            _run(connection, target, content, boot_output)


def _watch(descriptor: int, driver: int, mark: str) -> None:
    """End this process and everything it started when the driver is gone."""
    poll = select.poll()
    poll.register(descriptor, 0)  # no events wanted: what is left is "the other end was closed"
    while os.getppid() == driver:
        if poll.poll(1000):  # milliseconds
            break
    _tree.kill(None, mark, seconds=3.0)
    os.kill(os.getpid(), signal.SIGKILL)


def _load(connection: Connection, main: dict[str, Any] | None, target: bytes) -> Target | None:
    """Import what the target needs; None when that failed, and the driver was told."""
    global booting
    stage = "main"
    booting = True
    process.current_process()._inheriting = True  # type: ignore[attr-defined]  # multiprocessing refuses to start too
    try:
        if main is not None:
            spawn.prepare(main)
        stage = "target"
        loaded: Target = pickle.loads(target)
    except BaseException as failure:
        traceback.print_exc()
        with contextlib.suppress(OSError):
            connection.send(("broken", (stage, describe(failure))))
        return None
    finally:
        booting = False
        del process.current_process()._inheriting  # type: ignore[attr-defined]
    connection.send(("ready", None))
    return loaded


def _run(connection: Connection, target: Target | None, blob: bytes, boot_output: int) -> None:
    channel = _Pipe(connection)
    log: Path | None = None
    try:
        launch: Launch = pickle.loads(blob)
        log = None if launch.folder is None else launch.folder / f"run-{launch.attempt}.log"
        assert target is not None
        with _redirected(log, boot_output):
            end = execute(target, launch, channel, log=log)
    except KeyboardInterrupt:
        end = End(Status.FAILED, None, "the program raised KeyboardInterrupt", log=None if log is None else str(log))
    except Exception as failure:  # the log cannot be opened, the launch holds what cannot be imported here
        end = End(Status.FAILED, None, describe(failure))
    connection.send(("end", end))


@contextlib.contextmanager
def _redirected(log: Path | None, boot_output: int) -> Iterator[None]:
    """Send everything that is written to standard output and error to a file, C code and children included."""
    if log is None:
        # to the worker's own unnamed file, which starts anew with each run: only its size matters
        os.lseek(boot_output, 0, os.SEEK_SET)
        os.ftruncate(boot_output, 0)
        yield
        _flush()
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
    finally:
        os.close(descriptor)
    try:
        yield
    finally:
        _flush()
        os.dup2(boot_output, 1)
        os.dup2(boot_output, 2)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # the program may have replaced or closed it, or the disk is full: what it printed is not worth a trial
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()


class _Pipe(Asking):
    """The channel of a run in a worker: asks the driver and waits for the answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock, self._pid = connection, threading.Lock(), os.getpid()

    def _ask(self, kind: str, content: Any) -> Any:
        if os.getpid() != self._pid:
            raise ArgumentError(
                f"{kind} was called in process {os.getpid()}, which the trial started. Allowed: calls from the "
                "trial's own process. Send the number there first."
            )
        with self._lock:  # a program may report from a thread
            self._connection.send((kind, content))
            words = self._connection.recv()
        return opened(words)
