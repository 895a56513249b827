"""MuPlan: golden roles, parity with the `mup` package, base equality, diagnostics, files."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from luthier.base.errors import ArgumentError, SchemaError  # noqa: E402
from luthier.grow import MuPlan, Options  # noqa: E402
from luthier.grow import diagnostics as mu  # noqa: E402
from luthier.nets import Batches, RefConfig, RefGPT, next_token, synthetic  # noqa: E402
from luthier.nets.checkpoints import load_weights, read, save  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent / "fixtures"))
from mup_models import MODELS, Mlp  # noqa: E402

RECORDED = json.loads((Path(__file__).parent / "fixtures" / "mup_groups.json").read_text())
PROXY = {"vocabulary": 32, "d_model": 32, "heads": 4, "kv_heads": 2, "d_ff": 48, "layers": 2, "context": 16}
BATCHES = Batches(synthetic(3000, vocabulary=32), 2, 16)


def plan(target=None, **more):
    return MuPlan.infer("refgpt", proxy=PROXY, target={"d_model": 128} if target is None else target, **more)


def of(model):
    make, proxy, delta, target, _ = MODELS[model]
    return MuPlan.infer(make, proxy=proxy, delta=delta, target=target)


# -- C1: roles --

#: The golden table: part of the name -> (role, m_in, m_out) for a decoder of four times the width.
GOLDEN = {
    "embed_tokens.weight": ("input", 1, 4),
    "q_proj.weight": ("hidden", 4, 4),
    "k_proj.weight": ("hidden", 4, 4),
    "v_proj.weight": ("hidden", 4, 4),
    "o_proj.weight": ("hidden", 4, 4),
    "gate_proj.weight": ("hidden", 4, 4),
    "up_proj.weight": ("hidden", 4, 4),
    "down_proj.weight": ("hidden", 4, 4),
    "norm.weight": ("input", 1, 4),
    "lm_head.weight": ("readout", 4, 1),
}


def test_roles_of_the_reference_decoder_are_the_golden_table():
    """Width times 4: the rows of the specification's example, with their std, rate, decay and epsilon."""
    found = plan()
    assert len(found.rows) == 2 * 9 + 3
    for name, row in found.rows.items():
        [key] = [k for k in GOLDEN if name.endswith(k)]
        assert (row.role, row.m_in, row.m_out) == GOLDEN[key], name
    rows = {row["name"]: row for row in found.table()}
    q, head, table = (
        rows[n] for n in ("model.layers.0.self_attn.q_proj.weight", "lm_head.weight", "model.embed_tokens.weight")
    )
    assert (q["start"], q["lr"], q["weight_decay"], q["eps"]) == (0.02 / 2, 1 / 4, 4, 1 / 4)
    assert (head["start"], head["lr"], head["weight_decay"], head["eps"], head["multiplier"]) == (
        "=0",
        1,
        1,
        1 / 4,
        1 / 4,
    )
    assert (table["start"], table["lr"], table["weight_decay"], table["eps"], table["multiplier"]) == (
        0.02,
        1,
        1,
        1 / 4,
        1,
    )


@pytest.mark.parametrize(
    ("word", "proxy", "ratio"),
    [
        ("hf:gpt2", {"n_embd": 32, "n_head": 2, "n_layer": 1, "n_positions": 16}, 2),
        ("hf:gpt_neox", {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64,
                         "num_hidden_layers": 1}, 3),
        ("hf:llama", {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 40,
                      "num_hidden_layers": 1}, 2),
        ("hf:qwen3", {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 40,
                      "num_hidden_layers": 1, "head_dim": 8}, 2),
        ("hf:bert", {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "num_hidden_layers": 1}, 2),
    ],
)  # fmt: skip
def test_roles_of_families(word, proxy, ratio):
    """Matrices inside are hidden, tables and vectors input, the head a readout or tied; nothing is unknown."""
    pytest.importorskip("transformers")
    found = MuPlan.infer(word, proxy={"vocab_size": 32, **proxy}).widened(ratio)
    for name, row in found.rows.items():
        if row.kind == "weight":
            table = "embed" in name or ".wte" in name or ".wpe" in name
            head = name in ("lm_head.weight", "embed_out.weight")
            assert row.role == ("input" if table else "readout" if head else "hidden"), name
            assert (row.m_in, row.m_out) == (1 if table else ratio, 1 if head else ratio), name
        else:
            fixed = "q_norm" in name or "k_norm" in name or name == "cls.predictions.bias"
            assert row.role == ("scalar" if fixed else "input"), name
    assert [number for number, _ in found.multipliers.values()] == [1 / ratio]
    assert not found.scales  # heads grow in number


