"""Mistral: Llama with a window, and any head size in its configuration."""

from __future__ import annotations

from luthier.nets.families.llama import like

FAMILY = like("mistral")
