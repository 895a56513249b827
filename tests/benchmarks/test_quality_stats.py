"""The statistics of benchmarks/quality.py, against SciPy and against numbers worked out by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats as scipy_stats

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "_stats.py"


@pytest.fixture(scope="module")
def stats() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quality_stats", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ranks_share_ties(stats):
    regret = np.array([[[0.1, 0.2]], [[0.1, 0.1]], [[0.5, 0.3]]])
    assert stats.paired_ranks(regret).tolist() == [[[1.5, 2.0]], [[1.5, 1.0]], [[3.0, 3.0]]]


def test_interquartile_mean_cuts_a_quarter_from_either_end(stats):
    assert stats.interquartile_mean([100.0, 1.0, 2.0, 3.0]) == 2.5
    assert stats.interquartile_mean([0.0, 1.0, 2.0, 9.0, 10.0]) == pytest.approx((0.75 + 2.0 + 0.75 * 9) / 2.5)


def test_friedman_equals_scipys_with_ties(stats):
    medians = np.random.default_rng(0).integers(0, 5, size=(4, 12)).astype(float)
    assert stats.friedman(medians)["chi2"] == pytest.approx(scipy_stats.friedmanchisquare(*medians).statistic)


def test_friedman_refuses_few_tasks(stats):
    with pytest.raises(ValueError, match="6 tasks"):
        stats.friedman(np.ones((3, 5)))


def test_holm_by_hand(stats):
    # 0.01 * 3, then 0.03 * 2, then 0.04 * 1, which may not fall below the one before
    assert stats.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_against_counts_and_refuses(stats):
    medians = np.array([[0.1, 0.2, 0.3, 0.1, 0.2, 0.5, 0.1], [0.2, 0.3, 0.4, 0.2, 0.3, 0.5, 0.0]])
    [row] = stats.against(medians, 0)
    assert (row["wins"], row["ties"], row["losses"]) == (5, 1, 1)
    assert row["shift"] == pytest.approx(-0.1)
    assert row["p"] == scipy_stats.wilcoxon(medians[0] - medians[1], zero_method="pratt").pvalue
    with pytest.raises(ValueError, match="6 or more"):
        stats.against(medians[:, :5], 0)


def test_interval_is_wider_when_tasks_differ(stats):
    rng = np.random.default_rng(1)
    alike = rng.normal(size=(12, 10))
    low, high = stats.interval(alike)
    assert low < alike.mean() < high
    differing = alike + 3 * rng.normal(size=(12, 1))
    assert np.diff(stats.interval(differing)) > 3 * (high - low)
