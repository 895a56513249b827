"""What a user's function receives: its configuration, and the way to report."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError, MetricError
from luthier.base.records import Decision, Fidelity
from luthier.runtime.executors._base import Launch, Message
from luthier.runtime.executors._channel import Channel, TrialEnded
from luthier.runtime.executors._checkpoints import Checkpoints
from luthier.runtime.executors._folds import Folds
from luthier.runtime.executors._naming import Naming
from luthier.runtime.executors._numbers import plain_number


class Run(Naming):
    """One run of a trial, as the program that is tuned sees it.

    ```python
    def train(run):
        model = make(run.config["lr"])
        if run.checkpoint:
            model.load(run.checkpoint / "model.npz")
        for epoch in run.resources():
            loss = model.fit_one_epoch()
            with run.save() as folder:
                model.store(folder / "model.npz")
            run.report(loss=loss, epoch=epoch)
    ```

    Args:
        launch: What is to be run.
        channel: How to reach the study.
        log: File that this process's output goes to already, None when it goes nowhere in particular.
    """

    __slots__ = (
        "_checkpoints",
        "_current",
        "_ended",
        "_folds",
        "_heeded",
        "_newest",
        "_pruned",
        "_reported",
        "_saves",
        "_started",
        "log",
    )

    def __init__(self, launch: Launch, channel: Channel, *, log: Path | None = None) -> None:
        super().__init__(launch, channel)
        #: File with the output of this run, if there is one.
        self.log = log
        self._started = time.monotonic()
        self._current: float | None = None  # where `resources()` stands
        self._reported: float | None = None  # the last resource reported
        self._newest: str | None = None  # the newest checkpoint
        self._pruned: str | None = None  # the newest one whose forerunners were cleared away
        self._saves = 0
        self._checkpoints: Checkpoints | None = None
        self._ended: Decision | MetricError | None = None
        self._heeded = launch.fidelity is None  # whether the program minded how far to run
        self._folds = Folds(f"trial {launch.trial}")

    @property
    def number(self) -> int:
        """The trial's number."""
        return self._launch.trial

    @property
    def attempt(self) -> int:
        """Which run of this trial it is, from 1."""
        return self._launch.attempt

    @property
    def seed(self) -> int:
        """The seed that the program should use; equal for all runs of this trial and repetition."""
        return self._launch.seed

    @property
    def split_seed(self) -> int:
        """The seed by which the program should split its data.

        The same for the whole study, so that trials are compared on the same data; one of its own for each trial in
        `Study(..., reshuffle=True)`, and for each round of the confirmation in `Study(..., incumbent="guarded")`.
        """
        return self._launch.split_seed

    @property
    def repeat(self) -> int:
        """Which repetition of the configuration, from 0."""
        return self._launch.repeat

    @property
    def fidelity(self) -> Fidelity | None:
        """The axis of the resource, None without one."""
        return self._launch.fidelity

    @property
    def after(self) -> float:
        """Resource that the checkpoint already holds, 0 for a fresh start."""
        return self._launch.after

    @property
    def until(self) -> float | None:
        """Resource up to which to run: the grant, or the full amount; None without a fidelity."""
        self._heeded = True
        fidelity = self._launch.fidelity
        if fidelity is None:
            return None
        return fidelity.high if self._launch.until is None else self._launch.until

    @property
    def folder(self) -> Path | None:
        """The trial's own folder, made on first use; None when the study has no folder."""
        folder = self._launch.folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def checkpoint(self) -> Path | None:
        """Folder of the checkpoint to start from, None for a fresh start. Read it, do not write into it."""
        return self._launch.checkpoint

    @property
    def heeded(self) -> bool:
        """Whether the program asked how far to run (`until`, `resources`), or reported on its way."""
        return self._heeded

    @property
    def ended(self) -> Decision | MetricError | None:
        """Why the study wants no more of this run; None as long as it goes on."""
        return self._ended

    def resources(self) -> Iterator[float]:
        """The steps to run, such as epochs.

        A fidelity counted in whole steps gives `after` + 1, ... up to the grant; a fractional one (a share of the
        data) gives the whole grant at once; without a fidelity there is one step, 1. A report inside the loop
        belongs to the step, so it need not say where it stands.
        """
        fidelity, until = self._launch.fidelity, self.until
        if fidelity is None or until is None:
            self._go_on()
            yield 1
            return
        if not fidelity.whole:
            if self._launch.after < until:
                self._go_on()
                self._current = until
                yield until
            return
        for step in range(math.floor(self._launch.after) + 1, math.floor(until) + 1):
            self._go_on()
            self._current = step
            yield step

    def report(
        self,
        metrics: Mapping[str, Any] | None = None,
        /,
        *,
        folds: Iterable[Any] | None = None,
        resource: float | None = None,
        **named: Any,
    ) -> None:
        """Tell the study what was measured. Durable when this returns.

        `run.report(loss=0.3, epoch=4)`, or a mapping for names that are no Python words. The name of the study's
        fidelity is the resource and no metric. Whatever `float()` takes is a number: Python, numpy, torch.

        Args:
            metrics: Name to value.
            folds: Scores of the single folds behind the first objective.
            resource: Amount spent so far, in place of the fidelity's name. Needless inside `resources()`, and of
                no meaning (ignored) in a study without a fidelity.
            **named: More metrics.

        Raises:
            ArgumentError: a bad resource, a metric given twice, or nothing to report.
            MetricError: the study cannot use the report; the run is over.
            TrialEnded: the study stops or pauses this run. Let it pass.
        """
        self._go_on()
        self._heeded = True
        numbers = self._merge(metrics, named)
        fidelity = self._launch.fidelity
        spent = None
        if fidelity is not None:
            spent = self._resource(fidelity, resource, numbers.pop(fidelity.name, None))
        if not numbers:
            taken = "resource" if resource is not None else "folds"
            hint = (
                "Name one: run.report(loss=0.3)."
                if resource is None and folds is None
                else f"A metric of the name {taken!r} goes into a mapping: run.report({{{taken!r}: 0.3}})."
            )
            raise ArgumentError(f"trial {self.number}: report() without a metric. {hint}")
        message = Message(
            {name: plain_number(value) for name, value in numbers.items()},
            spent,
            time.monotonic() - self._started,
            () if folds is None else self._scores(folds),
            self._newest,
        )
        try:
            decision = self._channel.report(message)
        except MetricError as error:
            self._ended = error
            raise
        self._reported = spent
        if self._checkpoints is not None and self._newest is not None and self._newest != self._pruned:
            self._checkpoints.prune(self._newest)
            self._pruned = self._newest
        if decision is not Decision.CONTINUE:
            self._ended = decision
            raise TrialEnded(decision)

    def report_fold(self, metrics: Mapping[str, Any] | None = None, /, **named: Any) -> None:
        """Tell the study what was measured on one more fold of a cross-validation.

        The trial's result is the mean over its folds; each call reports the means so far, with the scores behind the
        first metric, which has to be the objective. With the folds as the resource, `fidelity=("fold", 1, 10)`, the
        scheduler "race" ends a trial whose first folds leave it no chance.

        ```python
        def train(run):
            for fold in run.resources():  # 1 to 10
                run.report_fold(loss=fit_and_score(run.config, fold, run.split_seed))
        ```

        Args:
            metrics: Name to value, of this fold alone.
            **named: More metrics.

        Raises:
            ArgumentError: other metrics than on the fold before, or the run goes on from a checkpoint, whose folds it
                cannot know: report the means yourself, with `report(..., folds=...)`.
            MetricError, TrialEnded: as `report`.
        """
        if self._launch.after:
            raise ArgumentError(
                f"trial {self.number}: report_fold() in a run that goes on after {self._launch.after:g}. The scores of "
                "the folds before are not known here. Keep them in the checkpoint, and report means: "
                "run.report(loss=mean, folds=scores)."
            )
        means, scores, count = self._folds.add(self._merge(metrics, named))
        self.report(means, folds=scores, resource=None if self._launch.fidelity is None else count)

    @contextmanager
    def save(self, *, resource: float | None = None, keep: bool = False) -> Iterator[Path]:
        """Write a checkpoint: `with run.save() as folder: ...`.

        The folder is a draft until the block ends; then it is synced and renamed, in one step, to an immutable name
        inside `<trial folder>/checkpoints`, and the next report makes it known to the study. A block that raises
        leaves nothing. The checkpoint of the last durable report and the one before it are kept, with everything
        newer; older ones of this trial are deleted unless another trial started from them.

        Args:
            resource: Amount that the checkpoint holds; by default where `resources()` stands.
            keep: Never delete it.

        Yields:
            The folder to write into.

        Raises:
            ArgumentError: the study has no folder, or it is not known how much was spent.
        """
        folder = self._launch.folder
        if folder is None:
            raise ArgumentError(
                f"trial {self.number}: save() needs a folder, and this study has none. "
                "Give it one: Study(..., folder='runs/demo'), or skip saving when run.folder is None."
            )
        if self._checkpoints is None:
            self._checkpoints = Checkpoints(folder / "checkpoints", self.attempt)
        self._saves += 1
        spent = self._current if resource is None else resource
        if spent is None and self._launch.fidelity is not None:
            raise ArgumentError(
                f"trial {self.number}: save() must know how much was spent, for a later start from there. "
                f"Loop over run.resources(), or say it: run.save(resource={self._launch.fidelity.name})."
            )
        with self._checkpoints.write(self._saves if spent is None else spent, keep=keep) as (draft, named):
            yield draft
        self._newest = named[0]

    def _go_on(self) -> None:
        if self._ended is None:
            return
        if isinstance(self._ended, MetricError):
            raise self._ended
        raise TrialEnded(self._ended)

    def _merge(self, metrics: Mapping[str, Any] | None, named: dict[str, Any]) -> dict[str, Any]:
        if metrics is None:
            return named
        if not isinstance(metrics, Mapping) or not all(isinstance(name, str) for name in metrics):
            raise ArgumentError(
                f"trial {self.number}: report({metrics!r}). Allowed: a mapping of names to numbers. "
                "Write run.report({'loss': 0.3}) or run.report(loss=0.3)."
            )
        twice = sorted(metrics.keys() & named.keys())
        if twice:
            raise ArgumentError(f"trial {self.number}: report() was given {twice[0]!r} twice. Name each metric once.")
        return {**metrics, **named}

    def _scores(self, folds: Any) -> tuple[Any, ...]:
        """Scores of folds as they can be sent; the study judges whether they are numbers."""
        try:
            return tuple(plain_number(value) for value in ([folds] if isinstance(folds, str) else folds))
        except TypeError:
            raise ArgumentError(
                f"trial {self.number}: report(folds={plain_number(folds)!r}). Allowed: a list of numbers, one score a "
                "fold. Write folds=[0.31, 0.28, 0.35]."
            ) from None

    def _resource(self, fidelity: Fidelity, given: Any, named: Any) -> float:
        where = f"trial {self.number}: {fidelity.name}"
        advice = f"Report how much was spent so far: run.report(..., {fidelity.name}=...)."
        if given is not None and named is not None and given != named:
            raise ArgumentError(f"{where}={named!r} and resource={given!r}. Allowed: one of the two. {advice}")
        value = given if given is not None else named if named is not None else self._current
        if value is None:
            raise ArgumentError(f"{where} is missing from the report. {advice} Or loop over run.resources().")
        allowed = f"Allowed: a number from 0 to {fidelity.high:g}, never less than in the report before"
        last = self._reported
        number = plain_number(value)
        if isinstance(value, (str, bool)) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise ArgumentError(f"{where}={value!r}. {allowed}. {advice}")
        if fidelity.high < number <= fidelity.high * (1 + 1e-9):
            number = fidelity.high  # a sum of fractions that ends a rounding error above the full amount
        if not 0 <= number <= fidelity.high:
            raise ArgumentError(f"{where}={value!r}. {allowed}. {advice}")
        if last is not None and number < last:
            raise ArgumentError(f"{where}={value!r} after {last:g}. {allowed}. {advice}")
        return int(number) if fidelity.whole and float(number).is_integer() else float(number)
