"""Virtual time: hand-computed clocks, conservation, delays and luck, the same decisions as live, replay, refusals."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import luthier as lu
from luthier import bench
from luthier.base.errors import ArgumentError, BenchmarkError, UnsupportedError
from luthier.base.records import Card, Evaluation, Status
from luthier.base.registry import names
from luthier.runtime.executors import Cluster, Simulated

EPOCHS = lu.Fidelity("epoch", 1, 9)


class Toy(bench.BaseBenchmark):
    """Curves x + y / epoch that cost 1 + y seconds an epoch."""

    card = Card("toy", "made by this test", "none")

    def __init__(self, fidelity: lu.Fidelity | None = EPOCHS, *, nan_below: float = 0.0) -> None:
        self.space = lu.Space(x=lu.Float(0.0, 1.0), y=lu.Float(0.0, 1.0))
        self.fidelity, self.objectives, self.nan_below = fidelity, (lu.Objective("loss"),), nan_below
        self.asked: list[Any] = []

    def _evaluate(self, configs: Sequence[Any], resource: float | None, seed: int | None) -> list[Evaluation]:
        self.asked.append((resource, seed))
        spent = 1.0 if resource is None else resource
        return [self._one(c, spent) for c in configs]

    def _one(self, c: Any, spent: float) -> Evaluation:
        loss = math.nan if c["x"] < self.nan_below and spent > 2 else c["x"] + c["y"] / spent
        return Evaluation({"loss": loss, "size": c["y"], "error": 1 - c["x"]}, (1 + c["y"]) * spent)


def digest(study: lu.Study) -> str:
    rows = [(e.seq, e.time, e.kind, e.trial, e.seen, {**e.data, "driver": ""}) for e in study.events()]
    return hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest()


def conserved(simulation: bench.Simulation, workers: int) -> None:
    """Runs fill their workers without overlap, and busy + idle is workers x makespan."""
    makespan = simulation.seconds
    busy = 0.0
    for worker in {stint.worker for stint in simulation.executor.trace}:
        stints = sorted((s for s in simulation.executor.trace if s.worker == worker), key=lambda s: s.start)
        at = 0.0
        for stint in stints:
            assert stint.start >= at - 1e-9
            at = stint.end
            busy += stint.end - stint.start
        assert at <= makespan + 1e-9
    assert simulation.executor.utilisation * makespan * workers == pytest.approx(busy)
    started = sum(e.kind == "started" for e in simulation.study.events())
    assert len(simulation.executor.trace) == started, "a run that was started never ended"
    assert not [t for t in simulation.result.trials if not t.status.ended]


def test_the_clock_of_two_workers_by_hand() -> None:
    # 1 second an epoch for x.y = (.5, 0), 2 for y = 1: worker-0 needs 3 s, worker-1 6 s, then worker-0 again 3 s
    first = [{"x": 0.5, "y": 0.0}, {"x": 0.2, "y": 1.0}, {"x": 0.3, "y": 0.0}]
    toy = Toy(lu.Fidelity("epoch", 1, 3))
    done = bench.simulate(toy, searcher="random", workers=2, trials=3, first=first, defaults_first=False)
    reports = [(e.time, e.trial, e.data["resource"]) for e in done.study.events() if e.kind == "reported"]
    assert reports == [
        (1, 0, 1),
        (2, 1, 1), (2, 0, 2),  # at one moment, in the order in which they were decided
        (3, 0, 3),
        (4, 1, 2), (4, 2, 1),
        (5, 2, 2),
        (6, 1, 3), (6, 2, 3),
    ]  # fmt: skip
    assert [(s.worker, s.trial, s.start, s.end) for s in done.executor.trace] == [
        ("worker-0", 0, 0, 3),
        ("worker-1", 1, 0, 6),
        ("worker-0", 2, 3, 6),
    ]
    assert done.seconds == 6
    assert done.executor.utilisation == 1.0
    conserved(done, 2)


def test_delays_speeds_and_a_pause_by_hand() -> None:
    cluster = Cluster(start_seconds=10, report_seconds=0.5, stop_seconds=2, speeds=(2.0,))
    how = {"name": "asha", "type": "promotion"}
    toy = Toy(lu.Fidelity("epoch", 1, 3))
    first = [{"x": 0.1, "y": 0.0}, {"x": 0.5, "y": 0.0}, {"x": 0.6, "y": 0.0}]
    settings: dict[str, Any] = {"searcher": "random", "scheduler": how, "workers": 1, "trials": 3, "first": first}
    done = bench.simulate(toy, **settings, defaults_first=False, executor=Simulated(cluster=cluster))
    # each trial: 10 to start, 0.5 for its epoch, 2 to pause; the best goes on: 10, two epochs, a report between
    assert [(s.trial, s.start, s.end) for s in done.executor.trace] == [
        (0, 0, 12.5),
        (1, 12.5, 25.0),
        (2, 25.0, 37.5),
        (0, 37.5, 37.5 + 10 + 0.5 + 0.5 + 0.5),
    ]
    fresh = bench.simulate(toy, **settings, defaults_first=False, executor=Simulated(checkpoints=False))
    again = [(e.time, e.data["resource"]) for e in fresh.study.events() if e.kind == "reported" and e.trial == 0]
    assert again == [(1, 1), (4, 1), (5, 2), (6, 3)], "without a checkpoint it pays again"
    assert fresh.result.best.number == 0


@pytest.mark.parametrize("scheduler", [n for n in names("scheduler") if n != "schedule"])
def test_conservation_and_replay_under_every_scheduler(scheduler: str) -> None:
    cluster = Cluster(0.3, 0.01, 0.2, straggle=0.5, crash=0.05, lose=0.05, speeds=(1.0, 0.5, 2.0), seed=3)
    done = bench.simulate(
        Toy(nan_below=0.05),
        searcher="random",
        scheduler=scheduler,
        workers=5,
        trials=40,
        executor=Simulated(cluster=cluster),
    )
    conserved(done, 5)
    replay = done.study.replay()
    assert replay.differences == []
    assert replay.proposals > 10
    assert {t.status for t in done.result.trials} >= {Status.COMPLETED, Status.DIVERGED}
    assert any(e.kind == "lost" for e in done.study.events()), "the machines were too healthy"


def test_one_worker_is_the_sequential_run() -> None:
    toy = Toy()
    done = bench.simulate(toy, searcher="cqr", scheduler="asha", workers=1, trials=25, seed=4)
    study = lu.Study(toy.space, "loss", searcher="cqr", scheduler="asha", fidelity=EPOCHS, name="toy", seed=4)
    study.run(bench.objective(toy, seed=0), trials=25)
    told = [[(e.kind, e.trial, e.seen, e.data.get("metrics")) for e in s.events() if e.kind != "begun"]
            for s in (done.study, study)]  # fmt: skip
    assert told[0] == told[1]
    assert done.seconds == pytest.approx(sum(stint.end - stint.start for stint in done.executor.trace))
    assert done.executor.utilisation == pytest.approx(1.0)


def test_the_seconds_are_exact() -> None:
    done = bench.simulate(Toy(), searcher="random", scheduler="asha", workers=3, seconds=50.0)
    assert done.seconds == 50.0
    assert max(e.time for e in done.study.events()) == 50.0
    assert done.result.reason == "time is up"
    conserved(done, 3)
    longer = bench.simulate(Toy(), searcher="random", scheduler="asha", workers=3, seconds=80.0)
    early = [(e.time, e.kind, e.trial) for e in longer.study.events() if e.time < 50 and e.kind != "begun"]
    assert early == [(e.time, e.kind, e.trial) for e in done.study.events() if e.time < 50 and e.kind != "begun"]


def test_a_simulated_study_is_resumed_where_its_clock_stood(tmp_path: Any) -> None:
    place = f"sqlite:///{tmp_path / 'study.db'}"
    settings: dict[str, Any] = {"searcher": "random", "scheduler": "asha", "workers": 2, "storage": place}
    half = bench.simulate(Toy(), **settings, trials=15)
    stood = half.seconds
    half.study.close()
    rest = bench.simulate(Toy(), **settings, trials=30)
    assert len(rest.result.trials) == 30
    times = [e.time for e in rest.study.events()]
    assert times == sorted(times)
    assert min(s.start for s in rest.executor.trace) == stood
    assert rest.study.replay().differences == []


def test_luck_hangs_on_trial_and_attempt_alone() -> None:
    cluster = Cluster(straggle=1.0, seed=7)
    many, few = (
        bench.simulate(Toy(), searcher="random", workers=w, trials=12, executor=Simulated(cluster=cluster))
        for w in (1, 6)
    )
    spent = [{s.trial: round(s.end - s.start, 9) for s in one.executor.trace} for one in (many, few)]
    assert spent[0] == spent[1]
    paces = [spent[0][t.number] / (9 * (1 + t.config["y"])) for t in few.result.trials]
    assert len({round(p, 6) for p in paces}) == 12


def test_crashes_and_losses_come_as_often_as_they_should() -> None:
    cluster = Cluster(crash=0.2, lose=0.3)
    done = bench.simulate(Toy(), searcher="random", workers=8, trials=300, executor=Simulated(cluster=cluster))
    ends = [stint.outcome for stint in done.executor.trace]
    assert ends.count("failed") / len(ends) == pytest.approx(0.2, abs=4 * math.sqrt(0.2 * 0.8 / len(ends)))
    assert ends.count("lost") / len(ends) == pytest.approx(0.8 * 0.3, abs=4 * math.sqrt(0.24 * 0.76 / len(ends)))
    conserved(done, 8)


def test_thinking_costs_what_was_said() -> None:
    settings: dict[str, Any] = {"searcher": "random", "workers": 1, "trials": 4}
    free = bench.simulate(Toy(), **settings)
    fixed = bench.simulate(Toy(), **settings, executor=Simulated(overhead="fixed", fixed=(5.0, 1.0)))
    assert fixed.seconds - free.seconds == pytest.approx(5 * 4 + 0 + 1 + 2 + 3)
    counted = bench.simulate(Toy(), **settings, executor=Simulated(overhead="count"))
    assert counted.seconds > free.seconds


def test_a_curve_is_asked_for_as_far_as_its_run_gets() -> None:
    toy = Toy()
    toy.trains = True
    settings: dict[str, Any] = {"searcher": "random", "scheduler": "asha", "workers": 2, "trials": 20}
    done = bench.simulate(toy, **settings, executor=Simulated(seed=2))
    assert {seed for _, seed in toy.asked} == {2}
    asked = len(toy.asked)
    assert sum(len(t.reports) for t in done.result.trials) <= asked < 9 * 20
    executor = done.executor
    again = lu.Study(toy.space, "loss", fidelity=EPOCHS, searcher="random", scheduler="asha")
    again.run(toy, executor=executor, workers=2, trials=20)
    assert len(toy.asked) == asked, "what is known is not asked for again"
    table = Toy()
    bench.simulate(table, **settings)
    assert len(table.asked) == 9 * 20, "a table is asked for the whole curve, once"


def test_fractions_and_no_fidelity() -> None:
    part = lu.Fidelity("part", 1 / 27, 1)
    how = {"name": "asha", "type": "promotion"}
    done = bench.simulate(Toy(part), searcher="random", scheduler=how, workers=3, trials=40)
    conserved(done, 3)
    assert {round(r.resource * 27) for t in done.result.trials for r in t.reports} == {1, 3, 9, 27}
    plain = bench.simulate(Toy(None), searcher="random", workers=3, trials=10)
    conserved(plain, 3)
    assert all(len(t.reports) == 1 and t.status is Status.COMPLETED for t in plain.result.trials)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from test_simulated import Cluster, Simulated, Toy, bench, digest
how = Simulated(cluster=Cluster(0.3, 0, 0.2, straggle=0.5, crash=0.1, lose=0.1))
print(digest(bench.simulate(Toy(), searcher="cqr", scheduler="asha", workers=4, trials=40, executor=how).study))
"""


