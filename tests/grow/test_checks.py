"""What is looked at before a run, a sweep or a check: the plan, the model's positions, no view of later tokens."""

import sys

import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from luthier.base.errors import ArgumentError  # noqa: E402
from luthier.cli import main  # noqa: E402
from luthier.grow import Growth, Hyper, MuPlan, coordinate_check, grow, run, sweep, tune  # noqa: E402
from luthier.grow._checks import check_model  # noqa: E402
from luthier.grow.runs import count  # noqa: E402
from luthier.nets import Batches, synthetic  # noqa: E402
from luthier.nets.checkpoints import save  # noqa: E402
from luthier.space.domains import Float  # noqa: E402
from luthier.space.space import Space  # noqa: E402

nn = torch.nn
TEXT, HELD_OUT = synthetic(4000, vocabulary=32).split(0.2)
USUAL = Hyper(lr=0.01, batch=2, length=8)
SIZES = {
    "vocab_size": 32, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
    "max_position_embeddings": 64,
}  # fmt: skip
GPT2 = {"vocab_size": 32, "n_embd": 32, "n_head": 2, "n_layer": 1, "n_positions": 64, "bos_token_id": 0,
        "eos_token_id": 0}  # fmt: skip
REF = {"vocabulary": 32, "d_model": 16, "heads": 1, "kv_heads": 1, "d_ff": 32, "layers": 1, "context": 16}


class Own(nn.Module):
    """Embedding, a mean over what came before, a map, a readout."""

    def __init__(self, d, f):
        super().__init__()
        self.emb, self.up, self.down, self.out = (
            nn.Embedding(32, d), nn.Linear(d, f), nn.Linear(f, d), nn.Linear(d, 32, bias=False),
        )  # fmt: skip

    def forward(self, ids):
        x = self.emb(ids)
        x = x.cumsum(1) / torch.arange(1, ids.shape[1] + 1).view(1, -1, 1)
        return self.out(x + self.down(torch.relu(self.up(x))))


def own(d=8, f=16):
    return Own(d, f)


def luthier(*words):
    from unittest import mock

    with mock.patch.object(sys, "argv", ["luthier", *map(str, words)]), pytest.raises(SystemExit) as left:
        main()
    return left.value.code


@pytest.mark.parametrize("word", ["hf:bert", "hf:roberta"])
def test_a_model_that_sees_the_answer_is_not_trained_on_the_next_token(word, tmp_path):
    """A BERT of two layers went to a loss of 0.17 where a Llama of its size had 2.28."""
    plan = MuPlan.infer(word, proxy=SIZES)
    said = "later tokens change the logits before them.*Allowed: causal models"
    for length in (8, 60):
        with pytest.raises(ArgumentError, match=said):
            check_model(plan, 4, length)
    with pytest.raises(ArgumentError, match=said):
        run(plan, USUAL, TEXT, HELD_OUT, tokens=100)
    with pytest.raises(ArgumentError, match=said):
        sweep(plan, USUAL, TEXT, HELD_OUT, folder=tmp_path / "sweep", rates=[0.01], tokens=100)
    with pytest.raises(ArgumentError, match=said):
        tune(plan, Space(lr=Float(0.01, 0.1)), USUAL, TEXT, HELD_OUT, folder=tmp_path / "tune", trials=1, tokens=100)
    with pytest.raises(ArgumentError, match=said):
        coordinate_check(plan, Batches(TEXT, 2, 8), ratios=(1, 2, 4), steps=1, seeds=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("word", "proxy"),
    [("refgpt", REF), ("refgpt", {**REF, "positions": "learned"}), ("hf:gpt2", GPT2), ("hf:gpt_neox", SIZES),
     ("hf:llama", {**SIZES, "num_key_value_heads": 1}), ("hf:qwen3", {**SIZES, "num_key_value_heads": 1})],
)  # fmt: skip
def test_causal_models_pass_and_are_left_as_they_were(word, proxy):
    plan = MuPlan.infer(word, proxy=proxy)
    model = plan.build(seed=1).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    drawn = torch.get_rng_state()
    check_model(plan, 4, 16, model)
    assert model.training
    assert torch.equal(drawn, torch.get_rng_state())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.filterwarnings("ignore::luthier.base.errors.CostWarning")
def test_rows_that_are_longer_than_the_learned_positions(tmp_path, monkeypatch, capsys):
    plan = MuPlan.infer("refgpt", proxy={**REF, "positions": "learned"})
    for given in (64, 17):
        with pytest.raises(ArgumentError, match=rf"length={given}: the model has 16 learned positions"):
            run(plan, Hyper(lr=0.01, batch=2, length=given), TEXT, HELD_OUT, tokens=1000)
    run(plan, Hyper(lr=0.01, batch=2, length=16), TEXT, HELD_OUT, tokens=64)
    short = MuPlan.infer("hf:roberta", proxy={**SIZES, "max_position_embeddings": 34})  # two of them are padding's
    with pytest.raises(ArgumentError, match="length=33: the model has 32 learned positions"):
        check_model(short, 2, 33)
    monkeypatch.chdir(tmp_path)
    save("base", plan.build(), extra={"plan": plan.data()})
    assert luthier("grow", "expand", "base", "--target", "d_model=32,heads=2,kv_heads=2,d_ff=64", "--dry-run") == 0
    assert "nats per token" in capsys.readouterr().out


def test_a_plan_with_an_error_is_not_trained(tmp_path):
    """The delta forgot the inner width: its maps start at zero, and nothing is learned there."""
    wide = {"hidden_size": 64, "num_attention_heads": 4}
    plan = MuPlan.infer("hf:gpt_neox", proxy=SIZES, delta=wide, target=wide)
    with pytest.raises(ArgumentError, match="MU01 error"):
        run(plan, USUAL, TEXT, HELD_OUT, tokens=100)
    with pytest.raises(ArgumentError, match="MU01 error"):
        sweep(plan, USUAL, TEXT, HELD_OUT, folder=tmp_path / "sweep", rates=[0.01], tokens=100)
    source = plan.for_target(plan.proxy)
    with pytest.raises(ArgumentError, match="MU01 error"):
        grow(source.build(), source, plan, Growth())


def test_a_function_of_ones_own_is_swept_and_trained(tmp_path):
    plan = MuPlan.infer(own, proxy={"d": 8, "f": 16}, delta={"d": 16, "f": 48}, target={"d": 12, "f": 24})
    found = count(plan, 8)
    inner = 12 * 24 + 24 + 24 * 12 + 12
    assert (found.inner, found.total, found.flops_per_token) == (inner, inner + 2 * 32 * 12, 6 * (inner + 32 * 12))
    assert run(plan, USUAL, TEXT, HELD_OUT, tokens="1x")[0].step == inner // 16
    done = sweep(plan, USUAL, TEXT, HELD_OUT, folder=tmp_path / "sweep", rates=[0.01, 0.02], tokens=160)
    assert done.words.startswith("best rate")


def test_a_family_that_growth_does_not_know_is_counted():
    plan = MuPlan.infer("hf:granite", proxy={**SIZES, "num_key_value_heads": 2, "tie_word_embeddings": True})
    inner = 4 * 32 * 32 + 3 * 32 * 48 + 3 * 32
    assert count(plan, 8).inner == inner
    assert count(plan, 8).flops_per_token == 6 * (inner + 32 * 32)
