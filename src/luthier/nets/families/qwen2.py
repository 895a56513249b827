"""Qwen2: Llama with biases on queries, keys and values."""

from __future__ import annotations

from luthier.nets.families.llama import like

FAMILY = like("qwen2")
