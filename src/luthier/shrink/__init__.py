"""shrink: from one transformer to a Pareto family of smaller ones that stock transformers loads.

    from luthier import shrink

    net = shrink.SuperNet.from_model(model)

Needs torch and transformers (extra `llm`); they are imported when something here is used.

Not here: ways to search (a search is a study), the training loop (`nets`), growth (`grow`).
"""

from __future__ import annotations

from luthier.base.lazy import exports

# public name -> module that holds it
_EXPORTS = {
    "ChoiceScore": "luthier.shrink.choices",
    "Child": "luthier.shrink.extraction",
    "Cost": "luthier.shrink.cost",
    "CostModel": "luthier.shrink.cost",
    "Data": "luthier.shrink.tasks",
    "Distil": "luthier.shrink.strategies",
    "Front": "luthier.shrink.front",
    "Latency": "luthier.shrink.latency",
    "LayerSpec": "luthier.shrink.spec",
    "Lora": "luthier.shrink.lora",
    "Moments": "luthier.shrink.importance",
    "NetSpace": "luthier.shrink.spaces",
    "Order": "luthier.shrink._permute",
    "PRESETS": "luthier.shrink.spaces",
    "Parity": "luthier.shrink.parity",
    "ParityError": "luthier.shrink.parity",
    "Point": "luthier.shrink.front",
    "Question": "luthier.shrink.choices",
    "Ranking": "luthier.shrink.importance",
    "STRATEGIES": "luthier.shrink.strategies",
    "Sampler": "luthier.shrink.samplers",
    "SubNetSpec": "luthier.shrink.spec",
    "SuperNet": "luthier.shrink.supernet",
    "Task": "luthier.shrink.tasks",
    "custom": "luthier.shrink.spaces",
    "examples": "luthier.shrink.tasks",
    "extract": "luthier.shrink.extraction",
    "finetune": "luthier.shrink.strategies",
    "knapsack": "luthier.shrink.packing",
    "language": "luthier.shrink.tasks",
    "load": "luthier.shrink.extraction",
    "masked": "luthier.shrink.oracle",
    "measure": "luthier.shrink.latency",
    "pack": "luthier.shrink.packing",
    "preset": "luthier.shrink.spaces",
    "rank_units": "luthier.shrink.importance",
    "read_data": "luthier.shrink.reading",
    "read_questions": "luthier.shrink.choices",
    "recover": "luthier.shrink.recovery",
    "repair": "luthier.shrink.repairing",
    "score_choices": "luthier.shrink.choices",
    "search": "luthier.shrink.searching",
    "standard_search": "luthier.shrink.searching",
    "train": "luthier.shrink.strategies",
    "verify": "luthier.shrink.parity",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = exports(__name__, _EXPORTS)
