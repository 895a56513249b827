"""Rungs over time, use of workers, genealogies, virtual time: logs made by hand, and real studies in virtual time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_browser import MISSING, Browser, find_chromium
from report_samples import SampleStudy, Toy, empty, halving, simulated

from luthier import bench
from luthier.base.records import Configuration, Event, Fidelity, Objective, Report, Status, Trial
from luthier.report import render, summary, tables, write_report
from luthier.report._clock import Clock
from luthier.report._runs import runs
from luthier.report._values import duration, percent, time_axis
from luthier.report.brackets import brackets
from luthier.report.curves import rungs
from luthier.report.figures import (
    brackets_figure,
    genealogy_figure,
    history_figure,
    rungs_figure,
    schedule_figures,
    timeline_figure,
)
from luthier.report.genealogy import genealogy
from luthier.report.history import history
from luthier.report.timeline import INTERVALS, MOST_STEPS, timeline
from luthier.space import Choice, Float, Space
from luthier.space.problem import Problem
from luthier.study.study import Study

NIGHT = 1_790_000_000.0  # the time of day of a study that ran in seconds from 0


class Log:
    """Writes events; times are as given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, time: float, kind: str, trial: int | None = None, **data: Any) -> None:
        self.events.append(Event(len(self.events) + 1, time, kind, trial, None, data))

    def run(self, trial: int, start: float, reports: list[tuple[float, float]], end: tuple[float, str], **data: Any):
        """A run of a trial on a worker: seconds and resource of its reports, and how it ended when."""
        self(start, "started", trial, **{"worker": "worker-0", **data})
        for at, resource in reports:
            self(
                at, "reported", trial, resource=resource, metrics={"loss": 1.0 / resource}, checkpoint=f"r{resource:g}"
            )
        self(end[0], end[1], trial, **({"status": "completed"} if end[1] == "finished" else {"reason": "scheduler"}))


def study_of(log: Log, *, high: float = 9, ladder: list[dict[str, Any]] | None = None, **configs: Any) -> SampleStudy:
    """A study around a log, with the trials that it tells of."""
    space = Space(rate=Float(1e-4, 1.0, log=True), kind=Choice("a", "b"), still=Float(0.0, 1.0))
    events = sorted(log.events, key=lambda event: event.time)
    trials: dict[int, Trial] = {}
    for event in events:
        n = event.trial
        if n is None:
            continue
        if n not in trials:
            config = {"rate": 0.01, "kind": "a", "still": 0.5, **configs.get(f"t{n}", {})}
            trials[n] = Trial(n, Configuration(config), Status.RUNNING, runs=1)
        trial = trials[n]
        if event.kind == "started" and "/" in event.data.get("checkpoint", ""):
            trial.parent = int(event.data["checkpoint"].partition("/")[0])
        elif event.kind == "reported":
            trial.reports.append(Report(n, event.data["resource"], event.data["metrics"]))
            trial.metrics, trial.resource = event.data["metrics"], event.data["resource"]
        elif event.kind in ("paused", "stopped", "failed", "lost"):
            trial.status = Status(event.kind)
        elif event.kind == "finished":
            trial.status = Status(event.data["status"])
    best = min((t for t in trials.values() if t.metrics), key=lambda t: t.metrics["loss"], default=None)
    problem = Problem(space, (Objective("loss"),), fidelity=Fidelity("epoch", 1, high))
    every = [trials[n] for n in sorted(trials)]
    return SampleStudy("hand-made", problem, every, events, ladder=ladder or [], best=best)


# the clock ---------------------------------------------------------------------------------------------------


def test_virtual_time_begins_at_zero_and_is_not_stretched_by_the_wall_clock() -> None:
    log = Log()
    log(0.0, "begun", workers=2, executor="simulated")
    log.run(0, 0.0, [(10.0, 1)], (1500.0, "finished"))
    log(1500.0, "ended")
    log(NIGHT, "annotated", 0, note="by hand, afterwards")
    log(NIGHT, "lost", 1, error="its driver died")
    clock = Clock(log.events)
    assert clock.virtual
    assert [clock(time) for time in (0.0, 10.0, 1500.0, NIGHT)] == [0.0, 10.0, 1500.0, 1500.0]
    assert clock.end == 1500.0
    assert not Clock(halving(5).log).virtual


