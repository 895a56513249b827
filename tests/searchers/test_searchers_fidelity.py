"""One table of measurements at several resources, against oracles."""

import math
import warnings

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, NumericsWarning
from luthier.base.records import Configuration, Constraint, Fidelity, Objective, Observation, Status
from luthier.searchers._fidelity import WAYS, Aggregation
from luthier.space.problem import Problem

SPACE = lu.Space(x=lu.Float(0, 1))
END = {"stopped": Status.STOPPED, "completed": Status.COMPLETED, "failed": Status.FAILED, "diverged": Status.DIVERGED}


def _problem(fidelity=Fidelity("epoch", 1, 81), **more):
    return Problem(SPACE, **({"objectives": (Objective("loss"),), "fidelity": fidelity} | more))


def _told(trial, value, resource=None, status=Status.RUNNING, violations=()):
    values = () if value is None else value if isinstance(value, tuple) else (value,)
    return Observation(trial, Configuration(x=trial / 1000), resource, values, violations, status)


def _table(way, told, **more):
    found = Aggregation(_problem(**more), way)
    found.add(told)
    return found.table()


def _shown(table):
    """Rows as (trial, level, merit), for comparison."""
    return [
        (round(1000 * row[0]), int(level), merit)
        for row, level, merit in zip(table.rows, table.level, table.merit.tolist(), strict=True)
    ]


# trials 0 to 3: stopped at 1, stopped at 3, running at 9 (its report at 3 came late), paused at 1; 4 diverges at 3
STORY = [
    _told(0, 0.9, 1.0),
    _told(0, None, 1.0, Status.STOPPED),
    _told(1, 0.8, 1.0),
    _told(1, 0.7, 3.0),
    _told(2, 0.5, 1.0),
    _told(1, None, 3.0, Status.STOPPED),
    _told(2, 0.3, 9.0),
    _told(2, 0.4, 3.0),
    _told(3, 0.6, 1.0),
    _told(4, 0.2, 1.0),
    _told(4, None, 3.0, Status.DIVERGED),
]


def test_last():
    table = _table("last", STORY)
    assert _shown(table) == [(0, 13, 0.9), (1, 10, 0.7), (2, 7, 0.3), (3, 13, 0.6), (4, 0, 0.9)]
    assert not table.feature
    assert table.weight.tolist() == [1.0] * 5


def test_rank():
    """At 1 there are .2 .5 .6 .8 .9, at 3 .4 and .7, at 9 .3 alone; weights 1, 3 and 9."""
    table = _table("rank", STORY)
    assert _shown(table)[4] == (4, 0, 1.0)
    wanted = [0.9, (0.7 + 3 * 0.75) / 4, (0.3 + 3 * 0.25 + 9 * 0.5) / 13, 0.5]
    assert table.merit[:4] == pytest.approx(wanted)


def test_level():
    table = _table("level", STORY)
    at_one = {(0, 13, 0.9), (1, 13, 0.8), (2, 13, 0.5), (3, 13, 0.6), (4, 13, 0.2)}
    assert set(_shown(table)) == {*at_one, (1, 10, 0.7), (2, 10, 0.4), (2, 7, 0.3), (4, 0, 0.9)}
    assert len(table.merit) == 9
    assert table.feature
    at = {13: 0.0, 10: 0.25, 7: 0.5, 0: 1.0}  # log(r) / log(81)
    assert table.resource == pytest.approx([at[level] for level in table.level.tolist()])
    assert table.place.tolist() == [round(1000 * x) for x in table.rows[:, 0]]


def test_rung():
    table = _table("rung", STORY)
    found = {(trial, level): merit for trial, level, merit in _shown(table)}
    at_one = {(4, 13): 0.1, (2, 13): 0.3, (3, 13): 0.5, (1, 13): 0.7, (0, 13): 0.9}
    assert found == pytest.approx({**at_one, (2, 10): 0.25, (1, 10): 0.75, (2, 7): 0.5, (4, 0): 1.0})
    resources = {13: 1, 10: 3, 7: 9, 0: 81}
    assert table.weight == pytest.approx([resources[level] / 81 for level in table.level.tolist()])


