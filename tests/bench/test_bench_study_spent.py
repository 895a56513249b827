"""What a run of a study counts: which trials can be incumbents, and how many evaluations were spent."""

from __future__ import annotations

import numpy as np
import pytest
from study_samples import plain

from luthier import bench
from luthier.bench.studies import run, tools
from luthier.bench.studies.accounts import provenance
from luthier.bench.studies.analysis import Analysis
from luthier.bench.studies.methods import run_cell
from luthier.bench.studies.plan_file import parse
from luthier.bench.studies.results import Results
from luthier.bench.studies.store import Store
from luthier.bench.studies.tasks import open_task
from luthier.bench.studies.views import View

TASK = "mfhartmann/3/good"


def planned(*, task=TASK, budget=None, **more):
    budget = {"evaluations": 8} if budget is None else budget
    return parse(plain(tasks={"test": {"a": [task]}}, seeds=[0], budget=budget, **more))


def cell_of(folder, plan, method="random"):
    run(plan, folder, jobs=0, methods=[method])
    return Store(folder, method).cells[plan.tasks[0].label, 0]


class Asks:
    """A tool that asks for random configurations."""

    early = False

    def __init__(self, problem, *, seed, evaluations, until=None):
        self.space, self.rng, self.until = problem.space, np.random.default_rng(seed), until

    def ask(self):
        return tools.Ask(self.space.sample(1, self.rng)[0], self.until)

    def tell(self, told):
        return False


def asked(folder, plan, **options):
    """A run of that tool."""
    task = open_task(plan.tasks[0], folder)
    method = parse(plain(methods={"random": {}, "asks": {"tool": "script"}})).methods[1]
    view = View(task.benchmark, plan.budget_of(task.plan).clock)
    return run_cell(plan, method, task, view, 0, tools.InProcess(Asks, options))


# incumbents --------------------------------------------------------------------------------------------------


def test_a_trial_that_fails_later_is_no_incumbent(tmp_path):
    plan = planned(budget={"evaluations": 30}, cluster={"crash": 1.0})
    cell = cell_of(tmp_path, plan)
    assert (cell.trials, cell.failures, len(cell.times)) == (59, 59, 0)
    tool = asked(tmp_path, plan)
    assert tool.failures in (tool.trials, tool.trials - 1)  # the last one is ended with the budget
    assert len(tool.times) <= 1
    kept = {row["what"]: row["value"] for row in provenance(Analysis(Results.read(tmp_path).compare(), draws=10)).rows}
    assert "failed trials never count" in kept["incumbent"]


def test_what_a_failed_trial_hid_is_an_incumbent(tmp_path):
    """Against the simulation's own account, which leaves failed trials out too."""
    plan = planned(budget={"evaluations": 30}, cluster={"crash": 0.8})
    cell = cell_of(tmp_path, plan)
    assert 0 < cell.failures < cell.trials
    executor = bench.simulation.Simulated(seed=0, cluster=plan.machines.build(0))
    done = bench.simulate(View(open_task(plan.tasks[0], tmp_path).benchmark, "evaluations"), searcher="random",
                          workers=1, seconds=30 * (1 + 1e-9), seed=0, defaults_first=False, executor=executor,
                          give_up=10**9)  # fmt: skip
    trials = [moment.trial for moment in done.incumbents()]
    first = [moment for i, moment in enumerate(done.incumbents()) if i == 0 or trials[i - 1] != moment.trial]
    assert cell.times.tolist() == [moment.seconds for moment in first]
    assert cell.seen.tolist() == [moment.value for moment in first]


# what a tool asks for ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("until", [2000, 0.5, 10.5, float("nan"), "all"])
def test_a_resource_outside_of_the_fidelity_is_refused_in_the_benchmarks_words(tmp_path, until):
    cell = asked(tmp_path, planned(), until=until)
    said = f"resource={until!r}. Allowed: z from 3 to 100 in whole steps."
    assert cell.error == f"ArgumentError: benchmark {TASK!r}: {said}"
    cell = asked(tmp_path, planned(task="synthetic/branin"), until=1)
    assert "benchmark 'synthetic/branin' has no fidelity; resource=1 was given" in cell.error
    assert asked(tmp_path, planned(), until=50).error == ""


# evaluations spent -------------------------------------------------------------------------------------------


def test_evaluations_that_failed_or_were_cut_off_are_spent(tmp_path):
    cell = cell_of(tmp_path / "a", planned(task="constrained/crash_branin", budget={"evaluations": 40}))
    assert cell.failures > 0
    assert cell.spent == pytest.approx(40, abs=1e-6)
    for name, cluster in (("b", {}), ("c", {"crash": 1.0}), ("d", {"lose": 0.5})):
        cell = cell_of(tmp_path / name, planned(budget={"evaluations": 7.5, "workers": 2}, cluster=cluster))
        assert cell.spent == pytest.approx(7.5, abs=1e-6)  # both workers had something to do all the time
        assert cell.busy == pytest.approx(1.0)


@pytest.mark.parametrize("resume", [True, False])
def test_work_that_is_done_again_is_spent_again(tmp_path, resume):
    methods = {"random": {}, "halving": {"searcher": "random", "scheduler": "hyperband"}}
    plan = planned(methods=methods, budget={"evaluations": 20, "resume": resume})
    cell = cell_of(tmp_path, plan, "halving")
    assert cell.error == ""
    assert cell.spent == pytest.approx(20, abs=1e-6)
    assert (np.diff(cell.evaluations) >= 0).all()
    assert cell.evaluations == pytest.approx(cell.times, abs=1e-6)  # one worker that is never idle


def test_a_share_of_the_data_is_spent_anew_at_every_level(tmp_path):
    methods = {"random": {}, "hyperband": {"scheduler": "hyperband"}}
    cell = cell_of(tmp_path, planned(task="svm/iris@small", budget={"evaluations": 10}, methods=methods), "hyperband")
    assert cell.spent == pytest.approx(cell.ended)
