"""The executor that runs a cross-validation's fits for a study, one fold at a time."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.errors import ArgumentError, ExecutorError, MetricError
from luthier.base.records import Decision, Status
from luthier.integrations._sklearn_fits import Data, How, Outcome, Splits, fit_and_score, means
from luthier.integrations._sklearn_ladder import SAMPLES, Ladder
from luthier.integrations._sklearn_space import Parameters
from luthier.runtime.executors import End, Executor, Host, Launch, Message, Setting


@dataclass
class _Course:
    """A trial under way."""

    launch: Launch
    steps: list[tuple[float | None, list[int]]]
    begun: float
    waiting: dict[Any, tuple[float | None, int]] = field(default_factory=dict)


class Folds(Executor):
    """Fits the folds of trials in this process, in worker processes or in threads, as joblib is set up.

    A trial's folds run at the same time, and reports go out when a step of the ladder is complete. Worker processes are
    joblib's (`loky`), which need no `if __name__ == "__main__"` and take what notebooks define.

    Args:
        how: How a fit is made.
        data: What all fits share.
        parameters: From configurations to parameters.
        splits: Who trains on what.
        ladder: What the resource is.
        n_jobs: Fits at once.
    """

    name = "folds"

    def __init__(
        self, how: How, data: Data, parameters: Parameters, splits: Splits, ladder: Ladder, *, n_jobs: int
    ) -> None:
        self.how, self.data, self.parameters, self.splits, self.ladder = how, data, parameters, splits, ladder
        self.outcomes: dict[tuple[int, int, int, float | None], Outcome] = {}  # trial, split seed, fold, resource
        self._jobs = n_jobs
        self._host: Host | None = None
        self._courses: dict[int, _Course] = {}
        self._workers: dict[int, str] = {}
        self._names: list[str] = []
        self._pool: Any = None
        self._file: Path | None = None

    # the contract of an executor ---------------------------------------------------------------------------

    def open(self, setting: Setting, host: Host) -> None:
        """Get ready: with several jobs the data go to a file that all workers map."""
        self._host = host
        self._names = [f"folds-{i}" for i in range(setting.workers)]
        if self._jobs > 1:
            from joblib import dump
            from joblib.parallel import get_active_backend

            kind = type(get_active_backend()[0]).__name__
            if kind == "ThreadingBackend":
                self._pool = ThreadPoolExecutor(self._jobs)
                return
            if kind not in ("LokyBackend", "MultiprocessingBackend", "SequentialBackend"):
                raise ArgumentError(
                    f"n_jobs={self._jobs} under joblib's {kind}. Allowed: 'loky' and 'threading'. Leave out the "
                    "parallel_config, or use n_jobs=1 inside of it."
                )
            descriptor, name = tempfile.mkstemp(suffix=".luthier")
            os.close(descriptor)
            self._file = Path(name)
            dump(self.data, self._file)

    def free(self) -> Sequence[str]:
        """Workers that may take a trial."""
        busy = set(self._workers.values())
        return [name for name in self._names if name not in busy]

    def submit(self, launch: Launch, worker: str) -> None:
        """Take a trial; its first folds start at once where there are workers."""
        course = _Course(launch, self.ladder.steps(self.splits.count, launch.until), time.monotonic())
        self._courses[launch.trial], self._workers[launch.trial] = course, worker
        self._start(course)

    def step(self, timeout: float) -> None:
        """Fit one fold here, or wait for one; tell the host."""
        for course in list(self._courses.values()):
            if not course.waiting:  # everything of this step was known
                self._reported(course)
                return
        if self._jobs == 1:
            self._fit_here()
            return
        futures = [future for course in self._courses.values() for future in course.waiting]
        if not futures:
            time.sleep(max(0.0, timeout))
            return
        done, _ = wait(futures, timeout=timeout, return_when=FIRST_COMPLETED)
        for course in list(self._courses.values()):
            for future in [one for one in course.waiting if one in done]:
                if course.launch.trial in self._courses:
                    self._take(course, future)

    def cancel(self, trial: int) -> None:
        """Forget a trial; fits under way end for nothing."""
        course = self._courses.get(trial)
        if course is not None:
            self._over(course, End(Status.STOPPED))

    def close(self, *, kill: bool = False) -> None:
        """Let go of the workers; joblib keeps its processes for the next use, unless they are to be killed."""
        for course in self._courses.values():
            _drop(course)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        if self._file is not None:
            if kill:
                from joblib.externals.loky import get_reusable_executor

                get_reusable_executor().shutdown(wait=True, kill_workers=True)
            self._file.unlink(missing_ok=True)
        self._host, self._file = None, None
        self._courses, self._workers, self._names = {}, {}, []

    # trials ------------------------------------------------------------------------------------------------

    def _start(self, course: _Course) -> None:
        """Begin the next step of a trial."""
        launch = course.launch
        level, folds = course.steps[0]
        for fold in folds:
            if self._key(launch, fold, level) in self.outcomes:
                continue  # a promoted trial starts anew, and need not fit again what it has fitted
            if self._jobs == 1:
                course.waiting[fold] = (level, fold)
            else:
                course.waiting[self._send(launch, fold, level)] = (level, fold)

    def _task(self, launch: Launch, fold: int, level: float | None) -> tuple[dict[str, Any], Any, Any]:
        """Parameters, training rows and test rows of one fit."""
        params = {**self.parameters.params(launch.config), **self.ladder.params(level)}
        train, test = self.splits.of(launch.split_seed)[fold]
        if level is not None and self.ladder.resource == SAMPLES:
            train = self.splits.sample(train, int(level), launch.split_seed, fold)
        return params, train, test

    @staticmethod
    def _key(launch: Launch, fold: int, level: float | None) -> tuple[int, int, int, float | None]:
        return launch.trial, launch.split_seed, fold, level

    def _send(self, launch: Launch, fold: int, level: float | None) -> Future[Outcome]:
        task = self._task(launch, fold, level)
        if self._file is None:
            found: Future[Outcome] = self._pool.submit(fit_and_score, self.how, self.data, *task)
            return found
        from joblib.externals.loky import get_reusable_executor

        pool = get_reusable_executor(max_workers=self._jobs, timeout=60)
        sent: Future[Outcome] = pool.submit(_remote, str(self._file), self.how, *task)
        return sent

    def _fit_here(self) -> None:
        for course in self._courses.values():
            for key, (level, fold) in course.waiting.items():
                del course.waiting[key]
                outcome = fit_and_score(self.how, self.data, *self._task(course.launch, fold, level))
                self._keep(course, fold, level, outcome)
                return

    def _take(self, course: _Course, future: Future[Outcome]) -> None:
        level, fold = course.waiting.pop(future)
        try:
            outcome = future.result()
        except Exception as error:
            if not isinstance(error, BrokenExecutor):
                raise
            self._over(course, End(Status.LOST, error=f"a worker process died ({error})".splitlines()[0]))
            return
        self._keep(course, fold, level, outcome)

    def _keep(self, course: _Course, fold: int, level: float | None, outcome: Outcome) -> None:
        if outcome.error:
            if isinstance(self.how.error_score, str) or np.isnan(self.how.error_score):
                line = outcome.error.strip().splitlines()[-1]
                self._over(course, End(Status.FAILED, error=line, seconds=time.monotonic() - course.begun))
                return
            outcome = Outcome({}, {}, outcome.fit_time, outcome.score_time, outcome.error)
        self.outcomes[self._key(course.launch, fold, level)] = outcome
        if not course.waiting:
            self._reported(course)

    def _reported(self, course: _Course) -> None:
        """A step is complete: report it, and go on as the study wants."""
        launch, host = course.launch, self._host
        if host is None:
            raise ExecutorError("executor 'folds': step() before open(). Call open() first.")
        level, _ = course.steps.pop(0)
        message = self._message(course, level)
        try:
            decision = host.reported(launch, message, self.now())
        except MetricError as error:
            self._over(course, End(Status.FAILED, error=str(error), seconds=message.seconds))
            return
        if launch.trial not in self._courses:
            return  # the host has cancelled it
        if decision is not Decision.CONTINUE:
            status = Status.PAUSED if decision is Decision.PAUSE else Status.STOPPED
            self._over(course, End(status, seconds=message.seconds))
        elif course.steps:
            self._start(course)
        else:
            self._over(course, End(Status.COMPLETED, seconds=message.seconds))

    def _message(self, course: _Course, level: float | None) -> Message:
        launch = course.launch
        until = int(level) if self.ladder.raced and level is not None else self.splits.count
        keys = [self._key(launch, i, float(i + 1) if self.ladder.raced else level) for i in range(until)]
        found = [self.outcomes[key] for key in keys]
        metrics, first = means(found, self.how)
        if launch.fidelity is None:
            level = None
        return Message(metrics, level, time.monotonic() - course.begun, tuple(first))

    def _over(self, course: _Course, end: End) -> None:
        _drop(course)
        self._courses.pop(course.launch.trial, None)
        self._workers.pop(course.launch.trial, None)
        if self._host is not None:
            self._host.ended(course.launch, end, self.now())


def _drop(course: _Course) -> None:
    for future in course.waiting:
        if isinstance(future, Future):
            future.cancel()
    course.waiting.clear()


def _remote(file: str, how: How, params: dict[str, Any], train: Any, test: Any) -> Outcome:
    """One fit in a worker process."""
    return fit_and_score(how, _shared(file), params, train, test)


@lru_cache(maxsize=1)
def _shared(file: str) -> Data:
    from joblib import load

    found: Data = load(file, mmap_mode="r")
    return found
