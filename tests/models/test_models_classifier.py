"""Labels, the classifiers that learn them, and what is known about them out of bag."""

import importlib.util
import sys

import numpy as np
import pytest

from luthier.base.errors import ArgumentError, MissingExtra
from luthier.models.classifier import CLASSIFIERS, SmoothClassifier, area, fit_classifier, fit_forest, subsets
from luthier.models.forest import MOST_ROWS
from luthier.models.labels import Labels, best_share, label, thin

NEEDS_TORCH = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="classifier 'mlp' needs torch")
ALL = [pytest.param(name, marks=NEEDS_TORCH if name == "mlp" else ()) for name in CLASSIFIERS]


def _data(n=60, p=3, seed=0, acquisition="pi"):
    rng = np.random.default_rng(seed)
    X = rng.random((n, p))
    return X, label(((X - 0.3) ** 2).sum(axis=1), 0.25, acquisition=acquisition), rng


# -- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.0, 1.0, "x"])
def test_gamma_is_a_share(gamma):
    with pytest.raises(ArgumentError, match=r"gamma=.* Allowed: a number and above 0 and below 1\."):
        best_share(np.arange(5.0), gamma)


def test_acquisition_is_known():
    with pytest.raises(ArgumentError, match="acquisition='ui'"):
        label(np.arange(5.0), 0.5, acquisition="ui")


def test_huge_and_equal_values_give_finite_labels():
    for y in ([-1e308, 1e308, 1.0, -1e307], [0.0] * 4, [1.0, 1.0 + 1e-16, 2.0, 3.0]):
        target, weight = label(np.array(y), 0.5, acquisition="ei")
        assert np.isfinite(target).all()
        assert np.isfinite(weight).all()
        assert target.max() > 0


def test_weights_fall_back_when_all_of_the_best_lie_at_the_threshold():
    target, weight = label(np.array([1.0, 1.0, 2.0, 3.0]), 0.25, acquisition="ei")
    assert target.tolist() == [0.5, 0.5, 0.0, 0.0]
    assert weight.tolist() == [2.0, 2.0, 1.0, 1.0]


def test_failures_do_not_stretch_improvements():
    """Failures equal the worst value; more than half of them are left out of the quantile."""
    failed = np.array([0, 0, 0, 1, 1, 1, 1], dtype=bool)
    y = np.array([1.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0])
    target, _ = label(y, 0.5, acquisition="ei", failed=failed)
    alone, _ = label(y[:3], 0.5, acquisition="ei")
    assert target.tolist() == [*alone, 0, 0, 0, 0]


def test_thresholds_of_some_values_label_all():
    """The quarter of 3, 4, 5, 6, 9 ends at 4; of these five the largest improvement is 1, of all it is 3."""
    y, among = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 9.0]), np.arange(7) >= 2
    assert np.flatnonzero(best_share(y, 0.25, among=among)).tolist() == [0, 1, 2, 3]
    target, _ = label(y, 0.25, acquisition="ei", among=among)
    assert (target / (1 - target)).tolist() == pytest.approx([1.5, 1.0, 0.5, 0, 0, 0, 0])  # 3, 2, 1 with mean 1
    failed = np.arange(7) == 2
    assert np.flatnonzero(best_share(y, 0.25, among=among, failed=failed)).tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize(
    ("y", "wanted"),
    [
        ([1.0, 2.0, 5.0, 6.0], 1),  # the quarter of four is the least
        ([2.0, 2.0, 5.0, 6.0], 2),  # nothing lies below the tied ones
        ([1.0, 2.0, 2.0, 2.0, 6.0, 7.0, 8.0, 9.0], 4),  # four of eight where two were asked for: twice is not more
        ([1.0, 2.0, 2.0, 2.0, 2.0, 7.0, 8.0, 9.0], 1),  # five of eight: the tied ones are left out
    ],
)
def test_ties_at_the_threshold(y, wanted):
    assert best_share(np.array(y), 0.25).sum() == wanted


def test_thinning_keeps_class_one_and_the_weight_of_class_zero():
    labels = Labels(np.repeat([0.5, 0.0], [30, 970]), np.ones(1000))
    rows, kept = thin(labels, np.random.default_rng(0), most=100)
    assert len(rows) == 100
    assert (np.diff(rows) > 0).all()
    assert (kept.target > 0).sum() == 30
    assert kept.weight[kept.target == 0].sum() == pytest.approx(970)
    assert (kept.weight[kept.target > 0] == 1).all()
    rows, kept = thin(Labels(np.repeat([1.0, 0.0], [80, 920]), np.ones(1000)), np.random.default_rng(0), most=100)
    assert len(rows) == 160  # as many of class 0 as of class 1
    assert len(thin(labels, np.random.default_rng(0), most=1000)[0]) == 1000


# -- ensembles --------------------------------------------------------------------------------------------------------


