"""What is not understood is refused, with words that say what to do."""

import pytest
from _models import batch, model, torch, transformers

from luthier.base.errors import ArgumentError
from luthier.nets.families import families, layout
from luthier.shrink import (
    Lora,
    Moments,
    Order,
    ParityError,
    SubNetSpec,
    SuperNet,
    extract,
    load,
    masked,
    rank_units,
    recover,
    verify,
)
from luthier.shrink.supernet import output


def test_nine_families_are_known():
    assert set(families()) >= {
        "bert",
        "roberta",
        "distilbert",
        "gpt2",
        "gpt_neox",
        "llama",
        "mistral",
        "qwen2",
        "qwen3",
    }


def test_an_unknown_family_is_named():
    config = transformers.OPTConfig(
        hidden_size=32, num_attention_heads=4, num_hidden_layers=1, ffn_dim=32, vocab_size=50, word_embed_proj_dim=32
    )
    with pytest.raises(ArgumentError, match="models of type 'opt' belong to no family that is known"):
        layout(transformers.OPTModel(config))


def test_a_parameter_that_is_not_matched_is_named():
    extra = model("llama")
    extra.model.layers[0].adapter = torch.nn.Linear(3, 3)
    with pytest.raises(ArgumentError, match=r"2 parameters could not be matched: model.layers.0.adapter.weight"):
        layout(extra)


def test_a_model_that_was_pruned_already_is_refused():
    pruned = model("bert")
    pruned.bert.encoder.layer[1].intermediate.dense.weight = torch.nn.Parameter(torch.zeros(7, 48))
    with pytest.raises(ArgumentError, match="Was it pruned already"):
        layout(pruned)


def test_a_specification_of_another_model_is_refused():
    net = SuperNet.from_model(model("bert"))
    for spec, what in (
        (SubNetSpec.of(64, [0], [(1, 1, 8)]), "width=64, the model has 48"),
        (SubNetSpec.of(48, [0, 7], [(1, 1, 8)] * 2), r"layers=\[0, 7\], the model has 3"),
        (SubNetSpec.of(48, [0], [(9, 1, 8)]), "layer 0: groups=9, the model has 6"),
        (SubNetSpec.of(48, [0], [(1, 1, (3, 99))]), "inter"),
        (SubNetSpec.of(48, [], []), "no layer is kept"),
    ):
        with pytest.raises(ArgumentError, match=what), net.active(spec):
            pass


def test_text_that_is_no_specification():
    with pytest.raises(ArgumentError, match="this is no specification of a sub-network"):
        SubNetSpec.from_json('{"width": 3}')


def test_equal_networks_have_equal_specifications():
    a = SubNetSpec.of(48, [0, 1, 2], [((0, 1), 1, 8), (0, 1, 0), (3, 1, (0, 1, 2))])
    b = SubNetSpec.of(48, [2, 0], [(3, 1, 3), (2, 1, 8)])
    assert a == b
    assert hash(a) == hash(b)
    assert SubNetSpec.from_json(a.to_json()) == a


def test_an_order_that_names_a_unit_twice_is_refused():
    net = SuperNet.from_model(model("bert"))
    order = Order.identity(net.sizes)
    wrong = Order((0, *order.width[:-1]), order.groups, order.queries, order.inter)
    with pytest.raises(ArgumentError, match=r"order: width\. Allowed: each of 0 to 47 once\."):
        net.permute_(wrong)


def test_a_child_that_was_changed_does_not_pass():
    net = SuperNet.from_model(model("bert"))
    spec = SubNetSpec.uniform(net.sizes, inter=8)
    child = extract(net, spec).model
    with torch.no_grad():
        child.classifier.bias.add_(1.0)
    with pytest.raises(ParityError, match="differs from its sub-network"):
        verify(net, spec, child, [batch("bert")])


@pytest.mark.parametrize("accelerator", [False, True])
def test_half_precision_becomes_single_where_a_run_trains(tmp_path, monkeypatch, accelerator):
    """Whatever the machine has beside its processor."""
    from luthier.shrink.workspace import open_model

    monkeypatch.setattr(torch.cuda, "is_available", lambda: accelerator)
    model("llama").half().save_pretrained(tmp_path)
    assert {p.dtype for p in open_model(tmp_path).parameters()} == {torch.float32}