@pytest.mark.parametrize(
    ("word", "proxy", "delta", "target", "wanted"),
    [
        ("hf:gpt2", {"n_embd": 32, "n_head": 2, "n_layer": 1}, None, {"n_embd": 128, "n_head": 8}, {"n_inner": 512}),
        ("hf:gpt2", {"n_embd": 32, "n_head": 2, "n_layer": 1}, {"n_embd": 64, "n_head": 4},
         {"n_embd": 128, "n_head": 8}, {"n_inner": 512}),
        ("hf:gpt2", {"n_embd": 32, "n_head": 2, "n_layer": 1, "n_inner": 96}, None, {"n_embd": 64, "n_head": 4},
         {"n_inner": 96}),
        ("hf:llama", {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48, "num_hidden_layers": 1},
         None, {"hidden_size": 128, "num_attention_heads": 8}, {"num_key_value_heads": 8, "head_dim": 16}),
        ("hf:llama", {"hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 48,
                      "num_hidden_layers": 1},
         None, {"hidden_size": 128, "num_attention_heads": 8}, {"num_key_value_heads": 1}),
    ],
)  # fmt: skip
def test_sizes_that_nobody_named_follow_the_familys_own_rule(word, proxy, delta, target, wanted):
    """As the family's configuration of the target would have them; what was named otherwise stays."""
    transformers = pytest.importorskip("transformers")
    found = MuPlan.infer(word, proxy={"vocab_size": 32, **proxy}, delta=delta, target=target)
    assert {name: found.target[name] for name in wanted} == wanted
    assert MuPlan.infer(word, proxy={"vocab_size": 32, **proxy}, delta=delta).for_target(target) == found
    own = transformers.AutoConfig.for_model(word[3:], **{**proxy, **target})
    for name, value in wanted.items():
        assert (getattr(own, name) or 4 * own.n_embd) == value
    assert not [d for d in mu.inspect(found) if d.level == "error"]


def test_roles_of_plain_nets_and_unequal_widths():
    """Width times 4, inner times 2: `second` has m_in 4 and m_out 2, `third` the reverse."""
    rows = of("mlp").rows
    found = {n: (r.role, r.m_in, r.m_out) for n, r in rows.items()}
    assert found == {
        "first.weight": ("input", 1, 4),
        "first.bias": ("input", 1, 4),
        "second.weight": ("hidden", 4, 2),
        "second.bias": ("input", 1, 2),
        "third.weight": ("hidden", 2, 4),
        "readout.weight": ("readout", 4, 1),
        "readout.bias": ("scalar", 1, 1),
        "gain": ("scalar", 1, 1),
    }
    residual = of("residual").rows
    assert {n: r.role for n, r in residual.items() if r.kind == "weight"} == {
        "stem.weight": "input", "conv1.weight": "hidden", "conv2.weight": "hidden", "short.weight": "hidden",
        "readout.weight": "readout",
    }  # fmt: skip


