"""Studies whose plan, data or adapter changed between two runs: nothing that was made otherwise is mixed in."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
from study_samples import made, plain, random_runs, rows_of
from test_bench_tools import RANDOM

from luthier import bench
from luthier.base.errors import ArgumentError
from luthier.bench.studies import run, tasks
from luthier.bench.studies.accounts import provenance, skipped
from luthier.bench.studies.analysis import Analysis
from luthier.bench.studies.plan_file import parse
from luthier.bench.studies.references import Reference
from luthier.bench.studies.results import Results
from luthier.bench.studies.store import Cell, Store

# the plan ----------------------------------------------------------------------------------------------------


def edited(**more):
    """The small study with two methods of three, which a test changes afterwards."""
    return parse(plain(**{"tasks": {"test": {"synthetic": ["synthetic/branin"]}}, **more}))


def test_cells_of_another_budget_are_not_compared_with_those_of_the_plan(tmp_path):
    run(edited(), tmp_path, jobs=0)
    methods = {**plain()["methods"], "new": {"searcher": "sobol"}}
    run(edited(methods=methods, budget={"evaluations": 16}), tmp_path, jobs=0, methods=["new"])
    found = Results.read(tmp_path).compare()
    assert found.methods == ("new",)
    assert found.left_out == {
        name: "its cells had other budgets: on synthetic/branin, seed 0, 8 (evaluations); the study says 16 "
        f"(evaluations); make them anew with --fresh {name}"
        for name in ("random", "halton")
    }
    [row] = rows_of([skipped(Analysis(found, draws=10))], "skipped")[:1]
    assert "had other budgets" in row["why"]
    with pytest.raises(ArgumentError, match=r"nothing can be compared .* random: its cells had other budgets"):
        Results.read(tmp_path).compare(methods=["random"])
    run(edited(methods=methods, budget={"evaluations": 16}), tmp_path, jobs=0, fresh=["random", "halton"])
    assert Results.read(tmp_path).compare().left_out == {}


def test_cells_of_another_definition_or_setting_are_not_compared(tmp_path):
    run(edited(), tmp_path / "a", jobs=0)
    changed = {"random": {"searcher": "random"}, "halton": {"searcher": "lhs"}, "new": {"searcher": "sobol"}}
    run(edited(methods=changed), tmp_path / "a", jobs=0, methods=["new"])
    found = Results.read(tmp_path / "a").compare()
    assert found.methods == ("random", "new")
    assert found.left_out["halton"].startswith('its cells were made with searcher "halton"; the study says "lhs"; make')
    run(edited(), tmp_path / "b", jobs=0)
    run(edited(methods=changed, cluster={"start_seconds": 0.5}), tmp_path / "b", jobs=0, methods=["new"])
    found = Results.read(tmp_path / "b").compare()
    assert found.methods == ("new",)
    assert found.left_out["random"].startswith('its cells were made with cluster {}; the study says {"start')


def test_provenance_has_the_definition_that_the_cells_were_made_by(tmp_path):
    made(tmp_path, random_runs(methods=2))
    before = {row["what"]: row["value"] for row in provenance(Analysis(Results.read(tmp_path).compare())).rows}
    assert before["method random"].startswith("{'searcher': 'random'")  # cells that say nothing have the plan's
    store = Store(tmp_path, "random")
    store.about = {"definition": {"searcher": "random", "of": "the cells"}, "versions": {}}
    store._write()
    after = {row["what"]: row["value"] for row in provenance(Analysis(Results.read(tmp_path).compare())).rows}
    assert after["method random"].startswith("{'of': 'the cells', 'searcher': 'random'}")


def test_cells_of_an_older_rule_are_read_and_not_mixed(tmp_path):
    plan = edited(methods={**plain()["methods"], "new": {"searcher": "sobol"}})
    run(plan, tmp_path, jobs=0)

    def older(name):
        store = Store(tmp_path, name)
        store.about["setting"]["rule"] = 1
        store._write()

    older("random")
    found = Results.read(tmp_path).compare()
    assert found.methods == ("halton", "new")
    now = json.loads(json.dumps(plan.setting()))["rule"]
    assert found.left_out["random"].startswith(
        f"its cells were made by rule 1 of luthier's studies, those of the others by rule {now}"
    )
    older("halton")
    older("new")
    found = Results.read(tmp_path).compare()
    assert found.left_out == {}
    kept = {row["what"]: row["value"] for row in provenance(Analysis(found, draws=10)).rows}
    assert kept["incumbent"].endswith("failed ones with what they had reported before")  # as it was then


# adapters and packages ---------------------------------------------------------------------------------------


def test_cells_of_a_script_that_has_changed_are_refused(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(RANDOM)
    options = {"script": str(script), "python": sys.executable}
    plan = edited(methods={"random": {"searcher": "random"}, "mine": {"tool": "script", "options": options}})
    run(plan, tmp_path / "out", jobs=0, methods=["mine"], seeds=[0])
    store = Store(tmp_path / "out", "mine")
    whole = store.about["definition"].pop("sha256")
    assert whole.startswith(store.about["versions"]["mine.py"])
    store._write()  # as it was before definitions held the hash: the beginning of it among the versions
    script.write_text(RANDOM + "# changed\n")
    changed = r"method 'mine': mine.py has changed since its \d cells .* \(--fresh mine\)"
    with pytest.raises(ArgumentError, match=changed):
        run(plan, tmp_path / "out", jobs=0, methods=["mine"])
    script.write_text(RANDOM)
    assert run(plan, tmp_path / "out", jobs=0, methods=["mine"]).made == 1
    assert Store(tmp_path / "out", "mine").about["definition"]["sha256"] == whole
    script.write_text(RANDOM + "# changed\n")
    with pytest.raises(ArgumentError, match=changed):
        run(plan, tmp_path / "out", jobs=0, methods=["mine"])
    assert run(plan, tmp_path / "out", jobs=0, methods=["mine"], fresh=["mine"]).made == 2


def test_versions_of_all_cells_are_kept(tmp_path):
    store = Store(tmp_path, "one")
    for version in ("1.0", "1.1", "1.1", "1.0"):
        store.begin({"searcher": "random"}, {"workers": 1}, {"numpy": version, "scipy": "3"})
        store.add("a", len(store.cells), Cell(10.0))
    assert store.about["versions"] == {"numpy": "1.0, then 1.1", "scipy": "3"}
    store.forget()
    store.begin({"searcher": "random"}, {"workers": 1}, {"numpy": "1.1"})
    assert store.about["versions"] == {"numpy": "1.1"}


# data --------------------------------------------------------------------------------------------------------


def test_data_that_have_changed_are_refused(tmp_path, monkeypatch):
    def loads(checksum):
        def load(name, **options):
            found = bench.load(name, **options)
            found.card = replace(found.card, checksum=checksum)
            return found

        monkeypatch.setattr(tasks, "load", load)

    loads({"3.csv": "one"})
    run(edited(), tmp_path, jobs=0, seeds=[0])
    path = tasks.reference_path(tmp_path, edited().tasks[0])
    known = Reference.read(path)
    assert known.checksum == {"3.csv": "one"}
    assert run(edited(), tmp_path, jobs=0, methods=["random"]).made == 1
    loads({"3.csv": "another"})
    with pytest.raises(ArgumentError, match=r"task 'synthetic/branin': 3.csv has changed since this study's reference"):
        run(edited(), tmp_path, jobs=0)
    replace(known, checksum={}).write(path)  # as it was before references held them
    assert run(edited(), tmp_path, jobs=0).made == 1