def test_mature_leaves_out_who_is_young():
    """Ten trials at 9; those below are left out while they run, and counted once they have ended."""
    old = [_told(trial, 0.1 * trial, 9.0) for trial in range(10)]
    told = [*old, _told(10, 3.0, 1.0), _told(11, 4.0, 3.0), _told(12, 5.0, 1.0, Status.STOPPED)]
    assert [trial for trial, _, _ in _shown(_table("mature", told))] == [*range(10), 12]
    told += [_told(10, None, 1.0, Status.FAILED), _told(11, 1.0, 9.0), _told(13, 0.0, 27.0)]
    assert [trial for trial, _, _ in _shown(_table("mature", told))] == list(range(14))
    assert [trial for trial, _, _ in _shown(_table("mature", [_told(0, 1.0, 1.0)]))] == [0]


@pytest.mark.parametrize("way", WAYS)
def test_random_stories_agree_with_an_oracle(way):
    """Out of order, repeated, resumed, paused, ended, failing: told one by one, at once, and read off the list."""
    rng = np.random.default_rng(WAYS.index(way))
    told = []
    for _ in range(250):
        trial, status = int(rng.integers(25)), rng.choice([*END, *["running"] * 30])
        resource = float(rng.choice([1, 3, 9, 27, 81]))
        value = None if status in ("failed", "diverged") or rng.random() < 0.05 else float(rng.normal())
        told.append(_told(trial, value, resource, END.get(status, Status.RUNNING)))
    slowly = Aggregation(_problem(), way)
    for one in told:
        slowly.add([one])
    table = _table(way, told)
    assert all(np.array_equal(a, b) for a, b in zip(slowly.table(), table, strict=True))
    last, at = _oracle(told)
    trials = [round(1000 * x) for x in table.rows[:, 0]]
    worst = max(value for _, value in last.values() if value is not None)
    if way in ("last", "mature"):
        wanted = {trial: worst if value is None else value for trial, (_, value) in last.items()}
        found = dict(zip(trials, table.merit.tolist(), strict=True))
        assert found == wanted if way == "last" else found.items() <= wanted.items()
        return
    if way == "highest":  # a trial that failed once is left out of the comparison: the others' order is what counts
        once = {one.trial for one in told if one.status in (Status.FAILED, Status.DIVERGED)}
        alive = {trial: v for (trial, resource), v in at.items() if resource == 81.0 and trial not in once}
        found = dict(zip(trials, table.merit.tolist(), strict=True))
        full = dict(zip(trials, (table.level == 0).tolist(), strict=True))
        assert {trial: v for trial, v in found.items() if trial not in once and full[trial]} == alive
        values = {v for trial, v in found.items() if full[trial]}
        assert all(found[trial] in values for trial in found if not full[trial]), "what others have there"
        return
    quantile = {
        (trial, resource): np.mean([other < value for (_, r), other in at.items() if r == resource])
        + 0.5 * np.mean([other == value for (_, r), other in at.items() if r == resource])
        for (trial, resource), value in at.items()
    }
    failed = [trial for trial, (_, value) in last.items() if value is None]
    if way == "rank":
        for trial, merit in zip(trials, table.merit, strict=True):
            mine = [(r, q) for (other, r), q in quantile.items() if other == trial]
            wanted = sum(r * q for r, q in mine) / sum(r for r, _ in mine)
            assert merit == pytest.approx(1.0 if trial in failed else wanted)
        return
    resources = np.round(81.0**table.resource)
    assert len(trials) == len({*zip(trials, resources, strict=True)}) == len(at)
    for trial, resource, merit in zip(trials, resources, table.merit, strict=True):
        value = at[trial, resource]
        if value == math.inf:
            assert merit == (1.0 if way == "rung" else max(v for v in at.values() if v < math.inf))
        else:
            assert merit == pytest.approx(value if way == "level" else quantile[trial, resource])


def _oracle(told):
    """Each trial's last (resource, value), and what stands at each level, a failure as infinite at the full one."""
    last, at = {}, {}
    for one in told:
        failed = one.status in (Status.FAILED, Status.DIVERGED)
        if not failed and not one.values:
            continue
        old = last.get(one.trial)
        if failed or old is None or one.resource >= old[0]:
            last[one.trial] = (one.resource, None if failed else one.values[0])
        at[one.trial, one.resource] = math.inf if failed else one.values[0]
    failed = {trial for trial, (_, value) in last.items() if value is None}
    at = {key: value for key, value in at.items() if value < math.inf}
    at |= {(trial, 81.0): math.inf for trial in failed}
    return last, at


