"""Acceptance checks 1 to 4: masked = sliced = extracted = reloaded, permutations change nothing, counts are exact."""

import json
import subprocess
import sys

import numpy as np
import pytest
from _models import FAMILIES, batch, model, torch, transformers

from luthier.base.errors import ArgumentError
from luthier.nets.families import layout
from luthier.shrink import CostModel, Order, SubNetSpec, SuperNet, extract, load, verify
from luthier.shrink._shell import names, takes
from luthier.shrink.supernet import cached, output

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

FAST = ("bert", "gpt2", "llama")
EVERY = [f if f in FAST else pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES]
ATTENTION = [pytest.param("eager", marks=pytest.mark.slow), "sdpa"]


def specs(sizes):
    """One specification for each axis."""
    g, q, u, e = sizes.groups, sizes.queries, sizes.inter, sizes.width
    whole = (g, q, u)
    return {
        "depth prefix": SubNetSpec.uniform(sizes, layers=[0, 1]),
        "depth subset": SubNetSpec.uniform(sizes, layers=[0, 2]),
        "no attention": SubNetSpec.of(e, [0, 1, 2], [whole, (0, 0, u), whole]),
        "no mlp": SubNetSpec.of(e, [0, 1, 2], [whole, (g, q, 0), whole]),
        "heads": SubNetSpec.of(e, [0, 1, 2], [(1, q, u), (2, q, u), whole]),
        "groups": SubNetSpec.uniform(sizes, groups=2),
        "some groups": SubNetSpec.uniform(sizes, groups=(0, 2)),
        "queries": SubNetSpec.uniform(sizes, queries=1),
        "inter": SubNetSpec.uniform(sizes, inter=16),
        "some inter": SubNetSpec.uniform(sizes, inter=(1, 5, 7)),
        "width": SubNetSpec.uniform(sizes, width=24),
    }


def random_spec(sizes, rng):
    layers = [i for i in range(sizes.depth) if rng.random() < 0.8] or [0]
    kept = [
        (
            int(rng.integers(0, sizes.groups + 1)),
            int(rng.integers(1, sizes.queries + 1)),
            int(rng.integers(0, sizes.inter + 1)),
        )
        for _ in layers
    ]
    kept[0] = (1, 1, max(1, kept[0][2]))
    return SubNetSpec.of(int(rng.integers(1, sizes.width + 1)), layers, kept)


@pytest.mark.parametrize("attention", ATTENTION)
@pytest.mark.parametrize("family", EVERY)
def test_masked_sliced_and_extracted_agree_on_every_axis(family, attention):
    net = SuperNet.from_model(model(family, attn_implementation=attention))
    batches = [batch(family, padding="right"), batch(family, seed=1, length=1)]
    for axis, spec in specs(net.sizes).items():
        with net.active(spec) as child, torch.no_grad():
            cut = output(child(**batches[0]))
        with torch.no_grad():
            assert float((cut - output(net.model(**batches[0]))).abs().max()) > 1e-3 or spec == net.full, axis
        parity = verify(net, spec, extract(net, spec).model, batches)
        assert parity.masked <= 1e-5, axis
        assert parity.extracted <= 1e-6, axis
    drawn_agree(net, 4, batches)


def drawn_agree(net, number, batches):
    rng = np.random.default_rng(0)
    for _ in range(number):
        spec = random_spec(net.sizes, rng)
        verify(net, spec, extract(net, spec).model, batches)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_all_axes_together_agree(family):
    """Twenty at random; with padding on either side, and seventeen tokens."""
    net = SuperNet.from_model(model(family))
    sides = [batch(family, padding="right", length=17), batch(family, padding="left", length=17)]
    drawn_agree(net, 20, [*sides, batch(family, length=2)])


@pytest.mark.parametrize("family", EVERY)
def test_other_heads_agree_too(family):
    encoder = family in ("bert", "roberta", "distilbert")
    heads = ("ForSequenceClassification", "Model", "ForMaskedLM") if encoder else ("ForSequenceClassification", "Model")
    for head in heads:
        net = SuperNet.from_model(model(family, head, **({} if encoder else {"pad_token_id": 0})))
        spec = SubNetSpec.of(32, [0, 2], [(2, 1, 8), (1, 1, 24)])
        verify(net, spec, extract(net, spec).model, [batch(family, padding="right")])


