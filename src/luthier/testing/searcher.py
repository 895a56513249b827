"""The contract battery of searchers."""

from __future__ import annotations

import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from luthier.base.errors import ArgumentError, UnsupportedError
from luthier.base.records import Configuration, Constraint, Fidelity, Objective, Observation, Status
from luthier.base.registry import check_own, load
from luthier.searchers._base import Searcher
from luthier.space.domains import Choice, Fixed, Float, Int, Ordinal
from luthier.space.problem import PastTask, Problem
from luthier.space.space import Space

#: What a synthetic trial reports.
Metrics = Callable[[Configuration], dict[str, float]]

_LOSS = (Objective("loss"),)
_TRIALS = 14  # of a short study: past every initial design of convention, and cheap
_EVALUATIONS, _SEEDS = 25, 4  # of the comparison with random search
_BEFORE = 100  # trials of each earlier task: the best of them are clearly better than a study's best random one


def check_searcher(searcher: str | type[Searcher], **own: Any) -> None:
    """Drive a searcher through synthetic studies, and fail where it breaks the contract.

    Checked are: proposals lie in the space, conditions and forbidden combinations included; equal seeds and
    observations give equal proposals, live, rebuilt cold, and in another process; `ask` changes nothing; several
    proposals at once differ, and pending ones are not proposed again; failed, diverged, duplicate, constant and huge
    observations are survived; a finite space ends clearly, without duplicates; maximising mirrors minimising; what
    `supports` declares works and what it does not raises `UnsupportedError`; results make a difference, and random
    search is beaten on two smooth problems (unless the class says `model_based = False`).

    Args:
        searcher: Its public name, or its class (of a module that can be imported).
        **own: Its own arguments.

    Raises:
        AssertionError: saying what is wrong.
        ArgumentError: nothing has that name, or it has no such argument.
    """
    cls = load("searcher", searcher) if isinstance(searcher, str) else searcher
    check_own("searcher", cls.__name__, cls, own)
    for check in CHECKS:
        check(cls, own)


# -- problems ---------------------------------------------------------------------------------------------------------


def _mixed(conditions: bool = True) -> Space:
    when: dict[str, Any] = {"when": ("opt", "sgd")} if conditions else {}
    return Space(
        lr=Float(1e-4, 1.0, log=True),
        width=Int(4, 64, log=True),
        opt=Choice("sgd", "adam", "lion"),
        depth=Ordinal(1, 2, 4),
        momentum=Float(0.0, 0.9, **when),
        seed=Fixed(7),
        forbid=[{"opt": "adam", "depth": 4}],
    )


def _finite() -> Space:
    return Space(a=Int(1, 3), b=Choice("x", "y", "z"), c=Ordinal(0.1, 0.2), forbid=[{"a": 3, "b": "z"}])


def _problem(cls: type[Searcher], space: Space | None = None, **changes: Any) -> Problem:
    """The richest problem that the searcher says it can take, or the one asked for."""
    if space is None:
        space = _mixed("conditions" in cls.supports)
    return Problem(space, **({"objectives": _LOSS} | changes))


def _loss(config: Configuration) -> dict[str, float]:
    loss = (math.log10(config["lr"]) + 2) ** 2 + 0.3 * config["depth"] + config.get("momentum", 0.5)
    return {"loss": loss, "size": config["width"] * config["depth"], "error": 1.0 - 1.0 / (1.0 + loss)}


def _plain(config: Configuration) -> dict[str, float]:
    return {"loss": float(sum(value for value in config.values() if isinstance(value, (int, float))))}


# -- studies ----------------------------------------------------------------------------------------------------------


def _study(
    cls: type[Searcher],
    own: dict[str, Any],
    problem: Problem,
    metrics: Metrics = _loss,
    *,
    trials: int = _TRIALS,
    seed: int = 0,
) -> tuple[Searcher, list[Observation]]:
    """One trial after the other; every proposal is judged by the space."""
    searcher = cls(problem, seed=seed, **own)
    told: list[Observation] = []
    for k in range(trials):
        proposed = searcher.ask(k=k)
        if not proposed:
            break
        _inside(problem, proposed)
        told.append(problem.observe(k, proposed[0], metrics(proposed[0])))
        searcher.tell(told[-1:])
    return searcher, told


def _inside(problem: Problem, proposed: Sequence[Configuration]) -> None:
    for config in proposed:
        assert type(config) is Configuration, f"{config!r} is a {type(config).__name__}, not a Configuration"
        judged = problem.space.check(config, "proposal")
        same = judged == config and all(type(judged[name]) is type(config[name]) for name in judged)
        assert same, f"the proposal {config} is not canonical: the space says {judged}"


