"""The room of gradients: bounds, checks, tuning in a study, methods that move during training."""

import math
import sys

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, MissingExtra, UnsupportedError

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[torch]"')

from gradients_bowl import HYPER, SPACE, bowl, f64, quiet  # noqa: E402

from luthier import gradients as lg  # noqa: E402

# -- torch is optional --


def test_without_torch_the_room_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra) as caught:
        lg.hypergradient(None, {"h": 1.0})
    assert str(caught.value) == 'luthier.gradients needs torch. Install it with: pip install "luthier[torch]"'


# -- what goes wrong is said --


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lg.hypergradient(bowl(), HYPER, method="revers"), "method='revers'. Did you mean 'reverse'?"),
        (lambda: lg.Truncated(last=0), "last=0. Allowed: a whole number and at least 1."),
        (lambda: lg.Implicit(solver="cgg"), "solver='cgg'. Did you mean 'cg'?"),
        (
            lambda: lg.hypergradient(bowl(), {"pull": 0.1}),
            "hyperparameter 'pull': 0.1. Allowed: a floating-point tensor, such as torch.tensor(0.1).",
        ),
        (
            lambda: lg.hypergradient(bowl(), {"pull": f64(0.1)}),
            "learning rate 'rate' is not among the hyperparameters. Allowed: 'pull'.",
        ),
        (
            lambda: lg.hypergradient(bowl(), {**HYPER, "rate": f64([0.1, 0.1])}),
            "learning rate 'rate' has 2 numbers, and step 3 is asked for. Allowed: one number a step, one for all, or "
            "a function of (hyperparameters, step).",
        ),
        (
            lambda: lg.Bilevel(validate=None, start={}, steps=1),
            "Bilevel without train and without step. Give train=loss, or step= for steps of your own.",
        ),
        (
            lambda: quiet(refine=True, study=lu.Study(SPACE, name="empty")),
            "refine=True: study 'empty' has no finished trial. Run it first, or give start=.",
        ),
    ],
)
def test_messages(call, message):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "changes",
    [{"objectives": [lu.Objective("loss", "max")]}, {"fidelity": ("epoch", 1, 9)}, {"repeats": 2}],
    ids=["maximised", "fidelity", "repeats"],
)
def test_a_study_that_gradients_do_not_fit_is_refused(changes):
    objectives = changes.pop("objectives", "loss")
    with pytest.raises(UnsupportedError, match="Allowed: one loss to be minimised"):
        quiet(study=lu.Study(SPACE, objectives, **changes))


# -- bounds --


def test_bounds_there_and_back_and_their_slope():
    space = lu.Space(a=lu.Float(-2, 3), b=lu.Float(1e-4, 1.0, log=True), n=lu.Int(1, 9), s=lu.Float(0, 1, step=0.5))
    config = {"a": 1.5, "b": 1e-2, "n": 3, "s": 0.5}
    box = lg.Box(0.2, 0.0, 1.0, (3,))
    bounds = lg.Bounds(space, config, tensors={"w": box}, dtype=torch.float64)
    free = bounds.start()
    assert set(free) == {"a", "b", "w"}  # whole numbers and steps have no gradient
    values = bounds.values(free)
    assert bounds.configuration(values) == pytest.approx(config)
    assert torch.allclose(values["w"], f64([0.2] * 3))
    assert float(values["b"]) == pytest.approx(10 ** (-4 + 4 * torch.sigmoid(free["b"]).item()))
    by_values = {"a": f64(2.0), "b": f64(-3.0), "w": f64([1.0, 0.0, 5.0])}
    ours = bounds.slope(free, by_values)
    theirs = torch.func.vjp(bounds.values, free)[1](by_values)[0]
    assert all(torch.allclose(ours[name], theirs[name]) for name in free)


def test_bounds_keep_a_start_off_the_edge_and_values_inside():
    bounds = lg.Bounds(SPACE, {"pull": 10.0, "rate": 0.01}, dtype=torch.float64)
    assert all(math.isfinite(float(value)) for value in bounds.start().values())
    far = bounds.values({"pull": f64(80.0), "rate": f64(-80.0)})
    assert SPACE.check(bounds.configuration(far)) == {"pull": 10.0, "rate": 0.01}


# -- checks before a run --


def test_the_contraction_is_that_of_the_quadratic():
    seen = lg.examine(bowl(60), HYPER)
    assert seen.contraction == pytest.approx(1 - 0.3 * 1.1, abs=1e-6)
    assert seen.differentiable
    assert not seen.problems
    assert seen.advice.startswith("implicit-cg")
    assert "contracting: yes (a step keeps 0.6700 of a difference; after 18 steps 0.001 is left)" in str(seen)


