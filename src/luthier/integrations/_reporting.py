"""How a framework's training loop talks to the study: by the run it was given, or by lines on standard output."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError, UnsupportedError
from luthier.runtime.executors import Run, TrialEnded, emit


class Reporter:
    """The study, as a training loop sees it.

    Args:
        run: The run of a Python function; None in a program that `luthier tune --command` started, which reports by
            lines of JSON and takes the rest from its environment.
        what: Who reports, for messages.
    """

    def __init__(self, run: Run | None, *, what: str) -> None:
        if run is not None and not isinstance(run, Run):
            raise ArgumentError(
                f"{what}({run!r:.100}). Allowed: the run that luthier gives to def train(run), or None in a program "
                "that a study starts by its command line."
            )
        self._run, self._what = run, what
        self._draft: str | None = None
        #: Whether the study wants no more.
        self.over = False

    @property
    def axis(self) -> str | None:
        """Name of the resource, None without one."""
        if self._run is None:
            return os.environ.get("LUTHIER_FIDELITY") or None
        return None if self._run.fidelity is None else self._run.fidelity.name

    @property
    def until(self) -> float | None:
        """Resource up to which to run, None without one."""
        if self._run is not None:
            return self._run.until
        text = os.environ.get("LUTHIER_RESOURCE_UNTIL")
        return float(text) if text else None

    @property
    def start(self) -> Path | None:
        """Folder of the checkpoint to go on from, None for a fresh start."""
        if self._run is not None:
            return self._run.checkpoint
        text = os.environ.get("LUTHIER_CHECKPOINT")
        return Path(text) if text else None

    @property
    def keeps(self) -> bool:
        """Whether the study has a place for checkpoints."""
        return bool(os.environ.get("LUTHIER_CHECKPOINT_TO")) if self._run is None else self._run.folder is not None

    def alone(self, processes: int) -> None:
        """Refuse a training loop of several processes that was given a run: the run lives in one process alone.

        Raises:
            UnsupportedError: it is one.
        """
        if processes > 1 and self._run is not None:
            raise UnsupportedError(
                f"{self._what} in a training of {processes} processes: a run is reached from its own process alone. "
                "Start the training by its command line, luthier tune --command 'torchrun ...', with "
                f"{self._what}(None), which reports from the first process; what is stopped is ended with all of them."
            )

    @contextmanager
    def save(self, resource: float) -> Iterator[Path]:
        """A folder to write a checkpoint into; the next report makes it known."""
        if self._run is not None:
            with self._run.save(resource=resource) as folder:
                yield folder
            return
        final = Path(os.environ["LUTHIER_CHECKPOINT_TO"]) / f"r{resource:g}"
        draft = final.with_name(f"{final.name}.draft")
        draft.mkdir(parents=True, exist_ok=True)
        yield draft
        os.replace(draft, final)
        self._draft = str(final)

    def report(self, metrics: Mapping[str, float], resource: float | None) -> bool:
        """Tell what was measured; whether to go on."""
        if self.over:
            return False
        if self._run is None:
            spent = {} if resource is None or self.axis is None else {self.axis: resource}
            emit({**metrics, **spent}, checkpoint=self._draft)
            self._draft = None
        else:
            try:
                self._run.report(metrics, resource=resource)
            except TrialEnded:
                self.over = True  # the run knows how it ended; the loop need only come to its end
        self.over = self.over or self.reached(resource)
        return not self.over

    def reached(self, resource: float | None) -> bool:
        """Whether that much is all that was granted."""
        until = self.until
        return until is not None and resource is not None and resource >= until


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """What of a framework's metrics is a number."""
    found = {}
    for name, value in metrics.items():
        if isinstance(value, (str, bytes, bool)) or value is None:
            continue
        try:
            found[str(name)] = float(value)
        except (TypeError, ValueError, RuntimeError):  # RuntimeError: a tensor with several elements
            continue
    return found
