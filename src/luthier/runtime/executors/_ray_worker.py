"""What runs inside Ray: a trial's task, and the mailbox by which tasks and the driver talk."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import pickle
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from luthier.base.imports import need
from luthier.base.records import Decision, Status
from luthier.runtime.executors import _tree
from luthier.runtime.executors._base import End, Launch, Target
from luthier.runtime.executors._channel import Asking, Channel, TrialEnded, opened
from luthier.runtime.executors._remote import Remote, RemoteChannel
from luthier.runtime.executors._runner import describe, execute

#: A run's name: trial and attempt.
Key = tuple[int, int]
#: Why a run is lost whose mailbox is gone.
NO_MAIL = "Ray's process for messages died"
_LOOK = 0.25  # seconds between two looks at the memory
_targets: dict[bytes, Target] = {}  # programs that this worker process has loaded, by their checksum
_guard: tuple[str, subprocess.Popen[bytes]] | None = None


class Mailbox:
    """An actor on the driver's node: tasks put questions, the driver takes them and gives the answers."""

    def __init__(self) -> None:
        self._box: list[tuple[int, Key, str, Any]] = []
        self._full = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._count = 0

    async def put(self, key: Key, kind: str, content: Any, wait: bool) -> Any:
        """From a task: something to say; with `wait`, the driver's answer to it."""
        self._count += 1
        number = self._count
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if wait:
            self._waiting[number] = future
        self._box.append((number, key, kind, content))
        self._full.set()
        return await future if wait else None

    async def take(self) -> list[tuple[int, Key, str, Any]]:
        """From the driver: everything that has come, at least one thing."""
        await self._full.wait()
        self._full.clear()
        found, self._box = self._box, []
        return found

    async def answer(self, number: int, verdict: tuple[str, Any]) -> None:
        """From the driver: the answer to a question."""
        future = self._waiting.pop(number, None)
        if future is not None and not future.done():
            future.set_result(verdict)


@dataclass(frozen=True)
class Order:
    """What a task is sent beside its launch.

    Args:
        target: The program, pickled.
        mailbox: Handle of the mailbox.
        path: Where the driver looks for modules; nodes that have these folders look there too.
        labels: Environment variables.
        memory_mb: Memory that the task with all it starts may use; None for no limit.
        remote: URL under which checkpoints are kept; None: in the launch's folder, which all nodes share.
    """

    target: bytes
    mailbox: Any
    path: tuple[str, ...]
    labels: Mapping[str, str]
    memory_mb: float | None
    remote: str | None


def run_trial(order: Order, launch: Launch) -> tuple[str, Any]:
    """The body of a task: ("end", how it ended), or ("broken", why the program could not be loaded)."""
    ray = need("ray", what="executor 'ray'", extra="ray")
    key = (launch.trial, launch.attempt)
    order.mailbox.put.remote(key, "begun", ray.get_runtime_context().get_node_id(), False)
    os.environ.update(order.labels)
    mark = _guarded()
    sys.path.extend(place for place in order.path if place not in sys.path)
    try:
        target = _load(order.target)
    except BaseException as failure:
        return "broken", describe(failure)
    over = threading.Event()
    if order.memory_mb is not None:
        watch = (order.mailbox, key, order.memory_mb, over)
        threading.Thread(target=_watch_memory, args=watch, daemon=True).start()
    mail = _Mail(order.mailbox, key)
    try:
        end = _execute(target, launch, mail, order.remote)
        return "end", replace(end, status=Status.LOST, result=None, error=NO_MAIL) if mail.gone else end
    finally:
        over.set()
        if _has_children():
            _tree.kill(None, mark, spare=_spared())


def _execute(target: Target, launch: Launch, channel: Channel, remote: str | None) -> End:
    try:
        with contextlib.ExitStack() as stack:
            if remote is not None and launch.folder is not None:
                kept = stack.enter_context(Remote(remote, launch))
                launch, channel = kept.launch, RemoteChannel(channel, kept)
            log = None if launch.folder is None else launch.folder / f"run-{launch.attempt}.log"
            with _redirected(log):
                return execute(target, launch, channel, log=log)
    except KeyboardInterrupt:
        return End(Status.FAILED, None, "the program raised KeyboardInterrupt")
    except Exception as failure:  # the folder cannot be made, the URL not be reached
        return End(Status.FAILED, None, describe(failure))


def _load(blob: bytes) -> Target:
    digest = hashlib.sha256(blob).digest()
    if digest not in _targets:
        _targets[digest] = pickle.loads(blob)  # made by this study's driver, sent by Ray
    return _targets[digest]


class _Mail(Asking):
    """The channel of a run: asks the driver by the mailbox and waits for the answer."""

    def __init__(self, mailbox: Any, key: Key) -> None:
        self._mailbox, self._key = mailbox, key
        self._lock = threading.Lock()  # a program may report from a thread
        self.gone = False  # whether the mailbox is: the run is lost then, whatever its program makes of it

    def _ask(self, kind: str, content: Any) -> Any:
        ray = need("ray", what="executor 'ray'", extra="ray")
        with self._lock:
            try:
                words = ray.get(self._mailbox.put.remote(self._key, kind, content, True))
            except ray.exceptions.RayActorError:
                self.gone = True
                raise TrialEnded(Decision.STOP) from None
        return opened(words)


@contextlib.contextmanager
def _redirected(log: Path | None) -> Iterator[None]:
    """Send what is written to standard output and error to a file, C code and children included."""
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    saved = [os.dup(1), os.dup(2)]
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    _flush()
    try:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        yield
    finally:
        _flush()
        os.close(descriptor)
        for place, kept in zip((1, 2), saved, strict=True):
            os.dup2(kept, place)
            os.close(kept)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.flush()


# what a task starts must not outlive it ------------------------------------------------------------------------


def _guarded() -> str:
    """Mark what this worker process will start, and have a guardian that ends it when this process is gone."""
    global _guard
    if _guard is None or _guard[1].poll() is not None:
        mark = uuid.uuid4().hex
        guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", _tree.__file__, mark, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.environ.update(_tree.with_mark(dict(os.environ), mark))
        _guard = mark, guardian
    return _guard[0]


def _spared() -> list[int]:
    return [] if _guard is None else [_guard[1].pid]


def _has_children() -> bool:
    """Whether the run has left anything behind: a look that costs little when it has not."""
    try:
        found = [pid for task in os.listdir("/proc/self/task") for pid in _children_of(task)]
    except OSError:
        return True  # it cannot be told here
    return bool(set(found) - set(_spared()))


def _children_of(task: str) -> list[int]:
    with contextlib.suppress(FileNotFoundError), open(f"/proc/self/task/{task}/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]
    return []


def _watch_memory(mailbox: Any, key: Key, limit_mb: float, over: threading.Event) -> None:
    """Say so and leave when the run needs too much; Ray itself counts memory for placement alone."""
    ray = need("ray", what="executor 'ray'", extra="ray")
    while not over.wait(_LOOK):
        used = _tree.resident(os.getpid()) / 1e6
        if used > limit_mb and not over.is_set():
            error = f"memory limit of {limit_mb:g} MB exceeded (used {used:.0f} MB)"
            with contextlib.suppress(Exception):  # without the word it is a lost run, not a failed one
                ray.get(mailbox.put.remote(key, "over", error, False), timeout=5)
            time.sleep(0.05)
            os._exit(1)