def test_two_processes_write_the_same_log() -> None:
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    runs = [subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True) for _ in "ab"]
    assert len(runs[0].stdout.strip()) == 64
    assert runs[0].stdout == runs[1].stdout


def test_live_processes_and_simulation_agree(tmp_path: Path) -> None:
    """Two real processes take turns in the order of the simulated events: every decision must be the same."""
    settings: dict[str, Any] = {"searcher": "random", "scheduler": "asha", "fidelity": EPOCHS, "seed": 5}
    virtual = lu.Study(Toy().space, "loss", **settings)
    virtual.run(Toy(), trials=30, workers=2, executor="simulated")
    order = [[e.trial, e.data["resource"]] for e in virtual.events() if e.kind == "reported"]
    live = lu.Study(Toy().space, "loss", **settings, folder=tmp_path / "live")
    (tmp_path / "live" / "order.json").write_text(json.dumps(order))
    (tmp_path / "live" / "turns").touch()
    live.run(in_turn, trials=30, workers=2, executor="processes")
    said = [
        [(e.trial, e.data["resource"], e.data["metrics"]["loss"]) for e in s.events() if e.kind == "reported"]
        for s in (virtual, live)
    ]
    assert said[0] == said[1]
    ends = [{t.number: (t.status, t.resource) for t in s.trials} for s in (virtual, live)]
    assert ends[0] == ends[1]
    assert {e.data.get("worker") for e in live.events() if e.kind == "started"} == {"worker-0", "worker-1"}
    assert {t.status for t in live.trials} == {Status.COMPLETED, Status.STOPPED}


