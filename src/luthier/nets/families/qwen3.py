"""Qwen3: Llama with a norm of head size on queries and keys, which all heads of a layer share."""

from __future__ import annotations

from luthier.nets.families.llama import FAMILY as LLAMA
from luthier.nets.families.llama import like

FAMILY = like(
    "qwen3",
    attention={**LLAMA.attention, "self_attn.q_norm": "norm head", "self_attn.k_norm": "norm head"},
)
