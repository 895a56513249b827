"""A chain of outer steps: the program that a study runs, which asks for its own next trial."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from luthier.base.errors import NumericsWarning
from luthier.base.records import Configuration, Event
from luthier.gradients._tree import WHAT, Tensor, Tensors, Tree, detached, entries, norm, torch_for
from luthier.gradients.bounds import Bounds
from luthier.gradients.examination import Examination
from luthier.gradients.method import Hypergradient, Method
from luthier.gradients.optimisers import adam
from luthier.gradients.problem import Bilevel
from luthier.gradients.steps import SLOPE, STEP
from luthier.study.study import Study

#: Makes the problem from a configuration; measures further metrics of trained parameters.
Make = Callable[[Mapping[str, Any]], Bilevel]
Measure = Callable[[Tensors, Tensors], Mapping[str, float]]
#: (parameters, hyperparameters, outer step from 0) -> the loss whose gradient is followed.
Follow = Callable[[Tensors, Tensors, int], Tensor]

RETRIES = 4  # divergences that end a chain; by then the rate is an eighth of what it was


class Chain:
    """Outer steps, each of which is a trial.

    The study runs this object for every trial. One whose configuration is the one that the chain waits for is
    differentiated, and the chain enqueues the next; any other (a default that comes first, a configuration that was
    enqueued before) is trained and reported.

    Args:
        study: Where trials come from.
        inner: The problem at the start.
        make: Makes the problem of other configurations.
        bounds: Of the hyperparameters that move.
        method: How to differentiate.
        steps: Most outer steps.
        rate: Of Adam, in free numbers.
        measure: Further metrics.
        follow: Loss to differentiate; None: the one that is reported.
    """

    def __init__(
        self,
        study: Study,
        inner: Bilevel,
        make: Make,
        bounds: Bounds,
        method: Method,
        *,
        steps: int,
        rate: float,
        measure: Measure | None,
        follow: Follow | None = None,
    ) -> None:
        self.study, self.inner, self.make, self.bounds = study, inner, make, bounds
        self.method, self.steps, self.measure, self.follow = method, steps, measure, follow
        self.free = bounds.start()
        self.rate, self.retries, self.done, self.moves = rate, RETRIES, 0, 0
        self.memory: Tree = self._mover().memory(self.free)
        self.warm: Tree = None
        self.best: tuple[float, Tensors, int, Tensors, dict[str, Any]] | None = None
        self.turn: tuple[Tensors, Tensors] = (self.free, self.free)  # the best step's free numbers and their gradient
        self.why = "the study's budget is used up"
        self.warned = self.over = False
        self._loss = study.problem.objectives[0].name
        self._awaited: Configuration | None = None

    def _mover(self) -> Any:
        return adam(self.rate)

    def begin(self) -> None:
        """Ask for the first step."""
        values = self.bounds.values(self.free)
        self._ask(self.bounds.first() or self._summary(values), ahead(self.study))

    def heard(self, study: Study, event: Event) -> None:
        """End the study's run with the last step; before that one is through, it would be stopped and not count."""
        if self.over and event.kind in ("finished", "failed", "stopped"):
            study.stop(self.why)

    def _await(self) -> None:
        values = self.bounds.values(self.free)
        config = self.bounds.configuration(values)
        self._ask(config or self._summary(values))  # a study without a space is described by its tensors

    def _ask(self, config: Mapping[str, Any], coming: Sequence[Configuration] = ()) -> None:
        """Wait for a configuration; one that is to come anyway, such as the default, is not asked for once more."""
        self._awaited = self.study._check(config, "tune_with_gradients: start")
        if self._awaited not in coming:
            self.study.enqueue(config)

    def _summary(self, values: Tensors) -> dict[str, float]:
        found: dict[str, float] = {}
        for name in self.bounds.tensors:
            value = values[name]
            found |= {f"{name}.mean": float(value.mean())}
            if entries(value) > 1:
                found |= {f"{name}.min": float(value.min()), f"{name}.max": float(value.max())}
        return found

    def __call__(self, run: Any) -> None:
        """Run one trial."""
        values = self.bounds.values(self.free)
        if self._awaited is None or dict(run.config) != dict(self._awaited):
            self._plain(run, values)
            return
        self._awaited = None
        try:
            self._step(run, values)
        except Exception as error:  # the study logs it as a failure; there is no next step
            self.why, self.over = f"{type(error).__name__}: {error}", True
            raise

    def _step(self, run: Any, values: Tensors) -> None:
        found = self._differentiated(values)
        by_free = self.bounds.slope(self.free, found.gradient)
        good = found.finite and math.isfinite(norm(by_free))
        extra = self._measured(found.params, values) if good else {}
        if good:
            self._went_well(found, by_free, run.number, values, dict(run.config))
        else:
            self._diverged()
        size, loss = (norm(by_free), found.value) if good else (math.nan, math.nan)
        summary = {} if not self.bounds.scalars else self._summary(values)
        metrics = {self._loss: loss, STEP: float(self.done), SLOPE: size, **summary, **extra}
        self.done += 1
        self._go_on()  # before the report: that of a diverged trial is the last thing its program does
        run.report(metrics)

    def _differentiated(self, values: Tensors) -> Hypergradient:
        follow, step = self.follow, self.done
        if follow is None:
            return self.method.gradient(self.inner, values, warm=self.warm)
        other = replace(self.inner, validate=lambda p, h: follow(p, h, step))
        found = self.method.gradient(other, values, warm=self.warm)
        with torch_for(WHAT).no_grad():
            return replace(found, value=float(self.inner.validate(found.params, values)))

    def _plain(self, run: Any, values: Tensors) -> None:
        problem = self.make(run.config)
        whole = {name: values[name] for name in self.bounds.tensors}
        hyper = {**hyper_of(run.config, self.bounds.dtype), **whole}
        state = problem.run(hyper)
        loss = float(problem.validate(state["params"], hyper))
        run.report({self._loss: loss, **self._measured(state["params"], hyper)})

    def _measured(self, params: Tensors, hyper: Tensors) -> dict[str, float]:
        return {} if self.measure is None else dict(self.measure(params, hyper))

    def _went_well(
        self, found: Hypergradient, by_free: Tensors, trial: int, values: Tensors, config: dict[str, Any]
    ) -> None:
        if found.unreliable and not self.warned:
            self.warned = True
            warnings.warn(f"hypergradient by {found.method}: {found.unreliable}", NumericsWarning, stacklevel=2)
        self.warm = found.warm
        if self.best is None or found.value < self.best[0]:
            self.best = (found.value, detached(values), trial, found.params, config)
            self.turn = (self.free, by_free)
        self._move(by_free)

    def _move(self, by_free: Tensors) -> None:
        free, self.memory = self._mover().update(self.free, by_free, self.memory, {}, self.moves)
        self.free, self.moves = detached(free), self.moves + 1

    def _diverged(self) -> None:
        self.warm, self.retries = None, self.retries - 1
        if self.best is None:
            self.retries, self.why = 0, "training diverged at the start"
            return
        if self.retries == 0:
            self.why = f"training diverged {RETRIES} times"
            return
        self.rate, self.moves = self.rate / 2, 0
        self.free, by_free = self.turn
        self.memory = self._mover().memory(self.free)
        self._move(by_free)

    def _go_on(self) -> None:
        if self.retries > 0 and self.done < self.steps:
            self._await()
            return
        if self.retries > 0:
            self.why = f"all {self.steps} outer steps are made"
        self.over = True

    def result(self, seen: Examination | None) -> dict[str, Any]:
        """What was found, as arguments of `Tuned`."""
        shared = {"examination": seen, "steps": self.done, "stopped": self.why}
        if self.best is None:
            values = self.bounds.values(self.free)
            config = self.bounds.configuration(values)
            return {"value": math.nan, "hyper": values, "config": config, "trial": None, "params": {}, **shared}
        value, hyper, trial, params, config = self.best
        return {"value": value, "hyper": hyper, "config": config, "trial": trial, "params": params, **shared}


def ahead(study: Study) -> list[Configuration]:
    """What a study has yet to try before it proposes something: its first configurations and what was enqueued."""
    state, initial = study._state, study._definition.initial
    first = [config for i, (_, config) in enumerate(initial) if i not in state.initial]
    return [study._session.engine.today(config) for config in (*first, *state.queue.values())]


def hyper_of(config: Mapping[str, Any], dtype: Any) -> Tensors:
    """The real numbers of a configuration as tensors."""
    torch = torch_for(WHAT)
    return {name: torch.tensor(value, dtype=dtype) for name, value in config.items() if isinstance(value, float)}
