"""The loop that runs a program until the budget is used: it fills free workers and says when and why it ends."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, StorageError, TrialError
from luthier.base.records import Status, pairs
from luthier.runtime.executors import _again as again
from luthier.runtime.executors._base import Executor, Limits, Setting, Target
from luthier.runtime.executors._function import refuse_while_importing
from luthier.runtime.storage import Draft
from luthier.space.problem import Benchmark
from luthier.study._host import StudyHost

if TYPE_CHECKING:
    from luthier.study.study import Study

#: What follows the word of a stopping rule when nothing was run any more because of it.
_GO_ON = ". To go on all the same: study.run(..., stopping=False), or luthier resume --no-stopping"
#: Seconds between two looks at the budget and the lease when nothing happens.
TICK = 0.25


class Loop:
    """One call of `Study.run`. What the executor says of single runs goes to `host`.

    Args:
        study: The study.
        target: What to run.
        executor: Name, name with arguments, instance or None.
        limits: What one trial may use.
        workers: Trials at once.
        trials: Trials of the study in all.
        seconds: Time for this call.
        give_up: Failures without a success after which the run ends with an error.
        stopping: Whether the stopping rules are heeded.
    """

    def __init__(
        self,
        study: Study,
        target: Target | Benchmark | None,
        executor: str | Mapping[str, Any] | Executor | None,
        limits: Limits,
        *,
        workers: int,
        trials: int | None,
        seconds: float | None,
        give_up: int,
        stopping: bool = True,
    ) -> None:
        refuse_while_importing()
        workers = check("workers", workers, at_least=1, whole=True)
        give_up = check("give_up", give_up, at_least=1, whole=True)
        if trials is not None:
            trials = check("trials", trials, at_least=1, whole=True)
        if seconds is not None:
            check("seconds", seconds, above=0)
        rules = study._session.engine.judge.rules if stopping else []
        ends = study._session.engine.scheduler.ends or not all(rule.advise for rule in rules)
        if trials is None and seconds is None and study.space.size is None and not ends:
            advice = ", ".join(repr(rule.name) for rule in rules)
            raise ArgumentError(
                f"run() without a budget, and this space never ends{' (' + advice + ' only advises)' * bool(rules)}. "
                "Give trials=100 (in all) or seconds=3600."
            )
        self.executor = self._named(executor, workers, limits)
        if not callable(target) and not self.executor.virtual:
            raise ArgumentError(
                f"run({target!r}). Allowed: a function that takes a Run, or Command('python train.py --lr {{lr}}')."
            )
        self.study, self.target, self.limits, self.workers = study, target, limits, workers
        self.trials, self.seconds, self.give_up = trials, seconds, give_up
        self.stopping = stopping
        self.begin = 0.0
        self.host = StudyHost(study, self.executor, self._why_end)

    @staticmethod
    def _named(given: str | Mapping[str, Any] | Executor | None, workers: int, limits: Limits) -> Executor:
        if isinstance(given, Executor):
            return given
        alone = workers == 1 and limits == Limits()
        return again.make(given or ("inline" if alone else "processes"))

    def run(self, info: Mapping[str, Any]) -> None:
        """Run to the end of the budget; leaves the log complete whatever happens."""
        study = self.study
        folder = study.folder
        if folder is not None:
            (folder / "trials").mkdir(parents=True, exist_ok=True)
        if study._session.engine.scheduler.clones and folder is None and not self.executor.virtual:
            raise ArgumentError(
                f"scheduler {study.scheduler_name!r} starts trials from checkpoints of others, and this study has no "
                "folder to keep them in. Give it one: Study(..., folder='runs/demo')."
            )
        check_space = getattr(self.target, "check", None)
        if check_space is not None and not study._definition.open_space:
            check_space(list(study.space.names))
        labels = {"LUTHIER_STUDY": study.name}
        self.executor.open(
            Setting(self._target(), folder, self.limits, self.workers, labels, study._state.time), self.host
        )
        study._stop = None
        self.begin = self.executor.now()
        kill = True
        try:
            study._session.join()
            self._abandon("an earlier run of this process ended with an error")
            begun = {**self._begun(), **_program(self.target), **info}
            study._session.append([Draft(self.begin, "begun", None, None, begun)])
            reason = self._work()
            kill = bool(self.host.launches)
            self._finish(reason)
        except KeyboardInterrupt:
            self.executor.close(kill=True)
            self._abandon("interrupted", ended="interrupted")
            raise KeyboardInterrupt(self._interrupted()) from None
        except Exception as error:
            self.executor.close(kill=True)
            with suppress(Exception):  # the first error says more than a farewell that the same full disk refuses
                self._abandon("the run ended with an error", ended=f"{type(error).__name__}: {error}")
            raise
        finally:
            self.executor.close(kill=kill)
            with suppress(StorageError):
                study._session.rest()

    def _interrupted(self) -> str:
        """What is safe after Ctrl-C, and how to go on."""
        study = self.study
        if study.url.startswith("memory:"):
            return (
                f"study {study.name!r} is in the memory of this process alone. Call run() again to continue; to keep "
                "it longer give it a folder: Study(..., folder='runs/demo')."
            )
        again = f"Continue with: luthier resume {study.where}"
        how = again if study.resumable else "Run your script again: it continues."
        return f"study {study.name!r} is saved up to its last report. {how}"

    def _target(self) -> Target:
        """What runs; a virtual executor takes what it finds there for a benchmark."""
        return _nothing if self.target is None else cast("Target", self.target)

    def _begun(self) -> dict[str, Any]:
        return {
            "trials": self.trials,
            "seconds": self.seconds,
            "workers": self.workers,
            **again.words(self.executor),
            **({"virtual": True} if self.executor.virtual else {}),
            **({} if self.stopping else {"stopping": False}),
            "folder": None if self.study.folder is None else str(self.study.folder.resolve()),
            "limits": {
                "time_limit": self.limits.seconds,
                "memory_mb": self.limits.memory_mb,
                "gpus": self.limits.gpus,
                "cpus": self.limits.cpus,
            },
        }

    def _work(self) -> str:
        study = self.study
        if study._state.stopped is not None:
            return study._state.stopped + _GO_ON
        while True:
            if study._stop is None and self._late():
                study._stop = "time is up"
            self._heed()
            if study._stop is not None:
                self._stop_all(study._stop)
                return study._stop
            if study._state.stopped is not None and not self.host.launches and not self._confirms():
                return study._state.stopped
            self._give_up()
            idle = self._fill()
            if not self.host.launches:
                head = study._state.head
                study._session.recover()
                if idle and study._state.head == head and self._nothing_left():  # else others made work for us
                    if not self._confirms():
                        return self._reason()
                    continue
                time.sleep(TICK / 10)  # other drivers have the rest; theirs may yet be lost
                continue
            self.executor.step(self._patience())
            study._session.join()

    def _heed(self) -> None:
        """Stop what runs when a stopping rule says so, and is of the kind that does not wait."""
        state, engine = self.study._state, self.study._session.engine
        if self.study._stop is None and state.stopper is not None and engine.judge.rules[state.stopper].cancels:
            self.study._stop = state.stopped

    def _why_end(self) -> str | None:
        """Why what runs is to stop; None while it may go on."""
        self._heed()
        return self.study._stop or ("time is up" if self._late() else None)

    def _nothing_left(self) -> bool:
        """Whether no driver has anything to do: nothing runs or waits, and no other one holds a number it may use."""
        state, session = self.study._state, self.study._session
        others = any(driver != session.me.id for driver in state.running.values())  # our own: asked for, not yet told
        if others or state.waiting or session.engine.continue_job() is not None:
            return False
        return self.trials is None or session.exhausted or len(state.trials) >= self._limit()

    def _reason(self) -> str:
        done = len(self.study._state.trials)
        if self.trials is not None and done >= self._limit():
            return f"all {self.trials} trials are done"
        scheduler = self.study._session.engine.scheduler
        return f"scheduler {scheduler.name!r} is through" if scheduler.ends else "the space is exhausted"

    def _confirms(self) -> bool:
        """Whether there is something to be confirmed: the last thing that a guarded study does."""
        study = self.study
        if study._definition.selection.incumbent != "guarded":
            return False
        return bool(study.confirm()) or self._confirming()

    def _confirming(self) -> bool:
        return any(seq in self.study._state.rounds for seq in self.study._state.queue)

    def _limit(self) -> int:
        assert self.trials is not None
        return self.trials + self.study._state.added + len(self.study._state.rounds)

    def _patience(self) -> float:
        """How long a step may take, in the executor's seconds: nothing else happens in virtual time."""
        if not self.executor.virtual:
            return TICK
        return math.inf if self.seconds is None else self.begin + self.seconds - self.executor.now()

    def _late(self) -> bool:
        # the sum that `_patience` waits for: begin + seconds - begin may be less than seconds by a rounding
        return self.seconds is not None and self.executor.now() >= self.begin + self.seconds

    def _fill(self) -> bool:
        """Give every free worker something to do; whether there was nothing left to give."""
        limit = None if self.trials is None else self._limit()
        for worker in list(self.executor.free()):
            stopped = self.study._state.stopped is not None and not self._confirming()
            if self.study._stop is not None or stopped or self._late():
                return False
            trial = self.study._session.next(worker, self.executor.now(), limit, busy=self.host.over)
            if trial is None:
                return True
            self.host.start(trial, worker)
        return False

    def _give_up(self) -> None:
        """End at once when nothing has ever worked and this call has failed often enough to see why."""
        if self.host.wrong is not None:
            self._stop_all("the report lacks what the study needs")
            raise self.host.wrong
        trials = self.study._state.trials
        if len(self.host.failed) < self.give_up or any(t.metrics for t in trials.values()):
            return
        number, log = self.host.failed[-1]
        trial = trials[number]
        if log is not None and self.study.folder is not None:
            log = str(self.study.folder / log)
        self._stop_all("all trials failed")
        raise TrialError(
            f"the first {len(self.host.failed)} trials all failed. Trial {number} ({', '.join(pairs(trial.config))}): "
            f"{str(trial.error).rstrip('.')}."
            + (f" Its output is in {log}." if log else "")
            + " Nothing is lost; mend the program and "
            + (f"continue with: luthier resume {self.study.where}" if self.study.resumable else "run it again."),
            trial=number,
            config=trial.config,
            log=log,
        )

    def _stop_all(self, reason: str) -> None:
        now = self.executor.now()
        for n, launch in list(self.host.launches.items()):
            if n not in self.host.over:
                self.host.stop(launch, reason, now)
            self.executor.cancel(n)
        deadline = time.monotonic() + 10
        while self.host.launches and time.monotonic() < deadline:
            self.executor.step(TICK)

    def _finish(self, reason: str) -> None:
        now = self.executor.now()
        paused = [t.number for t in self.study._state.trials.values() if t.status is Status.PAUSED]
        trials = self.study._state.trials  # which run is over: another driver may just have started the next one
        drafts = [
            Draft(now, "stopped", n, None, {"reason": "end of the study", "attempt": trials[n].runs}) for n in paused
        ]
        self.study._session.append([*drafts, Draft(now, "ended", None, None, {"reason": reason})])

    def _abandon(self, why: str, *, ended: str | None = None) -> None:
        """Log that what this driver ran runs no more; it is run again, and that counts as nobody's loss."""
        session = self.study._session
        session.sync()  # the log may know of a trial more than the host does
        drafts = [session.lose(n, why, interrupted=True) for n in session.own()]
        if ended is not None:
            drafts.append(Draft(self.executor.now(), "ended", None, None, {"reason": ended}))
        if drafts:
            session.append(drafts)


def _nothing(run: Any) -> None:
    """The target of an executor that needs none."""


def _program(target: Target | Benchmark | None) -> dict[str, Any]:
    """How to find a Python function again, if another process could: what `luthier resume` needs."""
    name = getattr(target, "__qualname__", "")
    module = getattr(target, "__module__", None)
    if not name or "<" in name or module is None:
        return {}
    if module == "__main__":
        file = getattr(sys.modules["__main__"], "__file__", None)
        return {} if file is None else {"target": f"{os.path.abspath(file)}:{name}", "cwd": os.getcwd()}
    return {"target": f"{module}:{name}", "cwd": os.getcwd()}
