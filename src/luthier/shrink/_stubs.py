"""What stands in a layer where a sub-layer is left out."""

from __future__ import annotations

from typing import Any

from luthier.shrink._torch import nn, torch


class Stub(nn.Module):
    """A module without parameters.

    Args:
        word: "same" gives its input back, "same-pair" with None beside it (what an attention returns), "nothing" and
            "nothing-pair" give zeros, "second" gives its second input.
    """

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    def forward(self, *given: Any, **named: Any) -> Any:
        """What the word says."""
        if self.word == "second":
            return given[1]
        x = given[0] if given else named["hidden_states"]
        out = torch.zeros_like(x) if self.word.startswith("nothing") else x
        return (out, None) if self.word.endswith("-pair") else out