def _rebuilt(
    cls: type[Searcher], own: dict[str, Any], problem: Problem, told: list[Observation], seed: int = 0
) -> Searcher:
    cold = cls(problem, seed=seed, **own)
    cold.tell(told)
    return cold


def _equal(found: Any, wanted: Any, what: str) -> None:
    assert found == wanted, f"{what}: {found}, not {wanted}"


# -- checks -----------------------------------------------------------------------------------------------------------


def check_inside(cls: type[Searcher], own: dict[str, Any]) -> None:
    """Proposals lie in the space, also several at once and on a space of one configuration."""
    problem = _problem(cls)
    searcher, told = _study(cls, own, problem)
    _equal(len(told), _TRIALS, "trials of an infinite space")
    _inside(problem, searcher.ask(5, k=len(told)))
    alone = _problem(cls, Space(only=Fixed(1)))
    _, told = _study(cls, own, alone, lambda config: {"loss": 0.0})
    _equal([observation.config for observation in told], [{"only": 1}], "proposals for a space of one configuration")
    for n, k in ((0, 0), (1, -1)):
        try:
            searcher.ask(n, k=k)
        except ArgumentError:
            continue
        raise AssertionError(f"ask({n}, k={k}) is not refused")


def check_rebuild(cls: type[Searcher], own: dict[str, Any]) -> None:
    """The observations alone decide: live, asked in between or not, told one by one or at once."""
    problem = _problem(cls)
    live, told = _study(cls, own, problem)
    k = len(told)
    wanted = live.ask(3, k=k)
    _equal(_study(cls, own, problem)[1], told, "the same study again")
    _equal(_rebuilt(cls, own, problem, told).ask(3, k=k), wanted, "proposals after a cold rebuild")
    for _ in range(2):
        live.ask(2, k=k + 7, pending=wanted)
        live.diagnostics()
    _equal(live.ask(3, k=k), wanted, "proposals after other calls of ask")
    slow = cls(problem, seed=0, **own)
    for number, observation in enumerate(told):
        slow.tell([observation])
        if number % 5 == 3:
            slow.ask(1, k=1000)
    _equal(slow.ask(3, k=k), wanted, "proposals after telling one by one, with calls of ask in between")
    _equal(_rebuilt(cls, own, problem, told, seed=0).ask(1, k=k), wanted[:1], "the first of ask(3) and ask(1)")
    for number, observation in enumerate(told):
        found = _rebuilt(cls, own, problem, told[:number]).ask(1, k=number)
        _equal(found, [observation.config], f"proposal {number}, rebuilt cold")


def check_process(cls: type[Searcher], own: dict[str, Any]) -> None:
    """Another process proposes the same, to the last digit."""
    problem = _problem(cls)
    live, told = _study(cls, own, problem)
    wanted = [dict(config) for config in live.ask(3, k=len(told))]
    try:
        work = pickle.dumps((cls, own, problem.space.to_json(), told))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ArgumentError(
            f"check_searcher({cls.__name__}): {error}. Allowed: a class that can be imported."
        ) from None
    # packed twice: the path has to be set before the class is loaded
    packed = pickle.dumps((list(sys.path), work))
    code = "import pickle, sys; sys.path[:], work = pickle.load(sys.stdin.buffer); "
    code += "from luthier.testing.searcher import propose_again; propose_again(work)"
    child = subprocess.run([sys.executable, "-c", code], input=packed, capture_output=True, check=False)
    assert child.returncode == 0, f"another process failed: {child.stderr.decode(errors='replace')[-2000:]}"
    _equal(json.loads(child.stdout), wanted, "proposals of another process")


def propose_again(work: bytes) -> None:
    """The other process's part of `check_process`: prints proposals as JSON."""
    cls, own, space, told = pickle.loads(work)
    problem = _problem(cls, Space.from_dict(json.loads(space)))
    print(json.dumps([dict(config) for config in _rebuilt(cls, own, problem, told).ask(3, k=len(told))]))


