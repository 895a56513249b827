"""Growth operators: exact where they say so, random where they say so, and refusals."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from luthier.base.errors import ArgumentError, CostWarning  # noqa: E402
from luthier.grow import Growth, MuPlan, Options, grow, moments_of  # noqa: E402
from luthier.grow.layouts import NEW, Sizes, padded, tiled  # noqa: E402
from luthier.grow.mu_plan import start  # noqa: E402
from luthier.nets import Batches, Constant, Recipe, synthetic, train  # noqa: E402
from luthier.nets.checkpoints import read, save  # noqa: E402

PROXY = {
    "vocabulary": 32,
    "d_model": 16,
    "heads": 2,
    "kv_heads": 1,
    "d_head": 8,
    "d_ff": 24,
    "layers": 2,
    "context": 16,
}
IDS = torch.randint(0, 32, (2, 16), generator=torch.Generator().manual_seed(0))
GPT = {"norm": "layer", "positions": "learned", "mlp": "gelu", "bias": True, "gains": "trainable"}


def plans(large, *, kinds=None, options=None):
    source = MuPlan.infer("refgpt", proxy={**PROXY, **(kinds or {})}, options=options)
    return source, source.for_target({**source.proxy, **large})


def trained(plan, dtype=torch.float64):
    """A model whose numbers are all different from their start: biases, gains and readout too."""
    model = plan.build(seed=1, dtype=dtype)
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=draw).to(dtype))
    return model


def grown(model, source, target, growth, **more):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CostWarning)
        return grow(dict(model.named_parameters()), source, target, growth, force=True, **more)


def gap(a, b, dtype=torch.float64):
    with torch.no_grad():
        return float((a.to(dtype)(IDS) - b.to(dtype)(IDS)).abs().max())


def wide(k, **more):
    return {"d_model": 16 * k, "heads": 2 * k, "kv_heads": k, "d_ff": 24 * k, **more}


# -- C6: duplicate --


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize(
    "kinds", [{}, {"tied": True}, {"kv_heads": 2}, GPT, {**GPT, "positions": "rope", "tied": True}]
)
def test_a_duplicate_is_the_same_function(kinds, k):
    kv = k * kinds.get("kv_heads", 1)
    source, target = plans(wide(k, kv_heads=kv), kinds=kinds)
    model = trained(source)
    found = grown(model, source, target, Growth(operator="duplicate"))
    assert gap(model, found.model(torch.float64)) <= 1e-10
    narrow = trained(source, torch.float32)
    again = grown(narrow, source, target, Growth(operator="duplicate"))
    assert gap(narrow, again.model(), torch.float32) <= 2e-5


def test_a_duplicate_of_query_heads_alone_and_of_key_heads_alone():
    source, target = plans({"d_model": 32, "heads": 4, "kv_heads": 1, "d_ff": 48})
    model = trained(source)
    assert gap(model, grown(model, source, target, Growth(operator="duplicate")).model(torch.float64)) <= 1e-10
    source, target = plans({"kv_heads": 2})
    model = trained(source)
    assert gap(model, grown(model, source, target, Growth(operator="duplicate")).model(torch.float64)) <= 1e-10


def test_a_duplicate_by_hand():
    """Width 16 to 32: an inner block is half of the old one four times, a bias and a table are repeated."""
    source, target = plans(wide(2), kinds={"bias": True})
    model = trained(source)
    found = grown(model, source, target, Growth(operator="duplicate")).weights
    old = dict(model.named_parameters())
    up = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(found[up], old[up].repeat(2, 2) / 2)
    assert torch.equal(found["model.layers.0.mlp.up_proj.bias"], old["model.layers.0.mlp.up_proj.bias"].repeat(2))
    assert torch.equal(found["model.embed_tokens.weight"], old["model.embed_tokens.weight"].repeat(1, 2))
    assert torch.equal(found["lm_head.weight"], old["lm_head.weight"].repeat(1, 2))


def test_a_duplicate_of_a_tied_model_reads_the_readouts_own_number():
    """The embedding has one too where alpha_in is not 1; it was taken for the readout's."""
    source, target = plans(wide(2), kinds={"tied": True}, options=Options(alpha_in=2.0, alpha_out=3.0))
    model = trained(source)
    assert gap(model, grown(model, source, target, Growth(operator="duplicate")).model(torch.float64)) <= 1e-10


def test_noise_breaks_the_symmetry_of_copies():
    source, target = plans(wide(2))
    model = trained(source)
    up = grown(model, source, target, Growth(operator="duplicate", noise=0.1)).weights[
        "model.layers.0.mlp.up_proj.weight"
    ]
    assert not torch.equal(up[:24], up[24:])


