"""What a model cannot read or answer is told before anything is computed; a failed ranking leaves no hook behind."""

import pytest
import torch
from _models import batch, model

from luthier import shrink
from luthier.base.errors import ArgumentError
from luthier.nets.data import synthetic
from luthier.shrink._fits import check_fits
from luthier.shrink.tasks import examples, language
from luthier.shrink.workspace import open_model


def lm(length=16, vocabulary=40):
    return language(synthetic(3000, vocabulary=vocabulary), size=2, length=length)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ("gpt_neox", "a text"), r"data='a text'\. Allowed: what read_data"),
        (
            lambda: ("gpt_neox", lm(vocabulary=400)),
            r"token 399, and the model has 97\. Read the data with",
        ),
        (lambda: ("gpt_neox", lm(length=120)), r"length=120: the model has \d+ positions"),
        (
            lambda: ("bert", lm()),
            r"data: lm, and the model is a BertForSequenceClassification\. Allowed: a language",
        ),
    ],
    ids=["no data", "vocabulary", "positions", "head"],
)
def test_data_that_do_not_fit(make, said):
    family, data = make()
    net = shrink.SuperNet.from_model(model(family))
    space = shrink.preset(net.sizes, "small")
    with pytest.raises(ArgumentError, match=said):
        shrink.train(net, space, data, steps=1)
    with pytest.raises(ArgumentError, match=said):
        shrink.search(net, space, data, evals=1)
    with pytest.raises(ArgumentError, match=said):
        shrink.standard_search(net, space, data, evals=1)
    with pytest.raises(ArgumentError, match=said):
        shrink.finetune(net.model, data, steps=1)


def test_another_number_of_labels():
    net = shrink.SuperNet.from_model(model("bert"))
    given = {**batch("bert"), "labels": torch.tensor([0, 1, 2])}
    data = shrink.Data(shrink.Task("classification", 5), lambda k: given, [given], [given], [given])
    with pytest.raises(ArgumentError, match=r"data: 5 labels, and the model's head has 2\. Load it with num_labels=5"):
        shrink.train(net, shrink.preset(net.sizes, "small"), data, steps=1)


def test_a_ranking_that_fails_leaves_the_model_as_it_was():
    net = shrink.SuperNet.from_model(model("gpt_neox"))
    before = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.model.modules()]
    with pytest.raises(ArgumentError, match=r"Give some of it: data\.calibration\(\)"):
        shrink.rank_units(net, lm())
    with pytest.raises(KeyError):
        shrink.rank_units(net, [{"input_ids": torch.ones(1, 4, dtype=torch.long)}, {}])
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.model.modules()] == before


def test_what_is_no_model_size_or_point():
    with pytest.raises(ArgumentError, match=r"model='neox'\. Allowed: a model of transformers"):
        shrink.SuperNet.from_model("neox")
    net = shrink.SuperNet.from_model(model("gpt_neox"))
    with pytest.raises(ArgumentError, match=r"sizes: a SuperNet\. Allowed: .*net\.sizes"):
        shrink.preset(net, "small")
    with pytest.raises(ArgumentError, match=r"spec: a SuperNet\. Allowed: .*point\.spec"):
        shrink.extract(net, net)
    space = shrink.preset(net.sizes, "small")
    with pytest.raises(ArgumentError, match=r"Allowed: upper bounds by name"):
        shrink.search(net, space, lm(), constraints=["parameters<=100"])
    with pytest.raises(ArgumentError, match=r"by='eror'"):
        shrink.search(net, space, lm(), objectives="error", evals=2).select(max_params=1.0, by="eror")


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "broken.jsonl").write_text('{"text": "a", "label": 1}\n{"text": \n')
    (tmp_path / "model").mkdir()
    for file, folder, said in (
        ("nothere.txt", None, "no such file"),
        ("model", None, "a folder"),
        ("broken.jsonl", "nothere", "model_folder=.*no such folder"),
    ):
        with pytest.raises(ArgumentError, match=said):
            shrink.read_data(tmp_path / file, None if folder is None else tmp_path / folder)
    with pytest.raises(ArgumentError, match="Name the folder of a model with one"):
        shrink.read_data(tmp_path / "broken.jsonl")
    with pytest.raises(ArgumentError, match="Put one into the model's folder"):
        shrink.read_data(tmp_path / "broken.jsonl", tmp_path / "model")


class Letters:
    """A tokenizer of letters."""

    pad_token_id = 0

    def __call__(self, *texts, **more):
        return {"input_ids": [ord(c) % 90 for c in " ".join(texts)][: more["max_length"]]}


def test_a_row_without_a_label_is_told():
    rows = [{"line": f"word {i}", "kind": "ab"[i % 2]} for i in range(30)]
    rows[7]["kind"] = ""
    rows[9] = {"line": "no more"}
    with pytest.raises(ArgumentError, match=r"2 of 30 rows have no 'kind' \(rows 8, 10\)\. Leave them out"):
        examples(rows, Letters(), texts="line", label="kind")
    found = examples([r for r in rows if r.get("kind")], Letters(), texts="line", label="kind")
    assert found.task.labels == 2


class Words:
    """A tokenizer of letters whose padding is not the model's."""

    pad_token_id = 3

    def __call__(self, text, truncation, max_length):
        return {"input_ids": [ord(c) % 60 + 5 for c in text][:max_length]}


@pytest.mark.parametrize("family", ["mistral", "gpt2"])
def test_what_a_decoder_says_of_a_text_does_not_depend_on_its_batch(tmp_path, family):
    rows = [{"text": "ab c" * (i % 4), "label": i % 2} for i in range(40)]
    alone, among = (examples(rows, Words(), texts="text", size=n, length=12) for n in (1, 40))
    model(family).save_pretrained(tmp_path)
    net = open_model(tmp_path, among.task)
    assert net.config.pad_token_id == 3
    check_fits(net, among)
    [many] = among.test
    said = among.task.logits(net, many)
    for one, own in zip(alone.test, said, strict=True):
        assert torch.allclose(alone.task.logits(net, one)[0], own, atol=1e-5)
    net.config.pad_token_id = 0
    with pytest.raises(ArgumentError, match="filled with token 3, the model's pad_token_id is 0"):
        check_fits(net, among)


def test_an_encoder_keeps_its_own_padding(tmp_path):
    """It does not look for a row's last word, and RoBERTa counts its positions from that number on."""
    rows = [{"text": "ab c" * (i % 4), "label": i % 2} for i in range(40)]
    data = examples(rows, Words(), texts="text", size=8, length=12)
    model("roberta").save_pretrained(tmp_path)
    net = open_model(tmp_path, data.task)
    assert net.config.pad_token_id == 1
    check_fits(net, data)
