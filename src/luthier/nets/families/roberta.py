"""RoBERTa: BERT with other heads, and positions that begin behind the padding's number."""

from __future__ import annotations

from luthier.nets.families.bert import like

FAMILY = like(
    "roberta",
    prefix="roberta",
    heads={
        "classifier.dense": "linear width width",
        "classifier.out_proj": "linear labels width",
        "classifier": "linear labels width",
        "qa_outputs": "linear labels width",
        "lm_head.bias": "vector vocabulary",
        "lm_head.dense": "linear width width",
        "lm_head.layer_norm": "norm width",
        "lm_head.decoder": "linear vocabulary width",
    },
    position_offset=2,
)
