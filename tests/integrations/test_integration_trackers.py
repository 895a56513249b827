"""MLflow and W&B (offline) hear of every trial, against the real packages."""

from __future__ import annotations

import importlib.util
import sys

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, LuthierWarning, MissingExtra
from luthier.integrations.mlflow import MlflowCallback
from luthier.integrations.wandb import WandbCallback

mlflow_is_here = pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed")
wandb_is_here = pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
SPACE = lu.Space(x=lu.Float(0.0, 1.0), opt=lu.Choice("sgd", "adam"))


def train(run):
    if run.number == 3:
        raise ValueError("no")
    for epoch in run.resources():
        run.report(loss=run.config["x"] + 1 / epoch, epoch=epoch)


@pytest.mark.parametrize(("make", "package"), [(MlflowCallback, "mlflow"), (WandbCallback, "wandb")])
def test_without_the_package_one_line_says_what_to_install(make, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra) as caught:
        make()
    assert str(caught.value) == (
        f'{make.__name__} needs {package}. Install it with: pip install "luthier[integrations]"'
    )


def searched(callbacks, folder=None, trials=6, **options):
    options = {"fidelity": ("epoch", 1, 9), "scheduler": "asha", "searcher": "random", **options}
    study = lu.Study(SPACE, "loss", callbacks=callbacks, folder=folder, name="demo", **options)
    return study, study.run(train, trials=trials)


@mlflow_is_here
def test_mlflow_has_every_trial_under_the_study(tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    study, result = searched([MlflowCallback(uri, tags={"team": "a"})], tmp_path / "study")
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("demo")

    def runs():
        found = client.search_runs([experiment.experiment_id])
        [parent] = [run for run in found if "luthier.trial" not in run.data.tags]
        return parent, {int(r.data.tags["luthier.trial"]): r for r in found if "luthier.trial" in r.data.tags}

    parent, trials = runs()
    assert sorted(trials) == list(range(6))
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["team"] == "a"
    assert parent.data.metrics["best/loss"] == result.best.metrics["loss"]
    assert parent.data.params["space/x"] == "Float(0.0, 1.0)"
    for trial in study.trials:
        run = trials[trial.number]
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["luthier.status"] == trial.status.value
        assert run.info.status == ("FAILED" if trial.number == 3 else "FINISHED")
        assert run.data.params == {name: str(value) for name, value in trial.config.items()}
        told = client.get_metric_history(run.info.run_id, "loss")
        assert [(m.step, m.value) for m in told] == [(r.resource, r.metrics["loss"]) for r in trial.reports]
    assert trials[3].data.tags["luthier.reason"].startswith("ValueError: no")
    study.close()

    with lu.Study.open(tmp_path / "study", callbacks=[MlflowCallback(uri)]) as again:
        again.run(train, trials=8)
    parent_again, trials = runs()
    assert parent_again.info.run_id == parent.info.run_id
    assert sorted(trials) == list(range(8))


@mlflow_is_here
def test_a_study_that_exists_is_sent_once(tmp_path):
    from mlflow import MlflowClient

    study, _ = searched([], tmp_path / "study", fidelity=None, scheduler="straight", repeats=1)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    for _ in range(2):
        MlflowCallback(uri, experiment="sent").log(study)
    client = MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name("sent").experiment_id])
    assert len(found) == 7
    one = next(run for run in found if run.data.tags.get("luthier.trial") == "0")
    assert one.info.start_time == round(study.trials[0].started * 1000)


@mlflow_is_here
def test_a_tracker_that_is_away_is_warned_of_and_ends_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    callback = MlflowCallback("http://127.0.0.1:9")
    with pytest.warns(LuthierWarning, match=r"This event is in the study's own log and not there") as told:
        _, result = searched([callback], fidelity=None, scheduler="straight", trials=2)
    assert len(result.trials) == 2
    assert len([one for one in told if one.category is LuthierWarning]) == 1


@wandb_is_here
def test_wandb_has_every_trial_in_files_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    _, result = searched([WandbCallback("demo", folder=str(tmp_path))], trials=5)
    folders = sorted(path.name for path in (tmp_path / "wandb").glob("offline-run-*"))
    assert len(folders) == 6  # five trials and the study
    content = b"".join(path.read_bytes() for path in (tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert content.count(b"demo-4") >= 1
    assert b"ValueError: no" in content
    assert result.best is not None


@wandb_is_here
def test_a_mode_that_is_none():
    with pytest.raises(ArgumentError, match="mode='ofline'"):
        WandbCallback(mode="ofline")
