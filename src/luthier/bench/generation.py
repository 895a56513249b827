"""Making tables: every configuration of a grid is trained once per seed, and everything about it written down.

    generate("svm", "digits", grid="small", out="generated")

Finished cells go to a journal at once, so a run that was stopped goes on where it was. The measured qualities are a
function of the package versions alone; times are medians over repetitions on one thread.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, BenchmarkError
from luthier.base.records import Configuration, Status
from luthier.bench._base import BaseBenchmark
from luthier.bench._catalogue import load
from luthier.bench._generate_workers import Work, run
from luthier.bench._generated import FOLDER
from luthier.bench._planned import STATES, Cell, Plan, Recordable
from luthier.bench.data import VARIABLE, folder

SCHEMA = 1
REPEATS = 3
#: CPU seconds after which a cell is not measured again: a long fit evens out its own noise.
LONG_SECONDS = 0.25
_DIGITS = 10  # bits that a time keeps: to a thousandth, far below its noise; the rest would not compress
_PACKAGES = ("luthier", "numpy", "scipy", "scikit-learn", "xgboost", "xgboost-cpu")


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Args:
        done: Cells finished, those of earlier runs included; a cell is a configuration with a seed.
        cells: Cells in all.
        failed: Cells that ran out of time or crashed.
    """

    done: int
    cells: int
    failed: int