def test_what_happens_between_two_runs_of_a_study_takes_no_time() -> None:
    log = Log()
    log(100.0, "begun", workers=1)
    log.run(0, 100.0, [], (110.0, "finished"))
    log(110.0, "ended")
    log.run(1, 500.0, [], (505.0, "finished"), worker="ask")  # asked for and told by hand, without a run
    log(900.0, "lost", 2, error="found when the study was opened again")
    log(901.0, "begun", workers=1)
    log.run(2, 901.0, [], (903.0, "finished"))
    clock = Clock(log.events)
    assert [clock(time) for time in (110.0, 300.0, 500.0, 505.0, 900.0, 901.0, 903.0)] == [10, 10, 10, 15, 15, 15, 17]


def test_while_another_driver_works_time_passes() -> None:
    log = Log()
    log(0.0, "begun", workers=1)
    log(0.0, "begun", workers=1)
    log(0.0, "started", 0, worker="worker-0")
    log(0.0, "started", 1, worker="worker-0")
    log(5.0, "finished", 0, status="completed")
    log(5.0, "ended")
    log(9.0, "reported", 1, metrics={"loss": 1.0})
    assert Clock(log.events).end == 9.0
    assert timeline(study_of_nothing_but(log))["stretches"][-1]["workers"] == 2  # never told, but both ran at once


def study_of_nothing_but(log: Log) -> SampleStudy:
    return SampleStudy("log", Problem(Space(x=Float(0.0, 1.0)), (Objective("loss"),)), [], log.events)


def test_durations_and_shares_for_the_eye() -> None:
    assert [duration(s) for s in (0.0, 36_000.0, 359_999.0, 1e6)] == ["0 s", "10 h 00 min", "99 h 59 min", "11 d 13 h"]
    assert time_axis(36_000.0, virtual=True) == ("virtual hours of the study", 3600.0)
    assert time_axis(1e6, virtual=False) == ("days of the study", 86400.0)
    assert time_axis(None, virtual=False) == ("seconds of the study", 1.0)
    shares = (0.0, 0.004, 0.5, 0.985, 0.9999, 1.0)
    assert [percent(s) for s in shares] == ["0 %", "less than 1 %", "50 %", "98 %", "99.9 %", "100 %"]


def test_every_picture_of_virtual_time_says_so() -> None:
    study = simulated("asha", trials=12)
    titles = {
        history_figure(history(study))["switches"]["x"]["seconds"]["title"],
        timeline_figure(timeline(study))["layout"]["xaxis"]["title"]["text"],
        brackets_figure(brackets(study))["layout"]["xaxis"]["title"]["text"],
    }
    assert titles == {"virtual minutes of the study"}
    assert summary(study)["budget"]["virtual"]
    text = render(study)
    for words in ("Virtual time", " of virtual time)", "Time is virtual"):
        assert words in text, words
    assert "1970" not in text
    assert "virtual" not in render(halving(12)).partition("<body>")[2].partition('<script type="application/json"')[0]


# runs --------------------------------------------------------------------------------------------------------


def test_runs_know_what_they_started_from() -> None:
    log = Log()
    log.run(0, 0.0, [(1.0, 1), (2.0, 2)], (3.0, "paused"), until=3)  # no word at 3 itself
    log.run(0, 5.0, [(6.0, 4)], (7.0, "lost"), checkpoint="r2")
    log.run(0, 8.0, [], (9.0, "failed"))  # from nothing
    log.run(1, 10.0, [(11.0, 3)], (11.0, "stopped"), checkpoint="0/r2")
    log.run(2, 12.0, [], (13.0, "stopped"), checkpoint="0/gone")  # nothing is known of this one: the furthest
    found = runs(log.events, Clock(log.events))
    assert [(run.trial, run.after, run.outcome) for run in found] == [
        (0, 0.0, "paused"),
        (0, 2.0, "lost"),
        (0, 0.0, "failed"),
        (1, 2.0, "stopped"),
        (2, 4.0, "stopped"),
    ]
    assert found[0].points == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)]


# workers -----------------------------------------------------------------------------------------------------


def test_a_worker_that_never_ran_anything_was_idle() -> None:
    log = Log()
    log(0.0, "begun", workers=4, executor="simulated")
    log.run(0, 0.0, [], (10.0, "finished"), worker="worker-0")
    log.run(1, 0.0, [], (5.0, "finished"), worker="worker-2")
    log(10.0, "ended")
    table = timeline(study_of(log))
    assert table["workers"] == ["worker-0", "worker-1", "worker-2", "worker-3"]
    assert table["busy"] == {"worker-0": 1.0, "worker-1": 0.0, "worker-2": 0.5, "worker-3": 0.0}
    assert (table["utilisation"], table["idle_seconds"]) == (0.375, 25.0)
    steps = [(0.0, 2), (5.0, 1), (10.0, 0)]
    assert [(row["seconds"], row["busy"]) for row in table["load"]] == steps
    figure = timeline_figure(table)
    assert figure["layout"]["yaxis2"]["tickvals"] == [0, 4]
    assert "0 % busy" in figure["layout"]["yaxis"]["ticktext"][1]


