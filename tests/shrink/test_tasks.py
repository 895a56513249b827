"""Local data: tables and texts, split in four; what is wrong with a file is said."""

import gzip
import json

import numpy as np
import pytest
from _models import torch, transformers

from luthier.base.errors import ArgumentError
from luthier.shrink import Task, examples, read_data
from luthier.shrink.reading import classes_of, read_table


class Words:
    """A tokenizer of letters, as transformers' look."""

    pad_token_id = 0

    def __call__(self, *texts, truncation, max_length):
        ids = [1, *(ord(c) % 90 + 3 for text in texts for c in text)][:max_length]
        types = [0, *(i for i, text in enumerate(texts) for _ in text)][:max_length]
        return {"input_ids": ids, "token_type_ids": types}


ROWS = [{"a": f"row {i}", "b": "x" * (i % 5), "label": ["no", "yes"][i % 2]} for i in range(60)]


def test_a_table_is_split_in_four_parts_that_share_no_row():
    data = examples(ROWS, Words(), size=4, length=12)
    assert data.task.kind == "classification"
    assert data.task.labels == 2
    assert data.task.chance == 0.5
    sizes = [sum(len(b["labels"]) for b in part) for part in (data.search, data.select, data.test)]
    assert sizes == [6, 6, 6]

    def rows(batches):
        pairs = [pair for b in batches for pair in zip(b["input_ids"], b["attention_mask"], strict=True)]
        return {tuple(ids[mask.bool()].tolist()) for ids, mask in pairs}

    trained = rows([data.train(k) for k in range(11)])
    assert len(trained) == 42
    assert len(rows([data.train(k) for k in range(5)])) == 20  # an epoch has no row twice
    for part in (data.search, data.select, data.test):
        assert not rows(part) & trained
    one, two = data.train(3), data.train(3)
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert data.search[0]["token_type_ids"].max() == 1


def test_numbers_that_are_not_whole_make_a_regression():
    rows = [{"text": "abc", "score": i / 7} for i in range(40)]
    data = examples(rows, Words())
    assert data.task.kind == "regression"
    trained = [set(b["labels"].tolist()) for b in (data.train(k) for k in range(50))]
    assert data.task.centre == pytest.approx(np.mean(sorted(set.union(*trained))))  # of the training rows alone
    whole = [{**r, "score": int(r["score"])} for r in rows]
    assert examples(whole, Words()).task.kind == "classification"
    assert examples(whole, Words(), kind="regression").task.kind == "regression"


def test_texts_are_the_columns_of_several_words():
    beside = {"split": "train", "genre": "main-captions", "file": "images", "year": "2014"}  # as in STS-B
    rows = [{**beside, "sentence1": f"row {i}", "sentence2": "a row", "score": i / 7} for i in range(40)]
    assert examples(rows, Words()).about["texts"] == ["sentence1", "sentence2"]
    assert examples([{"a": "x", "b": f"y{i}", "label": i % 2} for i in range(40)], Words()).about["texts"] == ["a", "b"]
    three = [{**row, "comment": "not for this"} for row in rows]
    with pytest.raises(ArgumentError, match=r"3 columns hold texts: 'sentence1', 'sentence2', 'comment'. Name"):
        examples(three, Words())
    assert examples(three, Words(), texts=("sentence1", "comment")).about["texts"] == ["sentence1", "comment"]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_tables_are_read(tmp_path, kind):
    transformers.utils.logging.disable_progress_bar()
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"[PAD]": 0, "[UNK]": 1, "row": 2}
    made = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]").save_pretrained(tmp_path / "model")
    path = tmp_path / f"data.{kind}"
    mark = {"csv": ",", "tsv": "\t"}.get(kind)
    lines = [json.dumps(r) if mark is None else mark.join(r.values()) for r in ROWS]
    path.write_text("\n".join(([] if mark is None else [mark.join(ROWS[0])]) + lines))
    data = read_data(path, tmp_path / "model", size=4)
    assert data.about == {"rows": 60, "texts": ["a", "b"], "label": "label"}
    assert data.train(0)["input_ids"].max() == 2


def test_texts_are_read_with_and_without_compression(tmp_path):
    (tmp_path / "a.txt").write_text("abcdefghij" * 200)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"abcdefghij" * 200))
    one, two = (read_data(tmp_path / name, size=2, length=8) for name in ("a.txt", "a.txt.gz"))
    assert torch.equal(one.train(5)["input_ids"], two.train(5)["input_ids"])
    assert torch.equal(one.train(5)["input_ids"][:, 1:], one.train(5)["targets"][:, :-1])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("no.txt", None, "no such file"),
        ("empty.txt", "", "is empty"),
        ("short.txt", "abc", "tokens"),
        ("table.csv", "a,label\nx,1\n", "needs a tokenizer"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ArgumentError, match=words):
        read_data(tmp_path / name, length=16)


def test_few_rows_and_unknown_columns_are_refused():
    with pytest.raises(ArgumentError, match=r"data: 3 rows. Allowed: 20 or more"):
        examples(ROWS[:3], Words())
    with pytest.raises(ArgumentError, match=r"columns 'a', 'b', 'label'"):
        examples(ROWS, Words(), label="gold")


