"""From a sweep at the proxy to a grown model: the commands one after the other, and the parts behind them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='torch is not installed: pip install "luthier[llm]"')

from luthier.base.errors import ArgumentError  # noqa: E402
from luthier.cli import main  # noqa: E402
from luthier.grow.comparing import compare  # noqa: E402
from luthier.grow.factories import factory_of  # noqa: E402
from luthier.grow.growing import Growth, grow  # noqa: E402
from luthier.grow.hyper import Hyper  # noqa: E402
from luthier.grow.ledger import Ledger  # noqa: E402
from luthier.grow.mu_plan import MuPlan  # noqa: E402
from luthier.grow.rates import decide  # noqa: E402
from luthier.grow.runs import count, tokens_of  # noqa: E402
from luthier.nets import RefConfig  # noqa: E402
from luthier.nets.checkpoints import read  # noqa: E402

PROXY = "vocabulary=256,d_model=16,heads=1,d_head=16,layers=1,context=32,d_ff=32"


def luthier(*words):
    """The exit code of a command."""
    import sys
    from unittest import mock

    with mock.patch.object(sys, "argv", ["luthier", *map(str, words)]), pytest.raises(SystemExit) as left:
        main()
    return left.value.code


@pytest.mark.filterwarnings("ignore::luthier.base.errors.CostWarning")
@pytest.mark.filterwarnings("always:lr=.*at the edge")
def test_the_commands_one_after_the_other(tmp_path, monkeypatch, capsys):
    """inspect, sweep, transfer, train, expand, train, compare, fit, plan, ledger, export."""
    monkeypatch.chdir(tmp_path)
    assert luthier("grow", "inspect", "refgpt", "--proxy", PROXY, "--target", "d_model=32", "-o", "large.json") == 0
    assert luthier("grow", "inspect", "refgpt", "--proxy", PROXY, "-o", "small.json") == 0
    (tmp_path / "text.txt").write_bytes(bytes(range(32, 127)) * 200)
    data = ("--data", "text.txt")
    own = ("--tokens", "2048", "--batch", "4", "--length", "32", *data)
    assert luthier("grow", "sweep", "large.json", "--lr=-8:-7", *own) == 0
    said = capsys.readouterr().out
    assert "; a best rate is at the edge of the grid\n" in said
    assert "next: luthier grow transfer sweep --to large.json" in said
    before = Ledger.open("ledger.jsonl").entries
    assert [e.purpose for e in before] == ["sweep", "sweep"]
    assert (tmp_path / "sweep" / "rates.svg").read_text().count("<svg")
    assert luthier("grow", "sweep", "small.json", "--lr=-8:-7", *own) == 0  # nothing is run again
    assert Ledger.open("ledger.jsonl").entries == before
    assert luthier("grow", "transfer", "sweep", "--to", "large.json") == 0
    said = capsys.readouterr()
    assert "does not transfer: tokens" in said.out
    assert "is at the edge of the rates that were tried, 0.00391 to 0.00781" in said.err
    hyper = Hyper.load("hp.json")
    assert (hyper.lr in (2**-8, 2**-7), hyper.fingerprint) == (True, MuPlan.load("small.json").fingerprint)
    train = ("grow", "train")
    assert (
        luthier(*train, "small.json", "--hp", "hp.json", "-o", "base", "--tokens", "1280", "--purpose", "base", *data)
        == 0
    )
    sizes = "d_model=32,heads=2,kv_heads=2,d_ff=64"
    assert luthier("grow", "expand", "base", "--target", sizes, "--dry-run") == 0
    assert "nats per token" in capsys.readouterr().out
    assert not (tmp_path / "grown").exists()
    assert luthier("grow", "expand", "base", "--target", sizes) == 0
    assert read("grown").state["extra"]["growth"]["lam"] == 0.4
    assert luthier(*train, "grown", "--hp", "hp.json", "-o", "warm", "--tokens", "1280", "--from", "base", *data) == 0
    late = ("--late", "0.6", "--from-layers", "0", "--tokens", "2560", *data)
    assert luthier(*train, "small.json", "--hp", "hp.json", "-o", "late", *late) == 0
    assert luthier("grow", "expand", "base", "--target", sizes, "--at-step", "pre-cooldown", "--carry-optimizer",
                   "--op", "duplicate", "-o", "twice") == 0  # fmt: skip
    assert (tmp_path / "twice" / "carried.safetensors").exists()
    (tmp_path / "space.yaml").write_text("lr: {type: float, low: 0.002, high: 0.02, log: true, transfer: mup}\n")
    tuned = (
        "--space",
        "space.yaml",
        "--trials",
        "2",
        "--searcher",
        "random",
        "-o",
        "tuned",
        "--judge-merged",
        "2",
        *own,
    )
    assert luthier("grow", "sweep", "small.json", *tuned) == 0
    assert "mup: as tuned" in capsys.readouterr().out
    assert luthier("grow", "transfer", "tuned", "--to", "large.json", "-o", "hp2.json") == 0
    assert luthier(*train, "large.json", "--hp", "hp.json", "-o", "cold", "--tokens", "2560", *data) == 0
    for equal in ("tokens", "flops", "flops+base"):
        assert luthier("grow", "compare", "warm", "cold", "--equal", equal, "--base", "1e6") == 0
    assert luthier("grow", "fit", "--bootstrap", "5") == 0
    assert "indicative" in capsys.readouterr().out
    assert luthier("grow", "plan", "--size", "5000", "--tokens", "5000") == 1
    assert "a law of size and tokens" in capsys.readouterr().err
    assert luthier("grow", "ledger", "--json") == 0
    bill = json.loads(capsys.readouterr().out)["bill"]
    assert bill["trials"] == 4
    assert bill["base"] > 0
    assert luthier("grow", "export", "warm", "-o", "plain", "--format", "safetensors") == 0
    assert luthier("grow", "train", "large.json", "-o", "x", "--tokens", "1280", *data) == 1
    assert luthier("grow", "expand", "cold", "--target", "d_model=16") == 1
    assert "smaller than the source's" in capsys.readouterr().err


def test_exit_codes_of_inspect_and_check(tmp_path, monkeypatch, capsys):
    """A forgotten inner width is an error (4), a fixed number of key heads a warning (3)."""
    monkeypatch.chdir(tmp_path)
    forgotten = "d_model=32,heads=2,kv_heads=2,d_ff=32"
    assert luthier("grow", "inspect", "refgpt", "--proxy", PROXY, "--delta", forgotten) == 4
    assert "MU01" in capsys.readouterr().out
    fixed = "d_model=32,heads=2,kv_heads=1,d_ff=96"
    assert luthier("grow", "inspect", "refgpt", "--proxy", PROXY, "--delta", fixed, "--json") == 3
    own = ("--proxy", PROXY, "--ratios", "1,2,4", "--seeds", "1", "--steps", "2", "--lr", "0.004", "--out", "report")
    assert luthier("grow", "check", "refgpt", *own) in (0, 3)
    assert json.loads((tmp_path / "report" / "coordinates.json").read_text())["verdict"] in ("pass", "warning")
    assert (tmp_path / "report" / "coordinates.svg").read_text().count("<svg")
    assert luthier("grow", "inspect", "refgpt") == 1
    assert luthier("grow", "inspect", "nothing.here:f", "--proxy", "a=1") == 1


@pytest.mark.filterwarnings("ignore::luthier.base.errors.CostWarning")
def test_late_growth_begins_at_a_plan_and_merges_end_where_they_should(tmp_path, monkeypatch, capsys):
    """What `--late` would leave out is refused, grown weights first; a merge takes no checkpoint after its step."""
    monkeypatch.chdir(tmp_path)
    assert luthier("grow", "inspect", "refgpt", "--proxy", PROXY, "-o", "small.json") == 0
    (tmp_path / "text.txt").write_bytes(bytes(range(32, 127)) * 200)
    own = ("--lr", "0.01", "--tokens", "10240", "--data", "text.txt")  # ten steps
    assert luthier("grow", "train", "small.json", "-o", "base", *own) == 0
    assert luthier("grow", "expand", "base", "--target", "d_model=32,heads=2,kv_heads=2,d_ff=64", "-o", "grown") == 0
    capsys.readouterr()
    assert luthier("grow", "train", "grown", "-o", "late", "--late", "0.5", *own) == 1
    assert "--late begins at a plan's start" in capsys.readouterr().err
    assert luthier("grow", "train", "small.json", "-o", "late", "--late", "0.5", "--purpose", "base", *own) == 1
    assert luthier("grow", "train", "small.json", "-o", "x", "--purpose", "scrach", *own) == 1
    assert "purpose='scrach'" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    sizes = ("--target", "d_model=32,heads=2,kv_heads=2,d_ff=64")
    assert luthier("grow", "expand", "base", *sizes, "--at-step", "pre-cooldown", "--merge", "2", "-o", "m") == 1
    assert "has 1 checkpoints up to step" in capsys.readouterr().err
    assert luthier("grow", "expand", "base", *sizes, "--merge", "2", "-o", "m") == 0


def test_a_plans_file_takes_a_target_and_a_rule_of_depth_and_no_other_proxy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert luthier("grow", "inspect", "refgpt", "--proxy", PROXY, "-o", "small.json") == 0
    assert luthier("grow", "inspect", "refgpt", "--proxy", PROXY, "--target", "d_model=32", "-o", "words.json") == 0
    more = ("--target", "d_model=32", "--depth", "completep")
    assert luthier("grow", "inspect", "small.json", *more, "-o", "file.json") == 0
    words, file = MuPlan.load("words.json"), MuPlan.load("file.json")
    assert dict(file.target) == dict(words.target)
    assert (words.options.depth, file.options.depth) == ("none", "completep")
    assert luthier("grow", "inspect", "words.json", "--target", "layers=3", "-o", "deep.json") == 3  # no rule of depth
    assert dict(MuPlan.load("deep.json").target) == {**words.target, "layers": 3}
    capsys.readouterr()
    assert luthier("grow", "inspect", "small.json", "--proxy", PROXY) == 1
    assert "--proxy: plan small.json has its own" in capsys.readouterr().err


def test_rates_and_widths_are_judged_in_order(tmp_path):
    """The narrowest width and the neighbouring rates are what they are, however they are listed."""
    from luthier.grow import sweep
    from luthier.nets import synthetic

    plan = MuPlan.infer("refgpt", proxy={"vocabulary": 16, "d_model": 8, "heads": 1, "d_ff": 16, "layers": 1,
                                         "context": 8})  # fmt: skip
    text, held_out = synthetic(4_000, vocabulary=16).split(0.2)
    found = sweep(plan, Hyper(lr=1e-2, batch=4, length=8), text, held_out, folder=tmp_path / "s", tokens=64,
                  rates=[0.02, 0.005, 0.01], ratios=[2, 1])  # fmt: skip
    assert (found.ratios, found.rates) == ((1.0, 2.0), (0.005, 0.01, 0.02))
    again = sweep(plan, Hyper(lr=1e-2, batch=4, length=8), text, held_out, folder=tmp_path / "s", tokens=64,
                  rates=[0.02, 0.005, 0.01], ratios=[2, 1])  # fmt: skip
    assert again.losses == found.losses


def test_mistakes_are_told_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert luthier("grow", "inspect", "refgpt", "--proxy", PROXY, "-o", "small.json") == 0
    assert "next: luthier grow sweep small.json" in capsys.readouterr().out
    few = ("--lr=-8:-7", "--tokens", "100", "--batch", "4", "--length", "32")
    for words, told in (
        (("sweep", "none.json"), "plan 'none.json' is not there. Write one: "),
        (("sweep", "small.json", "--lr=1e-3:1e-2"), "--lr=1e-3:1e-2. Allowed: two whole exponents of 2"),
        (
            ("sweep", "small.json", "--lr=-6:-8"),
            "--lr=-6:-8. Allowed: two whole exponents of 2 with a colon between, the low",
        ),
        (
            ("plan", "--size", "1e6", "--tokens", "1e6"),
            "--law law.json: there is none. Allowed: a file of luthier grow fit",
        ),
        (("sweep", "small.json", *few), "tokens=100: fewer than one step of 4 rows x 32 tokens"),
        (("train", "small.json", "--out", "run"), "neither --hp nor --lr given"),
    ):
        assert luthier("grow", *words) == 1
        assert told in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.json"]


@pytest.mark.filterwarnings("ignore::luthier.base.errors.CostWarning")
def test_the_run_that_a_start_was_grown_from_is_one_of_the_ledger(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_bytes(bytes(range(32, 127)) * 200)
    own = ("--lr", "0.01", "--tokens", "1024", "--data", "text.txt")
    assert luthier("grow", "inspect", "refgpt", "--proxy", PROXY, "-o", "small.json") == 0
    assert luthier("grow", "train", "small.json", "-o", "base", "--purpose", "base", *own) == 0
    assert luthier("grow", "expand", "base", "--target", "d_model=32,heads=2,kv_heads=2,d_ff=64") == 0
    capsys.readouterr()
    assert luthier("grow", "train", "small.json", "-o", "cold", "--from", "base", *own) == 1
    assert "the run begins at its plan's own start" in capsys.readouterr().err
    assert luthier("grow", "train", "grown", "-o", "warm", "--from", "bse", *own) == 1
    assert "no run of that name in ledger.jsonl. Did you mean 'base'?" in capsys.readouterr().err
    assert not (tmp_path / "cold").exists()
    assert not (tmp_path / "warm").exists()
    assert luthier("grow", "train", "grown", "-o", "warm", "--from", "base", *own) == 0
    last = Ledger.open("ledger.jsonl").entries[-1]
    assert (last.source, last.before, last.curve[-1]) == ("base", 0, (last.flops, last.loss))


@pytest.mark.filterwarnings("ignore::luthier.base.errors.CostWarning")
def test_a_grown_start_is_not_written_over_something_else(tmp_path):
    small = MuPlan.infer("refgpt", proxy={"vocabulary": 16, "d_model": 8, "heads": 1, "d_ff": 16, "layers": 1,
                                          "context": 8})  # fmt: skip
    large, weights = small.for_target({"d_ff": 32}), small.build(seed=1).state_dict()
    place = tmp_path / "grown"
    saved = grow(weights, small, large, Growth(), where="base").save(place)
    before = (place / "model.safetensors").read_bytes()
    grow(weights, small, large, Growth(), where="base").save(place)  # the same again
    for how, where, target, said in (
        (Growth(lam=0.2), "base", large, r"a start with growth.lam=0.4, this one has 0.2\. Choose another folder"),
        (Growth(), "other", large, r"growth.source='base', this one has 'other'"),
        (Growth(), "base", small.for_target({"d_ff": 48}), r"growth.factor="),
    ):
        with pytest.raises(ArgumentError, match=said):
            grow(weights, small, target, how, where=where).save(place)
    with pytest.raises(ArgumentError, match="weights or moments"):
        grow(small.build(seed=2).state_dict(), small, large, Growth(), where="base").save(place)
    assert (saved.folder / "model.safetensors").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ArgumentError, match="holds something that is no grown start"):
        grow(weights, small, large, Growth(), where="base").save(tmp_path / "mine")


@pytest.mark.parametrize("there", [False, True])
def test_an_interrupted_run_says_what_is_kept(there, tmp_path):
    from luthier.cli.grow._shared import interruptible

    if there:
        (tmp_path / "step-00000004").mkdir()
    said = "the same command goes on" if there else "nothing is there"
    with pytest.raises(KeyboardInterrupt, match=said), interruptible(tmp_path, "nothing is there"):
        raise KeyboardInterrupt


def test_where_a_model_comes_from(tmp_path, monkeypatch):
    """A function of a file in the working folder is found; a type that transformers lacks is one line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_model_of_my_own.py").write_text("def build(width=8):\n    return width\n")
    assert factory_of("a_model_of_my_own:build")[0]() == 8
    assert factory_of("a_model_of_my_own.py:build")[0](width=3) == 3
    assert factory_of("a_model_of_my_own.py:build")[1] == "a_model_of_my_own:build"  # else its plan has another mark
    pytest.importorskip("transformers")
    with pytest.raises(ArgumentError, match=r"transformers has no type 'lama'\. Did you mean 'llama'"):
        factory_of("hf:lama")