def test_workers_that_joined_later_count_from_then_on() -> None:
    log = Log()
    log(0.0, "begun", workers=1)
    log.run(0, 0.0, [], (10.0, "finished"), worker="worker-0")
    log(10.0, "ended")
    log(500.0, "begun", workers=3)
    log.run(1, 500.0, [], (505.0, "finished"), worker="worker-2")
    log.run(2, 505.0, [], (510.0, "finished"), worker="worker-2")
    log(510.0, "ended")
    log.run(3, 600.0, [], (604.0, "finished"), worker="ask")
    table = timeline(study_of(log))
    assert [(one["start"], one["workers"]) for one in table["stretches"]] == [(0.0, 1), (10.0, 3)]
    # the last four seconds were none of theirs
    assert table["busy"] == {"ask": None, "worker-0": 0.5, "worker-1": 0.0, "worker-2": 1.0}
    assert table["utilisation"] == pytest.approx(20 / (10 + 3 * 10), abs=1e-4)
    # who goes on at once was never idle
    steps = [(0.0, 1), (20.0, 0)]
    assert [(row["seconds"], row["busy"]) for row in table["load"]] == steps


def test_without_a_run_nothing_is_said_of_utilisation() -> None:
    log = Log()
    log.run(0, 0.0, [], (10.0, "finished"), worker="ask")
    table = timeline(study_of(log))
    assert (table["utilisation"], table["idle_seconds"], table["busy"]) == (None, None, {"ask": None})
    assert "busy" not in render(study_of(log)).partition("<main>")[2].partition("</main>")[0]


def test_many_steps_become_means_of_the_same_area() -> None:
    log = Log()
    log(0.0, "begun", workers=2)
    for i in range(MOST_STEPS):  # half a second of work, then half a second of rest
        log.run(i, float(i), [], (i + 0.5, "finished"))
    table = timeline(study_of(log))
    assert table["load_is_mean"]
    assert len(table["load"]) == INTERVALS + 1
    width = table["seconds"] / INTERVALS
    assert sum(row["busy"] for row in table["load"][:-1]) * width == pytest.approx(MOST_STEPS / 2, rel=1e-3)


def test_utilisation_agrees_with_the_executor() -> None:
    made = bench.simulate(Toy(), scheduler="asha", searcher="random", workers=5, trials=23)
    assert timeline(made.study)["utilisation"] == pytest.approx(made.executor.utilisation, abs=1e-4)


# rungs over time ---------------------------------------------------------------------------------------------


def entry(bracket: int, resource: float, trial: int, promoted: bool) -> dict[str, Any]:
    return {"bracket": bracket, "resource": resource, "trial": trial, "value": 1.0, "promoted": promoted}


def climb() -> SampleStudy:
    """Trial 0 pauses at 1 and goes on to the top; 1 is stopped at the end; 2 and 3 are in later brackets."""
    log = Log()
    log(0.0, "begun", workers=1, executor="simulated")
    log.run(0, 0.0, [(2.0, 1)], (2.0, "paused"), until=1)
    log.run(1, 2.0, [(4.0, 1)], (4.0, "paused"), until=1)
    log.run(0, 6.0, [(8.0, 2), (9.0, 3), (20.0, 9)], (20.0, "finished"), checkpoint="r1", until=9)
    log.run(2, 20.0, [(21.0, 2), (23.0, 4)], (24.0, "paused"), until=3)  # reports every second epoch
    log.run(3, 24.0, [(25.0, 1)], (26.0, "stopped"))
    log(30.0, "stopped", 1, reason="end of the study")
    log(30.0, "ended")
    ladder = [entry(0, 1.0, 0, True), entry(0, 3.0, 0, True), entry(0, 9.0, 0, False), entry(0, 1.0, 1, False)]
    ladder += [entry(1, 3.0, 2, False), entry(2, 1.0, 3, False)]
    return study_of(log, ladder=ladder)


