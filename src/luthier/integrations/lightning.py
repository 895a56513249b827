"""Lightning: a callback that reports, stops and keeps checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from luthier.base.errors import ArgumentError, did_you_mean
from luthier.base.imports import need
from luthier.integrations._late import joined, late
from luthier.integrations._reporting import Reporter, numbers
from luthier.runtime.executors import Run

AXES = ("epoch", "step")
FILE = "model.ckpt"


class _Callback:
    """Tells a study what a `Trainer` has logged, ends the training when the study says so, and keeps its checkpoints.

    ```python
    def train(run):
        callback = LuthierCallback(run, monitor="val_loss")
        trainer = Trainer(max_epochs=9, callbacks=[callback], ...)
        trainer.fit(Model(**run.config), loader, valid, ckpt_path=callback.checkpoint)


    lu.Study(space, "val_loss", fidelity=("epoch", 1, 9), scheduler="asha").run(train, trials=50)
    ```

    It reports at the end of each epoch after which there was a validation (after every epoch, without validation data);
    with the resource "step" after each validation. A trial that the study ends or sets aside leaves `fit` as early
    stopping does.

    Args:
        run: What luthier gives to the function; None in a program that `luthier tune --command` started, also one of
            several processes, of which the first reports.
        monitor: Logged metric or metrics to report; None: all.
        save: Make each reported state a checkpoint that a paused or lost trial goes on from; None: where the study has
            a folder and a resource, and one process trains.

    Raises:
        ArgumentError: a metric that was not logged, or a resource that the trainer does not count.
        UnsupportedError: a run, and a training of several processes.
    """

    def __init__(
        self, run: Run | None, monitor: str | Sequence[str] | None = None, *, save: bool | None = None
    ) -> None:
        self._study = Reporter(run, what="LuthierCallback")
        self._only = [monitor] if isinstance(monitor, str) else None if monitor is None else list(monitor)
        axis = self._study.axis
        if axis is not None and axis not in AXES:
            raise ArgumentError(
                f"LuthierCallback: the study's resource is {axis!r}. Allowed: {', '.join(map(repr, AXES))}. Write "
                "fidelity=('epoch', 1, 9)."
            )
        self._saves = (self._study.keeps and axis is not None) if save is None else save
        self._validated = False

    @property
    def checkpoint(self) -> str | None:
        """What to give to `trainer.fit(ckpt_path=...)`; None for a fresh start."""
        start = self._study.start
        return None if start is None else str(start / FILE)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Judge whether this training can be followed."""
        self._study.alone(int(trainer.world_size))
        self._saves = self._saves and int(trainer.world_size) == 1

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """What was logged is fresh."""
        if not trainer.sanity_checking:
            self._validated = True
            if self._study.axis == "step":
                self._report(trainer, float(trainer.global_step))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Report the epoch, unless it had no validation."""
        if (self._validated or not trainer.enable_validation) and self._study.axis != "step":
            self._report(trainer, None if self._study.axis is None else float(trainer.current_epoch + 1))

    def _report(self, trainer: Any, resource: float | None) -> None:
        self._validated = False
        if self._study.over:
            return
        metrics = self._chosen(numbers(trainer.callback_metrics))
        if trainer.is_global_zero:
            if self._saves:
                with self._study.save(resource or 0) as folder:
                    trainer.save_checkpoint(folder / FILE)
            on = self._study.report(metrics, resource)
        else:
            on = not self._study.reached(resource)
        if not on:
            trainer.should_stop = True

    def _chosen(self, logged: Mapping[str, float]) -> dict[str, float]:
        if self._only is None:
            if not logged:
                raise ArgumentError(
                    "LuthierCallback: nothing is logged. Allowed: at least the objective. Write "
                    "self.log('val_loss', loss) in validation_step."
                )
            return dict(logged)
        for name in self._only:
            if name not in logged:
                raise ArgumentError(
                    f"LuthierCallback: monitor={name!r} is not logged. {did_you_mean(name, logged)} Write "
                    f"self.log({name!r}, ...) in validation_step."
                )
        return {name: logged[name] for name in self._only}


def _callback() -> type:
    base = need("lightning.pytorch", what="LuthierCallback", extra="integrations").Callback
    return joined(__name__, "LuthierCallback", _Callback, base)


__getattr__ = late(__name__, {"LuthierCallback": _callback})

if TYPE_CHECKING:
    LuthierCallback = _Callback
