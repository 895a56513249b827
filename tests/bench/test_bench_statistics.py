"""The statistics: against SciPy, against enumeration, by hand, and their errors over many synthetic studies."""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.optimize import minimize
from scipy.special import comb

from luthier.base.errors import ArgumentError
from luthier.bench import statistics as st

RNG = np.random.default_rng


# ranks -------------------------------------------------------------------------------------------------------


def test_ranks_share_ties_and_the_undefined_share_the_worst():
    regret = np.array([[[0.1, 0.2, np.nan]], [[0.1, 0.1, np.nan]], [[0.5, 0.3, 7.0]]])
    assert st.paired_ranks(regret).tolist() == [[[1.5, 2.0, 2.5]], [[1.5, 1.0, 2.5]], [[3.0, 3.0, 1.0]]]


def test_ranks_of_drawn_runs_have_the_mean_over_all_combinations():
    values = RNG(0).integers(0, 4, size=(3, 2, 4)).astype(float)
    values[0, 0, 0] = np.nan
    worst = np.where(np.isnan(values), np.inf, values)
    for task in range(2):
        drawn = list(itertools.product(*worst[:, task]))
        expected = np.mean([scipy_stats.rankdata(runs) for runs in drawn], axis=0)
        assert st.unpaired_ranks(values)[:, task] == pytest.approx(expected)


def test_friedman_equals_scipys_with_ties():
    values = RNG(0).integers(0, 5, size=(4, 12)).astype(float)
    found, theirs = st.friedman(values), scipy_stats.friedmanchisquare(*values)
    assert found.chi2 == pytest.approx(theirs.statistic, rel=1e-12)
    F = 11 * found.chi2 / (12 * 3 - found.chi2)
    assert (found.F, found.p) == pytest.approx((F, scipy_stats.f.sf(F, 3, 33)), rel=1e-12)


def test_friedman_without_any_disorder():
    assert st.friedman(np.outer([1.0, 2.0, 3.0], np.ones(6))).p == 0.0
    assert st.friedman(np.ones((3, 6))).p == 1.0


@pytest.mark.parametrize(
    ("k", "q", "cd"),
    [
        (4, 2.569, (1.48, 1.05, 0.66, 0.45)),
        (6, 2.850, (2.38, 1.69, 1.07, 0.72)),
        (8, 3.031, (3.32, 2.35, 1.48, 1.00)),
        (10, 3.164, (4.28, 3.03, 1.92, 1.29)),
        (13, 3.313, (5.77, 4.08, 2.58, 1.74)),
    ],
)
def test_critical_differences(k, q, cd):
    assert round(st.nemenyi_q(k), 3) == q
    assert tuple(round(st.critical_difference(k, n), 2) for n in (10, 20, 50, 110)) == cd


def test_cliques_are_the_longest_runs_of_neighbours():
    alike = np.eye(5, dtype=bool)
    for a, b in [(0, 1), (1, 2), (0, 2), (2, 3)]:
        alike[a, b] = alike[b, a] = True
    order = [3, 0, 4, 1, 2]  # position of method i in rank
    ranks = np.array([order[i] + 1.0 for i in range(5)])
    shuffled = alike[np.ix_(order, order)]
    found = [[order[i] for i in clique] for clique in st.cliques(ranks, shuffled)]
    assert found == [[0, 1, 2], [2, 3]]


# pairs of methods --------------------------------------------------------------------------------------------


def by_enumeration(gap):
    """Two-sided p of the signed ranks over all sign patterns; zeros are ranked and have no sign."""
    ranks = scipy_stats.rankdata(np.abs(gap))[gap != 0]
    signs = np.array(list(itertools.product([0, 1], repeat=len(ranks))))
    sums = signs @ ranks
    seen = ranks[gap[gap != 0] > 0].sum()
    return min(1.0, 2 * min((sums <= seen + 1e-9).mean(), (sums >= seen - 1e-9).mean()))


