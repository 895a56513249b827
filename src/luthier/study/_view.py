"""What a study shows: its problem, trials, results and tables. Nothing here changes it."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.base.records import Event, Trial
from luthier.base.threads import one_thread
from luthier.runtime.storage._urls import FILE
from luthier.space.problem import PastTask, Problem
from luthier.space.space import Space
from luthier.space.translation import tells
from luthier.study._arguments import check_order
from luthier.study._definition import Definition
from luthier.study._session import Session
from luthier.study._state import State
from luthier.study.overtuning import Optimism, Overtuning, in_order, optimism, overtuning
from luthier.study.result import Result, choose, contenders, pareto_set

if TYPE_CHECKING:
    from luthier.study.replay import Replay
    from luthier.study.schedule import Schedule


class View:
    """The reading half of `Study`."""

    name: str
    folder: Path | None
    _definition: Definition
    _session: Session
    _kept: tuple[tuple[int, int | None] | None, tuple[Trial | None, str]]  # the incumbent, and what it follows from

    @property
    def _state(self) -> State:
        return self._session.engine.state

    @property
    def problem(self) -> Problem:
        """The problem, with the space as it is now."""
        return self._definition.with_space(self._state.space).problem

    @property
    def space(self) -> Space:
        """The space as it is now."""
        return self._state.space

    @property
    def seed(self) -> int:
        """Decides every random draw."""
        return self._definition.seed

    @property
    def repeats(self) -> int:
        """Times each configuration is evaluated."""
        return self._definition.repeats

    @property
    def searcher_name(self) -> str:
        """Who proposes."""
        return self._definition.searcher[0]

    @property
    def searcher_words(self) -> str:
        """Who proposes, and why where the searcher chose by itself."""
        why = self._session.engine.scheduler.searcher.why
        return f"{self.searcher_name} ({why})" if why else self.searcher_name

    @property
    def scheduler_name(self) -> str:
        """Who spends the resource."""
        return self._definition.scheduler[0]

    @property
    def url(self) -> str:
        """Where the log is."""
        return self._session.storage.url

    @property
    def where(self) -> str:
        """What to give to `Study.open` and to the commands to find this study again."""
        if self.folder is not None and self._lives_in(self.folder):
            return str(self.folder)
        return f"{self.url}#{self.name}"

    def _lives_in(self, folder: Path) -> bool:
        """Whether the store is the one in this folder, and not another one, such as that which it is a copy of."""
        file, own = folder / FILE, getattr(self._session.storage, "path", None)
        return own is not None and file.exists() and Path(own).exists() and file.samefile(own)

    @property
    def settings(self) -> dict[str, Any]:
        """How it was last run: program, budget, executor, workers, limits; empty before the first run."""
        return dict(self._state.begun)

    @property
    def resumable(self) -> bool:
        """Whether `luthier resume` can go on: the log is not in memory alone, and the last run's program has a name."""
        return not self.url.startswith("memory:") and any(map(self._state.begun.get, ("command", "target")))

    @property
    def trials(self) -> list[Trial]:
        """Every trial in order of its number; copies, as far as this process knows the log."""
        return [copy(trial) for _, trial in sorted(self._state.trials.items())]

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """What the stopping rules said, in order: "rule", "stop", "advise", "reason", and the numbers behind it."""
        return [dict(event.data) for event in self.events() if event.kind == "verdict"]

    @property
    def stopped(self) -> str | None:
        """Why a stopping rule has ended the study; None: none has. A loop of ask and tell ends by it."""
        return self._state.stopped

    def refresh(self) -> int:
        """Take in what other processes have written since; the number of the log's last event.

        A study that runs does so by itself; one that is only looked at, such as a page of it, calls this.
        """
        self._session.sync()
        return self._state.head

    def events(self) -> list[Event]:
        """The whole log."""
        return self._session.storage.read(self._session.study)

    @property
    def best(self) -> Trial | None:
        """The incumbent by `rule`; None while there is none, and with several objectives (see `pareto`)."""
        return self._chosen()[0]

    @property
    def rule(self) -> str:
        """How the incumbent is chosen."""
        return self._chosen()[1]

    def _chosen(self) -> tuple[Trial | None, str]:
        """The incumbent and the rule that chose it; kept until the log has more to say, for a rule may fit a model."""
        recommended = self._recommended()
        key = (self._state.head, recommended)
        if self._kept[0] != key:
            chosen = choose(
                self.trials,
                self.problem,
                self.repeats,
                recommended,
                incumbent=self._definition.selection.incumbent,
                seed=self.seed,
            )
            self._kept = (key, chosen)
        best, rule = self._kept[1]
        return None if best is None else copy(best), rule

    def _recommended(self) -> int | None:
        """The trial that the searcher believes in, where single results are noisy and nothing better is at hand."""
        problem = self._definition.problem
        if len(problem.objectives) > 1 or self.repeats > 1 or problem.fidelity is not None:
            return None
        self._session.engine.refresh()
        with one_thread():
            return self._session.engine.scheduler.searcher.recommend()

    @property
    def pareto(self) -> list[Trial]:
        """Feasible trials that no other dominates."""
        if len(self.problem.objectives) > 1:
            return pareto_set(self.trials, self.problem, self.repeats)
        best = self.best
        return [] if best is None else [best]

    @property
    def untouched(self) -> str | None:
        """Name of the metric that no part of the study learns from; None without one."""
        return self._definition.selection.untouched or None

    @property
    def overtuning(self) -> Overtuning | None:
        """What the search has lost on the untouched data; None where no such metric was reported."""
        if self.untouched is None:
            return None
        found = contenders(self.trials, self.problem, self.repeats) if len(self.problem.objectives) == 1 else []
        return overtuning(in_order(found), self.problem, self.best)

    @property
    def optimism(self) -> Optimism | None:
        """How lucky the best result was, as a process sees it; None where it has too little to see.

        Cost: one fit of a Gaussian process.
        """
        best = self.best
        if best is None:
            return None
        return optimism(contenders(self.trials, self.problem, self.repeats), best, self.problem, self.seed)

    def result(self) -> Result:
        """What has been found until now."""
        trials = self.trials
        best, rule = self._chosen()
        default = next((t for t in trials if t.origin == "default"), None)
        return Result(
            self.name,
            self.where,
            best,
            rule,
            default,
            self.pareto,
            trials,
            self._state.ended,
            self.overtuning,
            self._last_words(),
        )

    def _last_words(self) -> list[dict[str, Any]]:
        """The last verdict of each stopping rule that was not skipped, in their order."""
        found = []
        for place, said in sorted(self._state.verdicts.items()):
            rule = self._session.engine.judge.rules[place]
            last = next((one for one in reversed(said) if not one["skipped"]), said[-1])
            found.append({"rule": rule.name, "place": place, "advise": rule.advise, **last})
        return found

    def diagnostics(self) -> dict[str, float | str]:
        """What the searcher says of itself."""
        self._session.engine.refresh()
        return self._session.engine.scheduler.searcher.diagnostics()

    def diagnostics_over_time(self, moments: int = 12) -> list[dict[str, Any]]:
        """The same at moments of the log, computed anew: one fit of the searcher's model for each.

        Args:
            moments: How many at most, evenly spaced over the results (12: enough to see a trend).

        Returns:
            One row a moment, the present last: the diagnostics, and `results`, the ends of runs until then.
        """
        from luthier.study._course import course

        return course(self._definition, self.events(), moments)

    def rungs(self) -> list[dict[str, object]]:
        """What stands at each rung."""
        self._session.engine.refresh()
        return self._session.engine.scheduler.rungs()

    def schedule(self, trial: int | None = None) -> Schedule:
        """The configurations that a trial was trained with, one after the other, where trials are clones of others.

        Args:
            trial: Its number; None: the best.

        Raises:
            ArgumentError: it has no result, or the study has no fidelity.
        """
        from luthier.study.schedule import schedule_of

        return schedule_of(self, trial)

    @property
    def about(self) -> dict[str, float | str]:
        """Facts on the task, as given."""
        return dict(self._definition.about)

    def as_past(self, order: float | None = None) -> PastTask:
        """This study as an earlier task of another one: its finished trials, to be minimised.

        Args:
            order: Where it stands in time or size; None: where it was made to stand, else 0.
        """
        problem = self.problem
        given = check_order(order)
        told = tuple(
            replace(
                problem.observe(t.number, t.config, t.metrics, resource=t.resource, status=t.status), task=self.name
            )
            for t in self.trials
            if tells(t.status, t.resource) and t.metrics and problem.usable(t.metrics)
        )
        own = problem.order if given is None else given
        return PastTask(self.name, own or 0.0, problem.space, problem.objectives, told, self.about)

    def frame(self) -> dict[str, list[Any]]:
        """All trials as columns, ready for `pandas.DataFrame(study.frame())` or another table library."""
        from luthier.study.exchange import columns

        return columns(self.trials, self.problem)

    def export(self, path: str | Path) -> Path:
        """Write all trials to a file: .csv, .json or .parquet by its ending."""
        from luthier.study.exchange import write

        return write(self.trials, self.problem, Path(path))

    def replay(self) -> Replay:
        """Compute every decision anew from the log, and compare."""
        from luthier.study.replay import replay

        return replay(self._definition, self.events())
