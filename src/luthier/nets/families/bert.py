"""BERT and MiniLM: norms after each sub-layer, learned positions, biases everywhere."""

from __future__ import annotations

from dataclasses import replace

from luthier.nets.families._family import Family

FAMILY = Family(
    name="bert",
    types=("bert",),
    prefix="bert",
    layers="encoder.layer",
    trunk={
        "embeddings.word_embeddings": "embedding vocabulary width",
        "embeddings.position_embeddings": "embedding positions width",
        "embeddings.token_type_embeddings": "embedding types width",
        "embeddings.LayerNorm": "norm width",
        "pooler.dense": "linear width width",
    },
    attention={
        "attention.self.query": "linear query width",
        "attention.self.key": "linear group width",
        "attention.self.value": "linear group width",
        "attention.output.dense": "linear width query",
        "attention.output.LayerNorm": "norm width",
    },
    mlp={
        "intermediate.dense": "linear inter width",
        "output.dense": "linear width inter",
        "output.LayerNorm": "norm width",
    },
    heads={
        "classifier": "linear labels width",
        "qa_outputs": "linear labels width",
        "cls.predictions.bias": "vector vocabulary",
        "cls.predictions.transform.dense": "linear width width",
        "cls.predictions.transform.LayerNorm": "norm width",
        "cls.predictions.decoder": "linear vocabulary width",
        "cls.seq_relationship": "linear labels width",
    },
    without_attention={"attention": "same-pair"},
    without_mlp={"intermediate": "same", "output": "second"},
    patches={"attention.self": {"num_attention_heads": "heads", "all_head_size": "query"}},
    sizes={
        "width": "hidden_size",
        "depth": "num_hidden_layers",
        "heads": "num_attention_heads",
        "inter": "intermediate_size",
    },
    coupled=True,
    causal=False,
)


def like(name: str, **changes: object) -> Family:
    """A family that is BERT but for what is named."""
    return replace(FAMILY, name=name, types=(name,), **changes)  # type: ignore[arg-type]
