"""Other tools beside ours: those that studies know (luthier.bench.studies.outside), asked one at a time.

Their environments are built by `luthier bench env create optuna` and so on; how their locks came about says
peers/lock.py. All time that is counted is measured inside the peer's process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import luthier as lu
from luthier.base.records import Configuration, Objective
from luthier.bench.isolation import environment
from luthier.bench.studies.outside.catalogue import KINDS, Kind
from luthier.bench.studies.outside.client import Process, Run, ToolError
from luthier.bench.studies.tools import Ask, Told
from luthier.space.problem import Problem

HERE = Path(__file__).with_name("peers")
PeerFailed = ToolError

#: Each with its evaluations: 100 at most, fewer where an ask takes longer than two seconds.
PEERS: dict[str, int] = {
    "optuna-tpe": 100,
    "optuna-gp": 100,
    "syne-tune-bore": 100,
    "syne-tune-cqr": 100,
    "syne-tune-bo": 100,
    "smac-rf": 100,
    "smac-gp": 50,
    "hebo": 50,
}


def python(name: str) -> str:
    """Interpreter of a peer's environment.

    Raises:
        BenchmarkError: it is not built; says how.
    """
    return environment.find(name).python


class Peer:
    """One tool's process, which may solve one problem after another, until `close`.

    Args:
        name: A tool of studies, or what `kind` is called.
        kind: A tool that is none of studies.
        patience: Seconds that an answer may take; None: any time.

    Raises:
        BenchmarkError: its environment is not built.
    """

    def __init__(self, name: str, kind: Kind | None = None, *, patience: float | None = None) -> None:
        self.kind = kind or KINDS[name]
        self._process = Process(name, self.kind, python=python(self.kind.environment), seconds=patience)
        self._run: Run | None = None
        self._asked = -1
        self.versions: dict[str, str] = {}

    @property
    def patience(self) -> float | None:
        """Seconds that an answer may take; None: any time."""
        return self._process.seconds

    @patience.setter
    def patience(self, seconds: float | None) -> None:
        self._process.seconds = seconds

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def new(self, space: lu.Space, seed: int, evaluations: int) -> None:
        """Begin with a problem; `evaluations` is how many will be made, for the tools that want to know."""
        self.start(Problem(space, (Objective("loss"),)), seed, evaluations)

    def start(self, problem: Problem, seed: int, evaluations: float, options: Mapping[str, Any] | None = None) -> None:
        """Begin with a problem that may have a fidelity."""
        self.versions, self._asked = self._process.versions(), -1
        self._run = Run(self._process, problem, seed=seed, evaluations=evaluations, options=options or {})

    @property
    def run(self) -> Run:
        """The run that was begun last."""
        assert self._run is not None  # it was begun
        return self._run

    def ask(self) -> tuple[Configuration, float]:
        """A configuration of the space, and the seconds that it took."""
        before, found = self.run.seconds, self.run.ask()
        if found is None or isinstance(found, Ask):
            raise PeerFailed(f"tool {self._process.name!r} has no more to propose")
        self._asked += 1
        self._config = found
        return found, self.run.seconds - before

    def tell(self, value: Any) -> float:
        """Give the value, or the values, of what was asked last; the seconds that it took."""
        before = self.run.seconds
        self.run.tell(Told(self._asked, self._config, value, None, True, False, 0.0))
        return self.run.seconds - before

    def preload(self, configs: Sequence[Mapping[str, Any]], values: Sequence[float]) -> None:
        """Give many observations at once."""
        self.run.preload(configs, values)
