"""The page as a file: whole, offline, safe with hostile words, and the figures as plain dictionaries."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest
from report_samples import SampleStudy, empty, halving, two_objectives

from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Objective, Status
from luthier.report import render, write_report
from luthier.report._html import embed, escape
from luthier.report.coverage import coverage
from luthier.report.curves import curves, rungs
from luthier.report.figures import (
    coverage_figure,
    curves_figure,
    history_figure,
    rungs_figure,
    slice_figures,
    timeline_figure,
)
from luthier.report.figures._style import label
from luthier.report.history import history
from luthier.report.slices import slices
from luthier.report.timeline import timeline
from luthier.space import Choice, Float, Space
from luthier.space.problem import Problem

EVIL = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=2">\'&\u2028%{x} 木'


def hostile() -> SampleStudy:
    """A small study in which every text that a user can choose is an attack."""
    study = halving(14, workers=2, name=EVIL)
    learning_rate = study.problem.space["learning_rate"]
    names = {EVIL: Choice(EVIL, "tame"), "<b>bold</b>": Float(0.0, 1.0), "learning_rate": learning_rate}
    study.problem = Problem(Space(names), (Objective(EVIL),), fidelity=study.problem.fidelity)
    for trial in study.trials:
        rate = trial.config["learning_rate"]
        trial.config = Configuration(
            {EVIL: (EVIL, "tame")[trial.number % 2], "<b>bold</b>": 0.5, "learning_rate": rate}
        )
        trial.metrics = {EVIL: value for value in trial.metrics.values()}
        trial.reports = [type(r)(r.trial, r.resource, {EVIL: v}) for r in trial.reports for v in r.metrics.values()]
        trial.tags, trial.note, trial.origin = {EVIL: EVIL}, EVIL, EVIL
    study.trials[11].error = EVIL
    study.log = [e._replace(data={**e.data, "worker": EVIL}) if e.kind == "started" else e for e in study.log]
    study.settings["resume"] = study.settings["executor"] = EVIL
    study.told, study.rule, study.searcher_name = {EVIL: EVIL}, EVIL, EVIL
    return study


class _Reader(HTMLParser):
    """Collects elements and the text of scripts, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = tag == "script"
        if self._in:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = False

    def handle_data(self, data: str) -> None:
        if self._in:
            self.scripts[-1] += data


def test_write_report_makes_one_file_and_the_same_bytes(tmp_path: Path) -> None:
    study = halving(60)
    first = write_report(study, tmp_path)
    assert first == tmp_path / "report.html"
    second = write_report(study, str(tmp_path / "again.html"))
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.html", "report.html"]


def test_write_report_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "report.html"
    with pytest.raises(ArgumentError) as caught:
        write_report(empty(), target)
    assert str(caught.value) == (
        f"report {str(target)!r}: {str(tmp_path / 'file')!r} is no folder. Allowed: a file in a folder that can be "
        "written. Give another path."
    )


def test_a_thousand_trials_stay_below_three_megabytes() -> None:
    assert len(render(halving(1000, workers=8)).encode()) < 3_000_000


def test_the_page_names_its_scripts_by_hash_and_fetches_nothing() -> None:
    page = _Reader(render(halving(20)))
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    runs = [
        text
        for (_, attributes), text in zip([e for e in page.elements if e[0] == "script"], page.scripts, strict=True)
        if "type" not in attributes
    ]
    assert len(runs) == 2
    for text in runs:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert "default-src 'none'" in policy
    for tag, attributes in page.elements:
        assert "src" not in attributes, tag
        assert tag != "link"
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")


def test_sections_stand_in_order() -> None:
    def found(study: SampleStudy) -> list[str]:
        return [a["id"] for t, a in _Reader(render(study)).elements if t == "section" and a.get("class") == "part"]

    usual = ["history", "trials", "parallel", "importance", "slices", "contours", "curves", "timeline"]
    assert found(halving(30)) == [*usual, "coverage", "diagnostics"]
    assert found(two_objectives(20)) == [name for name in usual if name != "curves"] + ["pareto"]
    assert found(empty()) == []


def test_the_head_says_what_was_found_and_how() -> None:
    study = halving(120)
    text = render(study)
    for words in (
        "minimise <strong>val_loss</strong>",
        f"trial {study.best.number} at epoch 81",
        "default 0.0",
        "% lower</strong> than the default",
        "Best single value at the highest epoch reached.",
        "luthier resume runs/digits-mlp",
        "of 1 h 00 min granted",
    ):
        assert words in text, words


def test_hostile_words_stay_words() -> None:
    text = render(hostile())
    page = _Reader(text)
    assert [t for t, _ in page.elements if t in ("img", "b")] == []
    assert sum(t == "script" for t, _ in page.elements) == 4
    assert "<script>window.hacked" not in text
    data = json.loads(page.scripts[0])
    assert data["trials"]["details"][11]["error"] == EVIL
    assert data["trials"]["details"][0]["config"][EVIL] == EVIL
    drawn = json.dumps(data["figures"], ensure_ascii=False)
    assert "<img" not in drawn
    assert "<b>bold" not in drawn
    assert "%{x} 木" not in drawn