@pytest.mark.parametrize("word", ["gpt2", "gpt_neox", "llama", "qwen3"])
def test_a_duplicate_of_a_family(word):
    pytest.importorskip("transformers")
    sizes = {
        "gpt2": {"n_embd": 16, "n_head": 2, "n_layer": 1, "n_positions": 16, "n_inner": 24},
        "gpt_neox": {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "num_hidden_layers": 1},
        "llama": {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 24,
                  "num_hidden_layers": 1},
        "qwen3": {"hidden_size": 16, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 24,
                  "num_hidden_layers": 1, "head_dim": 8},
    }[word]  # fmt: skip
    source = MuPlan.infer(f"hf:{word}", proxy={"vocab_size": 32, **sizes})
    target = source.widened(2)
    model = trained(source).eval()
    found = grown(model, source, target, Growth(operator="duplicate")).model(torch.float64).eval()
    with torch.no_grad():
        apart = float((model(IDS).logits - found(IDS).logits).abs().max())
    assert apart <= (2e-6 if word in ("llama", "qwen3") else 1e-10)  # their norms compute in float32


# -- C7: with its optimiser state it trains alike --


@pytest.mark.parametrize("kinds", [{}, GPT])
def test_a_widened_model_trains_as_its_source_does(tmp_path, kinds):
    """Twenty steps of AdamW with decay and epsilon by the plan, from carried moments: losses differ by rounding."""
    source, target = plans(wide(2), kinds=kinds)
    batches = Batches(synthetic(3000, vocabulary=32), 2, 16)
    rates = {"lr": 0.01, "weight_decay": 0.1, "eps": 1e-6}

    def go(model, plan, optimiser, first, steps, folder=None):
        recipe = Recipe(steps=steps, clip=None, schedule=Constant(), log_every=1)
        history = train(model, lambda k: batches(first + k), optimiser, recipe, folder=folder)
        return history.curve("loss")[1]

    small = trained(source)
    adam = torch.optim.AdamW(source.param_groups(small, **rates))
    go(small, source, adam, 0, 3, tmp_path / "small")
    state = moments_of(read(tmp_path / "small"))
    found = grown(small, source, target, Growth(operator="duplicate"), moments=state)
    large = found.model(torch.float64)
    adam_large = torch.optim.AdamW(target.param_groups(large, **rates))
    found.carry(large, adam_large)
    wanted, seen = go(small, source, adam, 3, 20), go(large, target, adam_large, 3, 20)
    assert max(abs(a - b) for a, b in zip(wanted, seen, strict=True)) <= 1e-8
    fresh = found.model(torch.float64)
    other = go(fresh, target, torch.optim.AdamW(target.param_groups(fresh, **rates)), 3, 20)
    assert abs(other[-1] - wanted[-1]) > 1e-4  # the state does matter


def test_moments_of_padded_units_stay_and_new_ones_begin_at_zero(tmp_path):
    source, target = plans(wide(2))
    small = source.build(seed=0)
    adam = torch.optim.AdamW(source.param_groups(small, lr=0.01))
    train(small, Batches(synthetic(3000, vocabulary=32), 2, 16), adam, Recipe(steps=2), folder=tmp_path)
    state = moments_of(read(tmp_path))
    found = grown(small, source, target, Growth(), moments=state)
    up = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(found.moments[up]["exp_avg"][:24, :16], state[up]["exp_avg"])
    assert found.moments[up]["exp_avg_sq"][24:].abs().max() == 0


# -- C8: zero padding under norms --


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("kinds", [{}, {"tied": True}, GPT])
def test_corrected_padding_is_the_same_function(kinds, k):
    source, target = plans({**wide(k), "norm_eps": 1e-5 / k}, kinds=kinds)
    model = trained(source)
    found = grown(model, source, target, Growth(operator="zeropad", exact=True))
    assert gap(model, found.model(torch.float64)) <= 1e-10
    plain = grown(model, source, target, Growth(operator="zeropad"))
    assert gap(model, plain.model(torch.float64)) > 1e-2


def test_uncorrected_padding_multiplies_by_the_root_of_k():
    """RMSNorm of (x, 0) with epsilon / k is sqrt(k) times that of x, to rounding."""
    x = torch.randn(5, 16, dtype=torch.float64)
    both = torch.cat([x, torch.zeros_like(x)], dim=1)
    small = torch.nn.functional.rms_norm(x, (16,), eps=1e-5)
    large = torch.nn.functional.rms_norm(both, (32,), eps=1e-5 / 2)
    assert float((large[:, :16] / small - math.sqrt(2)).abs().max()) <= 1e-12