def test_wilcoxon_equals_scipys_and_all_sign_patterns():
    for seed in range(5):
        gap = RNG(seed).normal(0.4, 1.0, size=11)
        theirs = scipy_stats.wilcoxon(gap, zero_method="pratt").pvalue
        assert st.wilcoxon_p(gap) == pytest.approx(theirs, rel=1e-12)
        assert st.wilcoxon_p(gap) == pytest.approx(by_enumeration(gap), rel=1e-12)
    tied = np.array([0.0, 1.0, -1.0, 2.0, 2.0, 3.0, 0.0, 3.0, 4.0])
    assert st.wilcoxon_p(tied) == pytest.approx(by_enumeration(tied), rel=1e-12)
    for side in ("two-sided", "less", "greater"):
        for gap in (tied, np.round(RNG(3).normal(0.3, 1.0, size=8), 0), np.round(RNG(4).normal(size=20), 0)):
            theirs = scipy_stats.wilcoxon(gap, zero_method="pratt", alternative=side).pvalue
            assert st.wilcoxon_p(gap, side) == pytest.approx(theirs, rel=1e-12)
    assert st.wilcoxon_p(np.zeros(7)) == 1.0


def test_holm_by_hand():
    # 0.01 * 3, then 0.03 * 2, then 0.04 * 1, which may not fall below the one before
    assert st.holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])


def test_shift_interval_is_what_the_exact_test_does_not_reject():
    gap = RNG(3).normal(0.5, 1.0, size=12)
    low, high = st.shift_interval(gap)
    assert low < st.hodges_lehmann(gap) < high
    for inside, outside in ((low + 1e-9, low - 1e-9), (high - 1e-9, high + 1e-9)):
        assert st.wilcoxon_p(gap - inside) > 0.05
        assert st.wilcoxon_p(gap - outside) <= 0.05
    assert st.shift_interval(gap[:5]) == (-math.inf, math.inf)


def test_matched_pairs_by_hand():
    assert st.matched_pairs([1.0, 2.0, -3.0, 4.0]) == pytest.approx((1 + 2 - 3 + 4) / 10)
    assert st.matched_pairs([0.0, 1.0, -2.0]) == pytest.approx((2 - 3) / 5)
    assert st.matched_pairs([0.0, 0.0]) == 0.0


def test_sign_test_by_hand():
    a, b = np.zeros(8), np.array([1.0, 1, 1, 1, 1, 0, 0, -1])
    found = st.sign_test(a, b)
    assert (found.wins, found.ties, found.losses) == (5, 2, 1)
    assert found.p == pytest.approx((1 + 8 + 28) / 256)  # ties split: 2 of 8 speak for b
    assert st.sign_test(a[:1], a[:1]).p == 1.0  # a tie left over speaks for neither


def test_contrasts_count_and_adjust():
    values = np.array([[0.1, 0.2, 0.3, 0.1, 0.2, 0.5, 0.1], [0.2, 0.3, 0.4, 0.2, 0.3, 0.5, 0.0], np.arange(7) / 10])
    found = st.contrasts(values, 0)
    one = found[1]
    assert (one.wins, one.ties, one.losses) == (1, 1, 5)
    assert one.shift == pytest.approx(0.1)
    assert one.p == scipy_stats.wilcoxon(values[1] - values[0], zero_method="pratt").pvalue
    assert [found[i].p_holm for i in (1, 2)] == st.holm([found[i].p for i in (1, 2)])
    [other, _] = st.against(values, 0)  # the same from the control's side
    assert (other["wins"], other["losses"], other["shift"]) == (5, 1, -one.shift)
    pairs = st.pairwise(values)
    p = [scipy_stats.wilcoxon(values[i] - values[j], zero_method="pratt").pvalue for i, j in ((0, 1), (0, 2), (1, 2))]
    assert [pairs[0, 1], pairs[0, 2], pairs[2, 1]] == pytest.approx(st.holm(p), rel=1e-12)


# what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda v: st.friedman(v),
        lambda v: st.contrasts(v, 0),
        lambda v: st.pairwise(v),
        lambda v: st.signed_rank_posterior(v[0], v[1]),
        lambda v: st.equivalence_p(v[0], v[1]),
    ],
)
def test_no_verdict_on_five_tasks_and_none_on_pooled_seeds(call):
    values = RNG(0).normal(size=(3, 6, 4))
    call(values.mean(axis=2))
    with pytest.raises(ArgumentError, match="6 tasks or more"):
        call(values.mean(axis=2)[:, :5])
    with pytest.raises(ArgumentError, match="no independent tasks"):
        call(values)
    with pytest.raises(ArgumentError, match="values are NaN"):
        call(_one_nan(values.mean(axis=2)))


