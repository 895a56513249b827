"""Hypergradients as in section 4 of the family survey: hand-computed numbers, the closed form of ridge, the claims."""

import itertools
import math
import subprocess
import sys
import warnings

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[torch]"')

from luthier import gradients as lg  # noqa: E402

N, D = 30, 10


class Ridge:
    """Ridge regression with a penalty e^h for each feature, its solution and its hypergradient."""

    def __init__(self, seed=0, n=N, d=D, penalty=-1.0):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
        self.X, self.Xv, true = draw(n, d), draw(n, d), draw(d)
        self.y, self.yv = self.X @ true + 0.5 * draw(n), self.Xv @ true + 0.5 * draw(n)
        self.hyper = {"h": torch.full((d,), penalty, dtype=torch.float64)}
        self.n, self.d = n, d
        values = torch.linalg.eigvalsh(self.hessian(self.hyper["h"]))
        self.rate = float(2 / (values[0] + values[-1]))
        self.q = float((values[-1] - values[0]) / (values[-1] + values[0]))

    def train(self, p, h, batch):
        return 0.5 * ((self.X @ p["w"] - self.y) ** 2).mean() + 0.5 * (h["h"].exp() * p["w"] ** 2).sum()

    def validate(self, p, h):
        return 0.5 * ((self.Xv @ p["w"] - self.yv) ** 2).mean()

    def hessian(self, h):
        return self.X.T @ self.X / self.n + torch.diag(h.exp())

    def solution(self, h):
        return torch.linalg.solve(self.hessian(h), self.X.T @ self.y / self.n)

    def exact(self):
        w = self.solution(self.hyper["h"])
        slope = self.Xv.T @ (self.Xv @ w - self.yv) / self.n
        return -torch.linalg.solve(self.hessian(self.hyper["h"]), slope) * self.hyper["h"].exp() * w

    def problem(self, steps, optimiser=None, start=None):
        first = torch.zeros(self.d, dtype=torch.float64) if start is None else start
        optimiser = lg.sgd(self.rate) if optimiser is None else optimiser
        return lg.Bilevel(
            train=self.train, validate=self.validate, start={"w": first}, optimiser=optimiser, steps=steps
        )


RIDGE = Ridge()
METHODS = {
    "reverse": lg.Reverse(),
    "reverse-sqrt": lg.Reverse(keep="sqrt"),
    "truncated": lg.Truncated(last=60),
    "forward": lg.Forward(),
    "forward-chunk": lg.Forward(chunk=3),
    "implicit-cg": lg.Implicit(solver="cg"),
    "implicit-neumann": lg.Implicit(solver="neumann", iterations=300, tolerance=1e-14),
    "implicit-fixed-point": lg.Implicit(solver="fixed-point", iterations=300, tolerance=1e-14),
}


def quadratic(steps):
    """L = h/2 (w - 2)^2 from w = 0 with rate 1/2, E = w^2 / 2."""
    one = torch.tensor(0.0, dtype=torch.float64)
    return lg.Bilevel(
        train=lambda p, h, b: 0.5 * h["h"] * (p["w"] - 2.0) ** 2,
        validate=lambda p, h: 0.5 * p["w"] ** 2,
        start={"w": one},
        optimiser=lg.sgd(0.5),
        steps=steps,
    )


@pytest.mark.parametrize(
    ("method", "steps", "expected"),
    [
        (lg.Reverse(), 1, 1.0),  # w1 = h = 1, dw1 = 1
        (lg.Reverse(), 2, 1.5),  # w2 = 1.5, dw2 = 0.5 dw1 + 0.5 (2 - w1) = 1
        (lg.Forward(), 2, 1.5),
        (lg.Truncated(last=1), 2, 0.75),  # without 0.5 dw1: dw2 = 0.5
    ],
    ids=["reverse-1", "reverse-2", "forward-2", "truncated-2"],
)
def test_two_steps_by_hand(method, steps, expected):
    found = lg.hypergradient(quadratic(steps), {"h": torch.tensor(1.0, dtype=torch.float64)}, method=method)
    assert float(found.gradient["h"]) == pytest.approx(expected, abs=1e-14)
    assert found.value == pytest.approx(0.5 if steps == 1 else 1.125, abs=1e-14)


