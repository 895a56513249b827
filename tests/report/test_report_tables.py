"""The tables behind the pictures: plain, finite, in the right order, and the numbers right."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from report_samples import ZERO, SampleStudy, empty, halving, space, two_objectives

import luthier as lu
from luthier.base.records import Configuration, Event, Fidelity, Objective, Report, Status, Trial
from luthier.report import summary, tables
from luthier.report._axes import axes
from luthier.report._clock import Clock
from luthier.report._values import clean, duration, short, shown_range
from luthier.report.coverage import coverage
from luthier.report.curves import curves, rungs
from luthier.report.history import history
from luthier.report.parallel import parallel
from luthier.report.pareto_front import pareto_front, staircase
from luthier.report.slices import slices
from luthier.report.timeline import timeline
from luthier.report.trials import trials
from luthier.space import Choice, Float, Space
from luthier.space.problem import Problem


def small(values: list[float], *, goal: str = "min", status: Status = Status.COMPLETED) -> SampleStudy:
    """One trial a second on one worker, with these values of "loss"."""
    problem = Problem(Space(x=Float(0.0, 1.0)), (Objective("loss", goal),))  # type: ignore[arg-type]
    every, log = [], []
    for n, value in enumerate(values):
        trial = Trial(n, Configuration(x=n / 10), status, "default" if n == 0 else "random", runs=1, worker="worker-0")
        trial.metrics, trial.started, trial.ended, trial.seconds = {"loss": value}, ZERO + n, ZERO + n + 1, 1.0
        every.append(trial)
        log.append(Event(len(log) + 1, ZERO + n, "started", n, None, {"worker": "worker-0", "attempt": 1}))
        log.append(Event(len(log) + 1, ZERO + n + 1, "reported", n, None, {"metrics": {"loss": value}}))
        log.append(Event(len(log) + 1, ZERO + n + 1, "finished", n, None, {"status": status.value}))
    return SampleStudy("small", problem, every, log)


@pytest.fixture(scope="module")
def study() -> SampleStudy:
    return halving(120)


@pytest.mark.parametrize("make", [lambda: halving(60), two_objectives, empty])
def test_tables_are_json_and_the_same_each_time(make) -> None:
    first, second = (json.dumps(tables(make()), allow_nan=False) for _ in range(2))
    assert first == second
    assert json.dumps(summary(make()), allow_nan=False)


def test_history_follows_results_not_numbers() -> None:
    table = history(small([5.0, 3.0, 4.0, 1.0]))
    assert [row["order"] for row in table["rows"]] == [1, 2, 3, 4]
    assert table["incumbent"] == [
        {"order": 1, "seconds": 1.0, "trial": 0, "value": 5.0},
        {"order": 2, "seconds": 2.0, "trial": 1, "value": 3.0},
        {"order": 4, "seconds": 4.0, "trial": 3, "value": 1.0},
    ]
    assert (table["default"], table["seconds"]) == (5.0, 4.0)


def test_history_of_a_maximised_objective_goes_up() -> None:
    assert [row["value"] for row in history(small([0.2, 0.5, 0.4, 0.9], goal="max"))["incumbent"]] == [0.2, 0.5, 0.9]


def test_history_ends_at_the_incumbent_of_the_study(study: SampleStudy) -> None:
    table = history(study)
    assert table["incumbent"][-1]["trial"] == table["best"] == study.best.number
    bad = [row for row in table["rows"] if row["status"] in ("failed", "diverged", "lost")]
    assert len(bad) > 5
    assert all(row["value"] is None for row in bad)


def test_more_resource_goes_before_a_better_value() -> None:
    study = small([0.1, 0.5])
    study.problem = replace(study.problem, fidelity=Fidelity("epoch", 1, 9))
    study.trials[0].resource, study.trials[1].resource = 1, 9
    assert [row["value"] for row in history(study)["incumbent"]] == [0.1, 0.5]


def test_what_cannot_be_drawn_is_no_value() -> None:
    study = small([math.nan, math.inf, -math.inf, 2.0, 1e308])
    table = history(study)
    assert [row["value"] for row in table["rows"]] == [None, None, None, 2.0, None]
    assert [line["trial"] for line in parallel(study)["lines"]] == [3]
    rows = trials(study)
    at = [column["name"] for column in rows["columns"]].index("loss")
    assert [row[at] for row in rows["rows"]] == ["nan", "inf", "-inf", 2.0, "1e+308"]


def test_the_clock_leaves_out_what_nobody_worked_in(study: SampleStudy) -> None:
    log = [
        Event(1, 100.0, "begun", None, None, {}),
        Event(2, 110.0, "started", 0, None, {}),
        Event(3, 900.0, "begun", None, None, {}),
        Event(4, 905.0, "finished", 0, None, {}),
    ]
    clock = Clock(log)
    assert [clock(time) for time in (100.0, 110.0, 500.0, 900.0, 905.0)] == [0.0, 10.0, 10.0, 10.0, 15.0]
    assert clock.end == 15.0
    assert Clock([]).end == 0.0
    assert Clock(study.log).end < 60 < study.log[-1].time - study.log[0].time


def test_trials_table_has_a_cell_for_every_column(study: SampleStudy) -> None:
    table = trials(study)
    names = [column["name"] for column in table["columns"]]
    assert names[:5] == ["number", "status", "rank", "val_loss", "epoch"]
    assert set(study.problem.space.names) <= set(names)
    assert all(len(row) == len(names) for row in table["rows"])
    assert len(table["rows"]) == len(table["details"]) == 120
    assert table["rows"][study.best.number][names.index("rank")] == 1
    without = next(t for t in study.trials if t.config["optimiser"] != "sgd")
    assert table["rows"][without.number][names.index("momentum")] is None
    assert table["details"][without.number]["config"] == dict(without.config)
    failed = next(t for t in study.trials if t.status is Status.FAILED)
    assert table["details"][failed.number]["error"] == failed.error


def test_axes_place_by_logarithm_and_category(study: SampleStudy) -> None:
    found = {axis.name: axis for axis in axes(study.problem, study.trials)}
    assert "classes" not in found  # fixed: nothing to show
    assert found["learning_rate"].place(1e-3) == pytest.approx(0.5)
    assert [label for _, label in found["learning_rate"].ticks()] == ["1e-5", "0.0001", "0.001", "0.01", "0.1"]
    assert [label for _, label in found["width"].ticks()] == ["16", "50", "100", "200", "512"]
    assert found["optimiser"].place("sgd") == 0.5
    assert found["optimiser"].place("lion") is None
    assert [label for _, label in found["layers"].ticks()] == ["1", "2", "4", "6"]
    assert found["momentum"].when == "optimiser == 'sgd'"


def test_axes_of_hyperparameters_that_only_trials_know() -> None:
    study = small([1.0, 2.0, 3.0])
    for trial, (found, word) in zip(study.trials, [(1e-6, True), (1.0, "a"), (2.0, None)], strict=True):
        trial.config = Configuration({**trial.config, "found": found, "word": word})
    made = {axis.name: axis for axis in axes(study.problem, study.trials)}
    assert (made["found"].kind, made["found"].log, made["found"].low, made["found"].high) == ("number", True, 1e-6, 2.0)
    assert made["word"].categories == ("None", "True", "a")


def test_parallel_lines_are_ranked_and_mark_what_is_inactive(study: SampleStudy) -> None:
    table = parallel(study)
    names = [axis["name"] for axis in table["axes"]]
    assert names[-1] == "val_loss"
    assert table["lines"][0]["trial"] == study.best.number
    assert table["lines"][0]["at"][-1] == 0.0
    by_number = {trial.number: trial for trial in study.trials}
    for line in table["lines"]:
        assert len(line["at"]) == len(names)
        assert (line["at"][names.index("momentum")] is None) == (by_number[line["trial"]].config["optimiser"] != "sgd")
        assert all(0 <= at <= 1 for at in line["at"] if at is not None)
    assert len(table["lines"]) + table["left_out"] == 120


def test_slices_hold_the_active_trials(study: SampleStudy) -> None:
    table = slices(study)
    momentum = next(one for one in table["slices"] if one["axis"]["name"] == "momentum")
    valued = [t for t in study.trials if t.metrics and t.status not in (Status.DIVERGED, Status.FAILED, Status.LOST)]
    active = [t.number for t in valued if "momentum" in t.config]
    assert [point["trial"] for point in momentum["points"]] == active
    assert momentum["inactive"] == len(valued) - len(active)


def test_curves_keep_best_default_and_an_even_sample(study: SampleStudy) -> None:
    table = curves(study, most=20, points=5)
    kept = {curve["trial"] for curve in table["curves"]}
    assert study.best.number in kept
    assert 0 in kept
    assert 20 <= len(kept) <= 21
    assert table["total"] > 100
    best = next(curve for curve in table["curves"] if curve["trial"] == study.best.number)
    assert (best["resources"][0], best["resources"][-1], len(best["resources"])) == (1.0, 81.0, 5)


def test_a_resumed_trial_has_one_value_at_each_resource() -> None:
    study = small([1.0])
    study.problem = replace(study.problem, fidelity=Fidelity("epoch", 1, 9))
    reports = [(1, 0.9), (2, 0.8), (2, 0.7), (1, math.nan), (3, 0.6)]
    study.trials[0].reports = [Report(0, epoch, {"loss": value}) for epoch, value in reports]
    assert curves(study)["curves"][0]["values"] == [0.9, 0.7, 0.6]


def test_rungs_are_counted(study: SampleStudy) -> None:
    table = rungs(study)
    assert [level["resource"] for level in table["levels"]] == [1.0, 3.0, 9.0, 27.0, 81.0]
    for before, after in zip(table["levels"], table["levels"][1:], strict=False):
        assert before["promoted"] >= after["entered"]  # a running trial may not have arrived yet
    assert [level["last"] for level in table["levels"]] == [False] * 4 + [True]


def test_timeline_has_a_bar_for_every_run() -> None:
    def event(time: float, kind: str, trial: int, **data: object) -> Event:
        return Event(0, ZERO + time, kind, trial, None, data)

    study = small([1.0])
    study.log = [
        event(0, "started", 0, worker="worker-10", attempt=1),
        event(1, "started", 1, worker="worker-2", attempt=1),
        event(2, "lost", 0),
        event(3, "started", 0, worker="worker-2", attempt=2),
        event(4, "finished", 1, status="diverged"),
        event(5, "paused", 0),
        event(6, "stopped", 0, reason="end of the study"),
        event(7, "started", 2, worker="worker-10", attempt=1),
        event(8, "reported", 2),
    ]
    table = timeline(study)
    assert table["workers"] == ["worker-2", "worker-10"]
    assert [(b["trial"], b["attempt"], b["start"], b["end"], b["outcome"]) for b in table["bars"]] == [
        (0, 1, 0.0, 2.0, "lost"),
        (1, 1, 1.0, 4.0, "diverged"),
        (0, 2, 3.0, 5.0, "paused"),
        (2, 1, 7.0, 8.0, "running"),
    ]
    assert table["busy"] == {"worker-2": 0.5, "worker-10": 0.375}


def test_hypervolume_of_a_hand_computed_set() -> None:
    problem = Problem(Space(x=Choice("a", "b", "c")), (Objective("cost"), Objective("score", "max")))
    study = small([0.0, 0.0, 0.0])
    study.problem = problem
    for trial, (cost, score) in zip(study.trials, [(0.0, 0.0), (1.0, 10.0), (0.5, 5.0)], strict=True):
        trial.metrics = {"cost": cost, "score": score}
    study.pareto = list(study.trials)
    table = pareto_front(study)
    assert (table["reference"], table["ideal"]) == ([1.0, 0.0], [0.0, 10.0])
    # in units of the box, from the corner (1.01, 1.01): two slivers of 1.01 x 0.01, then the square at (0.5, 0.5)
    slivers = [1.01 * 0.01, 2 * 1.01 * 0.01 - 0.01 * 0.01]
    whole = slivers[1] + (0.51 - 0.01) ** 2
    expected = [volume / 1.01**2 for volume in (*slivers, whole)]
    assert [row["volume"] for row in table["hypervolume"]] == pytest.approx(expected, rel=1e-3)


def test_pareto_counts_feasible_trials_alone() -> None:
    study = two_objectives()
    table = pareto_front(study)
    assert {p["trial"] for p in table["points"] if p["front"]} == {t.number for t in study.pareto}
    over = {t.number for t in study.trials if t.metrics["memory_mb"] > 900}
    assert over
    assert {p["trial"] for p in table["points"] if not p["counted"]} == over
    volumes = [row["volume"] for row in table["hypervolume"]]
    assert volumes == sorted(volumes)
    assert 0 < volumes[-1] <= 1


def test_staircase_turns_on_the_dominated_side() -> None:
    assert staircase([(3.0, 1.0), (1.0, 3.0)], (1, 1)) == [(1.0, 3.0), (3.0, 3.0), (3.0, 1.0)]
    assert staircase([(0.8, 2.0), (0.9, 6.0)], (-1, 1)) == [(0.9, 6.0), (0.8, 6.0), (0.8, 2.0)]


def test_range_shows_the_bulk_and_the_good_end() -> None:
    values = [float(i) for i in range(1, 21)]
    assert shown_range(values) == pytest.approx((1 - 1.14, 20 + 1.14))
    low, high = shown_range([*values, 1e9])
    assert low < 1 < 20 < high < 100
    low, high = shown_range([*[-v for v in values], -1e9], sign=-1.0)
    assert -100 < low < -20 < -1 < high
    assert shown_range([None]) is None
    assert shown_range([3.0]) == pytest.approx((2.82, 3.18))


def test_numbers_for_the_eye() -> None:
    assert [short(v) for v in (None, 3.0, 0.123456, 1e-5, 2.5e9)] == ["–", "3", "0.1235", "1e-5", "2.5e9"]
    assert [duration(v) for v in (None, 0.42, 59.0, 125.0, 7620.0)] == [
        "–",
        "0.42 s",
        "59 s",
        "2 min 05 s",
        "2 h 07 min",
    ]
    assert clean(10**400) is None
    assert clean("text") is None
    assert clean(True) == 1.0


def test_summary_of_a_study(study: SampleStudy) -> None:
    facts = summary(study)
    assert facts["best"]["trial"] == study.best.number
    assert facts["best"]["config"] == dict(study.best.config)
    assert facts["default"]["trial"] == 0
    usual, ours = facts["default"]["values"]["val_loss"], facts["best"]["values"]["val_loss"]
    assert facts["gain"] == pytest.approx((usual - ours) / usual, rel=1e-3)
    assert sum(facts["counts"].values()) == facts["trials"] == 120
    assert facts["command"] == "luthier resume runs/digits-mlp"
    assert facts["budget"]["resource"] == sum(t.resource or 0 for t in study.trials)


def test_summary_compares_nothing_at_different_resources(study: SampleStudy) -> None:
    default = replace(study.trials[0], resource=3)
    assert summary(replace(study, trials=[default, *study.trials[1:]]))["gain"] is None


def test_a_study_without_a_command_is_continued_where_it_lies() -> None:
    study = small([1.0])
    study.where = "runs/my study"  # type: ignore[attr-defined]
    assert summary(study)["command"] == "luthier resume 'runs/my study'"
    study.where = "memory://#small"  # type: ignore[attr-defined]
    assert summary(study)["command"] == ""


def test_the_sample_space_is_conditional() -> None:
    assert space().conditions


def test_coverage_leaves_out_moments_without_one(study: SampleStudy) -> None:
    rows = coverage(study)["rows"]
    assert [row["trials"] for row in rows] == [29, 58, 104]
    assert rows[1] == {
        "trials": 58,
        "promised": 0.6666667,
        "uncorrected": None,
        "measured": 0.6,
        "error": pytest.approx(math.sqrt(0.24 / 58)),
    }
    assert tables(empty())["coverage"] == {"rows": []}


def test_coverage_over_a_real_study() -> None:
    """The course is a function of the log; its end agrees with what the searcher says now."""
    space = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0))
    study = lu.Study(space, "loss", searcher="cqr", seed=0)
    study.run(lambda run: run.config["x"] + run.config["y"], trials=32)
    rows = tables(study)["coverage"]["rows"]
    assert [row["trials"] for row in rows] == [10, 13, 16, 18, 21, 24, 26, 29, 32]
    now = study.diagnostics()
    assert (rows[-1]["measured"], rows[-1]["uncorrected"]) == (
        clean(now["coverage"]),
        clean(now["coverage_uncorrected"]),
    )
    assert rows == tables(study)["coverage"]["rows"]
    plain = lu.Study(space, "loss", searcher="random", seed=0)
    plain.run(lambda run: run.config["x"], trials=3)
    assert tables(plain)["coverage"] == {"rows": []}
