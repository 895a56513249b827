"""The conformal correction: scores, order statistics, sorting."""

import math

import numpy as np
import pytest

from luthier.base.errors import ArgumentError
from luthier.models.conformal import RULES, band_scores, correct, corrections, covered, score_quantile

LEVELS = np.arange(1, 6) / 6


def test_scores_by_hand():
    lower, upper = np.array([1.0, 1.0, 0.0]), np.array([3.0, 3.0, 4.0])
    assert band_scores(lower, upper, np.array([0.5, 3.25, 3.0])).tolist() == [0.5, 0.25, -1.0]


@pytest.mark.parametrize(
    ("rule", "coverage", "wanted"),
    [
        ("weibull", 0.5, 30.0),  # position 0.5 * 6 = 3
        ("weibull", 0.75, 45.0),  # position 4.5
        ("weibull", 0.99, 50.0),
        ("split", 0.5, 30.0),
        ("split", 0.51, 40.0),
        ("split", 0.99, 50.0),
        ("reference", 0.6, 30.0),  # level 0.5
    ],
)
def test_order_statistics_by_hand(rule, coverage, wanted):
    scores = np.array([50.0, 10.0, 40.0, 20.0, 30.0])
    assert score_quantile(scores, coverage, rule) == pytest.approx(wanted)


def test_split_does_not_round_up_whole_positions():
    assert score_quantile(np.arange(1.0, 5.0), 0.6, "split") == 3.0  # 0.6 * 5 exceeds 3 in floating point only


def test_split_takes_the_right_one_of_many():
    scores = np.random.default_rng(0).permutation(1000.0 + np.arange(400))
    for coverage in (0.5, 0.63, 0.9):
        assert score_quantile(scores, coverage, "split") == 1000.0 + math.ceil(401 * coverage) - 1


@pytest.mark.parametrize("rule", RULES)
def test_one_score(rule):
    assert score_quantile(np.array([2.0]), 0.9, rule) == 2.0


def test_unknown_rule():
    with pytest.raises(ArgumentError, match=r"^level='weibul'\. Did you mean 'weibull'\?$"):
        score_quantile(np.ones(3), 0.5, "weibul")


def test_no_values_no_correction():
    assert corrections(LEVELS, np.empty((0, 5)), np.empty(0)).tolist() == [0.0, 0.0]


def test_correction_moves_pairs_and_keeps_the_median():
    predicted = np.array([[0.0, 1.0, 2.0, 3.0, 4.0]])
    assert correct(predicted, np.array([0.5, -0.25])).tolist() == [[-0.5, 1.25, 2.0, 2.75, 4.5]]


def test_bands_that_shrink_past_each_other_are_sorted():
    found = correct(np.array([[0.0, 1.0, 2.0, 3.0, 4.0]]), np.array([-3.0, 0.0]))
    assert found.tolist() == [[1.0, 1.0, 2.0, 3.0, 3.0]]


def test_coverage_counts_edges():
    predicted = np.tile([0.0, 1.0, 2.0, 3.0, 4.0], (4, 1))
    assert covered(LEVELS, predicted, np.array([0.0, 1.5, 3.0, 5.0])).tolist() == [0.75, 0.5]
