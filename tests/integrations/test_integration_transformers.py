"""The callback and the search against the real Trainer, on a model that trains in a blink."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError, MissingExtra, TrialError, UnsupportedError

if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("torch") is None:
    pytest.skip("transformers or torch is not installed", allow_module_level=True)

import torch
from transformers import PretrainedConfig, PreTrainedModel, TrainerControl, TrainerState
from transformers.trainer_callback import CallbackHandler

from luthier.integrations.transformers import LuthierCallback, hyperparameter_search
from luthier.runtime.executors import Launch, Run

trainer_works = pytest.mark.skipif(
    importlib.util.find_spec("accelerate") is None, reason="transformers' Trainer needs accelerate: not installed"
)
SPACE = lu.Space(learning_rate=lu.Float(1e-3, 1.0, log=True, default=0.3))


class Line(PreTrainedModel):
    """y = w x, with the loss in its output, as the trainer wants it."""

    config_class = PretrainedConfig

    def __init__(self, config=None):
        super().__init__(config or PretrainedConfig())
        self.layer = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.layer.weight)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, x, labels=None):
        out = self.layer(x)
        return {"loss": ((out - labels) ** 2).mean(), "logits": out}


ROWS = [{"x": torch.tensor([i / 8.0]), "labels": torch.tensor([2 * i / 8.0])} for i in range(8)]


def trainer(folder, callbacks=(), **options):
    from transformers import Trainer, TrainingArguments

    options = {"eval_strategy": "epoch", "save_strategy": "no", "num_train_epochs": 3, **options}
    arguments = TrainingArguments(
        str(folder),
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        logging_strategy="no",
        optim="sgd",
        lr_scheduler_type="constant",
        per_device_train_batch_size=4,
        **options,
    )
    return Trainer(
        model_init=lambda: Line(), args=arguments, train_dataset=ROWS, eval_dataset=ROWS, callbacks=list(callbacks)
    )


class Heard:
    """A channel that keeps what is reported and ends the run at a resource."""

    def __init__(self, stop_at=None):
        self.messages, self.stop_at = [], stop_at

    def report(self, message):
        self.messages.append(message)
        return lu.Decision.STOP if message.resource == self.stop_at else lu.Decision.CONTINUE


def run_of(channel, **options):
    options = {"fidelity": lu.Fidelity("epoch", 1, 3), **options}
    return Run(Launch(0, 1, lu.Configuration(learning_rate=0.3), **options), channel)


def handled(callback, *, world=1, eval_strategy="epoch"):
    """What the trainer does with callbacks, without a training."""
    args = SimpleNamespace(world_size=world, eval_strategy=eval_strategy)  # the real ones need accelerate
    handler = CallbackHandler([callback], None, None, None, None)
    return handler, args, TrainerState(epoch=0.0, is_world_process_zero=True), TrainerControl()


def test_an_evaluation_becomes_a_report_and_a_stop_ends_the_training():
    heard = Heard(stop_at=2)
    callback = LuthierCallback(run_of(heard))
    handler, args, state, control = handled(callback)
    handler.on_train_begin(args, state, control)
    state.epoch = 0.9999999999
    control = handler.on_evaluate(args, state, control, {"eval_loss": 0.5, "epoch": 1.0, "eval_word": "no"})
    assert (heard.messages[0].metrics, heard.messages[0].resource) == ({"eval_loss": 0.5}, 1)
    assert not control.should_training_stop
    state.epoch = 2.0
    control = handler.on_evaluate(args, state, control, {"eval_loss": 0.4})
    assert control.should_training_stop
    control = handler.on_evaluate(args, state, control, {"eval_loss": 0.3})
    assert len(heard.messages) == 2


def test_the_grant_ends_a_training_that_is_longer():
    heard = Heard()
    handler, args, state, control = handled(LuthierCallback(run_of(heard, until=1)))
    state.epoch = 1.0
    assert handler.on_evaluate(args, state, control, {"eval_loss": 0.5}).should_training_stop


def test_only_the_metrics_wanted_and_steps_as_the_resource():
    heard = Heard()
    callback = LuthierCallback(run_of(heard, fidelity=lu.Fidelity("step", 10, 100)), metric="eval_f1")
    handler, args, state, control = handled(callback)
    state.global_step = 10
    handler.on_evaluate(args, state, control, {"eval_loss": 0.5, "eval_f1": 0.7})
    assert (heard.messages[0].metrics, heard.messages[0].resource) == ({"eval_f1": 0.7}, 10)


def test_mistakes():
    with pytest.raises(ArgumentError, match=r"LuthierCallback\(3\)\. Allowed: the run that luthier gives"):
        LuthierCallback(3)
    with pytest.raises(ArgumentError, match=r"the study's resource is 'fold'\. Allowed: 'epoch', 'step', 'tokens'"):
        LuthierCallback(run_of(Heard(), fidelity=lu.Fidelity("fold", 1, 3)))
    callback = LuthierCallback(run_of(Heard()))
    handler, args, state, control = handled(callback, eval_strategy="no")
    with pytest.raises(ArgumentError, match="eval_strategy='no': nothing would be reported"):
        handler.on_train_begin(args, state, control)
    handler, args, state, control = handled(callback, world=4)
    with pytest.raises(UnsupportedError, match="in a training of 4 processes"):
        handler.on_train_begin(args, state, control)


def test_a_program_reports_by_lines(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LUTHIER_FIDELITY", "epoch")
    monkeypatch.setenv("LUTHIER_RESOURCE_UNTIL", "2")
    handler, args, state, control = handled(LuthierCallback(None))
    state.epoch = 1.0
    assert not handler.on_evaluate(args, state, control, {"eval_loss": 0.5}).should_training_stop
    state.epoch = 2.0
    assert handler.on_evaluate(args, state, control, {"eval_loss": 0.25}).should_training_stop
    assert capsys.readouterr().out == '{"eval_loss": 0.5, "epoch": 1}\n{"eval_loss": 0.25, "epoch": 2}\n'.replace(
        "1}", "1.0}"
    ).replace("2}", "2.0}")


def test_without_transformers_one_line_says_what_to_install(monkeypatch):
    import luthier.integrations.transformers as room

    monkeypatch.delitem(vars(room), "LuthierCallback", raising=False)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"LuthierCallback needs transformers\. Install it with: pip install"):
        room.LuthierCallback
    with pytest.raises(AttributeError, match="no attribute 'Callback'"):
        room.Callback


@trainer_works
def test_asha_over_epochs_of_a_real_training(tmp_path):
    def train(run):
        callback = LuthierCallback(run)
        one = trainer(tmp_path / f"hf{run.number}", [callback], learning_rate=run.config["learning_rate"])
        one.train()

    study = lu.Study(SPACE, "eval_loss", fidelity=("epoch", 1, 3), scheduler="asha", searcher="random", seed=1)
    result = study.run(train, trials=5)
    assert result.best.metrics["eval_loss"] < 0.2
    assert result.best.resource == 3
    ended = {trial.resource for trial in result.trials}
    assert ended == {1, 3}, "some trials end after their first epoch"
    assert all(trial.status.value in ("completed", "stopped") for trial in result.trials)


@trainer_works
def test_a_paused_trial_goes_on_from_the_trainers_checkpoint(tmp_path):
    began = []

    def train(run):
        callback = LuthierCallback(run)
        one = trainer(tmp_path / f"hf{run.number}", [callback], learning_rate=run.config["learning_rate"])
        one.train(resume_from_checkpoint=callback.checkpoint)
        began.append((run.number, run.after, one.state.global_step))

    study = lu.Study(
        SPACE,
        "eval_loss",
        fidelity=("epoch", 1, 3),
        scheduler={"name": "asha", "type": "promotion"},
        searcher="random",
        seed=1,
        folder=tmp_path / "study",
    )
    result = study.run(train, trials=4)
    goes_on = [one for one in began if one[1]]
    assert goes_on, "nothing was promoted"
    number, after, steps = goes_on[0]
    assert (after, steps) == (1, 6)  # two steps an epoch: the last run ended at epoch 3
    trial = study.trials[number]
    assert [report.resource for report in trial.reports] == [1, 2, 3]
    alone = trainer(tmp_path / "alone", learning_rate=trial.config["learning_rate"])
    alone.train()
    assert alone.evaluate()["eval_loss"] == pytest.approx(trial.metrics["eval_loss"], rel=1e-4)
    assert result.best.resource == 3


def broken(metrics):
    raise ValueError("no")


@trainer_works
def test_hyperparameter_search_as_the_trainer_has_it(tmp_path):
    one = trainer(tmp_path, num_train_epochs=2, eval_strategy="no")
    before = one.args.learning_rate
    kept = {"storage": f"sqlite:///{tmp_path / 'kept.db'}", "study_name": "kept"}
    best = hyperparameter_search(one, SPACE, n_trials=4, searcher="random", seed=0, **kept)
    session = lu.Study.open(kept["storage"])._session
    assert session.storage.drivers(session.study) == [], "it has said goodbye"
    assert best.objective < 0.2
    assert set(best.hyperparameters) == {"learning_rate"}
    assert best.run_summary.best.number == int(best.run_id)
    assert one.args.learning_rate == before
    with pytest.raises(TrialError, match="no trial has a result, the last failure: ValueError: no"):
        hyperparameter_search(one, SPACE, n_trials=2, searcher="random", compute_objective=broken)
    raced = hyperparameter_search(
        trainer(tmp_path),
        SPACE,
        n_trials=4,
        searcher="random",
        scheduler="asha",
        direction="minimize",
        compute_objective=lambda metrics: metrics["eval_loss"] * 2,
    )
    assert raced.run_summary.best.resource == 3
    both = hyperparameter_search(
        trainer(tmp_path, num_train_epochs=1),
        SPACE,
        n_trials=3,
        searcher="random",
        direction=["minimize", "maximize"],
        compute_objective=lambda m: [m["eval_loss"], m["eval_runtime"]],
    )
    assert isinstance(both, list)
    with pytest.raises(ArgumentError, match="direction='min'"):
        hyperparameter_search(one, SPACE, direction="min")
    one.model_init = None
    with pytest.raises(ArgumentError, match="has no model_init"):
        hyperparameter_search(one, SPACE)
