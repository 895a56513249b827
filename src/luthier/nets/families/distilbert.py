"""DistilBERT: BERT's layer under other names, without token types and pooler."""

from __future__ import annotations

from luthier.nets.families._family import Family

FAMILY = Family(
    name="distilbert",
    types=("distilbert",),
    prefix="distilbert",
    layers="transformer.layer",
    trunk={
        "embeddings.word_embeddings": "embedding vocabulary width",
        "embeddings.position_embeddings": "embedding positions width",
        "embeddings.LayerNorm": "norm width",
    },
    attention={
        "attention.q_lin": "linear query width",
        "attention.k_lin": "linear group width",
        "attention.v_lin": "linear group width",
        "attention.out_lin": "linear width query",
        "sa_layer_norm": "norm width",
    },
    mlp={"ffn.lin1": "linear inter width", "ffn.lin2": "linear width inter", "output_layer_norm": "norm width"},
    heads={
        "pre_classifier": "linear width width",
        "classifier": "linear labels width",
        "qa_outputs": "linear labels width",
        "vocab_transform": "linear width width",
        "vocab_layer_norm": "norm width",
        "vocab_projector": "linear vocabulary width",
    },
    without_attention={"attention": "nothing-pair", "sa_layer_norm": "same"},
    without_mlp={"ffn": "nothing", "output_layer_norm": "same"},
    patches={"attention": {"n_heads": "heads", "dim": "query"}},
    sizes={"width": "dim", "depth": "n_layers", "heads": "n_heads", "inter": "hidden_dim"},
    coupled=True,
    causal=False,
)
