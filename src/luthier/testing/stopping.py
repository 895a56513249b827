"""The battery of a stopping rule: what the study, its replay and its user rely on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from luthier.base.errors import LuthierError
from luthier.base.records import Configuration, Fidelity, Objective, Report, Status, Trial
from luthier.base.registry import load
from luthier.base.seeds import generator
from luthier.space.domains import Choice, Float, Int
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.stopping._base import History, StoppingRule, Verdict

SPACE = Space(lr=Float(1e-5, 1e-1, log=True), layers=Int(1, 8), act=Choice("relu", "gelu", "tanh"))


def check_stopping(rule: str | type, own: Mapping[str, Any] | None = None) -> None:
    """Check a rule against the contract.

    Checked are: the verdict depends on problem, seed and history alone (asked twice, asked by a fresh rule that has
    seen nothing before); nothing in the history is changed; evidence is JSON-able
    numbers and words; an empty history and one of failures alone mean "go on"; a maximised objective gives the verdict
    of its negative minimised.

    Args:
        rule: A registered name, or a class.
        own: Its own arguments.

    Raises:
        AssertionError: it breaks the contract; says where.
    """
    cls = load("stopping", rule) if isinstance(rule, str) else rule
    own = dict(own or {})
    problem = Problem(SPACE, (Objective("loss"),))
    histories = [_history(problem, n, seed=n) for n in (0, 1, 5, 24, 40)]
    _pure(cls, own, problem, histories)
    _quiet(cls, own, problem)
    _signed(cls, own, histories)
    for more in ({"fidelity": Fidelity("epoch", 1, 9)}, {"constraints": ()}):
        one = Problem(SPACE, (Objective("loss"),), **more)
        if one.fidelity is None or "fidelity" in cls.supports:  # type: ignore[attr-defined]
            _verdict(cls(one, seed=0, **own), _history(one, 30, seed=3))
    try:
        cls(problem, seed=-1, **own)
    except LuthierError:
        pass
    else:
        raise AssertionError("seed=-1 was taken")


def _verdict(rule: StoppingRule, history: History) -> Verdict | None:
    if not rule.due(history):
        return None
    verdict = rule.check(history)
    assert isinstance(verdict, Verdict), f"check() gave {verdict!r}"
    assert verdict.reason, "a verdict without a reason"
    _plain(verdict.as_data(), "evidence")
    return verdict


def _plain(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _plain(inner, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _plain(inner, where)
    else:
        assert value is None or type(value) in (bool, int, float, str), f"{where}: {value!r} is not plain JSON"
        assert not isinstance(value, float) or math.isfinite(value), f"{where}: {value!r}"


def _pure(cls: Any, own: dict[str, Any], problem: Problem, histories: list[History]) -> None:
    old = cls(problem, seed=3, **own)
    for history in histories:
        before = repr(history)
        first = _verdict(old, history)
        assert _verdict(old, history) == first, "asked twice, it says two things"
        assert repr(history) == before, "check() changed the history"
        assert _verdict(cls(problem, seed=3, **own), history) == first, "a fresh rule says something else"


def _quiet(cls: Any, own: dict[str, Any], problem: Problem) -> None:
    trials = {n: Trial(n, Configuration(c), Status.FAILED) for n, c in enumerate(SPACE.sample(8, generator(1, "run")))}
    for history in (History({}, ()), History(trials, tuple(trials), latest=7)):
        verdict = _verdict(cls(problem, seed=0, **own), history)
        spent = verdict is not None and verdict.stop and cls.name == "budget"  # failures use up a budget as well
        assert verdict is None or not verdict.stop or spent, "it stops a study without a single result"


def _signed(cls: Any, own: dict[str, Any], histories: list[History]) -> None:
    if "value" in own:
        return  # a threshold in units of the objective
    least = cls(Problem(SPACE, (Objective("loss"),)), seed=3, **own)
    most = cls(Problem(SPACE, (Objective("loss", "max"),)), seed=3, **own)
    for history in histories:
        mirrored = {n: _with(t, {"loss": -t.metrics["loss"]}) for n, t in history.trials.items()}
        there = History(mirrored, history.ended, (), history.latest, history.begun, history.time)
        a, b = _verdict(least, history), _verdict(most, there)
        assert (a is None) == (b is None), "maximised, it is due at another time"
        assert a is None or b is None or a.stop == b.stop, "maximised, it says otherwise"


def _with(trial: Trial, metrics: dict[str, float]) -> Trial:
    reports = [Report(trial.number, trial.resource, metrics)]
    return Trial(trial.number, trial.config, trial.status, metrics=metrics, resource=trial.resource, reports=reports)


def _history(problem: Problem, n: int, *, seed: int) -> History:
    """A search that finds less and less."""
    rng = generator(seed, "run")
    trials = {}
    top = None if problem.fidelity is None else problem.fidelity.high
    for number, config in enumerate(problem.space.sample(n, rng) if n else []):
        value = abs(math.log10(config["lr"]) + 3) + 0.1 * config["layers"] + 0.05 * rng.standard_normal()
        trial = Trial(number, Configuration(config), Status.COMPLETED, resource=top, started=number, ended=number + 1.0)
        trials[number] = _with(trial, {"loss": float(value)})
    return History(trials, tuple(trials), (), n - 1 if n else None, 0.0, float(n))
