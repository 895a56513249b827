"""Llama: RMS norms, rotary positions, grouped queries, gated feed-forward."""

from __future__ import annotations

from dataclasses import replace

from luthier.nets.families._family import Family

FAMILY = Family(
    name="llama",
    types=("llama",),
    prefix="model",
    layers="layers",
    trunk={"embed_tokens": "embedding vocabulary width", "norm": "norm width"},
    attention={
        "input_layernorm": "norm width",
        "self_attn.q_proj": "linear query width",
        "self_attn.k_proj": "linear group width",
        "self_attn.v_proj": "linear group width",
        "self_attn.o_proj": "linear width query",
    },
    mlp={
        "post_attention_layernorm": "norm width",
        "mlp.gate_proj": "linear inter width",
        "mlp.up_proj": "linear inter width",
        "mlp.down_proj": "linear width inter",
    },
    heads={"lm_head": "linear vocabulary width", "score": "linear labels width", "qa_outputs": "linear labels width"},
    without_attention={"self_attn": "nothing-pair", "input_layernorm": "same"},
    without_mlp={"mlp": "nothing", "post_attention_layernorm": "same"},
    patches={"self_attn": {"num_key_value_groups": "queries"}},
    sizes={
        "width": "hidden_size",
        "depth": "num_hidden_layers",
        "heads": "num_attention_heads",
        "groups": "num_key_value_heads",
        "head_dim": "head_dim",
        "inter": "intermediate_size",
    },
    per_layer=("layer_types",),
)


def like(name: str, **changes: object) -> Family:
    """A family that is Llama but for what is named."""
    return replace(FAMILY, name=name, types=(name,), **changes)  # type: ignore[arg-type]
