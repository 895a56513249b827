"""Other optimisers in a study: an object that asks and is told.

A tool is a class with three methods. In a file of its own, which a study's TOML names by "hill.py:HillClimb":

    import numpy as np


    class HillClimb:
        def __init__(self, problem, *, seed, evaluations):
            self.space, self.rng, self.best = problem.space, np.random.default_rng(seed), None

        def ask(self):
            row = self.space.sample_unit(1, self.rng)
            if self.best is not None:
                row = self.space.perturb(self.space.encode([self.best.config])[0], self.rng)
            return self.space.decode(row)[0]

        def tell(self, told):
            if self.best is None or told.value <= self.best.value:
                self.best = told

and in the study:

    [methods.hill-climb]
    tool = "hill.py:HillClimb"

A tool that reads intermediate results sets `early = True`: then it is told every report, and ends a trial by
returning True. A tool that decides how far a trial runs returns `Ask(config, until=27)`.

Tools that come with luthier run in an environment of their own, built once with `luthier bench env create optuna`;
their names are in `OWN`: `tool = "optuna-tpe"`. One that needs another Python is a script, with its interpreter:

    [methods.mine]
    tool = "script"
    options = { script = "mine.py", python = "envs/mine/bin/python" }

What such a script looks like stands in `outside/scripts/_session.py`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from luthier.base.errors import ArgumentError, did_you_mean
from luthier.base.records import Configuration
from luthier.bench.studies.outside.catalogue import KINDS
from luthier.space.problem import Problem

GROUP = "luthier.tools"  # entry points of other packages


class Ask(NamedTuple):
    """What a tool wants to know.

    Args:
        config: A configuration of the space.
        until: Resource up to which the trial runs from nothing; None: all of it.
    """

    config: Mapping[str, Any]
    until: float | None = None


class Told(NamedTuple):
    """What a tool learns.

    Args:
        trial: Number of the `ask` that it answers, from 0.
        config: The configuration.
        value: The objective, to be minimised, finite. What failed, diverged or breaks a constraint has the 99th
            percentile of random configurations.
        resource: How far the trial had come, None without a fidelity.
        done: Whether the trial is over.
        failed: Whether `value` stands for a missing one.
        seconds: Virtual time.
    """

    trial: int
    config: Configuration
    value: float
    resource: float | None
    done: bool
    failed: bool
    seconds: float


class Tool(Protocol):
    """An optimiser for one run."""

    def ask(self) -> Mapping[str, Any] | Ask | None:
        """What to evaluate next; None: nothing until something more is told (and at the end: nothing any more)."""
        ...

    def tell(self, told: Told, /) -> bool | None:
        """Learn; a tool with `early = True` ends the trial by returning True."""
        ...


class Source(Protocol):
    """Where a tool's runs come from: a class in this process, or a program in an environment of its own.

    A source is made once in each process of a study, and makes a tool for each run. Its methods may take long: what
    `start` takes is counted as the tool's thinking.
    """

    def missing(self) -> str | None:
        """Why it cannot run here, with what to do; None if it can."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Packages that its results depend on."""
        ...

    def start(self, problem: Problem, *, seed: int, evaluations: float) -> Tool:
        """A tool for one run.

        Args:
            problem: Space, objectives (to be minimised as told), constraints and fidelity.
            seed: Decides its random draws.
            evaluations: Full-resource evaluations that the budget is worth, about.
        """
        ...

    def close(self) -> None:
        """Let go of what it holds: processes, files."""
        ...


class InProcess:
    """A class of this Python.

    Args:
        make: Called as `make(problem, seed=..., evaluations=..., **options)`.
        options: Its own arguments.
        packages: Packages whose versions are kept.
    """

    def __init__(self, make: Callable[..., Tool], options: Mapping[str, Any], packages: tuple[str, ...] = ()) -> None:
        self._make, self._options, self._packages = make, dict(options), packages

    def missing(self) -> str | None:
        """It is here."""
        return None

    def versions(self) -> Mapping[str, str]:
        """Of the packages named."""
        return {name: importlib.metadata.version(name) for name in self._packages}

    def start(self, problem: Problem, *, seed: int, evaluations: float) -> Tool:
        """A new object."""
        return self._make(problem, seed=seed, evaluations=evaluations, **self._options)

    def close(self) -> None:
        """Nothing is held."""


def _outside(name: str) -> Callable[..., Source]:
    def made(**options: Any) -> Source:
        from luthier.bench.studies.outside.client import Outside  # loads what keeps processes

        return Outside(name, KINDS[name], **options)

    return made


def _script(**options: Any) -> Source:
    from luthier.bench.studies.outside.client import script

    return script(**options)


#: Tools that come with luthier: name to what makes a `Source` from the tool's own arguments.
OWN: dict[str, Callable[..., Source]] = {**{name: _outside(name) for name in KINDS}, "script": _script}


def find(tool: str, options: Mapping[str, Any] | None = None) -> Source:
    """A source by its name in a study.

    Args:
        tool: "FILE.py:CLASS", "MODULE:CLASS", the name of one that comes with luthier, or of an entry point in the
            group "luthier.tools" (which names a tool's class, or a function that makes a `Source`).
        options: The tool's own arguments.

    Raises:
        ArgumentError: it cannot be found.
    """
    where, colon, name = tool.rpartition(":")
    if colon:
        return _source(tool, _named(tool, where, name), options)
    if tool in OWN:
        return _source(tool, OWN[tool], options)
    points = {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}
    if tool not in points:
        hint = did_you_mean(tool, [*OWN, *points]) if OWN or points else "None is known here."
        raise ArgumentError(f"tool {tool!r} is not known. {hint} Or name a class: 'FILE.py:CLASS'.")
    return _source(tool, points[tool].load(), options)


def _source(tool: str, found: Any, options: Mapping[str, Any] | None) -> Source:
    own = dict(options or {})
    if isinstance(found, type) and hasattr(found, "ask") and hasattr(found, "tell"):
        package = found.__module__.partition(".")[0]
        known = importlib.metadata.packages_distributions().get(package, [])
        return InProcess(found, own, tuple(known[:1]))
    if isinstance(found, type) and not hasattr(found, "start"):
        lacks = " and ".join(name for name in ("ask", "tell") if not hasattr(found, name))
        raise ArgumentError(
            f"tool {tool!r}: {found.__name__} lacks {lacks}. Allowed: a class with ask and tell, or one that makes "
            "tools (start). Add it."
        )
    if callable(found):
        try:
            source: Source = found(**own)
        except TypeError as error:
            raise ArgumentError(f"tool {tool!r}: options {own!r} do not fit: {error}.") from error
        return source
    raise ArgumentError(
        f"tool {tool!r} is {found!r}. Allowed: a class with ask and tell, or a function that makes a source of tools."
    )


def _named(tool: str, where: str, name: str) -> Any:
    try:
        module = _file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except (ImportError, OSError) as error:
        raise ArgumentError(
            f"tool {tool!r} cannot be imported ({error}). Allowed: 'FILE.py:CLASS' or 'MODULE:CLASS'. Look at the path."
        ) from error
    if not hasattr(module, name):
        raise ArgumentError(f"tool {tool!r}: no {name!r} there. {did_you_mean(name, vars(module))}")
    return getattr(module, name)


def _file(path: Path) -> Any:
    path = path.resolve()
    name = f"_luthier_tool_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise OSError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