def test_counts_are_the_configurations():
    proxy = {"vocabulary": 64, "d_model": 32, "heads": 2, "layers": 3, "context": 16}
    config = RefConfig(**proxy)
    found = count(MuPlan.infer("refgpt", proxy=proxy), 16)
    assert found.total == config.parameters()
    assert found.inner == config.parameters(embedding=False)
    assert found.flops_per_token == config.flops_per_token(16)
    assert tokens_of("20x", 100) == 2000
    assert tokens_of("3e2", 100) == 300
    for wrong in ("x", "-1", "many"):
        with pytest.raises(ArgumentError, match="Allowed: a number"):
            tokens_of(wrong, 1)


def test_hyperparameters_are_a_file(tmp_path):
    own = Hyper(lr=0.01, near=(0.02,), not_transferred={"batch": "hold"}, fingerprint="abc")
    own.save(tmp_path / "hp.json")
    assert Hyper.load(tmp_path / "hp.json") == own
    (tmp_path / "hp.yaml").write_text("lr: 1e-2\nbatch: 4\n")
    assert Hyper.load(tmp_path / "hp.yaml") == Hyper(lr=0.01, batch=4)
    with pytest.raises(ArgumentError, match="Did you mean 'weight_decay'"):
        Hyper.of({"lr": 1, "weight_decy": 0})


