"""`luthier shrink`: the commands in order on a tiny model, and what they refuse."""

import json
import subprocess
import sys
import time

import pytest
from _models import call, model, torch, transformers

from luthier.base.errors import ArgumentError
from luthier.shrink.tasks import examples
from luthier.shrink.workspace import Workspace, defaults

transformers.utils.logging.disable_progress_bar()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shrink")
    model("qwen3", num_hidden_layers=2, vocab_size=256).save_pretrained(folder / "model")
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 400)
    return folder


SMALL = ("--batch", 4, "--length", 16)


def test_the_commands_in_order(place):
    run, base, data = place / "run", place / "model", place / "text.txt"
    found = json.loads(call("inspect", base, "--json").stdout)
    assert found["family"] == "qwen3"
    assert found["groups"] == 3
    call("rank", base, "--data", data, "--out", run, "--batches", 2, *SMALL)
    call("train", base, "--data", data, "--out", run, "--steps", 3, *SMALL)
    assert "parameters" in call("search", run, "--evals", 5, "--method", "random").stdout
    assert call("search", run, "--evals", 5, "--method", "random", "--json").stdout
    again = call("train", base, "--data", data, "--out", run, "--steps", 3, "--space", "joint", *SMALL, code=1)
    assert "was begun with space='small', now it is 'joint'" in again.output
    call("extract", run, "--max-params", 0.9)
    [child] = sorted((run / "children").iterdir())
    auto = transformers.AutoModelForCausalLM.from_pretrained(child)
    assert auto.num_parameters() == int(child.name.rpartition("-")[2])
    assert "equal: " in call("verify", run, "--spec", child / "spec.json", "--child", child).stdout
    call("finetune", child, "--data", data, "--out", place / "tuned", "--teacher", run / "super", "--steps", 2, *SMALL)
    wrong = call("verify", run, "--spec", child / "spec.json", "--child", place / "tuned", code=4)
    assert "differs from its sub-network" in wrong.output
    times = json.loads(call("profile", child, "--against", base, "--tokens", 8, "--runs", 2, "--json").stdout)
    assert set(times) == {"prefill", "decode"}
    assert "the least found is" in call("extract", run, "--max-params", 0.001, code=1).output
    assert "Allowed: NAME=NUMBER" in call("search", run, "--constraint", "latency_ms", code=1).output
    assert "Did you mean" in call("search", run, "--objective", "los", code=1).output
    for words in ((), ("--all-pareto", "--max-params", 0.5), ("--spec", child / "spec.json", "--max-latency-ms", 3)):
        assert "which? Name one of" in call("extract", run, *words, code=1).output
    broken = ("finetune", child, "--data", data, "--out", place / "broken", "--steps", 4, "--lr", 1e30, *SMALL)
    assert "diverged at step" in call(*broken, code=1).output
    assert not (place / "broken" / "config.json").exists()
    assert "torch cannot use it" in call("search", run, "--device", "nonsense", code=1).output


def test_everything_in_one_command(place):
    words = ("--budget", "6s", "--evals", 4, "--target-params", 0.8, "--out", place / "whole", *SMALL)
    found = json.loads(call("run", place / "model", "--data", place / "text.txt", "--json", "-q", *words).stdout)
    names = [row["name"] for row in found["rows"]]
    # the time left decides how long is trained, so which child wins is open; the smallest has no baseline of its size
    assert [name for name in names if "magnitude" not in name] == ["whole", "child 0.8", "from scratch 0.8"]
    assert found["rows"][1]["share"] <= 0.8
    assert all(row["parameters"] <= found["rows"][1]["parameters"] for row in found["rows"][1:])
    assert found["rows"][-1]["parameters"] == found["rows"][1]["parameters"]
    assert (place / "whole" / "report.html").is_file()
    again = call("run", place / "model", "--data", place / "text.txt", *words, "--lr", 0.5, code=1)
    assert "was begun with lr=0.0002, now it is 0.5" in again.output


def test_bad_input_is_told(place):
    run = ("run", place / "model", "--data", place / "text.txt", "--out")
    assert "positions. Allowed" in call(*run, place / "a", "--length", 200, code=1).output
    assert "The smallest sub-network" in call(*run, place / "whole", "--target-params", 0.0001, *SMALL, code=1).output
    assert "Allowed: 90s, 20m, 2h" in call(*run, place / "b", "--budget", "soon", code=1).output
    assert "no config.json" in call("inspect", place, code=1).output
    assert "no run there" in call("search", place / "model" / "nothing", code=1).output
    (place / "half.csv").write_text("question,A,B\nwhy,1,2\n")
    assert "needs a tokenizer" in call("score", place / "model", "--data", place / "half.csv", code=1).output


def test_a_mistake_at_the_start_costs_nothing(place):
    """A wrong file does not claim the folder, and a size out of reach is refused before anything is trained."""
    (place / "empty.txt").write_text("")
    words = ("run", place / "model", "--out", place / "c", *SMALL)
    assert "is empty" in call(*words, "--data", place / "empty.txt", code=1).output
    good = (*words, "--data", place / "text.txt")
    assert "Did you mean 'nsga2'" in call(*good, "--method", "nsga3", code=1).output
    assert "Did you mean 'small'" in call(*good, "--space", "smal", code=1).output
    said = call(*good, "--target-params", 0.0001, code=1).output
    assert "The smallest sub-network" in said
    assert "training" not in said