@pytest.mark.parametrize("text", ["</script>", "<!--", "\u2028", "a&amp;b", '"', "\ud800", "\x00"])
def test_embedded_json_reads_back_and_cannot_end_its_element(text: str) -> None:
    written = embed({"key": text})
    assert not set("<>&\u2028\u2029") & set(written)
    assert json.loads(written) == {"key": text}
    written.encode("utf-8")


def test_embedded_json_refuses_what_json_does_not_know() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        embed([float("nan")])


def test_escape_drops_what_steers_terminals() -> None:
    assert escape("\x1b[31m<a> \u202e\"x'") == "[31m&lt;a&gt; &quot;x&#x27;"


def test_labels_are_neither_markup_nor_template() -> None:
    assert label("<a href='x'>%{y}&") == "&lt;a href='x'&gt;%\u200b{y}&amp;"


def test_every_trial_is_a_point_of_the_history() -> None:
    study = halving(120)
    table = history(study)
    figure = history_figure(table)
    points = [trace for trace in figure["data"] if trace["mode"] == "markers" and trace["name"] != "best"]
    assert sum(len(trace["x"]) for trace in points) == len(table["rows"]) == 120
    for axis, choices in figure["switches"].items():
        for chosen in choices.values():
            assert [len(trace[axis]) for trace in figure["data"]] == [len(one) for one in chosen[axis]]
    assert list(figure["switches"]["y"]) == ["linear", "log"]


def test_history_of_negative_values_offers_the_gap() -> None:
    study = two_objectives(30)
    figure = history_figure(history(study, 0))
    assert list(figure["switches"]["y"]) == ["linear", "gap"]
    gaps = [gap for trace in figure["switches"]["y"]["gap"]["y"] for gap in trace if gap is not None]
    assert min(gaps) > 0


def test_figures_hold_what_their_tables_hold() -> None:
    study = halving(80)
    table = slices(study)
    for one, figure in zip(table["slices"], slice_figures(table), strict=True):
        drawn = {row[0] for trace in figure["data"] for row in trace["customdata"]}
        assert drawn == {point["trial"] for point in one["points"]}
    bars = timeline(study)["bars"]
    assert sum(len(trace["x"]) for trace in timeline_figure(timeline(study))["data"] if trace["type"] == "bar") == len(
        bars
    )
    ends = [trace for trace in curves_figure(curves(study))["data"] if trace["mode"] == "markers"]
    assert sum(len(trace["x"]) for trace in ends) == curves(study)["total"]
    rows = rungs(study)["rows"]
    assert sum(len(trace["x"]) for trace in rungs_figure(rungs(study))["data"]) == len(rows)
    promised, uncorrected, measured = coverage_figure(coverage(study))["data"]
    assert measured["x"] == promised["x"] == [29, 58, 104]
    assert (measured["y"], uncorrected["y"]) == ([0.8, 0.6, 0.683], [0.45, None, 0.52])
    assert measured["error_y"]["array"][0] == pytest.approx((0.8 * 0.2 / 29) ** 0.5)


def test_all_trials_failed_is_a_report_too() -> None:
    study = halving(20)
    for trial in study.trials:
        trial.status, trial.metrics, trial.reports, trial.error = Status.FAILED, {}, [], "ValueError: no"
    study.best, study.pareto, study.ladder = None, [], []
    text = render(study)
    assert "no trial has a usable result yet" in text
    assert 'id="history"' in text
    assert 'id="parallel"' not in text


def test_a_time_beyond_the_calendar_is_not_said() -> None:
    study = halving(10)
    study.log = [event._replace(time=event.time * 1e9) for event in study.log]
    assert f"up to event {len(study.log)}. Pictures" in render(study)


def test_the_plotting_library_ships_with_its_licences() -> None:
    assets = files("luthier.report") / "assets"
    licences = (assets / "plotly.LICENSES.txt").read_text(encoding="utf-8")
    version = re.match(r"/\* plotly\.js (\S+) ", (assets / "plotly.min.js").read_text(encoding="utf-8"))
    assert version is not None
    assert f"plotly.js {version[1]} (MIT)" in licences
    assert "Permission is hereby granted" in licences
    pinned = json.loads((Path(__file__).parents[2] / "tools/plotly/package.json").read_text())["dependencies"]
    assert pinned["plotly.js"] == version[1]


def test_importing_the_room_is_light() -> None:
    script = "import sys, luthier.report; print(sorted(m for m in sys.modules if m.startswith(('numpy', 'luthier.r'))))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['luthier.report']"
