"""shrink: from one transformer to a Pareto family of smaller ones that stock transformers loads.

    from luthier import shrink

    net = shrink.SuperNet.from_model(model)

Needs torch and transformers (extra `llm`); they are imported when something here is used.
"""

from __future__ import annotations

import importlib
from typing import Any

# public name -> module that holds it
_EXPORTS = {
    "Child": "luthier.shrink.extraction",
    "Cost": "luthier.shrink.cost",
    "CostModel": "luthier.shrink.cost",
    "LayerSpec": "luthier.shrink.spec",
    "Order": "luthier.shrink._permute",
    "Parity": "luthier.shrink.parity",
    "ParityError": "luthier.shrink.parity",
    "SubNetSpec": "luthier.shrink.spec",
    "SuperNet": "luthier.shrink.supernet",
    "extract": "luthier.shrink.extraction",
    "load": "luthier.shrink.extraction",
    "masked": "luthier.shrink.oracle",
    "verify": "luthier.shrink.parity",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module 'luthier.shrink' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
