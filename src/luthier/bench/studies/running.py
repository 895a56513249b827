"""Runs a study: every cell that is missing, in parallel, to be stopped and gone on with at any moment."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, did_you_mean
from luthier.bench.studies._workers import Job, in_processes
from luthier.bench.studies.cells import Maker, definition, usable
from luthier.bench.studies.plan import Plan
from luthier.bench.studies.store import Cell, Store, locked
from luthier.bench.studies.tasks import Task, open_tasks

PLAN = "plan.json"
SESSIONS = "sessions.jsonl"


class Progress(NamedTuple):
    """A cell that has just been made.

    Args:
        done: Cells made in this call.
        total: Cells that this call has to make.
        method: Its method.
        task: Its task.
        seed: Its seed.
        cell: What came out.
    """

    done: int
    total: int
    method: str
    task: str
    seed: int
    cell: Cell


@dataclass(frozen=True)
class Outcome:
    """What a call of `run` did.

    Args:
        made: Cells that it made.
        failed: Those of them that failed.
        missing: Cells of the plan that are still missing, of methods and tasks that can run here.
        skipped: Method or task to why it cannot run here.
        seconds: Wall time.
        broken: Method to how many of its cells failed, now or in an earlier call, and their usual error; of the
            methods, tasks and seeds that were chosen.
    """

    made: int
    failed: int
    missing: int
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    broken: dict[str, tuple[int, str]] = field(default_factory=dict)


def run(
    plan: Plan,
    folder: str | Path,
    *,
    jobs: int = 1,
    methods: Collection[str] = (),
    tasks: Collection[str] = (),
    seeds: Collection[int] = (),
    minutes: float = float("inf"),
    retry: bool = False,
    fresh: Collection[str] = (),
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Make the cells of a plan that its folder lacks.

    Cells are made seed by seed, so that after any time all methods have about the same seeds. A method, task or seed
    that is added to the plan costs its own cells and no other.

    Args:
        plan: The study.
        folder: Where its results lie; made if it is not there.
        jobs: Processes, each on one thread; 0 makes the cells in this process (a run that hangs is then not ended).
        methods: Only these methods; empty: all.
        tasks: Only these tasks, by label; empty: all.
        seeds: Only these seeds; empty: all.
        minutes: No cell is begun after so many.
        retry: Whether failed cells are made again, of the methods, tasks and seeds that are chosen.
        fresh: Methods whose cells are forgotten first: their code has changed.
        progress: Called after each cell.

    Raises:
        ArgumentError: an unknown method or task, no seed of the study, a method that is to be forgotten and is not
            chosen, or cells of a chosen method that were made under another setting.
        StorageError: another run holds the folder.
        LuthierError: a method or task cannot run here, and the plan does not say to skip it.
    """
    jobs = check("jobs", jobs, at_least=0, whole=True)
    home, begin = Path(folder), time.monotonic()
    _known(plan, methods, tasks, seeds, fresh)
    with locked(home):
        session = _session(plan, jobs)

        def named(method: str, task: str, seed: int) -> bool:
            given = ((method, methods), (task, tasks), (seed, seeds))
            return all(not among or one in among for one, among in given)

        opened, stores, skipped = _prepare(plan, home, methods=methods, fresh=fresh, retry=named if retry else None)
        every = [job for job in _order(plan, opened, list(stores)) if _lacks(stores, job)]
        chosen = [job for job in every if named(job.method, job.task, job.seed)]
        made = failed = 0
        try:
            with closing(_cells(plan, home, chosen, jobs, begin + 60 * minutes)) as cells:
                for job, cell in cells:
                    stores[job.method].add(job.task, job.seed, cell)
                    made, failed = made + 1, failed + (bool(cell.error) and not cell.unfit)
                    if progress is not None:
                        progress(Progress(made, len(chosen), job.method, job.task, job.seed, cell))
        finally:
            for store in stores.values():
                store.close()
            if made or not (home / SESSIONS).is_file():  # a call that made nothing leaves nothing behind
                _log(home, {**session, "load_after": _load(), "made": made, "failed": failed, "skipped": skipped})
        missing = sum(_lacks(stores, job) for job in every)
        broken = {name: found for name, store in stores.items() if (found := _broken(store, partial(named, name)))}
    return Outcome(made, failed, missing, skipped, time.monotonic() - begin, broken)


