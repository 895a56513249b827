"""What users write into a study by hand: ask and tell, evaluations made elsewhere, wishes, marks, a wider space."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, UnsupportedError
from luthier.base.records import Configuration, Decision, Status, Trial
from luthier.runtime.executors._function import refuse_while_importing
from luthier.runtime.storage import Draft
from luthier.space.space import Space
from luthier.study._guard import plan, searched
from luthier.study._session import ADDED, ASKED
from luthier.study._view import View
from luthier.study.result import contenders

_OVER = (Status.COMPLETED, Status.DIVERGED, Status.FAILED, Status.STOPPED)


class ByHand(View):
    """The writing half of `Study`: everything but a run."""

    _lock: threading.RLock

    def ask(self, n: int = 1) -> list[Trial]:
        """Trials to evaluate next.

        Args:
            n: How many.

        Returns:
            Up to `n` trials with `number`, `config`, and under a scheduler `until`, the resource up to which to
            run (a paused trial may come back with a higher one). Fewer, or none, when the space is exhausted. A
            stopping rule that has ended the study keeps nothing back: look at `stopped`.
        """
        if self._session.engine.scheduler.clones:
            raise UnsupportedError(
                f"ask() under scheduler {self.scheduler_name!r}: it starts trials from checkpoints of others, which "
                "tell() cannot name. Run a program: study.run(train), with run.save() before each report."
            )
        refuse_while_importing()
        n = check("n", n, at_least=0, whole=True)
        with self._lock:
            self._session.sync()
            self._refuse_empty()
            trials = []
            for _ in range(n):
                trial = self._session.next(ASKED, self._session.now(), None)
                if trial is None:
                    break
                trials.append(copy(trial))
            return trials

    def _refuse_empty(self) -> None:
        """Refuse to ask while no hyperparameter is known: the configuration would be empty."""
        known = any(config for _, config in self._definition.initial) or self._state.queue
        if self._definition.open_space and not len(self.space) and not known:
            raise UnsupportedError(
                f"ask() in study {self.name!r}, which has no space yet: its hyperparameters are named while a program "
                "runs. Give it one, Study(Space(...)), or run a program: study.run(train, trials=10)."
            )

    def tell(
        self,
        trial: int | Trial,
        metrics: Mapping[str, float] | None = None,
        *,
        resource: float | None = None,
        status: Status | str | None = None,
        folds: Sequence[float] = (),
    ) -> Decision:
        """Say what came out of a trial.

        Args:
            trial: The trial, or its number.
            metrics: Name to value.
            resource: Resource spent when this was measured; the trial goes on. None: the trial is done.
            status: How it ended, if not well: "failed", "stopped", "lost". With a resource too: it ended there.
            folds: Scores of the single folds behind the first objective.

        Returns:
            What the scheduler wants: CONTINUE, PAUSE or STOP. STOP after the last report.

        Raises:
            ArgumentError: no such trial, one that has ended or is paused, or an argument out of range.
            MetricError: a metric is missing or no number.
        """
        trial = _number(trial)
        with self._lock:
            self._session.join()
            self._session.sync()
            outcome = Status.COMPLETED if status is None else _outcome(status)
            self._check_running(trial, outcome)
            now = self._session.now()
            axis = self._definition.problem.fidelity
            if resource is not None:
                check("resource", resource, at_least=0, at_most=None if axis is None else axis.high)
            if metrics is not None and not isinstance(metrics, Mapping):
                raise ArgumentError(f"tell({trial}, {metrics!r}). Allowed: metrics by name, such as {{'loss': 0.3}}.")
            if metrics is None:
                if outcome is Status.COMPLETED:
                    raise ArgumentError(f"tell({trial}) without metrics. Give metrics={{...}} or status='failed'.")
                self._session.append([_ending(trial, now, outcome)])
                return Decision.STOP
            ends = status is not None or resource is None or (axis is not None and resource >= axis.high)
            return self._record(trial, metrics, resource, now, outcome if ends else None, folds=folds)

    def _check_running(self, number: int, outcome: Status) -> None:
        known = self._known(number)
        # the result of a trial that was given up counts when it comes after all; that it failed says nothing new
        late = known.status is Status.LOST and outcome not in (Status.COMPLETED, Status.DIVERGED)
        if known.status in _OVER or late:
            raise ArgumentError(
                f"trial {number} has ended ({known.status.value}). Allowed: tell a trial that is running; for a "
                "further evaluation use study.add(config, metrics)."
            )
        if known.status is Status.PAUSED:
            raise ArgumentError(
                f"trial {number} is paused. Allowed: tell a trial that is running; ask() gives this one again when "
                "its turn comes. For a further evaluation use study.add(config, metrics)."
            )

    def _known(self, number: int) -> Trial:
        try:
            if isinstance(number, bool):  # which a dictionary takes for 0 or 1
                raise TypeError
            return self._state.trials[number]
        except (KeyError, TypeError):  # TypeError: what no dictionary could hold
            raise ArgumentError(
                f"trial {number!r} is not in study {self.name!r}. Allowed: a number that ask() gave."
            ) from None

    def _record(
        self,
        number: int,
        metrics: Mapping[str, float],
        resource: float | None,
        now: float,
        outcome: Status | None,
        *,
        folds: Sequence[float] = (),
    ) -> Decision:
        """Log a told result; end the trial with its outcome, or decide when it has none yet."""
        problem = self._definition.problem
        numbers = problem.check_metrics(metrics, where=f"trial {number}")
        scores = problem.check_folds(folds, where=f"trial {number}")
        axis = problem.fidelity
        data: dict[str, Any] = {"metrics": numbers}
        if resource is not None or axis is not None:
            data["resource"] = resource if resource is not None else axis.high  # type: ignore[union-attr]
        if scores:
            data["folds"] = list(scores)
        if self.repeats > 1:
            data["repeat"] = len(self._known(number).repeats)
        report = Draft(now, "reported", number, None, data)
        if not problem.usable(numbers):
            self._session.append([report, _ending(number, now, Status.DIVERGED)])
            return Decision.STOP
        if outcome is not None:
            self._session.append([report, _ending(number, now, outcome)])
            return Decision.STOP
        self._session.append([report])
        decided = self._session.engine.pending.get(number)
        if decided is None:
            return Decision.CONTINUE
        self._session.append([self._session.decided(number, now, *decided)])
        return decided[1]

    # more that users do ----------------------------------------------------------------------------------

    def add(
        self,
        config: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
        *,
        resource: float | None = None,
        status: Status | str = Status.COMPLETED,
        reports: Sequence[tuple[float, Mapping[str, Any]]] = (),
    ) -> int:
        """Add an evaluation that was made elsewhere; the searcher learns from it.

        Args:
            config: The configuration.
            metrics: Its result; None for a trial that has none.
            resource: Resource at which the result was measured; None: all of it.
            status: How it ended.
            reports: What was measured on the way, as (resource, metrics); needs a fidelity.

        Returns:
            The number it got.
        """
        with self._lock:
            checked = self._check(config, "study.add")
            outcome = _outcome(status)
            for at in [at for at, _ in reports] + ([] if resource is None else [resource]):
                check("resource", at, at_least=0)
            self._session.join()
            now = self._session.now()
            outcome, measured = self._measured(metrics, resource, reports, outcome)
            with self._session.number() as k:
                assert k is not None  # no limit was given
                head = self._state.head
                rows = [
                    Draft(now, "asked", k, head, {"config": dict(checked), "origin": "added"}),
                    Draft(now, "started", k, None, {"attempt": 1, "worker": ADDED, "driver": self._session.me.id}),
                    *(Draft(now, "reported", k, None, data) for data in measured),
                    *[_ending(k, now, outcome)] * self.repeats,
                ]
                self._session.append(rows, release=[k])
                return k

    def _measured(
        self,
        metrics: Mapping[str, float] | None,
        resource: float | None,
        reports: Sequence[tuple[float, Mapping[str, Any]]],
        outcome: Status,
    ) -> tuple[Status, list[dict[str, Any]]]:
        """How an added trial ended, and the data of its reports."""
        problem = self._definition.problem
        if reports and problem.fidelity is None:
            raise ArgumentError(
                f"study.add with {len(reports)} reports, and the study has no fidelity. Give "
                "fidelity=(name, low, high) to Study, or metrics alone to add."
            )
        found: list[dict[str, Any]] = [
            {"metrics": problem.check_metrics(m, where="study.add"), "resource": at} for at, m in reports
        ]
        if metrics is None:
            if outcome is Status.COMPLETED:
                raise ArgumentError("study.add without metrics. Give metrics={...} or status='failed'.")
            return outcome, found
        numbers = problem.check_metrics(metrics, where="study.add")
        reached = resource if resource is not None or problem.fidelity is None else problem.fidelity.high
        found.append({"metrics": numbers, **({} if reached is None else {"resource": reached})})
        return (outcome if problem.usable(numbers) else Status.DIVERGED), found

    def _check(self, config: Mapping[str, Any], where: str) -> Configuration:
        if self._definition.open_space:
            return Configuration(config)
        return self.space.check(config, where=where)

    def enqueue(self, config: Mapping[str, Any]) -> None:
        """Have a configuration tried before the searcher is asked again."""
        with self._lock:
            self._session.append(
                [Draft(self._session.now(), "enqueued", None, None, {"config": dict(self._check(config, "enqueue"))})]
            )

    def recover(self) -> int:
        """Take over from drivers that died: what they ran is to be asked again, or is lost after its last retry.

        `ask` and `run` do so before they propose; this is for who counts trials first. What runs in drivers that
        live stays theirs.

        Returns:
            How many trials wait to be asked again.
        """
        with self._lock:
            self._session.join()
            self._session.recover()
            return sum(trial.status is Status.WAITING for trial in self._state.trials.values())

    def confirm(self) -> int:
        """Have the best trial and the default measured again, on fresh splits, before the searcher is asked again.

        Each round has a `split_seed` of its own and measures both, the two best where the default was not tried; there
        are as many rounds as a fifth of the trials of the search allow, at least three and at most ten. A run of a
        study with incumbent="guarded" does so at its end; in a loop of ask and tell it is yours to call.

        Returns:
            How many trials will be asked; 0 when the search has brought nothing new since the last time.
        """
        with self._lock:
            self._session.sync()
            trials = searched(self.trials)
            of = sum(trial.status.ended for trial in trials)
            if len(self._definition.problem.objectives) > 1 or of <= self._state.confirmed:
                return 0
            planned = plan(contenders(trials, self.problem, self.repeats), trials, self.seed)
            if not planned or not self._session.claim(of, "confirmation"):
                return 0
            now = self._session.now()
            self._session.append(
                [
                    Draft(now, "enqueued", None, None, {"config": dict(config), "split_seed": split, "of": of})
                    for config, split in planned
                ]
            )
            return len(planned)

    def tag(self, trial: int | Trial, /, **tags: str) -> None:
        """Mark a trial (or the one of this number) with `name="text"`."""
        self._annotate(trial, {"tags": {name: str(text) for name, text in tags.items()}})

    def note(self, trial: int | Trial, text: str) -> None:
        """Write a note on a trial (or the one of this number); it replaces the last one."""
        self._annotate(trial, {"note": text})

    def _annotate(self, trial: int | Trial, data: dict[str, Any]) -> None:
        number = _number(trial)
        with self._lock:
            self._known(number)
            self._session.append([Draft(self._session.now(), "annotated", number, None, data)])

    def widen(self, space: Space | Mapping[str, Any]) -> None:
        """Go on in a larger space: wider ranges, more choices, new hyperparameters with a default.

        Earlier trials stay and are understood in the new space.

        Raises:
            SpaceError: it is not a superset; says where.
        """
        with self._lock:
            wider = self.space.widen(space if isinstance(space, Space) else Space(space))
            self._session.append([Draft(self._session.now(), "widened", None, None, {"space": wider.to_dict()})])


def _number(trial: int | Trial) -> int:
    """The number of a trial, whichever of the two was given."""
    return trial.number if isinstance(trial, Trial) else trial


def _outcome(given: Status | str) -> Status:
    """How a trial ended, as a user says it."""
    word = given.value if isinstance(given, Status) else given
    check("status", word, one_of=[s.value for s in Status if s.ended or s is Status.PAUSED])
    return Status(word)


def _ending(number: int, now: float, status: Status) -> Draft:
    """The event that ends a trial."""
    kinds = {Status.FAILED: "failed", Status.STOPPED: "stopped", Status.LOST: "lost", Status.PAUSED: "paused"}
    if status in kinds:
        return Draft(now, kinds[status], number, None, {})
    return Draft(now, "finished", number, None, {"status": status.value})
