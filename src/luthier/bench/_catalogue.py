"""Names to benchmarks: "family/task", where the family is a file of `bench/families/` or an entry point."""

from __future__ import annotations

from typing import Any, cast

from luthier.base.errors import ArgumentError, LuthierError, did_you_mean
from luthier.base.records import Card
from luthier.base.registry import check_own, summary
from luthier.base.registry import load as load_class
from luthier.base.registry import names as registered
from luthier.bench._base import BaseBenchmark, Family
from luthier.bench._sets import BUNDLED
from luthier.bench.data import shipped


def load(name: str, **options: Any) -> BaseBenchmark:
    """Load a benchmark.

    Args:
        name: Its full name, such as "fcnet/protein_structure" or "yahpo/lcbench/3945"; `names()` lists them.
        **options: The family's own arguments.

    Raises:
        ArgumentError: the name is not known, or an option is not.
        DataMissing: a file has to be supplied; the message says which, in which layout, and where it comes from.
        ChecksumError: a file is not the one that the benchmark's card names.
        MissingExtra: a package is missing.
    """
    if not isinstance(name, str):
        raise ArgumentError(f"benchmark {name!r}. Allowed: a name such as 'fcnet/protein_structure'.")
    family, _, task = name.partition("/")
    known = family.replace("_", "-")
    if known not in registered("benchmark"):
        raise ArgumentError(f"benchmark {name!r} is not known. {did_you_mean(_shown(known), families())}")
    cls = load_class("benchmark", known)
    check_own("benchmark", _shown(known), cls, options)
    opened = cast(Family, cls(**options))
    if not task:
        raise ArgumentError(f"benchmark {name!r} names a family. {_example(_shown(known), opened)}")
    benchmark = opened.open(task)
    benchmark._origin = (name, dict(options))
    return benchmark


def names(prefix: str = "") -> list[str]:
    """Full names of all benchmarks that can be told without their data, and of those whose data is there.

    Args:
        prefix: Only names that begin so, such as "yahpo/lcbench/".
    """
    head = prefix.partition("/")[0]
    wanted = [f for f in families() if (f == head if "/" in prefix else f.startswith(head))]
    found = [f"{family}/{task}" for family in wanted for task in tasks_of(family)]
    return [name for name in found if name.startswith(prefix)]


def tasks_of(family: str) -> list[str]:
    """Tasks of a family, without its name."""
    return list(cast(Family, load_class("benchmark", family.replace("_", "-"))()).tasks())


def count() -> dict[str, int]:
    """How many benchmarks can be loaded here.

    Of tasks that share a folder in their names, such as yahpo's lcbench, one is tried for all.

    Returns:
        "own": those that need no file but the package's; "supplied": those that read the folder of LUTHIER_DATA.

    Cost: two seconds or so with much data.
    """
    found = {"own": 0, "supplied": 0}
    for family in families():
        groups: dict[str, list[str]] = {}
        for task in tasks_of(family):
            groups.setdefault(task.rpartition("/")[0] or task, []).append(task)
        for tasks in groups.values():
            try:
                card = load(f"{family}/{tasks[0]}").card
            except LuthierError:
                continue
            found["own" if _own(card) else "supplied"] += len(tasks)
    return found


def _own(card: Card) -> bool:
    """Whether every file of a card is the package's or scikit-learn's."""
    places = (shipped(""), shipped("generated"))
    return all(name in BUNDLED or any((place / name).is_file() for place in places) for name in card.checksum)


def survey() -> list[dict[str, Any]]:
    """Every family with what it has here.

    Returns:
        Rows with family, summary, tasks (how many can be told here), example, objectives, fidelity and how (of the
        example), and missing: what has to be supplied before anything of it answers, "" where nothing has.
    """
    rows = []
    for family in families():
        tasks = tasks_of(family)
        row: dict[str, Any] = {
            "family": family,
            "summary": summary("benchmark", family.replace("_", "-")),
            "tasks": len(tasks),
            "example": f"{family}/{tasks[0]}" if tasks else "",
            "objectives": "",
            "fidelity": "",
            "how": "",
            "missing": "" if tasks else "no task can be told without its data",
        }
        if tasks:
            try:
                row |= _described(load(row["example"]))
            except LuthierError as error:
                row["missing"] = str(error)
        rows.append(row)
    return rows


def _described(one: BaseBenchmark) -> dict[str, str]:
    axis = one.fidelity
    return {
        "objectives": ", ".join(f"{o.name} ({o.goal})" for o in one.objectives),
        "fidelity": "no fidelity" if axis is None else f"{axis.name} {axis.low:g} to {axis.high:g}",
        "how": "trains when asked" if one.trains else "answers at once",
    }


def check_task(family: str, task: str, tasks: Any) -> str:
    """The task itself, if the family has it.

    Raises:
        ArgumentError: it has not; with a suggestion.
    """
    if task not in tasks:
        raise ArgumentError(f"benchmark family {family!r} has no task {task!r}. {did_you_mean(task, tasks)}")
    return task


def families() -> list[str]:
    """All families, as they are written in names."""
    return [_shown(name) for name in registered("benchmark")]


def _shown(family: str) -> str:
    """Families are written as their tasks are, with underscores."""
    return family.replace("-", "_")


def _example(family: str, opened: Family) -> str:
    tasks = opened.tasks()
    return f"Give a task too, such as {family + '/' + tasks[0]!r}." if tasks else "It has no task here."


def _load_from(name: str, options: dict[str, Any]) -> BaseBenchmark:
    """For pickle."""
    return load(name, **options)
