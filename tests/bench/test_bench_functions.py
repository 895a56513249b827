"""Test functions: stated optima, fronts and hypervolumes against search; noise, fidelities, constraints, crashes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

import luthier as lu
from luthier import bench
from luthier.base.errors import ArgumentError
from luthier.base.pareto import hypervolume, nondominated
from luthier.base.records import Configuration, Status
from luthier.base.seeds import generator
from luthier.bench.families import mfhartmann
from luthier.bench.families._curves import falling
from luthier.bench.simulation import simulate
from luthier.testing.benchmark import check_benchmark

FAMILIES = ("synthetic", "mfhartmann", "zdt", "dtlz", "constrained")
SINGLE = [name for family in ("synthetic", "mfhartmann", "constrained") for name in bench.names(f"{family}/")]
MANY = [*bench.names("zdt/"), *bench.names("dtlz/")]
CRASHES = ("constrained/crash_branin", "constrained/crash_hartmann6")


def sample(b, n, k=0):
    return b.space.sample(n, generator(0, "bench", k))


def score(b, config, seed=None):
    """What counts, to be minimised; infinite where it does not."""
    found = b.evaluate(config, seed=seed)
    over = any(found.metrics.get(c.name, math.inf) > c.upper + 1e-9 for c in b.constraints)
    objective = b.objectives[0]
    return math.inf if found.status is Status.FAILED or over else objective.sign * found.metrics[objective.name]


@pytest.mark.parametrize("name", [name for family in FAMILIES for name in bench.names(f"{family}/")])
def test_battery(name):
    b = bench.load(name)
    configs = [b.space.default(), *sample(b, 40)]
    check_benchmark(b, configs=[c for c in configs if b.evaluate(c).status is not Status.FAILED][:8])


@pytest.mark.parametrize("name", SINGLE)
def test_the_optimum_is_reached_where_the_card_says(name):
    b = bench.load(name)
    assert b.best
    for config in b.best:
        assert b.space.check(config) == config
        assert score(b, config) == pytest.approx(b.objectives[0].sign * b.card.optimum["value"], abs=1e-9)


@pytest.mark.parametrize("name", SINGLE)
def test_nothing_is_better_than_the_optimum(name):
    b = bench.load(name)
    best = b.objectives[0].sign * b.card.optimum["value"]
    rows, _ = b.space.encode([*b.best, *sample(b, 400, 1)])
    values = [score(b, config) for config in b.space.decode(rows)]
    assert min(values) >= best - 1e-9
    starts = [rows[0], *rows[np.argsort(values)[:2]]]
    for start in starts:  # and downhill from there, in the unit cube

        def downhill(u):
            inside = np.clip(u, 0, 1)
            return score(b, b.space.decode(inside[None])[0]) + float(np.abs(u - inside).sum())

        found = minimize(downhill, start, method="Nelder-Mead", options={"maxfev": 150, "xatol": 1e-6})
        assert found.fun >= best - 1e-9


def test_known_values():
    assert bench.load("synthetic/branin").evaluate({"x0": 0.0, "x1": 0.0}).metrics["value"] == pytest.approx(
        36 + 10 * (1 - 1 / (8 * math.pi)) + 10
    )
    assert bench.load("synthetic/camel").evaluate({"x0": 1.0, "x1": 1.0}).metrics["value"] == pytest.approx(
        (4 - 2.1 + 1 / 3) + 1 + 0
    )
    assert bench.load("synthetic/rosenbrock4").evaluate(dict.fromkeys(("x0", "x1", "x2", "x3"), 0.0)).metrics == {
        "value": 3.0
    }
    currin = bench.load("synthetic/currin")
    at_zero = (1 - math.exp(-1)) * 60 / 20
    assert currin.evaluate({"x0": 0.0, "x1": 0.5}).metrics["value"] == pytest.approx(at_zero)


def test_currin_stays_within_its_bounds_at_the_lower_level():
    b = bench.load("synthetic/currin")
    low, high = b.bounds["value"]
    configs = [{"x0": x, "x1": y} for x in np.linspace(0, 1, 101) for y in (0.0, 0.02, 0.3, 1.0)]
    values = [one.metrics["value"] for one in b.evaluate_batch(configs, resource=1)]
    assert low <= min(values) <= max(values) <= high


def test_a_low_fidelity_costs_less_and_says_something_else():
    for name, low in (("synthetic/branin_mf", 1), ("synthetic/currin", 1), ("mfhartmann/3/good", 3)):
        b = bench.load(name)
        cheap, dear = b.evaluate(b.best[0], resource=low), b.evaluate(b.best[0])
        assert 0 < cheap.seconds < 0.2 < 1 == pytest.approx(dear.seconds)
        assert cheap.metrics["value"] != dear.metrics["value"]


def test_noise_has_the_stated_size_and_depends_on_place_and_seed_alone():
    b = bench.load("synthetic/noisy6")
    config = b.space.default()
    exact = b.evaluate(config, seed=None).metrics["value"]
    draws = np.array([b.evaluate(config, seed=seed).metrics["value"] - exact for seed in range(400)])
    sd = 0.03 + 0.3 / (1 + math.exp(-12 * (0.5 - 0.6)))
    assert abs(draws.mean()) < 4 * sd / 20
    assert draws.std() == pytest.approx(sd, rel=0.15)
    near = Configuration({**config, "x5": 0.5001})
    assert b.evaluate(near, seed=0).metrics["value"] - exact != pytest.approx(draws[0], abs=1e-3)
    with pytest.raises(ArgumentError, match="seed=-1"):
        b.evaluate(config, seed=-1)


@pytest.mark.parametrize("d", [3, 6])
def test_mfhartmann_at_z_100_is_hartmann(d):
    plain = bench.load(f"synthetic/hartmann{d}")
    configs = sample(plain, 20)
    want = [one.metrics["value"] for one in plain.evaluate_batch(configs)]
    for grade in mfhartmann.GRADES:
        b = bench.load(f"mfhartmann/{d}/{grade}")
        got = [one.metrics["value"] for one in b.evaluate_batch(configs, seed=3)]
        assert got == pytest.approx(want)


def test_mfhartmann_by_hand():
    b = bench.load("mfhartmann/3/good")
    z = 10  # half of what log z goes through from 1 to 100
    config = {"x0": 0.3689, "x1": 0.1170, "x2": 0.2673}  # the first bump's top
    away = [(0.3689 - p, 0.1170 - q, 0.2673 - r) for p, q, r in
            ((0.4699, 0.4387, 0.7470), (0.1091, 0.8732, 0.5547), (0.0381, 0.5743, 0.8828))]  # fmt: skip
    sharp = ((0.1, 10, 35), (3, 10, 30), (0.1, 10, 35))
    bumps = [1.0, *(math.exp(-sum(a * x * x for a, x in zip(s, at, strict=True)))
                    for s, at in zip(sharp, away, strict=True))]  # fmt: skip
    flat = -sum((w - 2.5 / 2) * bump for w, bump in zip((1.0, 1.2, 3.0, 3.2), bumps, strict=True))
    mean = 2.0 / 2 * math.sqrt(2 / math.pi)
    assert b.evaluate(config, resource=z, seed=None).metrics["value"] == pytest.approx(flat + mean)
    draws = np.array([b.evaluate(config, resource=z, seed=s).metrics["value"] for s in range(300)])
    assert draws.min() >= flat
    assert draws.mean() == pytest.approx(flat + mean, abs=4 * 0.603 / math.sqrt(300))


def test_grades_are_in_order():
    def rank(x):
        return np.argsort(np.argsort(x))

    for d, resource in ((3, 10), (6, 10)):
        found = []
        for grade in ("terrible", "bad", "moderate", "good"):
            b = bench.load(f"mfhartmann/{d}/{grade}")
            configs = sample(b, 400)
            low, high = (
                [one.metrics["value"] for one in b.evaluate_batch(configs, resource=r)] for r in (resource, 100)
            )
            found.append(np.corrcoef(rank(low), rank(high))[0, 1])
        assert found == sorted(found), found
        assert found[-1] - found[0] > 0.1, found


@pytest.mark.parametrize("name", MANY)
def test_the_front_fills_the_stated_hypervolume(name):
    b = bench.load(name)
    m = len(b.objectives)
    front = b.front(1000 if m == 2 else 600)
    assert front.shape[1] == m
    assert nondominated(front).all()
    share = hypervolume(front, b.reference) / b.hypervolume
    assert (0.998 if m == 2 else 0.96) < share < 1
    fine = hypervolume(b.front(4000 if m == 2 else 2400), b.reference) / b.hypervolume
    assert share < fine < 1
    assert front.min(axis=0) == pytest.approx([b.card.optimum[o.name] for o in b.objectives], abs=1e-9)
    with pytest.raises(ArgumentError, match=r"a front of n=1 points\. Allowed: 2 or more\."):
        b.front(1)


@pytest.mark.parametrize("name", MANY)
def test_the_front_is_reached_and_not_passed(name):
    b = bench.load(name)
    names = [o.name for o in b.objectives]
    at_best = {"dtlz1": 0.5, "dtlz2": 0.5}.get(name.split("/")[1], 0.0)
    place = len(names) - 1
    rng = np.random.default_rng(0)
    rows = [[*rng.random(place), *[at_best] * (b.space.dimensions - place)] for _ in range(60)]
    reached = b.evaluate_batch([dict(zip(b.space.names, row, strict=True)) for row in rows])
    points = np.array([[one.metrics[n] for n in names] for one in reached])
    anywhere = np.array([[one.metrics[n] for n in names] for one in b.evaluate_batch(sample(b, 300))])
    front = b.front(3000)
    for found in (points, anywhere):
        passed = (found[:, None] < front[None] - 1e-9).all(axis=-1).any(axis=1)
        behind = (front[None] <= found[:, None] + 0.06).all(axis=-1).any(axis=1)  # up to the grid's width
        assert not passed.any()
        assert behind.all()
    near = np.abs(points[:, None] - front[None]).max(axis=-1).min(axis=1)
    assert (near < 0.05).mean() > 0.2  # the others lie in gaps
    assert hypervolume(np.concatenate([points, anywhere]), b.reference) <= b.hypervolume


def test_the_pieces_of_zdt3():
    pieces = bench.load("zdt/zdt3")._front.__closure__[0].cell_contents.pieces
    published = [(0, 0.0830015349), (0.1822287280, 0.2577623634), (0.4093136748, 0.4538821041),
                 (0.6183967944, 0.6525117038), (0.8233317983, 0.8518328654)]  # fmt: skip
    assert np.array(pieces) == pytest.approx(np.array(published), abs=1e-9)


def test_pieces_of_a_plain_slope():
    assert falling(lambda x: -x, lambda x: -1.0, low=0.0, high=1.0) == [(0.0, 1.0)]


@pytest.mark.parametrize("name", ["constrained/gramacy", "constrained/gardner1", "constrained/gardner2"])
def test_constraints_belong_to_the_problem_and_exclude_something_better(name):
    b = bench.load(name)
    assert b.problem.constraints == b.constraints != ()
    found = b.evaluate_batch(sample(b, 3000))
    over = np.array([any(one.metrics[c.name] > c.upper for c in b.constraints) for one in found])
    values = np.array([one.metrics["value"] for one in found])
    assert over.any()
    assert not over.all()
    if name != "constrained/gardner1":  # there the feasible part holds the lowest value too
        assert values[over].min() < b.card.optimum["value"]


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_is_a_failure_without_metrics(name):
    b = bench.load(name)
    found = b.evaluate_batch(sample(b, 300))
    failed = [one for one in found if one.status is Status.FAILED]
    assert 0 < len(failed) < 300
    assert all(one.metrics == {} and one.info == {"error": f"{name} fails here"} for one in failed)
    assert b.evaluate(b.space.default()).status is Status.COMPLETED


def test_a_study_runs_over_crashes():
    found = simulate(bench.load("constrained/crash_branin"), searcher="random", trials=40, seed=1)
    statuses = {trial.status for trial in found.result.trials}
    assert statuses == {Status.COMPLETED, Status.FAILED}
    assert found.result.best.metrics["value"] >= 5 / (4 * math.pi)


def test_a_study_takes_the_problem_with_its_constraints():
    b = bench.load("constrained/gramacy")
    study = lu.Study(b.space, b.objectives, constraints=b.constraints, searcher="random", seed=0)
    result = study.run(bench.objective(b), trials=60, executor="inline")
    assert all(result.best.metrics[c.name] <= c.upper for c in b.constraints)
