"""Parzen estimators."""

import math
from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import chisquare, kstest

from luthier.models import parzen
from luthier.models.parzen import Axis, Parzen

THREE = Axis(np.linspace(0, 1, 4), ordered=False)
CELLS = Axis(np.array([0.0, 0.1, 0.3, 0.6, 1.0]))


def _normal(x, at, sd):
    bell = NormalDist(at, sd)
    return bell.pdf(x) / (bell.cdf(1) - bell.cdf(0))


def _all(rows):
    return np.ones(rows.shape, dtype=bool)


def test_density_of_one_number_by_hand():
    """One observation at 0.3, standard deviation 1/2; at 0.8 its kernel is 0.4839 / 0.6449, the uniform density 1."""
    rows = np.array([[0.3]])
    model = Parzen([Axis()], rows, _all(rows), width=0.2)
    assert model.sd.tolist() == [0.5]
    [found] = np.exp(model.log_density(np.array([[0.8]]), np.array([[True]])))
    assert found == pytest.approx((0.483941 / 0.644990 + 1) / 2, abs=1e-5)


def test_standard_deviation_shrinks_as_scott_says():
    rows = np.random.default_rng(0).random((400, 3))
    for n, wanted in ((4, 1 / 5), (20, 0.2 * 20 ** (-1 / 7)), (400, 0.2 * 400 ** (-1 / 7))):
        assert Parzen([Axis()] * 3, rows[:n], _all(rows[:n]), width=0.2).sd == pytest.approx(wanted)
    assert Parzen([Axis()] * 3, rows, _all(rows), width=1e-3).sd.tolist() == [0.01] * 3


def test_bandwidth_counts_the_observations_that_have_the_column():
    rows = np.full((30, 2), 0.5)
    active = _all(rows)
    active[8:, 1] = False
    dimensions = (30 + 8) / 30
    wanted = [0.4 * 30 ** (-1 / (4 + dimensions)), 0.4 * 8 ** (-1 / (4 + dimensions))]
    assert Parzen([Axis()] * 2, rows, active, width=0.4).sd == pytest.approx(wanted)


def test_categories_have_the_mean_of_a_dirichlet_distribution():
    """Two draws of the first of three: (1 + 2) / (3 + 2), and the uniform density as a third observation."""
    rows = np.array([[1 / 6], [1 / 6]])
    model = Parzen([THREE], rows, _all(rows), width=0.2)
    shares = np.exp(model.log_density(np.array([[1 / 6], [1 / 2], [5 / 6]]), np.ones((3, 1), dtype=bool))) / 3
    assert shares == pytest.approx([(2 * 3 / 5 + 1 / 3) / 3, (2 / 5 + 1 / 3) / 3, (2 / 5 + 1 / 3) / 3])


def test_cells_have_the_kernels_mass():
    """Cells of different width; the kernel lies at the middle of the observation's cell."""
    rows = np.array([[0.2]])
    model = Parzen([CELLS], rows, _all(rows), width=0.2)
    bell = NormalDist(0.2, 0.5)
    total = bell.cdf(1) - bell.cdf(0)
    middles = np.array([[0.05], [0.2], [0.45], [0.8]])
    wanted = [
        ((bell.cdf(high) - bell.cdf(low)) / total / (high - low) + 1) / 2
        for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1))
    ]
    assert np.exp(model.log_density(middles, _all(middles))) == pytest.approx(wanted)


def test_weights():
    rows = np.array([[0.1], [0.9]])
    model = Parzen([Axis()], rows, _all(rows), width=0.2, weights=np.array([1.5, 0.5]))
    [found] = np.exp(model.log_density(np.array([[0.2]]), np.array([[True]])))
    assert model.sd == pytest.approx(1 / 3)
    assert found == pytest.approx((1.5 * _normal(0.2, 0.1, 1 / 3) + 0.5 * _normal(0.2, 0.9, 1 / 3) + 1) / 3)


def _conditional():
    """A choice of three decides which of two numbers is there; a column of cells is there always."""
    rng = np.random.default_rng(0)
    rows = np.column_stack([(rng.integers(3, size=12) + 0.5) / 3, rng.random(12), rng.random(12), rng.random(12)])
    return [THREE, Axis(), Axis(), CELLS], rows, _present(rows)


def _present(rows):
    first = (rows[:, 0] * 3).astype(int)
    return np.column_stack([first >= 0, first == 0, first == 1, first >= 0])


