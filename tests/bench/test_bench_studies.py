"""Studies: the plan's file, runs that go on where they stopped, tools from outside, tables made from the folder."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError, SchemaError, StorageError
from luthier.base.registry import names
from luthier.bench import statistics as st
from luthier.bench.studies import load_plan, presets, run, tools
from luthier.bench.studies.accounts import failures, overhead, provenance
from luthier.bench.studies.analysis import Analysis, Table, analyse, curves, summary
from luthier.bench.studies.conclusions import conclusions
from luthier.bench.studies.methods import run_cell
from luthier.bench.studies.plan import Plan
from luthier.bench.studies.plan_file import parse, read_plan
from luthier.bench.studies.results import Results, filled
from luthier.bench.studies.store import Cell, Store, locked
from luthier.bench.studies.tasks import Reference, make_reference, open_task, reference_path
from luthier.bench.studies.views import View
from luthier.bench.studies.writers import to_csv, to_latex, write

TIMED = ("overhead", "cpu_seconds", "wall_seconds", "answers_seconds", "harness_seconds")


def plain(**more):
    """A small study's table."""
    return {
        "name": "small",
        "seeds": 2,
        "budget": {"evaluations": 8},
        "methods": {"random": {"searcher": "random"}, "halton": {"searcher": "halton"}},
        "tasks": {"test": {"synthetic": ["synthetic/branin", "synthetic/camel"]}},
        **more,
    }


def alike(a: Cell, b: Cell) -> bool:
    """Whether two runs found the same; real times differ."""
    mine, theirs = a.to_json(), b.to_json()
    return all(str(mine[key]) == str(theirs[key]) for key in mine if key not in TIMED)


# the plan ----------------------------------------------------------------------------------------------------

TOML = """
name = "mine"
about = "A try."
question = "confirmatory"
control = "random"
missing = "skip"
seeds = [3, 5]
limit = 60
pairs = [["random", "asha"]]

[baselines]
random = ["tpe"]

[primary]
method = "tpe"
control = "random"
at = "anytime"

[budget]
evaluations = 50
clock = "seconds"
workers = 4
checkpoints = [0.1, 1]
resume = false

[budget.tasks."synthetic/*"]
evaluations = 20

[cluster]
straggle = 0.3
speeds = [1.0, 0.5]

[methods.random]
searcher = "random"
stretch = 4

[methods.tpe]
searcher = { name = "tpe", initial = 5 }

[methods.asha]
searcher = "random"
scheduler = { name = "asha", eta = 4 }

[methods.mine]
tool = "hill.py:HillClimb"
options = { step = 0.1 }

[tasks.dev]
toys = ["synthetic/branin"]

[tasks.test]
toys = ["synthetic/camel", { name = "fcnet/protein_structure", options = { first = 5 } }]
others = ["mfhartmann/3/good"]
"""