def in_turn(run: lu.Run) -> None:
    home = run.folder.parent.parent  # type: ignore[union-attr]  # the study has a folder
    order = json.loads((home / "order.json").read_text())
    for epoch in run.resources():
        deadline = time.monotonic() + 60
        while (home / "turns").stat().st_size != order.index([run.number, epoch]):
            assert time.monotonic() < deadline, "the turn never came"
            time.sleep(0.001)
        try:
            run.report(Toy()._one(run.config, epoch).metrics)
        finally:
            with (home / "turns").open("a") as file:
                file.write(".")


def test_refusals() -> None:
    study = lu.Study(Toy().space, "loss", fidelity=EPOCHS, searcher="random")
    with pytest.raises(ArgumentError, match="needs a benchmark"):
        study.run(executor="simulated", trials=2)
    with pytest.raises(UnsupportedError, match="mean nothing here"):
        study.run(Toy(), executor="simulated", trials=2, time_limit=5)
    with pytest.raises(ArgumentError, match="a function that takes a Run"):
        study.run(Toy(), trials=2)  # type: ignore[arg-type]  # not a simulated run
    with pytest.raises(ArgumentError, match="crash"):
        Cluster(crash=1.5)
    with pytest.raises(ArgumentError, match="overhead"):
        Simulated(overhead="some")
    assert study.trials == []


