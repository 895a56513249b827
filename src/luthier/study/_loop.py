"""The loop that runs a program until the budget is used: it fills free workers and logs what they say."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, MetricError, StorageError, TrialError
from luthier.base.records import Decision, Status, Trial, pairs
from luthier.base.seeds import generator, trial_seed
from luthier.runtime.executors import _again as again
from luthier.runtime.executors._base import End, Executor, Launch, Limits, Message, Setting, Target
from luthier.runtime.storage import Draft
from luthier.space.problem import Benchmark
from luthier.space.space import Space

if TYPE_CHECKING:
    from luthier.study.study import Study

#: What follows the word of a stopping rule when nothing was run any more because of it.
_GO_ON = ". To go on all the same: study.run(..., stopping=False), or luthier resume --no-stopping"
#: Seconds between two looks at the budget and the lease when nothing happens.
TICK = 0.25


class Loop:
    """One call of `Study.run`; it is the executor's host.

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
        check("workers", workers, at_least=1, whole=True)
        check("give_up", give_up, at_least=1, whole=True)
        if trials is not None:
            check("trials", trials, at_least=1, whole=True)
        if seconds is not None:
            check("seconds", seconds, above=0)
        ends = study._session.engine.scheduler.ends or (stopping and bool(study._definition.stopping))
        if trials is None and seconds is None and study.space.size is None and not ends:
            raise ArgumentError(
                "run() without a budget, and this space never ends. Give trials=100 (in all) or seconds=3600."
            )
        self.executor = self._named(executor, workers, limits)
        if not callable(target) and not self.executor.virtual:
            raise ArgumentError(
                f"run({target!r}). Allowed: a function that takes a Run, or Command('python train.py --lr {{lr}}')."
            )
        self.study, self.target, self.limits, self.workers = study, target, limits, workers
        self.trials, self.seconds, self.give_up = trials, seconds, give_up
        self.stopping = stopping
        self.mine: dict[int, Launch] = {}
        self.used: dict[int, list[str]] = {}
        self.over: set[int] = set()  # launches whose end is in the log, but whose worker is not free yet
        self.begin = 0.0
        self.wrong: MetricError | None = None  # the first report cannot be used: the study asks for another metric
        self.failed: list[tuple[int, str | None]] = []  # trial and log of what failed in this call

    @staticmethod
    def _named(given: str | Mapping[str, Any] | Executor | None, workers: int, limits: Limits) -> Executor:
        if isinstance(given, Executor):
            return given
        alone = workers == 1 and limits == Limits()
        return again.make(given or ("inline" if alone else "processes"))

    # the loop --------------------------------------------------------------------------------------------

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
        self.executor.open(Setting(self._target(), folder, self.limits, self.workers, labels, study._state.time), self)
        study._stop = None
        self.begin = self.executor.now()
        kill = True
        try:
            study._session.join()
            self._abandon("an earlier run of this process ended with an error")
            begun = {**self._begun(), **_program(self.target), **info}
            study._session.append([Draft(self.begin, "begun", None, None, begun)])
            reason = self._work()
            kill = bool(self.mine)
            self._finish(reason)
        except KeyboardInterrupt:
            self.executor.close(kill=True)
            self._abandon("interrupted", ended="interrupted")
            raise KeyboardInterrupt(
                f"study {study.name!r} is saved up to its last report. Continue with: luthier resume {study.where}"
            ) from None
        except Exception as error:
            self.executor.close(kill=True)
            with suppress(Exception):  # the first error says more than a farewell that the same full disk refuses
                self._abandon("the run ended with an error", ended=f"{type(error).__name__}: {error}")
            raise
        finally:
            self.executor.close(kill=kill)
            with suppress(StorageError):
                study._session.rest()

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
            if study._state.stopped is not None and not self.mine and not self._confirms():
                return study._state.stopped
            self._give_up()
            idle = self._fill()
            if not self.mine:
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
            trial = self.study._session.next(worker, self.executor.now(), limit, busy=self.over)
            if trial is None:
                return True
            launch = self._launch(trial)
            self.mine[trial.number] = launch
            self.used[trial.number] = []
            self.executor.submit(launch, worker)
        return False

    def _launch(self, trial: Trial) -> Launch:
        study = self.study
        problem = study._definition.problem
        home = None if study.folder is None else study.folder / "trials" / f"{trial.number:05d}"
        repeat = len(trial.repeats)
        start, after = self._checkpoint(trial, home)
        return Launch(
            trial.number,
            trial.runs,
            trial.config,
            trial_seed(study.seed, trial.number, repeat),
            repeat,
            problem.fidelity,
            after,
            trial.until,
            home,
            start,
            study._definition.open_space,
            study._definition.selection.split_of(study.seed, trial, repeat),
        )

    def _checkpoint(self, trial: Trial, home: Path | None) -> tuple[Path | None, float]:
        """Folder of the checkpoint to start from, and the resource spent in it."""
        if trial.checkpoint is None:
            return None, 0
        spent = [r.resource for r in trial.reports if r.resource is not None]
        parent, _, name = trial.checkpoint.rpartition("/")
        after = resource_of(name, default=max(spent, default=0))
        if self.executor.virtual:
            return None, after
        if home is None:
            return None, 0
        folder = (home.with_name(f"{int(parent):05d}") if parent else home) / "checkpoints" / name
        if parent and self.executor.holds(folder):
            self.executor.pin(folder)  # at once: while the clone gets ready, the parent goes on and clears away
        if trial.parent is None and not self.executor.holds(folder):
            return None, 0  # cleaned away: the trial starts afresh, what it reports again is known
        return folder, after  # a clone whose start is gone fails: nothing else leads to where its parent was

    # what the executor tells -----------------------------------------------------------------------------

    def reported(self, launch: Launch, message: Message, now: float) -> Decision:
        """Log a measurement and answer it."""
        study, n = self.study, launch.trial
        if launch.trial in self.over:
            return Decision.STOP
        numbers = self._numbers(message.metrics, n)
        if message.checkpoint is None and study._session.engine.scheduler.clones:
            self.wrong = MetricError(
                f"trial {n} reported without a checkpoint; scheduler {study.scheduler_name!r} starts other trials from "
                "them. Write one before each report: with run.save() as folder: ..."
            )
            raise self.wrong
        study._session.append([Draft(now, "reported", n, None, self._reported(launch, message, numbers))])
        if not study._definition.problem.usable(numbers):
            self._end(launch, Draft(now, "finished", n, None, self._data(launch, message.seconds, status="diverged")))
            return Decision.STOP
        if self._superseded(launch):
            self.over.add(n)
            return Decision.STOP
        decided = study._session.engine.pending.get(n)
        if decided is not None:
            self._end(launch, study._session.decided(n, now, *decided, seconds=message.seconds))
            return decided[1]
        self._heed()
        if study._stop is not None or self._late():
            reason = study._stop or "time is up"
            data = self._data(launch, message.seconds, reason=reason)
            self._end(launch, Draft(now, "stopped", n, None, data))
            return Decision.STOP
        study._session.join()
        return Decision.CONTINUE

    def _superseded(self, launch: Launch) -> bool:
        """Whether others took this driver for dead (frozen, cut off) and run the trial again: theirs counts."""
        return self.study._state.trials[launch.trial].runs > launch.attempt

    @staticmethod
    def _reported(launch: Launch, message: Message, numbers: dict[str, float]) -> dict[str, Any]:
        data: dict[str, Any] = {"metrics": numbers, "seconds": message.seconds}
        if message.resource is not None:
            data["resource"] = message.resource
        if message.folds:
            data["folds"] = list(message.folds)
        if message.checkpoint:
            data["checkpoint"] = message.checkpoint
        if launch.repeat:
            data["repeat"] = launch.repeat
        return data

    def _data(self, launch: Launch, seconds: float, **more: Any) -> dict[str, Any]:
        data: dict[str, Any] = {"attempt": launch.attempt, "seconds": seconds, **more}
        if launch.open_space and self.used.get(launch.trial):
            data["used"] = self.used[launch.trial]
        return data

    def _end(self, launch: Launch, *drafts: Draft) -> None:
        self.study._session.append(drafts)
        self.over.add(launch.trial)

    def suggested(self, launch: Launch, name: str, domain: Any) -> Any:
        """A define-by-run program names a hyperparameter; a new one joins the space."""
        study, n = self.study, launch.trial
        known = study.space.domains.get(name)
        if known is None:
            added = Space({name: domain}).to_dict()["hyperparameters"]
            study._session.append([Draft(self.executor.now(), "widened", None, None, {"add": added})])
        elif known != domain:
            raise ArgumentError(
                f"trial {n}: hyperparameter {name!r} is {domain} here and was {known} in an earlier trial. Allowed: "
                "the same domain in every trial. Give it another name, or declare the space."
            )
        trial = study._state.trials[n]
        used = self.used.setdefault(n, [])
        if name not in used:
            used.append(name)
        if name not in trial.config:
            value = self._value(n, domain, len(trial.config))
            study._session.append([Draft(self.executor.now(), "extended", n, None, {"config": {name: value}})])
        return study._state.trials[n].config[name]

    def _value(self, number: int, domain: Any, position: int) -> Any:
        if number == 0:
            return domain.default
        [drawn] = Space(value=domain).sample(1, generator(self.study.seed, "study", number, position))
        return drawn["value"]

    def ended(self, launch: Launch, end: End, now: float) -> None:
        """A run is over: log how, unless the log has it already."""
        n = launch.trial
        self.mine.pop(n, None)
        if end.status is Status.FAILED:
            self.study._session.sync()  # two runs of one trial may get in each other's way: that is not its fault
        if n in self.over:
            self.over.discard(n)
        elif end.status is Status.FAILED and self._superseded(launch):
            pass
        elif end.status is Status.COMPLETED:
            self._completed(launch, end, now)
        elif end.status is Status.FAILED:
            self._failed(launch, end, now, end.error or "failed without a word")
        elif end.status is Status.LOST:
            data = self._data(launch, end.seconds, error=end.error or "its worker died")
            self.study._session.append([Draft(now, "lost", n, None, data)])
        else:
            data = self._data(launch, end.seconds, reason="cancelled")
            self.study._session.append([Draft(now, "stopped", n, None, data)])
        self.used.pop(n, None)

    def _failed(self, launch: Launch, end: End, now: float, error: str) -> None:
        data = self._data(launch, end.seconds, error=error)
        if end.log is not None:
            data["log"] = end.log
        self.failed.append((launch.trial, end.log))
        self.study._session.append([Draft(now, "failed", launch.trial, None, data)])

    def _completed(self, launch: Launch, end: End, now: float) -> None:
        study, n = self.study, launch.trial
        trial = study._state.trials[n]
        problem = study._definition.problem
        drafts = []
        heard = [r for r in trial.reports if r.repeat == launch.repeat]
        result = self._result(end.result)
        status = "completed"
        try:
            if isinstance(result, str):
                raise MetricError(result.format(n=n))
            if not end.heeded and study._session.engine.scheduler.needs_fidelity:
                self._deaf(launch)
            if result is not None and not (heard and trial.resource == self._full(launch)):
                numbers = self._numbers(result, n)
                full = self._full(launch)
                message = Message(numbers, full, end.seconds)
                drafts.append(Draft(now, "reported", n, None, self._reported(launch, message, numbers)))
                status = "completed" if problem.usable(numbers) else "diverged"
            elif result is None and not heard:
                axis, name = launch.fidelity, problem.objectives[0].name
                far = "" if launch.until is None or axis is None else f" up to {axis.name} {launch.until:g}, its grant,"
                raise MetricError(
                    f"trial {n} ended{far} without a result. Report {name!r} with run.report({name}=...), or return it."
                )
        except MetricError as error:
            self._failed(launch, end, now, str(error))
            return
        if drafts and status == "completed" and launch.until is not None:
            study._session.append(drafts)  # what was granted is used up: the scheduler says whether there is more
            drafts = []
            decided = study._session.engine.pending.get(n)
            if decided is not None:
                study._session.append([study._session.decided(n, now, *decided, seconds=end.seconds)])
                return
        full = math.inf if launch.fidelity is None else launch.fidelity.high
        if not drafts and launch.until is not None and launch.until < full and (trial.resource or 0) < full:
            # it reports every few steps, and had nothing to say at the end of its grant: it may be granted more
            drafts.append(Draft(now, "paused", n, None, self._data(launch, end.seconds, reason="grant used up")))
        else:
            drafts.append(Draft(now, "finished", n, None, self._data(launch, end.seconds, status=status)))
        study._session.append(drafts)

    def _deaf(self, launch: Launch) -> None:
        """A function that neither asks how far to run nor reports on the way makes a scheduler's work void."""
        axis, name = launch.fidelity, self.study.scheduler_name
        assert axis is not None  # the scheduler needs one
        far = axis.high if launch.until is None else launch.until
        self.wrong = MetricError(
            f"trial {launch.trial} may run up to {axis.name} {far:g} and returned without having asked how far to run. "
            f"Scheduler {name!r} decides by what is reported on the way. Loop over run.resources() and report in each "
            "step, or run up to run.until; or use scheduler='straight'."
        )
        raise self.wrong

    def _full(self, launch: Launch) -> float | None:
        if launch.fidelity is None:
            return None
        return launch.until if launch.until is not None else launch.fidelity.high

    def _result(self, result: Any) -> Mapping[str, Any] | str | None:
        """What a program returned, as metrics; a text says what is wrong with it."""
        if result is None or isinstance(result, Mapping):
            return result
        objectives = self.study._definition.problem.objectives
        if len(objectives) > 1:
            return "trial {n} returned one number; this study has several objectives. Return a mapping."
        return {objectives[0].name: result}

    # how it ends -----------------------------------------------------------------------------------------

    def _numbers(self, metrics: Mapping[str, Any], number: int) -> dict[str, float]:
        """Checked metrics. What the very first report gets wrong, all will: the run ends with its error."""
        try:
            return self.study._definition.problem.check_metrics(metrics, where=f"trial {number}")
        except MetricError as error:
            if not any(t.metrics for t in self.study._state.trials.values()):
                self.wrong = error
            raise

    def _give_up(self) -> None:
        """End at once when nothing has ever worked and this call has failed often enough to see why."""
        if self.wrong is not None:
            self._stop_all("the report lacks what the study needs")
            raise self.wrong
        trials = self.study._state.trials
        if len(self.failed) < self.give_up or any(t.metrics for t in trials.values()):
            return
        number, log = self.failed[-1]
        trial = trials[number]
        if log is not None and self.study.folder is not None:
            log = str(self.study.folder / log)
        self._stop_all("all trials failed")
        raise TrialError(
            f"the first {len(self.failed)} trials all failed. Trial {number} ({', '.join(pairs(trial.config))}): "
            f"{str(trial.error).rstrip('.')}."
            + (f" Its output is in {log}." if log else "")
            + " Nothing is lost; mend the program and "
            f"continue with: luthier resume {self.study.where}",
            trial=number,
            config=trial.config,
            log=log,
        )

    def _stop_all(self, reason: str) -> None:
        now = self.executor.now()
        for n, launch in list(self.mine.items()):
            if n not in self.over:
                self._end(launch, Draft(now, "stopped", n, None, self._data(launch, 0.0, reason=reason)))
            self.executor.cancel(n)
        deadline = time.monotonic() + 10
        while self.mine and time.monotonic() < deadline:
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
        session.sync()  # the log may know of a trial more than `mine` does
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


def resource_of(checkpoint: str, *, default: float) -> float:
    """The resource in a checkpoint's name (`r9-a1`, `r0.5-a2`)."""
    head = checkpoint.partition("-")[0].removeprefix("r")
    try:
        return float(head)
    except ValueError:
        return default