def test_a_plan_is_read_from_toml(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    plan = load_plan(path)
    assert (plan.name, plan.seeds, plan.workers, plan.checkpoints, plan.limit) == ("mine", (3, 5), 4, (0.1, 1.0), 60.0)
    assert [task.label for task in plan.tasks] == [
        "synthetic/branin", "synthetic/camel", "fcnet/protein_structure[first=5]", "mfhartmann/3/good",
    ]  # fmt: skip
    assert [(task.part, task.family) for task in plan.tasks][::3] == [("dev", "toys"), ("test", "others")]
    clocks = [(plan.budget_of(task).clock, plan.budget_of(task).evaluations) for task in plan.tasks]
    assert clocks == [("evaluations", 20.0)] * 2 + [("seconds", 50.0)] * 2
    assert plan.method("asha").scheduler == {"name": "asha", "eta": 4}
    assert plan.method("mine").definition() == {
        "tool": "hill.py:HillClimb", "options": {"step": 0.1}, "stretch": 1.0,
    }  # fmt: skip
    assert (plan.primary.method, plan.primary.at) == ("tpe", "anytime")
    assert (plan.machines.checkpoints, plan.machines.overhead) == (False, "ignore")
    assert plan.machines.cluster == {"straggle": 0.3, "speeds": [1.0, 0.5]}
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_plans_hashes_stand_for_its_content():
    plan = parse(plain())
    assert parse(plain()).hash == plan.hash
    more = parse(plain(methods={**plain()["methods"], "sobol": {"searcher": "sobol"}}))
    assert more.hash != plan.hash
    assert more.question_hash == plan.question_hash
    assert parse(plain(seeds=3)).question_hash != plan.question_hash


WRONG = [
    ({"naem": 1}, "study: key 'naem' is not known. Did you mean 'name'?"),
    ({"name": 3}, "study: name = 3. Allowed: a text."),
    ({"seeds": [1, 1]}, "study: seeds = [1, 1]. Allowed: how many (10: 0 to 9), or a list of different whole numbers "
                        "from 0."),
    ({"control": "rnadom"}, "study: control names 'rnadom', which is no method of it. Did you mean 'random'?"),
    ({"question": "confirmatory"}, "study: question = 'confirmatory' without [primary]. Allowed: a confirmatory study "
                                   "has one primary contrast, an exploratory one has none. Add [primary] with method "
                                   "and control, or change the question."),
    ({"budget": {}}, "study, [budget]: evaluations = None, seconds = None. Allowed: one of both. Give evaluations = "
                     "100 (at the full resource), or seconds = 36000 (virtual)."),
    ({"budget": {"evaluations": -1}}, "study, [budget]: evaluations = -1. Allowed: a number above 0."),
    ({"budget": {"seconds": 5, "clock": "evaluations"}}, "study, [budget]: clock = 'evaluations'. Allowed: 'seconds' "
                                                         "beside seconds = .... Leave it out, or give evaluations."),
    ({"budget": {"evaluations": 5, "clock": "minutes"}}, "study, [budget]: clock = 'minutes'. Allowed: 'evaluations', "
                                                         "'seconds'."),
    ({"budget": {"evaluations": 5, "checkpoints": [1.0, 0.5]}}, "study, [budget]: checkpoints = [1.0, 0.5]. Allowed: "
                                                                "rising shares of the budget in (0, 1]."),
    ({"methods": {}}, "study: methods = {}. Allowed: one method or more. Add [methods.random] with searcher = "
                      '"random".'),
    ({"methods": {"a/b": {}}}, "study: method 'a/b'. Allowed: letters, digits and + . _ -, as it becomes a file's "
                               "name. Rename it."),
    ({"methods": {"a": {"tool": "x", "searcher": "tpe"}}, "control": "a"},
     "study, [methods.a]: a tool beside a searcher or scheduler. Allowed: one of both. Make two methods of them."),
    ({"methods": {"a": {"stretch": 0.5}}}, "study, [methods.a]: stretch = 0.5. Allowed: a number from 1."),
    ({"tasks": {"dev": {"a": ["synthetic/branin"]}}}, "study, [tasks]: no test tasks. Allowed: one or more; dev tasks "
                                                      "give no verdict. Add [tasks.test] with family = [benchmarks]."),
    ({"tasks": {"test": {"a": "synthetic/branin"}}}, "study, [tasks.test]: a = 'synthetic/branin'. Allowed: a list of "
                                                     "benchmarks, such as ['svm/digits']."),
    ({"tasks": {"test": {"a": ["x/y"], "b": ["x/y"]}}}, "study, [tasks]: task 'x/y' stands there twice. Allowed: once. "
                                                        "Delete one of them."),
    ({"primary": {"method": "random", "control": "random"}}, "study, [primary]: method and control are both 'random'. "
                                                             "Allowed: two methods. Change one."),
    ({"pairs": [["random"]]}, "study: pairs = [['random']]. Allowed: a list of [before, after], two methods each."),
    ({"baselines": {"random": []}}, "study, [baselines]: random = []. Allowed: a list of methods that are compared "
                                    "with it."),
    ({"cluster": {"crsh": 0.1}}, "study, [cluster]: key 'crsh' is not known. Did you mean 'crash'?"),
    ({"cluster": {"crash": 2}}, "study, [cluster]: crash=2. Allowed: a number and at least 0 and at most 1."),
    ({"budget": {"evaluations": 5, "overhead": "count"}},
     "study, [budget]: overhead = 'count' under the clock 'evaluations'. Allowed: 'ignore' there, as seconds of "
     "thinking are no evaluations. Give clock = \"seconds\"."),
    ({"missing": "ignore"}, "study: missing = 'ignore'. Allowed: 'error', 'skip'."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"), WRONG, ids=[next(iter(change)) + str(i) for i, (change, _) in enumerate(WRONG)]
)
def test_what_is_wrong_in_a_plan_is_said(change, message):
    with pytest.raises(ArgumentError) as caught:
        parse(plain(**change))
    assert str(caught.value) == message


def test_a_plan_that_is_no_toml(tmp_path):
    (tmp_path / "a.toml").write_text("name = ")
    with pytest.raises(ArgumentError, match=r"study 'a\.toml' is no TOML"):
        read_plan(tmp_path / "a.toml")
    with pytest.raises(ArgumentError, match=r"study 'b\.toml' cannot be read"):
        load_plan(tmp_path / "b.toml")
    with pytest.raises(ArgumentError, match=r"is no preset\. Did you mean 'hpobench-mini'"):
        load_plan("hpobench-mni")


def test_presets_name_methods_that_exist():
    assert set(presets()) == {"hpobench", "hpobench-mini"}
    for name in presets():
        plan = load_plan(name)
        assert plan.missing == "skip"
        for method in plan.methods:
            if method.tool is None:
                assert method.searcher in names("searcher")
                assert method.scheduler in names("scheduler")
        assert {("random", "hyperband"), ("de", "dehb"), ("kde", "bohb"), ("rf", "rf+hyperband")} == set(plan.pairs)
        assert plan.checkpoints == (0.01, 0.1, 1.0)
    assert {task.family for task in load_plan("hpobench").tasks} == {
        "cartpole", "bnn", "net", "fcnet", "nb101", "nb201", "nb1shot1", "svm", "logreg", "rf", "xgb", "mlp",
    }  # fmt: skip


# references --------------------------------------------------------------------------------------------------


def test_the_reference_of_a_table_is_exact(tmp_path):
    table = bench.load("fcnet/protein_structure")
    found = make_reference(table)
    assert (found.best, found.median) == (table.means.min(), np.median(table.means))
    assert found.exact
    assert found.pool.whole
    assert len(found.pool.values) == len(table)
    found.write(tmp_path / "references" / "a.npz")
    again = Reference.read(tmp_path / "references" / "a.npz")
    assert (again.best, again.median, again.how) == (found.best, found.median, found.how)
    assert again.pool.equivalent(found.median) == pytest.approx(1.0, abs=0.01)


def test_the_reference_of_a_small_space_lists_it():
    benchmark = bench.load("svm/digits@small")
    found = make_reference(benchmark)
    every = [one.metrics["error"] for one in benchmark.evaluate_batch(
        benchmark.space.decode(benchmark.space.all_rows()), seed=None)]  # fmt: skip
    assert (found.exact, found.pool.whole, len(found.pool.values)) == (True, True, benchmark.space.size)
    assert (found.best, found.median) == (min(every), np.median(every))
    assert found.mean_seconds > 0
    assert found.test[0] > found.test[1] > 0


def test_the_reference_of_a_function_finds_its_optimum():
    found = make_reference(bench.load("synthetic/branin"))
    assert found.best == pytest.approx(0.397887, abs=1e-5)
    again = make_reference(bench.load("synthetic/branin"))
    assert (again.pool.values == found.pool.values).all()


def test_the_median_of_a_constrained_task_is_of_what_is_feasible():
    benchmark = bench.load("constrained/gardner1")
    found = make_reference(benchmark)
    configs = benchmark.space.sample(4000, np.random.default_rng(1))
    rows = [one.metrics for one in benchmark.evaluate_batch(configs)]
    name = benchmark.objectives[0].name
    fine = [m[name] for m in rows if all(m[c.name] <= c.upper for c in benchmark.problem.constraints)]
    assert found.median == pytest.approx(np.median(fine), abs=0.2)
    assert len(fine) < 3500


# runs --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished small study: plan and folder, not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    plan = parse(plain())
    outcome = run(plan, folder, jobs=0)
    assert (outcome.made, outcome.failed, outcome.missing) == (8, 0, 0)
    return plan, folder


def test_incumbents_are_chosen_by_what_was_seen_and_scored_without_noise(tmp_path):
    """Against the simulation's own account, on a table with four recorded seeds."""
    plan = parse(plain(tasks={"test": {"fcnet": ["fcnet/protein_structure"]}}, seeds=[1]))
    run(plan, tmp_path, jobs=0)
    done = bench.simulate(
        bench.load("fcnet/protein_structure"), searcher="random", workers=1, trials=8, seed=1, defaults_first=False,
        executor=bench.simulation.Simulated(seed=1),
    )  # fmt: skip
    cell = Store(tmp_path, "random").cells["fcnet/protein_structure", 1]
    assert cell.seen.tolist() == [moment.value for moment in done.incumbents()]
    assert cell.scored.tolist() == [value for _, value in done.scored()]
    assert (cell.trials, cell.spent, cell.ended) == (8, 8.0, pytest.approx(8.0))
    assert np.isnan(cell.tested).all()
    assert cell.times.tolist() == cell.evaluations.tolist()  # one worker: a unit of time is an evaluation
    assert (np.diff(cell.overhead) >= 0).all()
    assert cell.cpu_seconds >= cell.overhead[-1] > 0


def test_the_clock_of_evaluations_charges_shares_of_the_full_resource(tmp_path):
    methods = {"random": {"searcher": "random"}, "asha": {"searcher": "random", "scheduler": "asha"}}
    tasks = {"test": {"mf": ["mfhartmann/3/good"]}}
    plan = parse(plain(methods=methods, tasks=tasks, seeds=[0], budget={"evaluations": 4, "workers": 2}))
    run(plan, tmp_path, jobs=0)
    straight, early = (Store(tmp_path, name).cells["mfhartmann/3/good", 0] for name in methods)
    assert straight.horizon == early.horizon == 2.0
    assert straight.spent == pytest.approx(4.0)
    assert early.spent == pytest.approx(4.0, abs=0.1)  # what two workers have in their hands at the end is in part done
    assert early.trials > straight.trials
    assert straight.busy == pytest.approx(1.0)
    assert straight.times[-1] <= 2.0


def test_the_clock_of_seconds_is_worth_so_many_random_trainings(tmp_path):
    tasks = {"test": {"mf": ["mfhartmann/3/good"]}}
    plan = parse(plain(tasks=tasks, seeds=[0], budget={"evaluations": 3, "clock": "seconds", "workers": 3}))
    run(plan, tmp_path, jobs=0)
    reference = Reference.read(reference_path(tmp_path, plan.tasks[0]))
    cell = Store(tmp_path, "random").cells["mfhartmann/3/good", 0]
    assert cell.horizon == reference.mean_seconds
    assert cell.clock == "seconds"
    with pytest.raises(ArgumentError, match="task 'fcnet/protein_structure' has no costs, and its budget counts"):
        run(
            parse(plain(tasks={"test": {"f": ["fcnet/protein_structure"]}}, budget={"seconds": 9})),
            tmp_path / "b",
            jobs=0,
        )


def test_thinking_and_machines_that_fail_cost_virtual_time(tmp_path):
    tasks = {"test": {"mf": ["mfhartmann/3/good"]}}
    budget = {"evaluations": 3, "clock": "seconds"}
    run(parse(plain(tasks=tasks, seeds=[0], budget=budget)), tmp_path / "a", jobs=0)
    cells = {"plain": Store(tmp_path / "a", "random").cells["mfhartmann/3/good", 0]}
    seconds = cells["plain"].horizon
    slow = {"overhead": "fixed", "fixed": [seconds / 10, 0.0]}
    for name, more in (("slow", {"budget": {**budget, **slow}}), ("broken", {"cluster": {"crash": 1.0}})):
        run(parse(plain(**{"tasks": tasks, "seeds": [0], "budget": budget, **more})), tmp_path / name, jobs=0)
        cells[name] = Store(tmp_path / name, "random").cells["mfhartmann/3/good", 0]
    assert cells["slow"].times[0] == pytest.approx(cells["plain"].times[0] + seconds / 10)
    assert cells["slow"].trials <= cells["plain"].trials
    assert cells["broken"].failures > 0
    with pytest.raises(ArgumentError, match="were run with the setting"):
        run(parse(plain(tasks=tasks, seeds=[0], budget={**budget, **slow})), tmp_path / "a", jobs=0)


def test_what_breaks_a_constraint_is_no_incumbent(tmp_path):
    plan = parse(plain(tasks={"test": {"c": ["constrained/gardner1"]}}, seeds=[0], budget={"evaluations": 30}))
    run(plan, tmp_path, jobs=0)
    benchmark = bench.load("constrained/gardner1")
    reference = Reference.read(reference_path(tmp_path, plan.tasks[0]))
    cell = Store(tmp_path, "random").cells["constrained/gardner1", 0]
    done = bench.simulate(benchmark, searcher="random", workers=1, trials=30, seed=0, defaults_first=False,
                          constraints=benchmark.problem.constraints)  # fmt: skip
    rows = [t.metrics for t in done.result.trials]
    fine = [m for m in rows if all(m[c.name] <= c.upper for c in benchmark.problem.constraints)]
    assert 0 < len(fine) < 30
    best = np.minimum.accumulate([m[benchmark.objectives[0].name] for m in fine])
    assert cell.scored.tolist() == list(dict.fromkeys(best.tolist()))
    assert cell.scored[-1] >= reference.best


def test_a_study_goes_on_where_it_was_stopped(finished, tmp_path):
    plan, folder = finished

    def stop(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, tmp_path, jobs=0, progress=stop)
    assert sum(len(Store(tmp_path, name).cells) for name in ("random", "halton")) == 3
    seen = []
    outcome = run(plan, tmp_path, jobs=0, progress=lambda p: seen.append((p.done, p.total)))
    assert seen[-1] == (5, 5)
    assert outcome.missing == 0
    for name in ("random", "halton"):
        mine, theirs = Store(tmp_path, name).cells, Store(folder, name).cells
        assert mine.keys() == theirs.keys()
        assert all(alike(mine[key], theirs[key]) for key in mine)


def test_another_method_costs_its_own_cells_and_changes_nothing_else(finished, tmp_path):
    _, folder = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    before = {path.name: path.read_bytes() for path in (tmp_path / "cells").iterdir()}
    regret = filled(Results.read(tmp_path).compare().regret(Results.read(tmp_path).compare().shown, [0.5, 1.0]))
    more = parse(plain(methods={"sobol": {"searcher": "sobol"}, **plain()["methods"]}))
    outcome = run(more, tmp_path, jobs=0)
    assert outcome.made == 4
    assert {name: (tmp_path / "cells" / name).read_bytes() for name in before} == before
    wider = Results.read(tmp_path).compare()
    assert wider.methods == ("sobol", "random", "halton")
    assert (filled(wider.regret(wider.shown[1:], [0.5, 1.0])) == regret).all()
    one = {row["method"]: row for row in curves(Analysis(wider, draws=50)).rows if row["share"] == 1.0}
    old = {r["method"]: r for r in curves(Analysis(Results.read(folder).compare(), draws=50)).rows if r["share"] == 1.0}
    assert {name: one[name] for name in old} == old  # bands too
    assert len((tmp_path / "sessions.jsonl").read_text().splitlines()) == 2
    run(more, tmp_path, jobs=0)  # nothing is left to do, and nothing is left behind
    assert len((tmp_path / "sessions.jsonl").read_text().splitlines()) == 2


def test_cells_of_another_setting_are_refused(finished, tmp_path):
    plan, folder = finished
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    with pytest.raises(ArgumentError, match=r"its cell had the budget 8 \(evaluations\); the study says 9"):
        run(parse(plain(budget={"evaluations": 9})), tmp_path, jobs=0)
    changed = parse(plain(methods={**plain()["methods"], "random": {"searcher": "lhs"}}))
    with pytest.raises(ArgumentError, match="method 'random': its cells in cells/ were run with the definition"):
        run(changed, tmp_path, jobs=0)
    assert run(changed, tmp_path, jobs=0, fresh=["random"]).made == 4
    wider = parse({**plain(budget={"evaluations": 8, "workers": 2}), "methods": {"halton": {"searcher": "halton"}}})
    with pytest.raises(ArgumentError, match="were run with the setting"):
        run(wider, tmp_path, jobs=0)
    with pytest.raises(ArgumentError, match=r"method 'rnadom' is none of it\. Did you mean 'random'"):
        run(plan, tmp_path, methods=["rnadom"])


def test_a_part_of_a_study(finished, tmp_path):
    plan, _ = finished
    outcome = run(plan, tmp_path, jobs=0, methods=["random"], tasks=["synthetic/camel"], seeds=[1])
    assert (outcome.made, outcome.missing) == (1, 7)
    assert run(plan, tmp_path, jobs=0, minutes=0.0).made == 0


def test_what_cannot_run_here_is_an_error_or_listed(tmp_path):
    table = plain(
        methods={"random": {"searcher": "random"}, "other": {"tool": "no-such-tool"}},
        tasks={"test": {"a": ["synthetic/branin", "synthetic/camel"], "b": ["nofamily/x", "zdt/zdt1"]}},
    )
    with pytest.raises(ArgumentError, match="tool 'no-such-tool' is not known"):
        run(parse(table), tmp_path, jobs=0)
    outcome = run(parse({**table, "missing": "skip"}), tmp_path, jobs=0)
    assert (outcome.made, outcome.missing) == (4, 0)
    assert set(outcome.skipped) == {"other", "nofamily/x", "zdt/zdt1"}
    assert outcome.skipped["zdt/zdt1"].startswith("UnsupportedError: task 'zdt/zdt1' has the objectives ")
    left = {
        row["what"]: row["why"]
        for table in analyse(tmp_path, draws=50)
        if table.name == "skipped"
        for row in table.rows
    }
    assert left == outcome.skipped


def test_a_scheduler_on_a_task_without_fidelity_is_no_failure(tmp_path):
    methods = {**plain()["methods"], "asha": {"searcher": "random", "scheduler": "asha"}}
    tasks = {"test": {"a": ["synthetic/branin"], "b": ["mfhartmann/3/good"]}}
    outcome = run(parse(plain(methods=methods, tasks=tasks, seeds=[0])), tmp_path, jobs=0)
    assert (outcome.made, outcome.failed) == (6, 0)
    both = Results.read(tmp_path).compare()
    assert both.labels == ("mfhartmann/3/good",)
    assert both.left_out == {"synthetic/branin": "asha cannot work on it"}
    assert Results.read(tmp_path).compare(methods=["random", "halton"]).labels == (
        "synthetic/branin",
        "mfhartmann/3/good",
    )


def test_a_folder_is_held_by_one_run(finished, tmp_path):
    plan, _ = finished
    with locked(tmp_path), pytest.raises(StorageError, match="is in use by another run"):
        run(plan, tmp_path, jobs=0)


# the store ---------------------------------------------------------------------------------------------------


def a_cell(values=(0.5, 0.25), **more):
    n = len(values)
    times = np.linspace(0.1, 0.9, n) * 10
    arrays = {name: np.array(values) for name in ("seen", "scored", "tested")}
    return Cell(10.0, times=times, evaluations=times, overhead=np.zeros(n), spent=10.0, trials=10, **arrays, **more)


def test_cells_survive_a_crash_in_the_middle_of_a_line(tmp_path):
    store = Store(tmp_path, "one")
    store.begin({"searcher": "random"}, {"workers": 1}, {"luthier": "1"})
    store.add("a/b", 0, a_cell())
    store.add("a/b", 1, a_cell([math.inf, 1e-300]))
    journal = tmp_path / "cells" / "one.journal"
    whole = journal.read_text()
    journal.write_text(whole[:-20])  # the writer died
    again = Store(tmp_path, "one")
    assert list(again.cells) == [("a/b", 0)]
    again.add("a/b", 1, a_cell([math.inf, 1e-300]))
    assert len(Store(tmp_path, "one").cells) == 2
    again.close()
    assert not journal.exists()
    last = Store(tmp_path, "one")
    assert all(alike(last.cells[key], store.cells[key]) for key in store.cells)
    assert last.about == {"definition": {"searcher": "random"}, "setting": {"workers": 1}, "versions": {"luthier": "1"}}
    before = last.path.read_bytes()
    last.close()
    last._write()
    assert last.path.read_bytes() == before


def test_failed_cells_are_kept_until_they_are_made_again(tmp_path):
    store = Store(tmp_path, "one")
    store.add("a", 0, a_cell())
    store.add("a", 1, Cell(10.0, error="ValueError: no"))
    store.add("a", 2, Cell(10.0, error="UnsupportedError: no", unfit=True))
    store.close()
    assert Store(tmp_path, "one").cells["a", 1].error == "ValueError: no"
    store.drop_failed()
    assert list(Store(tmp_path, "one").cells) == [("a", 0), ("a", 2)]


def test_files_of_others_are_refused(tmp_path):
    (tmp_path / "cells").mkdir()
    np.savez(tmp_path / "cells" / "one.npz", x=np.zeros(3))
    with pytest.raises(SchemaError, match="cannot be read as the cells of a method"):
        Store(tmp_path, "one")
    np.savez(tmp_path / "cells" / "one.npz", about=np.array('{"format": 99}'))
    with pytest.raises(SchemaError, match="a newer luthier"):
        Store(tmp_path, "one")


# tools from outside ------------------------------------------------------------------------------------------


def from_the_docs() -> str:
    text = tools.__doc__
    return textwrap.dedent(text[text.index("    import numpy") : text.index("and in the study:")]).strip() + "\n"


def test_the_adapter_of_the_docs_is_short_and_searches(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("hill.py").write_text(from_the_docs())
    assert len([line for line in from_the_docs().splitlines() if line.strip()]) <= 15
    named = tools.__doc__[tools.__doc__.index("[methods.hill-climb]") :].splitlines()[1].strip()
    assert named == 'tool = "hill.py:HillClimb"'
    methods = {"random": {"searcher": "random"}, "hill-climb": {"tool": "hill.py:HillClimb"}}
    plan = parse(plain(methods=methods, budget={"evaluations": 50}, seeds=3))
    assert run(plan, tmp_path / "out", jobs=0).failed == 0
    regret = Analysis(Results.read(tmp_path / "out").compare(), draws=50).measures["100 %"]
    assert np.median(regret[1]) < np.median(regret[0])  # on smooth functions it beats random search
    again = run(plan, tmp_path / "again", jobs=0, methods=["hill-climb"], seeds=[2])
    assert again.made == 2
    one, other = (Store(tmp_path / name, "hill-climb").cells["synthetic/branin", 2] for name in ("out", "again"))
    assert alike(one, other)
    Path("hill.py").write_text(from_the_docs() + "# changed\n")
    with pytest.raises(ArgumentError, match="method 'hill-climb': its cells in cells/ were run with the definition"):
        run(plan, tmp_path / "again", jobs=0)


class Scripted:
    """Asks what it is given; keeps what it is told."""

    def __init__(self, *asked, early=False, stops=()):
        self.asked, self.told, self.early, self.stops = list(asked), [], early, stops

    def ask(self):
        return self.asked.pop(0) if self.asked else None

    def tell(self, told):
        self.told.append(told)
        return (told.trial, told.resource) in self.stops


def played(tool, task_name, tmp_path, evaluations=10, workers=1):
    plan = parse(plain(tasks={"test": {"a": [task_name]}}, budget={"evaluations": evaluations, "workers": workers}))
    task = open_task(plan.tasks[0], tmp_path)
    method = replace(plan.methods[0], tool="scripted", options={})
    source = tools.InProcess(lambda problem, *, seed, evaluations: tool, {})
    return run_cell(plan, method, task, View(task.benchmark, "evaluations"), 0, source), task


def configs(name, n, seed=0):
    return bench.load(name).space.sample(n, np.random.default_rng(seed))


def test_a_tool_is_told_the_ends_of_trials(tmp_path):
    asked = configs("mfhartmann/3/good", 3)
    tool = Scripted(asked[0], tools.Ask(asked[1], 49), asked[2])
    cell, task = played(tool, "mfhartmann/3/good", tmp_path)
    assert [(told.trial, told.resource, told.done, told.failed) for told in tool.told] == [
        (0, 100, True, False), (1, 49, True, False), (2, 100, True, False),
    ]  # fmt: skip
    high = task.benchmark.fidelity.high
    assert cell.spent == pytest.approx(2 + 49 / high)
    name = task.benchmark.objectives[0].name
    seen = [task.benchmark.evaluate(config, seed=0).metrics[name] for config in asked]  # with noise, minimised
    assert [told.value for told in tool.told][::2] == [seen[0], seen[2]]
    best = 0 if seen[0] < seen[2] else 2  # the second had half of the resource, and cannot be the incumbent
    assert cell.scored[-1] == task.value(asked[best])
    assert cell.ended == pytest.approx(2 + 49 / high)


def test_an_early_tool_hears_every_report_and_stops(tmp_path):
    asked = configs("mfhartmann/3/good", 2)
    low = int(bench.load("mfhartmann/3/good").fidelity.low)
    tool = Scripted(*asked, early=True, stops={(0, low + 2)})
    cell, task = played(tool, "mfhartmann/3/good", tmp_path)
    first = [told for told in tool.told if told.trial == 0]
    assert [told.resource for told in first] == [low, low + 1, low + 2]
    assert not any(told.done for told in first)
    last = [told for told in tool.told if told.trial == 1]
    assert len(last) == task.benchmark.fidelity.high - low + 1
    assert [told.done for told in last] == [False] * (len(last) - 1) + [True]
    assert cell.spent == pytest.approx(1 + (low + 2) / task.benchmark.fidelity.high)


def test_failed_evaluations_are_told_as_a_bad_value_and_counted(tmp_path):
    benchmark = bench.load("constrained/crash_branin")
    rows = configs("constrained/crash_branin", 60)
    statuses = [one.status.value for one in benchmark.evaluate_batch(rows)]
    assert {"failed", "completed"} <= set(statuses)
    tool = Scripted(*rows)
    cell, task = played(tool, "constrained/crash_branin", tmp_path, evaluations=100, workers=4)
    assert [told.failed for told in sorted(tool.told, key=lambda t: t.trial)] == [s == "failed" for s in statuses]
    assert {told.value for told in tool.told if told.failed} == {task.reference.penalty}
    assert cell.failures == statuses.count("failed")
    assert not cell.error


def test_a_tool_that_raises_keeps_what_it_had_found(tmp_path):
    class Breaks(Scripted):
        def tell(self, told):
            super().tell(told)
            if told.trial == 2:
                raise ZeroDivisionError("no luck")

    cell, _ = played(Breaks(*configs("synthetic/branin", 9)), "synthetic/branin", tmp_path)
    assert cell.error == "ZeroDivisionError: no luck"
    assert (len(cell.times) >= 1, cell.unfit) == (True, False)
    cell, _ = played(Scripted({"x0": 0.0, "nonsense": 1}), "synthetic/branin", tmp_path)
    assert "the tool's proposal" in cell.error


def test_workers_of_a_tool_run_side_by_side(tmp_path):
    tool = Scripted(*configs("synthetic/branin", 9))
    cell, _ = played(tool, "synthetic/branin", tmp_path, evaluations=9, workers=3)
    assert [told.seconds for told in tool.told] == pytest.approx([1.0] * 3 + [2.0] * 3 + [3.0] * 3)
    assert cell.busy == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ("nowhere.py:A", "cannot be imported"),
        ("luthier.bench.studies.tools:Aks", "no 'Aks' there. Did you mean 'Ask'"),
        ("luthier.bench.studies.tools:GROUP", "Allowed: a class with ask and tell"),
    ],
)
def test_tools_that_are_none(tool, message):
    with pytest.raises(ArgumentError, match=message):
        tools.find(tool)


def test_a_source_that_is_missing_says_why(tmp_path, monkeypatch):
    class Missing(tools.InProcess):
        def missing(self):
            return "its environment is not there; make it with install.py"

    monkeypatch.setitem(tools.OWN, "far-away", "luthier.bench.studies.tools:far_away")
    monkeypatch.setattr(tools, "far_away", lambda: Missing(Scripted, {}), raising=False)
    plan = parse(plain(methods={"far": {"tool": "far-away"}}))
    with pytest.raises(ArgumentError, match="method 'far' cannot run here: its environment is not there"):
        run(plan, tmp_path, jobs=0)


# processes ---------------------------------------------------------------------------------------------------

BAD = """
import os, time
import numpy as np


class Bad:
    def __init__(self, problem, *, seed, evaluations, how):
        self.space, self.seed, self.how = problem.space, seed, how

    def ask(self):
        print("talks too much")
        if self.seed == 1:
            os._exit(7) if self.how == "dies" else time.sleep(600)
        return self.space.sample(1, np.random.default_rng(0))[0]

    def tell(self, told):
        pass
"""


def test_processes_make_the_same_cells_and_outlive_what_hangs_or_dies(finished, tmp_path):
    _, folder = finished
    (tmp_path / "bad.py").write_text(BAD)
    methods = {
        **plain()["methods"],
        **{how: {"tool": f"{tmp_path / 'bad.py'}:Bad", "options": {"how": how}} for how in ("dies", "hangs")},
    }
    tasks = {"test": {"synthetic": ["synthetic/branin"]}}
    both = parse(plain(methods=methods, tasks=tasks, limit=4.0))
    outcome = run(both, tmp_path / "out", jobs=2)
    assert (outcome.made, outcome.failed, outcome.missing) == (8, 2, 0)
    for name in ("random", "halton"):
        mine, theirs = Store(tmp_path / "out", name).cells, Store(folder, name).cells
        assert all(alike(mine[key], theirs[key]) for key in mine)
    errors = {how: Store(tmp_path / "out", how).cells["synthetic/branin", 1].error for how in ("dies", "hangs")}
    assert errors == {"dies": "its process died (7)", "hangs": "ended after 4 s"}
    assert not Store(tmp_path / "out", "dies").cells["synthetic/branin", 0].error


# tables ------------------------------------------------------------------------------------------------------


def made(folder, values, *, methods=None, families=None, question=None, horizon=10.0, **more):
    """A folder with given runs: (methods, tasks, seeds) scores at the end, half as good before half of the budget.

    The best of every task is 0, and a median random configuration has 1.
    """
    values = np.asarray(values, dtype=float)
    labels = [f"made/{i}" for i in range(values.shape[1])]
    families = families or ["made"] * len(labels)
    by_family = {name: [t for t, f in zip(labels, families, strict=True) if f == name] for name in families}
    called = methods or ["random", *(f"m{i}" for i in range(1, len(values)))]
    plan = parse(plain(
        methods={name: {"searcher": "random"} for name in called}, seeds=values.shape[2], tasks={"test": by_family},
        budget={"evaluations": 10, "checkpoints": [0.05, 0.4, 1.0]}, control="random", **more,
    ))  # fmt: skip
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan.to_json()))
    pool = st.RandomPool.of(np.linspace(0.0, 2.0, 201), whole=True)
    for task in plan.tasks:
        Reference(0.0, 1.0, pool, 1.99, 3.0, True, (1.0, 0.5), "made").write(reference_path(folder, task))
    for name, runs in zip(called, values, strict=True):
        store = Store(folder, name)
        for label, row in zip(labels, runs, strict=True):
            for seed, value in enumerate(row.tolist()):
                arrays = {k: np.array([2 * value, value]) for k in ("seen", "scored", "tested")}
                times = np.array([1.0, 5.0])
                store.cells[label, seed] = Cell(
                    horizon, times=times, evaluations=times, overhead=times / 100, spent=10.0, cpu_seconds=0.1,
                    trials=10, **arrays,
                )  # fmt: skip
        store._write()
    session = {"question": question or plan.question_hash, "cores": 2, "load_before": 1.0, "load_after": 1.0}
    (folder / "sessions.jsonl").write_text(json.dumps(session) + "\n")
    return plan


