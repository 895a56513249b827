"""Processes that train cells: one line of JSON asks, one answers; one that takes too long is ended and replaced.

Run as `python -m luthier.bench._generate_workers NAME GRID`, this file is such a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import numpy as np

from luthier.base.errors import BenchmarkError, LuthierError
from luthier.base.records import Configuration, Status
from luthier.bench._planned import Cell

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_START_SECONDS = 120.0  # for imports and the data, on a busy machine


class Work(NamedTuple):
    """A cell: position of the configuration in the grid, and the seed."""

    config: int
    seed: int


class _Worker:
    """A process, what it is at, and until when it may take. What it says goes to a queue that all share.

    Args:
        name: Benchmark that trains.
        grid: Which of its grids.
        answers: Where a thread puts the lines that come; an empty one when the process has ended.
    """

    def __init__(self, name: str, grid: str, answers: SimpleQueue[tuple[_Worker, bytes]]) -> None:
        command = [sys.executable, "-m", "luthier.bench._generate_workers", name, grid]
        environment = {**os.environ, **_ONE_THREAD}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.work: Work | None = None
        self.deadline = 0.0
        self._answers = answers
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, work: Work, config: Configuration, seconds: float) -> None:
        """Give it a cell to train."""
        assert self.process.stdin is not None  # opened with a pipe
        line = json.dumps({"config": dict(config), "seed": work.seed}).encode() + b"\n"
        self.work, self.deadline = work, time.monotonic() + seconds
        with suppress(BrokenPipeError):  # it has ended: its reader says so
            self.process.stdin.write(line)
            self.process.stdin.flush()

    def end(self) -> None:
        """Kill it and close the pipes."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None  # opened with pipes
            with suppress(BrokenPipeError):
                pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None  # opened with a pipe
        for line in self.process.stdout:
            self._answers.put((self, line))
        self._answers.put((self, b""))


def run(
    name: str, grid: str, todo: Sequence[tuple[Work, Configuration]], shape: tuple[int, int], jobs: int, timeout: float
) -> Iterator[tuple[Work, Cell]]:
    """Train cells in processes of their own.

    Args:
        name: Benchmark that trains.
        grid: Which of its grids.
        todo: Cells with their configurations.
        shape: (fidelities, metrics) of a cell, for those that fail.
        jobs: Processes at once.
        timeout: Wall seconds that a cell may take.

    Yields:
        Cells as they come in.

    Raises:
        BenchmarkError: a process cannot be started, or says that the benchmark broke its contract.
    """
    waiting, workers = list(todo)[::-1], list[_Worker]()
    answers: SimpleQueue[tuple[_Worker, bytes]] = SimpleQueue()
    try:
        while waiting or any(worker.work for worker in workers):
            while waiting and len(workers) < jobs:
                workers.append(_started(_Worker(name, grid, answers), answers, name))
            for worker in workers:
                if waiting and worker.work is None:
                    worker.ask(*waiting.pop(), timeout)
            for worker, line in _heard(workers, answers):
                work, worker.work = worker.work, None
                assert work is not None  # only those at work are listened to
                cell = _cell(line, shape)
                if not line:
                    worker.end()
                    workers.remove(worker)
                yield work, cell
    finally:
        for worker in workers:
            worker.end()


def _started(worker: _Worker, answers: SimpleQueue[tuple[_Worker, bytes]], name: str) -> _Worker:
    """Wait until a process is ready, and keep what the others say meanwhile."""
    kept, end = [], time.monotonic() + _START_SECONDS
    while True:
        try:
            speaker, line = answers.get(timeout=max(0.0, end - time.monotonic()))
        except Empty:
            speaker, line = worker, b""
        if speaker is worker:
            break
        kept.append((speaker, line))
    for one in kept:
        answers.put(one)
    if line != b"ready\n":
        worker.end()
        raise BenchmarkError(f"benchmark {name!r}: a process to train in did not start. What it wrote is above.")
    return worker


def _heard(workers: Sequence[_Worker], answers: SimpleQueue[tuple[_Worker, bytes]]) -> list[tuple[_Worker, bytes]]:
    """The next answer, or those that are out of time or have ended, with an empty line."""
    busy = [worker for worker in workers if worker.work is not None]
    left = min(worker.deadline for worker in busy) - time.monotonic()
    try:
        speaker, line = answers.get(timeout=max(0.0, left))
    except Empty:
        return [(worker, b"") for worker in busy if worker.deadline <= time.monotonic()]
    return [(speaker, line)] if speaker in busy else []  # one that was ended has nothing more to say


def _cell(line: bytes, shape: tuple[int, int]) -> Cell:
    if not line:
        return Cell(np.full(shape, np.nan, dtype=np.float32), Status.FAILED)
    found: dict[str, Any] = json.loads(line)
    if "error" in found:
        raise BenchmarkError(found["error"])
    return Cell(np.array(found["values"], dtype=np.float32), Status(found["status"]))


def _serve(name: str, grid: str) -> None:
    """Answer until the asking side closes."""
    from luthier.bench._catalogue import load
    from luthier.bench.generation import recorded

    benchmark: Any = load(name)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        try:
            cell = recorded(benchmark, Configuration(asked["config"]), asked["seed"], grid)
            found: dict[str, Any] = {"status": cell.status.value, "values": cell.values.tolist()}
        except LuthierError as error:
            found = {"error": str(error)}
        answers.write(json.dumps(found).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2])
