"""Tuning by gradients on the page: the table by hand, the figures, the section in a browser. No torch is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_browser import MISSING, Browser, find_chromium
from report_samples import halving

import luthier as lu
from luthier.gradients import steps
from luthier.report import outer_steps as report_outer_steps
from luthier.report import render, tables, write_report
from luthier.report.figures import outer_figures
from luthier.report.outer_steps import outer_steps

SPACE = lu.Space(pull=lu.Float(1e-3, 10.0, log=True), width=lu.Int(1, 9), still=lu.Float(0.0, 1.0))
LOGGED: list[dict[str, Any]] = [  # as gradients log: two chains after one trial of a search, a step that diverged
    {"pull": 5.0, "loss": 9.0},
    {"pull": 0.1, "loss": 3.0, "outer_step": 0, "hypergradient": 2.0, "w.mean": 0.5, "w.min": 0.5, "w.max": 0.5},
    {"pull": 0.4, "loss": 1.0, "outer_step": 1, "hypergradient": 0.1, "w.mean": 0.6, "w.min": 0.4, "w.max": 0.7},
    {"pull": 0.9, "loss": float("nan"), "outer_step": 2, "hypergradient": float("nan")},
    {"pull": 2.0, "loss": 2.0, "outer_step": 0, "hypergradient": 0.5, "w.mean": 0.8, "w.min": 0.1, "w.max": 0.9},
]


def study(goal: str = "min") -> lu.Study:
    made = lu.Study(SPACE, [lu.Objective("loss", goal)], searcher="random", defaults_first=False)
    for row in LOGGED:
        made.enqueue({"pull": row["pull"], "width": 3, "still": 0.5})
    logged = iter(LOGGED)

    def program(run: lu.Run) -> None:
        run.report({name: value for name, value in next(logged).items() if name != "pull"})

    made.run(program, trials=len(LOGGED))
    return made


def test_the_table_by_hand() -> None:
    table = outer_steps(study())
    assert [(row["trial"], row["place"], row["chain"], row["value"], row["slope"]) for row in table["rows"]] == [
        (1, 0, 0, 3.0, 2.0),
        (2, 1, 0, 1.0, 0.1),
        (3, 2, 0, None, None),
        (4, 3, 1, 2.0, 0.5),
    ]
    assert table["best"] == 2
    assert [entry["axis"]["name"] for entry in table["moved"]] == ["pull"]  # what stays the same is not drawn
    assert [point["value"] for point in table["moved"][0]["points"]] == [0.1, 0.4, 0.9, 2.0]
    (tensor,) = table["tensors"]
    assert tensor["name"] == "w"
    assert tensor["points"][1] == {"place": 1, "chain": 0, "mean": 0.6, "low": 0.4, "high": 0.7}
    assert outer_steps(study("max"))["best"] == 1
    assert json.dumps(tables(study()), allow_nan=False)


def test_the_figures_break_between_chains_and_mark_the_best() -> None:
    made = dict(outer_figures(outer_steps(study())))
    assert list(made) == ["loss", "norm of the hypergradient", "pull", "w"]
    line, star, crosses = made["loss"]["data"]
    assert line["x"] == [0, 1, 2, None, 3]
    assert line["y"] == [3.0, 1.0, None, None, 2.0]
    assert (star["x"], star["y"]) == ([1], [1.0])
    assert (crosses["x"], crosses["y"]) == ([2], [1.0])
    assert made["norm of the hypergradient"]["layout"]["yaxis"]["type"] == "log"  # 2 and 0.1
    assert made["pull"]["layout"]["yaxis"]["type"] == "log"
    assert [trace["y"] for trace in made["w"]["data"][:2]] == [[0.5, 0.4, None, None, 0.1], [0.5, 0.7, None, None, 0.9]]


def test_the_section_is_there_where_gradients_were() -> None:
    page = render(study())
    assert "Hyperparameters over outer steps" in page
    assert "one of 2 chains" in page
    assert "a step that diverged" in page
    assert 'id="gradients"' not in render(halving(20))
    assert outer_steps(halving(20))["rows"] == []
    assert (steps.STEP, steps.SLOPE) == (report_outer_steps.STEP, report_outer_steps.SLOPE)


def test_the_section_is_drawn(tmp_path: Path) -> None:
    program = find_chromium()
    if program is None:
        pytest.skip(MISSING)
    with Browser(program) as browser:
        browser.open(write_report(study(), tmp_path / "report.html"))
        drawn = browser.run("[...document.querySelectorAll('.plot:has(svg.main-svg)')].map(p => p.id)")
        assert {f"plot-outer-{i}" for i in range(4)} <= set(drawn)
        assert browser.messages == []
        assert browser.run("document.querySelectorAll('#plot-outer-2 .points path').length") == 5  # four and the star
