"""The one loop: resumed runs end bit for bit, schedules, generators of losses, checkpoints, data by number."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from luthier.base.errors import ArgumentError, SchemaError  # noqa: E402
from luthier.nets import (  # noqa: E402
    WSD,
    Batches,
    Constant,
    Recipe,
    RefConfig,
    RefGPT,
    Tokens,
    checkpoints,
    held_out_loss,
    next_token,
    python_library,
    read_text,
    synthetic,
    train,
)
from luthier.nets.checkpoints import load_weights, merge, read, save  # noqa: E402

SMALL = {"vocabulary": 64, "d_model": 32, "layers": 1, "heads": 2, "context": 16}
TEXT = synthetic(4000, vocabulary=64, seed=1)


def model(seed=0, **more):
    return RefGPT(RefConfig(**{**SMALL, **more}), seed=seed)


def adam(net, lr=1e-2):
    return torch.optim.AdamW(net.parameters(), lr=lr)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


# -- schedules --


def test_wsd_by_hand():
    """10 steps, 2 up, 3 down: 1/3, 2/3, then 1, then 3/4, 2/4, 1/4."""
    wsd = WSD(warmup=0.2, cooldown=0.3)
    factors = [wsd.factor(k, 10) for k in range(10)]
    assert factors == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 1, 3 / 4, 2 / 4, 1 / 4])
    assert wsd.cooldown_starts(10) == 7
    assert WSD(cooldown=0).factor(9, 10) == 1.0
    assert WSD(least_warmup=3).factor(0, 10) == pytest.approx(1 / 4)


@pytest.mark.parametrize("wrong", [{"warmup": -0.1}, {"cooldown": 1.1}, {"warmup": 0.6, "cooldown": 0.5}])
def test_a_schedule_refuses_what_overlaps(wrong):
    with pytest.raises(ArgumentError, match="Allowed"):
        WSD(**wrong)


# -- the loop --


def test_a_first_step_is_torchs_own_step():
    """One step of the loop (no clipping, no schedule) equals a step written out."""
    ours, theirs = model(), model()
    batches = Batches(TEXT, 4, 16)
    train(ours, batches, adam(ours), Recipe(steps=1, clip=None, schedule=Constant()))
    optimiser = adam(theirs)
    next_token(theirs, batches(0)).backward()
    optimiser.step()
    assert same(ours, theirs)


def test_accumulation_is_one_larger_batch():
    """Two batches of 4 give the gradient of one batch of 8."""
    ours, theirs = model().double(), model().double()
    batches = Batches(TEXT, 4, 16)

    def double(k):
        both = [batches(2 * k), batches(2 * k + 1)]
        return {name: torch.cat([b[name] for b in both]) for name in both[0]}

    sgd = [torch.optim.SGD(net.parameters(), lr=0.1) for net in (ours, theirs)]
    train(ours, batches, sgd[0], Recipe(steps=2, accumulate=2, clip=0.5))
    train(theirs, double, sgd[1], Recipe(steps=2, clip=0.5))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-7)


def test_a_generator_of_losses_adds_gradients_and_reports_the_first():
    ours, theirs = model(), model()
    batches = Batches(TEXT, 4, 16)

    def two(net, batch, moment):
        moment.notes["micro"] = moment.micro
        yield next_token(net, batch, moment)
        yield 0.5 * next_token(net, batch, moment)

    plain = train(theirs, batches, torch.optim.SGD(theirs.parameters(), lr=0.15), Recipe(steps=1, clip=None))
    found = train(ours, batches, torch.optim.SGD(ours.parameters(), lr=0.1), Recipe(steps=1, clip=None), loss=two)
    assert found.records[0]["loss"] == plain.records[0]["loss"]
    assert found.records[0]["micro"] == 0
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-7)


class Halt(Exception):
    pass


@pytest.mark.parametrize("stop", [3, 7, 10])
def test_a_resumed_run_ends_bit_for_bit(tmp_path, stop):
    """With dropout, random losses, accumulation and a checkpoint every 3 steps, killed at a step of any kind."""
    recipe = Recipe(steps=12, accumulate=2, save_every=3, log_every=5, evaluate_every=4, schedule=WSD(0.2, 0.3))
    batches = Batches(TEXT, 2, 16)

    def loss(net, batch, moment):
        return next_token(net, batch, moment) * (1 + moment.rng().random())

    def run(folder, halt=None):
        net = model(dropout=0.1)

        def data(k):
            if halt is not None and k == 2 * halt:
                raise Halt
            return batches(k)

        history = train(net, data, adam(net), recipe, loss=loss, folder=folder, evaluate=held_out_loss(batches, 1))
        return net, history

    whole, wanted = run(tmp_path / "whole")
    with pytest.raises(Halt):
        run(tmp_path / "cut", stop)
    resumed, found = run(tmp_path / "cut")
    assert same(whole, resumed)
    timeless = [{k: v for k, v in r.items() if k != "seconds"} for r in wanted.records]
    assert [{k: v for k, v in r.items() if k != "seconds"} for r in found.records] == timeless
    lines = (tmp_path / "cut" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [r["step"] for r in wanted.records]


def test_which_checkpoints_stay(tmp_path):
    """Those asked for, the one before the cooldown (8 of 10) and the last; of the others the newest two."""
    net = model()
    train(net, Batches(TEXT, 1, 16), adam(net), Recipe(steps=10, save_every=1, save_at=(2,)), folder=tmp_path)
    assert [int(p.name[5:]) for p in checkpoints.steps_in(tmp_path)] == [2, 7, 8, 9, 10]
    assert read(tmp_path).step == 10


def test_a_divergence_ends_the_run(tmp_path):
    net = model()

    def broken(net, batch, moment):
        return next_token(net, batch) * (float("nan") if moment.step == 2 else 1.0)

    history = train(net, Batches(TEXT, 1, 16), adam(net), Recipe(steps=9), loss=broken, folder=tmp_path)
    assert history.diverged
    assert history.step == 2
    assert history.last("loss") == float("inf")
    assert checkpoints.latest(tmp_path) is None


def test_any_loss_of_a_step_that_is_no_number_ends_the_run():
    """Also one that is not the first, in the last step."""
    net = model()

    def second(net, batch, moment):
        yield next_token(net, batch)
        yield next_token(net, batch) * (float("nan") if moment.step == 1 else 1.0)

    history = train(net, Batches(TEXT, 1, 16), adam(net), Recipe(steps=2), loss=second)
    assert history.diverged
    assert history.step == 1


def test_a_loss_function_may_say_what_is_reported():
    net = model()

    def weighed(net, batch, moment):
        moment.notes["loss"] = torch.tensor(3.0 + moment.micro)
        yield 0.25 * next_token(net, batch)

    history = train(net, Batches(TEXT, 1, 16), adam(net), Recipe(steps=1, accumulate=2), loss=weighed)
    assert history.last("loss") == 3.5


def test_global_draws_are_left_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    net = model(dropout=0.5)
    train(net, Batches(TEXT, 1, 16), adam(net), Recipe(steps=2))
    assert torch.equal(torch.rand(3), wanted)


def test_bfloat16_stays_near_and_keeps_float32_weights():
    net, wide = model(), model()
    batches = Batches(TEXT, 2, 16)
    low = train(net, batches, adam(net), Recipe(steps=3, precision="bfloat16", log_every=1))
    high = train(wide, batches, adam(wide), Recipe(steps=3, log_every=1))
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert low.last("loss") == pytest.approx(high.last("loss"), abs=0.05)
    assert low.last("loss") != high.last("loss")


# -- bad input --


def test_a_folder_of_another_recipe_is_refused(tmp_path):
    net = model()
    train(net, Batches(TEXT, 1, 16), adam(net), Recipe(steps=2), folder=tmp_path)
    with pytest.raises(ArgumentError) as caught:
        train(net, Batches(TEXT, 1, 16), adam(net), Recipe(steps=3), folder=tmp_path)
    assert str(caught.value) == (
        f"folder={str(tmp_path)!r}: holds a run with steps=2, this one has 3. "
        "Choose another folder, or the same as there."
    )
    with pytest.raises(ArgumentError, match="or resume it"):
        train(net, Batches(TEXT, 1, 16), adam(net), Recipe(steps=2), folder=tmp_path, resume=False)


def test_a_folder_of_another_rate_or_purpose_is_refused(tmp_path):
    """Loading the optimiser would put the old rate back, and give the old figures without a word."""
    net = model()
    extra = {"hyper": {"lr": 0.1, "betas": (0.9, 0.95)}, "data": "a"}
    batches, recipe = Batches(TEXT, 1, 16), Recipe(steps=2)
    train(net, batches, adam(net), recipe, folder=tmp_path, extra=extra)
    with pytest.raises(ArgumentError, match=r"holds a run with lr=\[0.01\], this one has \[0.5\]"):
        train(net, batches, adam(net, 0.5), recipe, folder=tmp_path, extra=extra)
    other = {**extra, "hyper": {**extra["hyper"], "lr": 0.2}}
    with pytest.raises(ArgumentError, match=r"holds a run with hyper.lr=0.1, this one has 0.2"):
        train(net, batches, adam(net), recipe, folder=tmp_path, extra=other)
    assert train(net, batches, adam(net), recipe, folder=tmp_path, extra=extra).step == 2


def test_a_folder_of_before_may_lack_what_is_said_today(tmp_path):
    net, batches, recipe = model(), Batches(TEXT, 1, 16), Recipe(steps=2)
    train(net, batches, adam(net), recipe, folder=tmp_path, extra={"strategy": "sandwich"})
    again = {"strategy": "sandwich", "kd": {"tau": 2.0}, "teacher": False}
    assert train(net, batches, adam(net), recipe, folder=tmp_path, extra=again).step == 2


def test_an_infinite_mask_is_no_divergence():
    net = model()
    net.register_buffer("mask", torch.full((2, 2), -torch.inf))
    load_weights(net, net.state_dict())


def test_values_that_are_no_numbers_are_refused():
    net = model()
    weights = net.state_dict()
    name = next(iter(weights))
    weights[name] = torch.full_like(weights[name], torch.nan)
    with pytest.raises(ArgumentError, match=f"tensor '{name}' has values that are no finite numbers"):
        load_weights(model(), weights)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"accumulate": 0}, {"clip": 0}, {"precision": "float16"}, {"seed": -1}, {"save_every": 0}]
)
def test_a_recipe_refuses_what_no_run_can_have(wrong):
    with pytest.raises(ArgumentError):
        Recipe(**{"steps": 1, **wrong})


def test_tied_and_untied_do_not_mix(tmp_path):
    save(tmp_path / "a", model(tied=True))
    read(tmp_path / "a").load(model(tied=True, seed=3))
    weights = read(tmp_path / "a").weights()
    del weights["lm_head.weight"]
    with pytest.raises(ArgumentError) as caught:
        load_weights(model(), weights)
    assert "missing lm_head.weight, too many none" in str(caught.value)
    with pytest.raises(ArgumentError, match=r"has shape \(64, 32\), the model has \(64, 48\)"):
        read(tmp_path / "a").load(model(tied=True, d_model=48))


def test_a_newer_checkpoint_is_refused(tmp_path):
    save(tmp_path / "a", model())
    state = json.loads((tmp_path / "a" / "state.json").read_text())
    (tmp_path / "a" / "state.json").write_text(json.dumps({**state, "schema": 99}))
    with pytest.raises(SchemaError, match="Install a newer luthier"):
        read(tmp_path / "a")
    with pytest.raises(ArgumentError, match="no checkpoint there"):
        read(tmp_path / "b")


# -- checkpoints --


def test_a_merge_is_the_weighted_mean(tmp_path):
    a, b = model(seed=1), model(seed=2)
    both = [save(tmp_path / "a", a), save(tmp_path / "b", b)]
    found = merge(both, [1, 3])
    for name, tensor in found.items():
        assert torch.allclose(tensor, 0.25 * a.state_dict()[name] + 0.75 * b.state_dict()[name])
    with pytest.raises(ArgumentError, match="one number from 0 for each of 2"):
        merge(both, [1])


def test_a_checkpoint_replaces_an_older_one_whole(tmp_path):
    save(tmp_path / "a", model(seed=1), adam(model()))
    save(tmp_path / "a", model(seed=2))
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["model.safetensors", "state.json"]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


# -- data --


def test_batches_by_hand():
    """Nine tokens, windows of 2: four windows, each once an epoch; targets are inputs one further."""
    batches = Batches(Tokens(np.arange(9), 9, "nine"), 1, 2, seed=0)
    first = [batches(k) for k in range(4)]
    assert sorted(int(b["input_ids"][0, 0]) for b in first) == [0, 2, 4, 6]
    for b in first:
        assert torch.equal(b["targets"], b["input_ids"] + 1)
    assert torch.equal(batches(2)["input_ids"], first[2]["input_ids"])
    assert sorted(int(batches(k)["input_ids"][0, 0]) for k in range(4, 8)) == [0, 2, 4, 6]


def test_a_stream_is_continued():
    batches = Batches(TEXT, 4, 16, seed=3)
    later = Batches(TEXT, 2, 16, seed=3, start=batches.after(5))
    both = torch.cat([later(0)["input_ids"], later(1)["input_ids"]])
    assert torch.equal(both, batches(5)["input_ids"])


def test_the_synthetic_language_has_the_entropy_it_says():
    """A table of pairs learns it: the plug-in conditional entropy of a long text meets the floor."""
    text = synthetic(300_000, vocabulary=17, seed=0, fan=4)
    assert text.floor == pytest.approx(-sum(w * np.log(w) for w in np.array([12, 6, 4, 3]) / 25))
    counts = np.zeros((17, 17, 17))
    np.add.at(counts, (text.values[:-2], text.values[1:-1], text.values[2:]), 1)
    share = counts / counts.sum(axis=2, keepdims=True).clip(1)
    plug = -(counts * np.log(share, where=share > 0, out=np.zeros_like(share))).sum() / counts.sum()
    assert plug == pytest.approx(text.floor, abs=0.01)


def test_text_of_files_and_of_the_library(tmp_path):
    (tmp_path / "b.txt").write_text("ab")
    (tmp_path / "a.txt").write_text("c")
    assert bytes(read_text([tmp_path]).values) == b"cab"
    assert bytes(read_text([tmp_path], limit=2).values) == b"ca"
    library = python_library(1000)
    assert (len(library), library.vocabulary) == (1000, 256)
    with pytest.raises(ArgumentError, match="no text there"):
        read_text([])

    class Letters:
        vocab_size = 30

        def encode(self, text):
            return [ord(c) - ord("a") for c in text]

    assert list(read_text([tmp_path], tokenizer=Letters()).values) == [2, 0, 1]


def test_a_tokenizer_file_is_read(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "t.json"))
    (tmp_path / "x.txt").write_text("a b c")
    found = read_text([tmp_path / "x.txt"], tokenizer=str(tmp_path / "t.json"))
    assert (list(found.values), found.vocabulary) == ([0, 1, 2], 3)


def test_too_little_text_is_refused():
    with pytest.raises(ArgumentError, match="at least 17, for length=16"):
        Batches(Tokens(np.arange(16), 16, "few"), 1, 16)


# -- the reference decoder --


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"tied": True},
        {"norm": "layer", "positions": "learned", "mlp": "gelu", "bias": True},
        {"kv_heads": 1, "d_head": 8, "d_ff": 40},
    ],
)
def test_counts_are_those_of_the_model(sizes):
    net = model(**sizes)
    found = sum(p.numel() for p in net.parameters())
    assert net.config.parameters() == found
    tables = [net.model.embed_tokens.weight, net.lm_head.weight]
    if net.model.embed_positions is not None:
        tables.append(net.model.embed_positions.weight)
    inner = found - sum({id(t): t.numel() for t in tables}.values())
    assert net.config.parameters(embedding=False) == inner


def test_it_is_causal_and_rotary_positions_are_relative():
    net = model().double()
    tokens = torch.arange(12)[None]
    changed = tokens.clone()
    changed[0, 8:] = 3
    a, b = net(tokens), net(changed)
    assert torch.equal(a[:, :8], b[:, :8])
    from luthier.nets.refgpt import rotation, turn

    cos, sin = rotation(9, 8, 10_000.0, torch.device("cpu"), torch.float64)
    q, k = torch.randn(2, 8, dtype=torch.float64)
    dots = [turn(q, cos[i], sin[i]) @ turn(k, cos[i + 3], sin[i + 3]) for i in range(6)]
    assert torch.allclose(torch.stack(dots), dots[0].expand(6), atol=1e-12)


def test_llama_gives_the_same_logits():
    """Our tensors under Hugging Face's names, in their model: the same numbers."""
    transformers = pytest.importorskip("transformers")
    net = model(kv_heads=1)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=net.config.ff,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    load_weights(theirs, net.state_dict())
    tokens = torch.randint(0, 64, (2, 16), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(net(tokens), theirs(tokens).logits, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"norm": "batch"}, "norm='batch'"),
        ({"kv_heads": 3, "heads": 4, "d_head": 8}, "heads=4 is no multiple"),
        ({"heads": 3}, "d_model=32 is no multiple"),
        ({"d_head": 7}, "an even number"),
        ({"layers": -1}, "layers=-1"),
    ],
)
def test_a_config_refuses_what_does_not_fit(wrong, words):
    with pytest.raises(ArgumentError, match=words):
        RefConfig(**{**SMALL, **wrong})