def random_runs(methods=3, tasks=8, seeds=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0.05, 0.5, size=(methods, tasks, seeds)) * (1 + np.arange(methods))[:, None, None]


def rows_of(tables, name):
    [table] = [one for one in tables if one.name == name]
    return table.rows


def test_regrets_and_ranks_at_checkpoints_by_hand(tmp_path):
    made(tmp_path, [[[0.2, 0.4]], [[0.1, 0.4]]])
    one = Analysis(Results.read(tmp_path).compare(), draws=50)
    assert filled(one.measures["5 %"]).tolist() == [[[1.0, 1.0]], [[1.0, 1.0]]]  # nothing yet: a median random one
    assert np.isnan(one.measures["5 %"]).all()
    assert one.measures["40 %"].tolist() == [[[0.4, 0.8]], [[0.2, 0.8]]]
    assert one.measures["100 %"].tolist() == [[[0.2, 0.4]], [[0.1, 0.4]]]
    # a tenth of the budget is two thirds of its logarithm, half of it nine tenths
    share = math.log10(0.5 / 0.1) / 3
    expected = 2 / 3 + 0.4 * share + 0.2 * (1 / 3 - share)
    assert one.measures["anytime"][0, 0, 0] == pytest.approx(expected, abs=0.01)
    rows = {(row["at"], row["method"]): row for row in summary(one).rows}
    assert rows["100 %", "random"]["rank"] == pytest.approx((2 + 1.5) / 2)
    assert rows["5 %", "random"]["rank"] == 1.5
    assert rows["100 %", "random"]["p"] is None  # one task
    pool = st.RandomPool.of(np.linspace(0.0, 2.0, 201), whole=True)
    assert rows["100 %", "m1"]["speed_up"] == pytest.approx(pool.equivalent(0.25) / 10)