def test_scores_by_hand():
    class Says(torch.nn.Module):
        def __init__(self, logits):
            super().__init__()
            self.logits = logits

        def forward(self, **given):
            return self.logits

    told = {"input_ids": torch.zeros(4, 1), "labels": torch.tensor([0, 1, 1, 1])}
    said = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    found = Task("classification", 2).evaluate(Says(said), [told])
    assert found["accuracy"] == 0.75
    right, wrong = np.log(1 + np.exp(-1)), np.log(1 + np.e)
    assert found["loss"] == pytest.approx((3 * right + wrong) / 4)
    numbers = {"input_ids": torch.zeros(3, 1), "labels": torch.tensor([1.0, 2.0, 4.0])}
    found = Task("regression").evaluate(Says(torch.tensor([[1.0], [2.0], [3.0]])), [numbers])
    assert found["loss"] == pytest.approx(1 / 3)
    assert found["correlation"] == pytest.approx(np.corrcoef([1, 2, 4], [1, 2, 3])[0, 1])


def test_labels_that_are_numbers_are_in_the_order_of_numbers():
    rows = [{"text": f"row {i}", "label": str(i % 12)} for i in range(60)]
    data = examples(rows, Words(), size=4, length=12)
    assert data.task.names == tuple(str(i) for i in range(12))


@pytest.mark.parametrize(("label", "kind"), [("nan", ""), ("inf", "classification"), (float("nan"), "regression")])
def test_a_label_that_is_no_finite_number_is_refused(label, kind):
    rows = [{"text": f"row {i}", "label": i % 2} for i in range(40)]
    with pytest.raises(ArgumentError, match=f"1 of 41 labels are no finite numbers, such as {label!r}. Leave"):
        examples([*rows, {"text": "bad", "label": label}], Words(), size=4, length=12, kind=kind)


def test_words_are_no_labels_of_a_regression_and_may_look_like_numbers_among_words():
    rows = [{"text": f"row {i}", "label": ["inf", "sup"][i % 2]} for i in range(40)]
    assert examples(rows, Words(), size=4, length=12).task.names == ("inf", "sup")
    with pytest.raises(ArgumentError, match=r"40 of 40 labels are no finite numbers, such as 'inf'.*--kind"):
        examples(rows, Words(), size=4, length=12, kind="regression")


def test_a_classifiers_own_classes_keep_their_places(tmp_path):
    """A file with two of three classes, which the alphabet would put elsewhere."""
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "up", "1": "level", "2": "down"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert classes_of(tmp_path) == ("up", "level", "down")
    rows = [{"text": f"row {i}", "label": ["up", "down"][i % 2]} for i in range(40)]
    data = examples(rows, Words(), size=40, length=12, classes=classes_of(tmp_path))
    assert (data.task.labels, data.task.names, data.task.chance) == (3, ("up", "level", "down"), 0.5)
    told = {int(x) for b in (*data.search, *data.select, *data.test) for x in b["labels"]}
    assert told == {0, 2}
    others = examples(ROWS, Words(), size=4, length=12, classes=classes_of(tmp_path))
    assert others.task.names == ("no", "yes")
    (tmp_path / "config.json").write_text(json.dumps({**config, "id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    assert classes_of(tmp_path) == ("0", "1")
    del config["id2label"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert classes_of(tmp_path) == ("0", "1"), "two plain classes are not written down"
    numbers = [{"text": f"row {i}", "label": f"{i % 2}.0"} for i in range(40)]
    assert examples(numbers, Words(), size=4, length=12, classes=classes_of(tmp_path)).task.names == ("0", "1")
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    assert classes_of(tmp_path) == ()
    assert classes_of(None) == ()


def test_a_table_with_one_class_is_refused():
    rows = [{"text": f"row {i}", "label": "yes"} for i in range(40)]
    with pytest.raises(ArgumentError, match=r"all 40 labels are 'yes'\. Allowed: two or more that differ"):
        examples(rows, Words(), size=4, length=12)


def test_rows_are_filled_with_the_tokenizers_padding_or_the_models():
    class Bare(Words):
        pad_token_id = None

    class Three(Words):
        pad_token_id = 3

    def filled(tokenizer, **more):
        data = examples(ROWS, tokenizer, size=4, length=12, **more)
        batch = data.train(0)
        return data.task.pad, set(batch["input_ids"][batch["attention_mask"] == 0].tolist())

    assert filled(Three()) == (3, {3})
    assert filled(Three(), pad=9) == (3, {3})
    assert filled(Bare(), pad=9) == (9, {9})
    assert filled(Bare()) == (0, {0})


def test_a_text_without_tokens_counts_as_one():
    class Plain(Words):
        pad_token_id = 3

        def __call__(self, text, truncation, max_length):
            return {"input_ids": [ord(c) % 90 + 4 for c in text][:max_length]}

    rows = [{"text": "ab" * (i % 3), "label": i % 2} for i in range(40)]
    data = examples(rows, Plain(), texts="text", size=1, length=12)
    for batch in (*data.search, *data.select, *data.test, *(data.train(k) for k in range(20))):
        assert batch["input_ids"].numel() > 0
        assert int(batch["attention_mask"].sum()) > 0


def test_the_mark_at_the_beginning_of_a_file_is_no_part_of_a_columns_name(tmp_path):
    (tmp_path / "a.csv").write_text("label,text\n1,x\n", encoding="utf-8-sig")
    assert read_table(tmp_path / "a.csv") == [{"label": "1", "text": "x"}]


def test_a_text_has_no_kind(tmp_path):
    (tmp_path / "a.txt").write_text("abcdefghij" * 200)
    with pytest.raises(ArgumentError, match=r"kind='regression': .*a\.txt' is a text, without labels"):
        read_data(tmp_path / "a.txt", size=2, length=8, kind="regression")
