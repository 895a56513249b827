"""Cells of the shrink benchmark, run by several processes that share a device; one JSON line is appended a cell."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cell:
    """One unit of work: what is done on which data with which seed.

    Args:
        kind: Name of the function that does it.
        task: "qnli", "stsb", "decoder".
        seed: Of data split, heads, training and search.
        option: What else tells it apart, such as a baseline's name.
    """

    kind: str
    task: str
    seed: int
    option: str = ""

    @property
    def key(self) -> str:
        """The name under which its line is found."""
        return "/".join((self.task, self.kind, self.option, str(self.seed)))


@dataclass
class Setting:
    """What all cells share.

    Args:
        device: Of torch.
        out: File of finished cells, a line each.
        scratch: Folder for weights that several cells need.
        options: Numbers and paths, by name.
    """

    device: str
    out: Path
    scratch: Path
    options: dict[str, Any] = field(default_factory=dict)

    def steps(self, name: str, cell: Cell | None = None) -> int:
        """A number of steps, scaled; the decoder may have its own."""
        own = f"{name}_lm" if cell is not None and cell.task == "decoder" else name
        return max(1, round(float(self.options.get("scale", 1.0)) * int(self.options.get(own, self.options[name]))))


def rows(path: Path) -> list[dict[str, Any]]:
    """Finished cells."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text().splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:  # the last line of a process that was killed
            continue
    return found


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone among all processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a line, whole."""
    with locked(path), path.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def run(cells: Sequence[Cell], setting: Setting, work: str, *, jobs: int, deadline: float) -> int:
    """Run the cells that have no line yet, in order; none is begun after the deadline.

    Args:
        cells: In the order of need.
        setting: Shared.
        work: Module whose `WORK` maps kinds to functions of (cell, setting) that give a mapping.
        jobs: Processes.
        deadline: Seconds from now.

    Returns:
        How many lines there are now.
    """
    done = {row["key"] for row in rows(setting.out) if not row.get("error")}
    due = [cell for cell in cells if cell.key not in done]
    ends = time.time() + deadline
    context = multiprocessing.get_context("spawn")
    place = context.Value("i", 0)
    given = ([asdict(cell) for cell in due], setting, work, ends)
    workers = [context.Process(target=_worker, args=(place, *given)) for _ in range(min(jobs, len(due)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(rows(setting.out))


def _worker(place: Any, due: list[dict[str, Any]], setting: Setting, work: str, ends: float) -> None:
    import torch
    import transformers

    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high" if setting.device == "cuda" else "highest")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    functions: dict[str, Callable[[Cell, Setting], dict[str, Any]]] = __import__(work).WORK
    while time.time() < ends:
        with place.get_lock():
            number, place.value = place.value, place.value + 1
        if number >= len(due):
            return
        cell = Cell(**due[number])
        begin = time.perf_counter()
        try:
            found = functions[cell.kind](cell, setting)
        except Exception as error:
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"[:500]}
        seconds = time.perf_counter() - begin
        append(setting.out, {"key": cell.key, **asdict(cell), "seconds": round(seconds, 2), **found})
        print(f"{cell.key}: {seconds:.0f} s", flush=True)
        if setting.device == "cuda":
            torch.cuda.empty_cache()
    sys.stdout.flush()


def environment(device: str) -> dict[str, str]:
    """Versions, and the device's name."""
    import platform

    import torch
    import transformers

    found = {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}
    name = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {os.cpu_count()} cores"
    return {**found, "device": name}