def test_a_metric_that_the_benchmark_lacks_ends_the_run() -> None:
    study = lu.Study(Toy().space, "accuracy", fidelity=EPOCHS, searcher="random")
    with pytest.raises(lu.base.errors.MetricError, match="this study minimises 'accuracy'"):  # type: ignore[attr-defined]
        study.run(Toy(), executor="simulated", trials=5)


def test_a_failure_that_the_benchmark_records_is_a_failed_trial() -> None:
    class Failing(Toy):
        def _one(self, c: Any, spent: float) -> Evaluation:
            bad = spent == 2 and c["x"] > 0.5
            found = super()._one(c, spent)
            return Evaluation({}, found.seconds, Status.FAILED, {"error": "out of memory"}) if bad else found

    done = bench.simulate(Failing(), searcher="random", workers=2, trials=20)
    failed = [t for t in done.result.trials if t.status is Status.FAILED]
    assert failed
    assert all(t.error == "out of memory" and t.config["x"] > 0.5 for t in failed)
    conserved(done, 2)


class Breaks(Toy):
    """Fails where x is below a half; where y is above 0.9 it says that it took less than nothing."""

    def _one(self, c: Any, spent: float) -> Evaluation:
        if c["x"] < 0.5:
            raise RuntimeError("out of range")
        return Evaluation({"loss": c["x"]}, -1.0 if c["y"] > 0.9 else 1.0)


@pytest.mark.parametrize("fidelity", [None, EPOCHS])
def test_a_benchmark_that_raises_fails_the_trial_and_not_the_study(fidelity: lu.Fidelity | None) -> None:
    first = [{"x": 0.2, "y": 0.0}, {"x": 0.6, "y": 0.0}]
    found = bench.simulate(Breaks(fidelity), searcher="random", trials=2, first=first, defaults_first=False).result
    assert [t.status for t in found.trials] == [Status.FAILED, Status.COMPLETED]
    assert found.trials[0].error == "RuntimeError: out of range"


def test_a_cost_below_nothing_is_refused() -> None:
    with pytest.raises(BenchmarkError, match=r"-1.0 seconds"):
        bench.simulate(Breaks(None), searcher="random", trials=1, first=[{"x": 0.6, "y": 1.0}], defaults_first=False)


def test_speeds_are_a_sequence() -> None:
    with pytest.raises(ArgumentError, match="a number for each worker"):
        Cluster(speeds=2.0)  # type: ignore[arg-type]


class Breaking(Toy):
    """Trains when it is asked, and breaks where more than six epochs are wanted."""

    trains = True

    def curve(self, config: Any, until: float, *, seed: int | None = None) -> list[tuple[float | None, Evaluation]]:
        if until > 6:
            raise RuntimeError("no memory")
        return [(step, self._one(config, 1.0)) for step in range(1, int(until) + 1)]


def test_a_training_that_breaks_on_the_way_is_a_failed_trial() -> None:
    done = bench.simulate(Breaking(), searcher="random", trials=2, workers=1, seed=0)
    assert [t.status for t in done.result.trials] == [Status.FAILED] * 2
    assert "no memory" in str(done.result.trials[0].error)
    assert done.result.trials[0].reports, "what was trained before stays"
