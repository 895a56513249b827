"""A benchmark of luthier's as a program that a worker serves, inside the environment: plain dictionaries in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from luthier.base.records import Card, Evaluation
from luthier.bench._base import BaseBenchmark
from luthier.bench._catalogue import load


def open_benchmark(name: str, options: Mapping[str, Any]) -> Served:
    """What `worker.load` calls."""
    return Served(load(name, **options))


class Served:
    """A benchmark that speaks in what JSON can say.

    Args:
        benchmark: The benchmark.
    """

    def __init__(self, benchmark: BaseBenchmark) -> None:
        self._benchmark = benchmark

    def describe(self) -> dict[str, Any]:
        """Everything that is known before the first evaluation."""
        b = self._benchmark
        axis = b.fidelity
        return {
            "space": b.space.to_dict(),
            "fidelity": None if axis is None else [axis.name, axis.low, axis.high],
            "objectives": [[objective.name, objective.goal] for objective in b.objectives],
            "constraints": [[one.name, one.upper] for one in b.problem.constraints],
            "card": {field.name: getattr(b.card, field.name) for field in fields(Card)},
            "bounds": {name: list(pair) for name, pair in b.bounds.items()},
            "trains": b.trains,
            "continues": b.continues,
        }

    def evaluate(self, config: Mapping[str, Any], resource: float | None, seed: int | None) -> dict[str, Any]:
        """One configuration."""
        return _plain(self._benchmark.evaluate(config, resource=resource, seed=seed))

    def evaluate_batch(
        self, configs: Sequence[Mapping[str, Any]], resource: float | None, seed: int | None
    ) -> list[dict[str, Any]]:
        """Many configurations."""
        return [_plain(one) for one in self._benchmark.evaluate_batch(configs, resource=resource, seed=seed)]

    def evaluate_test(self, config: Mapping[str, Any], resource: float | None, seed: int | None) -> dict[str, Any]:
        """One configuration, on the test set."""
        return _plain(self._benchmark.evaluate_test(config, resource=resource, seed=seed))

    def curve(self, config: Mapping[str, Any], until: float, seed: int | None) -> list[tuple[float, dict[str, Any]]]:
        """Resource and answer of every step."""
        return [(step, _plain(one)) for step, one in self._benchmark.curve(config, until, seed=seed)]


def _plain(one: Evaluation) -> dict[str, Any]:
    return {
        "metrics": dict(one.metrics),
        "seconds": one.seconds,
        "status": one.status.value,
        "info": dict(one.info),
    }