def _one_nan(values):
    values = values.copy()
    values[0, 2] = np.nan
    return values


def test_a_task_named_twice_is_refused():
    values = RNG(0).normal(size=(3, 12))
    names = [f"task {i // 2}" for i in range(12)]
    for call in (lambda: st.contrasts(values, 0, tasks=names), lambda: st.pairwise(values, tasks=names)):
        with pytest.raises(ArgumentError, match="task 'task 0' has 2 columns"):
            call()


def test_mixed_model_refuses_few_tasks():
    with pytest.raises(ArgumentError, match="6 tasks or more"):
        st.mixed_model(np.ones((2, 5, 3)))
    with pytest.raises(ArgumentError, match="two families or more"):
        st.mixed_model(RNG(0).normal(size=(2, 6, 3)), families=["a"] * 6)


# errors over many studies ------------------------------------------------------------------------------------


def test_two_labels_of_random_search_are_significant_in_five_percent_of_studies():
    """A/A: 500 studies of 20 tasks and 10 seeds; tasks differ in how hard they are, methods do not."""
    rng, significant, pooled = RNG(7), 0, 0
    for _ in range(500):
        scale = rng.exponential(size=(1, 20, 1))
        regret = scale * rng.beta(1, 50, size=(2, 20, 10))  # the best of 50 uniform values
        significant += st.contrast(*np.median(regret, axis=2)).p < 0.05
        spread = rng.normal(size=(1, 20, 1)) + rng.normal(size=(2, 20, 10))  # tasks differ in who is better
        spread[0] += rng.normal(size=(20, 1))
        pooled += scipy_stats.ttest_1samp((spread[0] - spread[1]).ravel(), 0).pvalue < 0.05
    assert 0.03 <= significant / 500 <= 0.07
    assert pooled / 500 > 0.3  # what the refusals above are for


def test_the_hierarchical_interval_covers_and_one_over_seeds_does_not():
    rng, covered, over_seeds = RNG(11), 0, 0
    for study in range(400):
        values = rng.normal(size=(20, 1)) + rng.normal(size=(20, 10))
        band = st.hierarchical(values, seed=study, draws=500, replicates=200)
        covered += band.low <= 0 <= band.high
        drawn = values[:, rng.integers(10, size=(100, 10))].mean(axis=(0, 2))
        over_seeds += np.quantile(drawn, 0.025) <= 0 <= np.quantile(drawn, 0.975)
    assert 0.92 <= covered / 400 <= 0.98
    assert over_seeds / 400 < 0.6


def test_looking_at_a_whole_curve_errs_in_five_percent():
    rng, whole, somewhere = RNG(5), 0, 0
    for study in range(300):
        gap = np.cumsum(rng.normal(size=(12, 20)), axis=1) / np.sqrt(np.arange(1, 21))
        found = st.max_statistic(gap, draws=500, seed=study)
        whole += (found.p < 0.05).any()
        somewhere += (scipy_stats.ttest_1samp(gap, 0).pvalue < 0.05).any()
    assert 0.02 <= whole / 300 <= 0.08
    assert somewhere / 300 > 0.12


def test_mixed_model_errs_in_five_percent_where_tasks_differ():
    rng, found, families = RNG(2), 0, 0
    names = [f"family {i % 6}" for i in range(18)]
    for _ in range(300):
        tasks = rng.normal(size=(1, 18, 1)) + rng.normal(size=(3, 18, 1))
        values = tasks + rng.normal(size=(3, 18, 4))
        found += st.mixed_model(values).p < 0.05
        of_family = rng.normal(size=(3, 6))[:, [i % 6 for i in range(18)], None]
        families += st.mixed_model(values + of_family, families=names).p < 0.05
    assert 0.02 <= found / 300 <= 0.08
    assert 0.02 <= families / 300 <= 0.08


# intervals ---------------------------------------------------------------------------------------------------


