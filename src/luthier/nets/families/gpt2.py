"""GPT-2: transposed weights, queries, keys and values in one matrix as three blocks, learned positions, tied head."""

from __future__ import annotations

from luthier.nets.families._family import Family

FAMILY = Family(
    name="gpt2",
    types=("gpt2",),
    prefix="transformer",
    layers="h",
    trunk={"wte": "embedding vocabulary width", "wpe": "embedding positions width", "ln_f": "norm width"},
    attention={
        "ln_1": "norm width",
        "attn.c_attn": "conv1d width blocked",
        "attn.c_proj": "conv1d query width",
    },
    mlp={"ln_2": "norm width", "mlp.c_fc": "conv1d width inter", "mlp.c_proj": "conv1d inter width"},
    heads={
        "lm_head": "linear vocabulary width",
        "score": "linear labels width",
        "classifier": "linear labels width",
        "qa_outputs": "linear labels width",
    },
    without_attention={"attn": "nothing-pair", "ln_1": "same"},
    without_mlp={"mlp": "nothing", "ln_2": "same"},
    patches={"attn": {"num_heads": "heads", "split_size": "query", "embed_dim": "query"}},
    sizes={
        "width": "hidden_size",
        "depth": "num_hidden_layers",
        "heads": "num_attention_heads",
        "inter": "n_inner",
    },
    coupled=True,
    depth_scaled="scale_attn_by_inverse_layer_idx",
)