def test_starts_are_the_rules_behind_the_numbers():
    """torch's own start 1/sqrt(3 fan_in) is recognised: at four times the width std is what torch would draw there."""
    rows = of("mlp").rows
    assert rows["second.weight"].sigma == pytest.approx((3 * 8) ** -0.5, rel=1e-12)
    assert rows["second.weight"].value == pytest.approx((3 * 32) ** -0.5)
    assert rows["first.weight"].value == pytest.approx((3 * 5) ** -0.5, rel=1e-12)
    built = of("mlp").build(seed=0)
    assert built.second.bias.abs().max() == 0
    assert built.gain.item() == 1.0


# -- C4: parity with the package --


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("model", list(MODELS))
def test_groups_equal_those_of_the_mup_package(model, kind):
    """Rates and decays, tensor by tensor, to 1e-12; decay inside Adam's gradient is the documented exception."""
    found = of(model)
    built = found.build()
    groups = found.param_groups(built, lr=0.01, weight_decay=0.1, optimiser=kind, decay_vectors=True)
    ours = {name: (g["lr"], g["weight_decay"]) for g in groups for name in g["names"]}
    theirs = RECORDED[model][kind]
    trained = {name for name, p in built.named_parameters() if p.requires_grad}
    assert ours.keys() == theirs.keys() & trained == trained
    for name in trained:
        assert ours[name][0] == pytest.approx(theirs[name][0], rel=1e-12), name
        if kind != "adam":
            assert ours[name][1] == pytest.approx(theirs[name][1], rel=1e-12), name
        elif found.rows[name].role == "hidden":  # the package: m_in; corrected: m_in / m_out
            assert theirs[name][1] / ours[name][1] == pytest.approx(found.rows[name].m_out, rel=1e-12), name


@pytest.mark.slow
def test_groups_equal_those_of_the_installed_mup_package():
    pytest.importorskip("mup")
    from record_mup import record

    assert record() == RECORDED


@pytest.mark.parametrize("kind", ["Adam", "RMSprop", "Adagrad"])
def test_torchs_own_optimisers_that_add_decay_to_the_gradient_have_the_coupled_row(kind):
    """What makes them coupled: decay is divided with the gradient, so that a step of decay alone forgets its size."""

    def step(decay):
        weight = torch.nn.Parameter(torch.ones(3))
        optimiser = getattr(torch.optim, kind)([weight], lr=0.01, weight_decay=decay)
        weight.grad = torch.zeros(3)
        optimiser.step()
        return weight.detach() - 1

    assert torch.allclose(step(0.1), step(0.4), rtol=1e-4)
    name = "model.layers.0.mlp.up_proj.weight"
    assert plan().factors(name, optimiser=kind.lower()).weight_decay == 1  # m_in / m_out, not m_in
    assert plan().factors(name).weight_decay == 4


# -- C2: base equality; C3: theta scaling --


@pytest.mark.parametrize(
    "sizes", [{}, {"tied": True}, {"norm": "layer", "positions": "learned", "bias": True, "mlp": "gelu"}]
)
def test_at_the_proxys_size_nothing_changes_bit_by_bit(sizes):
    found = MuPlan.infer("refgpt", proxy={**PROXY, **sizes, "gains": "trainable"}, options=Options(alpha_out=2.0))
    assert mu.check_base(found, BATCHES, lr=1e-2) == []


def test_the_two_forms_of_the_readout_train_alike():
    """Multiplier 1/m, std s, rate r, epsilon e is multiplier 1, std s/m, rate r/m, epsilon e m: ten steps of Adam."""
    torch.manual_seed(0)
    m, width = 4.0, 24
    a = torch.nn.Linear(width, 5, bias=False).double()
    b = copy.deepcopy(a)
    with torch.no_grad():
        b.weight /= m
    x, y = torch.randn(10, 7, width, dtype=torch.float64), torch.randint(0, 5, (10, 7))
    optimisers = (
        torch.optim.Adam(a.parameters(), lr=0.01, eps=1e-3 / m),
        torch.optim.Adam(b.parameters(), lr=0.01 / m, eps=1e-3),
    )
    for i in range(10):
        for net, number, optimiser in ((a, 1 / m, optimisers[0]), (b, 1.0, optimisers[1])):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(x[i] * number), y[i]).backward()
            optimiser.step()
    assert ((a.weight / m - b.weight).abs() / b.weight.abs()).max() < 1e-9


