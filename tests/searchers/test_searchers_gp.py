"""gp, parego and auto as searchers: options, caps on trials, conditions, crashes, the choice."""

import numpy as np
import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.base.records import Constraint, Fidelity, Objective, Observation, Status
from luthier.base.registry import load
from luthier.models.gp import Hyper, condition
from luthier.searchers import _surrogates as surrogates
from luthier.searchers._crash import Crash
from luthier.searchers._kernel_features import KernelFeatures
from luthier.searchers._latest import Latest
from luthier.searchers.auto import choose
from luthier.searchers.gp import believe
from luthier.space.problem import Problem

BOX = lu.Space(x=lu.Float(0, 1), y=lu.Float(0, 1))
LOSS = (Objective("loss"),)


def _gp(space=BOX, objectives=LOSS, name="gp", **own):
    problem = Problem(space, objectives)
    return problem, load("searcher", name)(problem, seed=0, **own)


def _tell(problem, searcher, n, loss=lambda c: c["x"] + c["y"], begin=0):
    configs = problem.space.sample(n, np.random.default_rng(begin))
    for number, config in enumerate(configs, begin):
        searcher.tell([problem.observe(number, config, {"loss": loss(config)})])
    return configs


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"acquisition": "eu"}, "acquisition='eu'. Did you mean 'ei'?"),
        ({"warp": "x"}, "warp='x'. Allowed: 'half-rank', 'power', 'rank', 'standard'."),
        ({"candidates": 0}, "candidates=0. Allowed: a whole number and at least 1."),
        ({"initial": 0}, "initial=0. Allowed: a whole number and at least 1."),
        ({"beta": 0}, "beta=0. Allowed: a number and above 0."),
    ],
)
def test_bad_options(own, message):
    with pytest.raises(ArgumentError) as caught:
        _gp(**own)
    assert str(caught.value) == message


def test_bad_weighting():
    with pytest.raises(ArgumentError, match=r"weighting='sum'\. Allowed: 'chebyshev', 'hypervolume', 'linear'"):
        _gp(name="parego", weighting="sum")


@pytest.mark.parametrize("acquisition", ["ucb", "ts"])
def test_other_acquisitions_find_the_corner(acquisition):
    problem, searcher = _gp(acquisition=acquisition)
    losses = []
    for k in range(20):
        [config] = searcher.ask(k=k)
        losses.append((config["x"] - 0.2) ** 2 + (config["y"] - 0.7) ** 2)
        searcher.tell([problem.observe(k, config, {"loss": losses[-1]})])
    assert min(losses) < 0.005


def test_beyond_the_cap_the_best_half_and_others_are_held(monkeypatch):
    monkeypatch.setattr(surrogates, "MOST", 30)
    monkeypatch.setattr(surrogates, "FITTED", 20)
    problem, searcher = _gp()
    _tell(problem, searcher, 80)
    models = searcher._ready()
    assert len(models.Z) == 30
    merit = searcher._latest.snapshot.merit()
    best = np.sort(merit)[14]
    assert (merit[models.places] <= best).sum() == 15
    again = _gp()[1]
    again.tell(
        [
            problem.observe(n, c, {"loss": c["x"] + c["y"]})
            for n, c in enumerate(BOX.sample(80, np.random.default_rng(0)))
        ]
    )
    assert again.ask(2, k=80) == searcher.ask(2, k=80)


def test_anchors_lie_further_and_further_apart():
    latest = Latest(BOX)
    config = BOX.default()
    seen = []
    for number in range(120):
        latest.add([Observation(number, config, None, (float(number),))])
        seen.append(latest.anchor.number)
    assert seen[:40] == list(range(1, 41))
    assert np.unique(seen[40:]).tolist() == [
        40,
        42,
        45,
        48,
        51,
        54,
        57,
        60,
        63,
        67,
        71,
        75,
        79,
        83,
        88,
        93,
        98,
        103,
        109,
        115,
    ]
    whole = Latest(BOX)
    whole.add([Observation(number, config, None, (float(number),)) for number in range(120)])
    assert whole.anchor == latest.anchor


def test_two_priors_take_turns():
    """One by one up to 40 results, then for twenty results each; a rebuild from the log is at the same turn."""
    shared = surrogates.SHARED
    assert [surrogates.share(n) for n in (5, 6, 39, 40)] == [0.0, shared, 0.0, shared]
    assert [surrogates.share(n) for n in (41, 59, 60, 79, 80)] == [shared, shared, 0.0, 0.0, shared]
    problem, searcher = _gp()
    _tell(problem, searcher, 8)
    lengths = [searcher._ready().objectives[0].hyper.lengths]
    _tell(problem, searcher, 1, begin=8)
    lengths.append(searcher._ready().objectives[0].hyper.lengths)
    cold = _gp()[1]
    configs = [record.config for record in searcher._latest.snapshot.records]
    cold.tell([problem.observe(k, config, {"loss": config["x"] + config["y"]}) for k, config in enumerate(configs)])
    assert cold._ready().objectives[0].hyper.lengths.tolist() == lengths[1].tolist()


def test_what_is_inactive_is_alike():
    space = lu.Space(
        opt=lu.Choice("sgd", "adam"),
        momentum=lu.Float(0, 1, when=("opt", "sgd")),
        damping=lu.Float(0, 1, when=("opt", "sgd")),
        lr=lu.Float(0, 1),
    )
    features = KernelFeatures(space)
    rows, _ = space.encode([{"opt": "adam", "lr": 0.5}, {"opt": "sgd", "momentum": 0.1, "damping": 0.9, "lr": 0.5}])
    found = features(rows)
    assert features.categorical.tolist() == [True, False, False, False, True]  # one switch for both conditions
    assert found[0].tolist() == [1.0, 0.5, 0.5, rows[0, 3], 0.0]
    assert found[1].tolist() == pytest.approx([0.0, rows[1, 1], rows[1, 2], rows[1, 3], 1.0])