def test_interquartile_mean_cuts_a_quarter_from_either_end():
    assert st.interquartile_mean([100.0, 1.0, 2.0, 3.0]) == 2.5
    assert st.interquartile_mean([0.0, 1.0, 2.0, 9.0, 10.0]) == pytest.approx((0.75 + 2.0 + 0.75 * 9) / 2.5)
    values = RNG(0).normal(size=(3, 8, 2))
    assert st.inside(values, "iqm")[1, 1] == pytest.approx(scipy_stats.trim_mean(values[1, :, 1], 0.25))


def test_families_weigh_alike():
    values = np.array([[1.0, 1.0], [1.0, 3.0], [10.0, 10.0]])
    assert st.aggregate(values, families=["a", "a", "b"]) == pytest.approx((1.5 + 10) / 2)
    assert st.aggregate(values) == pytest.approx((1 + 2 + 10) / 3)


def test_interval_is_wider_when_tasks_or_families_differ():
    rng = RNG(1)
    alike = rng.normal(size=(12, 10))
    low, high = st.interval(alike)
    assert low < alike.mean() < high
    differing = alike + 3 * rng.normal(size=(12, 1))
    assert np.diff(st.interval(differing))[0] > 3 * (high - low)
    families = [f"family {i // 3}" for i in range(12)]
    spread = alike + np.repeat([0.0, 5.0, 10.0, 20.0], 3)[:, None]
    narrow, wide = (st.hierarchical(spread, families=f, draws=2000) for f in ((), families))
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)
    # the spread of a mean over 4 drawn families, next to which tasks and seeds hardly count
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * np.std([0, 5, 10, 20]) / 2, rel=0.15)


@pytest.mark.parametrize("how", ["mean", "iqm", "median"])
def test_bands_of_curves_equal_those_of_their_points(how):
    values = RNG(2).normal(size=(7, 5, 3))
    band = st.hierarchical(values, how=how, draws=300, replicates=50)
    one = st.hierarchical(values[:, :, 1], how=how, draws=300, replicates=50)
    assert band.estimate.shape == (3,)
    assert [float(end[1]) for end in band] == pytest.approx([float(end) for end in one])


def test_many_draws_in_parts_are_no_other_draws_in_shape():
    values = RNG(2).normal(size=(4, 3, 600))
    band = st.hierarchical(values, draws=2500, replicates=20)  # more numbers than are held at once
    assert (band.low <= band.estimate).all()
    assert (band.estimate <= band.high).all()


# curves ------------------------------------------------------------------------------------------------------


def test_a_step_function_is_continuous_from_the_right():
    times, values = [0.1, 0.5, 0.5], [3.0, 2.0, 1.0]
    assert st.at(times, values, [0.0, 0.1, 0.4999, 0.5, 9.0], before=7.0).tolist() == [7.0, 3.0, 3.0, 1.0, 1.0]
    with pytest.raises(ArgumentError, match="never fall"):
        st.at([0.5, 0.1], [1.0, 2.0], [0.2])


def test_anytime_is_the_mean_over_log_spaced_moments():
    # from a thousandth on, a third of the logarithm lies before a hundredth
    assert st.anytime([0.01], [0.0]) == pytest.approx(1 / 3, abs=0.01)
    assert st.anytime([0.01], [0.0], stretch=10.0) == pytest.approx(0.0, abs=0.01)
    assert st.anytime([], []) == 1.0


def test_normalised_regret_is_clipped_and_needs_a_reference():
    assert st.normalised([1.0, 2.0, 3.0, 9.0, np.nan], 1.0, 3.0)[:4].tolist() == [0.0, 0.5, 1.0, 1.5]
    assert np.isnan(st.normalised([np.nan], 1.0, 3.0)[0])
    with pytest.raises(ArgumentError, match="a reference above the best"):
        st.normalised([1.0], 1.0, 1.0)
    assert st.log_regret(0.0) == pytest.approx(-4.0)


def test_profiles_by_hand():
    regret = np.array([[0.0, 0.2, 0.4, 0.6], [0.1, 0.1, 0.1, 0.9]])
    assert st.profile(regret, [0.0, 0.1, 0.5, 1.0]).tolist() == [0.125, 0.5, 0.75, 1.0]


# runs beside runs --------------------------------------------------------------------------------------------