def test_tests_of_the_tables_are_those_of_scipy_over_task_medians(tmp_path):
    from scipy.stats import wilcoxon

    values = random_runs()
    made(tmp_path, values, pairs=[["random", "m1"]], baselines={"random": ["m1", "m2"]})
    tables = analyse(tmp_path, draws=200)
    medians = np.median(values, axis=2)
    at_end = {row["method"]: row for row in rows_of(tables, "summary") if row["at"] == "100 %"}
    for i in (1, 2):
        row = at_end[f"m{i}"]
        assert row["p"] == wilcoxon(medians[i] - medians[0], zero_method="pratt").pvalue
        assert row["wins"] == int((medians[i] < medians[0]).sum())
        assert row["p_holm"] >= row["p"]
        assert row["regret_low"] <= row["regret"] <= row["regret_high"]
    assert at_end["random"]["p"] is None
    # eight tests are looked at: two methods, three checkpoints and the mean over the budget
    every = [row["p"] for row in rows_of(tables, "summary") if row["p"] is not None]
    assert [row["p_holm"] for row in rows_of(tables, "summary") if row["p"] is not None] == st.holm(every)
    sign = [row for row in rows_of(tables, "protocol") if row["at"] == "100 %" and row["after"] == "m1"]
    assert [row["kind"] for row in sign] == ["baseline", "pair"]
    theirs = st.sign_test(medians[1], medians[0])
    assert {row["p"] for row in sign} == {theirs.p}
    assert (sign[0]["wins"], sign[0]["losses"]) == (theirs.wins, theirs.losses)
    diagram = rows_of(tables, "diagram")
    assert [row["method"] for row in diagram] == ["random", "m1", "m2"]
    improvement = {(row["method"], row["than"]): row["p"] for row in rows_of(tables, "improvement")}
    assert improvement["random", "m1"] == pytest.approx(st.improvement_by_task(values[0], values[1]).mean())


