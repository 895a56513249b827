"""A run's folder: what is kept of it, what is read again, and what is refused because it would mean something else."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from _models import model, transformers

from luthier.base.errors import ArgumentError
from luthier.nets.data import synthetic
from luthier.nets.training import History
from luthier.shrink import Front, Point, SubNetSpec, SuperNet, _targets, extract, language, pipeline
from luthier.shrink._fits import Diverged
from luthier.shrink._targets import Targets
from luthier.shrink.workspace import Workspace, defaults

transformers.utils.logging.disable_progress_bar()


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    model("qwen3", num_hidden_layers=2, vocab_size=256).save_pretrained(folder / "model")
    (folder / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 200)
    return defaults(model=folder / "model", data=folder / "text.txt", batch=4, length=16)


@pytest.fixture(scope="module")
def work(given, tmp_path_factory):
    """A run that is trained; tests read it, and may search in it."""
    made = Workspace(tmp_path_factory.mktemp("trained") / "run", given)
    pipeline.train_super(made, steps=2)
    return made


# -- the super-network --


def test_a_run_knows_its_steps_whoever_has_trained_it(work):
    assert Workspace(work.folder).config["steps"] == 2


def test_a_super_network_that_diverged_is_not_there(given, tmp_path):
    run = Workspace(tmp_path / "run", given)
    with pytest.raises(ArgumentError, match=r"run: its training diverged at step \d of 4.*lr=1e\+30\. Give a"):
        pipeline.train_super(run, steps=4, lr=1e30)
    assert not run.trained
    assert "steps" not in run.config
    with pytest.raises(ArgumentError, match="diverged"):  # the second time as well
        pipeline.train_super(run, steps=4, lr=1e30)


def test_a_super_network_that_was_not_written_to_its_end_is_not_there(given, tmp_path):
    run = Workspace(tmp_path / "run", given)

    def killed(folder):
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.save_super(SimpleNamespace(model=SimpleNamespace(save_pretrained=killed)))
    assert not run.trained
    assert {p.name for p in run.folder.iterdir()} == {"config.json"}


def test_a_ranking_stays_once_something_was_made_of_it(work):
    before = (work.folder / "rank.json").read_text()
    pipeline.rank(work)  # the same again
    with pytest.raises(ArgumentError, match=r"holds train and super.*made in another order.*Allowed: the same ranking"):
        pipeline.rank(work, method="random", layers="first")
    assert (work.folder / "rank.json").read_text() == before


# -- searches and children --


def test_another_search_runs_beside_the_first(work):
    first = pipeline.search_run(work, method="random", evals=3)
    other = pipeline.search_run(work, method="random", evals=3, objectives=("error", "macs"))
    assert work.front().objectives == other.objectives == ("error", "macs")
    again = pipeline.search_run(work, method="random", evals=3)
    assert [p.metrics for p in again.tried] == [p.metrics for p in first.tried]
    names = {p.parent.name for p in work.folder.glob("*/study.db")}
    assert names == {"search-random", "search-random-error,macs"} == {first.about["study"], other.about["study"]}


def test_two_sub_networks_of_one_size_have_folders_of_their_own(work):
    sizes = work.supernet().sizes
    one, two = (SubNetSpec.uniform(sizes, layers=[layer]) for layer in (0, 1))
    name = pipeline.child_name(work, one)
    pipeline.extract_run(work, one, name)
    assert pipeline.child_name(work, two) == f"{name}-2"
    pipeline.extract_run(work, two, f"{name}-2")
    assert [pipeline.child_name(work, spec) for spec in (one, two)] == [name, f"{name}-2"]


# -- what is read again --


def test_what_was_ranked_anew_is_read_only_for_the_same(tmp_path, monkeypatch):
    tried = [Point(SubNetSpec.of(8, [0], [(1, 1, u)]), {"error": 1.0 / u, "parameters": u}) for u in (2, 4)]
    front = Front.of(tried, ("error", "parameters"), tried[1].metrics, 1.0, constraints={})
    work, calls, lines = SimpleNamespace(folder=tmp_path, config={"seed": 0}), [], []
    net = SimpleNamespace(model=None)
    monkeypatch.setattr(pipeline, "affordable", lambda *a: 20)
    monkeypatch.setattr(pipeline, "recover", lambda n, f, d, **more: (calls.append(more), replace(f))[1])

    def ranked(front=front, targets=(0.5,), lr=1e-3):
        pipeline._recovered(work, net, front, None, targets, 1.0, lr, lines.append)
        return len(calls)

    assert [ranked(), ranked(), ranked(targets=[0.5])] == [1, 1, 1]
    more = Front.of(tried[:1], ("error", "parameters"), front.full, 1.0, constraints={})
    assert [ranked(more), ranked(more)] == [2, 2]
    bound = replace(front, about={"constraints": {"not_stock": 0.0}})
    assert [ranked(bound), ranked(bound), ranked(bound, lr=1e-2), ranked(bound, targets=(0.5, 0.7))] == [3, 3, 4, 5]
    monkeypatch.setattr(pipeline, "affordable", lambda *a: 2)  # no time: what is there is of something else
    assert pipeline._recovered(work, net, front, None, [0.5], 1.0, 1e-3, lines.append) is front


def test_a_run_keeps_its_rate(work):
    run = Workspace(work.folder)
    run.remember(lr=1e-3)
    with pytest.raises(ArgumentError, match=r"was begun with lr=0\.001, now it is 0\.5\. Allowed: the same"):
        pipeline.run(Workspace(work.folder), seconds=1.0, lr=0.5)


@pytest.fixture
def made(monkeypatch):
    """Makes rows with a training that only counts."""
    data = language(synthetic(2000, vocabulary=97), size=4, length=8, evaluated=1)
    net = SuperNet.from_model(model("llama"))
    made = Targets(None, net, None, data, 1.0, 1e-3, 1, None)  # type: ignore[arg-type]
    made.work = SimpleNamespace(config={"seed": 0})  # type: ignore[assignment]
    made.trained = []  # type: ignore[attr-defined]

    def counted(model, data, *, teacher, steps, lr, seed):
        made.trained.append((steps, lr, seed))
        return History(diverged=lr > 1, step=steps - 1)

    monkeypatch.setattr(_targets, "finetune", counted)
    return made


def test_a_tuned_child_is_not_taken_for_that_of_another_front_rate_seed_or_number_of_steps(made, tmp_path):
    def tuned(steps, inter=16):
        child = extract(made.net, SubNetSpec.uniform(made.net.sizes, inter=inter))
        found, told, _ = made._trained(child, tmp_path / "tuned", steps, None)
        return sum(p.numel() for p in found.parameters()), told, len(made.trained)

    size, *_ = tuned(lambda m: 5)
    assert tuned(lambda m: 7) == (size, 5, 1)  # those of a time: what is there is read
    other, *_ = tuned(lambda m: 7, inter=24)
    assert other > size
    assert tuned(7, inter=24) == (other, 7, 2)
    assert tuned(8, inter=24) == (other, 8, 3)
    made.lr = 1e-2
    assert tuned(lambda m: 9, inter=24) == (other, 9, 4)
    made.work.config["seed"] = 1
    assert tuned(9, inter=24) == (other, 9, 5)
    assert made.trained[-1] == (9, 1e-2, 1)
    told = json.loads((tmp_path / "tuned.json").read_text())
    (tmp_path / "tuned.json").write_text(json.dumps({"steps": told["steps"], "notes": {}}))  # an earlier version's
    assert tuned(9, inter=24) == (other, 9, 5)


def test_a_child_that_diverged_is_not_written_and_a_control_is_left_out(made, tmp_path, monkeypatch):
    child = extract(made.net, SubNetSpec.uniform(made.net.sizes, inter=16))
    made.lr = 1e30
    with pytest.raises(Diverged, match=r"tuned: its training diverged at step 4 of 5"):
        made._trained(child, tmp_path / "tuned", 5, None)
    assert not list(tmp_path.iterdir())
    lines = []
    made.say = lines.append
    made.front = SimpleNamespace(select=lambda **k: SimpleNamespace(spec=child.spec))
    made.cut = lambda spec, name: (child, tmp_path)
    monkeypatch.setattr(Targets, "_child", lambda self, *a: ({"name": "child"}, 5))
    monkeypatch.setattr(Targets, "_baseline", lambda self, *a: [{"name": "baseline"}])
    assert [row["name"] for row in made.rows(0.5)] == ["child", "baseline"]
    assert lines[-1].startswith("left out: ")


def test_files_that_a_kill_has_left_do_not_claim_a_folder(given, tmp_path):
    Workspace(tmp_path / "run", given)
    (tmp_path / "run" / ".config.json.partial-1").write_text("{")
    assert Workspace(tmp_path / "run", {**given, "length": 32}).config["length"] == 32
