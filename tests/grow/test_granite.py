"""Export to Granite: the same logits in stock transformers."""

from __future__ import annotations

import warnings

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')
transformers = pytest.importorskip("transformers")

from luthier.base.errors import ArgumentError, LuthierWarning, UnsupportedError  # noqa: E402
from luthier.grow import MuPlan, Options, export  # noqa: E402
from luthier.nets import RefConfig, RefGPT  # noqa: E402
from luthier.nets.checkpoints import read  # noqa: E402

PROXY = {"vocabulary": 32, "d_model": 32, "heads": 4, "kv_heads": 2, "d_ff": 48, "layers": 2, "context": 16}
IDS = torch.randint(0, 32, (2, 16), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kinds", [{}, {"tied": True}, {"bias": True, "d_head": 16, "heads": 4, "kv_heads": 4}])
def test_a_grown_plan_has_the_same_logits_in_granite(tmp_path, kinds):
    """Width times 2, depth times 2, all four numbers other than 1; read back by from_pretrained."""
    options = Options(depth="completep", zero_readout=False, alpha_in=3.0, alpha_out=2.0, alpha_attention=0.5)
    plan = MuPlan.infer("refgpt", proxy={**PROXY, **kinds}, target={"d_model": 64, "layers": 4}, options=options)
    model = plan.build(seed=1).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    folder = export(model, tmp_path / "granite")
    again = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    assert type(again).__name__ == "GraniteForCausalLM"
    with torch.no_grad():
        assert float((model(IDS) - again(IDS).logits).abs().max()) <= 1e-4
    if not kinds.get("tied"):
        llama = transformers.AutoModelForCausalLM.from_pretrained(export(model, tmp_path / "llama", "hf-llama")).eval()
        assert type(llama).__name__ == "LlamaForCausalLM"
        with torch.no_grad():
            assert float((model(IDS) - llama(IDS).logits).abs().max()) <= 1e-4
    else:
        with pytest.raises(UnsupportedError, match="tied readout"):
            export(model, tmp_path / "llama", "hf-llama")
    numbers = {n: getattr(again.config, n) for n in ("embedding_multiplier", "residual_multiplier", "logits_scaling")}
    assert numbers == {"embedding_multiplier": 3.0, "residual_multiplier": 0.5, "logits_scaling": 1.0}


def test_what_granite_has_not_is_refused(tmp_path):
    layer = RefGPT(RefConfig.of({**PROXY, "norm": "layer"}))
    with pytest.raises(UnsupportedError, match="norm='layer'"):
        export(layer, tmp_path)
    with pytest.raises(ArgumentError, match="hf-granite, hf-llama, hf, safetensors"):
        export(layer, tmp_path, "gguf")
    assert export(layer, tmp_path / "plain", "safetensors").exists()


SIZES = {
    "vocab_size": 32, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 32,
}  # fmt: skip
GROUPED = {**SIZES, "num_key_value_heads": 2}
BROAD = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4}
GPT2 = {"vocab_size": 32, "n_embd": 32, "n_head": 2, "n_layer": 2, "n_positions": 32, "bos_token_id": 0,
        "eos_token_id": 0}  # fmt: skip


@pytest.mark.parametrize(
    ("word", "proxy", "target", "two"),
    [
        ("hf:llama", GROUPED, {**BROAD, "num_attention_heads": 4, "num_key_value_heads": 4}, False),
        ("hf:qwen3", {**GROUPED, "head_dim": 16}, {**BROAD, "num_attention_heads": 4, "num_key_value_heads": 4}, False),
        ("hf:gpt_neox", SIZES, BROAD, False),  # wider heads: attention's scale goes into queries of a fused map
        ("hf:gpt2", GPT2, {"n_embd": 64, "n_inner": 256, "n_layer": 4}, True),
        ("hf:granite", GROUPED, {**BROAD, "num_attention_heads": 4, "num_key_value_heads": 4}, False),
        ("hf:bert", SIZES, {"hidden_size": 64, "intermediate_size": 96}, True),
    ],
)
def test_a_model_of_transformers_has_the_same_logits_when_it_is_read_back(tmp_path, word, proxy, target, two):
    """Its own save_pretrained leaves every number of muP out, without a word."""
    deep = "none" if word == "hf:bert" else "completep"
    options = Options(depth=deep, zero_readout=False, alpha_in=3.0, alpha_out=2.0, alpha_attention=0.5)
    model = MuPlan.infer(word, proxy=proxy, target=target, options=options).build(seed=1).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", LuthierWarning)
        folder = export(model, tmp_path / "stock")
    assert any("share a tensor" in str(one.message) for one in told) is two
    auto = transformers.AutoModelForMaskedLM if word == "hf:bert" else transformers.AutoModelForCausalLM
    again = auto.from_pretrained(folder).eval()
    assert not any("multiplier" in vars(module) for module in again.modules())
    with torch.no_grad():
        here, there = model(IDS).logits, again(IDS).logits
    assert float((here - there).abs().max()) <= 1e-5 * max(1.0, float(here.abs().max()))
    with pytest.raises(UnsupportedError, match="format 'hf', which keeps its type"):
        export(model, tmp_path / "other", "hf-llama")


def test_tensors_alone_of_a_model_of_transformers_have_the_numbers(tmp_path):
    target = {**BROAD, "num_attention_heads": 4, "num_key_value_heads": 4}
    model = MuPlan.infer("hf:llama", proxy=GROUPED, target=target, options=Options(zero_readout=False)).build(seed=1)
    export(model, tmp_path, "safetensors")
    assert torch.allclose(read(tmp_path).weights()["lm_head.weight"], model.lm_head.weight / 2)
    with pytest.raises(UnsupportedError, match="format 'hf' is for models of transformers"):
        export(RefGPT(RefConfig.of(PROXY)), tmp_path / "none", "hf")
