"""Bayesian optimisation with a Gaussian process: Jones et al. 1998, Letham et al. 2019, Gardner et al. 2014."""

import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

import luthier as lu
from luthier.base.records import Constraint, Objective
from luthier.base.registry import load
from luthier.models.gp import Hyper, condition
from luthier.searchers._fantasies import Fantasies
from luthier.space.problem import Problem

BOX = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))


def _search(problem, metrics, trials, seed=0, name="gp", **own):
    searcher = load("searcher", name)(problem, seed=seed, **own)
    told = []
    for k in range(trials):
        [config] = searcher.ask(k=k)
        told.append(problem.observe(k, config, metrics(config)))
        searcher.tell(told[-1:])
    return searcher, told


def _branin(config):
    x, y = 15 * config["x"] - 5, 15 * config["y"]
    bent = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return {"loss": bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10}


def test_one_dimensional_improvement_by_hand():
    """Two points without noise: half way between them only the distance matters, and the mean is that of the values."""
    Z, y = np.array([[0.0], [1.0]]), np.array([-1.0, 1.0])
    gp = condition(Z, y, Hyper(np.array([1.0]), 1.0, 0.0), np.zeros(1, dtype=bool))
    half = (1 + math.sqrt(5) / 2 + 5 / 12) * math.exp(-math.sqrt(5) / 2)
    whole = (1 + math.sqrt(5) + 5 / 3) * math.exp(-math.sqrt(5))
    mean, sd = gp.predict(np.array([[0.5]]))
    assert mean[0] == pytest.approx(0.0, abs=1e-6)
    assert sd[0] ** 2 == pytest.approx(1 - 2 * half**2 / (1 + whole), rel=1e-6)


def test_branin_beats_random_search():
    problem = Problem(BOX, (Objective("loss"),))
    found = {
        name: [min(o.values[0] for o in _search(problem, _branin, 25, seed, name)[1]) - 0.397887 for seed in range(3)]
        for name in ("gp", "random")
    }
    assert np.median(found["gp"]) < 0.02 < np.median(found["random"])


@pytest.mark.slow
def test_branin_and_hartmann_over_50_seeds():
    A = np.array(
        [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
    )
    P = 1e-4 * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )  # fmt: skip
    six = lu.Space({f"x{i}": lu.Float(0, 1) for i in range(6)})

    def hartmann(config):
        x = np.array(list(config.values()))
        return {"loss": -float(np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-(A * (x - P) ** 2).sum(1)))}

    for space, metrics in ((BOX, _branin), (six, hartmann)):
        problem = Problem(space, (Objective("loss"),))
        ours, theirs = (
            [min(o.values[0] for o in _search(problem, metrics, 60, seed, name)[1]) for seed in range(50)]
            for name in ("gp", "random")
        )
        assert wilcoxon(ours, theirs, alternative="less").pvalue < 0.01


def test_affine_changes_of_the_metric_change_nothing():
    problem = Problem(BOX, (Objective("loss"),))
    plain = [o.config for o in _search(problem, _branin, 12)[1]]
    scaled = [o.config for o in _search(problem, lambda c: {"loss": 1024.0 * _branin(c)["loss"]}, 12)[1]]
    assert scaled == plain
    moved = [o.config for o in _search(problem, lambda c: {"loss": _branin(c)["loss"] + 4096.0}, 7)[1]]
    # rounding of the values alone, through the fit and the climb
    assert max(abs(a[name] - b[name]) for a, b in zip(plain, moved, strict=False) for name in "xy") < 0.01


def test_nothing_is_to_be_gained_where_a_trial_is_pending():
    rng = np.random.default_rng(0)
    Z = rng.random((12, 2))
    y = np.sin(5 * Z[:, 0]) + Z[:, 1]
    gp = condition(Z, y - y.mean(), Hyper(np.array([0.5, 0.9]), 1.0, 0.05), np.zeros(2, dtype=bool))
    pending = np.array([[0.95, 0.1]])
    free = Fantasies(gp, Z, np.random.default_rng(1)).log_ei(pending)[0]
    busy = Fantasies(gp, np.concatenate([Z, pending]), np.random.default_rng(1)).log_ei(pending)[0]
    assert math.exp(busy) < 0.01 * math.exp(free)


