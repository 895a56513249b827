"""Studies: runs that go on where they stopped, their folder, tools from outside, processes."""

from __future__ import annotations

import math
import os
import shutil
import textwrap
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from study_samples import alike, plain

from luthier import bench
from luthier.base.errors import ArgumentError, SchemaError, StorageError
from luthier.bench.studies import load_plan, run, tools
from luthier.bench.studies.accounts import failures
from luthier.bench.studies.analysis import Analysis, analyse, curves
from luthier.bench.studies.methods import run_cell
from luthier.bench.studies.plan_file import parse
from luthier.bench.studies.references import Reference
from luthier.bench.studies.results import Results, filled
from luthier.bench.studies.store import Cell, Store, locked
from luthier.bench.studies.tasks import open_task, reference_path
from luthier.bench.studies.views import View

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
    with pytest.raises(ArgumentError, match="setting: fixed was "):
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
    assert cell.infeasible == 30 - len(fine)
    [row] = failures(Analysis(Results.read(tmp_path).compare(methods=["random"]), draws=10)).rows
    assert row["infeasible_share"] == pytest.approx((30 - len(fine)) / 30)


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
    with pytest.raises(ArgumentError, match=r"method 'random': definition: searcher was .random. and is .lhs., since"):
        run(changed, tmp_path, jobs=0)
    assert run(changed, tmp_path, jobs=0, fresh=["random"]).made == 4
    wider = parse({**plain(budget={"evaluations": 8, "workers": 2}), "methods": {"halton": {"searcher": "halton"}}})
    with pytest.raises(ArgumentError, match="setting: workers was 1 and is 2, since its 4 cells"):
        run(wider, tmp_path, jobs=0)
    with pytest.raises(ArgumentError, match=r"method 'rnadom' is none of it\. Did you mean 'random'"):
        run(plan, tmp_path, methods=["rnadom"])


def test_a_part_of_a_study(finished, tmp_path):
    plan, _ = finished
    outcome = run(plan, tmp_path, jobs=0, methods=["random"], tasks=["synthetic/camel"], seeds=[1])
    assert (outcome.made, outcome.missing) == (1, 7)
    assert run(plan, tmp_path, jobs=0, minutes=0.0).made == 0
    with pytest.raises(ArgumentError, match=r"seeds 5 to 8 are none of it\. Allowed: of 0 to 1"):
        run(plan, tmp_path, seeds=range(5, 9))
    with pytest.raises(ArgumentError, match=r"cells of 'halton' are to be forgotten, and it is not among"):
        run(plan, tmp_path, methods=["random"], fresh=["halton"])


def test_what_cannot_run_here_is_an_error_or_listed(tmp_path):
    table = plain(
        methods={"random": {"searcher": "random"}, "other": {"tool": "no-such-tool"}},
        tasks={"test": {"a": ["synthetic/branin", "synthetic/camel"], "b": ["nofamily/x"]}},
    )
    with pytest.raises(ArgumentError, match="tool 'no-such-tool' is not known"):
        run(parse(table), tmp_path, jobs=0)
    outcome = run(parse({**table, "missing": "skip"}), tmp_path, jobs=0)
    assert (outcome.made, outcome.missing) == (4, 0)
    assert set(outcome.skipped) == {"other", "nofamily/x"}
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
    [(task, why)] = both.left_out.items()
    assert task == "synthetic/branin"
    assert why.startswith("asha cannot work on it: ")
    assert "fidelity" in why
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
    store.drop_failed(lambda task, seed: seed == 0)
    assert Store(tmp_path, "one").cells["a", 1].error == "ValueError: no"
    store.drop_failed()
    assert list(Store(tmp_path, "one").cells) == [("a", 0), ("a", 2)]


def test_failed_cells_of_methods_that_are_not_chosen_stay(tmp_path):
    plan = parse(plain())
    run(plan, tmp_path, jobs=0)
    label = plan.tasks[0].label
    for method in ("random", "halton"):
        with closing(Store(tmp_path, method)) as store:
            store.add(label, 0, replace(store.cells[label, 0], error="ValueError: no"))
    outcome = run(plan, tmp_path, jobs=0, methods=["random"], retry=True)
    assert (outcome.made, outcome.failed, outcome.missing) == (1, 0, 0)
    assert Store(tmp_path, "halton").cells[label, 0].error == "ValueError: no"
    assert outcome.broken == {}
    assert run(plan, tmp_path, jobs=0).broken == {"halton": (1, "ValueError: no")}  # nothing is left to do


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
    with pytest.raises(ArgumentError, match=r"hill.py has changed since its 2 cells .* \(--fresh hill-climb\)"):
        run(plan, tmp_path / "again", jobs=0, retry=True)
    assert run(plan, tmp_path / "again", jobs=0, methods=["random"], seeds=[0]).made == 2  # it has not changed
    assert run(plan, tmp_path / "again", jobs=0, methods=["hill-climb"], seeds=[2], fresh=["hill-climb"]).made == 2


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
        ("luthier.bench.studies.tools:Ask", "Ask lacks ask and tell"),
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

    monkeypatch.setitem(tools.OWN, "far-away", lambda: Missing(Scripted, {}))
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