def test_brackets_know_when_each_rung_was_reached() -> None:
    table = brackets(climb())
    reached = {(row["trial"], row["resource"]): row["seconds"] for row in table["rows"]}
    expected = {(0, 1.0): 2.0, (0, 3.0): 9.0, (0, 9.0): 20.0, (1, 1.0): 4.0, (2, 3.0): 23.0, (3, 1.0): 25.0}
    assert reached == expected
    assert table["geometric"]
    assert [(one["first"], one["brackets"], one["levels"], one["trials"]) for one in table["ladders"]] == [
        (1.0, 2, [1.0, 3.0, 9.0], 3),
        (3.0, 1, [3.0], 1),
    ]
    by_trial = {one["trial"]: one for one in table["trials"]}
    assert [by_trial[n]["outcome"] for n in range(4)] == ["completed", "paused", "paused", "stopped"]
    assert [by_trial[n]["ladder"] for n in range(4)] == [0, 0, 1, 0]
    first, second = by_trial[0]["runs"]
    assert (first["seconds"], first["resources"]) == ([0.0, 2.0], [0.0, 1.0])
    assert (second["seconds"], second["resources"]) == ([6.0, 8.0, 9.0, 20.0], [1.0, 2.0, 3.0, 9.0])


def test_brackets_are_facets_and_pauses_are_dotted() -> None:
    figure = brackets_figure(brackets(climb()))
    layout = figure["layout"]
    assert [layout[name]["type"] for name in ("yaxis", "yaxis2")] == ["log", "log"]
    assert layout["yaxis"]["ticktext"] == ["1", "3", "9"]
    assert [note["text"] for note in layout["annotations"]] == [
        "from epoch 1, 2 brackets, 3 trials",
        "from epoch 3, 1 trials",
    ]
    [dotted] = [trace for trace in figure["data"] if trace.get("name") == "set aside"]
    assert (dotted["x"], dotted["y"]) == ([2.0, 6.0], [1.0, 1.0])
    shown = [trace["name"] for trace in figure["data"] if trace["showlegend"]]
    assert sorted(shown) == ["completed", "incumbent (trial 0)", "paused", "set aside", "stopped"]
    assert all(value is None or value > 0 for trace in figure["data"] for value in trace["y"])
    assert {trace["yaxis"] for trace in figure["data"]} == {"y", "y2"}


@pytest.mark.parametrize(
    ("levels", "geometric"),
    [
        ([1, 3, 9, 27], True),
        ([1, 5, 17, 52], True),
        ([1, 3, 9, 10], True),
        ([10, 20, 30, 40], False),
        ([1, 2, 3], False),
    ],
)
def test_levels_that_multiply_are_drawn_by_logarithm(levels: list[float], geometric: bool) -> None:
    log = Log()
    log.run(0, 0.0, [(float(level), level) for level in levels], (60.0, "finished"))
    study = study_of(log, high=60, ladder=[entry(0, float(level), 0, True) for level in levels])
    table = brackets(study)
    assert table["geometric"] is geometric
    assert (brackets_figure(table)["layout"]["yaxis"].get("type") == "log") is geometric


def test_many_trials_are_sampled_and_long_runs_thinned() -> None:
    study = halving(200)
    table = brackets(study, most=20, points=4)
    kept = {one["trial"] for one in table["trials"]}
    assert {study.best.number, 0} <= kept
    assert 20 <= len(kept) <= 21
    assert table["total"] > 150
    best = next(one for one in table["trials"] if one["trial"] == study.best.number)
    resources = best["runs"][0]["resources"]
    assert {1.0, 3.0, 9.0, 27.0, 81.0} <= set(resources)
    assert len(resources) <= 1 + 4 + 5
    assert len(table["rows"]) == len(study.ladder)
    over_time = render(study).partition("Rungs over time")[2][:900]
    assert f"Shown are 160 of {table['total']}: the best" in over_time


def test_a_scheduler_with_brackets_in_turn_has_few_columns() -> None:
    study = simulated("hyperband", trials=90)
    table = rungs(study)
    assert [ladder["first"] for ladder in table["ladders"]] == [1.0, 3.0, 9.0, 27.0]
    assert max(ladder["brackets"] for ladder in table["ladders"]) > 1
    figure = rungs_figure(table)
    assert len(figure["layout"]["xaxis"]["tickvals"]) == 4 + 3 + 2 + 1 < len(table["levels"])
    assert sum(len(trace["x"]) for trace in figure["data"]) == len(table["rows"])
    over = brackets(study)
    assert all(row["seconds"] is not None for row in over["rows"])
    # a rung is reached later than the one below it
    at = {(row["trial"], row["resource"]): row["seconds"] for row in over["rows"]}
    assert all(at[n, 27.0] > at[n, level] for n, level in at if level < 27 and (n, 27.0) in at)


