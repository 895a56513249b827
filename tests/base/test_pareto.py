"""Dominance, sorting, crowding, hypervolume and reference points, against brute force and by hand."""

from itertools import combinations

import numpy as np
import pytest

from luthier.base.errors import ArgumentError
from luthier.base.pareto import crowding, fronts, hypervolume, nondominated, reference_point


def _sets(most, objectives, draws):
    """Random sets, half of them on a coarse grid, so that equal points and equal coordinates occur."""
    rng = np.random.default_rng(0)
    for number in range(draws):
        n, m = int(rng.integers(1, most + 1)), int(rng.integers(objectives[0], objectives[1] + 1))
        yield rng.random((n, m)) if number % 2 else rng.integers(0, 5, size=(n, m)).astype(float)


def _dominates(a, b):
    return bool((a <= b).all() and (a < b).any())


def _brute_fronts(values):
    rank, left, level = np.full(len(values), -1), list(range(len(values))), 0
    while left:
        now = [i for i in left if not any(_dominates(values[j], values[i]) for j in left)]
        rank[now] = level
        left, level = [i for i in left if i not in now], level + 1
    return rank


def _inclusion_exclusion(values, reference):
    total = 0.0
    for size in range(1, len(values) + 1):
        for chosen in combinations(values, size):
            edges = np.maximum(reference - np.max(chosen, axis=0), 0.0)
            total -= (-1.0) ** size * edges.prod()
    return total


def test_sorting_equals_brute_force():
    for values in _sets(25, (1, 4), 300):
        assert fronts(values).tolist() == _brute_fronts(values).tolist()
        assert nondominated(values).tolist() == (_brute_fronts(values) == 0).tolist()


def test_points_with_nan_are_dominated_and_dominate_nothing():
    values = np.array([[np.nan, 0.0], [1.0, 1.0], [1.0, 1.0], [2.0, np.nan], [1.0, 2.0]])
    assert nondominated(values).tolist() == [False, True, True, False, False]
    assert nondominated(np.full((2, 3), np.nan)).tolist() == [False, False]
    assert nondominated(np.empty((0, 2))).tolist() == []


def test_crowding_by_hand():
    """On the front (0,6) (1,3) (3,1) (6,0): 3/6 + 5/6 for the second, 5/6 + 3/6 for the third, ends infinite."""
    values = np.array([[3.0, 1.0], [0.0, 6.0], [7.0, 7.0], [6.0, 0.0], [1.0, 3.0]])
    front = fronts(values)
    assert front.tolist() == [0, 0, 1, 0, 0]
    assert crowding(values, front) == pytest.approx([8 / 6, np.inf, np.inf, np.inf, 8 / 6])


def test_crowding_of_equal_points_has_no_width_to_measure_in():
    values = np.ones((4, 2))
    assert crowding(values, fronts(values)).tolist() == [np.inf, 0.0, 0.0, np.inf]
    assert crowding(np.empty((0, 2)), np.empty(0, dtype=np.int64)).tolist() == []


def test_crowding_of_several_fronts_is_that_of_each():
    for values in _sets(40, (2, 3), 40):
        front, found = fronts(values), crowding(values, fronts(values))
        for number in np.unique(front):
            members = front == number
            alone = crowding(values[members], np.zeros(members.sum(), dtype=np.int64))
            assert found[members] == pytest.approx(alone)


def test_hypervolume_by_hand():
    assert hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([3.0, 3.0])) == 3.0
    assert hypervolume(np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]), np.array([2.0, 2.0, 2.0])) == 6.0
    assert hypervolume(np.array([[3.0, 0.0]]), np.array([3.0, 3.0])) == 0.0
    assert hypervolume(np.empty((0, 2)), np.array([3.0, 3.0])) == 0.0


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_hypervolume_equals_inclusion_exclusion(m):
    for values in _sets(8, (m, m), 40):
        # some points lie outside; no two objectives end at the same place
        reference = np.linspace(0.8, 1.0, m) * (4.2 if values.max() > 1 else 0.9)
        assert hypervolume(values, reference) == pytest.approx(_inclusion_exclusion(values, reference), abs=1e-9)


@pytest.mark.parametrize("m", [2, 3])
def test_hypervolume_and_sorting_equal_pymoo(m):
    pytest.importorskip("pymoo", reason="pymoo is not installed (pip install 'luthier[opt]')")
    from pymoo.indicators.hv import HV
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    rng = np.random.default_rng(m)
    for n in (1, 10, 100, 400):
        values = np.abs(rng.normal(size=(n, m)))
        values /= np.linalg.norm(values, axis=1, keepdims=True) * rng.uniform(0.9, 1.0, size=(n, 1))
        reference = np.full(m, 1.1)
        assert hypervolume(values, reference) == pytest.approx(HV(ref_point=reference)(values), rel=1e-9)
        wanted = np.empty(n, dtype=int)
        for number, members in enumerate(NonDominatedSorting().do(values)):
            wanted[members] = number
        assert fronts(values).tolist() == wanted.tolist()


def test_a_front_of_thousands_is_measured_and_sorted():
    """A sphere's octant, all of it undominated: 1.331 less an eighth of a ball is what no front can exceed."""
    rng = np.random.default_rng(0)
    front = np.abs(rng.normal(size=(1500, 3)))
    front = 1 - front / np.linalg.norm(front, axis=1, keepdims=True)
    assert nondominated(front).all()
    assert 0.93 * np.pi / 6 < hypervolume(front, np.ones(3)) < np.pi / 6
    line = rng.permutation(3000) / 3000.0
    assert (fronts(np.stack([line, line], axis=1)) == np.argsort(np.argsort(line))).all()
    assert nondominated(np.stack([line, -line], axis=1)).all()


def test_reference_point_is_the_nadir_and_a_tenth_of_the_range():
    """The dominated point (9, 9) does not count: the front spans 0..4 and 1..11."""
    values = np.array([[0.0, 11.0], [2.0, 3.0], [4.0, 1.0], [9.0, 9.0], [np.nan, 0.0], [np.inf, -5.0]])
    assert reference_point(values) == pytest.approx([4.4, 12.0])
    assert reference_point(values, margin=1.0) == pytest.approx([8.0, 21.0])


def test_reference_point_of_a_front_without_a_range():
    assert reference_point(np.array([[1.0, 2.0], [3.0, 7.0]])) == pytest.approx([1.2, 2.5])  # the range of all
    assert reference_point(np.array([[-4.0, 0.0]])) == pytest.approx([-3.6, 0.1])  # its own size, or 1


@pytest.mark.parametrize("values", [np.empty((0, 2)), np.full((2, 2), np.nan)])
def test_reference_point_of_nothing(values):
    with pytest.raises(ArgumentError) as caught:
        reference_point(values)
    assert str(caught.value) == f"reference_point: none of {len(values)} rows is finite. Give at least one."