RATES = [2.0**-k for k in range(8, 3, -1)]


def bowl(at, low=2.0):
    """Losses that are a parabola in octaves, lowest at place `at`."""
    return [low + 0.05 * (i - at) ** 2 for i in range(5)]


def test_the_verdict_on_rates_by_hand():
    same = decide(np.array([bowl(2), bowl(2, 1.9)]), (1, 8), RATES, 0.001)
    assert (same.verdict, same.best, same.regret) == ("pass", (2, 2), 0)
    near = decide(np.array([bowl(2.3), bowl(1.95)]), (1, 8), RATES, 0.001)
    assert near.verdict == "pass"
    assert near.optima[0] - near.optima[1] == pytest.approx(0.35)
    moved = decide(np.array([bowl(3), bowl(1)]), (1, 8), RATES, 0.001)
    assert (moved.verdict, moved.regret) == ("fail", pytest.approx(0.2))
    edge = decide(np.array([bowl(3), bowl(0)]), (1, 8), RATES, 0.001)
    assert edge.verdict == "inconclusive"
    unsure = decide(np.array([bowl(2), bowl(1.4)]), (1, 8), RATES, 0.01)
    assert unsure.verdict == "inconclusive"
    burst = np.array([bowl(2), [2.2, 2.1, 2.0, math.inf, math.inf]])
    assert decide(burst, (1, 8), RATES, math.nan).verdict == "pass"
    with pytest.raises(ArgumentError, match="without a finite loss"):
        decide(np.full((1, 5), math.inf), (1,), RATES, math.nan)


