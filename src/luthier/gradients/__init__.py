"""gradients: hypergradients of training loops in torch: reverse, truncated, forward, implicit, online.

    from luthier import gradients as lg

    problem = lg.Bilevel(train=train_loss, validate=validation_loss, start=weights, optimiser=lg.sgd("lr"), steps=100)
    found = lg.hypergradient(problem, {"lr": ..., "decay": ...}, method="reverse")

Each method is one file; torch (extra `torch`) is imported when one is used.

Not here: search without gradients, which is the searchers'.
"""

from __future__ import annotations

from luthier.base.lazy import exports

# public name -> module that holds it
_EXPORTS = {
    "Bilevel": "luthier.gradients.problem",
    "Optimiser": "luthier.gradients.optimisers",
    "sgd": "luthier.gradients.optimisers",
    "momentum": "luthier.gradients.optimisers",
    "adam": "luthier.gradients.optimisers",
    "Method": "luthier.gradients.method",
    "Hypergradient": "luthier.gradients.method",
    "hypergradient": "luthier.gradients._compute",
    "Reverse": "luthier.gradients.reverse",
    "Truncated": "luthier.gradients.truncated",
    "Forward": "luthier.gradients.forward",
    "Implicit": "luthier.gradients.implicit",
    "RealTime": "luthier.gradients.online",
    "RateDescent": "luthier.gradients.rate_descent",
    "LookAhead": "luthier.gradients.look_ahead",
    "Cell": "luthier.gradients.cell",
    "Box": "luthier.gradients.bounds",
    "Bounds": "luthier.gradients.bounds",
    "examine": "luthier.gradients.examination",
    "Examination": "luthier.gradients.examination",
    "Tuned": "luthier.gradients.tune",
    "Path": "luthier.gradients.online",
    "tune_with_gradients": "luthier.gradients.tune",
    "objective": "luthier.gradients.tune",
    "outer_steps": "luthier.gradients.steps",
}

__all__ = [
    "Bilevel",
    "Bounds",
    "Box",
    "Cell",
    "Examination",
    "Forward",
    "Hypergradient",
    "Implicit",
    "LookAhead",
    "Method",
    "Optimiser",
    "Path",
    "RateDescent",
    "RealTime",
    "Reverse",
    "Truncated",
    "Tuned",
    "adam",
    "examine",
    "hypergradient",
    "momentum",
    "objective",
    "outer_steps",
    "sgd",
    "tune_with_gradients",
]

__getattr__, __dir__ = exports(__name__, _EXPORTS)