def test_the_primary_contrast(tmp_path):
    values = random_runs(tasks=12)
    families = [f"f{i % 3}" for i in range(12)]
    made(tmp_path, values, families=families)
    assert not [table for table in analyse(tmp_path, draws=50) if table.name == "primary"]
    folder = tmp_path / "confirmatory"
    plan = replace(made(folder, values, families=families), question="confirmatory")
    table = {**plan.to_json(), "primary": {"method": "random", "control": "m2", "at": 1.0}}
    (folder / "plan.json").write_text(json.dumps(table))
    [found] = [table for table in analyse(folder, draws=50) if table.name == "primary"]
    medians = np.median(values, axis=2)
    assert found.data["p"] == st.contrast(medians[0], medians[2]).p
    shown = {row["what"]: row["value"] for row in found.rows}
    assert shown["wins / ties / losses over tasks"] == "12 / 0 / 0"
    assert any("mixed model (spread over task and family)" in what for what in shown)
    better = next(value for what, value in shown.items() if what.startswith("better by a max-statistic"))
    assert better.endswith("to 100 % of the budget")


def test_no_test_is_made_of_five_tasks(tmp_path):
    made(tmp_path, random_runs(tasks=5))
    tables = analyse(tmp_path, draws=50)
    assert all(row["p"] is None for row in rows_of(tables, "summary"))
    assert "diagram" not in {table.name for table in tables}
    said = [row["sentence"] for row in rows_of(tables, "conclusions")]
    assert said[0].startswith("There are 5 tasks. Below 6 no test over tasks can reach 5 %, so none was made")


