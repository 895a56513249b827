"""Stopping and overtuning on the page: the tables by hand, the band by simulation, the pictures in a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_browser import MISSING, Browser, find_chromium
from report_samples import SampleStudy, halving

import luthier as lu
from luthier.base.records import Configuration, Event, Objective, Status, Trial
from luthier.report import render, tables, write_report
from luthier.report.stopping import compared, stopping, words
from luthier.report.tuning_curve import _rows, band, best_of, tuning_curve
from luthier.space.problem import Problem

SPACE = lu.Space(lr=lu.Float(1e-4, 1.0, log=True, default=1e-3), width=lu.Int(4, 64, default=16))


def noisy(run: lu.Run) -> None:
    rng = np.random.default_rng([run.split_seed, round(1e8 * run.config["lr"])])
    true = 0.05 * (np.log10(run.config["lr"]) + 1.5) ** 2 + abs(run.config["width"] - 30) / 200
    folds = true + 0.06 * rng.normal(size=5)
    run.report(loss=float(folds.mean()), folds=folds.tolist(), test_loss=float(true))


@pytest.fixture(scope="module")
def study() -> lu.Study:
    rules: list[Any] = [
        {"name": "regret", "first": 8, "share": None},
        {"name": "plateau", "advise": True, "trials": 5},
    ]
    made = lu.Study(SPACE, untouched="test_loss", searcher="random", seed=3, stopping=rules, incumbent="guarded")
    made.run(noisy, trials=30)
    return made


# tables ------------------------------------------------------------------------------------------------------


def verdict(seq: int, place: int, **data: Any) -> Event:
    known = {"rule": ("regret", "plateau")[place], "place": place, "advise": True, "stop": False, "skipped": False}
    return Event(seq, float(seq), "verdict", None, seq - 1, {**known, "reason": f"word {seq}", **data})


def test_verdicts_by_hand() -> None:
    problem = Problem(SPACE, (Objective("loss"),))
    log = [
        Event(1, 1.0, "finished", 0, None, {}),
        verdict(2, 1, stop=True, bound=0.0, threshold=0.0),
        Event(3, 3.0, "failed", 1, None, {}),
        verdict(4, 0, results=2, bound=-1e-18, threshold=None),
        Event(5, 5.0, "finished", 2, None, {}),
        verdict(6, 0, results=3, bound=0.3, threshold=0.1),
        verdict(7, 0, results=3, bound=0.05, threshold=0.1, stop=True),
        verdict(8, 0, skipped=True),
    ]
    table = stopping(SampleStudy("s", problem, [], log))
    regret, plateau = table["rules"]
    assert regret["rows"] == [
        {"trials": 2, "bound": 0.0, "threshold": None, "stop": False},
        {"trials": 3, "bound": 0.3, "threshold": 0.1, "stop": False},
        {"trials": 3, "bound": 0.05, "threshold": 0.1, "stop": True},
    ]
    assert (regret["first_stop"], regret["reason"], plateau["first_stop"]) == (3, "word 7", 1)
    assert words(regret) == "regret: you may stop: word 7"
    assert words({**regret, "advise": False}) == "regret: stopped the study: word 7"
    assert words({**regret, "stop": False}) == "regret: not yet: word 7"
    assert compared(table["rules"]) == [regret]  # plateau says only what is new


def test_the_mean_of_the_best_is_that_of_all_subsets() -> None:
    y = np.array([1.0, 2.0, 4.0, 8.0, 9.0, 9.5])
    found = best_of(y)
    assert found == pytest.approx([np.mean([min(c) for c in combinations(y, n)]) for n in range(1, 7)])
    assert list(best_of(np.array([1.0, 2.0, np.inf])))[1:] == pytest.approx([4 / 3, 1.0])


def test_the_band_by_hand_and_by_simulation() -> None:
    low, high = band(30, 0.95)
    assert low == pytest.approx(1.0 - high[::-1], abs=1e-12)  # what holds for F holds for 1 - F
    rng, true = np.random.default_rng(1), 1.0 - 0.5 ** (1.0 / np.arange(1, 31))
    held = 0
    for _ in range(200):
        rows = _rows(np.sort(rng.random(30)), 0.95)
        held += all(
            (row["low"] is None or row["low"] <= median) and (row["high"] is None or median <= row["high"])
            for row, median in zip(rows, true, strict=True)
        )
    assert held >= 185  # 190 are promised; about 197 are seen, for the ends of the band are values of the sample
    wide, narrow = (_rows((np.arange(n) + 0.5) / n, 0.95)[0] for n in (30, 480))
    assert narrow["high"] - narrow["low"] < 0.5 * (wide["high"] - wide["low"])


def drawn(values: list[float | None], goal: str = "min", status: Status = Status.COMPLETED) -> SampleStudy:
    trials = [
        Trial(n, Configuration(lr=0.1, width=8), Status.FAILED if v is None else status, origin="random",
              metrics={} if v is None else {"loss": v})
        for n, v in enumerate(values)
    ]  # fmt: skip
    return SampleStudy("s", Problem(SPACE, (Objective("loss", goal),)), trials, [])


def test_the_curve_of_what_is_maximised_is_the_mirror_image() -> None:
    values = [float(x) for x in np.random.default_rng(0).random(20)]
    down, up = tuning_curve(drawn(values)), tuning_curve(drawn([-v for v in values], "max"))
    for a, b in zip(down["rows"], up["rows"], strict=True):
        assert (b["median"], b["mean"]) == (-a["median"], -a["mean"])
        assert b["low"] == (None if a["high"] is None else -a["high"])
    assert down["rows"][0]["mean"] == pytest.approx(np.mean(values))
    assert down["rows"][-1]["mean"] == pytest.approx(min(values))


def test_when_there_is_no_curve_and_what_failures_do() -> None:
    assert tuning_curve(drawn([1.0] * 5))["why"] == "5 random trials, and it takes 10"
    assert tuning_curve(drawn([1.0] * 15, status=Status.STOPPED))["why"] == "trials were stopped early"
    rows = tuning_curve(drawn([*map(float, range(9)), None, None]))["rows"]
    assert rows[0]["mean"] is None  # one of 11 drawn may have failed
    assert rows[2]["mean"] is not None  # of three one has a value
    assert rows[0]["median"] == 5.0


def test_tables_of_a_real_study(study: lu.Study) -> None:
    found = json.loads(json.dumps(tables(study), allow_nan=False))
    regret, plateau = found["stopping"]["rules"]
    assert (regret["rule"], plateau["rule"]) == ("regret", "plateau")
    assert len(regret["rows"]) > 15
    lost = found["overtuned"]
    assert (lost["metric"], lost["results"]) == ("test_loss", 30)
    assert lost["rows"][-1]["trial"] == study.best.number
    assert lost["optimism"]["trial"] == study.best.number
    assert found["tuning_curve"]["trials"] == 29  # the default was not drawn
    assert json.dumps(tables(study), allow_nan=False) == json.dumps(found)


def test_the_page_has_the_section_where_there_is_something_to_say(study: lu.Study) -> None:
    text = render(study)
    assert 'id="stopping"' in text
    assert "plateau: not yet: the last 5 trials have improved" in text
    assert 'id="stopping"' not in render(halving(30))


def test_hostile_rules_stay_words(study: lu.Study) -> None:
    evil = '<img src=x onerror="window.hacked=1">'
    problem = Problem(SPACE, (Objective("loss"),))
    log = [verdict(n, 0, rule=evil, reason=evil, results=n, bound=1.0 / n, threshold=0.1) for n in (1, 2, 3)]
    trials = study.trials
    assert "<img" not in render(SampleStudy("s", problem, trials, log, best=trials[0]))


# pictures ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    assert program is not None
    with Browser(program) as found:
        yield found


@pytest.mark.skipif(find_chromium() is None, reason=MISSING)
@pytest.mark.parametrize("width", [1280, 390])
def test_the_pictures_are_drawn(browser: Browser, study: lu.Study, tmp_path: Path, width: int) -> None:
    browser._ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
    browser.open(write_report(study, tmp_path / "page.html"))
    assert browser.messages == []
    drawn = browser.run(
        "[...document.querySelectorAll('#stopping .plot svg.main-svg')].map(e => e.closest('.plot').id)"
    )
    assert set(drawn) == {"plot-stopping-0", "plot-overtuning", "plot-tuning-curve"}
    checks = browser.run("document.querySelectorAll('#plot-stopping-0 .scatterlayer .trace:first-child .point').length")
    assert checks == len(tables(study)["stopping"]["rules"][0]["rows"])
    assert browser.run("document.documentElement.scrollWidth") <= width