def test_an_unknown_size_is_named():
    with pytest.raises(ArgumentError, match="Did you mean 'd_model'"):
        RefConfig.of({"d_modle": 3})


def test_a_tokenizer_gives_the_same_as_a_folder_a_file_and_an_object(tmp_path):
    """A file and an object put special tokens around every text, the folder did not."""
    tokenizers, transformers = pytest.importorskip("tokenizers"), pytest.importorskip("transformers")
    words = {"[CLS]": 0, "[SEP]": 1, "a": 2, "b": 3, "[UNK]": 4}
    own = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    own.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    own.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=own, unk_token="[UNK]")
    fast.save_pretrained(tmp_path / "folder")
    for name, text in (("1.txt", "a b a"), ("2.txt", "b b")):
        (tmp_path / name).write_text(text)
    for tokenizer in (tmp_path / "folder", tmp_path / "folder" / "tokenizer.json", fast, own):
        found = read_text([tmp_path / "1.txt", tmp_path / "2.txt"], tokenizer=tokenizer)
        assert (found.values.tolist(), found.vocabulary) == ([2, 3, 2, 3, 3], 5)


def test_a_language_of_many_words_needs_no_table_of_pairs():
    """50,257 words: the tables were 19 GiB each."""
    found = synthetic(3000, vocabulary=50_257, fan=2)
    assert found.values.max() < 50_257
    assert (synthetic(3000, vocabulary=50_257, fan=2).values == found.values).all()
    assert not (synthetic(3000, vocabulary=50_257, fan=2, seed=1).values == found.values).all()
    table = synthetic(3000, vocabulary=64)
    assert table.fingerprint == "66947e46ba30903b"  # small ones are what they were