def test_the_order_of_methods_changes_no_figure(tmp_path):
    values = random_runs()
    made(tmp_path / "a", values, methods=["random", "m1", "m2"])
    made(tmp_path / "b", values[[2, 0, 1]], methods=["m2", "random", "m1"])
    one, other = (analyse(tmp_path / name, draws=100) for name in "ab")
    for table in ("summary", "curves", "ranks", "profiles", "tasks"):
        keys = [{json.dumps(row, sort_keys=True) for row in rows_of(tables, table)} for tables in (one, other)]
        assert keys[0] == keys[1]


def test_a_clone_is_neither_better_nor_worse(tmp_path):
    values = random_runs(methods=2)
    made(tmp_path, np.concatenate([values, values[1:]]))
    tables = analyse(tmp_path, draws=50)
    found = {(row["method"], row["than"]): row["p"] for row in rows_of(tables, "improvement")}
    assert found["m1", "m2"] == 0.5
    at_end = {row["method"]: row for row in rows_of(tables, "summary") if row["at"] == "100 %"}
    assert {k: v for k, v in at_end["m1"].items() if k != "method"} == {
        k: v for k, v in at_end["m2"].items() if k != "method"
    }


def test_a_report_is_rebuilt_byte_for_byte(finished, tmp_path):
    _, folder = finished
    shutil.copytree(folder, tmp_path / "copy")
    one, other = (
        write(analyse(place, draws=200), tmp_path / name) for place, name in ((folder, "x"), (tmp_path / "copy", "y"))
    )
    assert [path.name for path in one] == [path.name for path in other]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, other, strict=True))
    assert {"summary.csv", "summary.tex", "curves.csv", "provenance.csv", "conclusions.tex", "tables.json"} <= {
        path.name for path in one
    }
    assert not (tmp_path / "x" / "profiles.tex").exists()  # data for a picture
    with (tmp_path / "x" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["method"] for row in rows} == {"random", "halton"}
    assert json.loads((tmp_path / "x" / "tables.json").read_text())["summary"]["rows"][0]["method"] == "random"