@pytest.mark.parametrize("name", METHODS)
def test_ridge_in_closed_form(name):
    found = lg.hypergradient(RIDGE.problem(60), RIDGE.hyper, method=METHODS[name])
    assert float((found.gradient["h"] - RIDGE.exact()).abs().max()) < 1e-8
    assert float((found.params["w"] - RIDGE.solution(RIDGE.hyper["h"])).abs().max()) < 1e-8
    assert not found.unreliable


def test_ridge_in_closed_form_with_momentum_in_the_state():
    problem = RIDGE.problem(80, lg.momentum(RIDGE.rate, 0.3))
    for name in ("reverse-sqrt", "forward", "implicit-fixed-point"):  # A is not symmetric here
        found = lg.hypergradient(problem, RIDGE.hyper, method=METHODS[name])
        assert float((found.gradient["h"] - RIDGE.exact()).abs().max()) < 1e-8, name


def test_ridge_in_closed_form_during_training():
    path = lg.RealTime(every=60, rate=0.0).train(RIDGE.problem(60), RIDGE.hyper)
    assert float((path.gradient["h"] - RIDGE.exact()).abs().max()) < 1e-8


@pytest.mark.parametrize("terms", [1, 4])
def test_truncation_at_convergence_is_the_neumann_sum(terms):
    problem = RIDGE.problem(8, start=RIDGE.solution(RIDGE.hyper["h"]))
    cut = lg.hypergradient(problem, RIDGE.hyper, method=lg.Truncated(last=terms)).gradient["h"]
    w, h = RIDGE.solution(RIDGE.hyper["h"]), RIDGE.hyper["h"]
    step = torch.eye(D, dtype=torch.float64) - RIDGE.rate * RIDGE.hessian(h)
    slope = RIDGE.Xv.T @ (RIDGE.Xv @ w - RIDGE.yv) / N
    by_hand = sum(torch.linalg.matrix_power(step, j) @ slope for j in range(terms))
    assert torch.allclose(cut, -RIDGE.rate * h.exp() * w * by_hand, atol=1e-12, rtol=0)
    for method in (
        lg.Implicit(solver="fixed-point", iterations=terms, tolerance=0.0),
        lg.Implicit(solver="neumann", iterations=terms, tolerance=0.0, scale=RIDGE.rate),
    ):
        assert torch.allclose(lg.hypergradient(problem, RIDGE.hyper, method=method).gradient["h"], cut, atol=1e-10)


def network(optimiser, steps=10):
    """A tanh network of two layers, with a learning rate for each and a weight decay."""
    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: E731
    X, Xv, start = draw(20, 3), draw(20, 3), {"a": draw(3, 4), "b": draw(4)}
    y, yv = X[:, 0].sin(), Xv[:, 0].sin()

    def loss(p, X, y):
        return ((torch.tanh(X @ p["a"]) @ p["b"] - y) ** 2).mean()

    return lg.Bilevel(
        train=lambda p, h, rows: loss(p, X[rows], y[rows]) + h["decay"].exp() * (p["a"] ** 2).sum(),
        validate=lambda p, h: loss(p, Xv, yv),
        start=lambda h: {"a": start["a"] * h["scale"], "b": start["b"]},
        optimiser=optimiser(lambda h, t: {"a": h["rates"][0], "b": h["rates"][1]}),
        steps=steps,
        batches=lambda t: torch.arange(10) + (t % 2) * 10,
    )


@pytest.mark.parametrize("optimiser", [lg.momentum, lg.adam], ids=["momentum", "adam"])
def test_forward_reverse_and_differences_agree_on_a_network(optimiser):
    problem = network(optimiser)
    as64 = lambda *x: torch.tensor(x if len(x) > 1 else x[0], dtype=torch.float64)  # noqa: E731
    hyper = {"decay": as64(-3.0), "rates": as64(0.05, 0.02), "scale": as64(0.7)}
    back = lg.hypergradient(problem, hyper, method=lg.Reverse()).gradient
    ahead = lg.hypergradient(problem, hyper, method=lg.Forward()).gradient
    for name in hyper:
        assert torch.allclose(back[name], ahead[name], rtol=1e-9, atol=1e-12), name
    for name, place in (("decay", ()), ("rates", (0,)), ("rates", (1,)), ("scale", ())):
        ends = []
        for sign in (1, -1):
            moved = hyper[name].clone()
            moved[place] += sign * 1e-5
            ends.append(problem.value({**hyper, name: moved}))
        assert float(back[name][place]) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5), name


