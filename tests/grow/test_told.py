"""Mistakes from Python are told before anything is trained, by the names that the caller used."""

import json

import pytest
import torch
from torch import nn

from luthier.base.errors import ArgumentError
from luthier.grow import Hyper, MuPlan, grow, run, sweep
from luthier.nets import Tokens, at_step, read_text, synthetic

PROXY = {"vocabulary": 32, "d_model": 16, "heads": 1, "kv_heads": 1, "d_ff": 32, "layers": 1, "context": 16}
USUAL = Hyper(lr=0.01, batch=2, length=8)
TEXT, HELD_OUT = synthetic(2000, vocabulary=32).split(0.2)


@pytest.fixture(scope="module")
def small():
    return MuPlan.infer("refgpt", proxy=PROXY)


def test_sizes_that_a_configuration_lacks():
    """transformers would keep its own in silence: a NeoX of twenty billion parameters."""
    with pytest.raises(ArgumentError, match=r"hf:gpt_neox has no 'hiden_size'\. Did you mean 'hidden_size'"):
        MuPlan.infer("hf:gpt_neox", proxy={"hiden_size": 32})
    sizes = {
        "vocab_size": 32,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    with pytest.raises(ArgumentError, match=r"no 'hiden_size'"):
        MuPlan.infer("hf:gpt_neox", proxy=sizes, target={"hiden_size": 32})


def test_models_that_are_none():
    with pytest.raises(ArgumentError, match=r"model: a Linear\. Allowed: .*a function of sizes"):
        MuPlan.infer(nn.Linear(2, 2), proxy={})


def test_texts(small, tmp_path):
    (tmp_path / "my text.txt").write_text("to be or not to be " * 40)
    assert len(read_text(tmp_path / "my text.txt")) == len(read_text(str(tmp_path / "my text.txt"))) == 760
    with pytest.raises(ArgumentError, match=r"nothere.txt.*no such file"):
        read_text([tmp_path / "my text.txt", tmp_path / "nothere.txt"])
    for wrong, said in (("nothere", "not there"), (tmp_path, "no tokenizer that transformers can read")):
        with pytest.raises(ArgumentError, match=said):
            read_text(tmp_path / "my text.txt", tokenizer=wrong)
    with pytest.raises(ArgumentError, match=r"text='my text.txt'\. Allowed: tokens, as luthier\.nets\.read_text gives"):
        run(small, USUAL, "my text.txt", HELD_OUT, tokens=100)
    with pytest.raises(ArgumentError, match=r"token 116, and the model has 32\. Allowed: a proxy with a vocab"):
        sweep(small, USUAL, read_text(tmp_path / "my text.txt"), HELD_OUT, folder=tmp_path / "s", rates=0.1)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [({"beta2": 2}, "beta2=2"), ({"warmup": 200}, "warmup=200"), ({"clip": 0}, "clip=0"), ({"eps": 0}, "eps=0")],
)
def test_hyperparameters_out_of_range(given, said):
    with pytest.raises(ArgumentError, match=said):
        Hyper(lr=0.1, **given)


def test_a_sweep_that_goes_on_with_something_else(small, tmp_path):
    """Another number of tokens is another study: what is there was not run with it."""
    more = {"folder": tmp_path / "sweep", "rates": [0.01]}
    found = sweep(small, USUAL, TEXT, HELD_OUT, tokens=48, **more)
    assert found.words.startswith("best rate 0.01")
    assert "octaves" not in found.words
    sweep(small, USUAL, TEXT, HELD_OUT, tokens=48, **more)
    with pytest.raises(ArgumentError, match=r"its runs had tokens=48, now it is 96\. Allowed: the same, or another"):
        sweep(small, USUAL, TEXT, HELD_OUT, tokens=96, **more)
    with pytest.raises(ArgumentError, match=r"its runs had beta2=0.95, now it is 0.9"):
        sweep(small, Hyper(lr=0.01, batch=2, length=8, beta2=0.9), TEXT, HELD_OUT, tokens=48, **more)
    with pytest.raises(ArgumentError, match=r"its runs had merge=0, now it is 2"):
        sweep(small, USUAL, TEXT, HELD_OUT, tokens=48, merge=2, **more)
    with pytest.raises(ArgumentError, match=r"its runs had another text \(--data, --tokenizer\)"):
        sweep(small, USUAL, HELD_OUT, TEXT, tokens=48, **more)
    place = tmp_path / "sweep" / "sweep.json"  # as an earlier release wrote it: what it did not say is not known
    place.write_text(json.dumps({k: v for k, v in json.loads(place.read_text()).items() if k not in ("merge", "text")}))
    assert sweep(small, USUAL, HELD_OUT, TEXT, tokens=48, merge=2, **more) == found
    assert "merge" not in json.loads(place.read_text())
    with pytest.raises(ArgumentError, match=r"rates=0\.0"):
        sweep(small, USUAL, TEXT, HELD_OUT, folder=tmp_path / "other", rates=[0.1, 0.0], tokens=48)


def test_tokens_by_the_parameter_and_a_ledger_by_its_file(small, tmp_path):
    history, model = run(
        small, USUAL, TEXT, HELD_OUT, tokens="0.05x", folder=tmp_path / "r", ledger=tmp_path / "l.jsonl"
    )
    assert (tmp_path / "l.jsonl").read_text().count("\n") == 1
    last = at_step(tmp_path / "r", history.records[-1]["step"])
    large = small.for_target({"d_ff": 48})
    one, other = (grow(source, small, large) for source in (model, last.weights()))
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
    assert isinstance(TEXT, Tokens)
