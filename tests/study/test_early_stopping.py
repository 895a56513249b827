"""Early stopping end to end: several objectives and constraints with every searcher, and programs that misbehave."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import luthier as lu
from luthier import bench
from luthier.base.errors import MetricError
from luthier.base.pareto import hypervolume
from luthier.base.records import Card, Evaluation, Status
from luthier.base.registry import load, names

SPACE = lu.Space(x=lu.Float(0.0, 1.0), y=lu.Float(0.0, 1.0))
EPOCHS = ("epoch", 1, 9)
PROMOTION = {"name": "asha", "type": "promotion"}


class TwoGoals(bench.BaseBenchmark):
    """Loss falls with x, size grows with it; y costs both, early epochs flatter it. `heat` must stay below a bound."""

    card = Card("two-goals", "made by this test", "none")
    fidelity = lu.Fidelity("epoch", 1, 9)
    objectives = (lu.Objective("loss"), lu.Objective("size"))
    space = SPACE

    def _evaluate(self, configs: Any, resource: float | None, seed: int | None) -> list[Evaluation]:
        spent = resource or 9.0
        return [
            Evaluation(
                {
                    "loss": (1 - c["x"]) ** 2 + c["y"] + 0.3 / spent,
                    "size": c["x"] ** 2 + c["y"],
                    "heat": c["x"] + c["y"],
                },
                spent,
            )
            for c in configs
        ]


def searchers() -> list[str]:
    return [n for n in names("searcher") if "multi_objective" in load("searcher", n).supports and n not in SLOW]


#: its own environment (botorch), or seconds an ask
SLOW = ("botorch",)


@pytest.mark.parametrize("searcher", searchers())
def test_several_objectives_and_a_constraint_under_asha(searcher: str) -> None:
    done = bench.simulate(
        TwoGoals(), searcher=searcher, scheduler="asha", workers=3, trials=24, constraints=[("heat", 1.2)], seed=2
    )
    front = done.result.pareto
    assert front
    assert all(t.metrics["heat"] <= 1.2 and t.resource == 9 for t in front)
    assert done.study.replay().differences == []
    assert {t.status for t in done.result.trials} == {Status.COMPLETED, Status.STOPPED}


@pytest.mark.parametrize("scheduler", [n for n in names("scheduler") if n not in ("schedule", "straight")])
def test_every_scheduler_with_several_objectives_and_a_constraint(scheduler: str) -> None:
    settings: dict[str, Any] = {"workers": 4, "seconds": 300.0, "constraints": [("heat", 1.2)], "seed": 1}
    done = bench.simulate(TwoGoals(), scheduler=scheduler, searcher="random", **settings)
    assert done.study.replay().differences == []
    assert not any(t.status is Status.PAUSED for t in done.result.trials)
    front = [[t.metrics["loss"], t.metrics["size"]] for t in done.result.pareto]
    assert front
    assert hypervolume(front, [2.4, 2.0]) > 0.6 * 2.4 * 2.0
    assert all(t.metrics["heat"] <= 1.2 for t in done.result.pareto)


def curve(run: lu.Run) -> None:
    for epoch in run.resources():
        run.report(loss=run.config["x"] + run.config["y"] / epoch)


def test_a_function_that_ignores_the_fidelity_is_told_at_once() -> None:
    study = lu.Study(SPACE, scheduler=PROMOTION, fidelity=EPOCHS, searcher="random")
    with pytest.raises(MetricError) as caught:
        study.run(lambda run: run.config["x"], trials=20)
    assert str(caught.value) == (
        "trial 0 may run up to epoch 1 and returned without having asked how far to run. Scheduler 'asha' decides by "
        "what is reported on the way. Loop over run.resources() and report in each step, or run up to run.until; or "
        "use scheduler='straight'."
    )
    assert len(study.trials) == 1
    plain = lu.Study(SPACE, fidelity=EPOCHS, searcher="random")
    assert plain.run(lambda run: run.config["x"], trials=3).counts == {"completed": 3}


def deaf(run: lu.Run) -> float:
    return float(run.config["x"])


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_so_it_is_where_it_runs_in_a_worker(executor: str, tmp_path: Path) -> None:
    with lu.Study(SPACE, scheduler="asha", fidelity=EPOCHS, searcher="random", folder=tmp_path / "s") as study:
        with pytest.raises(MetricError, match="returned without having asked how far to run"):
            study.run(deaf, trials=20, workers=2, executor=executor)
        assert len(study.trials) <= 4


def test_a_program_that_goes_on_beyond_its_grant_is_paused_there() -> None:
    def beyond(run: lu.Run) -> None:
        for epoch in range(int(run.after) + 1, 10):
            run.report(loss=run.config["x"] + 1 / epoch, epoch=2 * epoch if epoch < 5 else 9)

    study = lu.Study(SPACE, scheduler=PROMOTION, fidelity=EPOCHS, searcher="random")
    result = study.run(beyond, trials=6)
    first = [t.reports[0].resource for t in result.trials]
    assert first == [2] * 6, "granted epoch 1, it reported 2 first"
    # a rung that a report jumps over is left alone: 2 stands at the rung of 1
    assert {row["resource"] for row in study._session.engine.scheduler.rungs()} <= {1, 3, 9}
    assert study.replay().differences == []


def test_a_resource_that_goes_back_fails_the_trial_with_a_clear_word() -> None:
    def back(run: lu.Run) -> None:
        run.report(loss=0.5, epoch=3)
        run.report(loss=0.4, epoch=2)

    study = lu.Study(SPACE, scheduler="asha", fidelity=EPOCHS, searcher="random")
    study.run(back, trials=1)
    [trial] = study.trials
    assert trial.status is Status.FAILED
    assert trial.error is not None
    assert "epoch=2 after 3" in trial.error
    assert "never less than in the report before" in trial.error


def test_reports_after_the_stop_change_nothing() -> None:
    def stubborn(run: lu.Run) -> None:
        for epoch in range(1, 10):
            try:
                run.report(loss=run.config["x"], epoch=epoch)
            except BaseException as ended:
                if not isinstance(ended, lu.runtime.executors.TrialEnded):  # type: ignore[attr-defined]
                    raise

    study = lu.Study(SPACE, scheduler="asha", fidelity=EPOCHS, searcher="random")
    result = study.run(stubborn, trials=30)
    stopped = [t for t in result.trials if t.status is Status.STOPPED]
    assert stopped
    assert all(t.reports[-1].resource == t.resource and len(t.reports) == t.resource for t in stopped)
    assert study.replay().differences == []


def saving(run: lu.Run) -> None:
    spent = json.loads((run.checkpoint / "n").read_text()) if run.checkpoint else 0
    for epoch in run.resources():
        spent += 1
        with run.save() as folder:
            (folder / "n").write_text(json.dumps(spent))
        run.report(loss=run.config["x"] + 1 / epoch, trained=spent)


def test_a_paused_trial_whose_checkpoint_is_gone_starts_afresh(tmp_path: Path) -> None:
    study = lu.Study(SPACE, scheduler=PROMOTION, fidelity=EPOCHS, searcher="random", folder=tmp_path / "s")
    study.run(saving, trials=2)
    for folder in (tmp_path / "s" / "trials").glob("*/checkpoints"):
        shutil.rmtree(folder)
    result = study.run(saving, trials=9)
    best = max(result.trials, key=lambda t: t.resource or 0)
    assert best.resource == 9
    assert all(r.metrics["trained"] == r.resource for t in result.trials for r in t.reports)
    assert study.replay().differences == []


def test_a_full_resource_below_eta_leaves_nothing_to_stop() -> None:
    study = lu.Study(SPACE, scheduler="asha", fidelity=("epoch", 1, 2), searcher="random")
    result = study.run(curve, trials=12)
    assert all(t.resource in (1, 2) for t in result.trials)
    assert any(t.resource == 2 for t in result.trials)
