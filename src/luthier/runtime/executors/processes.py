"""Runs trials in warm worker processes: isolated, limited, and gone when the study is."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, ExecutorError, UnsupportedError
from luthier.base.records import Status
from luthier.base.registry import register
from luthier.runtime.executors import _tree, _worker
from luthier.runtime.executors._away import with_log
from luthier.runtime.executors._base import End, Executor, Host, Launch, Setting
from luthier.runtime.executors._channel import reply
from luthier.runtime.executors._gpus import share, visible
from luthier.runtime.executors._process import WorkerProcess, end_of, main_module

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOOK = 0.25  # seconds between two looks at the limits: a compromise of delay and cost (2 ms a look)


@register("executor")
class Processes(Executor):
    """Worker processes "worker-0", "worker-1", ..., started when first needed and used for many trials.

    A worker is a fresh interpreter that imports the program (as `multiprocessing` does with "spawn"), in a session of
    its own. What a run prints goes to `run-<attempt>.log` in the trial's folder, at the level of file descriptors,
    so that C libraries and programs it starts are caught too. A run that exceeds a limit, is cancelled or dies takes
    everything it started with it, and its worker is replaced. When the driver dies, however it dies, the workers and
    all that they started are ended: by themselves, and by a guardian process for those that cannot.

    Threads: unless `Limits.cpus` or the environment says otherwise, each worker's numerical libraries get an equal
    share of the cores. Memory is looked at every 0.25 s, so a quick allocation can exceed its limit for as long.

    Args:
        start_seconds: Longest time that a worker may take to import the program. Default: a cold import of a large
            framework from a network disk takes a minute.
        grace_seconds: Longest time that a run may go on after it was told to stop or pause, before it is killed.
            Default: enough to store a large model.
    """

    def __init__(self, *, start_seconds: float = 300.0, grace_seconds: float = 60.0) -> None:
        check("start_seconds", start_seconds, above=0)
        check("grace_seconds", grace_seconds, at_least=0)
        self._start_seconds, self._grace = start_seconds, grace_seconds
        self.own = {"start_seconds": start_seconds, "grace_seconds": grace_seconds}
        self._setting: Setting | None = None
        self._host: Host | None = None
        self._target = b""
        self._mark = ""
        self._gpus: tuple[str, list[tuple[str, ...]]] = ("", [])
        self._workers: dict[str, WorkerProcess | None] = {}
        self._guardian: subprocess.Popen[bytes] | None = None
        self._over: list[tuple[Launch, End]] = []  # ended outside of `step`, still to be told
        self._looked = 0.0

    def open(self, setting: Setting, host: Host) -> None:
        """Get ready; processes are started by the first `submit` to each worker.

        Raises:
            ArgumentError: the target cannot be sent to another process.
            UnsupportedError: there are too few GPUs, or the system is none of the POSIX family.
            ExecutorError: it is open already, or a worker is importing a script that starts a study.
        """
        if _worker.booting:
            raise ExecutorError(
                "a worker process is importing this script, and the script starts a study while it is imported. "
                'Put what starts the study under: if __name__ == "__main__":'
            )
        if self._setting is not None:
            raise ExecutorError("executor 'processes': open() while it is open. Call close() first.")
        if os.name != "posix":
            raise UnsupportedError("executor 'processes' needs Linux, macOS or WSL. Use executor='inline' here.")
        limits = setting.limits
        count = setting.workers
        if limits.gpus:
            variable, devices = visible({**os.environ, **setting.labels})
            self._gpus = variable, share(devices, limits.gpus, setting.workers)
            count = len(self._gpus[1])
        else:
            self._gpus = "", []
        self._target = _pickled(setting.target)
        self._mark = uuid.uuid4().hex
        self._setting, self._host = setting, host
        self._workers = {f"worker-{i}": None for i in range(count)}
        self._over = []

    def free(self) -> Sequence[str]:
        """Workers without a run. Fewer than asked for when the GPUs do not go round."""
        return [name for name, worker in self._workers.items() if worker is None or worker.launch is None]

    def submit(self, launch: Launch, worker: str) -> None:
        """Send a run to a worker, and start its process if there is none."""
        if worker not in self.free():
            raise ExecutorError(f"executor 'processes': {worker!r} is not free. free() says which workers are.")
        blob = pickle.dumps(launch, protocol=pickle.HIGHEST_PROTOCOL)
        process = self._workers[worker]
        if process is not None and process.dead():  # killed from outside while idle: no trial has suffered
            process.kill()
            process = None
        if process is None:
            process = self._workers[worker] = self._start(worker)
        if b"__main__" in blob and not process.has_main:
            process.load(self._target, main_module())
        process.start(launch, blob)

    def step(self, timeout: float) -> None:
        """Wait for the workers, pass on what they say, and keep the limits."""
        if self._setting is None:
            raise ExecutorError("executor 'processes': step() before open(). Call open() first.")
        deadline = time.monotonic() + max(0.0, timeout)
        while not self._tell_over():
            left = deadline - time.monotonic()
            heard = self._listen(max(0.0, min(left, _LOOK)))
            self._keep_limits()
            if heard or (left <= 0 and not self._over):
                return

    def cancel(self, trial: int) -> None:
        """Kill the run and everything it started; the next `step` tells the host."""
        for worker in self._running():
            if worker.launch is not None and worker.launch.trial == trial:
                self._kill(worker, End(Status.STOPPED, seconds=worker.seconds))

    def close(self, *, kill: bool = False) -> None:
        """End the workers: idle ones leave by themselves (within 5 s), busy ones are killed."""
        living = [worker for worker in self._workers.values() if worker is not None]
        idle = [] if kill else [worker for worker in living if worker.launch is None and worker.ready]
        for worker in idle:
            worker.send("close")
        for worker in living:
            if worker not in idle:
                worker.kill()
        deadline = time.monotonic() + 5.0
        for worker in idle:
            worker.leave(deadline)
        self._dismiss_guardian()
        self._workers, self._over = {}, []
        self._setting = self._host = None

    # starting and ending --------------------------------------------------------------------------------

    def _start(self, name: str) -> WorkerProcess:
        try:
            if self._guardian is None or self._guardian.poll() is not None:
                self._guardian = _start_guardian(self._mark)
            worker = WorkerProcess(name, uuid.uuid4().hex, self._environment(name))
        except OSError as error:
            raise ExecutorError(
                f"executor 'processes': {name} could not be started: {error}. Allow more processes and open files "
                "(ulimit -u, -n), or ask for fewer workers."
            ) from error
        worker.load(self._target, main_module() if b"__main__" in self._target else None)
        return worker

    def _environment(self, name: str) -> dict[str, str]:
        assert self._setting is not None
        limits, labels = self._setting.limits, self._setting.labels
        environment = _tree.with_mark({**os.environ, **labels}, self._mark)
        if limits.cpus is not None:
            environment.update(dict.fromkeys(_THREADS, str(limits.cpus)))
        else:
            share_of_cores = str(max(1, _cores() // len(self._workers)))
            for variable in _THREADS:
                environment.setdefault(variable, share_of_cores)
        variable, shares = self._gpus
        if shares:
            environment[variable] = ",".join(shares[list(self._workers).index(name)])
        return environment

    def _kill(self, worker: WorkerProcess, end: End) -> None:
        """End a worker with its run, and note how the run ended."""
        launch = worker.launch
        worker.kill()
        self._workers[worker.name] = None
        if launch is not None:
            self._over.append((launch, self._with_log(launch, end)))

    def _dismiss_guardian(self) -> None:
        guardian, self._guardian = self._guardian, None
        if guardian is None:
            return
        _tree.kill(None, self._mark)  # the guardian's own work, done sooner: what earlier runs had left behind
        guardian.kill()
        guardian.wait()
        assert guardian.stdin is not None
        guardian.stdin.close()

    # what the workers say -------------------------------------------------------------------------------

    def _running(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers.values() if worker is not None]

    def _tell_over(self) -> bool:
        told = bool(self._over)
        while self._over and self._host is not None:
            launch, end = self._over.pop(0)
            self._host.ended(launch, end, self.now())
        return told

    def _listen(self, seconds: float) -> bool:
        """Wait for the workers and handle what they say; whether the host was told something."""
        by_sign: dict[Any, WorkerProcess] = {}
        for worker in self._running():
            by_sign[worker.connection] = worker
            if worker.sentinel is not None:
                by_sign[worker.sentinel] = worker
        if not by_sign:
            time.sleep(seconds)
            return False
        heard = False
        for sign in wait(list(by_sign), seconds):
            worker = by_sign[sign]
            if self._workers.get(worker.name) is not worker:
                continue  # killed by what an earlier message led to
            if isinstance(sign, Connection):
                heard = self._receive(worker) or heard
            elif not worker.connection.poll():  # its last words come first
                self._died(worker)
                heard = True
        return heard

    def _receive(self, worker: WorkerProcess) -> bool:
        try:
            kind, content = worker.connection.recv()
        except (EOFError, OSError):
            self._died(worker)
            return True
        except Exception as failure:  # what it sent cannot be rebuilt here
            self._kill(worker, End(Status.FAILED, None, f"unreadable message: {failure!r}", worker.seconds))
            return True
        if kind == "ready":
            worker.ready, worker.begun = True, time.monotonic()
            return False
        if kind == "broken":
            raise self._broken(worker, *content)
        launch, host = worker.launch, self._host
        if launch is None or host is None:
            return False
        if kind == "end":
            worker.finish()
            host.ended(launch, self._with_log(launch, content), self.now())
        else:
            self._answer(worker, launch, host, kind, content)
        return True

    def _answer(self, worker: WorkerProcess, launch: Launch, host: Host, kind: str, content: Any) -> None:
        found = reply(host, launch, kind, content, self.now())
        if found.end is not None:
            self._end_soon(worker, *found.end)
        worker.send(*found.words)

    def _end_soon(self, worker: WorkerProcess, status: Status, error: str | None) -> None:
        worker.overdue = time.monotonic() + self._grace, End(status, None, error, worker.seconds)

    def _died(self, worker: WorkerProcess) -> None:
        seconds, ready, tail = worker.seconds, worker.ready, worker.tail()
        launch, overdue = worker.launch, worker.overdue
        # a moment may lie between the closed connection and the end of the process, in which a kill would hide why
        for _ in range(200):
            if worker.dead():
                break
            time.sleep(0.005)
        hung = not worker.dead()
        code = worker.kill()
        self._workers[worker.name] = None
        end = end_of(code, seconds, worker.name)
        if not ready and end.status is not Status.LOST:
            text = end.error or ""
            raise self._broken(worker, "main", f"{text}; last line: {tail!r}" if tail else text)
        if launch is None:
            return
        if overdue is not None:
            end = overdue[1]
        elif hung:
            end = End(Status.FAILED, None, "the program closed the connection of its worker", seconds)
        self._over.append((launch, self._with_log(launch, end)))
        self._tell_over()

    def _broken(self, worker: WorkerProcess, stage: str, text: str) -> ExecutorError:
        worker.kill()
        self._workers[worker.name] = None
        script = getattr(sys.modules["__main__"], "__file__", None)
        if stage == "main" and b"__main__" in self._target:
            guard = 'if __name__ == "__main__":'
            known = (
                ""
                if guard in text
                else f". Workers import the script that they run: put what starts the study under: {guard}"
            )
            return ExecutorError(f"executor 'processes': a worker could not import {script}: {text}{known}")
        return ExecutorError(
            f"executor 'processes': a worker could not load the program: {text}. It must be importable: a function "
            "at the top level of a file. Or use executor='inline'."
        )

    # limits ---------------------------------------------------------------------------------------------

    def _keep_limits(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        assert self._setting is not None
        limits = self._setting.limits
        for worker in self._running():
            if not worker.ready and now - worker.born > self._start_seconds:
                raise self._broken(worker, "main", f"not ready after {self._start_seconds:g} s")
            if worker.sentinel is None and worker.dead():
                self._died(worker)
                continue
            if worker.launch is None or not worker.ready:
                continue
            if worker.overdue is not None and now > worker.overdue[0]:
                self._kill(worker, worker.overdue[1])
            elif limits.seconds is not None and worker.seconds > limits.seconds:
                error = f"time limit of {limits.seconds:g} s exceeded"
                self._kill(worker, End(Status.FAILED, None, error, worker.seconds))
            elif limits.memory_mb is not None:
                used = _tree.resident(worker.process.pid) / 1e6
                if used > limits.memory_mb:
                    error = f"memory limit of {limits.memory_mb:g} MB exceeded (used {used:.0f} MB)"
                    self._kill(worker, End(Status.FAILED, None, error, worker.seconds))

    def _with_log(self, launch: Launch, end: End) -> End:
        assert self._setting is not None
        return with_log(launch, end, self._setting.folder)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pickled(target: Any) -> bytes:
    advice = "Put it at the top level of a file, or use executor='inline'."
    name = getattr(target, "__qualname__", None) or repr(target)
    try:
        blob = pickle.dumps(target, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as failure:
        raise ArgumentError(
            f"executor 'processes': {name} cannot be sent to another process ({' '.join(str(failure).split())}). "
            f"Allowed: a function at the top level of a file; no lambda, no function inside a function. {advice}"
        ) from None
    if b"__main__" in blob and main_module() is None:
        raise ArgumentError(
            f"executor 'processes': {name} was defined in an interactive session, where another process cannot find "
            f"it. Allowed: a function at the top level of a file. {advice}"
        )
    return blob


def _start_guardian(mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", _tree.__file__, mark, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