def test_programs_may_report_at_any_resource():
    """101 and 120 are one level of 128; a trial counts there once, with the later one."""
    problem = {"fidelity": Fidelity("step", 1, 128)}
    told = [_told(0, 0.5, 101.0), _told(0, 0.4, 120.0), _told(1, 0.3, 128.0), _told(2, 0.1, 250.0), _told(3, 9.0, 0.0)]
    assert _shown(_table("level", told, **problem)) == [(0, 1, 0.4), (1, 0, 0.3), (2, 0, 0.1), (3, 14, 9.0)]


@pytest.mark.parametrize("way", WAYS)
def test_feasible_measurements_come_first(way):
    told = [_told(0, 0.1, 81.0, violations=(1.0,)), _told(1, 0.9, 81.0, violations=(-1.0,))]
    merit = _table(way, told, constraints=(Constraint("size", 0.0),)).merit
    assert merit[1] < merit[0]


@pytest.mark.parametrize("way", WAYS)
def test_constraints_may_be_kept_apart(way):
    """By hand: ranks 3 2 1 and 1 3 2 of the amounts, with their signs, over 3; the larger counts."""
    told = [
        _told(0, 0.1, 81.0, violations=(-3.0, 0.1)),
        _told(1, 0.2, 81.0, violations=(2.0, -5.0)),
        _told(2, 0.3, 81.0, violations=(-1.0, -1.0)),
        _told(3, None, 81.0, Status.FAILED),
    ]
    found = Aggregation(_problem(constraints=(Constraint("size", 0.0), Constraint("time", 0.0))), way, apart=True)
    found.add(told)
    table = found.table()
    assert table.excess == pytest.approx([1 / 3, 2 / 3, -1 / 3, 1.0])
    assert table.merit.argsort(kind="stable").tolist() == [0, 1, 2, 3]
    assert _table(way, told).excess is None


@pytest.mark.parametrize("way", WAYS)
def test_several_objectives_are_ordered_by_fronts(way):
    told = [_told(0, (2.0, 2.0), 81.0), _told(1, (1.0, 1.0), 81.0)]
    merit = _table(way, told, objectives=(Objective("loss"), Objective("size"))).merit
    assert merit[1] < merit[0]


@pytest.mark.parametrize("way", WAYS)
def test_without_a_fidelity_all_ways_are_last(way):
    told = [_told(0, 3.0), _told(1, 2.0), _told(2, None, status=Status.FAILED)]
    table = _table(way, told, fidelity=None)
    assert _shown(table) == [(0, 0, 3.0), (1, 0, 2.0), (2, 0, 3.0)]
    assert not table.feature
    assert len(_table(way, []).rows) == 0


def test_unknown_way():
    with pytest.raises(ArgumentError, match=r"fidelity='lust'\. Did you mean 'last'"):
        Aggregation(_problem(), "lust")


def _noise(trials, follow, survive=1.0, seed=0):
    """Values at 1, and for the best of them at 3, that correlate by `follow`."""
    rng = np.random.default_rng(seed)
    low = rng.normal(size=trials)
    high = follow * low + math.sqrt(1 - follow**2) * rng.normal(size=trials)
    bound = np.quantile(low, survive)
    for trial in range(trials):
        yield _told(trial, low[trial], 1.0)
        if low[trial] <= bound:
            yield _told(trial, high[trial], 3.0)


def test_warns_once_when_lower_resources_mislead():
    found = Aggregation(_problem(), "last")
    told = list(_noise(80, follow=-0.2))
    found.add(told[:38])
    found.table()
    found.add(told[38:])
    with pytest.warns(NumericsWarning, match=r"'loss' at epoch 1 says little about epoch 3: rank correlation -0"):
        found.table()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.add([_told(100, 1.0, 1.0)])
        found.table()


def test_does_not_warn_because_only_the_best_go_on():
    """Among the best third a correlation of 0.5 looks like 0.2 or less, and is often below 0.3 by chance."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(20):
            _table("last", list(_noise(60, follow=0.5, survive=1 / 3, seed=seed)))
            _table("last", [_told(trial, 1.0, epoch) for trial in range(30) for epoch in (1.0, 3.0)])  # all equal
