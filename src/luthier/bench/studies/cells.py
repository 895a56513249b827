"""Makes cells: holds what several of them need, such as loaded tasks and tools, in one process."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError, LuthierError
from luthier.base.registry import check_own, load
from luthier.bench.data import checksum
from luthier.bench.studies.methods import run_cell
from luthier.bench.studies.plan import Method, Part, Plan
from luthier.bench.studies.store import Cell
from luthier.bench.studies.tasks import Task, open_task
from luthier.bench.studies.tools import Source, find
from luthier.bench.studies.views import View


class Maker:
    """Runs cells of a plan, one at a time.

    Args:
        plan: The study.
        folder: Its folder, where the references of the tasks lie.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._folder = plan, folder
        self._tasks = {task.label: task for task in plan.tasks}
        self._open: dict[str, Task] = {}
        self._views: dict[str, View] = {}
        self._sources: dict[str, Source] = {}
        self._at: tuple[str, int] | None = None

    def make(self, method: str, task: str, seed: int) -> Cell:
        """Run one cell.

        Args:
            method: Name of the method.
            task: Label of the task.
            seed: The seed.
        """
        one = self._open.get(task)
        if one is None:
            one = self._open[task] = open_task(self._tasks[task], self._folder)
            self._views[task] = View(one.benchmark, self._plan.budget_of(one.plan).clock)
        if self._at != (task, seed):  # methods share answers under one seed; beyond it they only fill the memory
            self._at = (task, seed)
            for view in self._views.values():
                view.forget()
        chosen = self._plan.method(method)
        return run_cell(self._plan, chosen, one, self._views[task], seed, self._source(chosen))

    def _source(self, method: Method) -> Source | None:
        if method.tool is None:
            return None
        if method.name not in self._sources:
            self._sources[method.name] = find(method.tool, method.options)
        return self._sources[method.name]

    def close(self) -> None:
        """Let go of the tools."""
        for source in self._sources.values():
            source.close()
        self._sources.clear()


def definition(method: Method) -> dict[str, Any]:
    """All that a method's results depend on; of a tool in a file the file's content too."""
    found = method.definition()
    file = (method.tool or "").rpartition(":")[0]
    if method.tool == "script":
        file = str(Path(str((method.options or {}).get("script", ""))).expanduser())
    if file.endswith(".py") or (method.tool == "script" and Path(file).is_file()):
        found["sha256"] = checksum(Path(file))
    return found


def usable(plan: Plan) -> tuple[dict[str, Mapping[str, str]], dict[str, str]]:
    """Methods that can run here with the versions that they depend on, and why each other one cannot.

    Raises:
        LuthierError: one cannot run, and the plan says that this is an error.
    """
    found: dict[str, Mapping[str, str]] = {}
    skipped: dict[str, str] = {}
    for method in plan.methods:
        try:
            found[method.name] = _versions(plan, method)
        except LuthierError as error:
            if plan.missing == "error":
                raise
            skipped[method.name] = f"{type(error).__name__}: {error}"
    return found, skipped


def _versions(plan: Plan, method: Method) -> Mapping[str, str]:
    if method.tool is None:
        for kind, part in (("searcher", method.searcher), ("scheduler", method.scheduler)):
            _check_part(kind, part)
        return {name: importlib.metadata.version(name) for name in ("luthier", "numpy", "scipy", "scikit-learn")}
    source = find(method.tool, method.options)
    try:
        why = source.missing()
        if why is not None:
            raise ArgumentError(f"study {plan.name!r}: method {method.name!r} cannot run here: {why}")
        return source.versions()
    finally:
        source.close()


def _check_part(kind: str, part: Part) -> None:
    name = part if isinstance(part, str) else str(part["name"])
    own = {} if isinstance(part, str) else {key: value for key, value in part.items() if key != "name"}
    check_own(kind, name, load(kind, name), own)