def test_exact_padding_wants_epsilon_divided():
    source, target = plans(wide(2))
    with pytest.raises(ArgumentError, match="norm_eps=5e-06"):
        grown(trained(source), source, target, Growth(operator="zeropad", exact=True))


LLAMA = {
    "vocab_size": 32, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "max_position_embeddings": 32,
}  # fmt: skip
NEOX = {k: v for k, v in LLAMA.items() if k != "num_key_value_heads"} | {"layer_norm_eps": 1e-12}
GPT2 = {
    "vocab_size": 32, "n_embd": 32, "n_head": 2, "n_layer": 2, "n_positions": 32, "n_inner": 64,
    "tie_word_embeddings": False, "layer_norm_epsilon": 1e-12, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
WIDER = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 4}
BROAD = {"hidden_size": 64, "intermediate_size": 96, "layer_norm_eps": 5e-13}  # two heads of 16 become two of 32


@pytest.mark.filterwarnings("ignore::luthier.base.errors.CostWarning")
@pytest.mark.parametrize(
    ("word", "small", "large", "most"),
    [
        ("hf:llama", LLAMA, {**WIDER, "rms_norm_eps": 5e-7}, 1e-5),  # its own epsilon is 1e-6
        ("hf:llama", {**LLAMA, "tie_word_embeddings": True}, {**WIDER, "rms_norm_eps": 5e-7}, 1e-5),
        ("hf:llama", LLAMA, {"hidden_size": 64, "head_dim": 32, "rms_norm_eps": 5e-7}, 1e-5),
        ("hf:qwen3", {**LLAMA, "head_dim": 16}, {**WIDER, "rms_norm_eps": 5e-7}, 1e-4),  # gains of heads stay
        ("hf:gpt_neox", NEOX, BROAD, 1e-10),  # a quarter of a head is turned, queries are a third of a fused map
        ("hf:gpt2", GPT2, {"n_embd": 64, "n_head": 2, "n_inner": 128, "layer_norm_epsilon": 5e-13}, 1e-10),
    ],
)
def test_corrected_padding_of_families(word, small, large, most):
    source = MuPlan.infer(word, proxy=small)
    target = source.for_target({**small, **large})
    model = trained(source).eval()
    found = grown(model, source, target, Growth(operator="zeropad", exact=True)).model(torch.float64).eval()
    with torch.no_grad():
        apart = float((model(IDS).logits - found(IDS).logits).abs().max())
    assert apart <= most


@pytest.mark.filterwarnings("ignore::luthier.base.errors.CostWarning")
def test_what_padding_does_not_keep_is_refused_with_what_was_measured():
    qwen = {**LLAMA, "head_dim": 16}
    bert = {k: v for k, v in NEOX.items() if "key" not in k}
    for word, small, large, said in (
        ("hf:qwen3", qwen, {"hidden_size": 64, "head_dim": 32, "rms_norm_eps": 5e-7}, r"logits differ .* by \d"),
        ("hf:bert", bert, {**BROAD, "num_attention_heads": 4}, "tied"),
        ("hf:llama", LLAMA, WIDER, r"source has 1e-06, .* Give the target rms_norm_eps=5e-07"),
        ("hf:llama", LLAMA, {**WIDER, "rms_norm_eps": 5e-7, "num_hidden_layers": 4}, "logits differ"),
    ):
        delta = {**qwen, **WIDER, "intermediate_size": 144, "head_dim": 32} if word == "hf:qwen3" else None
        source = MuPlan.infer(word, proxy=small, delta=delta)
        with pytest.raises(ArgumentError, match=said):
            grown(trained(source), source, source.for_target({**small, **large}),
                  Growth(operator="zeropad", exact=True))  # fmt: skip
    with pytest.raises(ArgumentError, match="exact=True with operator='szp'"):
        Growth(exact=True)


# -- C9: shrink, pad, perturb --


def test_szp_without_the_source_is_a_start_from_scratch():
    """lambda 0: bit by bit the target's own start of the same seed."""
    source, target = plans(wide(2), kinds=GPT)
    found = grown(trained(source), source, target, Growth(lam=0.0, seed=7)).model()
    for a, b in zip(found.parameters(), target.build(seed=7).parameters(), strict=True):
        assert torch.equal(a, b)


