"""The judge: asks the stopping rules after what they want to hear of, and says what belongs into the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from luthier.base.records import Event, Trial
from luthier.base.threads import one_thread
from luthier.stopping._base import History, StoppingRule, Verdict
from luthier.stopping._several import dear, stops
from luthier.study._definition import Definition
from luthier.study._selection import CONFIRM
from luthier.study._state import State


class Judge:
    """The stopping rules of one study, beside its state.

    Args:
        definition: The study as it was made, with the space as it is now.
        state: What the log says; the judge only reads it.
    """

    def __init__(self, definition: Definition, state: State) -> None:
        self.state = state
        self.rules: list[StoppingRule] = definition.rules()

    def history(self, place: int) -> History:
        """The log as rule number `place` sees it."""
        state = self.state
        verdicts = state.verdicts.get(place, [])
        ended = tuple(state.order)
        if state.rounds:  # what is measured once more is no step of the search
            ended = tuple(n for n in ended if state.trials[n].origin != CONFIRM)
        return History(state.trials, ended, verdicts, state.latest, state.started, state.time)

    def again(self, place: int, *, frugal: bool = False) -> Verdict:
        """What rule number `place` says at this moment, whether or not it is due."""
        with one_thread():
            return self.rules[place].check(replace(self.history(place), frugal=frugal))

    def verdicts(self, event: Event, *, timed: bool) -> Iterator[dict[str, Any]]:
        """Data of the verdicts that an event calls for, to be logged one by one.

        Args:
            event: The newest event.
            timed: Measure the checks, and skip those that would take more of the trials' time than their rule may. Not
                in virtual time, where what thinking costs must not matter.
        """
        over = event.trial in self.state.order and event.kind != "reported"
        for place, rule in enumerate(self.rules):
            if not over and not (rule.eager and event.kind == "reported"):
                continue
            history = self.history(place)
            if not rule.due(history):
                continue
            frugal = timed and not self._affordable(place, rule.share)
            if frugal and not rule.several:
                if not history.verdicts or not history.verdicts[-1].get("skipped"):
                    yield self._data(place, Verdict(False, dear(rule.share), skipped=True))
                continue
            began = time.perf_counter()
            with one_thread():
                verdict = rule.check(replace(history, frugal=frugal))
            spent = time.perf_counter() - began
            now, before = stops(verdict.as_data()), stops(history.verdicts[-1]) if history.verdicts else ()
            news = now != before if before else any(now)
            if news or (rule.traces and not frugal):
                more = {"frugal": True} if frugal else {"seconds": round(spent, 6)} if timed else {}
                yield self._data(place, verdict, **more)

    def _data(self, place: int, verdict: Verdict, **more: float) -> dict[str, Any]:
        rule = self.rules[place]
        return {"rule": rule.name, "place": place, "advise": rule.advise, **verdict.as_data(), **more}

    def _affordable(self, place: int, share: float | None) -> bool:
        """Whether a check that takes as long as the last one stays within the rule's share of the trials' time."""
        costs = self.state.check_seconds.get(place)
        if share is None or not costs:
            return True
        trained = sum(max(trial.seconds, _span(trial)) for trial in self.state.trials.values())
        return sum(costs) + costs[-1] <= share * trained


def _span(trial: Trial) -> float:
    """Seconds between start and end: what a trial took whose program nobody timed."""
    return 0.0 if trial.started is None or trial.ended is None else trial.ended - trial.started
