"""Tune by gradients in a study: every outer step is a trial of its log, under its budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, UnsupportedError
from luthier.gradients._chain import Chain, Follow, Make, Measure, ahead, hyper_of
from luthier.gradients._compute import method_of
from luthier.gradients._tree import Tensors
from luthier.gradients.bounds import Bounds, Box
from luthier.gradients.examination import Examination, examine
from luthier.gradients.method import Method
from luthier.gradients.problem import Bilevel
from luthier.space.space import Space
from luthier.study.study import Study


@dataclass(frozen=True)
class Tuned:
    """What tuning by gradients has found.

    Args:
        value: The lowest validation loss of an outer step.
        hyper: Its hyperparameters, whole tensors included.
        config: Its configuration.
        trial: Its number in the study.
        params: What was trained with them.
        study: The study.
        examination: What was seen before the run; None where it was left out.
        steps: Outer steps made.
        stopped: Why it ended.
    """

    value: float
    hyper: Tensors = field(repr=False)
    config: dict[str, Any]
    trial: int | None
    params: Tensors = field(repr=False)
    study: Study = field(repr=False)
    examination: Examination | None
    steps: int
    stopped: str


def tune_with_gradients(
    problem: Bilevel | Make,
    space: Space | None = None,
    *,
    study: Study | None = None,
    refine: bool | int = False,
    start: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Box] | None = None,
    method: str | Method = "reverse",
    steps: int = 30,
    rate: float = 0.1,
    trials: int | None = None,
    seconds: float | None = None,
    measure: Measure | None = None,
    follow: Follow | None = None,
    examined: bool = True,
    say: Callable[[str], None] | None = print,
) -> Tuned:
    """Move hyperparameters along hypergradients, each step a trial.

    Hyperparameters move in free numbers (see `Bounds`) by Adam. An outer step that diverges is logged as diverged; the
    next one starts again from the best so far at half the rate.

    Args:
        problem: What is tuned; or a function of the configuration that makes it, where whole numbers and choices
            (which gradients leave as they are) matter too.
        space: Of the hyperparameters that are single numbers; None: that of the study, or none.
        study: Where to log; None: a new one in memory.
        refine: True: start from the study's best trial; a number: from that trial. It is trained once more, for its
            gradient, and that counts as a trial too.
        start: Configuration to start from; None: the default of the space.
        tensors: Hyperparameters that are whole tensors. The log has their mean, min and max, for they are too many.
        method: How to differentiate: a name (see `hypergradient`) or an instance.
        steps: Most outer steps.
        rate: Of Adam, in free numbers; the survey gives 0.05 to 0.1.
        trials: Trials of the study in all, as `study.run` counts them; None: as many as `steps` need, beside those
            that the study has yet to try first. Its default is the first step where it is the start.
        seconds: Time, as in `study.run`.
        measure: (parameters, hyperparameters) -> further metrics of each trial, such as the error on test data.
        follow: (parameters, hyperparameters, outer step) -> the loss whose gradient is followed; None: the validation
            loss, by which steps are reported and the best one is chosen in any case. With few validation rows
            hyperparameters soon fit them: follow one part of them and choose by the other.
        examined: Check the problem before the run and refuse one that cannot work.
        say: Where the checks and the end are told; None: nowhere.

    Returns:
        The best step, and the study.

    Raises:
        ArgumentError: a start that is not there, nothing to move, or a problem that did not pass the checks.
        UnsupportedError: a study with several objectives, a maximised one, repeats, a fidelity or a scheduler.

    Source: the loop of the family survey's section on gradients; approximate hypergradient descent as in HOAG
        (Pedregosa 2016).
    Cost: per outer step that of the method.
    """
    steps = check("steps", steps, at_least=1, whole=True)
    check("rate", rate, above=0)
    known = study if study is not None else Study(space, searcher="random", defaults_first=False, name="gradients")
    _fits(known)
    config = _start(known, refine, start)
    make: Make = (lambda _: problem) if isinstance(problem, Bilevel) else problem
    inner = make(config)
    bounds = Bounds(None if tensors and not config else known.space, config, tensors=tensors, dtype=_dtype(inner))
    seen = examine(inner, bounds.values(bounds.start())) if examined else None
    if seen is not None:
        _tell(say, str(seen))
        if seen.problems:
            raise ArgumentError(f"tune_with_gradients: {'; '.join(seen.problems)}. (examined=False leaves this out.)")
    chain = Chain(known, inner, make, bounds, method_of(method), steps=steps, rate=rate, measure=measure, follow=follow)
    needed = len(known.trials) + len(ahead(known)) + steps
    chain.begin()
    known.callbacks.append(chain.heard)
    try:
        known.run(chain, trials=trials or needed, seconds=seconds, executor="inline")
    finally:
        known.callbacks.remove(chain.heard)
    found = chain.result(seen)
    _tell(say, f"{found['steps']} outer steps, best loss {found['value']:.6g} ({found['stopped']})")
    return Tuned(study=known, **found)


def objective(
    problem: Bilevel | Make, *, tensors: Tensors | None = None, measure: Measure | None = None
) -> Callable[[Any], None]:
    """The same problem as a program that `study.run` runs, for search without gradients.

    Args:
        problem: As in `tune_with_gradients`.
        tensors: Values of the hyperparameters that are whole tensors.
        measure: As there.
    """

    def train(run: Any) -> None:
        inner = problem if isinstance(problem, Bilevel) else problem(run.config)
        hyper = {**hyper_of(run.config, _dtype(inner)), **(tensors or {})}
        state = inner.run(hyper)
        extra = {} if measure is None else dict(measure(state["params"], hyper))
        run.report(loss=float(inner.validate(state["params"], hyper)), **extra)

    return train


def _fits(study: Study) -> None:
    problem = study.problem
    wrong = {
        "several objectives": len(problem.objectives) > 1,
        "an objective to be maximised": any(one.goal == "max" for one in problem.objectives),
        "repeats": study.repeats > 1,
        "a fidelity": problem.fidelity is not None,
        f"scheduler {study.scheduler_name!r}": study.scheduler_name != "straight",
    }
    if found := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise UnsupportedError(
            f"tune_with_gradients in a study with {' and '.join(found)}. Allowed: one loss to be minimised, each trial "
            "trained once to its end."
        )


def _start(study: Study, refine: bool | int, start: Mapping[str, Any] | None) -> dict[str, Any]:
    if refine is not False:
        if start is not None:
            raise ArgumentError("tune_with_gradients with refine= and start=. Allowed: one of them.")
        best = study.best if refine is True else next((t for t in study.trials if t.number == refine), None)
        if best is None:
            which = "no finished trial" if refine is True else f"no trial {refine}"
            raise ArgumentError(f"refine={refine!r}: study {study.name!r} has {which}. Run it first, or give start=.")
        return dict(best.config)
    if start is not None:
        return dict(start)
    return dict(study.space.default()) if len(study.space) else {}


def _dtype(problem: Bilevel) -> Any:
    """The type of the parameters, where they are known before the hyperparameters are."""
    if callable(problem.start):
        return None
    return next(iter(problem.start.values())).dtype


def _tell(say: Callable[[str], None] | None, text: str) -> None:
    if say is not None:
        say(text)
