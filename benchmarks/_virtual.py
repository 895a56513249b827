"""Other tools in the virtual time of our executor, so that clocks and curves are the same for all.

A tool is asked for a configuration whenever a worker is free, and after each report whether the trial goes on. Its
own simulator, delays and clock play no part.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _peers import Peer

from luthier.base.errors import UnsupportedError
from luthier.base.records import Configuration, Decision, Evaluation
from luthier.bench._base import BaseBenchmark
from luthier.bench.studies.tools import Told
from luthier.runtime.executors._base import End, Launch, Message, Setting
from luthier.runtime.executors.simulated import Simulated

#: Early stopping by other tools; the number is the resource of the first judgement.
EARLY = {
    f"{tool}{'' if grace == 1 else f'@{grace}'}": (tool, grace)
    for grace in (1, 3)
    for tool in ("optuna-tpe-hyperband", "syne-tune-asha", "syne-tune-cqr-asha")
}
PATIENCE = 600.0  # seconds that one answer may take
TRAININGS = 50  # that the budget is worth


class Metered(BaseBenchmark):
    """A benchmark that keeps the curves it has given, and counts the seconds that its answers took.

    Methods under one seed ask for many configurations in common.
    """

    def __init__(self, benchmark: BaseBenchmark) -> None:
        self._inner = benchmark
        self.space, self.fidelity, self.objectives = benchmark.space, benchmark.fidelity, benchmark.objectives
        self.card, self.bounds = benchmark.card, benchmark.bounds
        self.seconds = 0.0
        self._curves: dict[tuple[Configuration, float | None, int | None], list[tuple[float, Evaluation]]] = {}

    def forget(self) -> None:
        """Let go of the curves."""
        self._curves.clear()

    def curve(
        self, config: Mapping[str, Any], until: float | None = None, *, seed: int | None = 0
    ) -> list[tuple[float, Evaluation]]:
        """As the benchmark's own."""
        begin = time.process_time()
        key = (Configuration(config), until, seed)
        if key not in self._curves:
            self._curves[key] = self._inner.curve(config, until, seed=seed)
        self.seconds += time.process_time() - begin
        return self._curves[key]

    def _evaluate(self, configs: Any, resource: float | None, seed: int | None) -> list[Evaluation]:
        return self._inner._evaluate(configs, resource, seed)


class EarlyStopper(Peer):
    """Another tool that proposes configurations and may end trials early."""

    def __init__(self, name: str) -> None:
        tool, self._grace = EARLY[name]
        super().__init__(tool, patience=PATIENCE)

    def begin(self, benchmark: BaseBenchmark, seed: int) -> None:
        """Begin with a problem."""
        assert benchmark.fidelity is not None  # only such benchmarks are given
        self._high = benchmark.fidelity.high
        self.start(benchmark.problem, seed, TRAININGS, {"grace": self._grace})
        self._before = self.run.seconds

    @property
    def thinking(self) -> float:
        """Seconds that it has taken since it began."""
        return self.run.seconds - self._before

    def suggest(self) -> Configuration:
        """The next configuration."""
        return self.ask()[0]

    def report(self, launch: Launch, resource: float, value: float) -> bool:
        """Tell a value, to be minimised; whether the trial ends now."""
        done = resource >= self._high
        return self.run.tell(Told(launch.trial, launch.config, value, resource, done, False, 0.0))


class Outside:
    """The executor's host while another tool decides. Follows the incumbent by the rule of `Simulation.incumbents`.

    Args:
        benchmark: What is tuned; one objective.
        tool: Who decides.
        seconds: Virtual time; what would be reported later is never seen.

    Attributes:
        moments: Virtual time and configuration of each new incumbent.
        trials: Trials begun.
        reports: Reports made.
    """

    def __init__(self, benchmark: BaseBenchmark, tool: EarlyStopper, seconds: float) -> None:
        self._benchmark, self._tool, self._seconds = benchmark, tool, seconds
        [self._objective] = benchmark.objectives
        self._best = (float("inf"), float("inf"))
        self.moments: list[tuple[float, Configuration]] = []
        self.trials = self.reports = 0

    def run(self, workers: int) -> Simulated:
        """Tune; the executor with its trace."""
        executor = Simulated(self._benchmark)
        executor.open(Setting(lambda run: None, workers=workers), self)
        while executor.now() < self._seconds:
            for worker in list(executor.free()):
                launch = Launch(self.trials, 1, self._tool.suggest(), fidelity=self._benchmark.fidelity)
                executor.submit(launch, worker)
                self.trials += 1
            executor.step(self._seconds - executor.now())
        return executor

    def reported(self, launch: Launch, message: Message, now: float) -> Decision:
        """Pass a report on."""
        assert message.resource is not None  # the benchmark has a fidelity
        value = self._objective.sign * message.metrics[self._objective.name]
        self.reports += 1
        if (-message.resource, value) < self._best:
            self._best = (-message.resource, value)
            self.moments.append((now, launch.config))
        stop = self._tool.report(launch, message.resource, value)
        return Decision.STOP if stop else Decision.CONTINUE

    def suggested(self, launch: Launch, name: str, domain: Any) -> Any:
        """No program runs that could ask."""
        raise UnsupportedError("a table asks for no hyperparameters")

    def ended(self, launch: Launch, end: End, now: float) -> None:
        """The tool knows: it has ended the trial, or has seen its last report."""


def lock(name: str) -> None:
    """Until this process ends: two runs of one tool would lose each other's cells."""
    place = os.open(Path(tempfile.gettempdir(), f"luthier-{name}.lock"), os.O_CREAT | os.O_WRONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit(f"another run adds cells of {name}. Wait for it, or leave it out.") from None