def test_a_head_for_another_number_of_answers_is_replaced_with_a_word(tmp_path):
    from luthier.base.errors import LuthierWarning
    from luthier.shrink import Task
    from luthier.shrink.workspace import open_model

    model("bert", num_labels=3).save_pretrained(tmp_path)
    with pytest.warns(LuthierWarning, match="another number of answers than the 2 of the data"):
        found = open_model(tmp_path, Task("classification", 2, names=("no", "yes")))
    assert found.config.num_labels == found.classifier.out_features == 2
    with pytest.warns(LuthierWarning, match="than the 1 of the data"):
        assert open_model(tmp_path, Task("regression", centre=2.5)).classifier.bias.tolist() == [2.5]


def test_weights_of_other_sizes_than_the_configuration_are_no_new_head(tmp_path):
    from luthier.shrink import Task
    from luthier.shrink.workspace import open_model

    net = model("bert")
    net.config.intermediate_size += 8
    net.save_pretrained(tmp_path)
    with pytest.raises(ArgumentError, match=r"bert\.\S+ has another shape than config\.json says"):
        open_model(tmp_path, Task("classification", 2))


def test_a_new_head_of_a_regression_begins_at_the_mean_of_the_labels(tmp_path):
    from luthier.shrink import Task
    from luthier.shrink.workspace import open_model, scratch

    model("bert").bert.save_pretrained(tmp_path / "encoder")
    found = open_model(tmp_path / "encoder", Task("regression", centre=2.5))
    assert found.classifier.bias.tolist() == [2.5]
    assert open_model(tmp_path / "encoder", Task("classification", 2)).classifier.bias.tolist() == [0.0, 0.0]
    with torch.no_grad():
        found.classifier.bias.fill_(1.0)
    found.save_pretrained(tmp_path / "trained")
    assert open_model(tmp_path / "trained", Task("regression", centre=2.5)).classifier.bias.tolist() == [1.0]
    net = SuperNet.from_model(found)
    bare = scratch(net, SubNetSpec.uniform(net.sizes, inter=8), task=Task("regression", centre=2.5))
    assert bare.classifier.bias.tolist() == [2.5]  # the control begins where the others did


def test_a_child_that_computes_no_number_does_not_pass():
    net = SuperNet.from_model(model("llama"))
    spec = SubNetSpec.uniform(net.sizes, inter=8)
    child = extract(net, spec).model
    with torch.no_grad():
        child.lm_head.weight[0, 0] = float("nan")
    with pytest.raises(ParityError, match="sliced against extracted inf"):
        verify(net, spec, child, [batch("llama")])
    with pytest.raises(ArgumentError, match="batches: none, which would let everything pass"):
        verify(net, spec, child, [])


def test_a_model_that_computes_no_number_is_not_permuted():
    net = SuperNet.from_model(model("llama"))
    with torch.no_grad():
        net.model.lm_head.weight[0, 0] = float("nan")
    before = net.model.model.layers[0].mlp.up_proj.weight.detach().clone()
    with pytest.raises(ArgumentError, match="not finite before anything is permuted"):
        net.permute_(turned(net.sizes), [batch("llama")])
    assert torch.equal(net.model.model.layers[0].mlp.up_proj.weight, before)


def turned(sizes):
    """Everything the other way round."""

    def back(n):
        return tuple(reversed(range(n)))

    every = range(sizes.depth)
    queries = tuple((back(sizes.queries),) * sizes.groups for _ in every)
    return Order(back(sizes.width), (back(sizes.groups),) * sizes.depth, queries, (back(sizes.inter),) * sizes.depth)


