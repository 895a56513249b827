"""nets: transformer families, the reference decoder, the one training loop, checkpoints, tokens from local text.

    from luthier.nets import Batches, Recipe, RefConfig, RefGPT, python_library, train

    text, held_out = python_library(1_000_000).split(0.1)
    model = RefGPT(RefConfig(d_model=128, layers=2), seed=0)
    history = train(model, Batches(text, 16, 128), torch.optim.AdamW(model.parameters(), lr=1e-3), Recipe(steps=500))

It needs torch and safetensors (extra `llm`); both are imported when something here is used.

Not here: what is done to a network: `grow` and `shrink` do that, and train with the loop of this room.
"""

from __future__ import annotations

from luthier.base.lazy import exports

# public name -> module that holds it
_EXPORTS = {
    "Batches": "luthier.nets.data",
    "Checkpoint": "luthier.nets.checkpoints",
    "Constant": "luthier.nets.schedules",
    "History": "luthier.nets.training",
    "Moment": "luthier.nets.training",
    "Recipe": "luthier.nets.training",
    "RefConfig": "luthier.nets.refgpt",
    "RefGPT": "luthier.nets.refgpt",
    "Tokens": "luthier.nets.data",
    "WSD": "luthier.nets.schedules",
    "at_step": "luthier.nets.checkpoints",
    "held_out_loss": "luthier.nets.data",
    "next_token": "luthier.nets.training",
    "python_library": "luthier.nets.data",
    "read_text": "luthier.nets.data",
    "synthetic": "luthier.nets.data",
    "train": "luthier.nets.training",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = exports(__name__, _EXPORTS)