def test_a_clone_is_better_with_probability_one_half():
    values = RNG(0).normal(size=(8, 6))
    assert st.improvement_by_task(values, values.copy()).tolist() == [0.5] * 8
    band = st.improvement(values, values.copy())
    assert band.estimate == 0.5
    assert band.low <= 0.5 <= band.high
    assert st.improvement_matrix(np.stack([values, values]))[0, 1] == 0.5


def test_improvement_is_mann_whitneys_share():
    a, b = RNG(1).integers(0, 6, size=(2, 5, 9)).astype(float)
    u = [scipy_stats.mannwhitneyu(y, x).statistic / 81 for x, y in zip(a, b, strict=True)]
    assert st.improvement_by_task(a, b) == pytest.approx(u)
    matrix = st.improvement_matrix(np.stack([a, b]))
    assert matrix[0, 1] == pytest.approx(np.mean(u))
    assert matrix[0, 1] + matrix[1, 0] == pytest.approx(1.0)
    wide, narrow = (st.improvement(a, b, over=over) for over in ("tasks", "seeds"))
    assert wide.low <= narrow.low < np.mean(u) < narrow.high <= wide.high


def test_cliffs_delta_by_counting():
    a, b = RNG(1).integers(0, 6, size=(2, 9)).astype(float)
    every = np.sign(a[:, None] - b[None, :])
    assert st.cliffs_delta(a, b) == pytest.approx(every.mean())
    assert st.cliffs_delta([1.0, 2.0], [3.0]) == -1.0


def test_permutation_of_few_pairs_is_exact():
    # of 8 patterns of (1, 2, 3) only all plus and all minus are as large
    assert st.permutation([1.0, 2.0, 3.0]) == 2 / 8
    gap = RNG(4).normal(0.5, 1.0, size=12)
    theirs = scipy_stats.permutation_test((gap, np.zeros(12)), lambda x, y, axis: np.mean(x - y, axis=axis),
                                          permutation_type="samples", vectorized=True, n_resamples=np.inf)  # fmt: skip
    assert st.permutation(gap) == pytest.approx(theirs.pvalue)
    longer = RNG(4).normal(0.5, 1.0, size=20)
    assert st.permutation(longer) == pytest.approx(scipy_stats.ttest_1samp(longer, 0).pvalue, abs=0.02)


def test_max_statistic_is_no_smaller_than_one_point_alone():
    gap = RNG(0).normal(0.6, 1.0, size=(9, 4))
    found = st.max_statistic(gap)
    alone = [st.permutation(column) for column in gap.T]
    assert (found.p >= np.array(alone) - 1e-12).all()
    assert st.max_statistic(gap[:, :1]).p == pytest.approx(alone[:1])


# random search -----------------------------------------------------------------------------------------------


def test_best_of_m_from_a_table_by_enumeration():
    values = np.array([5.0, 1.0, 2.0, 2.0, 7.0, 3.0, 4.0])
    pool = st.RandomPool.of(values, whole=True)
    for m in range(1, 8):
        best = [min(draw) for draw in itertools.combinations(values, m)]
        assert pool.beaten(m, 2.0) == pytest.approx(np.mean([one > 2.0 for one in best]))
    again = st.RandomPool.of(values)
    best = [min(draw) for draw in itertools.product(values, repeat=3)]
    assert again.beaten(3, 2.0) == pytest.approx(np.mean([one > 2.0 for one in best]))


def test_random_equivalents():
    pool = st.RandomPool.of(np.arange(1000.0), whole=True)
    assert pool.equivalent(0.0) == pytest.approx(500.0)  # one of a thousand is as good: half of them must be drawn
    m = pool.equivalent(9.0)
    worse = [comb(990, k) / comb(1000, k) for k in (math.floor(m), math.ceil(m))]
    assert worse[0] > 0.5 >= worse[1]
    assert st.RandomPool.of(np.arange(1000.0)).equivalent(9.0) == pytest.approx(math.log(0.5) / math.log(0.99))
    assert pool.equivalent(-1.0) == math.inf
    assert st.speed_up(pool, 0.0, 50) == pytest.approx(10.0)
    assert pool.median == 499.5


# practically the same ----------------------------------------------------------------------------------------