def generate(
    family: str,
    data: str,
    *,
    grid: str = "small",
    seeds: int = 3,
    jobs: int = 1,
    out: str | Path | None = None,
    timeout: float = 600.0,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Make a table of a benchmark that trains.

    Args:
        family: Family, such as "svm".
        data: Task of the family that trains, such as "digits" or the number of an OpenML task.
        grid: Which of the family's grids, "small" or "full".
        seeds: Repetitions, with seeds 0, 1, ...
        jobs: Processes that train; 0 trains in this process, where nothing is ended for taking too long.
        out: Folder to write to; None: where `load` looks for it, `generated` below the folder of LUTHIER_DATA.
        timeout: Wall seconds that one cell may take, all its subsamples and repetitions together; then it is recorded
            as failed.
        progress: Called after every cell.

    Returns:
        The table: `<family>_<data>_<grid>.npz`. One that is there already and has the same definition is kept.

    Raises:
        ArgumentError: arguments that do not fit, or a family that trains nothing.
        BenchmarkError: there is a journal or table of another definition, or a fit does not repeat itself.
    """
    seeds = check("seeds", seeds, at_least=1, whole=True)
    jobs = check("jobs", jobs, at_least=0, whole=True)
    check("timeout", timeout, above=0)
    name, benchmark = _opened(family, data)
    plan = benchmark.plan(grid)
    about = _about(name, grid, plan, seeds)
    path = _folder(out) / f"{name.replace('/', '_')}_{grid}.npz"
    if path.is_file():
        _same(path, _about_of(path), about)
        return path
    with _Journal(path.with_suffix(".jsonl"), about) as journal:
        wanted = [Work(i, seed) for i in range(len(plan.configs())) for seed in range(seeds)]
        todo = [work for work in wanted if work not in journal.cells]
        failed = sum(cell.status is Status.FAILED for cell in journal.cells.values())
        for work, cell in _cells(benchmark, plan, grid, todo, jobs, timeout):
            journal.add(work, cell)
            failed += cell.status is Status.FAILED
            if progress is not None:
                progress(Progress(len(journal.cells), len(wanted), failed))
        _write(path, benchmark, plan, journal.cells, {**about, "provenance": _provenance(timeout)})
    journal.path.unlink()
    return path


def estimate(family: str, data: str, *, grid: str = "small", seeds: int = 3) -> float:
    """CPU seconds that `generate` will take, within a factor of 2 or 3; arguments as there."""
    _, benchmark = _opened(family, data)
    each = [benchmark.expected_seconds(config, grid) for config in benchmark.plan(grid).configs()]
    return seeds * sum(max(one, min(REPEATS * one, LONG_SECONDS + one)) for one in each)


def _opened(family: str, data: str) -> tuple[str, Recordable]:
    name = f"{family.replace('-', '_')}/{data}"
    benchmark = load(name)
    if not hasattr(benchmark, "record"):
        raise ArgumentError(f"family={family!r}: {name!r} does not train what a table could record.")
    return name, cast(Recordable, benchmark)


def _cells(
    benchmark: Recordable, plan: Plan, grid: str, todo: Sequence[Work], jobs: int, timeout: float
) -> Iterable[tuple[Work, Cell]]:
    configs = plan.configs()
    if jobs:
        shape = (len(plan.fidelities), len(plan.metrics))
        yield from run(benchmark.name, grid, [(work, configs[work.config]) for work in todo], shape, jobs, timeout)
        return
    for work in todo:
        yield work, recorded(benchmark, configs[work.config], work.seed, grid)


def recorded(benchmark: Recordable, config: Configuration, seed: int, grid: str) -> Cell:
    """One cell, measured up to `REPEATS` times.

    Raises:
        BenchmarkError: the repetitions differ in more than their times.
    """
    plan = benchmark.plan(grid)
    timed = np.array([metric in plan.timed for metric in plan.metrics])
    began = time.process_time()
    runs = [benchmark.record(config, seed, grid)]
    while len(runs) < REPEATS and time.process_time() - began < LONG_SECONDS:
        runs.append(benchmark.record(config, seed, grid))
    values = np.array(runs[0].values)
    for again in runs[1:]:
        if not np.array_equal(again.values[:, ~timed], values[:, ~timed], equal_nan=True):
            raise BenchmarkError(
                f"benchmark {benchmark.name!r}: {dict(config)} with seed {seed} gives another answer each time."
            )
    values[:, timed] = np.median([one.values[:, timed] for one in runs], axis=0)
    return Cell(values, runs[0].status)


def _folder(out: str | Path | None) -> Path:
    base = folder()
    if out is None and base is None:
        raise ArgumentError(f"out=None while {VARIABLE} is not set. Set it to your data folder, or say where: out=...")
    place = Path(out) if out is not None else cast(Path, base) / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    return place


# what a table says of itself --------------------------------------------------------------------------------


def _about(name: str, grid: str, plan: Plan, seeds: int) -> dict[str, Any]:
    """The definition: what must agree for cells to belong together."""
    card = plan.about
    design: dict[str, Any] = {}
    if plan.design is not None:
        configs = [dict(config) for config in plan.design.configs]
        design["design"] = {**vars(plan.design), "configs": configs}
    return {
        **design,
        "schema": SCHEMA,
        "name": name,
        "grid": grid,
        "title": card.description.removesuffix(", trained when asked.").removesuffix("."),
        "source": card.source,
        "licence": card.licence,
        "data": dict(card.checksum),
        "lists": {hyperparameter: list(values) for hyperparameter, values in plan.lists.items()},
        "axes": list(plan.axes),
        "fidelities": [list(one) for one in plan.fidelities],
        "metrics": list(plan.metrics),
        "timed": list(plan.timed),
        "seeds": list(range(seeds)),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _provenance(timeout: float) -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return {
        "processor": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "threads": 1,
        "repeats": REPEATS,
        "repeated_below_seconds": LONG_SECONDS,
        "timeout_seconds": timeout,
        "seconds": "CPU time; wall time beside it",
    }


def _same(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuse to mix tables of different definitions."""
    differing = [key for key in wanted if found.get(key) != wanted[key]]
    if differing:
        key = differing[0]
        raise BenchmarkError(
            f"{path} was made with another {key}: {_short(found.get(key))}; now it is {_short(wanted[key])}. Move it "
            "away, or write to another folder with out=."
        )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _about_of(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return cast(dict[str, Any], json.loads(str(file["about"])))
    except (OSError, ValueError, KeyError) as error:
        raise BenchmarkError(f"{path} is no table that luthier generated ({error}). Move it away.") from error


# files ----------------------------------------------------------------------------------------------------


class _Journal:
    """Finished cells, a line each, behind a first line with the definition; a torn last line is passed over."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path, self.cells = path, dict[Work, Cell]()
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
        whole = [json.loads(line) for line in lines[:-1]]  # what comes after the last line end was torn off
        if whole:
            _same(path, whole[0], about)
        for entry in whole[1:]:
            cell = Cell(np.array(entry["values"], dtype=np.float32), Status(entry["status"]))
            self.cells[Work(entry["config"], entry["seed"])] = cell
        kept = b"".join(line + b"\n" for line in lines[:-1])
        path.write_bytes(kept or json.dumps(about).encode() + b"\n")

    def __enter__(self) -> _Journal:
        self._file = self.path.open("ab")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, work: Work, cell: Cell) -> None:
        """Write a cell down and hand it to the system."""
        entry = {**work._asdict(), "status": cell.status.value, "values": cell.values.tolist()}
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()
        self.cells[work] = cell


def _write(path: Path, benchmark: Recordable, plan: Plan, cells: dict[Work, Cell], about: dict[str, Any]) -> None:
    configs, seeds = plan.configs(), len(about["seeds"])
    values = np.empty((len(configs), seeds, len(plan.fidelities), len(plan.metrics)), dtype=np.float32)
    status = np.empty((len(configs), seeds), dtype=np.uint8)
    for work, cell in cells.items():
        values[work] = cell.values
        status[work] = STATES.index(cell.status)
    timed = [i for i, metric in enumerate(plan.metrics) if metric in plan.timed]
    values[..., timed] = _rounded(values[..., timed])
    fidelities = np.array(plan.fidelities, dtype=np.float64)
    if plan.design is not None:
        arrays: dict[str, NDArray[Any]] = {"values": values, "fidelities": fidelities, "status": status}
        about = {**about, "surrogate": _judged(benchmark, about, arrays)}
    fresh = path.with_suffix(".tmp.npz")
    np.savez_compressed(
        fresh,
        values=np.asfortranarray(values),  # a metric's column in one piece compresses better
        configs=np.array([[config[name] for name in plan.lists] for config in configs], dtype=np.float64),
        fidelities=fidelities,
        status=status,
        about=np.array(json.dumps(about)),
    )
    fresh.replace(path)


def _judged(benchmark: Recordable, about: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """How far predictions are off of what was not recorded."""
    from luthier.bench._designed import DesignTable, Task

    assert isinstance(benchmark, BaseBenchmark)
    assert benchmark.fidelity is not None  # designs are recorded along one
    task = Task(benchmark.space, benchmark.fidelity, benchmark.objectives[0])
    return DesignTable(task, benchmark.name, about, arrays, {}).cross_validated()


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    fraction, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.round(fraction * 2**_DIGITS) / 2**_DIGITS, exponent), dtype=np.float32)
