"""The sampler and the reading of studies against the real Optuna."""

from __future__ import annotations

import importlib.util
import pickle
import sys
import warnings

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, LuthierWarning, MissingExtra

if importlib.util.find_spec("optuna") is None:
    optuna = None
else:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

from luthier.integrations import optuna as room

real = pytest.mark.skipif(optuna is None, reason="optuna is not installed")
SPACE = lu.Space(x=lu.Float(-5.0, 5.0), y=lu.Float(1e-3, 1e3, log=True), kind=lu.Choice("a", "b"))


def bowl(trial):
    x = trial.suggest_float("x", -5, 5)
    y = trial.suggest_float("y", 1e-3, 1e3, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    import math

    return (x - 1) ** 2 + math.log10(y) ** 2 + (kind == "b")


def params(study):
    return [trial.params for trial in study.trials]


def test_without_optuna_one_line_says_what_to_install(monkeypatch):
    monkeypatch.delitem(vars(room), "LuthierSampler", raising=False)
    for name in ("optuna", "optuna.samplers"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra) as caught:
        room.LuthierSampler
    assert str(caught.value) == 'LuthierSampler needs optuna. Install it with: pip install "luthier[integrations]"'
    with pytest.raises(ArgumentError, match="is no study of Optuna"):
        room.read_study(3)


@real
@pytest.mark.parametrize("searcher", ["random", "tpe", "gp", "cqr"])
def test_optimize_finds_the_bowl_and_one_seed_decides_all(searcher):
    def search(seed):
        study = optuna.create_study(sampler=room.LuthierSampler(searcher, seed=seed))
        study.optimize(bowl, n_trials=24)
        return study

    study = search(3)
    assert params(study) == params(search(3)) != params(search(4))
    values = [trial.value for trial in study.trials]
    if searcher != "random":
        assert min(values[12:]) < min(values[:12])
        assert sorted(values[12:])[6] < sorted(values[:12])[6] / 2, "the later half is far better than the first"


@real
def test_ask_and_tell_with_a_space_that_is_given_equals_luthiers_own_study():
    """A proposal is the searcher's own: the same as a luthier study makes that was told the same."""
    study = optuna.create_study(sampler=room.LuthierSampler("cqr", space=SPACE, seed=5))
    own = lu.Study(SPACE, "loss", searcher="cqr", seed=5, defaults_first=False)
    forms = {name: room.distribution_of(domain) for name, domain in SPACE.items()}
    for _ in range(14):
        trial = study.ask(forms)
        [mine] = own.ask()
        assert trial.params == dict(mine.config)
        value = (trial.params["x"] - 1) ** 2 + (trial.params["kind"] == "b")
        study.tell(trial, value)
        own.tell(mine.number, {"loss": value})


@real
def test_a_conditional_space_is_proposed_jointly_when_it_is_given():
    space = lu.Space(
        opt=lu.Choice("sgd", "adam"),
        lr=lu.Float(1e-4, 1.0, log=True),
        momentum=lu.Float(0.0, 0.99, when=("opt", "sgd")),
    )

    def train(trial):
        loss = abs(trial.suggest_float("lr", 1e-4, 1.0, log=True) - 0.1)
        if trial.suggest_categorical("opt", ["sgd", "adam"]) == "sgd":
            loss += 1 - trial.suggest_float("momentum", 0.0, 0.99)
        return loss

    study = optuna.create_study(sampler=room.LuthierSampler("tpe", space=space, seed=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error", LuthierWarning)
        study.optimize(train, n_trials=20)
    assert {"momentum" in trial.params for trial in study.trials} == {True, False}


@real
def test_what_is_not_in_all_trials_is_drawn_at_random_and_said_once():
    def train(trial):
        if trial.suggest_categorical("opt", ["sgd", "adam"]) == "sgd":
            return trial.suggest_float("momentum", 0.0, 0.99)
        return 1.0

    study = optuna.create_study(sampler=room.LuthierSampler("tpe", seed=0))
    with pytest.warns(LuthierWarning, match="parameter 'momentum' of trial .* is drawn at random: it is not in all"):
        study.optimize(train, n_trials=12)
    quiet = optuna.create_study(sampler=room.LuthierSampler("tpe", seed=0, warn_independent_sampling=False))
    quiet.optimize(train, n_trials=12)
    assert len(study.trials) == len(quiet.trials) == 12, "two values of 'opt' alone are not the whole space"


@real
def test_pruned_failed_running_and_enqueued_trials():
    study = optuna.create_study(sampler=room.LuthierSampler("gp", seed=0))
    study.enqueue_trial({"x": 1.0, "y": 1.0, "kind": "a"})

    def uneven(trial):
        value = bowl(trial)
        if trial.number % 4 == 1:
            trial.report(value, 1)
            raise optuna.TrialPruned
        if trial.number % 4 == 2:
            return float("nan")
        return value

    study.optimize(uneven, n_trials=12)
    assert study.trials[0].params == {"x": 1.0, "y": 1.0, "kind": "a"}
    first, second = study.ask(), study.ask()
    bowl(first), bowl(second)
    assert first.params != second.params


@real
def test_several_objectives_and_constraints():
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=room.LuthierSampler("nsga2", seed=0))
    study.optimize(lambda trial: (bowl(trial), trial.params["x"]), n_trials=15)
    assert len(study.best_trials) > 1

    def bounded(trial):
        value = bowl(trial)
        trial.set_user_attr("c", [trial.params["x"]])
        return value

    search = optuna.create_study(
        sampler=room.LuthierSampler("gp", seed=0, constraints_func=lambda trial: trial.user_attrs["c"])
    )
    search.optimize(bounded, n_trials=18)
    late = [trial.params["x"] for trial in search.trials[10:]]
    assert sum(x <= 0 for x in late) > len(late) / 2, "the optimum at x=1 is not feasible"


@real
def test_a_finite_space_ends_the_study_and_choices_may_be_anything():
    odd = [(1, 2), (3,), None]

    def train(trial):
        return len(trial.suggest_categorical("shape", odd) or ()) + trial.suggest_int("n", 1, 2)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's own, of tuples
        study = optuna.create_study(sampler=room.LuthierSampler("random", seed=0))
        study.optimize(train, n_trials=50)
    assert 6 <= len(study.trials) <= 8
    assert len({tuple(sorted(map(str, p.items()))) for p in params(study)}) == 6


@real
def test_a_sampler_is_kept_by_pickle_and_goes_on_with_a_stored_study(tmp_path):
    url = f"sqlite:///{tmp_path}/o.db"

    def search(sampler, trials):
        study = optuna.create_study(storage=url, study_name="s", load_if_exists=True, sampler=sampler)
        study.optimize(bowl, n_trials=trials)
        return study

    sampler = room.LuthierSampler("tpe", seed=1)
    search(sampler, 6)
    resumed = search(pickle.loads(pickle.dumps(sampler)), 4)
    whole = optuna.create_study(sampler=room.LuthierSampler("tpe", seed=1))
    whole.optimize(bowl, n_trials=10)
    assert params(resumed) == params(whole)


@real
def test_mistakes():
    with pytest.raises(ArgumentError, match="has no name"):
        room.LuthierSampler({"population": 3})
    with pytest.raises(Exception, match="nope"):
        room.LuthierSampler("nope")
    with pytest.raises(ArgumentError, match="popluation"):
        room.LuthierSampler({"name": "evolution", "popluation": 3})


# reading -----------------------------------------------------------------------------------------------------


def finished(tmp_path, kind):
    url = f"sqlite:///{tmp_path}/old.db"
    if kind == "journal":
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "old.log")))
    else:
        storage = {"memory": None, "rdb": url}[kind]
    study = optuna.create_study(storage=storage, study_name="old", sampler=optuna.samplers.RandomSampler(seed=0))

    def reported(trial):
        value = bowl(trial)
        for step in range(3):
            trial.report(value + 2 - step, step)
        return value

    study.optimize(reported, n_trials=8)
    return {"memory": study, "rdb": url, "journal": tmp_path / "old.log"}[kind], study