def test_a_comparison_by_hand():
    """Warm is at cold's final loss after half its tokens; with the source charged, after three quarters."""
    cold = [{"tokens": t, "flops": t, "val_loss": v} for t, v in ((0, 4.0), (50, 3.0), (100, 2.0))]
    warm = [{"tokens": t, "flops": t, "val_loss": v} for t, v in ((0, 3.0), (50, 2.0), (100, 1.5))]
    found = compare(warm, cold)
    assert found["reached"] == pytest.approx(0.5)
    assert found["warm"][2] == 2.0
    assert found["cold"][1] == 3.5
    charged = compare(warm, cold, equal="flops+base", base=25)
    assert charged["reached"] == pytest.approx(0.75)
    assert math.isnan(charged["warm"][0])
    assert compare(cold, warm)["reached"] is None
    assert (
        compare(warm, cold, names=("wide", "base"))["words"] == "wide reaches base's final 2.0000 at 50% of its tokens"
    )
    with pytest.raises(ArgumentError, match="twice or more"):
        compare(warm[:1], cold)


@pytest.mark.parametrize("base", [0.0, -1.0])
def test_a_source_that_is_charged_has_a_cost(base):
    """Without one it said "at 33% of its flops+base", and had charged nothing."""
    rows = [{"flops": 1.0 * k, "tokens": k, "val_loss": 3.0 - k} for k in (1, 2)]
    with pytest.raises(ArgumentError, match="base"):
        compare(rows, rows, equal="flops+base", base=base)