def _known(
    plan: Plan, methods: Collection[str], tasks: Collection[str], seeds: Collection[int], fresh: Collection[str]
) -> None:
    own, labels = [one.name for one in plan.methods], [task.label for task in plan.tasks]
    for kind, given, known in (("method", [*methods, *fresh], own), ("task", tasks, labels)):
        for name in given:
            if name not in known:
                raise ArgumentError(f"study {plan.name!r}: {kind} {name!r} is none of it. {did_you_mean(name, known)}")
    if seeds and not set(seeds) & set(plan.seeds):
        raise ArgumentError(
            f"study {plan.name!r}: seeds {_seeds(seeds)} are none of it. Allowed: of {_seeds(plan.seeds)}. Give "
            "others, or the study more of them."
        )
    left = [name for name in fresh if methods and name not in methods]
    if left:
        raise ArgumentError(
            f"study {plan.name!r}: cells of {left[0]!r} are to be forgotten, and it is not among the methods that are "
            f"run: {', '.join(methods)}. Allowed: one of these. Choose it too."
        )


def _seeds(seeds: Collection[int]) -> str:
    return f"{min(seeds)} to {max(seeds)}"


def _broken(store: Store, wanted: Callable[[str, int], bool]) -> tuple[int, str] | None:
    """How many cells of a method failed, and their usual error."""
    errors = Counter(c.error for key, c in store.cells.items() if c.error and not c.unfit and wanted(*key))
    return (errors.total(), errors.most_common(1)[0][0]) if errors else None


def _prepare(
    plan: Plan,
    home: Path,
    *,
    methods: Collection[str],
    fresh: Collection[str],
    retry: Callable[[str, str, int], bool] | None,
) -> tuple[dict[str, Task], dict[str, Store], dict[str, str]]:
    """Tasks and stores of what can run here, and why the rest cannot."""
    versions, skipped = usable(plan)
    opened, without = open_tasks(plan, home)
    stores = {name: Store(home, name) for name in versions}
    for name, store in stores.items():
        if methods and name not in methods:
            continue  # whether its cells fit is asked when it is run
        if name in fresh:
            store.forget()
        _begin(store, plan, opened, versions[name])
        if retry is not None:
            store.drop_failed(partial(retry, name))
    _keep_plan(home, plan)
    return opened, stores, {**skipped, **without}


def _lacks(stores: Mapping[str, Store], job: Job) -> bool:
    return (job.task, job.seed) not in stores[job.method].cells


def _begin(store: Store, plan: Plan, tasks: dict[str, Task], versions: Any) -> None:
    """Refuse cells that were made under another setting or budget."""
    store.begin(definition(plan.method(store.method)), plan.setting(), versions)
    for (label, seed), cell in store.cells.items():
        task = tasks.get(label)
        if task is None:
            continue
        wanted = task.horizon(plan), plan.budget_of(task.plan).clock
        if (cell.horizon, cell.clock) != wanted:
            raise ArgumentError(
                f"method {store.method!r}, task {label!r}, seed {seed}: its cell had the budget {cell.horizon:g} "
                f"({cell.clock}); the study says {wanted[0]:g} ({wanted[1]}). Allowed: the same. Run the method "
                f"afresh (--fresh {store.method}), or use another folder."
            )


def _order(plan: Plan, tasks: dict[str, Task], methods: Sequence[str]) -> Iterator[Job]:
    """Seed by seed; the methods of a task follow each other, as they share answers."""
    for seed in plan.seeds:
        for label, task in tasks.items():
            for method in methods:
                yield Job(method, label, seed, task.horizon(plan), plan.budget_of(task.plan).clock)


def _cells(plan: Plan, home: Path, jobs: Sequence[Job], number: int, deadline: float) -> Generator[tuple[Job, Cell]]:
    if number == 0:
        with closing(Maker(plan, home)) as maker:
            for job in jobs:
                if time.monotonic() > deadline:
                    return
                yield job, maker.make(job.method, job.task, job.seed)
        return
    with closing(in_processes(plan, home, jobs, number=min(number, len(jobs)), deadline=deadline)) as found:
        yield from found


def _keep_plan(home: Path, plan: Plan) -> None:
    part = home / f"{PLAN}.{os.getpid()}.part"
    part.write_text(json.dumps(plan.to_json(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(home / PLAN)


# provenance --------------------------------------------------------------------------------------------------


def _session(plan: Plan, jobs: int) -> dict[str, Any]:
    return {
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(Path(word).name if os.sep in word else word for word in sys.argv),  # no folders
        "plan": plan.hash,
        "question": plan.question_hash,
        "jobs": jobs,
        "threads": 1 if jobs else None,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("luthier", "numpy", "scipy")},
        "load_before": _load(),
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        if models:
            return models[0]
    return platform.processor() or platform.machine()


def _load() -> float | None:
    """Processes that wanted to run, on average over the last minute; None where the system does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _log(home: Path, session: dict[str, Any]) -> None:
    with (home / SESSIONS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(session, sort_keys=True) + "\n")
