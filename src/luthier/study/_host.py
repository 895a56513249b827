"""What an executor tells a study about its runs: measurements, questions and ends, each written into the log."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from luthier.base.errors import ArgumentError, MetricError
from luthier.base.records import Decision, Status, Trial
from luthier.base.seeds import generator
from luthier.runtime.executors._base import End, Executor, Launch, Message
from luthier.runtime.storage import Draft
from luthier.space.space import Space
from luthier.study._launching import launch_of

if TYPE_CHECKING:
    from luthier.study.study import Study


class StudyHost:
    """The host of one call of `Study.run`: it knows which runs are on their way, and logs what becomes of them.

    Args:
        study: The study.
        executor: Who runs.
        why_end: Why running trials are to stop, None while they may go on.

    Attributes:
        launches: What is on its way, by trial.
        over: Trials whose end is in the log, but whose worker is not free yet.
        wrong: Set when a report cannot be used and no later one could: the study asks for another metric.
        failed: Trial and log of what failed in this call.
    """

    def __init__(self, study: Study, executor: Executor, why_end: Callable[[], str | None]) -> None:
        self.study, self.executor, self._why_end = study, executor, why_end
        self.launches: dict[int, Launch] = {}
        self.over: set[int] = set()
        self.wrong: MetricError | None = None
        self.failed: list[tuple[int, str | None]] = []
        self._used: dict[int, list[str]] = {}  # hyperparameters that a define-by-run program named

    def start(self, trial: Trial, worker: str) -> None:
        """Have a trial run on a free worker."""
        launch = launch_of(self.study, self.executor, trial)
        self.launches[trial.number] = launch
        self._used[trial.number] = []
        self.executor.submit(launch, worker)

    def stop(self, launch: Launch, reason: str, now: float, seconds: float = 0.0) -> None:
        """Log that a run is to end for the study's reasons, not its own."""
        self._end(launch, Draft(now, "stopped", launch.trial, None, self._data(launch, seconds, reason=reason)))

    def reported(self, launch: Launch, message: Message, now: float) -> Decision:
        """Log a measurement and answer it."""
        study, n = self.study, launch.trial
        if launch.trial in self.over:
            return Decision.STOP
        numbers = self._numbers(message.metrics, n)
        folds = study._definition.problem.check_folds(message.folds, where=f"trial {n}")
        if message.checkpoint is None and study._session.engine.scheduler.clones:
            self.wrong = MetricError(
                f"trial {n} reported without a checkpoint; scheduler {study.scheduler_name!r} starts other trials from "
                "them. Write one before each report: with run.save() as folder: ..."
            )
            raise self.wrong
        study._session.append([Draft(now, "reported", n, None, _reported(launch, message, numbers, folds))])
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
        reason = self._why_end()
        if reason is not None:
            self.stop(launch, reason, now, message.seconds)
            return Decision.STOP
        study._session.join()
        return Decision.CONTINUE

    def _superseded(self, launch: Launch) -> bool:
        """Whether others took this driver for dead (frozen, cut off) and run the trial again: theirs counts."""
        return self.study._state.trials[launch.trial].runs > launch.attempt

    def _data(self, launch: Launch, seconds: float, **more: Any) -> dict[str, Any]:
        data: dict[str, Any] = {"attempt": launch.attempt, "seconds": seconds, **more}
        if launch.open_space and self._used.get(launch.trial):
            data["used"] = self._used[launch.trial]
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
        used = self._used.setdefault(n, [])
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
        self.launches.pop(n, None)
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
        self._used.pop(n, None)

    def _failed(self, launch: Launch, end: End, now: float, error: str) -> None:
        data = self._data(launch, end.seconds, error=error)
        if end.log is not None:
            data["log"] = end.log
        self.failed.append((launch.trial, end.log))
        self.study._session.append([Draft(now, "failed", launch.trial, None, data)])

    def _completed(self, launch: Launch, end: End, now: float) -> None:
        study, n = self.study, launch.trial
        trial = study._state.trials[n]
        try:
            returned = self._returned(launch, end)
        except MetricError as error:
            self._failed(launch, end, now, str(error))
            return
        drafts = []
        status = "completed"
        if returned is not None:
            drafts.append(Draft(now, "reported", n, None, _reported(launch, returned, dict(returned.metrics))))
            status = "completed" if study._definition.problem.usable(returned.metrics) else "diverged"
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

    def _returned(self, launch: Launch, end: End) -> Message | None:
        """What a program returned, as its last report; None where it has reported that already.

        Raises:
            MetricError: it is of no use, or there is nothing at all.
        """
        study, n = self.study, launch.trial
        trial, problem = study._state.trials[n], study._definition.problem
        heard = [r for r in trial.reports if r.repeat == launch.repeat]
        result = end.result
        if result is not None and not isinstance(result, Mapping):
            if len(problem.objectives) > 1:
                raise MetricError(
                    f"trial {n} returned one number; this study has several objectives. Return a mapping."
                )
            result = {problem.objectives[0].name: result}
        if not end.heeded and study._session.engine.scheduler.needs_fidelity:
            self._deaf(launch)
        full = _full(launch)
        if result is not None:
            if heard and full is not None and trial.resource == full:
                return None  # a resource is reported once
            # without a fidelity what is returned is a further, last word, on what it names
            last = dict(heard[-1].metrics) if heard and full is None else {}
            numbers = self._numbers({**last, **result}, n)
            return None if last and dict(numbers) == last else Message(numbers, full, end.seconds)
        if not heard:
            axis, name = launch.fidelity, problem.objectives[0].name
            far = "" if launch.until is None or axis is None else f" up to {axis.name} {launch.until:g}, its grant,"
            raise MetricError(
                f"trial {n} ended{far} without a result. Report {name!r} with run.report({name}=...), or return it."
            )
        return None

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

    def _numbers(self, metrics: Mapping[str, Any], number: int) -> dict[str, float]:
        """Checked metrics. What the very first report gets wrong, all will: the run ends with its error."""
        try:
            return self.study._definition.problem.check_metrics(metrics, where=f"trial {number}")
        except MetricError as error:
            if not any(t.metrics for t in self.study._state.trials.values()):
                self.wrong = error
            raise


def _reported(
    launch: Launch, message: Message, numbers: dict[str, float], folds: tuple[float, ...] = ()
) -> dict[str, Any]:
    """The data of a report's event."""
    data: dict[str, Any] = {"metrics": numbers, "seconds": message.seconds}
    if message.resource is not None:
        data["resource"] = message.resource
    if folds:
        data["folds"] = list(folds)
    if message.checkpoint:
        data["checkpoint"] = message.checkpoint
    if launch.repeat:
        data["repeat"] = launch.repeat
    return data


def _full(launch: Launch) -> float | None:
    """The resource that a run to its very end has spent."""
    if launch.fidelity is None:
        return None
    return launch.until if launch.until is not None else launch.fidelity.high