def test_a_size_to_draw_around(place):
    words = ("train", place / "model", "--data", place / "text.txt", "--out", place / "around", "--steps", 1, *SMALL)
    assert "Allowed: with --sampler around" in call(*words, "--around", 0.8, code=1).output
    assert "target=0.01 of" in call(*words, "--sampler", "around", "--around", 0.01, code=1).output
    call(*words, "--sampler", "around", "--around", 0.8)
    assert call(*words, "--sampler", "around", "--around", 0.9, code=1).output.count(
        "holds a run with sampling.target=0.8"
    )


def test_a_ranked_folder_may_still_choose_its_space(tmp_path):
    given = {"model": tmp_path / "model", "data": tmp_path / "text.txt"}
    Workspace(tmp_path / "run", defaults(**given))
    (tmp_path / "run" / "rank.json").write_text("{}")
    assert Workspace(tmp_path / "run", defaults(**given, space="joint")).config["space"] == "joint"
    with pytest.raises(ArgumentError, match="was begun with length=64, now it is 32"):
        Workspace(tmp_path / "run", defaults(**given, length=32))


def test_columns_are_found_or_named():
    rows = [{"id": "7", "sentence": f"some words {i}", "kind": "ab"[i % 2]} for i in range(20)]
    with pytest.raises(ArgumentError, match=r"columns 'id', 'sentence', 'kind'\. .*--text COLUMN --label COLUMN"):
        examples(rows, None)
    numbers = [{"size": "1.5", "label": "1"}] * 20
    with pytest.raises(ArgumentError, match="one or two texts"):  # numbers are no texts
        examples(numbers, None)


def test_how_good_a_model_is_is_said(place):
    told = json.loads(call("score", place / "model", "--data", place / "text.txt", "--json", *SMALL).stdout)
    assert told["perplexity"] > 1
    rows = "".join(f"what {i},yes,no,{i % 2}\n" for i in range(12))
    (place / "piqa.csv").write_text("goal,sol1,sol2,label\n" + rows)
    found = json.loads(call("score", place / "model", "--data", place / "piqa.csv", "--limit", 8, "--json").stdout)
    assert (found["questions"], found["chance"]) == (8, 0.5)
    assert found["low"] <= found["accuracy"] <= found["high"]
    (place / "cut.jsonl").write_text('{"goal": "what", "sol')
    assert "no jsonl that can be read" in call("score", place / "model", "--data", place / "cut.jsonl", code=1).output


def test_a_classifier_is_scored_by_its_own_classes(tmp_path):
    """Its labels keep their places in a file that lacks one of them; others are refused."""
    net = model("bert", vocab_size=40, num_labels=3)
    net.config.id2label = {0: "up", 1: "level", 2: "down"}
    net.config.label2id = {"up": 0, "level": 1, "down": 2}
    with torch.no_grad():
        net.classifier.weight.zero_()
        net.classifier.bias.copy_(torch.tensor([0.0, 1.0, 2.0]))  # it always says "down"
    net.save_pretrained(tmp_path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    rows = "".join(f"a b {'cdefgh'[i % 6]},{['up', 'down', 'down', 'down'][i % 4]}\n" for i in range(80))
    (tmp_path / "own.csv").write_text("text,label\n" + rows)
    told = json.loads(call("score", tmp_path, "--data", tmp_path / "own.csv", "--json", *SMALL).stdout)
    assert 0.4 < told["accuracy"] <= 1
    (tmp_path / "other.csv").write_text("text,label\n" + rows.replace("down", "below"))
    call("score", tmp_path, "--data", tmp_path / "other.csv", *SMALL, code=1)
    model("bert", vocab_size=40).save_pretrained(tmp_path)  # two classes without names of their own
    (tmp_path / "plain.csv").write_text("text,label\n" + rows.replace("down", "1").replace("up", "0"))
    assert "accuracy" in call("score", tmp_path, "--data", tmp_path / "plain.csv", *SMALL).stdout


@pytest.mark.slow
def test_a_killed_run_goes_on(place):
    """Killed hard while the super-network trains; the second call does not train it from the beginning."""
    out = place / "killed"
    words = ["run", place / "model", "--data", place / "text.txt", "--budget", "40s", "--evals", 4, "--target-params"]
    line = [sys.executable, "-m", "luthier", "shrink", *map(str, [*words, 0.8, "--out", out, *SMALL])]
    running = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not list((out / "train").glob("step-*/state.json")) and time.monotonic() < until:
        time.sleep(0.05)
    running.kill()
    running.wait()
    assert list((out / "train").glob("step-*/state.json"))
    assert not (out / "report.json").exists()
    steps = json.loads((out / "config.json").read_text())["steps"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (out / "report.json").is_file()
    history = [json.loads(row) for row in (out / "train" / "history.jsonl").read_text().splitlines()]
    assert history[-1]["step"] == steps
    seconds = [row["seconds"] for row in history]
    assert seconds == sorted(seconds)  # one run's clock, from before the kill on
