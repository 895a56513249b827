"""Schedulers within studies, where they broke once: ends of runs, grants, races, virtual time, definitions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import luthier as lu
from luthier import bench
from luthier.base.errors import ArgumentError
from luthier.base.records import Card, Evaluation, Event, Status

SPACE = lu.Space(x=lu.Float(0.0, 1.0), y=lu.Float(0.0, 1.0))


class Toy(bench.BaseBenchmark):
    """x + y / resource, at a cost that adds up."""

    card = Card("toy", "made by this test", "none")
    space, objectives = SPACE, (lu.Objective("loss"),)

    def __init__(self, low: float = 1, high: float = 9, cost: float = 1.0) -> None:
        self.fidelity, self.cost = lu.Fidelity("epoch", low, high), cost

    def _evaluate(self, configs: Sequence[Any], resource: float | None, seed: int | None) -> list[Evaluation]:
        spent = resource or self.fidelity.high
        return [Evaluation({"loss": c["x"] + c["y"] / spent}, self.cost * spent * (1 + c["y"])) for c in configs]


def resources(study: lu.Study) -> dict[float | None, int]:
    return dict(Counter(t.resource for t in study.trials))


@pytest.mark.parametrize("scheduler", ["bohb", "dehb", "pbt"])
def test_auto_by_mapping_is_auto_too(scheduler: str) -> None:
    """As the command line passes it on."""
    settings: dict[str, Any] = {"scheduler": {"name": scheduler}, "fidelity": ("epoch", 1, 9)}
    plain, mapped = lu.Study(SPACE, **settings), lu.Study(SPACE, searcher={"name": "auto"}, **settings)
    assert mapped.searcher_name == plain.searcher_name != "auto"


@pytest.mark.parametrize(
    "scheduler",
    [{"name": "asha", "type": "promotion"}, "hyperband", "one-epoch", {"name": "pbt", "population": 4, "every": 3}],
    ids=str,
)
def test_programs_that_report_every_second_epoch_get_to_the_end(scheduler: Any, tmp_path: Path) -> None:
    def train(run: lu.Run) -> None:
        for epoch in run.resources():
            if epoch % 2 == 0 or epoch in (1, 9):
                with run.save() as folder:
                    (folder / "w").write_text("1")
                run.report(loss=run.config["x"] + run.config["y"] / epoch, epoch=epoch)

    study = lu.Study(SPACE, searcher="random", scheduler=scheduler, fidelity=("epoch", 1, 9), folder=tmp_path / "s")
    study.run(train, trials=20)
    assert max(t.resource or 0 for t in study.trials) == 9
    assert study.replay().differences == []


@pytest.mark.parametrize("stop", [5, 8, 9, 10])
def test_a_run_that_ends_between_a_decision_and_its_starts_loses_no_promotion(stop: int) -> None:
    def results(stop: int) -> tuple[dict[float | None, int], list[str]]:
        study = lu.Study(SPACE, scheduler="sh", searcher="random", fidelity=("epoch", 1, 9), seed=1)
        paused = []

        def listen(study: lu.Study, event: Event) -> None:
            if event.kind == "paused":
                paused.append(event)
                if len(paused) == stop:
                    study.stop("enough")

        study.callbacks.append(listen)
        for _ in range(3):
            study.run(Toy(), executor="simulated", trials=9)
        return resources(study), study.replay().differences

    assert results(stop) == results(100)
    assert results(stop)[0][9] >= 1


@pytest.mark.parametrize(("first", "second"), [(9.1, 2.1), (10.1, 7.3), (33.3, 0.7)])
def test_virtual_seconds_are_up_when_a_study_goes_on(first: float, second: float, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"searcher": "random", "scheduler": "asha", "workers": 2}
    place = f"sqlite:///{tmp_path / 'study.db'}"
    bench.simulate(Toy(), **settings, seconds=first, storage=place).study.close()
    rest = bench.simulate(Toy(), **settings, seconds=second, storage=place)
    assert rest.seconds == pytest.approx(first + second)


def test_what_costs_nothing_never_ends_and_says_so() -> None:
    with pytest.raises(ArgumentError, match="cost"):
        bench.simulate(Toy(cost=0.0), searcher="random", seconds=10.0)


def test_a_study_that_begins_later_than_its_benchmark() -> None:
    toy = Toy()
    study = lu.Study(
        SPACE, searcher="random", scheduler={"name": "asha", "type": "promotion"}, fidelity=("epoch", 2, 9)
    )
    study.run(toy, executor="simulated", trials=8)
    assert {t.resource for t in study.trials} == {2, 6, 9}, "rungs at 2 and 6"
    for trial in study.trials:
        for report in trial.reports:
            assert report.metrics == toy.evaluate(trial.config, resource=report.resource).metrics


def test_populations_decide_under_fractions_too() -> None:
    class Parts(Toy):
        def __init__(self) -> None:
            self.fidelity, self.cost = lu.Fidelity("part", 0.1, 1.0), 1.0

    done = bench.simulate(Parts(), searcher="random", scheduler={"name": "pbt", "population": 6}, workers=3)
    assert any(t.parent is not None for t in done.result.trials)
    assert sum(t.status is Status.COMPLETED for t in done.result.trials) == 6


def test_pb2_learns_from_clones_that_break() -> None:
    class Breaking(Toy):
        def _evaluate(self, configs: Sequence[Any], resource: float | None, seed: int | None) -> list[Evaluation]:
            found = super()._evaluate(configs, resource, seed)
            broken = [c["x"] < 0.3 and (resource or 9) > 2 for c in configs]
            return [
                Evaluation({"loss": float("nan")}, one.seconds) if bad else one
                for one, bad in zip(found, broken, strict=True)
            ]

    done = bench.simulate(Breaking(), searcher="random", scheduler={"name": "pb2", "population": 8}, workers=4, seed=1)
    counts = done.result.counts
    assert counts["completed"] >= 4, counts
    assert counts.get("diverged", 0) <= 14, counts


def test_a_schedule_is_kept_with_its_study(tmp_path: Path) -> None:
    """What a file said when the study was made counts, and two drivers that began one segment do no harm."""

    def train(run: lu.Run) -> None:
        for epoch in run.resources():
            with run.save() as folder:
                (folder / "w").write_text("1")
            run.report(loss=run.config["x"] / epoch, epoch=epoch)

    made = lu.Study(
        SPACE, scheduler={"name": "pbt", "population": 3, "every": 3}, fidelity=("epoch", 1, 9), folder=tmp_path / "a"
    )
    made.run(train)
    file = tmp_path / "schedule.json"
    made.schedule().save(file)
    settings: dict[str, Any] = {"fidelity": ("epoch", 1, 9), "defaults_first": False}
    again = lu.Study(SPACE, scheduler={"name": "schedule", "segments": str(file)}, folder=tmp_path / "b", **settings)
    again.run(train)
    again.close()
    file.unlink()
    opened = lu.Study.open(tmp_path / "b")
    assert opened.replay().differences == []
    assert max(t.resource or 0 for t in opened.trials) == 9
    assert json.dumps(opened._definition.to_json()["scheduler"])
    pairs = {"name": "schedule", "segments": made.schedule().pairs()}
    for _ in range(2):
        lu.Study(SPACE, scheduler=pairs, folder=tmp_path / "c", **settings).close()
