"""A study's TOML file: read, checked key by key, made a plan."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError, did_you_mean
from luthier.bench.studies._reading import Reader
from luthier.bench.studies.plan import (
    ANYTIME,
    CHECKPOINTS,
    PARTS,
    Budget,
    Machines,
    Method,
    Plan,
    Primary,
    TaskPlan,
)
from luthier.runtime.executors import Cluster
from luthier.runtime.executors.simulated import OVERHEADS

CLOCKS = ("evaluations", "seconds")
QUESTIONS = ("exploratory", "confirmatory")
MISSING = ("error", "skip")
SEEDS = 10  # of each task when nothing is said: the fewest for a claim on benchmarks that train
LIMIT = 3600.0  # seconds of one run: on a table it takes seconds
_PRESETS = Path(__file__).parent / "presets"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")


def presets() -> dict[str, str]:
    """Name of each preset to its sentence."""
    return {path.stem: read_plan(path).about for path in sorted(_PRESETS.glob("*.toml"))}


def load_plan(where: str | Path) -> Plan:
    """A plan from a TOML file, or a preset by its name.

    Args:
        where: A path that ends in ".toml", or a preset's name.

    Raises:
        ArgumentError: there is no such file or preset, or something in it is wrong.
    """
    path = Path(where)
    if path.suffix == ".toml":
        return read_plan(path)
    names = [one.stem for one in _PRESETS.glob("*.toml")]
    if str(where) not in names:
        hint = did_you_mean(str(where), names)
        raise ArgumentError(f"study {str(where)!r} is no preset. {hint} A file of your own ends in '.toml'.")
    return read_plan(_PRESETS / f"{where}.toml")


def read_plan(path: Path) -> Plan:
    """A plan from a TOML file.

    Raises:
        ArgumentError: it is not there, no TOML, or something in it is wrong.
    """
    where = f"study {path.name!r}"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"{where} cannot be read ({error.strerror}). Give the path of a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{where} is no TOML ({error}). Mend the line, or start from a preset.") from None
    return parse(table, where=where)


def parse(table: Mapping[str, Any], *, where: str = "study") -> Plan:
    """A plan from the content of a TOML file.

    Raises:
        ArgumentError: saying where, what was given, what is allowed and what to do.
    """
    read = Reader(where, table)
    name = read.text("name")
    methods = _methods(read)
    names = [method.name for method in methods]
    budget_table = Reader(f"{where}, [budget]", read.table("budget"))
    plan = Plan(
        name=name,
        about=read.text("about", ""),
        question=read.text("question", "exploratory", of=QUESTIONS),
        primary=_primary(where, read.table("primary", None), names),
        control=_one_of(where, "control", read.text("control", names[0]), names),
        methods=methods,
        tasks=_tasks(read),
        seeds=_seeds(read),
        machines=_machines(budget_table, read),
        checkpoints=_checkpoints(budget_table),
        budgets=_budgets(budget_table),
        budget=_budget(budget_table),
        pairs=_pairs(read, names),
        baselines=_baselines(read, names),
        missing=read.text("missing", "error", of=MISSING),
        limit=float(read.number("limit", LIMIT)),
    )
    read.done()
    if (plan.question == "confirmatory") != (plan.primary is not None):
        has = "without" if plan.primary is None else "with"
        raise ArgumentError(
            f"{where}: question = {plan.question!r} {has} [primary]. Allowed: a confirmatory study has one primary "
            "contrast, an exploratory one has none. Add [primary] with method and control, or change the question."
        )
    clocks = {plan.budget.clock, *(budget.clock for _, budget in plan.budgets)}
    if plan.machines.overhead != "ignore" and "evaluations" in clocks:
        raise ArgumentError(
            f"{budget_table.where}: overhead = {plan.machines.overhead!r} under the clock 'evaluations'. Allowed: "
            "'ignore' there, as seconds of thinking are no evaluations. Give clock = \"seconds\"."
        )
    return plan


def _methods(read: Reader) -> tuple[Method, ...]:
    tables = read.table("methods")
    if not tables:
        raise read.wrong("methods", "one method or more", 'Add [methods.random] with searcher = "random".')
    found = []
    for name, table in tables.items():
        one = Reader(f"{read.where}, [methods.{name}]", table)
        if not _NAME.fullmatch(name):
            raise ArgumentError(
                f"{read.where}: method {name!r}. Allowed: letters, digits and + . _ -, as it becomes a file's name. "
                "Rename it."
            )
        tool = one.text("tool", None)
        method = Method(
            name,
            one.take("searcher", _is_part, "a name, or a table with name", "auto"),
            one.take("scheduler", _is_part, "a name, or a table with name", "straight"),
            tool,
            dict(one.table("options", {})) if tool is not None else None,
            float(one.number("stretch", 1.0)),
        )
        one.done()
        if tool is not None and {"searcher", "scheduler"} & set(table):
            raise ArgumentError(
                f"{one.where}: a tool beside a searcher or scheduler. Allowed: one of both. Make two methods of them."
            )
        if method.stretch < 1:
            raise one.wrong("stretch", "a number from 1")
        found.append(method)
    return tuple(found)


def _is_part(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Mapping) and isinstance(value.get("name"), str))


def _tasks(read: Reader) -> tuple[TaskPlan, ...]:
    parts = Reader(f"{read.where}, [tasks]", read.table("tasks"))
    found: list[TaskPlan] = []
    for part in PARTS:
        families = Reader(f"{read.where}, [tasks.{part}]", parts.table(part, {}))
        for family, listed in families.entries().items():
            if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
                raise families.wrong(family, "a list of benchmarks, such as ['svm/digits']")
            found += [_task(f"{families.where} {family}", one, family, part) for one in listed]
    parts.done()
    if not any(task.part == "test" for task in found):
        raise ArgumentError(
            f"{parts.where}: no test tasks. Allowed: one or more; dev tasks give no verdict. "
            "Add [tasks.test] with family = [benchmarks]."
        )
    labels = [task.label for task in found]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ArgumentError(f"{parts.where}: task {twice!r} stands there twice. Allowed: once. Delete one of them.")
    return tuple(found)


def _task(where: str, given: Any, family: str, part: str) -> TaskPlan:
    if isinstance(given, str):
        return TaskPlan(given, family, part, {})
    one = Reader(where, given)
    task = TaskPlan(one.text("name"), family, part, dict(one.table("options", {})))
    one.done()
    return task


def _seeds(read: Reader) -> tuple[int, ...]:
    def whole(value: Any, least: int) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    def fine(value: Any) -> bool:
        if not isinstance(value, list):
            return whole(value, 1)
        return bool(value) and all(whole(one, 0) for one in value) and len(set(value)) == len(value)

    given = read.take("seeds", fine, "how many (10: 0 to 9), or a list of different whole numbers from 0", SEEDS)
    return tuple(range(given)) if isinstance(given, int) else tuple(given)


def _budget(read: Reader) -> Budget:
    evaluations, seconds = read.number("evaluations", None), read.number("seconds", None)
    clock = read.text("clock", "evaluations" if seconds is None else "seconds", of=CLOCKS)
    read.done()
    if (evaluations is None) == (seconds is None):
        raise ArgumentError(
            f"{read.where}: evaluations = {evaluations!r}, seconds = {seconds!r}. Allowed: one of both. "
            "Give evaluations = 100 (at the full resource), or seconds = 36000 (virtual)."
        )
    if seconds is not None and clock != "seconds":
        raise read.wrong("clock", "'seconds' beside seconds = ...", "Leave it out, or give evaluations.")
    return Budget(
        clock, None if evaluations is None else float(evaluations), None if seconds is None else float(seconds)
    )


def _machines(budget: Reader, read: Reader) -> Machines:
    def two(value: Any) -> bool:
        return (
            isinstance(value, list) and len(value) == 2 and all(isinstance(v, (int, float)) and v >= 0 for v in value)
        )

    overhead = budget.text("overhead", "ignore", of=OVERHEADS)
    fixed = budget.take("fixed", two, "two numbers from 0: seconds, and seconds for each run that has ended", [0, 0])
    workers = budget.number("workers", 1, whole=True)
    checkpoints = budget.take("resume", lambda value: isinstance(value, bool), "true or false", True)
    one = Reader(f"{read.where}, [cluster]", read.table("cluster", {}))
    known = inspect.signature(Cluster).parameters
    for key in one.entries():
        if key not in known or key == "seed":  # the seed of the run
            raise ArgumentError(f"{one.where}: key {key!r} is not known. {did_you_mean(key, set(known) - {'seed'})}")
    found = Machines(workers, overhead, (float(fixed[0]), float(fixed[1])), checkpoints, dict(one.entries()))
    try:
        found.build(0)
    except (ArgumentError, TypeError) as error:
        raise ArgumentError(f"{one.where}: {error}") from None
    return found


def _budgets(read: Reader) -> tuple[tuple[str, Budget], ...]:
    tables = read.table("tasks", {})
    return tuple((pattern, _budget(Reader(f"{read.where} tasks {pattern!r}", one))) for pattern, one in tables.items())


def _checkpoints(read: Reader) -> tuple[float, ...]:
    def fine(value: Any) -> bool:
        numbers = isinstance(value, list) and value and all(isinstance(v, (int, float)) and 0 < v <= 1 for v in value)
        return bool(numbers) and list(value) == sorted(set(value))

    return tuple(
        float(v) for v in read.take("checkpoints", fine, "rising shares of the budget in (0, 1]", list(CHECKPOINTS))
    )


def _primary(where: str, table: Mapping[str, Any] | None, names: Sequence[str]) -> Primary | None:
    if table is None:
        return None
    read = Reader(f"{where}, [primary]", table)
    ends = [_one_of(read.where, key, read.text(key), names) for key in ("method", "control")]

    def fine(value: Any) -> bool:
        return value == ANYTIME or (isinstance(value, (int, float)) and 0 < value <= 1)

    at = read.take("at", fine, "a share of the budget in (0, 1], or 'anytime'", 1.0)
    read.done()
    if ends[0] == ends[1]:
        raise ArgumentError(f"{read.where}: method and control are both {ends[0]!r}. Allowed: two methods. Change one.")
    return Primary(ends[0], ends[1], at if at == ANYTIME else float(at))


def _pairs(read: Reader, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    def fine(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(v, list) and len(v) == 2 for v in value)

    given = read.take("pairs", fine, "a list of [before, after], two methods each", [])
    return tuple((_one_of(read.where, "pairs", a, names), _one_of(read.where, "pairs", b, names)) for a, b in given)


def _baselines(read: Reader, names: Sequence[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    inner = Reader(f"{read.where}, [baselines]", read.table("baselines", {}))
    found = []
    for control, others in inner.entries().items():
        if not isinstance(others, list) or not others:
            raise inner.wrong(control, "a list of methods that are compared with it")
        known = tuple(_one_of(inner.where, control, other, names) for other in others)
        found.append((_one_of(inner.where, "the key", control, names), known))
    return tuple(found)


def _one_of(where: str, key: str, given: str, names: Sequence[str]) -> str:
    if given not in names:
        raise ArgumentError(
            f"{where}: {key} names {given!r}, which is no method of it. {did_you_mean(str(given), names)}"
        )
    return given