@pytest.mark.parametrize("family", EVERY)
def test_permuting_changes_nothing(family):
    net = SuperNet.from_model(model(family))
    rng = np.random.default_rng(3)
    s = net.sizes

    def mixed(n):
        return tuple(int(i) for i in rng.permutation(n))

    def draw():
        return Order(
            mixed(s.width),
            tuple(mixed(s.groups) for _ in range(s.depth)),
            tuple(tuple(mixed(s.queries) for _ in range(s.groups)) for _ in range(s.depth)),
            tuple(mixed(s.inter) for _ in range(s.depth)),
        )

    batches = [batch(family, seed=k) for k in range(8)]
    start = {name: p.detach().clone() for name, p in net.model.named_parameters()}
    with torch.no_grad():
        before = [output(net.model(**b)) for b in batches]
    first, second = draw(), draw()
    net.permute_(first, batches[:2]).permute_(second, batches[:2])
    with torch.no_grad():
        after = [output(net.model(**b)) for b in batches]
    for old, new in zip(before, after, strict=True):
        assert float((old - new).abs().max()) <= 1e-5 * float(old.abs().max())
    assert any(not torch.equal(start[name], p) for name, p in net.model.named_parameters())
    assert net.order == second.after(first)
    net.permute_(net.order.inverse())
    for name, p in net.model.named_parameters():
        assert torch.equal(start[name], p), name


def test_a_wrong_order_of_heads_is_seen():
    """Rows of an interleaved matrix taken as blocks change the output: the check would notice."""
    net = SuperNet.from_model(model("gpt_neox"))
    from dataclasses import replace

    from luthier.nets.families import Layout
    from luthier.nets.families.gpt_neox import FAMILY

    wrong = replace(FAMILY, attention={**FAMILY.attention, "attention.query_key_value": "linear blocked width"})
    entries = {
        n: replace(e, dims=tuple("blocked" if d == "interleaved" else d for d in e.dims))
        for n, e in net.layout.entries.items()
    }
    net.layout = Layout(wrong, net.sizes, entries, net.layout.trunk)
    order = Order.identity(net.sizes)
    order = replace(order, groups=(tuple(reversed(order.groups[0])), *order.groups[1:]))
    before = {name: p.detach().clone() for name, p in net.model.named_parameters()}
    with pytest.raises(ArgumentError, match="changed its output"):
        net.permute_(order, [batch("gpt_neox")])
    for name, p in net.model.named_parameters():
        assert torch.equal(before[name], p)