def test_more_budget_is_read_from_longer_runs(tmp_path):
    methods = {"random": {"searcher": "random", "stretch": 4}, "halton": {"searcher": "halton"}}
    run(parse(plain(methods=methods)), tmp_path, jobs=0)
    comparison = Results.read(tmp_path).compare()
    assert [row.name for row in comparison.shown] == ["random", "halton", "random, 2 x budget", "random, 4 x budget"]
    assert comparison.cell("random", "synthetic/branin", 0).trials == 32
    values = comparison.values(comparison.shown, [0.5, 1.0])
    assert (values[2, ..., 0] == values[0, ..., 1]).all()  # half of twice the budget is the budget
    assert (values[3] <= values[2]).all()


def test_failures_and_overhead_are_counted(tmp_path):
    plan = made(tmp_path, random_runs())
    store = Store(tmp_path, "m1")
    store.add("made/0", 0, Cell(10.0, error="ValueError: no", failures=3))
    store.close()
    one = Analysis(Results.read(tmp_path).compare(), draws=50)
    rows = {row["method"]: row for row in failures(one).rows}
    assert (rows["m1"]["failed_runs"], rows["m1"]["runs_without_result"], rows["m1"]["failed_trials"]) == (1, 1, 3)
    assert rows["m1"]["usual_error"] == "ValueError: no"
    assert rows["random"]["first_result_at"] == pytest.approx(0.1)
    assert one.measures["100 %"].shape == (3, 8, 5)  # no run is dropped
    assert np.isnan(one.measures["100 %"][1, 0, 0])
    thinking = {row["method"]: row for row in overhead(one).rows}["random"]
    assert thinking["better_from_seconds"] is None
    assert thinking["cpu_ms_per_evaluation"] == pytest.approx(10.0)
    assert thinking["thinking_share_at_1_s"] == pytest.approx(0.01 / 1.01)
    said = " ".join(row["sentence"] for row in conclusions(one).rows)
    assert "1 of 40 runs of m1 failed" in said
    shown = {row["what"]: row["value"] for row in provenance(one).rows}
    assert shown["plan"] == plan.hash
    assert len(shown["sha256 cells/m1.npz"]) == 64


