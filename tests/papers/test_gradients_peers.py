"""Hypergradients beside other people's code, which `make test-slow` installs: hypertorch, hypergrad, higher."""

import importlib
import subprocess
import sys
import warnings

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[torch]"')

from test_survey_gradients import RIDGE  # noqa: E402

from luthier import gradients as lg  # noqa: E402

#: The reference code of Grazzi et al. It is on no registry: what PyPI calls hypertorch is about hypergraphs.
HYPERTORCH = "git+https://github.com/prolearner/hypertorch"
ROUNDING = 1e-12  # of numbers near 0.2, in float64


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Installs a package without what it needs (torch is there): requirement -> its folder, or why there is none."""
    found = {}

    def get(requirement):
        if requirement not in found:
            folder = tmp_path_factory.mktemp("peer")
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), requirement]
            done = subprocess.run(pip, capture_output=True, text=True)
            found[requirement] = done.stderr if done.returncode else folder
        return found[requirement]

    return get


@pytest.fixture
def peer(folders, monkeypatch):
    """Imports a module of another package; a function of requirement and module."""
    names = []

    def get(requirement, module):
        folder = folders(requirement)
        if isinstance(folder, str) and "git+" in requirement:
            warnings.warn(f"NOT COMPARED with {requirement}: it cannot be fetched from here", stacklevel=1)
            pytest.skip(f"{requirement} cannot be fetched from here")
        assert not isinstance(folder, str), folder
        monkeypatch.syspath_prepend(folder)
        names.append(module.partition(".")[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it was written for older releases of torch
            return importlib.import_module(module)

    yield get
    for name in [n for n in sys.modules if n.partition(".")[0] in names]:
        del sys.modules[name]  # two packages have modules of the name hypergrad


def near_the_end():
    return RIDGE.problem(1, start=RIDGE.solution(RIDGE.hyper["h"]) + 0.01)


def ours(problem, method):
    return lg.hypergradient(problem, RIDGE.hyper, method=method).gradient["h"]


def neumann(terms):
    return lg.Implicit(solver="neumann", iterations=terms, tolerance=0.0, scale=RIDGE.rate)


def off(a, b):
    return float((a - b).abs().max())


def train(w, h):
    return RIDGE.train({"w": w}, {"h": h}, None)


def validate(w):
    return RIDGE.validate({"w": w}, {})


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 5, 20])
def test_implicit_differentiation_against_hypertorch(peer, count):
    reference = peer(HYPERTORCH, "hypergrad.hypergradients")

    def step(params, hparams):
        [slope] = torch.autograd.grad(train(params[0], hparams[0]), params[0], create_graph=True)
        return [params[0] - RIDGE.rate * slope]

    problem = near_the_end()
    end = problem.run(RIDGE.hyper)["params"]["w"]
    for name, method in (
        ("CG", lg.Implicit(iterations=count, tolerance=0.0)),
        ("fixed_point", lg.Implicit(solver="fixed-point", iterations=count, tolerance=0.0)),
        ("neumann", neumann(count + 1)),
    ):
        w, h = end.clone().requires_grad_(True), RIDGE.hyper["h"].clone().requires_grad_(True)
        outer = lambda params, hparams: validate(params[0])  # noqa: E731
        [theirs] = getattr(reference, name)([w], [h], count, step, outer, tol=0.0, set_grad=False)
        assert off(ours(problem, method), theirs) < ROUNDING, name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # functorch has moved into torch
@pytest.mark.parametrize("count", [1, 5, 20])
def test_the_neumann_series_against_hypergrad(peer, count):
    """Of hypergrad's solvers this one alone: its conjugate gradients (0.0.1) turn by the residual before the last."""
    reference = peer("hypergrad==0.0.1", "hypergrad.approx_hypergrad")
    problem = near_the_end()
    end = problem.run(RIDGE.hyper)["params"]["w"]
    inner = lambda w, h: train(w[0], h[0])  # noqa: E731
    outer = lambda w, h: validate(w[0]) + 0.0 * h[0].sum()  # noqa: E731
    [theirs] = reference.neumann(inner, outer, (end,), (RIDGE.hyper["h"],), count, RIDGE.rate)
    assert off(ours(problem, neumann(count + 1)), theirs) < ROUNDING


class Weights(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(RIDGE.d, dtype=torch.float64))


@pytest.mark.slow
@pytest.mark.parametrize("steps", [5, 30])
def test_unrolled_training_against_higher(peer, steps):
    """torch's own SGD with momentum, made differentiable by the higher library."""
    higher = peer("higher==0.2.1", "higher")
    module = Weights()
    h = RIDGE.hyper["h"].clone().requires_grad_(True)
    with higher.innerloop_ctx(module, torch.optim.SGD(module.parameters(), lr=RIDGE.rate, momentum=0.3)) as (net, sgd):
        for _ in range(steps):
            sgd.step(train(net.w, h))
        [theirs] = torch.autograd.grad(validate(net.w), h)
    problem = RIDGE.problem(steps, lg.momentum(RIDGE.rate, 0.3))
    for method in ("reverse", "reverse-sqrt", "forward"):
        assert off(ours(problem, method), theirs) < ROUNDING, method
