"""Studies of several objectives: hypervolumes as values, known fronts, sets of incumbents, and who cannot take part."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest
from study_samples import alike, plain, rows_of

from luthier import bench
from luthier.base.pareto import hypervolume, nondominated
from luthier.bench.studies import run
from luthier.bench.studies.analysis import Analysis, analyse, summary
from luthier.bench.studies.plan_file import parse
from luthier.bench.studies.references import Reference
from luthier.bench.studies.results import Results
from luthier.bench.studies.store import Cell, Store
from luthier.bench.studies.tasks import make_reference, open_task, reference_path
from luthier.bench.studies.volumes import attained, equivalent, igd_plus, of_random, singles, worth
from luthier.report.comparison import render_comparison

POINT = np.array([1.0, 1.0])


# hypervolumes as values --------------------------------------------------------------------------------------


def test_a_set_is_worth_minus_its_volume():
    values = np.array([[0.5, 0.5], [0.25, 0.75], [2.0, 0.0], [np.nan, 0.0]])
    assert worth(values, POINT) == -hypervolume(values[:2], POINT) == -(0.25 + 0.0625)
    assert worth(values[2:], POINT) == worth(np.empty((0, 2)), POINT) == 0.0
    assert singles(values, POINT).tolist() == [-0.25, -0.1875, 0.0, 0.0]


def test_more_random_configurations_are_worth_more_and_their_number_is_found_again():
    values = np.random.default_rng(0).uniform(size=(300, 2))
    random = of_random(values, POINT, np.random.default_rng(1))
    assert random[0, 0] == 1
    assert random[0, -1] == 300
    assert (np.diff(random[1]) <= 0).all()
    assert random[1, -1] == worth(values, POINT)  # every order ends with all of them
    assert random[1, 0] == pytest.approx(np.median(singles(values, POINT)), abs=0.05)
    place = int(np.argmin(np.abs(random[0] - 30)))
    assert equivalent(random, random[1, place]) == pytest.approx(random[0, place])
    between = equivalent(random, random[1, place : place + 2].mean())
    assert random[0, place] < between < random[0, place + 1]
    assert equivalent(random, -2.0) == float("inf")


def test_distance_to_a_front_by_hand():
    front = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert igd_plus(front, front) == 0.0
    assert igd_plus(np.array([[0.0, 0.0]]), front) == 0.0  # beyond the known front: nothing is missing
    assert igd_plus(np.array([[0.5, 1.0]]), front) == pytest.approx((0.5 + 1.0) / 2)
    assert np.isnan(igd_plus(np.empty((0, 2)), front))


def test_half_of_the_runs_attain_the_median_surface():
    sets = [np.array([[0.0, 3.0], [2.0, 1.0]]), np.array([[1.0, 2.0]]), np.empty((0, 2))]
    found = attained(sets, np.array([0.0, 1.0, 2.0]))
    assert found.tolist() == [np.inf, 3.0, 2.0]  # at least two of three runs
    two = [np.array([[0.0, 0.0]]), np.array([[1.0, 1.0]])]
    assert attained(two, np.array([0.0, 1.0])).tolist() == [0.0, 0.0]  # one of two is half of them
    four = [np.array([[0.0, height]]) for height in (4.0, 2.0, 3.0)] + [np.empty((0, 2))]
    assert attained(four, np.array([0.0])).tolist() == [3.0]


# references --------------------------------------------------------------------------------------------------


def test_a_front_that_is_a_formula_is_exact(tmp_path):
    benchmark = bench.load("zdt/zdt2")
    found = make_reference(benchmark)
    assert (found.best, found.exact) == (-benchmark.hypervolume, True)
    assert found.objectives == ("f1", "f2")
    assert found.point.tolist() == benchmark.reference.tolist()
    assert worth(found.front, found.point) == pytest.approx(found.best, rel=0.02)  # its points are some of it
    found.write(tmp_path / "a.npz")
    again = Reference.read(tmp_path / "a.npz")
    assert again.objectives == found.objectives
    for name in ("point", "front", "random"):
        assert (getattr(again, name) == getattr(found, name)).all()
    assert again.equivalent(found.best) == float("inf")


def test_a_space_that_can_be_listed_has_its_own_front(tmp_path):
    benchmark = bench.load("svm/wine@small", objectives="error,size")
    found = make_reference(benchmark)
    every = benchmark.evaluate_batch(benchmark.space.decode(benchmark.space.all_rows()), seed=None)
    values = np.array([[one.metrics["error"], one.metrics["size"]] for one in every])
    assert found.exact
    assert sorted(map(tuple, found.front.tolist())) == sorted(map(tuple, values[nondominated(values)].tolist()))
    assert found.best == worth(values, found.point)
    assert (found.point > found.front.max(axis=0)).all()
    plan = parse(plain(tasks={"test": {"svm": [{"name": "svm/wine@small", "options": {"objectives": "error,size"}}]}}))
    task = open_task(plan.tasks[0], tmp_path)
    assert task.several
    assert task.point({"error": 0.25, "size": 4.0}).tolist() == [0.25, 4.0]
    assert np.isnan(task.point({"error": 0.25})).all()


# runs --------------------------------------------------------------------------------------------------------

METHODS = {"random": {"searcher": "random"}, "nsga2": {"searcher": "nsga2"}, "tpe": {"searcher": "tpe"}}


SVM = [
    {"name": f"svm/{data}@small", "options": {"objectives": "error,size"}}
    for data in ("digits", "breast_cancer", "wine")
]
DIGITS = "svm/digits@small[objectives=error,size]"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Three tables and three formulas, on which nothing is found so soon."""
    folder = tmp_path_factory.mktemp("fronts")
    tasks = {"test": {"svm": SVM, "toys": ["zdt/zdt1", "zdt/zdt2", "dtlz/dtlz7/2"]}}
    plan = parse(plain(methods=METHODS, tasks=tasks, budget={"evaluations": 25}))
    assert run(plan, folder, jobs=0).failed == 0
    return plan, folder


