"""What searchers with populations share: results in place, folds, new children; logs with gaps and late reports."""

import numpy as np
import pytest

import luthier as lu
from luthier.base.records import Fidelity, Objective, Observation, Status
from luthier.base.registry import load
from luthier.searchers import _population as module
from luthier.searchers._population import Fold, Results, filled, first_new, reflected
from luthier.searchers._seen import Seen
from luthier.space.problem import Problem

NAMES = ("evolution", "de", "cmaes", "nsga2")


def _space():
    return lu.Space(x=lu.Float(0.0, 1.0), c=lu.Choice("a", "b"), y=lu.Float(0.0, 1.0, default=0.5, when=("c", "a")))


def _observe(trial, config, value, resource=None, status=Status.COMPLETED):
    return Observation(trial, config, resource, (value,), (), status)


class Sum:
    """A state for tests: the sum of the values of pairs of results."""

    def __init__(self, used, total):
        self.used, self.total = used, total


def _fold(results):
    steps = []

    def step(state):
        if len(results.records) < state.used + 2:
            return None
        steps.append(state.used)
        pair = results.records[state.used : state.used + 2]
        return Sum(state.used + 2, state.total + sum(record.values[0] for record in pair))

    return Fold(results, Sum(0, 0.0), step), steps


def test_results_stay_in_the_order_of_their_first_report():
    space = _space()
    configs = space.sample(3, np.random.default_rng(0))
    results = Results(space)
    results.add([_observe(7, configs[0], 1.0, 1.0, Status.RUNNING), _observe(2, configs[1], 5.0, 1.0, Status.RUNNING)])
    results.add([_observe(7, configs[0], 1.0, 1.0, Status.RUNNING)])  # nothing new
    assert (results.numbers, results.revised, results.changes) == ([7, 2], [], 2)
    results.add([_observe(2, configs[1], 4.0, 3.0), _observe(5, configs[2], 3.0)])
    assert (results.numbers, results.revised, results.changes) == ([7, 2, 5], [1], 4)
    assert [record.values[0] for record in results.records] == [1.0, 4.0, 3.0]
    assert (results.between(1, 3) == space.encode(configs[1:])[0]).all()


def test_a_thousand_results_have_their_rows():
    space = _space()
    configs = space.sample(1000, np.random.default_rng(0))
    results = Results(space)
    for number, config in enumerate(configs):
        results.add([_observe(number, config, 0.0)])
        results.between(number, number + 1)
    assert (results.between(0, 1000) == space.encode(configs)[0]).all()


def test_a_fold_works_every_result_in_once():
    results = Results(_space())
    fold, steps = _fold(results)
    config = _space().default()
    for number in range(7):
        results.add([_observe(number, config, float(number))])
        fold.state()
    assert (fold.state().used, fold.state().total, steps) == (6, 15.0, [0, 2, 4])


def test_a_fold_goes_back_to_what_was_replaced():
    results = Results(_space())
    fold, steps = _fold(results)
    config = _space().default()
    results.add([_observe(number, config, 1.0, 1.0, Status.RUNNING) for number in range(6)])
    assert fold.state().total == 6.0
    results.add([_observe(3, config, 11.0, 2.0)])
    assert (fold.state().total, steps) == (16.0, [0, 2, 4, 2, 4])
    results.add([_observe(6, config, 1.0), _observe(7, config, 1.0)])
    assert (fold.state().total, steps) == (18.0, [0, 2, 4, 2, 4, 6])


def test_a_fold_forgets_old_states_and_makes_them_again(monkeypatch):
    monkeypatch.setattr(module, "KEPT", 3)
    results = Results(_space())
    fold, steps = _fold(results)
    config = _space().default()
    results.add([_observe(number, config, 1.0, 1.0, Status.RUNNING) for number in range(10)])
    assert (fold.state().total, steps) == (10.0, [0, 2, 4, 6, 8])
    results.add([_observe(8, config, 5.0, 2.0)])  # the state before it is there
    assert (fold.state().total, steps[5:]) == (14.0, [8])
    results.add([_observe(2, config, 5.0, 2.0)])  # of the states before it only the first is
    assert (fold.state().total, steps[6:]) == (18.0, [0, 2, 4, 6, 8])


