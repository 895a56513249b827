"""One worker process as the driver sees it: start, talk, limits, end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing import process as mp_process
from multiprocessing.connection import Connection, Pipe
from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]  # as multiprocessing does
from typing import IO, Any

from luthier.base.records import Status
from luthier.runtime.executors import _tree
from luthier.runtime.executors._base import End, Launch

#: A program that dies of these has a fault; any other signal came from outside.
_FAULTS = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP"})
_START = (
    "import sys; sys.path[:] = {path!r}; "
    "from luthier.runtime.executors._worker import main; main({descriptor}, {driver}, {mark!r})"
)


def main_module() -> dict[str, Any] | None:
    """How a worker finds the script that is being run, None in a session without one (notebook, `python -c`)."""
    module = sys.modules["__main__"]
    name = getattr(getattr(module, "__spec__", None), "name", None)
    path = getattr(module, "__file__", None)
    if name is None and (path is None or str(path).startswith("<")):  # `python < script.py` says "<stdin>"
        return None
    origin = mp_process.ORIGINAL_DIR  # type: ignore[attr-defined]
    shared: dict[str, Any] = {"sys_argv": sys.argv, "orig_dir": origin, "dir": os.getcwd()}
    if name is not None:
        return {**shared, "init_main_from_name": name}
    return {**shared, "init_main_from_path": os.path.normpath(os.path.join(origin or "", str(path)))}


class WorkerProcess:
    """A started worker.

    Args:
        name: Its name, such as "worker-0".
        mark: Mark of this process and all that it starts, beside the marks in `environment`.
        environment: What it is started with.
    """

    def __init__(self, name: str, mark: str, environment: Mapping[str, str]) -> None:
        self.name, self.mark = name, mark
        self.ready = False
        self.has_main = False
        self.launch: Launch | None = None
        self.born = self.begun = time.monotonic()
        self.overdue: tuple[float, End] | None = None  # when the run must be over, and how it then ended
        self.output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - unnamed: nothing to clean up
        ours, theirs = Pipe()
        self.connection: Connection = ours
        code = _START.format(path=sys.path, descriptor=theirs.fileno(), driver=os.getpid(), mark=mark)
        try:
            self.process = subprocess.Popen(
                [sys.executable, *_args_from_interpreter_flags(), "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=self.output,
                stderr=self.output,
                env=_tree.with_mark(dict(environment), mark),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            self.output.close()
            raise
        finally:
            theirs.close()
        # readable once the process is gone, even while a child of it still holds its end of the connection
        self.sentinel = os.pidfd_open(self.process.pid) if hasattr(os, "pidfd_open") else None

    def load(self, target: bytes, main: dict[str, Any] | None) -> None:
        """Send what to run."""
        self.has_main = self.has_main or main is not None
        self.send("load", {"main": main, "target": target})

    def start(self, launch: Launch, blob: bytes) -> None:
        """Send a run."""
        self.launch, self.begun, self.overdue = launch, time.monotonic(), None
        self.send("run", blob)

    def send(self, kind: str, content: Any = None) -> None:
        """Send something; a worker that is gone is found out by its death, not here."""
        with contextlib.suppress(OSError):
            self.connection.send((kind, content))

    def finish(self) -> None:
        """The run is over: free for the next."""
        self.launch, self.overdue = None, None

    @property
    def seconds(self) -> float:
        """Time since the run began; importing the program does not count."""
        return time.monotonic() - self.begun

    def dead(self) -> bool:
        """Whether the process has ended (it stays a zombie, so that its number is nobody else's)."""
        return self.process.returncode is not None or _tree.child_ended(self.process.pid)

    def kill(self) -> int:
        """End the process and everything it started. Returns its exit status, negative for a signal."""
        if self.process.returncode is None:
            _tree.kill(self.process.pid, self.mark)
            self.process.wait()
            _tree.kill(None, self.mark)  # what was being started while its parent died
        self._close()
        return int(self.process.returncode)

    def leave(self, deadline: float) -> None:
        """Let an idle process end by itself until the deadline (monotonic seconds), then end it."""
        while not self.dead() and time.monotonic() < deadline:
            time.sleep(0.002)
        self.kill()

    def _close(self) -> None:
        self.connection.close()
        self.output.close()
        if self.sentinel is not None:
            os.close(self.sentinel)
            self.sentinel = None

    def tail(self) -> str:
        """The last line that the worker wrote outside of a log."""
        size = self.output.seek(0, os.SEEK_END)
        self.output.seek(max(0, size - 4096))
        lines = self.output.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def end_of(code: int, seconds: float, worker: str) -> End:
    """How a run ended whose worker died without a word.

    Args:
        code: Exit status, negative for a signal.
        seconds: Time since the run began.
        worker: Name of the worker.
    """
    if code >= 0:
        return End(Status.FAILED, None, f"the program ended its process with exit code {code}", seconds)
    name = _tree.signal_name(-code)
    if name in _FAULTS:
        return End(Status.FAILED, None, f"the program was killed by {name} ({signal.strsignal(-code)})", seconds)
    why = " (by hand, or by the system for want of memory)" if name == "SIGKILL" else ""
    return End(Status.LOST, None, f"{worker} was killed from outside by {name}{why}", seconds)
