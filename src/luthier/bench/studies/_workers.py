"""Processes that make cells side by side; one that hangs or dies costs its cell and nothing else."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from luthier.bench.studies.plan import Plan
from luthier.bench.studies.store import Cell

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_START = 120.0  # seconds that a process may take until it is ready: importing on a busy machine
_WORKER = "luthier.bench.studies._worker"


class Job(NamedTuple):
    """A cell to be made."""

    method: str
    task: str
    seed: int
    horizon: float
    clock: str


class Process:
    """One process; it is started again after it was killed or died."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._folder = plan, folder
        self._process: subprocess.Popen[str] | None = None

    def make(self, job: Job) -> Cell:
        """One cell; a failed one when the process hangs longer than the plan's limit, or dies."""
        if self._process is None:
            self._process = self._start()
            first = {"plan": self._plan.to_json(), "folder": str(self._folder)}
            _, why = _asked(self._process, first, _START)
            if why:
                return self._failed(job, f"its process did not start: {why}")
        line, why = _asked(self._process, job._asdict(), self._plan.limit)
        return self._failed(job, why) if why else Cell.from_json(json.loads(line))

    def _failed(self, job: Job, why: str) -> Cell:
        self.kill()
        self._process = None
        return Cell(job.horizon, job.clock, error=why)

    def close(self) -> None:
        """Let it leave, or end it."""
        if self._process is not None:
            with suppress(OSError):
                assert self._process.stdin is not None  # a pipe was asked for
                self._process.stdin.close()
            try:
                self._process.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it and all it started, now."""
        if self._process is not None:
            _kill(self._process)
            self._process.wait()

    @staticmethod
    def _start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={**os.environ, **dict.fromkeys(_THREADS, "1")},
            start_new_session=True,  # so that all it starts can be ended with it
        )


def _asked(process: subprocess.Popen[str], message: Mapping[str, object], limit: float) -> tuple[str, str]:
    """The line that a process answers, or why there is none; after so many seconds it is ended."""
    assert process.stdin is not None  # pipes were asked for
    assert process.stdout is not None
    late = threading.Event()

    def end() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(limit, end)
    timer.daemon = True
    timer.start()
    line = ""
    try:
        with suppress(OSError):  # a broken pipe: it died, and there will be no line
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
    finally:
        timer.cancel()
    if line.endswith("\n"):
        return line, ""
    process.wait()
    return "", f"ended after {limit:g} s" if late.is_set() else f"its process died ({process.returncode})"


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def in_processes(
    plan: Plan, folder: Path, jobs: Sequence[Job], *, number: int, deadline: float
) -> Generator[tuple[Job, Cell]]:
    """Cells as they are done; leaving the loop ends what still runs.

    Args:
        plan: The study.
        folder: Its folder.
        jobs: What is to be made, in order.
        number: How many processes.
        deadline: Moment of `time.monotonic()` after which no cell is begun.
    """
    todo: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Job, Cell] | None] = queue.SimpleQueue()
    for job in [*jobs, *[None] * number]:
        todo.put(job)
    processes = [Process(plan, folder) for _ in range(number)]
    stopped = threading.Event()

    def work(process: Process) -> None:
        try:
            while not stopped.is_set() and time.monotonic() < deadline and (job := todo.get()) is not None:
                cell = process.make(job)
                if not stopped.is_set():
                    done.put((job, cell))
            process.close()
        finally:
            done.put(None)

    threads = [threading.Thread(target=work, args=(process,), daemon=True) for process in processes]
    for thread in threads:
        thread.start()
    try:
        left = number
        while left:
            found = done.get()
            if found is None:
                left -= 1
            else:
                yield found
    finally:
        stopped.set()
        for process in processes:
            process.kill()
        for thread in threads:
            thread.join(timeout=5.0)
