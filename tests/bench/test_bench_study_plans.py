"""Plans of studies, and the fixed reference values of their tasks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from study_samples import plain

from luthier import bench
from luthier.base.errors import ArgumentError
from luthier.base.registry import names
from luthier.bench.studies import load_plan, presets
from luthier.bench.studies.plan import Plan
from luthier.bench.studies.plan_file import parse, read_plan
from luthier.bench.studies.references import Reference
from luthier.bench.studies.tasks import make_reference

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
        assert {("random", "hyperband"), ("de", "dehb"), ("kde", "bohb"), ("rf", "rf+hyperband")} <= set(plan.pairs)
        assert {0.01, 0.1, 1.0} <= set(plan.checkpoints)
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