def test_a_slow_method_pays_off_when_evaluations_are_dear(tmp_path):
    """m1 is better, and thinks a second before each evaluation; within ten evaluations it changes twice."""
    values = random_runs(methods=2)
    values[1] = values[0] / 2
    made(tmp_path, values)
    store = Store(tmp_path, "m1")
    store.cells = {key: replace(cell, overhead=cell.times * 1.0) for key, cell in store.cells.items()}
    store._write()
    rows = {row["method"]: row for row in overhead(Analysis(Results.read(tmp_path).compare(), draws=50)).rows}
    # its last incumbent comes after 5 evaluations and 5 s of thinking; the control has 10 evaluations and 0.1 s
    # 5 c + 5 <= 10 c + 0.1 from c = 0.98 on
    assert rows["m1"]["better_from_seconds"] == pytest.approx(0.98, rel=0.15)
    assert rows["m1"]["better_from_seconds"] >= 0.98


def test_every_method_beside_the_control(tmp_path):
    values = random_runs(tasks=10)
    made(tmp_path, values, families=[f"f{i % 5}" for i in range(10)])
    tables = analyse(tmp_path, draws=50)
    rows = {row["method"]: row for row in rows_of(tables, "against_control")}
    fit = st.mixed_model(st.log_regret(values), families=[f"f{i % 5}" for i in range(10)])
    assert list(rows) == ["m1", "m2"]
    assert rows["m1"]["difference"] == pytest.approx(fit.difference(1, 0).estimate)
    assert rows["m1"]["p_holm"] >= rows["m1"]["p"] == pytest.approx(fit.difference(1, 0).p)
    posterior = st.signed_rank_posterior(*np.median(values[[2, 0]], axis=2))
    assert rows["m2"]["posterior_worse"] == posterior.worse
    curve = [row for row in rows_of(tables, "task_curves") if (row["task"], row["method"]) == ("made/3", "m2")]
    assert len(curve) == 50
    assert [curve[-1][key] for key in ("q25", "regret", "q75")] == pytest.approx(
        np.quantile(np.minimum(values[2, 3], 1.5), [0.25, 0.5, 0.75])
    )
    at_end = {row["method"]: row for row in rows_of(tables, "summary") if row["at"] == "100 %"}
    assert sum(row["rank_unpaired"] for row in at_end.values()) == pytest.approx(6.0)


def test_conclusions_follow_from_the_numbers(tmp_path):
    made(tmp_path, random_runs(tasks=6, seeds=1), question="another")
    with (tmp_path / "sessions.jsonl").open("a") as file:
        file.write(json.dumps({"question": "yet another", "cores": 2, "load_before": 7.0, "load_after": 1.0}) + "\n")
    said = [row["sentence"] for row in rows_of(analyse(tmp_path, draws=50), "conclusions")]
    for part in (
        "There are 6 tasks; a claim about tasks like these needs 20 or more",
        "No contrast was declared before the study ran",
        "were changed 1 times after there were results",
        "The 6 tasks come from 1 families",
        "With one seed, luck and method cannot be told apart",
        "more to do than cores",
        "Ranks are among these 3 methods",
    ):
        assert any(part in sentence for sentence in said), part
    made(tmp_path / "many", random_runs(tasks=20, seeds=30), families=[f"f{i}" for i in range(20)])
    said = " ".join(row["sentence"] for row in rows_of(analyse(tmp_path / "many", draws=50), "conclusions"))
    assert "There are 20 tasks" not in said
    assert "seeds for each task" not in said
    assert "practically" not in said


def test_equal_methods_are_said_to_be_practically_the_same(tmp_path):
    values = random_runs(methods=1, tasks=20)
    near = values + np.random.default_rng(0).normal(0, 1e-4, size=values.shape)
    made(tmp_path, np.concatenate([values, near]))
    said = " ".join(row["sentence"] for row in rows_of(analyse(tmp_path, draws=50), "conclusions"))
    assert "m1 was practically the same as random" in said


def test_methods_with_too_few_seeds_are_left_out(tmp_path):
    made(tmp_path, random_runs())
    store = Store(tmp_path, "m2")
    for key in [key for key in store.cells if key[1] > 1]:
        del store.cells[key]
    store._write()
    assert Results.read(tmp_path).compare().seeds == (0, 1)
    for key in [key for key in store.cells if key[0] == "made/3"]:
        del store.cells[key]
    store._write()
    found = Results.read(tmp_path).compare()
    assert found.methods == ("random", "m1")
    assert found.left_out == {"m2": "0 seeds are complete on all tasks"}
    with pytest.raises(ArgumentError, match="nothing can be compared"):
        Results.read(tmp_path).compare(methods=["m2"])
    with pytest.raises(StorageError, match="holds no study"):
        Results.read(tmp_path / "nowhere")


def test_test_values_are_set_beside_validation(tmp_path):
    made(tmp_path, random_runs())
    rows = [row for row in rows_of(analyse(tmp_path, draws=50), "gaps") if row["task"] == "made/0"]
    runs = random_runs()[0, 0]
    assert rows[0]["test"] == pytest.approx(np.median(runs))
    assert rows[0]["test_regret"] == pytest.approx(st.interquartile_mean((runs - 0.5) / 0.5))
    assert rows[0]["validation_regret"] == pytest.approx(st.interquartile_mean(runs))


def test_latex_is_escaped_and_csv_exact():
    table = Table("x", "100 % of a_b", "p < 0.05 & so on", [{"a_b": "m_1 & 50 %", "p": 0.123456789012}, {"p": None}])
    text = to_latex(table)
    assert r"\caption{100 \% of a\_b. p $<$ 0.05 \& so on}" in text
    assert r"m\_1 \& 50 \% & 0.1235 \\" in text
    assert r"-- & -- \\" in text
    assert r"\begin{tabular}{lr}" in text
    assert to_csv(table) == "a_b,p\nm_1 & 50 %,0.123456789\n,\n"


# speed -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_large_study_is_analysed(tmp_path):
    made(tmp_path, random_runs(methods=10, tasks=20, seeds=30), families=[f"f{i % 7}" for i in range(20)])
    tables = analyse(tmp_path)
    assert len(rows_of(tables, "summary")) == 40


@pytest.mark.slow
def test_the_study_of_the_presets_opens_what_is_here(tmp_path):
    if not os.environ.get("LUTHIER_DATA"):
        pytest.skip("needs LUTHIER_DATA with yahpo/, for the preset's surrogates")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime (the extra 'bench')")
    plan = load_plan("hpobench-mini")
    outcome = run(plan, tmp_path, jobs=0, methods=["random"], tasks=["yahpo/lcbench/3945"], seeds=[0])
    assert (outcome.made, outcome.failed) == (1, 0)
    cell = Store(tmp_path, "random").cells["yahpo/lcbench/3945", 0]
    assert len(cell.tested) == len(cell.times)
    assert np.isfinite(cell.tested).all()
    assert cell.times[-1] <= 4 * cell.horizon * (1 + 1e-9)