def test_posterior_of_the_signed_ranks():
    rng = RNG(0)
    a = rng.normal(size=30)
    assert st.signed_rank_posterior(a, a + rng.normal(0, 0.001, size=30)).same > 0.99
    better = st.signed_rank_posterior(a, a + 0.5 + rng.normal(0, 0.1, size=30))
    assert better.better > 0.99
    assert sum(better) == pytest.approx(1.0)
    gap = rng.normal(0.0, 0.1, size=30)
    one, other = st.signed_rank_posterior(gap, np.zeros(30)), st.signed_rank_posterior(-gap, np.zeros(30))
    assert (one.better, one.same, one.worse) == (other.worse, other.same, other.better)


def test_equivalence_needs_small_differences():
    gap = RNG(0).normal(0, 0.002, size=20)
    assert st.equivalence_p(gap, np.zeros(20)) < 0.01
    assert st.equivalence_p(gap + 0.02, np.zeros(20)) > 0.9
    assert st.equivalence_p(gap, np.zeros(20)) == max(
        scipy_stats.wilcoxon(gap - 0.01, alternative="less").pvalue,
        scipy_stats.wilcoxon(gap + 0.01, alternative="greater").pvalue,
    )


# mixed model -------------------------------------------------------------------------------------------------


def dense_reml(values, families=None):
    """Restricted likelihood of every single run, maximised over the logarithms of the variances."""
    k, n, s = values.shape
    m, t, r = (grid.ravel() for grid in np.meshgrid(range(k), range(n), range(s), indexing="ij"))
    groups = [t, t * k + m, t * s + r]
    if families is not None:
        place = np.array([sorted(set(families)).index(f) for f in families])
        groups += [place[t] * k + m, place[t]]
    designs = [(g[:, None] == np.unique(g)).astype(float) for g in groups]
    X, y = (m[:, None] == np.arange(k)).astype(float), values.ravel()

    def fit(logs):
        V = np.exp(logs[0]) * np.eye(len(y)) + sum(
            np.exp(one) * Z @ Z.T for one, Z in zip(logs[1:], designs, strict=True)
        )
        W = np.linalg.inv(V)
        information = X.T @ W @ X
        beta = np.linalg.solve(information, X.T @ W @ y)
        rest = y - X @ beta
        deviance = np.linalg.slogdet(V)[1] + np.linalg.slogdet(information)[1] + rest @ W @ rest
        return deviance, beta, np.linalg.inv(information)

    found = minimize(lambda logs: fit(logs)[0], np.zeros(len(designs) + 1), method="BFGS", options={"gtol": 1e-6})
    _, beta, spread = fit(found.x)
    return np.exp(found.x), beta, math.sqrt(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1])


def made(seed, families=None):
    rng = RNG(seed)
    values = rng.normal(size=(1, 9, 1)) + rng.normal(size=(3, 9, 1)) + 0.7 * rng.normal(size=(1, 9, 3))
    values = values + rng.normal(size=(3, 9, 3)) + np.array([0.0, 0.5, 1.0])[:, None, None]
    if families is not None:
        place = np.array([sorted(set(families)).index(f) for f in families])
        values = values + 1.5 * rng.normal(size=(3, 4))[:, place][:, :, None]
    return values


def test_mixed_model_is_the_restricted_likelihood_of_all_runs():
    values = made(1)
    variances, beta, error = dense_reml(values)
    found = st.mixed_model(values)
    assert found.means == pytest.approx(beta, abs=1e-3)
    assert found.error == pytest.approx(error, rel=1e-3)
    names = ("residual", "task", "task:method", "task:seed")
    assert [found.components[name] for name in names] == pytest.approx(variances, rel=2e-3)
    assert found.df == 2 * 8
    gap = found.difference(0, 2)
    assert gap.estimate == pytest.approx(beta[0] - beta[2], abs=1e-3)
    assert gap.low < gap.estimate < gap.high
    two = st.mixed_model(values[[0, 2]])  # two methods: a paired t-test over tasks
    theirs = scipy_stats.ttest_rel(*values[[0, 2]].mean(axis=2))
    assert two.difference(0, 1).p == pytest.approx(theirs.pvalue)
    assert two.p == pytest.approx(theirs.pvalue)