def test_a_product_of_kernels_over_the_columns_that_are_there_by_hand():
    axes, rows, active = _conditional()
    model = Parzen(axes, rows, active, width=0.2)
    counts = active.sum(axis=0)
    row = np.array([[1 / 6, 0.4, 0.5, 0.2]])  # has the first number, not the second
    wanted = 1.0
    for at, on in zip(rows, active, strict=True):
        kernel = 3 * (13 if at[0] == 1 / 6 else 1) / 15
        kernel *= _normal(0.4, at[1], model.sd[1]) if on[1] else 1.0
        edges = CELLS.edges
        middle = (edges[:-1] + edges[1:])[np.searchsorted(edges, at[3]) - 1] / 2
        bell = NormalDist(middle, model.sd[3])
        kernel *= (bell.cdf(0.3) - bell.cdf(0.1)) / (bell.cdf(1) - bell.cdf(0)) / 0.2
        wanted += kernel
    assert counts[1] < 12
    assert np.exp(model.log_density(row, _present(row))) == pytest.approx(wanted / 13)


def test_is_a_density_over_conditional_rows():
    """The integral over what is there, summed over the choice, is 1."""
    axes, rows, active = _conditional()
    model = Parzen(axes, rows, active, width=0.15)
    numbers, middles = (np.arange(400) + 0.5) / 400, (CELLS.edges[1:] + CELLS.edges[:-1]) / 2
    total = 0.0
    for choice, cell in product(range(3), range(4)):
        grid = np.full((400, 4), (choice + 0.5) / 3)
        grid[:, 1] = grid[:, 2] = numbers
        grid[:, 3] = middles[cell]
        total += np.exp(model.log_density(grid, _present(grid))).mean() * np.diff(CELLS.edges)[cell] / 3
    assert total == pytest.approx(1.0, abs=1e-4)


def test_draws_follow_the_density():
    axes, rows, active = _conditional()
    model = Parzen(axes, rows, active, width=0.2)
    rng = np.random.default_rng(1)
    n = 6000
    drawn = model.draw(rng.random((n, 4)), rng)
    shares = np.where(rows[:, :1] == (np.arange(3) + 0.5) / 3, 13, 1) / 15
    wanted = (shares.sum(axis=0) + 1 / 3) / 13
    assert chisquare(np.bincount((drawn[:, 0] * 3).astype(int)), n * wanted).pvalue > 1e-3

    def cumulative(x):
        parts = [np.asarray(x)]
        for at, on in zip(rows[:, 1], active[:, 1], strict=True):
            bell = NormalDist(at, model.sd[1])
            mass = bell.cdf(1) - bell.cdf(0)
            parts.append([(bell.cdf(v) - bell.cdf(0)) / mass for v in x] if on else np.asarray(x))
        return np.mean(parts, axis=0)

    assert kstest(drawn[:, 1], cumulative).pvalue > 1e-3
    bells = [NormalDist(at, model.sd[3]) for at in CELLS.codes(CELLS.levels(rows[:, 3]))]
    masses = [np.diff([bell.cdf(edge) for edge in CELLS.edges]) / (bell.cdf(1) - bell.cdf(0)) for bell in bells]
    wanted = (np.sum(masses, axis=0) + np.diff(CELLS.edges)) / 13
    assert chisquare(np.bincount(CELLS.levels(drawn[:, 3])), n * wanted).pvalue > 1e-3


def test_many_rows_and_observations_in_parts_as_at_once(monkeypatch):
    axes, rows, active = _conditional()
    model = Parzen(axes, rows, active, width=0.2)
    points = np.random.default_rng(2).random((50, 4))
    whole = model.log_density(points, _present(points))
    monkeypatch.setattr(parzen, "FITS", 30)
    assert model.log_density(points, _present(points)) == pytest.approx(whole, abs=1e-12)


def test_without_observations_the_density_is_uniform():
    nothing = np.empty((0, 4))
    axes, rows, active = _conditional()
    model = Parzen(axes, nothing, nothing.astype(bool), width=0.2)
    assert model.log_density(rows, active).tolist() == [0.0] * 12
    base = np.random.default_rng(0).random((5, 4))
    assert model.draw(base, np.random.default_rng(1)).tolist() == base.tolist()


def test_a_thousand_columns_neither_overflow_nor_vanish():
    rows = np.random.default_rng(0).random((200, 1000))
    model = Parzen([Axis()] * 1000, rows, _all(rows), width=1e-3)
    at, far = model.log_density(np.stack([rows[0], 1 - rows[0]]), np.ones((2, 1000), dtype=bool))
    assert at == pytest.approx(1000 * math.log(1 / (0.01 * math.sqrt(2 * math.pi))) - math.log(201), rel=0.02)
    assert far == pytest.approx(-math.log(201))


@pytest.mark.parametrize("at", [0.0, 1.0])
def test_observations_at_a_bound(at):
    rows = np.full((150, 1), at)
    model = Parzen([Axis()], rows, _all(rows), width=0.02)
    drawn = model.draw(np.full((500, 1), 0.5), np.random.default_rng(0))
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert np.mean(np.abs(drawn - at) < 0.05) > 0.9
    assert np.isfinite(model.log_density(np.array([[0.0], [1.0]]), np.ones((2, 1), dtype=bool))).all()
