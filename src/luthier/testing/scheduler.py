"""The contract battery of schedulers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.base.records import Configuration, Constraint, Fidelity, Objective, Status
from luthier.base.registry import check_own, load
from luthier.schedulers._base import Scheduler
from luthier.space.domains import Float
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.testing._drive import Curve, Drive, Uniform

_EPOCHS = Fidelity("epoch", 1, 9)
_LOSS = (Objective("loss"),)


def check_scheduler(scheduler: str | type[Scheduler], **own: Any) -> None:
    """Drive a scheduler through synthetic studies, and fail where it breaks the contract.

    Several virtual workers report in scrambled order; trials diverge, fail, are lost and come back, pause and go on.
    Checked are: `next_job` is pure; a cold rebuild from the events decides as the live scheduler did; no trial is
    granted the same resource twice, and none goes on while it runs or after it failed; every rung counts a trial
    once, with a value that it reported at that rung or beyond; no worker is idle while work exists (unless the class
    says `waits`); given configurations are run as they are; the study ends, and can be continued.

    Args:
        scheduler: Its public name, or its class.
        **own: Its own arguments.

    Raises:
        AssertionError: saying what is wrong.
        ArgumentError: nothing has that name, or it has no such argument.
    """
    cls = load("scheduler", scheduler) if isinstance(scheduler, str) else scheduler
    check_own("scheduler", cls.__name__, cls, own)
    checks = (_ends, _survives, _takes_given, _skips_rungs, _odd_maxima, _continues, _maximises, _other_problems)
    for seed, check in enumerate(checks):
        check(cls, own, seed)


def _problem(**changes: Any) -> Problem:
    fields: dict[str, Any] = {"objectives": _LOSS, "fidelity": _EPOCHS} | changes
    return Problem(Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0)), **fields)


def _loss(config: Configuration, resource: float | None) -> dict[str, float]:
    """Curves that converge: the better x, the lower; early values mislead by y."""
    spent = 9.0 if resource is None else resource
    return {"loss": config["x"] + config["y"] / spent, "size": config["y"], "error": 1 - config["x"]}


def _sick(config: Configuration, resource: float | None) -> dict[str, float]:
    """As `_loss`, but the most promising eighth diverges when it has run a while."""
    late = resource is None or resource >= 2
    return _loss(config, resource) | ({"loss": math.nan} if config["x"] < 0.125 and late else {})


def _build(cls: type[Scheduler], own: dict[str, Any], problem: Problem, seed: int) -> Callable[[], Scheduler]:
    return lambda: cls(problem, Uniform(problem, seed=seed), seed=seed, **own)


def _drive(
    cls: type[Scheduler],
    own: dict[str, Any],
    seed: int,
    problem: Problem | None = None,
    curve: Curve = _loss,
    **settings: Any,
) -> Drive:
    """Run a study to its end, and check all that holds for every study."""
    problem = _problem() if problem is None else problem
    drive = Drive(_build(cls, own, problem, seed), problem, curve, seed, **settings)
    drive.run()
    _judge(drive, cls)
    return drive


def _judge(drive: Drive, cls: type[Scheduler]) -> None:
    assert cls.ends or drive.started == drive.trials, f"{drive.started} of {drive.trials} trials were started"
    assert cls.waits or not drive.idle, f"workers were idle {drive.idle} times while trials were left"
    assert not any(s in (Status.RUNNING, Status.WAITING) for s in drive.status.values()), "a trial never ended"
    _check_rungs(drive)
    cold = drive.replay()
    assert cold.rungs() == drive.scheduler.rungs(), "cold rebuild: other rungs than live"


def _check_rungs(drive: Drive) -> None:
    rows = drive.scheduler.rungs()
    places = Counter((row["bracket"], row["resource"], row["trial"]) for row in rows)
    twice = [place for place, count in places.items() if count > 1]
    assert not twice, f"(bracket, resource, trial) counted twice: {twice}"
    name = drive.problem.objectives[0].name
    for row in rows:
        reports = drive.reports[row["trial"]]  # type: ignore[index]
        level = row["resource"] * (1 - 1e-6)  # type: ignore[operator]
        values = [r.metrics[name] for r in reports if r.resource is not None and r.resource >= level]
        assert row["value"] in values, f"{row}: the trial reported {values} from there on"
        assert math.isfinite(row["value"]), f"{row}: what is not finite must not be counted"


def _ends(cls: type[Scheduler], own: dict[str, Any], seed: int) -> None:
    for workers in (1, 4, 16):
        drive = _drive(cls, own, seed, workers=workers)
        spent = sum(len(reports) for reports in drive.reports.values())
        assert spent <= drive.trials * _EPOCHS.high, f"{spent} reports of {drive.trials} trials with 9 epochs each"
        best = [n for n, status in drive.status.items() if status is Status.COMPLETED]
        assert best, "no trial reached the full resource"


def _survives(cls: type[Scheduler], own: dict[str, Any], seed: int) -> None:
    """Divergence, failures and losses; a lost trial starts anew and reports the same again."""
    drive = _drive(cls, own, seed, curve=_sick, trials=60, fails=0.03, loses=0.05)
    seen = set(drive.status.values())
    assert cls.ends or {Status.DIVERGED, Status.FAILED} <= seen, "the synthetic study was too healthy"
    _drive(cls, own, seed, curve=lambda config, resource: {"loss": math.nan})
    _drive(cls, own, seed, curve=lambda config, resource: {"loss": 1.0})


def _takes_given(cls: type[Scheduler], own: dict[str, Any], seed: int) -> None:
    given = {0: Configuration(x=0.5, y=0.5), 7: Configuration(x=0.0, y=0.0)}
    drive = _drive(cls, own, seed, given=given)
    assert all(job.config == given[job.trial] for job in drive.jobs if job.trial in given), "a given job was changed"


def _skips_rungs(cls: type[Scheduler], own: dict[str, Any], seed: int) -> None:
    """Programs that report every second or fourth epoch."""
    _drive(cls, own, seed, steps=lambda trial: (1.0, 2.0, 4.0)[trial % 3], loses=0.05)


def _odd_maxima(cls: type[Scheduler], own: dict[str, Any], seed: int) -> None:
    """Full resources that are no power of anything, a single level, and fractions."""
    axes = (Fidelity("epoch", 1, 10), 1.0), (Fidelity("epoch", 2, 2), 2.0), (Fidelity("part", 1 / 27, 1), 1 / 27)
    for fidelity, step in axes:
        problem = _problem(fidelity=fidelity)
        try:
            _build(cls, own, problem, seed)()
        except ArgumentError:
            assert own, f"refuses {fidelity} although all arguments are at their defaults"
            continue  # the arguments were chosen for another axis
        _drive(cls, own, seed, problem, steps=partial(_constant, step))


def _constant(step: float, trial: int) -> float:
    return step


def _continues(cls: type[Scheduler], own: dict[str, Any], seed: int) -> None:
    """The end of a study stops what is paused; then it is continued with more trials."""
    drive = _drive(cls, own, seed, trials=20)
    drive.end_study()
    drive.trials = 40
    drive.run()
    _judge(drive, cls)


def _maximises(cls: type[Scheduler], own: dict[str, Any], seed: int) -> None:
    """A maximised metric gives the decisions of its negative minimised."""

    def upside_down(config: Configuration, resource: float | None) -> dict[str, float]:
        return {"score": -_loss(config, resource)["loss"]}

    plain = _drive(cls, own, seed)
    flipped = _drive(cls, own, seed, _problem(objectives=(Objective("score", "max"),)), upside_down)
    assert flipped.jobs == plain.jobs, "a maximised metric is not treated as its negative minimised"


def _other_problems(cls: type[Scheduler], own: dict[str, Any], seed: int) -> None:
    _drive(cls, own, seed, _problem(constraints=(Constraint("size", 0.4),)))
    if cls.multi_objective:
        both = (Objective("loss"), Objective("error"))
        _drive(cls, own, seed, _problem(objectives=both), curve=_sick)
        _drive(cls, own, seed, _problem(objectives=both, constraints=(Constraint("size", 0.4),)))
    if not cls.needs_fidelity:
        _drive(cls, own, seed, _problem(fidelity=None), curve=_sick, steps=partial(_constant, 1.0))