def test_szp_without_the_source_and_without_noise_is_nothing():
    """What its record says: no noise. It was the whole start of the target."""
    source, target = plans(wide(2))
    found = grown(trained(source), source, target, Growth(lam=0.0, noise=0.0))
    up = "model.layers.0.mlp.up_proj.weight"
    assert float(found.weights[up].abs().max()) == 0
    half = grown(trained(source), source, target, Growth(lam=0.0, noise=0.5, seed=7)).weights[up]
    assert torch.equal(half.float(), start(target.rows[up], 7) / 2)


def test_szp_without_noise_and_shrinking_is_padding():
    source, target = plans(wide(2), kinds=GPT)
    model = trained(source)
    a = grown(model, source, target, Growth(lam=1.0, noise=0.0)).weights
    b = grown(model, source, target, Growth(operator="zeropad")).weights
    assert all(torch.equal(a[name], b[name]) for name in a)
    up = a["model.layers.0.mlp.up_proj.weight"]
    assert torch.equal(up[:24, :16], dict(model.named_parameters())["model.layers.0.mlp.up_proj.weight"])
    assert up[24:].abs().max() == up[:, 16:].abs().max() == 0


def test_szp_by_hand():
    """0.4 of the padded source and the plan's start; gains shrink towards 1, biases towards 0."""
    source, target = plans(wide(2), kinds=GPT)
    model = trained(source, torch.float32)
    old, found = dict(model.named_parameters()), grown(model, source, target, Growth(seed=3)).weights
    up, gain, bias = "model.layers.1.mlp.up_proj.weight", "model.norm.weight", "model.norm.bias"
    wanted = start(target.rows[up], 3)
    wanted[:24, :16] += 0.4 * old[up]
    assert torch.allclose(found[up], wanted, atol=1e-7)
    assert torch.allclose(found[gain][:16], 1 + 0.4 * (old[gain] - 1))
    assert torch.equal(found[gain][16:], torch.ones(16))
    assert torch.allclose(found[bias], torch.cat([0.4 * old[bias], torch.zeros(16)]))
    assert torch.equal(found["lm_head.weight"][:, 16:], torch.zeros(32, 16))  # the plan starts the readout at zero


def test_noise_has_the_plans_deviation_and_the_seed_decides():
    source, target = plans(wide(8))
    model = trained(source)
    a, b = (grown(model, source, target, Growth(seed=s)).weights for s in (0, 1))
    up = "model.layers.0.mlp.up_proj.weight"
    for found in (a, b):
        assert float(found[up][24:].std()) == pytest.approx(target.rows[up].value, rel=0.02)
    assert torch.equal(a[up], grown(model, source, target, Growth(seed=0)).weights[up])
    assert not torch.equal(a[up], b[up])


def test_the_effective_readout_keeps_old_units_logits():
    source, target = plans(wide(2))
    model = trained(source)
    stored, effective = (
        grown(model, source, target, Growth(readout=word)).weights["lm_head.weight"] for word in ("stored", "effective")
    )
    assert torch.equal(effective, 2 * stored)


# -- C10: depth, wider heads, regrouping --


@pytest.mark.parametrize("depth", ["none", "completep"])
@pytest.mark.parametrize("kinds", [{}, GPT])
def test_identity_blocks_do_nothing_yet(kinds, depth):
    source, target = plans({"layers": 5}, kinds=kinds, options=Options(depth=depth))
    model = trained(source)
    found = grown(model, source, target, Growth(operator="duplicate", depth="identity"))
    assert gap(model, found.model(torch.float64)) <= 1e-10
    new = found.weights["model.layers.4.self_attn.q_proj.weight"]
    assert float(new.std()) == pytest.approx(0.02, rel=0.2)


def test_stack_interpolate_and_random_by_hand():
    source, target = plans({"layers": 5})
    model = trained(source)
    old = dict(model.named_parameters())

    def origins(depth):
        found = grown(model, source, target, Growth(operator="zeropad", depth=depth))
        rows = [r for r in found.provenance if r["tensor"].endswith("mlp.up_proj.weight")]
        for row in rows:
            if row["from"]:
                assert torch.equal(found.weights[row["tensor"]], old[row["from"]])
        return [None if r["from"] is None else int(r["from"].split(".")[2]) for r in rows]

    assert origins("stack") == [0, 1, 0, 1, 0]
    assert origins("interpolate") == [0, 0, 0, 1, 1]
    assert origins("random") == [0, 1, None, None, None]


