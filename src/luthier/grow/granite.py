"""Export: a RefGPT as a Granite model of transformers, which has muP's four numbers in its own configuration, or Llama.

    embedding_multiplier   on the embedding's output       attention_multiplier   the scale of attention itself
    residual_multiplier    on every branch                 logits_scaling         logits are divided by it

So a grown model loads in stock transformers, without code of ours. It takes RMSNorm, rotary positions, SwiGLU and no
biases (or biases in all maps of attention and feed-forward). `to_llama` multiplies the numbers into the weights: the
same function, for tools that know Llama and not Granite (`luthier shrink`); training it on is another parametrisation.
Models that are of transformers already stay of their own type; their numbers go into their weights (`folding.fold`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from luthier.base.errors import ArgumentError, UnsupportedError
from luthier.base.imports import need
from luthier.grow import scaled
from luthier.nets._torch import nn
from luthier.nets.refgpt import RefGPT

FORMATS = ("hf-granite", "hf-llama", "hf", "safetensors")


def to_granite(model: nn.Module) -> Any:
    """The same function as a GraniteForCausalLM.

    Args:
        model: A RefGPT, with or without a plan's multipliers.

    Raises:
        UnsupportedError: it is of another kind, or has what Granite has not.
    """
    if not isinstance(model, RefGPT):
        raise UnsupportedError(
            f"{type(model).__name__}: only a RefGPT becomes Granite or Llama. Allowed for a model of transformers: "
            "format 'hf', which keeps its type and multiplies the plan's numbers into its weights."
        )
    c = model.config
    wrong = [
        f"{name}={getattr(c, name)!r}"
        for name, allowed in (("norm", "rms"), ("positions", "rope"), ("mlp", "swiglu"))
        if getattr(c, name) != allowed
    ]
    if wrong:
        raise UnsupportedError(f"{', '.join(wrong)}: Granite has norm='rms', positions='rope' and mlp='swiglu' only.")
    transformers = need("transformers", what="export to Granite", extra="llm")
    numbers = _numbers(model)
    config = transformers.GraniteConfig(
        vocab_size=c.vocabulary,
        hidden_size=c.d_model,
        intermediate_size=c.ff,
        num_hidden_layers=c.layers,
        num_attention_heads=c.heads,
        num_key_value_heads=c.n_kv,
        head_dim=c.head,
        max_position_embeddings=c.context,
        rms_norm_eps=c.norm_eps,
        rope_theta=c.rope_base,
        attention_bias=c.bias,
        mlp_bias=c.bias,
        tie_word_embeddings=c.tied,
        initializer_range=c.init_std,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        **numbers,
    )
    found = transformers.GraniteForCausalLM(config).to(next(model.parameters()).dtype)
    found.head_dim = c.head
    found.load_state_dict(model.state_dict())
    return found.train(model.training)


def to_llama(model: nn.Module) -> Any:
    """The same function as a LlamaForCausalLM, with muP's numbers multiplied into the weights.

    Args:
        model: A RefGPT, with or without a plan's multipliers; untied where the logits have a number.

    Raises:
        UnsupportedError: it is of another kind, or a tied readout has a number of its own.
    """
    granite = to_granite(model)
    c = granite.config
    transformers = need("transformers", what="export to Llama", extra="llm")
    if c.tie_word_embeddings and (c.embedding_multiplier != 1 or c.logits_scaling != 1):
        raise UnsupportedError("tied readout: Llama has no number for the logits. Allowed: untied, or Granite.")
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
             "num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "attention_bias", "mlp_bias",
             "tie_word_embeddings", "initializer_range", "bos_token_id", "eos_token_id", "pad_token_id")  # fmt: skip
    rope = {"rope_parameters": {"rope_type": "default", "rope_theta": cast(RefGPT, model).config.rope_base}}
    found = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**{name: getattr(c, name) for name in names}, **rope)
    ).to(next(model.parameters()).dtype)
    state = {name: tensor.clone() for name, tensor in granite.state_dict().items()}
    for name in state:
        if "embed_tokens" in name:
            state[name] *= c.embedding_multiplier
        elif "lm_head" in name and not c.tie_word_embeddings:
            state[name] /= c.logits_scaling
        elif "q_proj" in name:
            state[name] *= c.attention_multiplier * c.head_dim**0.5
        elif "o_proj" in name or "down_proj" in name:
            state[name] *= c.residual_multiplier
    found.load_state_dict(state)
    return found.train(model.training)


def _numbers(model: RefGPT) -> dict[str, float]:
    """Granite's four numbers."""
    c = model.config
    branches, scales = set(), set()
    for module in model.modules():
        for name in ("o_proj", "down_proj"):
            if isinstance(getattr(module, name, None), nn.Linear):
                branches.add(scaled.multiplier_of(getattr(module, name)) * c.residual_multiplier)
        if hasattr(module, "rope_base"):
            scales.add(cast(float, module.scale))
    if len(branches) > 1 or len(scales) > 1:
        raise ArgumentError(f"branches {branches}, attention {scales}: Granite has one number for all layers.")
    return {
        "embedding_multiplier": scaled.multiplier_of(model.model.embed_tokens) * c.embedding_multiplier,
        "attention_multiplier": scales.pop() if scales else c.head**-0.5,
        "residual_multiplier": branches.pop() if branches else 1.0,
        "logits_scaling": c.logits_scaling / scaled.multiplier_of(model.lm_head),
    }


def export(model: nn.Module, folder: str | Path, kind: str | None = None) -> Path:
    """Write a model for other tools.

    Args:
        model: The model.
        folder: Where.
        kind: "hf-granite" or "hf-llama" (of a RefGPT), "hf" (of a model of transformers, its own type): folders that
            `from_pretrained` reads. Or "safetensors": tensors alone; of a RefGPT as they are stored (its plan is
            needed), of others with the plan's numbers in them. None: "hf-granite" of a RefGPT, "hf" of others.

    Raises:
        ArgumentError: a format that is not known.
        UnsupportedError: one that is not for this model.
    """
    place = Path(folder)
    own = isinstance(model, RefGPT)
    kind = kind or ("hf-granite" if own else "hf")
    if kind not in FORMATS:
        raise ArgumentError(f"format={kind!r}. Allowed: {', '.join(FORMATS)}.")
    stock = hasattr(model, "save_pretrained")
    if kind == "hf" and not stock:
        raise UnsupportedError(
            f"{type(model).__name__}: format 'hf' is for models of transformers. Allowed: "
            f"{'hf-granite, hf-llama or safetensors' if own else 'safetensors'}."
        )
    if kind in ("hf-granite", "hf-llama"):
        (to_granite if kind == "hf-granite" else to_llama)(model).save_pretrained(place)
        return place
    if stock:
        from luthier.grow.folding import fold

        model = fold(model)
    if kind == "hf":
        cast(Any, model).save_pretrained(place)
        return place
    from luthier.nets.checkpoints import save

    return save(place, model).folder / "model.safetensors"
