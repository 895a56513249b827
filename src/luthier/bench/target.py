"""A benchmark as something to tune: a function of a run that reports what the benchmark answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from luthier.base.errors import ArgumentError, BenchmarkError
from luthier.base.records import Evaluation, Status
from luthier.bench._base import BaseBenchmark


@dataclass(frozen=True)
class BenchmarkTarget:
    """Reports a benchmark's answers, step by step where it has a fidelity. It can be pickled.

    Args:
        benchmark: The benchmark.
        seed: Which recorded repetition; None: the mean over them; "trial": the trial's own seed picks.
    """

    benchmark: BaseBenchmark
    seed: int | str | None = "trial"

    def __call__(self, run: Any) -> None:
        """Evaluate `run.config`.

        Raises:
            BenchmarkError: the benchmark says that this configuration failed.
        """
        seed = run.seed if isinstance(self.seed, str) else self.seed
        if self.benchmark.fidelity is None or run.until is None:
            run.report(_metrics(self.benchmark, self.benchmark.evaluate(run.config, seed=seed)))
            return
        curve = dict(self.benchmark.curve(run.config, run.until, seed=seed))
        for step in run.resources():
            run.report(_metrics(self.benchmark, curve[step]), resource=step)


def objective(benchmark: BaseBenchmark, *, seed: int | str | None = "trial") -> BenchmarkTarget:
    """A target function for `Study.run`.

    Args:
        benchmark: What to tune; give the study `benchmark.space`, `.objectives` and `.fidelity`.
        seed: Which recorded repetition; None: the mean over them; "trial": the trial's own seed picks.

    Returns:
        A function of a run that reports every resource step.

    Raises:
        ArgumentError: another text than "trial" as the seed.
    """
    if isinstance(seed, str) and seed != "trial":
        raise ArgumentError(f"seed={seed!r}. Allowed: a whole number, None for the mean, or 'trial'.")
    return BenchmarkTarget(benchmark, seed)


def _metrics(benchmark: BaseBenchmark, found: Evaluation) -> dict[str, float]:
    if found.status is Status.FAILED:
        why = found.info.get("error", "it records a failure of this configuration")
        raise BenchmarkError(f"benchmark {benchmark.name!r}: {why}.")
    return dict(found.metrics)
