"""Digits: a small network trained for real on scikit-learn's images, epoch by epoch; the tasks are split seeds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from luthier.base.errors import ArgumentError
from luthier.base.records import Card, Configuration, Evaluation, Status
from luthier.base.registry import register
from luthier.base.seeds import check_seed
from luthier.bench import demo
from luthier.bench._base import BaseBenchmark, Config, Family
from luthier.bench._mlp import Recipe, State, initial, scores, train_epoch

_MEAN_OVER = 3  # trainings behind an answer without a seed
_STEP_SECONDS, _MULTIPLICATIONS_PER_SECOND = 1e-4, 5e9  # one thread of a desktop processor


class Digits(BaseBenchmark):
    """The demo's problem as a benchmark: it trains when asked.

    A seed decides weights, order, shifts and dropout; without one the answer is the mean over three trainings. The
    cost is an estimate from the number of steps and multiplications, so that answers stay pure.

    Args:
        split_seed: Which split of the images.

    Cost: 0.2 to 2 s for 81 epochs, see `luthier.bench.demo`.
    """

    trains = True

    def __init__(self, split_seed: int) -> None:
        self._split = demo.split(split_seed)
        self.space, self.fidelity, self.objectives = demo.space(), demo.FIDELITY, (demo.OBJECTIVE,)
        self.bounds = {"log_loss": (0.0, 40.0), "error": (0.0, 100.0)}
        self.card = Card(
            f"digits/{split_seed}",
            "scikit-learn's load_digits: test part of Optical Recognition of Handwritten Digits, UCI",
            "BSD-3-Clause (scikit-learn)",
            noise="generative",
            description="Validation log loss (nats) and error (percent) of a network with up to three layers.",
        )

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        assert resource is not None  # there is a fidelity
        return [self._curve(config, resource, seed)[-1][1] for config in configs]

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        seeds = range(_MEAN_OVER) if seed is None else (check_seed(seed),)
        how = demo.recipe(config)
        runs = [self._train(how, int(until), one)[1] for one in seeds]
        cost = _epoch_seconds(how, len(self._split.train))
        found: list[tuple[float, Evaluation]] = []
        for epoch, row in enumerate(zip(*runs, strict=True), 1):
            metrics = {name: float(np.mean([one[name] for one in row])) for name in row[0]}
            status = Status.COMPLETED if np.isfinite(metrics["log_loss"]) else Status.DIVERGED
            found.append((float(epoch), Evaluation(metrics, epoch * cost, status)))
        return found

    def _train(self, how: Recipe, epochs: int, seed: int) -> tuple[State, list[dict[str, float]]]:
        images, labels = demo.digits()
        train, validation, _ = self._split
        state = initial(how, images.shape[1], demo.CLASSES, seed)
        rows = []
        divergence_is_an_answer = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with demo.one_thread(), divergence_is_an_answer:
            for _ in range(epochs):
                train_epoch(state, how, images[train], labels[train], epochs=demo.EPOCHS, seed=seed)
                rows.append(dict(scores(state, how, images[validation], labels[validation])))
        return state, rows

    def evaluate_test(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """Error on the test images, of the network that `evaluate` would judge by the validation images."""
        spent, how = self._spent(resource), demo.recipe(self._check(config))
        assert spent is not None  # there is a fidelity
        images, labels = demo.digits()
        test = self._split.test
        seeds = range(_MEAN_OVER) if seed is None else (seed,)
        states = [self._train(how, int(spent), one)[0] for one in seeds]
        error = float(np.mean([scores(state, how, images[test], labels[test])["error"] for state in states]))
        return Evaluation({"test_error": error}, spent * _epoch_seconds(how, len(self._split.train)))


def _epoch_seconds(how: Recipe, images: int) -> float:
    sizes = [64, *[how.width] * how.depth, demo.CLASSES]
    weights = sum(a * b for a, b in pairwise(sizes))
    steps = -(-images // how.batch_size)
    return steps * _STEP_SECONDS + 3 * images * weights / _MULTIPLICATIONS_PER_SECOND


@register("benchmark")
class DigitsFamily(Family):
    """The demo's problem, with as many splits as there are seeds; needs no data."""

    lock = "sklearn"

    def tasks(self) -> Sequence[str]:
        """The first twenty split seeds; any other whole number is a task too."""
        return [str(seed) for seed in range(20)]

    def open(self, task: str) -> Digits:
        """One split."""
        if not task.isdecimal():
            raise ArgumentError(f"benchmark 'digits/{task}'. Allowed: digits/<split seed>, such as digits/0.")
        return Digits(int(task))