def test_what_other_points_say_is_not_forgotten():
    """Draws at a part of the points: where a point that is left out is known to be bad, nothing is to be gained."""
    Z = np.linspace(0, 1, 40)[:, None]
    y = np.where(Z[:, 0] < 0.5, -1.0, 1.0) + 0.05 * np.random.default_rng(0).normal(size=40)
    gp = condition(Z, y, Hyper(np.array([0.2]), 1.0, 0.01), np.zeros(1, dtype=bool))
    some = Fantasies(gp, Z[:16], np.random.default_rng(1)).log_ei(np.array([[0.8]]))[0]
    assert some < -10


def test_noisy_improvement_is_the_mean_over_draws():
    """Against drawing the function at the points and at x together, a million times."""
    Z, y = np.array([[0.1], [0.5], [0.8]]), np.array([0.4, -0.2, 0.1])
    gp = condition(Z, y, Hyper(np.array([0.4]), 1.0, 0.1), np.zeros(1, dtype=bool))
    x = np.array([[0.65]])
    mean, covariance = gp.joint(np.concatenate([Z, x]))
    draws = np.random.default_rng(0).multivariate_normal(mean, covariance, size=1_000_000)
    gains = np.maximum(draws[:, :3].min(axis=1) - draws[:, 3], 0.0)
    found = math.exp(Fantasies(gp, Z, np.random.default_rng(2), draws=20_000).log_ei(x)[0])
    assert found == pytest.approx(gains.mean(), rel=0.05)


def test_batches_hold_no_duplicates_and_stay_apart():
    problem = Problem(BOX, (Objective("loss"),))
    searcher, _ = _search(problem, _branin, 12)
    batch = searcher.ask(4, k=12)
    assert len(set(batch)) == 4
    rows = BOX.encode(batch)[0]
    distance = np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(-1)) + np.eye(4)
    assert distance.min() > 1e-3


def test_a_lucky_draw_is_not_recommended():
    """One of the worst points is given the lowest value of all; its neighbours know better."""
    problem = Problem(lu.Space(x=lu.Float(0, 1)), (Objective("loss"),))
    rng = np.random.default_rng(4)
    searcher = load("searcher", "gp")(problem, seed=0)
    for number, x in enumerate(np.linspace(0, 1, 41)):
        loss = 4 * (x - 0.3) ** 2 + 0.2 * rng.normal() if number != 34 else -0.7
        searcher.tell([problem.observe(number, lu.Space(x=lu.Float(0, 1)).check({"x": float(x)}), {"loss": loss})])
    recommended = searcher.recommend()
    assert recommended is not None
    assert abs(recommended / 40 - 0.3) < 0.15


def test_without_noise_the_lowest_value_is_the_best():
    problem = Problem(BOX, (Objective("loss"),))
    assert _search(problem, _branin, 15)[0].recommend() is None


def _gramacy(config):
    x, y = config["x"], config["y"]
    first = 1.5 - x - 2 * y - 0.5 * math.sin(2 * math.pi * (x**2 - 2 * y))
    return {"loss": x + y, "first": first, "second": x**2 + y**2 - 1.5}


def test_constrained_minimum_of_gramacy():
    """The least feasible sum is 0.5998 (Gramacy et al. 2016)."""
    problem = Problem(BOX, (Objective("loss"),), (Constraint("first"), Constraint("second")))
    told = _search(problem, _gramacy, 35)[1]
    best = min(o.values[0] for o in told if max(o.violations) <= 0)
    assert 0.5997 < best < 0.65


def _far(config):
    return {"loss": config["x"], "far": (config["x"] - 0.9) ** 2 + (config["y"] - 0.9) ** 2 - 0.002}


