"""Conformalised quantile regression on plain arrays."""

import numpy as np
import pytest

from luthier.base.errors import ArgumentError
from luthier.models.quantile import CONFORMAL, fit_quantiles, normal_scores, symmetric_levels


def _data(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((n, 3))
    return X, X[:, 0] + 0.3 * rng.normal(size=n), rng


def test_even_numbers_of_levels_are_refused():
    with pytest.raises(ArgumentError) as caught:
        symmetric_levels(4)
    assert str(caught.value) == (
        "quantiles=4. Allowed: an odd whole number (the median and symmetric pairs around it), such as 5."
    )


def test_normal_scores():
    found = normal_scores(np.array([1e7, -3.0, 5.0, 5.0]))
    assert found[2] == found[3]
    assert found.tolist() == normal_scores(np.array([6.0, 1.0, 2.0, 2.0])).tolist()
    assert normal_scores(np.array([2.0, 1.0, 3.0])) == pytest.approx([0.0, -0.6744897501960817, 0.6744897501960817])


@pytest.mark.parametrize("conformal", CONFORMAL)
@pytest.mark.parametrize("n", [1, 2, 9, 10, 40])
def test_every_way_and_size(conformal, n):
    X, y, rng = _data(n)
    model = fit_quantiles(X, y, rng, conformal=conformal)
    predicted = model.predict(rng.random((50, 3)))
    assert predicted.shape == (50, 5)
    assert np.isfinite(predicted).all()
    assert (np.diff(predicted, axis=1) >= 0).all()
    assert (model.widenings == 0).all() == (conformal == "none" or n < 10)
    assert np.isfinite(model.coverage).all() == (conformal in ("oob", "cross") and n >= 10)


def test_equal_generators_give_equal_models():
    X, y, _ = _data(30)
    first, second = (fit_quantiles(X, y, np.random.default_rng(3)).predict(X) for _ in range(2))
    assert (first == second).all()


def test_scale_and_shift_of_values():
    X, y, _ = _data(40)
    plain = fit_quantiles(X, y, np.random.default_rng(1)).predict(X)
    moved = fit_quantiles(X, 4.0 * y + 8.0, np.random.default_rng(1)).predict(X)
    assert moved == pytest.approx(4.0 * plain + 8.0, abs=1e-9)


def test_corrected_bands_cover_fresh_noise():
    """Nothing can be learnt: bands from neighbours are too narrow, corrected ones cover what they promise."""
    rng = np.random.default_rng(0)
    raw, corrected = [], []
    for _ in range(15):
        X, y = rng.random((60, 2)), rng.normal(size=60)
        model = fit_quantiles(X, y, rng, trees=40)
        predicted, fresh = model.predict(rng.random((300, 2))), rng.normal(size=300)
        corrected.append(np.mean((predicted[:, 0] <= fresh) & (fresh <= predicted[:, -1])))
        raw.append(model.raw_coverage[0])
    assert np.mean(raw) < 0.55
    assert np.mean(corrected) == pytest.approx(2 / 3, abs=0.05)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"conformal": "jackknife"}, "conformal='jackknife'. Allowed: 'cross', 'none', 'oob', 'split'."),
        ({"trees": 0}, "trees=0. Allowed: a whole number and at least 1."),
        ({"leaf": 1.5}, "leaf=1.5. Allowed: a whole number and at least 1."),
    ],
)
def test_bad_arguments(own, message):
    X, y, rng = _data(10)
    with pytest.raises(ArgumentError) as caught:
        fit_quantiles(X, y, rng, **own)
    assert str(caught.value) == message


@pytest.mark.parametrize("conformal", ["oob", "cross", "split"])
def test_groups_are_left_out_as_a_whole(conformal):
    """Four copies of each of 60 points: copies in the fit know the value, and would make the bands look sure."""
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.random((60, 2)), 4, axis=0), np.repeat(rng.normal(size=60), 4)
    groups = np.repeat(np.arange(60) + 7, 4)
    fresh, wanted = rng.random((2000, 2)), rng.normal(size=2000)

    def covered(groups):
        predicted = fit_quantiles(X, y, np.random.default_rng(1), conformal=conformal, groups=groups).predict(fresh)
        return np.mean((predicted[:, 0] <= wanted) & (wanted <= predicted[:, 4]))

    assert covered(groups) == pytest.approx(2 / 3, abs=0.2 if conformal == "split" else 0.12)
    assert covered(None) < covered(groups) - 0.1


def test_few_groups_are_not_corrected():
    X, y, rng = _data(40)
    assert (fit_quantiles(X, y, rng, groups=np.arange(40) % 9).widenings == 0).all()
