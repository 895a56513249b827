"""What is not understood is refused, with words that say what to do."""

import pytest
from _models import batch, model, torch, transformers

from luthier.base.errors import ArgumentError
from luthier.nets.families import families, layout
from luthier.shrink import Order, ParityError, SubNetSpec, SuperNet, extract, verify


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
    from luthier.shrink.workspace import open_model

    model("bert").bert.save_pretrained(tmp_path / "encoder")
    found = open_model(tmp_path / "encoder", Task("regression", centre=2.5))
    assert found.classifier.bias.tolist() == [2.5]
    assert open_model(tmp_path / "encoder", Task("classification", 2)).classifier.bias.tolist() == [0.0, 0.0]
    with torch.no_grad():
        found.classifier.bias.fill_(1.0)
    found.save_pretrained(tmp_path / "trained")
    assert open_model(tmp_path / "trained", Task("regression", centre=2.5)).classifier.bias.tolist() == [1.0]
