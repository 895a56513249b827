"""One value a trial, against an oracle."""

import math

import numpy as np
import pytest

import luthier as lu
from luthier.base.records import Configuration, Observation, Status
from luthier.searchers._latest import Latest, Record, merit

SPACE = lu.Space(x=lu.Float(0, 1))


def _told(trial, value, resource=None, violations=(), status=Status.RUNNING):
    values = () if value is None else (value,)
    return Observation(trial, Configuration(x=trial / 100), resource, values, violations, status)


def test_last_value_wins_whatever_the_order():
    """Out of order, repeated, resumed and failing reports: the oracle keeps the highest resource's newest value."""
    rng = np.random.default_rng(0)
    latest, oracle = Latest(SPACE), {}
    for _ in range(600):
        trial, resource, value = int(rng.integers(30)), float(rng.integers(1, 10)), float(rng.normal())
        if rng.random() < 0.03:
            latest.add([_told(trial, None, resource, status=Status.FAILED)])
            oracle[trial] = (resource, math.nan)
        else:
            latest.add([_told(trial, value, resource)])
            if resource >= oracle.get(trial, (0.0, 0.0))[0]:
                oracle[trial] = (resource, value)
        found = [
            (record.config["x"], record.resource, *(record.values or (math.nan,))) for record in latest.snapshot.records
        ]
        # NaN differs from itself, its text does not
        assert repr(found) == repr([(trial / 100, *kept) for trial, kept in oracle.items()])
    assert latest.rows()[:, 0] == pytest.approx([trial / 100 for trial in oracle])


def test_a_stopped_trial_keeps_what_it_reported():
    latest = Latest(SPACE)
    latest.add([_told(0, 0.5, 1.0), _told(0, None, 1.0, status=Status.STOPPED), _told(1, None, status=Status.STOPPED)])
    assert [record.values[0] for record in latest.snapshot.records] == [0.5]


def test_repeating_what_is_known_changes_nothing():
    latest = Latest(SPACE)
    latest.add([_told(0, 0.5, 1.0)])
    before = latest.snapshot
    latest.add([_told(0, 0.5, 1.0, status=Status.COMPLETED)])
    assert latest.snapshot is before


def test_snapshots_follow_a_rhythm_that_counts_results():
    latest = Latest(SPACE)
    numbers = []
    for trial in range(1600):
        latest.add([_told(trial, float(trial))])
        numbers.append(latest.snapshot.number)
    assert numbers[:500] == list(range(1, 501))
    assert np.unique(np.diff(np.unique(numbers[500:1000]))).tolist() == [2]
    assert np.unique(np.diff(np.unique(numbers[1000:1500]))).tolist() == [3]
    whole = Latest(SPACE)
    whole.add([_told(trial, float(trial)) for trial in range(1600)])
    assert whole.snapshot == latest.snapshot


def test_feasible_trials_come_first():
    latest = Latest(SPACE)
    told = [(3.0, (-1.0, 0.0)), (1.0, (2.0, 0.0)), (2.0, (-5.0, -1.0)), (0.0, (0.0, 30.0)), (2.0, (0.0, 0.0))]
    latest.add([_told(trial, value, violations=bounds) for trial, (value, bounds) in enumerate(told)])
    latest.add([_told(5, None, status=Status.FAILED), _told(6, 9.0, violations=(1.0, math.nan))])
    # feasible 2.0 twice, then 3.0; both infeasible ones violate one bound by its largest amount: equal; failures as bad
    assert latest.snapshot.merit().tolist() == [1.0, 2.0, 0.0, 2.0, 0.0, 2.0, 2.0]


def test_all_failed():
    latest = Latest(SPACE)
    latest.add([_told(trial, None, status=Status.FAILED) for trial in range(3)])
    assert latest.snapshot.merit().tolist() == [0.0, 0.0, 0.0]


def test_infeasible_trials_do_not_shade_feasible_ones():
    """The infeasible point dominates all; the two feasible ones are on one front, and both come before it."""
    config = SPACE.default()
    records = [
        Record(config, None, (0.0, 0.0), (1.0,)),
        Record(config, None, (1.0, 2.0), (-1.0,)),
        Record(config, None, (2.0, 1.0), (-1.0,)),
        Record(config, None, (3.0, 3.0), (-1.0,)),
        Record(config, None, (), ()),
    ]
    assert merit(records).tolist() == [2.0, 0.0, 0.0, 1.0, 2.0]