def check_differ(cls: type[Searcher], own: dict[str, Any]) -> None:
    """Several proposals differ, from each other, from what was told and (with "parallel") from what is pending."""
    problem = _problem(cls)
    for trials in (0, _TRIALS):
        searcher, told = _study(cls, own, problem, trials=trials)
        proposed = searcher.ask(6, k=trials)
        _equal(len(set(proposed)), 6, f"distinct proposals of ask(6) after {trials} trials")
        tried = {observation.config for observation in told}
        assert not tried & set(proposed), f"proposed again after {trials} trials: {tried & set(proposed)}"
    if "parallel" not in cls.supports:
        return
    problem = _problem(cls, _finite())
    searcher, told = _study(cls, own, problem, _plain, trials=8)
    pending: list[Configuration] = []
    while found := searcher.ask(1, k=8 + len(pending), pending=pending):
        assert found[0] not in pending, f"{found[0]} is pending, and proposed again"
        pending += found
    _equal(len(pending) + len(told), problem.space.size, "configurations told and pending")


def check_survives(cls: type[Searcher], own: dict[str, Any]) -> None:
    """Odd observations are survived, and proposals stay in the space."""
    problem = _problem(cls)
    configs = problem.space.sample(16, np.random.default_rng(0))
    streams: dict[str, list[tuple[Configuration, tuple[float, ...], Status]]] = {
        "all failed": [(config, (), Status.FAILED) for config in configs],
        "all diverged": [(config, (math.nan,), Status.DIVERGED) for config in configs],
        "one value, then failures": [(configs[0], (1.0,), Status.COMPLETED)]
        + [(config, (), Status.FAILED) for config in configs[1:]],
        "constant": [(config, (0.5,), Status.COMPLETED) for config in configs],
        "duplicates": [(configs[i % 2], (float(i % 3),), Status.COMPLETED) for i in range(16)],
        "huge": [(c, ((-1.0) ** i * 10.0 ** (20 * i),), Status.COMPLETED) for i, c in enumerate(configs)],
        "tiny": [(c, (1.0 + i * 1e-16,), Status.COMPLETED) for i, c in enumerate(configs)],
        "infinite": [(c, (math.inf if i % 3 else 1.0 * i,), Status.DIVERGED) for i, c in enumerate(configs)],
        "running": [(c, (1.0 * i,), Status.RUNNING) for i, c in enumerate(configs)],
    }
    for what, stream in streams.items():
        searcher = cls(problem, seed=0, **own)
        for number, (config, values, status) in enumerate(stream):
            searcher.tell([Observation(number, config, None, values, (), status)])
        proposed = searcher.ask(2, k=len(stream))
        assert len(set(proposed)) == 2, f"after observations that are {what}: ask(2) gives {proposed}"
        _inside(problem, proposed)
        searcher.diagnostics()


def check_finite(cls: type[Searcher], own: dict[str, Any]) -> None:
    """A finite space is used up without duplicates, and then nothing is proposed."""
    problem = _problem(cls, _finite())
    size = problem.space.size
    searcher, told = _study(cls, own, problem, _plain, trials=2 * (size or 0))
    tried = [observation.config for observation in told]
    _equal((len(tried), len(set(tried))), (size, size), "configurations tried, and distinct ones")
    _equal(searcher.ask(3, k=size or 0), [], "proposals when nothing is left")
    fresh = cls(problem, seed=1, **own).ask(100, k=0)
    _equal((len(fresh), len(set(fresh))), (size, size), "configurations of ask(100), and distinct ones")


def check_goal(cls: type[Searcher], own: dict[str, Any]) -> None:
    """Maximising a metric proposes what minimising its negative does."""
    down = _study(cls, own, _problem(cls))[1]
    largest = _problem(cls, objectives=(Objective("loss", "max"),))
    up = _study(cls, own, largest, lambda config: {"loss": -_loss(config)["loss"]})[1]
    _equal([one.config for one in up], [one.config for one in down], "proposals when the negative is maximised")


def check_supports(cls: type[Searcher], own: dict[str, Any]) -> None:
    """What is declared works, what is not is refused."""
    space = _mixed(conditions=False)
    asked = {
        "conditions": _problem(cls, _mixed()),
        "constraints": _problem(cls, space, constraints=(Constraint("size", 64.0), Constraint("error", 0.6))),
        "multi_objective": _problem(cls, space, objectives=(*_LOSS, Objective("size"))),
    }
    for feature, problem in asked.items():
        if feature in cls.supports:
            _study(cls, own, problem)
            continue
        try:
            cls(problem, seed=0, **own)
        except UnsupportedError:
            continue
        raise AssertionError(f"{feature!r} is not in supports, and a problem that needs it is not refused")
    if "fidelity" in cls.supports:
        _check_fidelity(cls, own, _problem(cls, fidelity=Fidelity("epoch", 1, 9)))
    if "constraints" in cls.supports and cls.model_based:
        _check_feasible(cls, own)


