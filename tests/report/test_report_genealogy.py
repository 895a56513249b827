"""Genealogies: made by hand, and those of real populations in virtual time; the new pictures in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_browser import MISSING, Browser, find_chromium
from report_logs import Log, climb, study_of
from report_samples import SampleStudy, halving, simulated

from luthier.base.records import Configuration, Fidelity, Objective
from luthier.report import render, summary, tables, write_report
from luthier.report.brackets import brackets
from luthier.report.figures import (
    brackets_figure,
    genealogy_figure,
    schedule_figures,
)
from luthier.report.genealogy import genealogy
from luthier.space import Choice, Space
from luthier.space.problem import Problem
from luthier.study.study import Study

# genealogies -------------------------------------------------------------------------------------------------


def family() -> SampleStudy:
    """Three members. 3 replaces 1 with a copy of 0, 4 replaces 2 with a copy of 3; 5 finds no empty place."""
    log = Log()
    log(0.0, "begun", workers=3, executor="simulated", virtual=True)
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
    path = next(trace for trace in figure["data"] if trace.get("name") == "incumbent's line (trial 4)")
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