def test_a_model_without_a_head_is_permuted_under_the_check():
    """It answers with the stream, whose channels move too."""
    net = SuperNet.from_model(model("bert", "Model"))
    given = batch("bert")
    with torch.no_grad():
        before = output(net.model(**given))
    order = turned(net.sizes)
    net.permute_(order, [given])
    with torch.no_grad():
        assert torch.allclose(output(net.model(**given)), before[..., list(order.width)], atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_held_to_its_own_rounding(dtype):
    net = SuperNet.from_model(model("qwen3", dtype=dtype).to(dtype))
    given = batch("qwen3", padding="right")
    net.permute_(turned(net.sizes), [given])
    spec = SubNetSpec.of(32, [0, 2], [(2, 1, 8), (1, 1, 24)])
    child = extract(net, spec).model
    assert verify(net, spec, child, [given]).tolerance == 2e-2
    with torch.no_grad():
        child.lm_head.weight[:, :8] = 0
    with pytest.raises(ParityError, match=r"at most 0\.02"):
        verify(net, spec, child, [given])


def test_a_stock_child_has_the_frequencies_of_its_parent():
    """Rotary frequencies stay in single precision in a model that is read in half; so they do in what is cut out."""
    whole = model("llama")
    for parameter in whole.parameters():
        parameter.data = parameter.data.bfloat16()
    net = SuperNet.from_model(whole)
    child = extract(net, SubNetSpec.uniform(net.sizes, inter=8), format="hf-stock").model
    assert {p.dtype for p in child.parameters()} == {torch.bfloat16}
    assert torch.equal(child.model.rotary_emb.inv_freq, whole.model.rotary_emb.inv_freq)
    assert child.model.rotary_emb.inv_freq.dtype == torch.float32
    assert child.lm_head.weight is child.model.embed_tokens.weight  # still tied


@pytest.mark.parametrize("kept", [{"inter": 8}, {"inter": 8, "groups": 2}], ids=["stock", "custom"])
def test_an_encoder_without_a_pooler_is_cut_saved_and_read(kept, tmp_path):
    whole = model("bert", "Model")
    whole.pooler = None  # what add_pooling_layer=False makes
    net, given = SuperNet.from_model(whole), batch("bert")
    spec = SubNetSpec.uniform(net.sizes, **kept)
    child = extract(net, spec)
    assert child.format == ("hf-custom" if "groups" in kept else "hf-stock")
    verify(net, spec, child.model, [given])
    again = load(child.save(tmp_path))
    assert sum(p.numel() for p in again.parameters()) == child.parameters
    with torch.no_grad():
        assert torch.equal(output(again(**given)), output(child.model(**given)))


@pytest.mark.parametrize(
    ("head", "has"), [("ForQuestionAnswering", "start_logits, end_logits"), ("ForPreTraining", "prediction_logits")]
)
def test_a_head_with_two_answers_is_refused(head, has):
    net = SuperNet.from_model(model("bert", head))
    with pytest.raises(ArgumentError, match=rf"the model answers with {has}.*Allowed: models that answer with logits"):
        net.permute_(Order.identity(net.sizes), [batch("bert")])


def test_a_layer_is_kept_once():
    net = SuperNet.from_model(model("bert"))
    for layers in ([0, 0], [1, 0]):
        spec = SubNetSpec(48, tuple(layers), SubNetSpec.uniform(net.sizes, layers=[0, 1]).per_layer)
        with pytest.raises(ArgumentError, match=r"layers=\[\d, 0\], each may be kept once, in ascending order"):
            extract(net, spec)


def test_adapters_refuse_what_would_leave_them_out():
    net = SuperNet.from_model(model("llama"))
    given = batch("llama")
    lora = Lora(net, rank=2)
    spec = SubNetSpec.uniform(net.sizes, inter=8)

    def by_masks():
        with masked(net, spec):
            pass

    for act in (
        lambda: extract(net, spec),
        lambda: net.permute_(Order.identity(net.sizes)),
        lambda: rank_units(net, method="random", layers="first"),
        lambda: recover(net, None, None),
        lambda: Moments(net),
        lambda: Lora(net),
        by_masks,
    ):
        with pytest.raises(ArgumentError, match=r"adapters are on.*merge\(\) or remove\(\) them first"):
            act()
    lora.remove()
    verify(net, spec, extract(net, spec).model, [given])


def test_the_whole_runs_with_its_adapters():
    net, given = SuperNet.from_model(model("llama")), batch("llama")
    lora = Lora(net, rank=2)
    with torch.no_grad():
        for factor in lora.left.values():
            factor.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
        on = output(net(**given))
        assert not torch.allclose(on, output(net.model(**given)), atol=1e-3)
        lora.merge()
        assert torch.allclose(on, output(net(**given)), atol=1e-4)


def test_a_sub_network_follows_its_model_to_another_place():
    """Buffers too: those of a shell are copies."""
    net = SuperNet.from_model(model("llama"))
    spec = SubNetSpec.uniform(net.sizes, inter=8)
    with net.active(spec):
        pass
    net.model.to("meta")
    with net.active(spec) as child:
        assert {t.device.type for t in (*child.parameters(), *child.buffers())} == {"meta"}
        with torch.no_grad():
            assert output(child(batch("llama")["input_ids"].to("meta"))).shape == (3, 11, 97)
