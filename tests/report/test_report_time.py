"""Time and workers: the clock of a study, virtual time, runs, utilisation, rungs over time."""

from __future__ import annotations

import pytest
from report_logs import NIGHT, Log, climb, entry, study_of, study_of_nothing_but
from report_samples import Toy, empty, halving, simulated

from luthier import Simulated
from luthier.bench import simulate
from luthier.report import render, summary
from luthier.report._clock import Clock
from luthier.report._runs import runs
from luthier.report._values import duration, percent, time_axis
from luthier.report.brackets import brackets
from luthier.report.curves import rungs
from luthier.report.figures import (
    brackets_figure,
    history_figure,
    rungs_figure,
    timeline_figure,
)
from luthier.report.history import history
from luthier.report.timeline import INTERVALS, MOST_STEPS, timeline

# the clock ---------------------------------------------------------------------------------------------------


def test_virtual_time_begins_at_zero_and_is_not_stretched_by_the_wall_clock() -> None:
    log = Log()
    log(0.0, "begun", workers=2, executor="simulated", virtual=True)
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
    log(0.0, "begun", workers=4, executor="simulated", virtual=True)
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
    made = simulate(Toy(), scheduler="asha", searcher="random", workers=5, trials=23)
    assert timeline(made.study)["utilisation"] == pytest.approx(made.executor.utilisation, abs=1e-4)


# rungs over time ---------------------------------------------------------------------------------------------


def test_brackets_know_when_each_rung_was_reached() -> None:
    table = brackets(climb())
    reached = {(row["trial"], row["resource"]): row["seconds"] for row in table["rows"]}
    expected = {(0, 1.0): 2.0, (0, 3.0): 9.0, (0, 9.0): 20.0, (1, 1.0): 4.0, (2, 3.0): 23.0, (3, 1.0): 25.0}
    assert reached == expected
    assert table["geometric"]
    assert table["repeated"] == 0
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


def test_runs_that_began_anew_are_counted_and_said() -> None:
    made = simulate(
        Toy(), scheduler={"name": "asha", "type": "promotion"}, trials=9, executor=Simulated(checkpoints=False)
    )
    again = sum(trial.runs > 1 for trial in made.study.trials)
    assert again
    assert brackets(made.study)["repeated"] >= again
    assert "began anew" in render(made.study)
    assert "began anew" not in render(climb())


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
