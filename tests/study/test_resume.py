"""The log is the state: opening it again, after whatever happened, goes on where it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, SpaceError
from luthier.study.replay import replay

SPACE = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), width=lu.Int(4, 64), act=lu.Choice("relu", "tanh"))


def make(folder: Path, **more: object) -> lu.Study:
    settings = {"searcher": "random", "scheduler": "asha", "fidelity": ("epoch", 1, 9), "seed": 1, **more}
    return lu.Study(SPACE, folder=folder, **settings)  # type: ignore[arg-type]


def curve(run: lu.Run) -> None:
    for epoch in run.resources():
        run.report(loss=abs(run.config["lr"] - 0.1) + 1 / (run.config["width"] * epoch), epoch=epoch)


@pytest.mark.parametrize("kind", ["stopping", "promotion"])
@pytest.mark.parametrize("searcher", ["random", "sobol", "cqr"])
def test_replay_finds_no_difference(tmp_path: Path, searcher: str, kind: str) -> None:
    study = make(tmp_path / "s", searcher=searcher, scheduler={"name": "asha", "type": kind})
    study.run(curve, trials=15)
    study.close()
    study = lu.Study.open(tmp_path / "s")
    study.run(curve, trials=25)
    found = study.replay()
    assert found.differences == []
    assert found.proposals >= 25
    assert found.decisions == sum(e.kind == "reported" for e in study.events())


def test_replay_notices_a_changed_log(tmp_path: Path) -> None:
    study = make(tmp_path / "s")
    study.run(curve, trials=12)
    events = study.events()
    asked = next(i for i, e in enumerate(events) if e.kind == "asked" and e.data["origin"] == "random")
    forged = dict(events[asked].data, config={**events[asked].data["config"], "lr": 0.5})
    events[asked] = events[asked]._replace(data=forged)
    assert len(replay(study._definition, events).differences) == 1
    stop = next(i for i, e in enumerate(events) if e.kind == "stopped" and e.seen is not None)
    del events[stop]
    assert len(replay(study._definition, events).differences) == 2


def test_the_same_seed_gives_the_same_log(tmp_path: Path) -> None:
    def log(name: str) -> list[object]:
        study = make(tmp_path / name, searcher="cqr")
        study.run(curve, trials=12)
        return [
            (e.kind, e.trial, e.seen, {k: v for k, v in e.data.items() if k in ("config", "metrics", "resource")})
            for e in study.events()
        ]

    assert log("a") == log("b")


def test_a_dead_drivers_trials_are_run_again(tmp_path: Path) -> None:
    study = make(tmp_path / "s", scheduler="straight")
    study.ask(2)
    study.tell(0, {"loss": 1.0})
    study._session.leave()  # as if the process had ended
    again = lu.Study.open(tmp_path / "s")
    result = again.run(curve, trials=4)
    assert result.counts == {"completed": 4}
    assert result.trials[1].runs == 2
    assert [e.kind for e in again.events() if e.trial == 1][:3] == ["asked", "started", "lost"]
    assert again.replay().differences == []


def test_a_decision_that_was_not_written_is_written_on_resume(tmp_path: Path) -> None:
    study = make(tmp_path / "s", defaults_first=False)
    for n, loss in enumerate([0.1, 0.2, 0.3]):
        study.ask()
        if n < 2:
            study.tell(n, {"loss": loss}, resource=1)
    store, row = study._session.storage, study._session.study
    from luthier.runtime.storage import Draft

    # the driver dies after the report and before the answer: three results, so the worst is to stop
    store.append(row, [Draft(0.0, "reported", 2, None, {"metrics": {"loss": 0.3}, "resource": 1})])
    study._session.leave()
    again = lu.Study.open(tmp_path / "s")
    [trial] = again.ask()
    assert trial.number != 2
    assert again.trials[2].status is lu.Status.STOPPED
    assert again.replay().differences == []


def test_losses_are_retried_and_then_given_up(tmp_path: Path) -> None:
    study = make(tmp_path / "s", scheduler="straight", retries=1)
    [trial] = study.ask()
    study.tell(0, status="lost")
    assert study.trials[0].status is lu.Status.WAITING
    [trial] = study.ask()
    assert (trial.number, trial.runs) == (0, 2)
    study.tell(0, status="lost")
    assert study.trials[0].status is lu.Status.LOST
    with pytest.raises(ArgumentError, match=r"trial 0 has ended \(lost\)"):
        study.tell(0, status="failed")  # nobody would heed it
    assert study.ask()[0].number == 1
    study.tell(0, {"loss": 0.5})  # a result counts, however late
    assert study.trials[0].status is lu.Status.COMPLETED


def test_a_paused_trial_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    worked: dict[int, list[float]] = {}

    def train(run: lu.Run) -> None:
        steps = 0
        if run.checkpoint is not None:
            steps = json.loads((run.checkpoint / "state.json").read_text())
        for epoch in run.resources():
            steps += 1
            assert steps == epoch, "the state is that of this very epoch"
            worked.setdefault(run.number, []).append(epoch)
            with run.save() as folder:
                (folder / "state.json").write_text(json.dumps(steps))
            run.report(loss=run.config["lr"] + 1 / epoch, epoch=epoch)

    study = make(tmp_path / "s", scheduler={"name": "asha", "type": "promotion"})
    result = study.run(train, trials=12)
    assert all(epochs == list(range(1, len(epochs) + 1)) for epochs in worked.values())
    assert max(len(epochs) for epochs in worked.values()) == 9
    assert {t.status for t in result.trials} == {lu.Status.COMPLETED, lu.Status.STOPPED}
    promoted = [t for t in result.trials if t.runs > 1]
    assert promoted
    assert study.replay().differences == []


def test_without_a_checkpoint_a_promoted_trial_starts_over_and_counts_once(tmp_path: Path) -> None:
    study = make(tmp_path / "s", scheduler={"name": "asha", "type": "promotion"})
    result = study.run(curve, trials=9)
    ended = [t for t in result.trials if t.resource == 9]
    assert ended
    rows = study.rungs()
    assert len({(r["bracket"], r["resource"], r["trial"]) for r in rows}) == len(rows)
    assert study.replay().differences == []


def test_opening_with_another_space_says_what_differs(tmp_path: Path) -> None:
    make(tmp_path / "s")
    other = lu.Space(lr=lu.Float(1e-4, 2.0, log=True), width=lu.Int(4, 64), act=lu.Choice("relu", "tanh"))
    with pytest.raises(SpaceError, match=r"study 's' in .* was made with another definition: .*lr.*2.*study\.widen"):
        lu.Study(other, searcher="random", scheduler="asha", fidelity=("epoch", 1, 9), seed=1, folder=tmp_path / "s")
    with pytest.raises(SpaceError, match="seed: 1 in the store, 2 here"):
        make(tmp_path / "s", seed=2)


def test_the_same_definition_goes_on(tmp_path: Path) -> None:
    make(tmp_path / "s").run(curve, trials=5)
    assert len(make(tmp_path / "s").run(curve, trials=7).trials) == 7


def test_widening_keeps_what_was_learnt(tmp_path: Path) -> None:
    study = make(tmp_path / "s", searcher="cqr")
    study.run(curve, trials=8)
    wider = lu.Space(
        lr=lu.Float(1e-5, 10.0, log=True),
        width=lu.Int(4, 128),
        act=lu.Choice("relu", "tanh", "gelu"),
        depth=lu.Int(1, 3),
    )
    study.widen(wider)
    study.run(curve, trials=16)
    assert study.space == wider
    assert all("depth" in t.config for t in study.trials[8:])
    assert lu.Study.open(tmp_path / "s").space == wider
    assert study.replay().differences == []
    with pytest.raises(SpaceError, match="lr"):
        study.widen(SPACE)


def test_define_by_run(tmp_path: Path) -> None:
    def train(run: lu.Run) -> float:
        lr = run.float("lr", 1e-4, 1.0, log=True)
        act = run.choice("act", "relu", "tanh")
        if act == "tanh":
            return lr + run.float("gain", 0.5, 2.0)
        return lr

    study = lu.Study(None, searcher="cqr", seed=0, folder=tmp_path / "s")
    study.run(train, trials=14)
    assert set(study.space.names) == {"lr", "act", "gain"}
    assert {frozenset(t.config) for t in study.trials} == {frozenset({"lr", "act"}), frozenset({"lr", "act", "gain"})}
    assert study.replay().differences == []
    result = lu.Study.open(tmp_path / "s").run(train, trials=18)
    assert result.counts == {"completed": 18}


def test_define_by_run_refuses_a_changed_domain() -> None:
    def train(run: lu.Run) -> float:
        return run.float("lr", 0.1, 1.0 + run.number)

    result = lu.Study(None, searcher="random", seed=0).run(train, trials=3)
    assert result.counts == {"completed": 1, "failed": 2}
    assert "hyperparameter 'lr'" in str(result.trials[1].error)


def test_ctrl_c_leaves_a_resumable_log(tmp_path: Path) -> None:
    def train(run: lu.Run) -> None:
        for epoch in run.resources():
            if run.number == 3 and run._launch.attempt == 1:
                raise KeyboardInterrupt
            run.report(loss=1 / epoch, epoch=epoch)

    study = make(tmp_path / "s", scheduler="straight")
    with pytest.raises(KeyboardInterrupt, match=r"saved up to its last report. Run your script again: it continues"):
        study.run(train, trials=6)
    assert study.trials[3].status is lu.Status.WAITING
    result = study.run(train, trials=6)
    assert result.counts == {"completed": 6}
    assert study.replay().differences == []


def test_two_drivers_that_take_over_from_a_dead_one_do_it_once(tmp_path: Path) -> None:
    from luthier.runtime.storage import Draft

    study = make(tmp_path / "s", scheduler="straight")
    study.ask()
    study._session.append([study._session.lose(0, "its driver died")])
    study.ask()  # run again: attempt 2
    store, row = study._session.storage, study._session.study
    store.append(row, [Draft(0.0, "lost", 0, None, {"error": "its driver died", "attempt": 1})])  # the other one's word
    study._session.sync()
    assert study.trials[0].status is lu.Status.RUNNING
    study.tell(0, {"loss": 1.0})
    assert study.trials[0].runs == 2
    assert study.ask()[0].number == 1


def test_trials_of_a_dead_driver_can_be_counted_before_anything_is_asked(tmp_path: Path) -> None:
    """A process that asks for two, and is gone without a word; one of them was its last try."""
    program = f"""
import os, luthier as lu
study = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", retries=1, folder={str(tmp_path / "s")!r})
study.ask(2)
study._session.append([study._session.lose(0, "as if it had died before")])
study.ask(1)
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    study = lu.Study.open(tmp_path / "s")
    assert study.recover() == 1
    assert [trial.status for trial in study.trials] == [lu.Status.LOST, lu.Status.WAITING]
    assert study.recover() == 1
    assert study.ask()[0].number == 1
    assert study.recover() == 0, "it is its own now"
