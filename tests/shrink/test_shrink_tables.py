"""`luthier shrink` on tables of texts: kinds, splits, what a child knows of its training, and where it is kept."""

import json

import pytest
from _models import call, model, torch, transformers

from luthier.base.errors import LuthierWarning
from luthier.cli._progress import Talk
from luthier.cli._shrink import latency_of
from luthier.shrink import Latency, SubNetSpec, SuperNet, pipeline
from luthier.shrink.workspace import Workspace, defaults

transformers.utils.logging.disable_progress_bar()
SMALL = ("--batch", 4, "--length", 16)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model with a tokenizer, tables of words and of ratings, and a run whose child was cut out."""
    folder = tmp_path_factory.mktemp("tables")
    net = model("bert", vocab_size=40)
    net.bert.save_pretrained(folder / "model")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh"]
    (folder / "model" / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(str(folder / "model" / "vocab.txt")).save_pretrained(folder / "model")
    (folder / "model" / "chat_template.jinja").write_text("{{ messages }}")
    rows = [f"a b {'cdefgh'[i % 6]} {'cd'[i % 2]}," for i in range(80)]
    for name, labels in (("words", ("no", "yes")), ("stars", "01234")):
        lines = [f"{row}{labels[i % len(labels)]}" for i, row in enumerate(rows)]
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    given = {"model": folder / "model", "data": folder / "words.csv", "batch": 4, "length": 16, "seed": 7}
    work = Workspace(folder / "run", defaults(**given))
    pipeline.train_super(work, steps=1, random=1, sampler="uniform_axes")
    sizes = SuperNet.from_model(work.model(work.data().task)).sizes
    pipeline.extract_run(work, SubNetSpec.uniform(sizes, inter=16), "small")
    return folder


def about(folder):
    return json.loads((folder / "luthier.json").read_text())


def test_a_child_knows_its_training(place):
    told = about(place / "run" / "children" / "small")
    assert told["trained_on"][0]["data"] == str((place / "words.csv").resolve())
    assert told["trained_on"][0]["seed"] == 7
    assert told["trained_on"][0]["kind"] == "classification"
    assert told["importance"] == {"method": "activation", "layers": "block_influence"}
    assert told["order"] is not None
    assert (place / "run" / "children" / "small" / "chat_template.jinja").is_file()
    assert about(place / "run" / "super")["trained_on"] == told["trained_on"]


@pytest.mark.filterwarnings("default")
def test_a_child_is_scored_and_tuned_on_the_split_that_it_was_trained_on(place):
    child, data = place / "run" / "children" / "small", place / "words.csv"
    own = json.loads(call("score", child, "--data", data, "--json", *SMALL).stdout)
    asked = call("score", child, "--data", data, "--json", "--seed", 7, *SMALL)
    assert json.loads(asked.stdout) == own
    assert "seed" not in asked.stderr
    other = call("score", child, "--data", data, "--json", "--seed", 0, *SMALL)
    assert "warning: seed=0: " in other.stderr
    assert json.loads(other.stdout) != own
    call("finetune", child, "--data", data, "--out", place / "tuned", "--steps", 1, *SMALL)
    told = about(place / "tuned")
    assert [one["seed"] for one in told["trained_on"]] == [7, 7]
    assert told["importance"]["method"] == "activation"


def test_another_seed_is_warned_of(place, tmp_path):
    from luthier.shrink.reading import trained_on

    child = place / "run" / "children" / "small"
    with pytest.warns(LuthierWarning, match=r"seed=0: .* as seed 7 splits it, so most rows"):
        assert trained_on(child, place / "words.csv", 0)["seed"] == 7
    assert trained_on(child, place / "words.csv", 7)["seed"] == 7
    assert trained_on(child, place / "stars.csv", 1) == {"seed": 7}  # another file
    assert trained_on(place / "model", place / "words.csv") == {"seed": 0}


def test_a_child_is_tuned_in_its_own_folder(place):
    work = Workspace(place / "run")
    spec = SubNetSpec.uniform(work.supernet().sizes, inter=24)
    _, child = pipeline.extract_run(work, spec, "own")
    before = {n: p.clone() for n, p in shrunk(child).named_parameters()}
    call("finetune", child, "--data", place / "words.csv", "--out", child, "--steps", 1, "--lr", 0.01, *SMALL)
    assert any(not torch.equal(p, before[n]) for n, p in shrunk(child).named_parameters())


def shrunk(folder):
    from luthier.shrink import load

    return load(folder)


def test_only_a_child_is_tuned(place):
    for folder in (place / "model", place / "run" / "super"):
        words = ("finetune", folder, "--data", place / "words.csv", "--out", place / "none", *SMALL)
        assert "not an extracted child" in " ".join(call(*words, code=1).output.split())
    assert not (place / "none").exists()


def test_what_labels_are_may_be_said_and_is_kept(place, tmp_path):
    words = ("rank", place / "model", "--data", place / "stars.csv", "--batches", 1, *SMALL)
    call(*words, "--out", tmp_path / "run", "--kind", "regression")
    work = Workspace(tmp_path / "run")
    assert work.data().task.kind == "regression"
    again = call(*words, "--out", tmp_path / "run", "--kind", "classification", code=1)
    assert "was begun with kind='regression'" in again.output
    call(*words, "--out", tmp_path / "found")
    assert Workspace(tmp_path / "found").config["kind"] == "classification"
    assert "Did you mean" in call(*words, "--out", tmp_path / "wrong", "--kind", "regresion", code=1).output


def test_a_model_with_one_output_is_scored_as_a_regression(place, tmp_path):
    net = model("bert", vocab_size=40, num_labels=1)
    net.save_pretrained(tmp_path)
    for path in place.joinpath("model").glob("tokenizer*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert "correlation" in call("score", tmp_path, "--data", place / "stars.csv", *SMALL).stdout


@pytest.mark.parametrize("learns", [False, True])
def test_half_precision_is_single_on_a_processor(tmp_path, learns):
    from luthier.cli._shrink_models import _opened

    model("llama").half().save_pretrained(tmp_path)
    assert {p.dtype for p in _opened(tmp_path, "cpu", learns=learns).parameters()} == {torch.float32}


def test_milliseconds_are_measured_anew_elsewhere(place, monkeypatch):
    """A predictor holds for its device, its threads and its super-network."""
    fitted = []

    def once(net, specs, *, held_out, tokens):
        fitted.append((len(specs), len(held_out), tokens))
        return Latency(net, [1.0] * 6, tokens=tokens, batch=1, tau=0.5)

    monkeypatch.setattr(Latency, "fitted", once)
    work = Workspace(place / "run")
    (place / "run" / "latency.json").write_text(json.dumps({"rates": [1.0] * 6, "tokens": 16, "batch": 1, "tau": 1.0}))
    talk = Talk(quiet=True)
    latency_of(work, talk)
    assert fitted == [(24, 20, 16)]  # older files do not say where
    latency_of(work, talk)
    assert len(fitted) == 1
    for name, other in (("threads", 99), ("device", "cuda"), ("net", "0")):
        kept = json.loads((place / "run" / "latency.json").read_text())
        (place / "run" / "latency.json").write_text(json.dumps({**kept, name: other}))
        latency_of(work, talk)
    assert len(fitted) == 4


def test_more_tokens_than_positions_are_told_by_profile(tmp_path):
    model("gpt2").save_pretrained(tmp_path)
    assert "tokens=128, and 1 more: the model has 64 positions" in call("profile", tmp_path, code=1).output
    assert "Allowed: at most 63" in " ".join(call("profile", tmp_path, "--tokens", 64, code=1).output.split())