def test_the_set_of_incumbents_is_the_front_of_what_was_seen(finished):
    plan, folder = finished
    reference = Reference.read(reference_path(folder, plan.tasks[0]))
    cell = Store(folder, "random").cells[DIGITS, 1]
    benchmark = bench.load("svm/digits@small", objectives="error,size")
    done = bench.simulate(
        benchmark, searcher="random", workers=1, trials=25, seed=1, defaults_first=False,
        executor=bench.simulation.Simulated(seed=1),
    )  # fmt: skip
    trials = done.result.trials
    seen = np.array([[trial.metrics["error"], trial.metrics["size"]] for trial in trials])
    assert cell.seen[-1] == worth(seen, reference.point)
    assert (np.diff(cell.seen) <= 0).all()
    chosen = [trials[i].config for i in np.flatnonzero(nondominated(seen))]
    means = [benchmark.evaluate(config, seed=None).metrics for config in chosen]
    scored = np.array([[one["error"], one["size"]] for one in means])
    assert cell.scored[-1] == pytest.approx(worth(scored, reference.point))  # by means over the recorded seeds
    assert set(map(tuple, cell.front.tolist())) == set(map(tuple, scored[nondominated(scored)].tolist()))
    assert np.isnan(cell.tested).all()


def test_fronts_survive_the_folder_and_processes(finished, tmp_path):
    plan, folder = finished
    shutil.copytree(folder / "references", tmp_path / "references")
    run(plan, tmp_path, jobs=0, methods=["nsga2"], tasks=[DIGITS], seeds=[0])
    one, other = (Store(where, "nsga2").cells[DIGITS, 0] for where in (folder, tmp_path))
    assert alike(one, other)
    assert one.front.shape[1] == 2
    assert (one.front == other.front).all()
    again = Cell.from_json(json.loads(json.dumps(one.to_json())))  # as a process hands it over
    assert (again.front == one.front).all()
    assert "front" not in Cell(1.0).to_json()


