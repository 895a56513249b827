"""The page of a comparison: what stands on it, that it holds in a browser, and its pictures as files of their own."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_browser import MISSING, Browser, find_chromium

from luthier.bench.studies.analysis import Table, analyse
from luthier.report._comparison import looks_of
from luthier.report._methods import BANDS, method_looks
from luthier.report._sheets import number, p_value
from luthier.report.comparison import render_comparison, write_comparison, write_pictures
from luthier.report.figures.pairings import diagram_figure
from luthier.report.figures.regret import LEAST, regret_figure

sys.path.append(str(Path(__file__).parents[1] / "bench"))
from study_samples import made, random_runs

NAMES = ["random", *(f"method-{i}" for i in range(1, 13))]
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[Table]:
    """Of thirteen methods on eight tasks of four families."""
    folder = tmp_path_factory.mktemp("study")
    made(
        folder, random_runs(methods=13, seeds=3)[::-1], methods=NAMES, families=[f"f{i % 4}" for i in range(8)],
        pairs=[["random", "method-1"]], baselines={"random": ["method-2", "method-3"]},
    )  # fmt: skip
    return analyse(folder, draws=50)


@pytest.fixture(scope="module")
def page(tables: list[Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_comparison(tables, tmp_path_factory.mktemp("page"))


def words(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text))


def data_of(text: str) -> dict:
    return json.loads(re.search(r'id="report-data">(.*?)</script>', text, re.DOTALL)[1])


def test_every_table_is_on_the_page(page: Path, tables: list[Table]) -> None:
    text = page.read_text()
    by_name = {table.name: table for table in tables}
    for part in (
        "overview", "conclusions", "regret", "ranks", "diagram", "profiles", "pairs", "control", "findings", "tasks",
        "overhead", "failures", "gaps", "provenance",
    ):  # fmt: skip
        assert f'id="{part}"' in text, part
    said = words(text)
    for row in by_name["conclusions"].rows:
        assert row["sentence"] in said.replace("&#x27;", "'")
    for row in by_name["findings"].rows:
        assert f"{row['statement']} {row['verdict']}" in said
    assert "78 pairs" in said
    best = by_name["overview"].rows[0]
    assert f"Lowest mean rank {best['method']} mean rank {number(best['rank'])}" in said
    assert page.name == "comparison.html"
    assert render_comparison(tables) == text  # equal tables, equal bytes


def test_pictures_hold_the_numbers_of_the_tables(tables: list[Table]) -> None:
    by_name = {table.name: table for table in tables}
    figures = {one["id"]: one for one in data_of(render_comparison(tables))["figures"]}
    rows = [r for r in by_name["curves"].rows if r["family"] == "all families" and r["method"] == "method-4"]
    [line] = [t for t in figures["plot-regret"]["data"] if t["meta"] == {"method": "method-4"}]
    assert line["x"][-1] == 100
    assert line["y"][-1] == pytest.approx(rows[-1]["regret"], rel=1e-3)
    assert line["line"]["shape"] == "hv"  # a run keeps its incumbent until the next one
    [band] = [t for t in figures["plot-regret"]["data"] if t["meta"].get("band") and t["meta"]["method"] == "method-4"]
    assert max(band["y"]) == pytest.approx(max(row["high"] for row in rows), rel=1e-3)
    cells = figures["plot-improvement"]["data"][0]["z"]
    order = [row["method"] for row in by_name["overview"].rows]
    found = {(row["method"], row["than"]): row["p"] for row in by_name["improvement"].rows}
    assert cells[0][5] == found[order[0], order[5]]
    small = [name for name in figures if name.startswith("plot-small-task")]
    assert len(small) == 8


def test_thirteen_methods_look_differently_and_few_have_bands(tables: list[Table]) -> None:
    looks = looks_of({table.name: table for table in tables})
    assert len({(look.colour, look.dash) for look in looks.values()}) == 13
    assert sum(look.band for look in looks.values()) == 3
    few = method_looks(["a", "b"], "b", ["a", "b", "b, 2 x budget"])
    assert [look.band for look in few.values()] == [True, True, False]
    assert len(few) - 1 <= BANDS


def test_a_logarithmic_axis_keeps_what_is_zero() -> None:
    looks = method_looks(["a"], "a", ["a"])
    rows = [{"method": "a", "share": s, "regret": r, "low": 0.0, "high": 1.5} for s, r in ((0.1, 1.2), (1.0, 0.0))]
    figure = regret_figure(rows, looks)
    low, high = figure["layout"]["yaxis"]["range"]
    for trace in figure["data"]:
        assert min(trace["y"]) >= LEAST
        assert all(low <= np.log10(y) <= high for y in trace["y"])
    assert figure["switches"]["y"]["linear"]["y"][1] == [1.2, 0.0]


def test_the_diagram_joins_what_is_not_told_apart() -> None:
    rows = [{"method": f"m{i}", "rank": rank} for i, rank in enumerate((1.2, 2.0, 3.4, 3.4))]
    figure = diagram_figure(rows, {"groups": [["m0", "m1"], ["m2", "m3"]], "critical_difference": 1.3})
    bars = [shape for shape in figure["layout"]["shapes"] if shape["line"]["width"] == 5.0]
    assert [(round(bar["x0"], 2), round(bar["x1"], 2)) for bar in bars] == [(1.15, 2.05), (3.35, 3.45)]
    assert bars[0]["y0"] > bars[1]["y0"]  # on lines of their own
    assert sum(bool(re.search(r"m\d", note["text"])) for note in figure["layout"]["annotations"]) == 4


def test_names_are_words_and_never_markup(tables: list[Table]) -> None:
    changed = [
        replace(table, rows=[{k: EVIL if v == "method-1" else v for k, v in row.items()} for row in table.rows])
        if table.name in ("overview", "curves", "ranks", "profiles", "reached", "task_curves", "against_control")
        else table
        for table in tables
        if table.name not in ("improvement", "pairs", "diagram")
    ]
    text = render_comparison(changed)
    assert EVIL not in text
    assert "&lt;script&gt;alert(1)" in text


def test_numbers_for_the_eye() -> None:
    assert [number(v) for v in (None, -0.5, float("inf"), "inf", 3)] == ["–", "−0.5", "∞", "inf", "3"]
    assert [p_value(v) for v in (None, 0.0004, 0.0123, 0.4)] == ["–", "&lt; 0.001", "0.012", "0.40"]


def test_pictures_are_written_as_svg(tables: list[Table], tmp_path: Path) -> None:
    files = write_pictures(tables, tmp_path)
    assert [path.name for path in files] == ["regret.svg", "ranks.svg", "diagram.svg"]
    for path in files:
        root = ET.fromstring(path.read_text())
        width, height = float(root.get("width")), float(root.get("height"))
        said = {node.text for node in root.iter("{http://www.w3.org/2000/svg}text")}
        assert {name for name in NAMES if any(name in (text or "") for text in said)} == set(NAMES)
        for node in root.iter("{http://www.w3.org/2000/svg}text"):
            if node.get("x"):
                assert 0 <= float(node.get("x")) <= width
                assert 0 <= float(node.get("y")) <= height
    before = [path.read_bytes() for path in files]
    assert [path.read_bytes() for path in write_pictures(tables, tmp_path)] == before


def test_few_tasks_and_one_method_have_a_page_without_tests(tmp_path: Path) -> None:
    made(tmp_path, random_runs(methods=1, tasks=2, seeds=2))
    text = render_comparison(analyse(tmp_path, draws=20))
    for part in ("diagram", "pairs", "control", "findings", "ranks"):
        assert f'id="{part}"' not in text
    assert "Below 6 no test over tasks can reach 5 %" in text


# in a browser ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        pytest.skip(MISSING)
    with Browser(program) as found:
        yield found


def test_the_page_draws_and_one_legend_rules_all_pictures(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.messages == []
    assert browser.run("document.documentElement.dataset.errors || ''") == ""
    assert [url for url in browser.requests[1:] if not url.startswith(("data:", "blob:"))] == []
    plots = browser.run("[...document.querySelectorAll('.plot')].map(p => !!p.querySelector('svg.main-svg'))")
    assert len(plots) == 6 + 4 + 8  # of the whole, of families, of tasks
    assert all(plots)
    browser.click("#regret .methods button[data-method='method-7']")
    pressed = "[...document.querySelectorAll('.methods button[aria-pressed=true]')].map(b => b.dataset.method)"
    assert set(browser.run(pressed)) == {"method-7"}
    strong = (
        "['plot-regret', 'plot-ranks', 'plot-small-task-3'].map(id => document.getElementById(id).data"
        ".filter(t => t.meta && (t.meta.band ? t.visible === true : t.opacity === 1)).map(t => t.meta.method))"
    )
    browser.wait(f"(found => found[2].length === 1)({strong})")
    assert browser.run(strong) == [["method-7"] * 2, ["method-7"] * 2, ["method-7"]]
    browser.click("#ranks .methods button[data-method='method-7']")
    browser.wait(f"(found => found[2].length === 13)({strong})")
    axis = "document.getElementById('plot-regret')._fullLayout.yaxis"
    assert browser.run(f"{axis}.type") == "log"
    browser.click("#regret .switch button[data-key='linear']")
    browser.wait(f"{axis}.type === 'linear'")
    assert browser.run(f"{axis}.range") == [0, 1.55]
    assert browser.messages == []


def test_the_page_fits_a_phone(browser: Browser, page: Path) -> None:
    try:
        browser._ask("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
        browser.open(page)
        assert browser.run("document.documentElement.scrollWidth") <= 390
        outside = browser.run(
            "[...document.querySelectorAll('.plot')].filter(p => !p.closest('.scroll') && "
            "p.querySelector('svg').getBoundingClientRect().right > 391).map(p => p.id)"
        )
        assert outside == []
    finally:
        browser._ask("Emulation.clearDeviceMetricsOverride")
