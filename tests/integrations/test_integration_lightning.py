"""The callback against the real Lightning, on a model that trains in a blink."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, MissingExtra, TrialError, UnsupportedError

HERE = str(Path(__file__).parent)
real = pytest.mark.skipif(importlib.util.find_spec("lightning") is None, reason="lightning is not installed")
SPACE = lu.Space(lr=lu.Float(1e-3, 1.0, log=True, default=0.3))


def test_without_lightning_one_line_says_what_to_install(monkeypatch):
    import luthier.integrations.lightning as room

    monkeypatch.delitem(vars(room), "LuthierCallback", raising=False)
    for name in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra) as caught:
        room.LuthierCallback
    assert str(caught.value) == 'LuthierCallback needs lightning. Install it with: pip install "luthier[integrations]"'


def modules():
    import torch
    from lightning.pytorch import LightningModule, Trainer

    return torch, LightningModule, Trainer


def parts(lr):
    torch, LightningModule, _ = modules()

    class Line(LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1, bias=False)
            torch.nn.init.zeros_(self.layer.weight)

        def training_step(self, batch, index):
            loss = ((self.layer(batch[0]) - batch[1]) ** 2).mean()
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch, index):
            self.log("val_loss", ((self.layer(batch[0]) - batch[1]) ** 2).mean())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=lr, momentum=0.5)

    x = torch.arange(8.0)[:, None] / 8
    data = torch.utils.data.TensorDataset(x, 2 * x)
    return Line(), torch.utils.data.DataLoader(data, batch_size=4), torch.utils.data.DataLoader(data, batch_size=8)


def fit(callbacks, lr, *, folder=None, ckpt_path=None, valid=True, **options):
    _, _, Trainer = modules()
    trainer = Trainer(
        **{"max_epochs": 3, **options},
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=callbacks,
        default_root_dir=folder,
    )
    model, loader, validation = parts(lr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, loader, validation if valid else None, ckpt_path=ckpt_path)
    return trainer


def callback(run, *args, **options):
    modules()
    from luthier.integrations.lightning import LuthierCallback

    return LuthierCallback(run, *args, **options)


@real
def test_asha_ends_trainings_after_an_epoch(tmp_path):
    epochs = {}

    def train(run):
        epochs[run.number] = fit([callback(run, "val_loss")], run.config["lr"], folder=tmp_path).current_epoch

    study = lu.Study(SPACE, "val_loss", fidelity=("epoch", 1, 3), scheduler="asha", searcher="random", seed=1)
    result = study.run(train, trials=5)
    assert {trial.resource for trial in result.trials} == {1, 3}
    assert [epochs[trial.number] for trial in result.trials] == [trial.resource for trial in result.trials]
    assert result.best.metrics["val_loss"] < 0.3
    assert set(result.best.metrics) == {"val_loss"}


@real
def test_a_paused_trial_goes_on_from_lightnings_checkpoint(tmp_path):
    runs = []

    def train(run):
        heard = callback(run)
        trainer = fit([heard], run.config["lr"], folder=tmp_path, ckpt_path=heard.checkpoint)
        runs.append((run.number, run.after, trainer.global_step))

    study = lu.Study(
        SPACE,
        "val_loss",
        fidelity=("epoch", 1, 3),
        scheduler={"name": "asha", "type": "promotion"},
        searcher="random",
        seed=1,
        folder=tmp_path / "study",
    )
    result = study.run(train, trials=4)
    again = [run for run in runs if run[1]]
    assert again, "nothing was promoted"
    assert again[0][1:] == (1, 6)  # two steps an epoch: it ended at epoch 3
    trial = result.trials[again[0][0]]
    assert [report.resource for report in trial.reports] == [1, 2, 3]
    alone = fit([], trial.config["lr"], folder=tmp_path)
    assert float(alone.callback_metrics["val_loss"]) == pytest.approx(trial.metrics["val_loss"], rel=1e-5)


@real
def test_without_a_resource_without_validation_and_with_fewer_validations(tmp_path):
    def simple(run):
        fit([callback(run, ["train_loss"])], run.config["lr"], folder=tmp_path, valid=False)

    result = lu.Study(SPACE, "train_loss", searcher="random").run(simple, trials=2)
    assert [len(trial.reports) for trial in result.trials] == [3, 3]

    def seldom(run):
        fit([callback(run, "val_loss")], run.config["lr"], folder=tmp_path, max_epochs=4, check_val_every_n_epoch=2)

    result = lu.Study(SPACE, "val_loss", searcher="random", fidelity=("epoch", 1, 4)).run(seldom, trials=1)
    assert [report.resource for report in result.trials[0].reports] == [2, 4]


@real
def test_steps_as_the_resource(tmp_path):
    def train(run):
        fit([callback(run, "val_loss")], run.config["lr"], folder=tmp_path, val_check_interval=1)

    result = lu.Study(SPACE, "val_loss", searcher="random", fidelity=("step", 1, 4)).run(train, trials=1)
    assert [report.resource for report in result.trials[0].reports] == [1, 2, 3, 4]


@real
def test_mistakes(tmp_path):
    def misspelt(run):
        fit([callback(run, "val_los")], run.config["lr"], folder=tmp_path)

    with pytest.raises(TrialError, match=r"monitor='val_los' is not logged\. Did you mean 'val_loss'\?"):
        lu.Study(SPACE, "val_loss", searcher="random").run(misspelt, trials=1, give_up=1)
    with pytest.raises(ArgumentError, match="Allowed: the run that luthier gives"):
        callback("run")

    def alone(run):
        with pytest.raises(UnsupportedError, match="in a training of 2 processes"):
            callback(run)._study.alone(2)
        return 0.0

    lu.Study(SPACE, "val_loss", searcher="random").run(alone, trials=1)


PROGRAM = """
import argparse
import sys

sys.path.insert(0, {tests!r})
import test_integration_lightning as here

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
if __name__ == "__main__":
    here.fit([here.callback(None, "val_loss")], parser.parse_args().lr, folder={folder!r}, {more})
"""


@real
@pytest.mark.slow
@pytest.mark.parametrize("more", ["", "devices=2, strategy='ddp'"])
def test_a_program_of_one_process_and_of_two(tmp_path, more):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(tests=HERE, folder=str(tmp_path), more=more))
    study = lu.Study(
        SPACE,
        "val_loss",
        fidelity=("epoch", 1, 3),
        scheduler="asha",
        searcher="random",
        seed=1,
        folder=tmp_path / "study",
    )
    result = study.run(lu.Command(f"{sys.executable} {program} --lr {{lr}}"), trials=2 if more else 3)
    assert result.counts.get("failed", 0) == 0, [trial.error for trial in result.trials]
    assert {trial.resource for trial in result.trials} == ({3} if more else {1, 3})
    assert result.best.metrics["val_loss"] < 0.5