def test_errors_shrink_as_fast_as_steps_contract():
    error = {}
    for method in ("reverse", "implicit-cg"):
        for steps in (10, 30):
            found = lg.hypergradient(RIDGE.problem(steps), RIDGE.hyper, method=METHODS[method])
            error[method, steps] = float((found.gradient["h"] - RIDGE.exact()).norm())
        # reverse: (c1 + c2 t) q^t, so that its slope is a little less steep
        factor = (error[method, 30] / error[method, 10]) ** (1 / 20)
        assert math.log(factor) == pytest.approx(math.log(RIDGE.q), rel=0.1 if method == "implicit-cg" else 0.2)
    assert error["implicit-cg", 30] < error["reverse", 30]  # at least as accurate, says the theory


def test_conjugate_gradients_come_nearer_with_each_product_and_end_after_as_many_as_there_are_parameters():
    w = RIDGE.solution(RIDGE.hyper["h"])
    problem = RIDGE.problem(1, start=w)
    H = RIDGE.hessian(RIDGE.hyper["h"])
    exact = torch.linalg.solve(H, RIDGE.Xv.T @ (RIDGE.Xv @ w - RIDGE.yv) / N)
    far = []
    for k in range(1, D + 1):
        q = lg.Implicit(iterations=k, tolerance=0.0).gradient(problem, RIDGE.hyper).warm["w"] - exact
        far.append(float(q @ H @ q))
    assert all(later < earlier for earlier, later in itertools.pairwise(far))
    assert far[-1] < 1e-18


def test_training_that_has_not_come_to_rest_is_called_unreliable():
    found = lg.hypergradient(RIDGE.problem(3), RIDGE.hyper, method="implicit-cg")
    assert "training has not come to rest" in found.unreliable
    assert float((found.gradient["h"] - RIDGE.exact()).abs().max()) > 1e-4  # and so it is


def test_an_answer_that_starts_from_the_last_one_needs_fewer_products():
    cold = lg.hypergradient(RIDGE.problem(60), RIDGE.hyper, method="implicit-cg")
    warm = lg.hypergradient(RIDGE.problem(60), RIDGE.hyper, method="implicit-cg", warm=cold.warm)
    assert warm.products <= 3 < cold.products
    assert torch.allclose(warm.gradient["h"], cold.gradient["h"], atol=1e-10)


def test_fifty_penalties_by_gradients_beat_random_search():
    """20 steps of 50 trainings and at most 21 products each, against 100 solutions in closed form."""
    ridge = Ridge(seed=3, n=60, d=50, penalty=-2.0)
    box = {"h": lg.Box(-2.0, -8.0, 3.0, (50,))}
    found = _tuned(ridge, box)
    generator = torch.Generator().manual_seed(0)
    drawn = -8.0 + 11.0 * torch.rand((100, 50), generator=generator, dtype=torch.float64)
    random = min(float(ridge.validate({"w": ridge.solution(h)}, {})) for h in drawn)
    assert found < 0.9 * random


def _tuned(ridge, box):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 50 steps have not quite come to rest, and it says so
        return lg.tune_with_gradients(
            ridge.problem(50), tensors=box, method=lg.Implicit(), steps=20, rate=0.3, examined=False, say=None
        ).value


def test_rate_descent_by_hand():
    """L = w^2 / 2 from w = 1 at rate 0.1: gradients 1 and 0.9 agree, so the rate grows by 0.02 * 0.9."""
    problem = lg.Bilevel(
        train=lambda p, h, b: 0.5 * p["w"] ** 2,
        validate=lambda p, h: p["w"],
        start={"w": torch.tensor(1.0, dtype=torch.float64)},
        steps=2,
    )
    rate = {"lr": torch.tensor(0.1, dtype=torch.float64)}
    added = lg.RateDescent(speed=0.02, multiplicative=False).train(problem, rate)
    assert float(added.hyper["lr"]) == pytest.approx(0.1 + 0.02 * 0.9)
    assert float(added.params["w"]) == pytest.approx(0.9 - 0.118 * 0.9)
    times = lg.RateDescent(speed=0.02).train(problem, rate)
    assert float(times.hyper["lr"]) == pytest.approx(0.1 * 1.02)  # the cosine is 1