def test_without_rungs_there_is_no_such_picture() -> None:
    assert brackets(empty())["trials"] == []
    assert "Rungs over time" not in render(simulated("straight", trials=4))


# genealogies -------------------------------------------------------------------------------------------------


def family() -> SampleStudy:
    """Three members. 3 replaces 1 with a copy of 0, 4 replaces 2 with a copy of 3; 5 finds no empty place."""
    log = Log()
    log(0.0, "begun", workers=3, executor="simulated")
    log.run(0, 0.0, [(3.0, 3), (9.0, 9)], (9.0, "finished"))
    log.run(1, 0.1, [(2.0, 3)], (2.0, "stopped"), worker="worker-1")
    log.run(2, 0.2, [(4.0, 3), (5.0, 5)], (5.0, "stopped"), worker="worker-2")
    log.run(3, 4.5, [(6.0, 6), (12.0, 9)], (12.0, "stopped"), worker="worker-1", checkpoint="0/r3")
    log.run(4, 6.5, [(15.0, 8), (16.0, 10)], (16.0, "finished"), worker="worker-2", checkpoint="3/r6")
    log.run(5, 7.0, [], (8.0, "failed"), worker="worker-0", checkpoint="0/r3")
    rates = {f"t{n}": {"rate": rate} for n, rate in enumerate((0.01, 0.1, 0.1, 0.02, 0.04, 0.5))}
    rates["t4"]["kind"] = "b"
    return study_of(log, high=10, **rates)


def test_a_genealogy_by_hand() -> None:
    table = genealogy(family())
    rows = [(s["trial"], s["parent"], s["lane"], s["from"], s["to"], s["outcome"]) for s in table["segments"]]
    assert rows == [
        (0, None, 0, 0.0, 9.0, "completed"),
        (1, None, 1, 0.0, 3.0, "stopped"),
        (2, None, 2, 0.0, 5.0, "stopped"),
        (3, 0, 1, 3.0, 9.0, "stopped"),
        (4, 3, 2, 6.0, 10.0, "completed"),
        (5, 0, 3, 3.0, 3.0, "failed"),
    ]
    assert table["members"] == 4
    assert table["segments"][4]["value"] == pytest.approx(0.1)
    assert table["segments"][5]["value"] is None
    assert table["links"][1] == {"trial": 4, "parent": 3, "resource": 6.0, "from_lane": 1, "to_lane": 2}
    assert table["lineage"] == [0, 3, 4]
    assert [entry["axis"]["name"] for entry in table["schedule"]] == ["rate", "kind"]  # "still" is the same for all
    assert table["schedule"][0]["steps"] == [
        {"trial": 0, "from": 0.0, "to": 3.0, "value": 0.01},
        {"trial": 3, "from": 3.0, "to": 6.0, "value": 0.02},
        {"trial": 4, "from": 6.0, "to": 10.0, "value": 0.04},
    ]


def test_a_genealogy_is_drawn_bar_by_bar() -> None:
    table = genealogy(family())
    figure = genealogy_figure(table)
    bars = [trace for trace in figure["data"] if trace["type"] == "bar"]
    assert sum(len(trace["x"]) for trace in bars) == 6
    assert bars[0]["name"] == "0.1"  # the best alone; what has no value is apart
    assert bars[-1]["name"] == "no value"
    path = next(trace for trace in figure["data"] if trace.get("name") == "way to the incumbent (trial 4)")
    assert path["x"] == [0.0, 3.0, 3.0, 6.0, 6.0, 10.0]
    links = next(trace for trace in figure["data"] if trace.get("name") == "copied from")
    assert links["x"] == [3.0, 3.0, None, 6.0, 6.0, None, 3.0, 3.0]
    rate, kind = schedule_figures(table)
    assert rate["data"][-1]["x"] == [0.0, 3.0, 3.0, 6.0, 6.0, 10.0]
    assert kind["data"][-1]["y"] == [0, 0, 0, 0, 1, 1]
    assert rate["layout"]["yaxis"]["type"] == "log"