def test_positions_outside_turn_back_at_the_bounds():
    rows = np.array([[0.3, 1.0, 1.2, -0.1, 2.3, -1.4]])
    assert reflected(rows)[0] == pytest.approx([0.3, 1.0, 0.8, 0.1, 0.3, 0.6])


def test_inactive_values_are_drawn_where_they_say_nothing():
    space = _space()
    rows = space.encode([{"x": 0.2, "c": "a", "y": 0.9}, {"x": 0.4, "c": "b"}])[0]
    found = filled(space, np.repeat(rows, 100, axis=0), np.random.default_rng(0))
    assert (found[:100] == rows[0]).all()
    assert (found[100:, :2] == rows[1, :2]).all()
    assert len(np.unique(found[100:, 2])) == 100


def test_children_that_exist_give_way_to_new_neighbours_and_then_to_anything_new():
    space = lu.Space(a=lu.Int(1, 3), b=lu.Choice("u", "v"), forbid=[{"a": 3, "b": "v"}])
    seen = Seen(Problem(space, (Objective("loss"),)))
    rng = np.random.default_rng(0)
    rows = space.encode([{"a": 1, "b": "u"}, {"a": 3, "b": "v"}, {"a": 2, "b": "u"}])[0]
    taken = set(seen.keys([{"a": 1, "b": "u"}]))
    assert first_new(seen, taken, rows, rng) == {"a": 2, "b": "u"}  # the second is forbidden
    taken.update(seen.keys([{"a": 2, "b": "u"}]))
    assert first_new(seen, taken, rows, rng) in ({"a": 1, "b": "v"}, {"a": 3, "b": "u"}, {"a": 2, "b": "v"})
    for config in space.decode(space.all_rows()):
        if config != {"a": 3, "b": "u"}:
            taken.update(seen.keys([config]))
    assert first_new(seen, taken, rows, rng) == {"a": 3, "b": "u"}
    taken.update(seen.keys([{"a": 3, "b": "u"}]))
    assert first_new(seen, taken, rows, rng) is None


@pytest.mark.parametrize("name", NAMES)
def test_gaps_foreign_trials_and_late_reports_give_the_same_after_a_cold_rebuild(name):
    """Numbers with gaps, a configuration of the user, a failed trial, and reports that arrive in between."""
    space = _space()
    problem = Problem(space, (Objective("loss"),), fidelity=Fidelity("epoch", 1, 9))
    live = load("searcher", name)(problem, seed=3)
    rng = np.random.default_rng(0)
    told = []
    for k in (k for k in range(60) if k % 7 != 3):
        [config] = live.ask(k=k)
        config = space.sample(1, rng)[0] if k % 11 == 5 else config
        status = Status.FAILED if k % 13 == 8 else Status.RUNNING
        value = (config["x"] - 0.3) ** 2 + config.get("y", 0.2)
        batch = [problem.observe(k, config, {"loss": value + 1}, resource=1.0, status=status)]
        if k > 9:
            earlier = told[int(rng.integers(len(told)))]
            batch.append(Observation(earlier.trial, earlier.config, 9.0, (earlier.values[0] - 1,)))
        live.tell(batch)
        told += batch
    cold = load("searcher", name)(problem, seed=3)
    cold.tell(told)
    assert cold.ask(4, k=60) == live.ask(4, k=60)
    assert len(set(live.ask(4, k=60))) == 4


@pytest.mark.parametrize("name", NAMES)
def test_the_first_ones_are_those_of_random_search(name):
    problem = Problem(_space(), (Objective("loss"),))
    searcher, random = (load("searcher", one)(problem, seed=4) for one in (name, "random"))
    same = []
    for k in range(40):
        [config] = searcher.ask(k=k)
        same.append(config == random.ask(k=k)[0])
        searcher.tell([problem.observe(k, config, {"loss": config["x"]})])
    first = same.index(False)
    assert first >= 4
    assert not any(same[first:])
