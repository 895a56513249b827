"""Runs trials one after another in this process: no start-up, no isolation."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from luthier.base.errors import ExecutorError, UnsupportedError
from luthier.base.records import Decision, Status
from luthier.base.registry import register
from luthier.runtime.executors._base import End, Executor, Host, Launch, Message, Setting
from luthier.runtime.executors._channel import REFUSALS, TrialEnded
from luthier.runtime.executors._runner import execute

_WORKER = "inline"


@register("executor")
class Inline(Executor):
    """One worker, "inline": a run happens inside `step`, in this process and thread.

    For debugging, notebooks, quick functions and tests. It cannot end a program that hangs, and a program that
    brings the process down brings the study down (its log stays): `executor="processes"` can and does not.
    Output is not redirected.
    """

    def __init__(self) -> None:
        self._setting: Setting | None = None
        self._host: Host | None = None
        self._queued: Launch | None = None
        self._running: Launch | None = None
        self._cancelled = False
        self._hidden: dict[str, str | None] = {}

    def open(self, setting: Setting, host: Host) -> None:
        """Get ready.

        Raises:
            UnsupportedError: limits or several workers were asked for, which one process cannot keep.
            ExecutorError: it is open already.
        """
        if self._setting is not None:
            raise ExecutorError("executor 'inline': open() while it is open. Call close() first.")
        limits = setting.limits
        asked = [
            f"{name}={value:g}"
            for name, value, none in (
                ("time limit", limits.seconds, None),
                ("memory limit", limits.memory_mb, None),
                ("gpus", limits.gpus, 0),
                ("cpus", limits.cpus, None),
                ("workers", setting.workers, 1),
            )
            if value != none
        ]
        if asked:
            raise UnsupportedError(
                f"executor 'inline': {', '.join(asked)}. It runs one trial at a time in this process and can set no "
                "limits. Use executor='processes'."
            )
        self._setting, self._host = setting, host
        self._hidden = {name: os.environ.get(name) for name in setting.labels}
        os.environ.update(setting.labels)

    def free(self) -> Sequence[str]:
        """`["inline"]`, or nothing while a run waits or goes on."""
        return () if self._queued is not None or self._running is not None or self._setting is None else (_WORKER,)

    def submit(self, launch: Launch, worker: str) -> None:
        """Take a run; the next `step` runs it."""
        if worker not in self.free():
            raise ExecutorError(f"executor 'inline': {worker!r} is not free. free() says which worker is.")
        self._queued = launch

    def step(self, timeout: float) -> None:
        """Run what was submitted, to its end; with nothing to run, wait."""
        host, setting, launch = self._host, self._setting, self._queued
        if host is None or setting is None:
            raise ExecutorError("executor 'inline': step() before open(). Call open() first.")
        if launch is None:
            time.sleep(max(0.0, timeout))
            return
        self._queued, self._running = None, launch
        channel = _Direct(self, launch, host)
        try:
            end = End(Status.STOPPED) if self._cancelled else execute(setting.target, launch, channel)
        finally:
            self._running, self._cancelled = None, False
        if channel.failure is not None:
            raise channel.failure
        if end.log is not None and setting.folder is not None:
            end = replace(end, log=os.path.relpath(end.log, setting.folder))
        host.ended(launch, end, time.time())

    def cancel(self, trial: int) -> None:
        """Keep a waiting run from starting, or end a running one (from a callback) at its report."""
        if any(launch is not None and launch.trial == trial for launch in (self._queued, self._running)):
            self._cancelled = True

    def close(self, *, kill: bool = False) -> None:
        """Let go; what was submitted and not run is forgotten."""
        for name, value in self._hidden.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._hidden = {}
        self._setting = self._host = self._queued = None
        self._cancelled = False


class _Direct:
    """The channel of a run in this process: the host itself.

    An error of the study (a full disk, say) is none of the program's: it ends the run and comes out of `step`.
    """

    __slots__ = ("_executor", "_host", "_launch", "failure")

    def __init__(self, executor: Inline, launch: Launch, host: Host) -> None:
        self._executor, self._launch, self._host = executor, launch, host
        self.failure: BaseException | None = None

    def report(self, message: Message) -> Decision:
        try:
            decision = self._host.reported(self._launch, message, time.time())
        except REFUSALS["report"]:
            raise
        except Exception as error:
            self.failure = error
            return Decision.STOP
        return Decision.STOP if self._executor._cancelled else decision

    def suggest(self, name: str, domain: Any) -> Any:
        try:
            return self._host.suggested(self._launch, name, domain)
        except REFUSALS["suggest"]:
            raise
        except Exception as error:
            self.failure = error
            raise TrialEnded(Decision.STOP) from error