@real
@pytest.mark.parametrize("kind", ["memory", "rdb", "journal"])
def test_a_study_becomes_past_and_its_trials_are_added(tmp_path, kind):
    source, study = finished(tmp_path, kind)
    history = room.read_study(source, rename={"x": "shift"}, objectives=["loss"])
    assert set(history.space.names) == {"shift", "y", "kind"}
    assert [trial.metrics["loss"] for trial in history.trials] == [trial.value for trial in study.trials]
    task = room.past_task(source, objectives=["loss"])
    assert len(task.observations) == 8
    assert task.name == "old"
    own = lu.Study(SPACE, "loss", past=[task], searcher="random")
    assert any(dict(own.ask()[0].config) == study.best_params for _ in range(2))
    axis = lu.Study(SPACE, "loss", fidelity=("epoch", 1, 3), searcher="random")
    assert room.add_trials(axis, source, rename={"step": "epoch"}) == 8
    assert [report.resource for report in axis.trials[0].reports] == [1, 2, 3]
    assert axis.best.metrics["loss"] == study.best_value
    assert axis.trials[3].tags["optuna"] == "3"


@real
def test_trials_that_do_not_fit_are_left_out_with_a_word(tmp_path):
    source, study = finished(tmp_path, "memory")
    narrow = lu.Study(lu.Space(x=lu.Float(-5, 0), more=lu.Int(1, 4, default=2)), "loss", searcher="random")
    with pytest.warns(LuthierWarning, match="lie outside of the space, and are left out"):
        added = room.add_trials(narrow, source)
    assert added == sum(trial.params["x"] <= 0 for trial in study.trials)
    assert {trial.config["more"] for trial in narrow.trials} == {2}
    with pytest.raises(ArgumentError, match=r"rename names \['z'\]"):
        room.read_study(source, rename={"z": "x"})
    with pytest.raises(ArgumentError, match="Allowed: 1 names"):
        room.read_study(source, objectives=["a", "b"])
    other = lu.Study(SPACE, lu.Objective("acc", "max"), searcher="random")
    with pytest.raises(ArgumentError, match="Allowed: the same directions"):
        room.add_trials(other, source)


@real
def test_one_sampler_for_many_studies_remembers_none_that_is_gone():
    """Python gives a study's number to a later one."""
    sampler, found = room.LuthierSampler("random", seed=0), set()
    for _ in range(40):
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=4)
        found.add(tuple(t.params["x"] for t in study.trials))
        assert sampler._made[0]() is study
        assert sampler._made[4] == {0, 1, 2}
        del study
    assert len(found) == 1