def _two_basins(config):
    return {"loss": min((config["x"] - 0.1) ** 2 - 0.1, (config["x"] - 0.8) ** 2) + (config["y"] - 0.4) ** 2}


def _crashes():
    """Of trials 15 to 29, those that failed."""
    problem, searcher = _gp()
    crashed = 0
    for k in range(30):
        [config] = searcher.ask(k=k)
        bad = config["x"] < 0.5
        crashed += bad and k >= 15
        status = Status.FAILED if bad else Status.COMPLETED
        searcher.tell([problem.observe(k, config, None if bad else _two_basins(config), status=status)])
    return crashed


def test_a_crash_region_is_avoided(monkeypatch):
    """Half of the square crashes. Nothing is ever seen there, so that without a model of it it stays tempting."""
    with_model = _crashes()
    monkeypatch.setattr(Crash, "log_success", lambda self, latest, rows: np.zeros(len(rows)))
    assert with_model <= _crashes() // 2


def test_a_small_space_with_many_combinations_of_values_is_learnt_from():
    """Nine roots with ten values each: 90 configurations among 9e9 combinations, too many to be listed."""
    roots = "abcdefghi"
    space = lu.Space(root=lu.Choice(*roots), **{r: lu.Int(0, 9, when=("root", r)) for r in roots})
    problem, searcher = _gp(space)
    random = load("searcher", "random")(problem, seed=0)
    proposed = {"gp": [], "random": []}
    for k in range(20):
        for name, one in (("gp", searcher), ("random", random)):
            [config] = one.ask(k=k)
            proposed[name].append(config)
            loss = roots.index(config["root"]) + config[config["root"]] / 10
            one.tell([problem.observe(k, config, {"loss": loss})])
    assert proposed["gp"] != proposed["random"]


def test_thompson_sampling_looks_at_all_of_a_listed_space():
    space = lu.Space(a=lu.Int(0, 30), b=lu.Int(0, 30))
    problem, searcher = _gp(space, acquisition="ts")
    for k in range(20):
        [config] = searcher.ask(k=k)
        searcher.tell([problem.observe(k, config, {"loss": (config["a"] - 27) ** 2 + (config["b"] - 20) ** 2})])
    assert min(abs(r.config["a"] - 27) for r in searcher._latest.snapshot.records) <= 2


def test_believing_keeps_the_weights_of_the_noise():
    Z, y = np.array([[0.25], [0.75]]), np.array([1.0, -1.0])
    none = np.zeros(1, dtype=bool)
    process = condition(Z, y, Hyper(np.array([0.3]), 1.0, 0.1), none, np.array([1 / 30, 30.0]))
    before = process.predict(Z)
    after = believe(process, np.array([[0.0]])).predict(Z)
    assert after[0] == pytest.approx(before[0], abs=0.05)
    assert after[1] == pytest.approx(before[1], abs=0.05)


def test_diagnostics_tell_the_noise():
    problem, searcher = _gp()
    assert searcher.diagnostics() == {}
    rng = np.random.default_rng(0)
    _tell(problem, searcher, 40, lambda c: c["x"] + 0.3 * rng.normal())
    found = searcher.diagnostics()
    assert found["noise_share_loss"] > 0.05
    assert found["jitter"] == 0.0


def test_three_objectives_are_weighted():
    objectives = (Objective("a"), Objective("b"), Objective("c"))
    problem, searcher = _gp(objectives=objectives)
    for k in range(12):
        [config] = searcher.ask(k=k)
        x, y = config["x"], config["y"]
        searcher.tell([problem.observe(k, config, {"a": x, "b": y, "c": (1 - x) * (1 - y)})])
    assert len(set(searcher.ask(3, k=12))) == 3


# -- auto -------------------------------------------------------------------------------------------------------------


def _wide(n):
    return lu.Space({f"x{i}": lu.Float(0, 1) for i in range(n)})


@pytest.mark.parametrize(
    ("problem", "own", "name"),
    [
        (Problem(BOX, LOSS), {}, "gp"),
        (Problem(BOX, LOSS), {"cost": 0.001}, "tpe"),
        (Problem(BOX, LOSS), {"budget": 5000}, "cmaes"),
        (Problem(BOX, LOSS, (Constraint("size"),)), {"budget": 5000}, "gp"),
        (Problem(BOX, LOSS, fidelity=Fidelity("epoch", 1, 9)), {}, "gp"),
        (Problem(BOX, tuple(Objective(n) for n in "ab")), {}, "gp"),
        (Problem(BOX, tuple(Objective(n) for n in "abcd")), {}, "nsga2"),
        (Problem(_wide(100), LOSS), {}, "tpe"),
    ],
)
def test_auto_chooses(problem, own, name):
    assert choose(problem, **own).name == name


def test_auto_proposes_what_its_choice_does_and_says_who_that_is():
    problem, searcher = _gp(name="auto")
    _, alone = _gp()
    for one in (searcher, alone):
        _tell(problem, one, 12)
    assert searcher.ask(2, k=12) == alone.ask(2, k=12)
    assert searcher.why == "gp: 2 hyperparameters"
    assert searcher.diagnostics()["chosen"] == searcher.why