# -- C18: nothing is lost on the way --


def test_multipliers_survive_copies_files_and_compile(tmp_path):
    found = plan(options=Options(zero_readout=False, alpha_in=3.0))
    model = found.build(seed=1)
    batch = BATCHES(0)
    wanted = float(next_token(model, batch).detach())
    assert float(next_token(copy.deepcopy(model), batch)) == wanted
    assert float(next_token(pickle.loads(pickle.dumps(model)), batch)) == wanted
    save(tmp_path / "c", model, extra={"plan": found.data()})
    stored = read(tmp_path / "c")
    again = MuPlan.of(stored.state["extra"]["plan"])
    assert again == found
    fresh = again.build(seed=2)
    load_weights(fresh, stored.weights())
    assert float(next_token(fresh, batch)) == wanted
    assert mu.audit_model(again, fresh) == []
    meta = found.build(device="meta")
    groups = found.param_groups(meta, lr=1.0)
    assert [g["lr"] for g in groups] == [g["lr"] for g in found.param_groups(model, lr=1.0)]
    assert meta.lm_head.multiplier == 1 / 4
    compiled = torch.compile(model, backend="aot_eager")
    assert float(next_token(compiled, batch)) == pytest.approx(wanted, abs=1e-6)
    plain = RefGPT(RefConfig.of(dict(found.target)))
    load_weights(plain, stored.weights())
    assert float(next_token(plain, batch)) != pytest.approx(wanted, abs=1e-3)  # the multipliers do matter


def test_modules_of_other_libraries_are_found_again():
    pytest.importorskip("transformers")
    proxy = {"vocab_size": 16, "n_embd": 16, "n_head": 2, "n_layer": 1, "n_positions": 8}
    found = MuPlan.infer("hf:gpt2", proxy=proxy, target={"n_layer": 2}, options=Options(depth="completep"))
    model = found.build().eval()
    assert {n: v for n, (v, _) in found.multipliers.items() if "c_proj" in n} == {
        f"transformer.h.{i}.{part}.c_proj": 0.5 for i in (0, 1) for part in ("attn", "mlp")
    }
    ids = torch.arange(8)[None]
    code = pickle.dumps(model)
    assert torch.equal(pickle.loads(code)(ids).logits, model(ids).logits)


# -- builds --


def test_a_build_depends_on_the_seed_and_nothing_else():
    found = plan()
    torch.manual_seed(1)
    a = found.build(seed=3)
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    b, c = found.build(seed=3), found.build(seed=4)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.model.embed_tokens.weight, c.model.embed_tokens.weight)
    q = a.model.layers[0].self_attn.q_proj.weight
    assert float(q.std()) == pytest.approx(0.01, rel=0.02)


def test_layers_are_like_the_proxys_and_branches_shrink():
    found = plan({"layers": 8, "d_model": 64}, options=Options(depth="completep"))
    rows = [found.rows[f"model.layers.{i}.mlp.up_proj.weight"] for i in range(8)]
    assert [row.template.split(".")[2] for row in rows] == list("00001111")
    assert {row.depth for row in rows} == {4.0}
    assert found.multipliers["model.layers.7.mlp.down_proj"] == (0.25, "after")
    half = plan({"layers": 8}, options=Options(depth="depth-mup"))
    assert half.multipliers["model.layers.0.self_attn.o_proj"] == (0.5, "after")
    assert any(d.id == "MU09" and "depth" in d.words for d in mu.inspect(plan({"layers": 4})))


