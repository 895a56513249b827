"""Hugging Face Trainer: a callback that reports, stops and keeps checkpoints, and a search over its arguments."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.base.errors import ArgumentError, TrialError
from luthier.base.imports import need
from luthier.base.records import Objective, Trial
from luthier.integrations._late import joined, late
from luthier.integrations._reporting import Reporter, numbers
from luthier.runtime.executors import Run
from luthier.space.space import Space
from luthier.study import Result, Study

#: Names of a resource -> where the trainer's state has it.
AXES = {"epoch": "epoch", "step": "global_step", "tokens": "num_input_tokens_seen"}


class _Callback:
    """Tells a study what `Trainer` evaluates, ends the training when the study says so, and keeps its checkpoints.

    ```python
    def train(run):
        args = TrainingArguments(run.folder / "hf", eval_strategy="epoch", learning_rate=run.config["lr"])
        callback = LuthierCallback(run)
        trainer = Trainer(make_model(), args, callbacks=[callback], ...)
        trainer.train(resume_from_checkpoint=callback.checkpoint)


    lu.Study(space, "eval_loss", fidelity=("epoch", 1, 3), scheduler="asha").run(train, trials=20)
    ```

    Every number of an evaluation is reported under the name that the trainer gives it ("eval_loss"). The resource is
    the study's: "epoch", "step" or "tokens".

    Args:
        run: What luthier gives to the function; None in a program that `luthier tune --command` started, also one of
            several processes (torchrun), of which the first reports.
        metric: Keep to these metrics; None: all numbers.
        save: Make each evaluated state a checkpoint that a paused or lost trial goes on from; None: where the study has
            a folder and a resource.

    Raises:
        ArgumentError: nothing would be evaluated, or the resource is none of the trainer's.
        UnsupportedError: a run, and a training of several processes.
    """

    def __init__(self, run: Run | None, *, metric: str | Sequence[str] | None = None, save: bool | None = None) -> None:
        self._study = Reporter(run, what="LuthierCallback")
        self._only = [metric] if isinstance(metric, str) else None if metric is None else list(metric)
        axis = self._study.axis
        if axis is not None and axis not in AXES:
            raise ArgumentError(
                f"LuthierCallback: the study's resource is {axis!r}. Allowed: {', '.join(map(repr, AXES))}. Write "
                "fidelity=('epoch', 1, 3)."
            )
        self._saves = (self._study.keeps and axis is not None) if save is None else save
        self._waiting: tuple[dict[str, float], float | None] | None = None
        #: What to report, from what was evaluated; None: that itself.
        self.derive: Callable[[Mapping[str, float]], dict[str, float]] | None = None

    @property
    def checkpoint(self) -> str | None:
        """What to give to `trainer.train(resume_from_checkpoint=...)`; None for a fresh start."""
        start = self._study.start
        return None if start is None else str(start)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Judge whether anything will be reported."""
        self._study.alone(int(args.world_size))
        if str(getattr(args.eval_strategy, "value", args.eval_strategy)) == "no":
            raise ArgumentError(
                "LuthierCallback with eval_strategy='no': nothing would be reported. Allowed: 'epoch' or 'steps'. "
                "Write TrainingArguments(..., eval_strategy='epoch')."
            )

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Report, or first have the state saved that was evaluated."""
        if not state.is_world_process_zero:
            control.should_training_stop = control.should_training_stop or self._study.reached(self._spent(state))
            return
        if self._study.over:
            return
        found = numbers(metrics or {})
        found = {name: found[name] for name in self._only if name in found} if self._only else found
        found.pop("epoch", None)
        self._waiting = found, self._spent(state)
        if self._saves:
            control.should_save = True  # `on_save` goes on
        else:
            self._report(control)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The evaluated state is on disk: make it the trial's, and report."""
        if self._waiting is None or not self._saves:
            return
        saved = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        with self._study.save(self._waiting[1] or 0) as folder:
            shutil.copytree(saved, folder, copy_function=_link, dirs_exist_ok=True)
        self._report(control)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """What was evaluated and then not saved (a save strategy of its own) is reported all the same."""
        self._report(control)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """As above."""
        self._report(control)

    def _report(self, control: Any) -> None:
        if self._waiting is not None:
            found, spent = self._waiting
            self._waiting = None
            if not self._study.report(found if self.derive is None else self.derive(found), spent):
                control.should_training_stop = True
        elif self._study.over:
            control.should_training_stop = True

    def _spent(self, state: Any) -> float | None:
        axis = self._study.axis
        if axis is None:
            return None
        spent = getattr(state, AXES[axis]) or 0
        return round(float(spent), 6)  # an epoch is a sum of steps