def test_area_by_hand():
    assert area(np.array([0.9, 0.8, 0.1]), np.array([True, False, False])) == 1.0
    assert area(np.array([0.1, 0.1, 0.1]), np.array([True, False, False])) == 0.5
    assert area(np.array([3.0, 1.0, 2.0, 2.0]), np.array([False, False, True, True])) == 0.5
    assert area(np.array([2.0, 1.0, 2.0]), np.array([True, False, False])) == 0.75
    assert np.isnan(area(np.array([1.0]), np.array([True])))


@pytest.mark.parametrize("n", [3, 6, 40, 1000])
def test_subsets_hold_both_classes(n):
    target = np.zeros(n)
    target[: max(1, n // 4)] = 0.7
    inside = subsets(target, np.random.default_rng(0), members=9)
    assert len(set(inside.sum(axis=1))) == 1
    assert inside.sum() <= 9 * (MOST_ROWS + 2)
    assert inside[:, target > 0].any(axis=1).all()
    assert inside[:, target == 0].any(axis=1).all()
    assert (~inside).any() == (n > 3)  # of one and two rows all are taken


def test_votes_of_a_forest_are_weighted_shares():
    X, labels, rng = _data(acquisition="ei")
    model = fit_forest(X, labels, rng, trees=4, leaf=5)
    new = rng.random((20, 3))
    leaves, at = model._forest.leaves(X), model._forest.leaves(new)
    for tree in range(4):
        for row in range(20):
            here = model.inside[tree] & (leaves[tree] == at[tree, row])
            wanted = np.average(labels.target[here], weights=labels.weight[here])
            assert model.votes(new)[tree, row] == pytest.approx(wanted)


@pytest.mark.parametrize("acquisition", ["pi", "ei"])
@pytest.mark.parametrize("name", ALL)
def test_classifiers_rank_new_points(name, acquisition):
    X, labels, rng = _data(80, acquisition=acquisition)
    model = fit_classifier(name, X, labels, rng)
    new = rng.random((400, 3))
    near = ((new - 0.3) ** 2).sum(axis=1)
    assert area(model.score(new), near < np.quantile(near, 0.25)) > 0.8
    assert model.votes(new).shape == (len(model.inside), 400)
    assert model.auc(X, labels.target) > 0.7


@pytest.mark.parametrize("name", ALL)
def test_area_is_near_a_half_when_there_is_nothing_to_learn(name):
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        X, target = rng.random((80, 3)), np.repeat([1.0, 0.0], [20, 60])
        model = fit_classifier(name, X, Labels(target, np.ones(80)), rng)
        found.append(model.auc(X, target))
    assert 0.35 < np.mean(found) < 0.62


@pytest.mark.parametrize("name", ALL)
def test_equal_generators_give_equal_fits(name):
    X, labels, _ = _data(20)
    first, second, other = (fit_classifier(name, X, labels, np.random.default_rng(s)).score(X) for s in (1, 1, 2))
    assert (first == second).all()
    assert (first != other).any()


@pytest.mark.parametrize("name", ALL)
def test_weights_move_the_score(name):
    """Two clouds in one place, one of each class: the heavier one decides."""
    X = np.full((20, 1), 0.5)
    target = np.repeat([1.0, 0.0], 10)
    scores = []
    for heavy in (0.1, 10.0):
        labels = Labels(target, np.where(target > 0, heavy, 1.0))
        scores.append(float(fit_classifier(name, X, labels, np.random.default_rng(0)).score(X[:1])[0]))
    assert scores[0] < scores[1]


@pytest.mark.parametrize("name", ALL)
def test_smallest_data(name):
    model = fit_classifier(name, np.array([[0.1], [0.9]]), Labels(np.array([1.0, 0.0]), np.ones(2)), _data()[2])
    assert np.isfinite(model.score(np.array([[0.0], [0.5], [1.0]]))).all()


def test_unknown_classifier():
    with pytest.raises(ArgumentError, match="classifier='xgb'"):
        fit_classifier("xgb", *_data())


# -- networks ---------------------------------------------------------------------------------------------------------


@NEEDS_TORCH
def test_slopes_are_those_of_differences():
    X, labels, rng = _data()
    model = fit_classifier("mlp", X, labels, rng)
    assert isinstance(model, SmoothClassifier)
    at = rng.random((5, 3))
    score, slope = model.slope(at)
    assert score == pytest.approx(model.score(at), abs=1e-12)
    for column in range(3):
        step = np.zeros(3)
        step[column] = 1e-6
        assert (model.score(at + step) - model.score(at - step)) / 2e-6 == pytest.approx(slope[:, column], rel=1e-4)


@NEEDS_TORCH
def test_torch_is_left_as_it_was():
    import torch

    before, state = torch.get_num_threads(), torch.random.get_rng_state()
    fit_classifier("mlp", *_data(20))
    assert torch.get_num_threads() == before
    assert (torch.random.get_rng_state() == state).all()


def test_networks_say_what_they_need(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra) as caught:
        fit_classifier("mlp", *_data(20))
    assert str(caught.value) == "classifier 'mlp' needs torch. Install it with: pip install \"luthier[torch]\""
