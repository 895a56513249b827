"""Live workers kept for a while: each pair of benchmark and worker is started once, and asked many times."""

from __future__ import annotations

import json
import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from luthier.base.checks import check
from luthier.base.records import Evaluation
from luthier.bench._base import Config
from luthier.bench.isolation.client import IsolatedBenchmark, load
from luthier.runtime.executors._base import Limits


class Pool:
    """Isolated benchmarks, started when they are first asked for and kept until the pool is closed.

    Args:
        workers: Most worker processes of one benchmark.
        environment: As `load` says.
        limits: As `load` says.
        start_seconds: As `load` says; None: its default.
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        environment: Literal["own", "this"] = "own",
        limits: Limits | None = None,
        start_seconds: float = 60.0,
    ) -> None:
        workers = check("workers", workers, at_least=1, whole=True)
        check("environment", environment, one_of=("own", "this"))
        self._environment: Literal["own", "this"] = environment
        self._workers, self._limits, self._start_seconds = workers, limits, start_seconds
        self._live: dict[tuple[str, int], IsolatedBenchmark] = {}

    def benchmark(self, name: str, *, worker: int = 0, options: Mapping[str, Any] | None = None) -> IsolatedBenchmark:
        """The benchmark as one worker has it, always the same object.

        Args:
            name: Full name.
            worker: Which worker, from 0.
            options: The family's own arguments.

        Raises:
            ArgumentError: the pool has no such worker.
            LuthierError: what `load` raises.
        """
        worker = check("worker", worker, at_least=0, below=self._workers, whole=True)
        key = f"{name} {json.dumps(options or {}, sort_keys=True)}", worker
        if key not in self._live:
            self._live[key] = load(
                name,
                environment=self._environment,
                limits=self._limits,
                start_seconds=self._start_seconds,
                options=options,
            )
        return self._live[key]

    def evaluate_batch(
        self,
        name: str,
        configs: Sequence[Config],
        *,
        resource: float | None = None,
        seed: int | None = 0,
        options: Mapping[str, Any] | None = None,
    ) -> list[Evaluation]:
        """Evaluate configurations on all workers at once; the answers are in the order of the configurations."""
        places: queue.SimpleQueue[int] = queue.SimpleQueue()
        for place in range(self._workers):
            places.put(place)

        def one(config: Config) -> Evaluation:
            place = places.get()
            try:
                benchmark = self.benchmark(name, worker=place, options=options)
                return benchmark.evaluate(config, resource=resource, seed=seed)
            finally:
                places.put(place)

        with ThreadPoolExecutor(self._workers) as threads:
            return list(threads.map(one, configs))

    @property
    def starts(self) -> dict[tuple[str, int], list[float]]:
        """Seconds that the starts took, by benchmark and worker; more than one where workers died."""
        return {(name.partition(" ")[0], worker): list(one.starts) for (name, worker), one in self._live.items()}

    def close(self) -> None:
        """End all workers."""
        while self._live:
            self._live.popitem()[1].close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