def test_a_step_that_cuts_the_derivative_is_found():
    def train(p, h, batch):
        return 0.5 * (p["w"] - 2.0) ** 2 + 0.5 * h["pull"].detach() * p["w"] ** 2

    def step(p, memory, h, batch):
        return {"w": p["w"] - 0.1 * (p["w"].detach() - h["pull"])}, memory

    own = bowl(step=step, train=None, optimiser=lg.sgd(0.1))
    assert not lg.examine(own, HYPER).differentiable
    with pytest.raises(
        ArgumentError, match=r"derivatives of a step by parameters differ from finite differences.*detach\(\)"
    ):
        quiet(own)
    still = lg.examine(bowl(train=train, optimiser=lg.sgd(0.1)), {"pull": f64(0.1)})
    assert "derivatives of a step by 'pull' differ" in " ".join(still.problems)
    assert "look for item(), detach()" in " ".join(still.problems)


def test_a_small_rate_beside_a_large_one_is_no_problem_and_a_cut_beside_whole_ones_is_one():
    """A rate of 0.001 must not become negative by a step that is small for one of 0.3."""
    rate = lambda h, t: h["rates"][0] ** 0.9 * h["rates"][1] ** 0.1  # noqa: E731
    rates = {"rates": torch.tensor([0.3, 0.001]), "pull": torch.tensor(0.1)}
    start = {"w": torch.tensor(0.0)}
    assert lg.examine(bowl(optimiser=lg.sgd(rate), start=start), rates).mismatch < 0.01

    def cut(p, h, batch):
        return 0.5 * (p["w"] - 2.0) ** 2 + 0.5 * h["pull"].detach() * p["w"] ** 2

    seen = lg.examine(bowl(optimiser=lg.sgd(rate), start=start, train=cut), rates)
    assert (seen.differentiable, seen.by) == (False, "'pull'")


def test_noise_that_is_drawn_anew_and_divergence_are_found():
    count = iter(range(10_000))
    shaky = lg.examine(bowl(batches=lambda t: next(count), train=lambda p, h, b: p["w"] * b * h["pull"]), HYPER)
    assert not shaky.repeatable
    apart = lg.examine(bowl(400), {"pull": f64(10.0), "rate": f64(1.0)})
    assert apart.diverged
    assert not apart.contracting
    expands = lg.examine(bowl(3), {"pull": f64(10.0), "rate": f64(1.0)})
    assert expands.contraction == pytest.approx(10.0, rel=1e-6)


# -- while training goes on --


def test_real_time_tuning_follows_the_hypergradient():
    fixed = {"pull": f64(0.1)}
    problem = bowl(150, optimiser=lg.sgd(0.3))
    seen = []
    watch = lambda step, loss, hyper: seen.append((step, loss))  # noqa: E731
    path = lg.RealTime(every=5, rate=1.0, project=lambda h: {"pull": h["pull"].clamp(0.0, 5.0)}).train(
        problem, fixed, watch=watch
    )
    assert float(path.hyper["pull"]) == pytest.approx(1.0, abs=0.01)
    assert float(path.params["w"]) == pytest.approx(1.0, abs=0.01)
    assert [step for step, _ in seen[:3]] == [5, 10, 15]
    assert len(path.hypers) == 30
    apart = lg.RealTime(every=1, rate=1e300).train(problem, fixed)
    assert apart.diverged
    assert float(apart.hyper["pull"]) == float(apart.hypers[-1]["pull"])


def test_hypergradient_descent_grows_a_rate_that_is_too_low_and_says_when_it_diverges():
    problem = bowl(50, optimiser=lg.sgd(0.1))
    path = lg.RateDescent(speed=0.1).train(problem, {"pull": f64(1.0), "lr": f64(0.001)})
    rates = [float(hyper["lr"]) for hyper in path.hypers]
    assert rates[0] == 0.001 < rates[-1]
    assert path.losses[-1] < path.losses[0]
    assert lg.RateDescent().train(bowl(5000), {"pull": f64(1.0), "lr": f64(50.0)}).diverged


def test_the_cell_learns_which_operation_helps():
    """With "none" the network sees nothing of the image."""
    net = lg.Cell(nodes=1, channels=4, classes=2, operations=("none", "conv3"))
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(64) % 2
    X = torch.randn(64, 1, 3, 3, generator=draw) + y.reshape(-1, 1, 1, 1)
    loss = lambda p, h, b: torch.nn.functional.cross_entropy(net.logits(p, h, X), y)  # noqa: E731
    problem = lg.Bilevel(
        train=loss, validate=lambda p, h: loss(p, h, None), start=net.start(0), optimiser=lg.momentum(0.2), steps=15
    )
    path = lg.LookAhead(mover=lg.adam(0.1), warmup=3).train(problem, net.architecture())
    assert len(path.hypers) == 12
    without, with_it = path.hyper["edges"][0]
    assert with_it > without + 0.5
    assert net.derive({"edges": torch.tensor([[5.0, 1.0]])}) == {(0, 1): "conv3"}  # never "none"
    chosen = net.chosen(net.derive(path.hyper))
    assert torch.equal(chosen["chosen"], torch.tensor([[0.0, 1.0]]))
    assert net.logits(net.start(0), chosen, X).shape == (64, 2)