def _check_fidelity(cls: type[Searcher], own: dict[str, Any], problem: Problem) -> None:
    """Reports of running trials, in scrambled order, decide as after a cold rebuild, and make a difference."""
    configs = problem.space.sample(12, np.random.default_rng(1))
    told = [
        problem.observe(number, config, _loss(config), resource=float(epoch), status=Status.RUNNING)
        for epoch in (1, 3, 9)
        for number, config in enumerate(configs)
    ]
    searcher = cls(problem, seed=0, **own)
    for observation in told:
        searcher.tell([observation])
    wanted = searcher.ask(2, k=12)
    _inside(problem, wanted)
    _equal(_rebuilt(cls, own, problem, told).ask(2, k=12), wanted, "proposals after reports, rebuilt cold")
    if cls.model_based:
        ignorant = cls(problem, seed=0, **own).ask(2, k=12)
        assert wanted != ignorant, "reports of running trials change nothing, though 'fidelity' is in supports"


def _check_feasible(cls: type[Searcher], own: dict[str, Any]) -> None:
    """Most of what is tried is feasible, although the objective alone leads elsewhere."""
    space = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0))
    problem = _problem(cls, space, constraints=(Constraint("short", 0.0),))
    _, told = _study(cls, own, problem, lambda c: {"loss": c["x"] + c["y"], "short": 0.6 - c["x"]}, trials=30)
    share = np.mean([observation.violations[0] <= 0 for observation in told[15:]])
    assert share > 0.5, f"{share:.0%} of the later trials are feasible; random ones would be 40 %"


def check_better(cls: type[Searcher], own: dict[str, Any]) -> None:
    """Random search is beaten on two smooth problems, by the mean logarithm of the regret.

    A searcher that begins with what earlier tasks found (`warms`) may need them: it is given some if it must.
    """
    if not cls.model_based:
        return
    box = Space(x=Float(0.0, 1.0), y=Float(0.0, 1.0), z=Float(0.0, 1.0))
    words = Space(lr=Float(1e-4, 1.0, log=True), width=Int(1, 50), kind=Choice("a", "b", "c", "d"))

    def bowl(config: Configuration) -> dict[str, float]:
        return {"loss": sum((config[name] - at) ** 2 for name, at in (("x", 0.3), ("y", 0.7), ("z", 0.2)))}

    def mixed(config: Configuration) -> dict[str, float]:
        far = (math.log10(config["lr"]) + 2.5) ** 2 / 4 + ((config["width"] - 20) / 50) ** 2
        return {"loss": far + 0.4 * "cbda".index(config["kind"])}

    random: type[Searcher] = load("searcher", "random")
    for space, metrics in ((box, bowl), (words, mixed)):
        problem = _problem(cls, space)
        theirs = _mean_log_best(random, {}, problem, metrics)
        ours = _mean_log_best(cls, own, problem, metrics)
        if ours >= theirs and cls.warms:  # without a past it may have nothing to go by
            ours = _mean_log_best(cls, own, _problem(cls, space, past=_earlier(problem, metrics)), metrics)
        assert ours < theirs, f"mean log10 regret on {metrics.__name__!r}: {ours:.2f}, random search has {theirs:.2f}"


def _earlier(problem: Problem, metrics: Metrics) -> tuple[PastTask, ...]:
    """Two earlier studies of the same task, random configurations each."""
    found = []
    for order in (0, 1):
        configs = problem.space.sample(_BEFORE, np.random.default_rng(order))
        told = tuple(problem.observe(k, config, metrics(config)) for k, config in enumerate(configs))
        found.append(PastTask(f"task {order}", float(order), problem.space, problem.objectives, told))
    return tuple(found)


def _mean_log_best(cls: type[Searcher], own: dict[str, Any], problem: Problem, metrics: Metrics) -> float:
    return float(np.mean([_log_best(cls, own, problem, metrics, seed) for seed in range(_SEEDS)]))


def _log_best(cls: type[Searcher], own: dict[str, Any], problem: Problem, metrics: Metrics, seed: int) -> float:
    _, told = _study(cls, own, problem, metrics, trials=_EVALUATIONS, seed=seed)
    return math.log10(min(observation.values[0] for observation in told) + 1e-6)


#: Each takes the class and its own arguments.
CHECKS: tuple[Callable[[type[Searcher], dict[str, Any]], None], ...] = (
    check_inside,
    check_rebuild,
    check_process,
    check_differ,
    check_survives,
    check_finite,
    check_goal,
    check_supports,
    check_better,
)