def test_wider_rotary_heads_are_the_same_function():
    """Pairs are spread: heads of 8 to 16 and 24, and queries rescaled."""
    for k in (2, 3):
        proxy = {**PROXY, "gains": "fixed"}
        delta = {**proxy, "d_model": 32, "d_ff": 72, "d_head": 16, "heads": 4, "kv_heads": 2}
        source = MuPlan.infer("refgpt", proxy=proxy, delta=delta)
        target = source.for_target({**proxy, "d_head": 8 * k})
        model = trained(source)
        found = grown(model, source, target, Growth(operator="zeropad", exact=True))
        assert gap(model, found.model(torch.float64)) <= 1e-10


def test_head_maps_by_hand():
    """Two heads of 4 on one key head; pairs (0, 2), (1, 3)."""
    small = Sizes(8, 2, 1, 4, 8, 1, True)
    large = padded(small, Sizes(16, 6, 2, 4, 16, 1, True))
    assert list(large["query"]) == [0, 1, 2, 3, 4, 5, 6, 7, *[NEW] * 16]
    assert list(large["group"]) == [0, 1, 2, 3, *[NEW] * 4]
    spread = padded(small, Sizes(16, 2, 1, 8, 16, 1, True))
    assert list(spread["group"]) == [0, NEW, 1, NEW, 2, NEW, 3, NEW]
    regrouped = padded(Sizes(8, 4, 2, 1, 8, 1, False), Sizes(8, 6, 2, 1, 8, 1, False))
    assert list(regrouped["query"]) == [0, 1, NEW, 2, 3, NEW]
    twice = tiled(Sizes(8, 4, 2, 1, 8, 1, False), Sizes(16, 8, 2, 1, 16, 1, False))
    assert list(twice["query"]) == [0, 1, 0, 1, 2, 3, 2, 3]
    mixed = tiled(Sizes(4, 2, 2, 2, 4, 1, False), Sizes(8, 4, 4, 2, 8, 1, False))["interleaved"]
    assert list(mixed) == [*range(12), *range(12)]
    assert list(np.unique(mixed, return_counts=True)[1]) == [2] * 12


# -- records and refusals --


def test_every_tensor_says_where_it_comes_from(tmp_path):
    source, target = plans(wide(2))
    save(tmp_path / "small", trained(source, torch.float32))
    found = grown(trained(source), source, target, Growth(), where="small")
    assert {row["tensor"] for row in found.provenance} == target.rows.keys()
    up = next(r for r in found.provenance if r["tensor"] == "model.layers.0.mlp.up_proj.weight")
    assert up == {
        "tensor": "model.layers.0.mlp.up_proj.weight",
        "from": "model.layers.0.mlp.up_proj.weight",
        "rule": "szp",
        "lambda": 0.4,
        "noise_std": pytest.approx(0.02 / math.sqrt(2)),
        "units": {"inter": "24 of 48 new", "width": "16 of 32 new"},
    }
    stored = found.save(tmp_path / "large")
    again = read(tmp_path / "large")
    assert MuPlan.of(again.state["extra"]["plan"]) == target
    assert again.state["extra"]["growth"]["source"] == "small"
    assert torch.equal(stored.weights()["lm_head.weight"], found.model().lm_head.weight)


def test_growth_refuses_what_cannot_be_right():
    source, target = plans(wide(2))
    weights = dict(trained(source).named_parameters())

    def refused(words, w=weights, s=source, t=target, how=None, force=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CostWarning)
            with pytest.raises(ArgumentError, match=words):
                grow(w, s, t, how, force=force)

    refused("MU10", t=MuPlan.infer("refgpt", proxy={**PROXY, "init_std": 0.1}))
    refused("missing", w={k: v for k, v in weights.items() if k != "lm_head.weight"})
    refused("too many", w={**weights, "extra": torch.zeros(1)})
    refused("not finite", w={**weights, "lm_head.weight": weights["lm_head.weight"] * float("nan")})
    refused("is smaller than the source's", s=target, t=source, w=dict(target.build().named_parameters()))
    refused(
        "whole multiples", t=source.for_target({**PROXY, "d_model": 24, "heads": 3}), how=Growth(operator="duplicate")
    )
    refused("beyond 8 no gain", t=source.for_target({**PROXY, **wide(4)}), force=False)
    tied = MuPlan.infer("refgpt", proxy={**PROXY, "tied": True})
    with pytest.raises(ArgumentError, match="one has a tied readout"):
        grow(dict(tied.build().named_parameters()), tied, target, force=True, reason="a test")
    with pytest.warns(CostWarning, match="2 is the most reliable"):
        grow(weights, source, target)
    for wrong in ({"lam": 1.5}, {"operator": "pad"}, {"depth": "up"}, {"noise": -1.0}):
        with pytest.raises(ArgumentError):
            Growth(**wrong)
