"""Tiny random models of every family, with norm weights and biases that are neither 1 nor 0."""

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')
transformers = pytest.importorskip("transformers", reason='pip install "luthier[llm]"')

E, L, H, G, U, V = 48, 3, 6, 3, 40, 97
FAMILIES = ("bert", "roberta", "distilbert", "gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3")
TOKENS = {"bos_token_id": 1, "eos_token_id": 2}
NAMES = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert", "gpt2": "GPT2", "gpt_neox": "GPTNeoX"}


def config(family, **changes):
    plain = {
        "hidden_size": E,
        "num_hidden_layers": L,
        "num_attention_heads": H,
        "intermediate_size": U,
        "vocab_size": V,
    }
    if family == "distilbert":
        plain = {"dim": E, "n_layers": L, "n_heads": H, "hidden_dim": U, "vocab_size": V}
    if family == "gpt2":
        plain = dict(n_embd=E, n_layer=L, n_head=H, n_inner=U, vocab_size=V, **TOKENS)
    if family == "gpt_neox":
        plain |= {**TOKENS, "rotary_pct": 0.5}
    if family in ("llama", "mistral", "qwen2", "qwen3"):
        plain |= dict(num_key_value_heads=G, **TOKENS)
    if family in ("mistral", "qwen3"):
        plain |= {"head_dim": 8}
    if family in ("llama", "qwen2"):
        plain |= {"tie_word_embeddings": True}
    name = NAMES.get(family, family.capitalize())
    return getattr(transformers, f"{name}Config")(max_position_embeddings=64, **{**plain, **changes})


def model(family, head=None, seed=0, **changes):
    """A model in evaluation mode; encoders classify and decoders predict the next token, unless a head is named."""
    encoder = family in ("bert", "roberta", "distilbert")
    name = NAMES.get(family, family.capitalize())
    head = head or ("ForSequenceClassification" if encoder else "LMHeadModel" if family == "gpt2" else "ForCausalLM")
    torch.manual_seed(seed)
    found = getattr(transformers, name + head)(config(family, **changes)).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in found.parameters():
            scale = 0.3 if parameter.dim() == 1 else 0.1
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return found


def batch(family, seed=0, rows=3, length=11, padding=None):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, V, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    if padding == "right":
        mask[1, -4:] = 0
    if padding == "left":
        mask[1, :4] = 0
    return {"input_ids": ids, "attention_mask": mask}


def call(*words, code=0):
    """`luthier shrink` with these words; what it printed, and that it ended with this code."""
    from typer.testing import CliRunner

    from luthier.cli._app import app

    found = CliRunner().invoke(app, ["shrink", *map(str, words)])
    assert found.exit_code == code, found.output
    return found
