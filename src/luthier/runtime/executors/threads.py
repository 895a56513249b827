"""Runs trials in threads of this process: for programs that wait, or that compute outside of Python's lock."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from luthier.base.errors import ExecutorError, UnsupportedError
from luthier.base.records import Decision, Status
from luthier.base.registry import register
from luthier.runtime.executors._base import End, Executor, Host, Launch, Limits, Setting
from luthier.runtime.executors._channel import Asking, Reply, TrialEnded, reply
from luthier.runtime.executors._runner import execute


class _Run(Asking):
    """A run in its thread, and its channel to the driver's thread.

    Args:
        launch: What runs.
        worker: The name of its place.
        post: Where the driver's thread hears from all runs: (run, kind, content).
    """

    def __init__(self, launch: Launch, worker: str, post: queue.SimpleQueue[tuple[_Run, str, Any]]) -> None:
        self.launch, self.worker, self._post = launch, worker, post
        self._answers: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._asking = threading.Lock()  # a program may report from a thread of its own
        self._abandoned = threading.Event()
        self.begun = time.monotonic()

    def begin(self, target: Any) -> None:
        """Start the thread. It does not keep the process alive."""
        name = f"luthier-{self.worker}"
        threading.Thread(target=self._work, args=(target,), daemon=True, name=name).start()

    def _work(self, target: Any) -> None:
        try:
            end = execute(target, self.launch, self)
        except BaseException as failure:  # KeyboardInterrupt raised by the program itself
            end = End(Status.FAILED, None, f"the program raised {type(failure).__name__}")
        self._post.put((self, "end", end))

    def _ask(self, kind: str, content: Any) -> Any:
        with self._asking:
            if self._abandoned.is_set():
                raise TrialEnded(Decision.STOP)
            self._post.put((self, kind, content))
            found = self._answers.get()
        if found.error is not None:
            raise found.error
        return found.answer

    def answer(self, found: Reply) -> None:
        """From the driver's thread: the answer to what was asked."""
        self._answers.put(found)

    def abandon(self) -> None:
        """Nobody listens any more: the program ends at its next report."""
        self._abandoned.set()
        self.answer(Reply(None, TrialEnded(Decision.STOP)))


@register("executor")
class Threads(Executor):
    """Workers "thread-0", "thread-1", ..., each a thread for one run after the other.

    Cheap to start and nothing has to be sent, so lambdas and closures work; but Python's lock lets one thread compute
    at a time: for programs that wait (for a service, for another machine) or compute in NumPy and the like. A thread
    cannot be killed: a run that is cancelled counts as over at once, and its thread goes on to its next report. There
    are no limits and no isolation, output is not redirected, and a crash takes the study's process with it (its log
    stays): `executor="processes"` has all of these.
    """

    def __init__(self) -> None:
        self._setting: Setting | None = None
        self._host: Host | None = None
        self._runs: dict[str, _Run | None] = {}
        self._post: queue.SimpleQueue[tuple[_Run, str, Any]] = queue.SimpleQueue()
        self._over: list[tuple[Launch, End]] = []  # ended outside of `step`, still to be told
        self._hidden: dict[str, str | None] = {}

    def open(self, setting: Setting, host: Host) -> None:
        """Get ready.

        Raises:
            UnsupportedError: limits were asked for, which threads cannot keep.
            ExecutorError: it is open already.
        """
        if self._setting is not None:
            raise ExecutorError("executor 'threads': open() while it is open. Call close() first.")
        if setting.limits != Limits():
            raise UnsupportedError(
                "executor 'threads': limits of time, memory, GPUs or CPUs. Threads share one process and cannot be "
                "ended from outside. Use executor='processes'."
            )
        self._setting, self._host = setting, host
        self._runs = {f"thread-{i}": None for i in range(setting.workers)}
        self._post, self._over = queue.SimpleQueue(), []
        self._hidden = {name: os.environ.get(name) for name in setting.labels}
        os.environ.update(setting.labels)

    def free(self) -> Sequence[str]:
        """Workers without a run."""
        return [name for name, run in self._runs.items() if run is None]

    def submit(self, launch: Launch, worker: str) -> None:
        """Start a run in a thread."""
        if worker not in self.free() or self._setting is None:
            raise ExecutorError(f"executor 'threads': {worker!r} is not free. free() says which workers are.")
        run = self._runs[worker] = _Run(launch, worker, self._post)
        run.begin(self._setting.target)

    def step(self, timeout: float) -> None:
        """Wait for a run to say something, and pass on all that has been said."""
        if self._setting is None:
            raise ExecutorError("executor 'threads': step() before open(). Call open() first.")
        if self._tell_over():
            return
        try:
            said = self._post.get(timeout=max(0.0, timeout))
            while True:
                self._hear(*said)
                said = self._post.get_nowait()
        except queue.Empty:
            return

    def _tell_over(self) -> bool:
        told = bool(self._over)
        while self._over and self._host is not None:
            launch, end = self._over.pop(0)
            self._host.ended(launch, end, self.now())
        return told

    def _hear(self, run: _Run, kind: str, content: Any) -> None:
        host = self._host
        if self._runs.get(run.worker) is not run or host is None:
            return  # abandoned: it has its answer already
        if kind == "end":
            self._runs[run.worker] = None
            host.ended(run.launch, self._with_log(content), self.now())
            return
        run.answer(reply(host, run.launch, kind, content, self.now()))

    def _with_log(self, end: End) -> End:
        folder = None if self._setting is None else self._setting.folder
        if end.log is None or folder is None:
            return end
        return replace(end, log=os.path.relpath(end.log, folder))

    def cancel(self, trial: int) -> None:
        """Let go of a run: it counts as over, its thread ends at its next report."""
        for worker, run in self._runs.items():
            if run is not None and run.launch.trial == trial:
                run.abandon()
                self._runs[worker] = None
                self._over.append((run.launch, End(Status.STOPPED, seconds=time.monotonic() - run.begun)))

    def close(self, *, kill: bool = False) -> None:
        """Let go of everything; threads that still compute end at their next report."""
        for run in self._runs.values():
            if run is not None:
                run.abandon()
        for name, value in self._hidden.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._runs, self._over, self._hidden = {}, [], {}
        self._setting = self._host = None
