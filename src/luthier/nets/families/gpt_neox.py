"""GPT-NeoX and Pythia: queries, keys and values interleaved head by head, partial rotary, parallel residual."""

from __future__ import annotations

from luthier.nets.families._family import Family

FAMILY = Family(
    name="gpt_neox",
    types=("gpt_neox",),
    prefix="gpt_neox",
    layers="layers",
    trunk={"embed_in": "embedding vocabulary width", "final_layer_norm": "norm width"},
    attention={
        "input_layernorm": "norm width",
        "attention.query_key_value": "linear interleaved width",
        "attention.dense": "linear width query",
    },
    mlp={
        "post_attention_layernorm": "norm width",
        "mlp.dense_h_to_4h": "linear inter width",
        "mlp.dense_4h_to_h": "linear width inter",
    },
    heads={
        "lm_head": "linear vocabulary width",
        "embed_out": "linear vocabulary width",
        "score": "linear labels width",
        "classifier": "linear labels width",
        "qa_outputs": "linear labels width",
    },
    without_attention={"attention": "nothing-pair", "input_layernorm": "same"},
    without_mlp={"mlp": "nothing", "post_attention_layernorm": "same"},
    patches={},
    sizes={
        "width": "hidden_size",
        "depth": "num_hidden_layers",
        "heads": "num_attention_heads",
        "inter": "intermediate_size",
    },
    coupled=True,
)
