"""Every searcher that the registry knows keeps the contract, and the battery notices who does not."""

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, MissingExtra
from luthier.base.records import Objective, Observation
from luthier.base.registry import load, names, own_arguments
from luthier.searchers.random import Random
from luthier.searchers.transfer._history import earlier_tasks
from luthier.searchers.transfer._selection import select
from luthier.space.problem import PastTask, Problem
from luthier.testing.searcher import CHECKS, check_better, check_searcher

SLOW = {"botorch"}  # a good second an ask


def _marked(name):
    return pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [_marked(name) for name in names("searcher")])
def test_searcher_keeps_the_contract(name, check):
    try:
        check(load("searcher", name), {})
    except MissingExtra as missing:
        pytest.skip(str(missing))


class Forgetful(Random):
    """Does not note all that was tried."""

    def tell(self, observations):
        super().tell([observation for observation in observations if observation.trial != 3])


class Counting(Random):
    """Proposes by how often it was asked."""

    def __init__(self, problem, *, seed):
        super().__init__(problem, seed=seed)
        self.count = 0

    def _propose(self, n, k, pending):
        self.count += 1
        return super()._propose(n, self.count, pending)


class Outside(Random):
    """Leaves the space."""

    def _propose(self, n, k, pending):
        return [type(c)({**c, "width": 1000}) if "width" in c else c for c in super()._propose(n, k, pending)]


class Boastful(Random):
    """Says that it learns."""

    model_based = True


class Timid(Random):
    """Says that it cannot, and does not refuse."""

    supports = frozenset({"parallel"})

    def __init__(self, problem, *, seed):
        kept, type(self).supports = self.supports, Random.supports
        super().__init__(problem, seed=seed)
        type(self).supports = kept


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Forgetful, "configurations told and pending: 17, not 16"),
        (Counting, "the same study again|after a cold rebuild"),
        (Outside, "width"),
        (Boastful, "change nothing|random search has|are feasible"),
        (Timid, "is not in supports, and a problem that needs it is not refused"),
    ],
)
def test_battery_notices(cls, message):
    with pytest.raises((AssertionError, ValueError), match=message):
        check_searcher(cls)


class Remembering(Random):
    """Proposes what was best before; without a past it has nothing to go by."""

    model_based = True
    warms = True

    def _propose(self, n, k, pending):
        best = select(earlier_tasks(self.problem), 10)
        return best[k : k + n] or super()._propose(n, k, pending)


def test_battery_gives_a_past_to_who_needs_one():
    check_better(Remembering, {})
    with pytest.raises(AssertionError, match="random search has"):
        check_better(Boastful, {})


def test_battery_needs_a_known_name():
    with pytest.raises(ArgumentError, match=r"searcher 'randon' is not known\. Did you mean 'random'\?"):
        check_searcher("randon")


def test_battery_needs_known_arguments():
    with pytest.raises(ArgumentError, match=r"has no argument 'candidate'\. Did you mean 'candidates'\?"):
        check_searcher("cqr", candidate=10)


def counts(cls):
    """Small values of the arguments that are whole numbers."""
    small = {"candidates": 20, "steps": 20, "units": 5, "trees": 4, "samples": 4, "levels": 3, "size": 8}
    found = [name for name, one in own_arguments(cls).items() if str(one.annotation).split(" |")[0] == "int"]
    return {name: small.get(name, 5) for name in found}


COUNTED = [name for name in names("searcher") if counts(load("searcher", name))]


@pytest.mark.parametrize("name", [_marked(name) for name in COUNTED])
def test_whole_numbers_may_be_written_with_a_point(name):
    cls, loss = load("searcher", name), (Objective("loss"),)
    space = lu.Space(x=lu.Float(0.0, 1.0), y=lu.Float(0.0, 1.0), kind=lu.Choice("a", "b"))
    configs = space.sample(8, np.random.default_rng(0))
    told = tuple(Observation(i, config, None, (config["x"],)) for i, config in enumerate(configs))
    past = (PastTask("earlier", 0.0, space, loss, told),) if "transfer" in cls.supports else ()

    def proposed(own):
        one, found = cls(Problem(space, loss, past=past), seed=0, **own), []
        for k in range(8):
            found += one.ask(k=k)
            one.tell([Observation(k, found[k], None, (found[k]["x"] + found[k]["y"],))])
        return found

    try:
        whole = proposed(counts(cls))
    except MissingExtra as missing:
        pytest.skip(str(missing))
    assert proposed({name: float(value) for name, value in counts(cls).items()}) == whole