def test_wider_heads_change_the_scale_of_attention():
    """sqrt(d_base) / d: heads of 8 to 32 at scale 1/sqrt(8) gives sqrt(8)/32."""
    delta = {**PROXY, "d_model": 64, "d_ff": 144, "d_head": 16}
    found = MuPlan.infer(
        "refgpt", proxy=PROXY, delta=delta, target={**PROXY, "d_model": 128, "d_ff": 192, "d_head": 32}
    )
    attribute, value = found.scales["model.layers.0.self_attn"]
    assert (attribute, value) == ("scale", pytest.approx(8**0.5 / 32))
    model = found.build()
    model.model.layers[1].self_attn.scale = 32**-0.5
    [one] = [d for d in mu.audit_model(found, model) if d.id == "MU07"]
    assert one.where == "model.layers.1.self_attn"
    kept = plan().build()
    kept.model.layers[0].self_attn.scale = 0.5
    assert [d.id for d in mu.audit_model(plan(), kept) if d.level == "error"] == ["MU07"]


# -- diagnostics --


def test_mu01_a_forgotten_inner_width():
    delta = {**PROXY, "d_model": 64, "heads": 8, "kv_heads": 4, "d_head": 8}
    found = MuPlan.infer("refgpt", proxy=PROXY, delta=delta)
    assert {d.where.split(".")[-2] for d in mu.inspect(found) if d.id == "MU01"} == {"up_proj", "gate_proj"}
    with pytest.raises(ArgumentError, match=r"MU01 error: .*a size is forgotten in the delta"):
        mu.validate(found)


def test_mu11_a_fixed_number_of_key_heads():
    """std sigma/m and rate eta/m, and no multiplier."""
    delta = {**PROXY, "d_model": 64, "heads": 8, "d_ff": 144, "d_head": 8}
    found = MuPlan.infer(
        "refgpt", proxy=PROXY, delta=delta, target={**PROXY, "d_model": 128, "heads": 16, "d_ff": 192, "d_head": 8}
    )
    k = found.rows["model.layers.0.self_attn.k_proj.weight"]
    assert (k.role, k.value) == ("bottleneck", 0.02 / 4)
    assert found.factors(k.name).lr == 1 / 4
    assert "model.layers.0.self_attn.k_proj" not in found.multipliers
    assert {d.where.split(".")[-2] for d in mu.inspect(found) if d.id == "MU11"} == {"k_proj", "v_proj"}


def test_mu02_a_readout_without_its_number():
    found = plan()
    bare = RefGPT(RefConfig.of(dict(found.target)))
    assert [d.where for d in mu.audit_model(found, bare) if d.id == "MU02"] == ["lm_head"]
    named = plan(overrides={"lm_head": "hidden"})
    assert [d.where for d in mu.inspect(named) if d.id == "MU02"] == ["lm_head.weight"]


def test_mu04_groups_and_schedules():
    found = plan()
    model = found.build()
    own = {"lr": 0.01, "weight_decay": 0.1}
    optimiser = torch.optim.AdamW(found.param_groups(model, **own))
    assert mu.audit_groups(found, model, optimiser, **own) == []
    for group in optimiser.param_groups:
        group["lr"] *= 0.3
    assert mu.audit_groups(found, model, optimiser, **own) == []
    for group in optimiser.param_groups:
        group["lr"] = 0.005
    wrong = mu.audit_groups(found, model, optimiser, **own)
    assert wrong
    assert "Schedules must multiply" in wrong[0].words
    plain = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], **own)
    assert {d.words.split()[0] for d in mu.audit_groups(found, model, plain, **own)} >= {"weight_decay", "eps", "its"}
    groups = found.param_groups(model, **own)
    groups[0]["params"] = groups[0]["params"][1:]
    assert "is in 0 groups" in mu.audit_groups(found, model, groups, **own)[0].words


def test_mu05_trained_values_stay():
    found = plan()
    model = found.build()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(3)
    before = model.model.layers[0].mlp.up_proj.weight.clone()
    found.apply(found.apply(model))
    assert torch.equal(before, model.model.layers[0].mlp.up_proj.weight)
    assert [(d.id, d.level) for d in mu.audit_model(found, model)] == [("MU05", "note")]
    assert model.lm_head.multiplier == 1 / 4