def test_a_clone_that_starts_before_its_predecessor_ended_lies_beside_it() -> None:
    log = Log()
    log.run(0, 0.0, [(2.0, 2), (9.0, 9)], (9.0, "finished"))
    log.run(1, 0.0, [(3.0, 5)], (3.0, "stopped"))
    log.run(2, 4.0, [(5.0, 6)], (6.0, "stopped"), checkpoint="0/r2")
    log.run(3, 7.0, [(8.0, 9)], (8.0, "finished"), checkpoint="2/r6")
    table = genealogy(study_of(log))
    assert [segment["lane"] for segment in table["segments"]] == [0, 1, 1, 1]
    places = {
        text: y
        for trace in genealogy_figure(table)["data"]
        if trace["type"] == "bar"
        for text, y in zip(trace["text"], trace["y"], strict=True)
    }
    assert places["0"] == 0.0
    assert places["1"] < 1.0 < places["2"]
    assert places["1"] == places["3"]


@pytest.mark.parametrize("synchronous", [False, True])
def test_lanes_are_the_places_of_a_real_population(synchronous: bool) -> None:
    how = {"name": "pbt", "population": 6, "every": 3, "synchronous": synchronous}
    study = simulated(how)
    table = genealogy(study)
    members = study._session.engine.scheduler.members  # type: ignore[attr-defined]
    assert {s["trial"]: s["lane"] for s in table["segments"]} == {n: member.slot for n, member in members.items()}
    assert table["members"] == 6
    assert len(table["links"]) > 5
    # the schedule is that which the study itself tells
    steps = [(step["from"], step["to"], step["value"]) for step in table["schedule"][0]["steps"]]
    told = [(s.start, s.until, s.config["rate"]) for s in study.schedule().segments]
    assert [step for step in steps if step[0] < step[1]] == told
    # a clone did not spend what its parent had spent
    spent = sum(s["to"] - s["from"] for s in table["segments"])
    assert summary(study)["budget"]["resource"] == spent


def test_a_study_without_clones_has_no_genealogy() -> None:
    table = tables(halving(20))["genealogy"]
    assert (table["segments"], table["links"], table["lineage"], table["schedule"]) == ([], [], [], [])
    assert 'id="genealogy"' not in render(halving(20))


def test_new_tables_are_json_and_hostile_words_stay_words() -> None:
    evil = "<img src=x onerror=alert(1)>%{x}"
    study = family()
    study.problem = Problem(Space({evil: Choice(evil, "b")}), (Objective("loss"),), fidelity=Fidelity(evil, 1, 10))
    for trial in study.trials:
        trial.config = Configuration({evil: evil if trial.number % 2 else "b"})
    study.ladder = climb().ladder
    assert json.dumps(tables(study), allow_nan=False)
    made = [genealogy_figure(genealogy(study)), *schedule_figures(genealogy(study)), brackets_figure(brackets(study))]
    drawn = json.dumps(made, ensure_ascii=False)
    assert "<img" not in drawn
    assert "%{x}<" not in drawn
    assert "&lt;img" in drawn


# the pages ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip(MISSING)
    with Browser(program) as found:
        yield found


def population() -> Study:
    return simulated({"name": "pbt", "population": 5, "every": 5})


@pytest.mark.parametrize(
    ("make", "plots"),
    [
        (lambda: simulated("hyperband", trials=40), {"plot-rungs", "plot-brackets", "plot-timeline"}),
        (population, {"plot-genealogy", "plot-schedule-0", "plot-schedule-2", "plot-timeline"}),
    ],
)
def test_the_pages_are_drawn_without_a_word(browser: Browser, tmp_path: Path, make: Any, plots: set[str]) -> None:
    study = make()
    browser.emulate(prefers_color_scheme="dark")
    try:
        browser.open(write_report(study, tmp_path / "report.html"))
        drawn = browser.run("[...document.querySelectorAll('.plot:has(svg.main-svg)')].map(p => p.id)")
        assert plots <= set(drawn)
        assert ("plot-rungs" in drawn) != ("plot-genealogy" in drawn)
        assert browser.messages == []
        assert browser.run("document.documentElement.dataset.errors || ''") == ""
        bars = browser.run("document.querySelectorAll('#plot-timeline .bars .point path').length")
        assert bars == sum(event.kind == "started" for event in study.events())
        if "plot-genealogy" in plots:
            bars = browser.run("document.querySelectorAll('#plot-genealogy .bars .point path').length")
            assert bars == len(genealogy(study)["segments"])
            assert browser.run("document.getElementById('plot-schedule-0').layout.yaxis.type") == "log"
        else:
            marks = browser.run("document.querySelectorAll('#plot-brackets .points path').length")
            assert marks == len(brackets(study)["trials"])
        # nothing makes the page itself wider than the screen
        assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    finally:
        browser.emulate()