@pytest.mark.parametrize("family", EVERY)
def test_counts_in_closed_form_are_those_of_the_extract(family):
    net = SuperNet.from_model(model(family))
    costs, rng = CostModel(net.layout), np.random.default_rng(5)
    exact_counts(net, costs, [random_spec(net.sizes, rng) for _ in range(20)])
    assert costs.cost(net.full).parameters == sum(p.numel() for p in net.model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_five_hundred_counts(family):
    net = SuperNet.from_model(model(family))
    rng = np.random.default_rng(6)
    exact_counts(net, CostModel(net.layout), [random_spec(net.sizes, rng) for _ in range(500)])


def exact_counts(net, costs, drawn):
    counted = costs.parameters(costs.arrays(drawn))
    for spec, number in zip(drawn, counted, strict=True):
        shell = net.shell(spec)
        seen = {(t.data_ptr(), t.shape): t.numel() for t in (shell.refresh(),) for t in _tensors(t)}
        assert sum(seen.values()) == number
    for spec, number in zip(drawn[:5], counted[:5], strict=True):
        assert extract(net, spec).parameters == number


def _tensors(module):
    return [t for m in module.modules() for t in m._parameters.values() if t is not None and t.numel()]


def test_parameters_counted_by_hand():
    """Llama, tied: tables 97 x 48; per layer q 48 x 48, k and v 48 x 24, o 48 x 48, three of 48 x 40, two norms."""
    costs = CostModel(layout(model("llama")))
    net = SuperNet.from_model(model("llama"))
    layer = 48 * 48 + 2 * 48 * 24 + 48 * 48 + 3 * 48 * 40 + 2 * 48
    assert costs.cost(net.full).parameters == 97 * 48 + 3 * layer + 48
    assert costs.cost(net.full).non_embedding == 3 * layer + 48
    # one group of two heads of 8, 16 neurons, width 32, one layer
    spec = SubNetSpec.uniform(net.sizes, width=32, layers=[1], groups=1, inter=16)
    small = 32 * 16 + 2 * 32 * 8 + 16 * 32 + 3 * 32 * 16 + 2 * 32
    assert costs.cost(spec).parameters == 97 * 32 + small + 32
    assert costs.cost(spec).cache_bytes == 2 * 8 * 4
    # per token: matrices, head, and two products of 16 x 10
    assert costs.cost(spec, tokens=10).macs == 32 * 16 + 2 * 32 * 8 + 16 * 32 + 3 * 32 * 16 + 97 * 32 + 2 * 16 * 10


@pytest.mark.parametrize("family", EVERY)
def test_flops_are_those_that_torch_counts(family):
    from torch.utils.flop_counter import FlopCounterMode

    net = SuperNet.from_model(model(family, "Model", attn_implementation="eager"))
    costs = CostModel(net.layout)
    for spec in (net.full, SubNetSpec.of(32, [0, 2], [(2, 1, 8), (1, 1, 24)])):
        child = extract(net, spec).model
        given = batch(family, rows=2, length=32)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            child(**given)
        assert counter.get_total_flops() == pytest.approx(2 * 32 * costs.cost(spec, tokens=32).flops, rel=0.01)


FRESH = """
import sys, json, torch, transformers
from safetensors.torch import load_file
transformers.utils.logging.disable_progress_bar()
for folder in json.loads(sys.argv[1]):
    given = load_file(folder + "/given.safetensors")
    kind = json.load(open(folder + "/config.json"))["architectures"][0]
    auto = "CausalLM" if kind.endswith(("LMHeadModel", "CausalLM")) else "SequenceClassification"
    model = getattr(transformers, "AutoModelFor" + auto).from_pretrained(folder).eval()
    with torch.no_grad():
        found = model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).logits
    assert float((found - given["logits"]).abs().max()) <= 1e-6, folder
    if "tokens" in given:
        out = model.generate(given["input_ids"][:1], max_new_tokens=32, min_new_tokens=32, do_sample=False)
        assert torch.equal(out, given["tokens"]), folder
print("fine")
"""


def fresh(tmp_path, families):
    from safetensors.torch import save_file

    folders = []
    for family in families:
        net = SuperNet.from_model(model(family))
        q = net.sizes.queries
        spec = SubNetSpec.uniform(net.sizes, width=2 * q * 8, layers=[0, 2], groups=2, inter=24)
        child = extract(net, spec, format="hf-stock")
        folder = child.save(tmp_path / family)
        given = batch(family)
        with torch.no_grad():
            given["logits"] = output(child.model(**given)).clone()
            if net.layout.family.causal:
                given["tokens"] = child.model.generate(
                    given["input_ids"][:1], max_new_tokens=32, min_new_tokens=32, do_sample=False
                )
        save_file(given, folder / "given.safetensors")
        folders.append(str(folder))
    done = subprocess.run(
        [sys.executable, "-c", FRESH, json.dumps(folders)], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.strip() == "fine", done.stderr


def test_stock_children_load_in_a_fresh_process(tmp_path):
    fresh(tmp_path, FAST)


@pytest.mark.slow
def test_stock_children_of_all_families_load_in_a_fresh_process(tmp_path):
    fresh(tmp_path, FAMILIES)


@pytest.mark.parametrize("family", EVERY)
def test_shapes_that_stock_classes_lack_are_refused_before_saving(family):
    net = SuperNet.from_model(model(family))
    s = net.sizes
    for spec in (
        SubNetSpec.of(s.width, [0, 1], [(1, 1, 8), (2, 1, 8)]),
        SubNetSpec.of(s.width, [0, 1], [(0, 0, 8), (0, 0, 8)]),
    ):
        with pytest.raises(ArgumentError, match="The nearest that can be") as caught:
            extract(net, spec, format="hf-stock")
        named = SubNetSpec.from_json("{" + str(caught.value).partition("({")[2].partition("})")[0] + "}")
        assert extract(net, named, format="hf-stock").format == "hf-stock"
    if net.layout.family.coupled:
        with pytest.raises(ArgumentError, match="head size = width / heads, which would be 48/"):
            extract(net, SubNetSpec.uniform(s, groups=1), format="hf-stock")


def test_llama_refuses_heads_that_do_not_divide_the_width():
    net = SuperNet.from_model(model("llama"))
    spec = SubNetSpec.uniform(net.sizes, width=40)
    with pytest.raises(ArgumentError, match="not a multiple of the number of attention heads"):
        extract(net, spec, format="hf-stock")
    assert extract(net, spec).format == "hf-custom"


@pytest.mark.parametrize("family", EVERY)
def test_custom_children_are_read_back(family, tmp_path):
    net = SuperNet.from_model(model(family))
    spec = SubNetSpec.of(32, [0, 2], [(2, 1, 8), (0, 0, 24)])
    child = extract(net, spec)
    assert child.format == "hf-custom"
    child.save(tmp_path)
    again, given = load(tmp_path), batch(family)
    with torch.no_grad():
        assert torch.equal(output(again(**given)), output(child.model(**given)))
    listed = json.loads((tmp_path / "config.json").read_text())["per_layer_config"]
    assert listed["1"]["skip"] == ["attention"]


@pytest.mark.parametrize("family", ["gpt2", "llama", *(pytest.param(f, marks=pytest.mark.slow) for f in FAMILIES[4:])])
def test_token_by_token_decoding_equals_one_pass(family):
    net = SuperNet.from_model(model(family))
    child = extract(net, SubNetSpec.of(32, [0, 2], [(2, 1, 8), (1, 1, 24)])).model
    given = batch(family, rows=2, length=9)["input_ids"]
    with torch.no_grad():
        whole = child(input_ids=given).logits
        more, rows = {"use_cache": True}, []
        for place in range(given.shape[1]):
            out = child(input_ids=given[:, place : place + 1], **more)
            more = cached(out)
            rows.append(out.logits)
    assert float((torch.cat(rows, 1) - whole).abs().max()) <= 1e-4


@pytest.mark.parametrize("family", EVERY)
def test_gradients_of_slices_are_those_of_the_extract(family):
    net = SuperNet.from_model(model(family))
    spec = SubNetSpec.of(32, [0, 2], [(2, 1, 8), (1, 1, 24)])
    child, given = extract(net, spec), batch(family)
    with net.active(spec) as sliced:
        output(sliced(**given)).square().sum().backward()
    output(child.model(**given)).square().sum().backward()
    whole = {name: p.grad for name, p in net.model.named_parameters()}
    own = {n: p.grad for n, p in child.model.named_parameters()}
    for name, parent in names(net.layout, spec).items():
        if name not in own or parent not in whole:
            continue
        entry = net.layout.entries[parent]
        grad = whole[parent]
        for dim, taken in takes(entry.dims, net.layout, spec, entry.layer):
            grad = grad.narrow(dim, 0, taken) if isinstance(taken, int) else grad.index_select(dim, taken)
        assert torch.allclose(grad, own[name], rtol=1e-5, atol=1e-5 * float(own[name].abs().max())), name
        assert float(whole[parent].square().sum()) == pytest.approx(float(grad.square().sum()), rel=1e-6), name
    for name, p in net.model.named_parameters():
        if name not in names(net.layout, spec).values():
            assert p.grad is None or float(p.grad.abs().max()) == 0, name


def test_two_threads_may_have_two_sub_networks_active():
    import threading

    net = SuperNet.from_model(model("llama"))
    given = batch("llama")
    chosen = [SubNetSpec.uniform(net.sizes, inter=8), SubNetSpec.uniform(net.sizes, layers=[0])]
    with torch.no_grad():
        alone = []
        for spec in chosen:
            with net.active(spec):
                alone.append(output(net(**given)))
    meet, found = threading.Barrier(2), [None, None]

    def work(i):
        with net.active(chosen[i]), torch.no_grad():
            meet.wait()
            found[i] = output(net(**given))
            meet.wait()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(torch.equal(a, b) for a, b in zip(alone, found, strict=True))
    with torch.no_grad():
        assert torch.equal(output(net(**given)), output(net.model(**given)))


def test_prefixes_are_views():
    net = SuperNet.from_model(model("llama"))
    with net.active(SubNetSpec.uniform(net.sizes, groups=2, inter=8, width=32)) as child:
        own = child.model.layers[1]
        whole = net.model.model.layers[1]
        for path in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"):
            a, b = own.get_submodule(path).weight, whole.get_submodule(path).weight
            assert a.data_ptr() == b.data_ptr()
            assert a.shape != b.shape


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_agrees_to_two_percent(family):
    net = SuperNet.from_model(model(family).bfloat16())
    given = batch(family, padding="right")
    for spec in (net.full, SubNetSpec.of(32, [0, 2], [(2, 1, 8), (1, 1, 24)])):
        child = extract(net, spec).model
        assert next(child.parameters()).dtype == torch.bfloat16
        with net.active(spec) as sliced, torch.no_grad():
            one, two = output(sliced(**given)).float(), output(child(**given)).float()
        assert float((one - two).abs().max()) <= 2e-2 * float(one.abs().max())
