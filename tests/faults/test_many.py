"""Ten thousand trials, and sixty-four workers at once in simulated time: all end, and the log opens again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import luthier as lu
from luthier import bench
from luthier.base.records import Card, Evaluation

SPACE = lu.Space(x=lu.Float(0, 1), k=lu.Int(1, 9))
EPOCHS = lu.Fidelity("epoch", 1, 9)


class Curve(bench.BaseBenchmark):
    """A loss that falls with the epoch; slow configurations take nine times as long as quick ones."""

    card = Card("curve", "made here", "none")

    def __init__(self) -> None:
        self.space, self.fidelity, self.objectives = SPACE, EPOCHS, (lu.Objective("loss"),)

    def _evaluate(self, configs: Sequence[Any], resource: float | None, seed: int | None) -> list[Evaluation]:
        epochs = 9.0 if resource is None else resource
        return [Evaluation({"loss": (c["x"] - 0.3) ** 2 + 1 / epochs}, seconds=c["k"] * epochs) for c in configs]


def _check(place: Path, trials: int) -> None:
    with lu.Study.open(place) as study:
        assert [t.number for t in study.trials] == list(range(trials))
        assert all(t.status.ended and t.status is not lu.Status.LOST for t in study.trials)
        events = study.events()
        assert [e.seq for e in events] == list(range(1, len(events) + 1))


def _simulate(place: Path, trials: int, kind: str) -> int:
    scheduler = {"name": "asha", "type": kind}
    with lu.Study(SPACE, searcher="random", scheduler=scheduler, fidelity=EPOCHS, storage=str(place), seed=1) as study:
        study.run(Curve(), trials=trials, workers=64, executor="simulated")
        most = running = 0
        for event in study.events():
            running += (event.kind == "started") - (event.kind in ("paused", "stopped", "finished"))
            most = max(most, running)
        assert study.replay().differences == []
    _check(place, trials)
    return most


@pytest.mark.parametrize("kind", ["stopping", "promotion"])
def test_sixty_four_workers(tmp_path: Path, kind: str) -> None:
    assert _simulate(tmp_path / "study.db", 300, kind) == 64


@pytest.mark.slow
def test_ten_thousand_trials_on_sixty_four_workers(tmp_path: Path) -> None:
    assert _simulate(tmp_path / "study.db", 10_000, "stopping") == 64


@pytest.mark.slow
def test_ten_thousand_trials_in_one_process(tmp_path: Path) -> None:
    with lu.Study(SPACE, searcher="random", storage=str(tmp_path / "study.db")) as study:
        study.run(lambda run: run.config["x"], trials=10_000)
    _check(tmp_path / "study.db", 10_000)
