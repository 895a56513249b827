"""grow: tune a small model, carry its hyperparameters to a large one by muP, start the large one from the small one.

    from luthier.grow import MuPlan

    plan = MuPlan.infer("refgpt", proxy={"d_model": 128, "layers": 4}, target={"d_model": 512})
    model = plan.build(seed=0)
    optimiser = torch.optim.AdamW(plan.param_groups(model, lr=4e-3, weight_decay=0.1))

It needs torch and safetensors (extra `llm`), which are imported when something here is used.

Not here: sub-networks (`shrink`; the two do not know each other), the training loop (`nets`), ways to search: a sweep
is a study.
"""

from __future__ import annotations

from luthier.base.lazy import exports

# public name -> module that holds it
_EXPORTS = {
    "Coordinates": "luthier.grow.coordinates",
    "Diagnostic": "luthier.grow.diagnostics",
    "Grown": "luthier.grow.growing",
    "Growth": "luthier.grow.growing",
    "Hyper": "luthier.grow.hyper",
    "Entry": "luthier.grow.ledger",
    "Ledger": "luthier.grow.ledger",
    "MuPlan": "luthier.grow.mu_plan",
    "Options": "luthier.grow.mu_plan",
    "Point": "luthier.grow.laws",
    "ScalingLaw": "luthier.grow.laws",
    "break_even": "luthier.grow.ledger",
    "coordinate_check": "luthier.grow.coordinates",
    "export": "luthier.grow.granite",
    "grow": "luthier.grow.growing",
    "make_plan": "luthier.grow.planner",
    "moments_of": "luthier.grow.moments",
    "muon_adamw": "luthier.grow.muon",
    "run": "luthier.grow.runs",
    "sweep": "luthier.grow.rates",
    "transfer": "luthier.grow.rates",
    "tune": "luthier.grow.rates",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = exports(__name__, _EXPORTS)