def _link(source: str, target: str) -> None:
    """Two names for one file, where the file system can: weights are large, and never changed in place."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _callback() -> type:
    base = need("transformers", what="LuthierCallback", extra="llm").TrainerCallback
    return joined(__name__, "LuthierCallback", _Callback, base)


def hyperparameter_search(
    trainer: Any,
    space: Space | Mapping[str, Any],
    *,
    n_trials: int = 20,
    direction: str | Sequence[str] = "minimize",
    compute_objective: Callable[[dict[str, float]], Any] | None = None,
    timeout: float | None = None,
    searcher: str | Mapping[str, Any] = "auto",
    scheduler: str | Mapping[str, Any] = "straight",
    storage: str | None = None,
    study_name: str | None = None,
    seed: int = 0,
) -> Any:
    """Search the arguments of a `Trainer`, as its own `hyperparameter_search` does, by luthier.

    The space names fields of `TrainingArguments`; other names reach `model_init(trial)`, where `trial` is the
    configuration. Trials run one after another in this process; for several at once, or on several GPUs, run a function
    with `LuthierCallback`.

    Args:
        trainer: A `Trainer` with `model_init`.
        space: Where to search.
        n_trials: Configurations, those of an earlier call with the same stored study counted in (20: the trainer's).
        direction: "minimize" or "maximize"; several for several objectives.
        compute_objective: From an evaluation's metrics to the objective, or to a list of them; None: the trainer's
            default, the loss where there is no other metric, else the sum of the others.
        timeout: Seconds after which the search ends.
        searcher: Who proposes.
        scheduler: Who ends hopeless trials; all but "straight" have the epochs as resource, and need
            eval_strategy="epoch".
        storage: URL of a store; None: in memory.
        study_name: Name in the store.
        seed: Decides every draw.

    Returns:
        A `BestRun` with the study's result as `run_summary`; a list, the Pareto set, for several objectives.

    Raises:
        ArgumentError: no model_init, or a direction that is none.
    """
    utilities = need("transformers.trainer_utils", what="hyperparameter_search", extra="llm")
    if trainer.model_init is None:
        raise ArgumentError(
            "hyperparameter_search: the trainer has no model_init. Allowed: Trainer(model_init=make_model, ...), since "
            "every trial needs a fresh model."
        )
    goals = [direction] if isinstance(direction, str) else list(direction)
    for goal in goals:
        if goal not in ("minimize", "maximize"):
            raise ArgumentError(f"direction={goal!r}. Allowed: 'minimize', 'maximize'.")
    names = ["objective"] if len(goals) == 1 else [f"objective_{i}" for i in range(len(goals))]
    epochs = int(trainer.args.num_train_epochs)
    study = Study(
        space,
        [Objective(name, "max" if goal == "maximize" else "min") for name, goal in zip(names, goals, strict=True)],
        searcher=searcher,
        scheduler=scheduler,
        fidelity=None if scheduler == "straight" else ("epoch", 1, epochs),
        storage=storage,
        name=study_name,
        seed=seed,
    )
    search = _Search(trainer, names, compute_objective or utilities.default_compute_objective)
    try:
        result = study.run(search, trials=n_trials, seconds=timeout)
    finally:
        study.close()
    if not result.pareto:
        told = next((f", the last failure: {t.error}" for t in reversed(result.trials) if t.error), "")
        raise TrialError(f"hyperparameter_search: no trial has a result{told}. Mend the training, or give more trials.")
    best = [_best_run(utilities.BestRun, trial, names, result) for trial in result.pareto]
    return best if len(goals) > 1 else best[0]


def _best_run(kind: Any, trial: Trial, names: Sequence[str], result: Result) -> Any:
    values = [trial.metrics[name] for name in names]
    return kind(str(trial.number), values[0] if len(values) == 1 else values, dict(trial.config), result)


class _Search:
    """Trains a trainer with a trial's configuration, and leaves it as it was."""

    def __init__(self, trainer: Any, names: Sequence[str], objective: Callable[[dict[str, float]], Any]) -> None:
        self._trainer, self._names, self._objective = trainer, names, objective

    def __call__(self, run: Run) -> dict[str, float] | None:
        trainer = self._trainer
        kept = {
            name: getattr(trainer.args, name) for name in (*run.config, "output_dir") if hasattr(trainer.args, name)
        }
        callback = None
        if run.fidelity is not None:
            kind: Any = __getattr__("LuthierCallback")
            callback = kind(run, save=False)
            callback.derive = self._metrics
            trainer.add_callback(callback)
        try:
            for name in kept.keys() & run.config.keys():
                old = kept[name]
                setattr(trainer.args, name, run.config[name] if old is None else type(old)(run.config[name]))
            trainer.args.output_dir = os.path.join(kept["output_dir"], f"run-{run.number}")
            if hasattr(trainer, "create_accelerator_and_postprocess"):
                trainer.create_accelerator_and_postprocess()  # the batch size may be another one
            trainer.train(trial=dict(run.config))
            return None if callback is not None else self._metrics(numbers(trainer.evaluate()))
        finally:
            if callback is not None:
                trainer.remove_callback(callback)
            for name, value in kept.items():
                setattr(trainer.args, name, value)

    def _metrics(self, metrics: Mapping[str, float]) -> dict[str, float]:
        found = self._objective(dict(metrics))
        values = found if isinstance(found, Sequence) else [found]
        if len(values) != len(self._names):
            raise ArgumentError(
                f"compute_objective gave {len(values)} values for {len(self._names)} directions. Allowed: one each."
            )
        return {**metrics, **dict(zip(self._names, map(float, values), strict=True))}


__getattr__ = late(__name__, {"LuthierCallback": _callback})

if TYPE_CHECKING:
    LuthierCallback = _Callback