def test_one_step_ahead_by_hand():
    """E = w^2 / 2 after w - 0.5 h (w - 2): dE/dh = w' * 0.5 (2 - w); h moves by gradient descent, then w."""
    problem = quadratic(1)
    hyper = {"h": torch.tensor(1.0, dtype=torch.float64)}
    path = lg.LookAhead(mover=lg.sgd(0.1)).train(problem, hyper)
    assert float(path.gradient["h"]) == pytest.approx(1.0)
    assert float(path.hyper["h"]) == pytest.approx(0.9)
    assert float(path.params["w"]) == pytest.approx(0.9)  # 0.5 * 0.9 * 2
    flat = lg.LookAhead(mover=lg.sgd(0.1), second_order=False).train(problem, hyper)
    assert float(flat.gradient["h"]) == 0.0  # w at the start of the step does not depend on h


MEMORY = """
import resource, sys, torch
from luthier import gradients as lg
torch.set_num_threads(1)
d, steps = 500_000, int(sys.argv[2])
aim = torch.ones(d, dtype=torch.float64)  # 4 MB a state
problem = lg.Bilevel(
    train=lambda p, h, b: 0.5 * ((p["w"] - aim) ** 2).sum() + 0.5 * h["h"] * (p["w"] ** 2).sum(),
    validate=lambda p, h: 0.5 * ((p["w"] - 0.5) ** 2).sum(),
    start={"w": torch.zeros(d, dtype=torch.float64)}, optimiser=lg.sgd(0.1), steps=steps,
)
hyper = {"h": torch.tensor(0.1, dtype=torch.float64)}
lg.hypergradient(problem, hyper, method=lg.Truncated(last=1))  # what torch itself takes
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
lg.hypergradient(problem, hyper, method=sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
def test_memory_grows_with_the_steps_their_root_or_not_at_all():
    def megabytes(method, steps):
        command = [sys.executable, "-c", MEMORY, method, str(steps)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    most = megabytes("reverse", 100)  # 100 states of 4 MB (381 MiB), and what a step takes
    assert most > 381
    assert megabytes("reverse", 25) < most - 200
    assert megabytes("reverse-sqrt", 100) < most - 200  # 20 states
    flat = megabytes("implicit-cg", 100)
    assert flat < most - 300
    assert flat == pytest.approx(megabytes("implicit-cg", 25), abs=40)


@pytest.mark.slow
def test_weights_of_examples_find_wrong_labels():
    """Digits, half of whose 700 training labels are wrong."""
    from sklearn.datasets import load_digits
    from sklearn.metrics import roc_auc_score

    raw = load_digits()
    draw = torch.Generator().manual_seed(0)
    X, y = torch.tensor(raw.data / 16, dtype=torch.float32), torch.tensor(raw.target)
    train, validation = torch.randperm(len(y), generator=draw)[:1400].split(700)
    wrong = torch.rand(700, generator=draw) < 0.5
    labels = torch.where(wrong, (y[train] + torch.randint(1, 10, (700,), generator=draw)) % 10, y[train])
    cross = torch.nn.functional.cross_entropy
    problem = lg.Bilevel(
        train=lambda p, h, b: (
            (h["weight"] * cross(X[train] @ p["w"], labels, reduction="none")).mean() + 1e-3 * (p["w"] ** 2).sum()
        ),
        validate=lambda p, h: cross(X[validation] @ p["w"], y[validation]),
        start={"w": torch.zeros(64, 10)},
        optimiser=lg.momentum(0.3, 0.9),
        steps=60,
    )
    found = lg.tune_with_gradients(
        problem, tensors={"weight": lg.Box(0.5, 0, 1, (700,))}, steps=25, rate=0.3, examined=False, say=None
    )
    assert roc_auc_score((~wrong).numpy(), found.hyper["weight"].numpy()) > 0.9