def test_regret_is_of_the_hypervolume_and_every_table_takes_it(finished):
    _, folder = finished
    one = Analysis(Results.read(folder).compare(), draws=50)
    reference = one.comparison.results.references[DIGITS]
    cell = one.comparison.cell("nsga2", DIGITS, 0)
    expected = (cell.scored[-1] - reference.best) / (reference.median - reference.best)
    assert one.measures["100 %"][1, 0, 0] == pytest.approx(expected)
    assert 0 < expected < 1
    assert all(row["speed_up"] is None or row["speed_up"] >= 0 for row in summary(one).rows)
    tables = analyse(folder, draws=50)
    rows = {(row["task"], row["method"]): row for row in rows_of(tables, "fronts")}
    assert len(rows) == 18
    volumes = [-one.comparison.cell("tpe", DIGITS, seed).scored[-1] for seed in (0, 1)]
    assert rows[DIGITS, "tpe"]["hypervolume"] == pytest.approx(np.median(volumes))
    assert rows[DIGITS, "tpe"]["best_known"] == -reference.best
    gaps = [igd_plus(one.comparison.cell("random", DIGITS, seed).front, reference.front) for seed in (0, 1)]
    assert rows[DIGITS, "random"]["igd_plus"] == pytest.approx(np.median(gaps))
    assert max(gaps) > 0
    [table] = [one for one in tables if one.name == "fronts"]
    assert [surface["objectives"] for surface in table.data["surfaces"]] == [["error", "size"]] * 3 + [["f1", "f2"]] * 3
    assert 'id="plot-small-front-5"' in render_comparison(tables)


def test_who_cannot_take_several_objectives_is_told_what_can(tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Mine:\n"
        "    def __init__(self, problem, *, seed, evaluations):\n        self.space = problem.space\n"
        "    def ask(self):\n        return None\n"
        "    def tell(self, told):\n        return False\n"
    )
    methods = {
        "random": {"searcher": "random"},
        "mine": {"tool": f"{tmp_path / 'mine.py'}:Mine"},
        "mo-asha": {"searcher": "random", "scheduler": "mo-asha"},
    }
    plan = parse(plain(methods=methods, tasks={"test": {"zdt": ["zdt/zdt1"]}}, budget={"evaluations": 3}, seeds=1))
    outcome = run(plan, tmp_path / "out", jobs=0)
    assert (outcome.made, outcome.failed) == (3, 0)
    found = Results.read(tmp_path / "out").compare()
    assert found.methods == ("random",)
    assert (
        "is a tool that is told one value; task 'zdt/zdt1' has the objectives f1, f2. Allowed: methods of luthier"
        in (found.left_out["mine"])
    )
    assert "needs a fidelity" in found.left_out["mo-asha"]


@pytest.mark.slow
def test_tables_and_surrogates_with_several_objectives(tmp_path):
    if not os.environ.get("LUTHIER_DATA"):
        pytest.skip("needs LUTHIER_DATA with transfer_blackboxes/, hw_gpt_bench/ and yahpo/")
    pytest.importorskip("pyarrow", reason="needs pyarrow (the extra 'bench')")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime (the extra 'bench')")
    several = [
        ("transfer_nasbench201/cifar10", "error,latency_ms"), ("hw_gpt_bench/s", "perplexity, params_m"),
        ("yahpo/lcbench/3945", "val_accuracy,time"),
    ]  # fmt: skip
    tasks = {"test": {"all": [{"name": name, "options": {"objectives": these}} for name, these in several]}}
    methods = {**METHODS, "mo-asha": {"searcher": "random", "scheduler": "mo-asha"}}
    plan = parse(plain(methods=methods, tasks=tasks, budget={"evaluations": 20}, seeds=1))
    assert run(plan, tmp_path, jobs=0).failed == 0
    references = Results.read(tmp_path).references
    assert [references[task.label].exact for task in plan.tasks] == [True, False, False]
    assert references[plan.tasks[2].label].objectives == ("−val_accuracy", "time")
    cell = Store(tmp_path, "mo-asha").cells[plan.tasks[2].label, 0]
    assert len(cell.front) > 0
    assert cell.trials > 20  # stopped early, so more of them
    regret = (
        Results.read(tmp_path)
        .compare(methods=["random", "nsga2", "tpe"])
        .regret(Results.read(tmp_path).compare(methods=["random", "nsga2", "tpe"]).shown, [1.0])
    )
    assert (regret >= 0).all()
    assert (regret < 1).all()