def test_mixed_model_with_families_of_differing_size():
    families = ["a", "a", "a", "b", "b", "c", "c", "c", "d"]
    values = made(5, families)  # no variance is estimated as 0 here: there, the two differ
    variances, beta, error = dense_reml(values, families)
    found = st.mixed_model(values, families=families)
    # contrasts between methods are what is compared; a family's common level is no part of our model
    assert found.means - found.means[0] == pytest.approx(beta - beta[0], abs=5e-3)
    assert found.error == pytest.approx(error, rel=5e-3)
    assert found.components["task:method"] == pytest.approx(variances[2], rel=2e-2)
    assert found.components["family:method"] == pytest.approx(variances[4], rel=2e-2)
    assert 5 < found.df < 8  # between four families and nine tasks, nearer to the families
    even = [name for name in "abc" for _ in range(3)]
    strong = st.mixed_model(made(3) + 9 * RNG(0).normal(size=(3, 3))[:, [0, 0, 0, 1, 1, 1, 2, 2, 2]][:, :, None],
                            families=even)  # fmt: skip
    assert strong.df == pytest.approx(2 * 2, rel=0.02)  # where families are all that differs, they are what is counted


def test_mixed_model_of_equal_methods():
    alike = np.repeat(RNG(0).normal(size=(1, 6, 2)), 2, axis=0)
    found = st.mixed_model(alike)
    assert (found.p, found.difference(0, 1).estimate, found.difference(0, 1).p) == (1.0, 0.0, 1.0)
    assert found.error == pytest.approx(0.0, abs=1e-12)
    flat = st.log_regret(np.ones((3, 6, 2)))  # nothing was found anywhere; sums of equal values differ by rounding
    found = st.mixed_model(flat, families=["a", "a", "a", "b", "b", "b"])
    assert (found.p, found.difference(1, 0).p) == (1.0, 1.0)


# published results -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hpob():
    """Regret of 13 published methods after 100 trials: (method, space and data set, seed) to 1 - best accuracy."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow (the extra 'bench')")
    folder = os.environ.get("LUTHIER_DATA")
    path = Path(folder or ".") / "hpob_results" / "best_so_far.parquet"
    if folder is None or not path.is_file():
        pytest.skip("needs LUTHIER_DATA with hpob_results/best_so_far.parquet, HPO-B's published curves")
    filters = [("trial", "=", 100)]  # RF was run for fewer
    rows = parquet.read_table(path, filters=filters).to_pylist()
    return {
        (row["method"], f"{row['search_space']}/{row['dataset']}", row["seed"]): 1 - row["best_normalised_accuracy"]
        for row in rows
    }


def test_published_results_of_hpob_reanalysed(hpob):
    methods, tasks, seeds = (sorted({key[i] for key in hpob}) for i in range(3))
    assert (len(methods), len(tasks), len(seeds)) == (13, 86, 5)
    values = np.array([[[hpob[m, t, s] for s in seeds] for t in tasks] for m in methods])
    medians = np.median(values, axis=2)

    ours = st.paired_ranks(values).mean(axis=(1, 2))
    theirs = np.mean([scipy_stats.rankdata([hpob[m, t, s] for m in methods]) for t in tasks for s in seeds], axis=0)
    assert ours == pytest.approx(theirs, rel=1e-12)
    assert methods[int(np.argmin(ours))] == "FSBO2"

    test = scipy_stats.friedmanchisquare(*medians)
    found = st.friedman(medians)
    F = 85 * test.statistic / (86 * 12 - test.statistic)
    assert (found.chi2, found.F) == pytest.approx((test.statistic, F), rel=1e-12)
    assert found.p == pytest.approx(scipy_stats.f.sf(F, 12, 12 * 85), rel=1e-12)

    pairs = list(itertools.combinations(range(13), 2))
    p = {pair: scipy_stats.wilcoxon(medians[pair[0]] - medians[pair[1]], zero_method="pratt").pvalue for pair in pairs}
    matrix, highest = st.pairwise(medians, tasks=tasks), 0.0
    for i, pair in enumerate(sorted(pairs, key=p.__getitem__)):
        highest = max(highest, min(1.0, (78 - i) * p[pair]))
        assert matrix[pair] == pytest.approx(highest, rel=1e-12)
    assert matrix[methods.index("FSBO2"), methods.index("Random")] < 1e-6
    assert st.critical_difference(13, 86) == pytest.approx(3.313 * math.sqrt(13 * 14 / (6 * 86)), abs=1e-3)