def test_mu06_tied_tensors_share_a_row():
    found = MuPlan.infer("refgpt", proxy={**PROXY, "tied": True}, target={"d_model": 128})
    table = found.rows["model.embed_tokens.weight"]
    assert (table.role, table.aliases, table.value) == ("input", ("lm_head.weight",), 0.02)
    assert found.multipliers == {"lm_head": (0.25, "before")}
    assert [d.id for d in mu.inspect(found)] == ["MU06"]


def test_mu08_and_mu09_are_noted():
    pytest.importorskip("transformers")
    proxy = {"vocab_size": 16, "n_embd": 16, "n_head": 2, "n_layer": 1, "n_positions": 8}
    found = MuPlan.infer("hf:gpt2", proxy=proxy, options=Options(zero_query=True))
    ids = {(d.id, d.level) for d in mu.inspect(found)}
    assert {("MU08", "warning"), ("MU09", "note")} <= ids
    zero = plan(options=Options(zero_query=True)).build()
    assert zero.model.layers[0].self_attn.q_proj.weight.abs().max() == 0


def test_mu10_hyperparameters_of_another_proxy():
    found = plan()
    assert found.fingerprint == plan({"d_model": 64}).fingerprint
    other = MuPlan.infer("refgpt", proxy={**PROXY, "context": 8, "init_std": 0.05})
    assert mu.check_fingerprint(found, found.fingerprint) == []
    with pytest.raises(ArgumentError, match="MU10: hyperparameters were tuned at proxy"):
        mu.check_fingerprint(found, other.fingerprint)
    [one] = mu.check_fingerprint(found, other.fingerprint, reason="same width")
    assert one.words.endswith("because: same width")


# -- bad input --


def test_a_plan_of_another_model_is_refused():
    found = plan()
    with pytest.raises(ArgumentError, match="has shape"):
        found.apply(RefGPT(RefConfig.of(PROXY)))
    with pytest.raises(ArgumentError, match="tied and untied readouts differ"):
        found.apply(RefGPT(RefConfig.of({**found.target, "tied": True})))


def test_a_dimension_that_the_delta_left_alone_may_not_grow():
    with pytest.raises(ArgumentError, match=r"dimension 0 of 'model.embed_tokens.weight' is 64 and 32 in the proxy"):
        plan({"vocabulary": 64})
    with pytest.raises(ArgumentError, match="equal to the proxy in every tensor"):
        MuPlan.infer(Mlp, proxy={"width": 8}, delta={})
    with pytest.raises(ArgumentError, match="delta: missing"):
        MuPlan.infer(Mlp, proxy={"width": 8})


class Odd(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.table = torch.nn.Parameter(torch.zeros(width, width))


def test_a_role_that_cannot_be_told_is_asked_for():
    with pytest.raises(ArgumentError, match="Name its role: overrides="):
        MuPlan.infer(Odd, proxy={"width": 4}, delta={"width": 8})


def test_files(tmp_path):
    found = plan({"layers": 4}, options=Options(depth="completep"))
    found.save(tmp_path / "plan.json")
    assert MuPlan.load(tmp_path / "plan.json") == found
    content = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "new.json").write_text(json.dumps({**content, "schema": 9}))
    with pytest.raises(SchemaError, match="schema up to 1"):
        MuPlan.load(tmp_path / "new.json")
    (tmp_path / "no.json").write_text("{")
    with pytest.raises(SchemaError, match="a plan that"):
        MuPlan.load(tmp_path / "no.json")


def test_standard_parametrisation_is_the_control():
    control = replace(plan().options, parametrization="standard")
    found = plan().for_target({"d_model": 128}, options=control)
    model = found.build(seed=0)
    assert type(model.lm_head) is torch.nn.Linear
    assert {g["lr"] for g in found.param_groups(model, lr=1.0)} == {1.0}
    assert float(model.model.layers[0].mlp.up_proj.weight.std()) == pytest.approx(0.02, rel=0.03)
