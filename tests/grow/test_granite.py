"""Export to Granite: the same logits in stock transformers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')
transformers = pytest.importorskip("transformers")

from luthier.base.errors import ArgumentError, UnsupportedError  # noqa: E402
from luthier.grow import MuPlan, Options, export  # noqa: E402
from luthier.nets import RefConfig, RefGPT  # noqa: E402

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
    with pytest.raises(ArgumentError, match="hf-granite, hf-llama, safetensors"):
        export(layer, tmp_path, "gguf")
    assert export(layer, tmp_path / "plain", "safetensors").exists()
