"""A training problem in one number, and short calls, for the tests of this folder; without torch they are skipped."""

import pytest

import luthier as lu

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[torch]"')

from luthier import gradients as lg  # noqa: E402

SPACE = lu.Space(pull=lu.Float(1e-3, 10.0, log=True), rate=lu.Float(0.01, 1.0))


def f64(value):
    return torch.tensor(value, dtype=torch.float64)


def bowl(steps=10, optimiser=None, **changes):
    """w is drawn to 2 by the data and to 0 by `pull`; validation wants 1, so pull = 1 is best."""
    parts = {
        "train": lambda p, h, b: 0.5 * (p["w"] - 2.0) ** 2 + 0.5 * h["pull"] * p["w"] ** 2,
        "validate": lambda p, h: 0.5 * (p["w"] - 1.0) ** 2,
        "start": {"w": f64(0.0)},
        "optimiser": lg.sgd("rate") if optimiser is None else optimiser,
        "steps": steps,
    }
    return lg.Bilevel(**{**parts, **changes})


HYPER = {"pull": f64(0.1), "rate": f64(0.3)}


def quiet(problem=None, space=SPACE, **own):
    return lg.tune_with_gradients(bowl() if problem is None else problem, space, **{"steps": 6, "say": None, **own})