def test_feasibility_is_found_first_when_nothing_is_feasible():
    problem = Problem(BOX, (Objective("loss"),), (Constraint("far"),))
    found = {
        name: [any(o.violations[0] <= 0 for o in _search(problem, _far, 20, seed, name)[1]) for seed in range(3)]
        for name in ("gp", "random")
    }
    assert all(found["gp"])
    assert not any(found["random"])


def test_batches_stay_apart_while_nothing_is_feasible():
    problem = Problem(BOX, (Objective("loss"),), (Constraint("far"),))
    searcher = load("searcher", "gp")(problem, seed=0)
    for number, config in enumerate(BOX.sample(10, np.random.default_rng(3))):
        searcher.tell([problem.observe(number, config, _far(config))])
    rows = BOX.encode(searcher.ask(4, k=10))[0]
    distance = np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(-1)) + np.eye(4)
    assert distance.min() > 0.02


def test_a_bound_between_the_trials_and_the_optimum_is_approached():
    """Everything better than the feasible trials is infeasible; they must keep their distances."""
    problem = Problem(BOX, (Objective("loss"),), (Constraint("over"),))
    searcher = load("searcher", "gp")(problem, seed=0)
    for number, config in enumerate(BOX.sample(20, np.random.default_rng(0))):
        searcher.tell([problem.observe(number, config, {"loss": -config["x"], "over": config["x"] - 0.5})])
    [config] = searcher.ask(k=20)
    assert 0.45 < config["x"] < 0.55


def test_a_constraint_that_never_binds_changes_nothing_but_the_climb():
    problem = Problem(BOX, (Objective("loss"),))
    bound = Problem(BOX, (Objective("loss"),), (Constraint("idle"),))
    free = _search(problem, _branin, 9)[1]
    idle = _search(bound, lambda c: {**_branin(c), "idle": -1.0}, 9)[1]
    spread = [abs(a.config[n] - b.config[n]) for a, b in zip(free, idle, strict=True) for n in ("x", "y")]
    assert max(spread) < 0.05


def test_two_objectives_cover_a_concave_front():
    """On f2 = sqrt(1 - x^2) with idle y the ends alone would dominate half of what the whole front does."""
    from luthier.base.pareto import hypervolume

    def front(config):
        far = config["y"] ** 2
        return {"a": config["x"] + far, "b": math.sqrt(1 - config["x"] ** 2) + far}

    problem = Problem(BOX, (Objective("a"), Objective("b")))
    ideal = 1.1 * 1.1 - (math.pi / 4 + 0.0)  # what lies beyond the quarter circle, up to (1.1, 1.1)
    for name in ("gp", "parego"):
        told = _search(problem, front, 30, name=name)[1]
        values = np.array([o.values for o in told])
        assert hypervolume(values, np.array([1.1, 1.1])) > 0.8 * ideal, name


def test_linear_weights_miss_what_chebyshev_reaches():
    from luthier.searchers._scalarise import chebyshev, linear

    x = np.linspace(0, 1, 101)
    values = np.stack([x, np.sqrt(1 - x**2)], axis=1)
    weights = [np.array([w, 1 - w]) for w in np.linspace(0.05, 0.95, 19)]
    assert {int(np.argmin(linear(values, w))) for w in weights} <= {0, 100}
    assert len({int(np.argmin(chebyshev(values, w))) for w in weights}) > 10


def test_hypervolume_weighting_averages_to_the_hypervolume():
    """c_m E max_y min_j (gap_j / lambda_j)^m with c_2 = pi / 4."""
    from luthier.base.pareto import hypervolume
    from luthier.searchers._scalarise import hypervolume_weighting

    values, reference = np.array([[0.2, 0.8], [0.5, 0.4], [0.7, 0.1]]), np.ones(2)
    directions = np.abs(np.random.default_rng(0).standard_normal((20_000, 2)))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    best = [-hypervolume_weighting(values, direction, reference).min() for direction in directions]
    assert math.pi / 4 * np.mean(best) == pytest.approx(hypervolume(values, reference), rel=0.02)
