"""The contract battery of benchmarks."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.base.errors import ArgumentError, SpaceError, UnsupportedError
from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective, Status
from luthier.base.seeds import generator
from luthier.bench._base import BaseBenchmark
from luthier.space.problem import Benchmark


def check_benchmark(
    benchmark: BaseBenchmark,
    *,
    configs: Sequence[Mapping[str, Any]] = (),
    rtol: float = 1e-5,
) -> None:
    """Ask a benchmark many questions, and fail where it breaks the contract.

    Checked are: the card is filled in; the space's default and samples survive encoding; evaluations are pure, do
    not depend on the order, nor on being asked in a batch; values lie within the stated bounds, and no mean beats an
    optimum that is called exact; costs never fall along a curve, and the curve ends where `evaluate` does; test
    values stay out of `evaluate`; what is not of the space or of the fidelity is refused; a copy made by pickle
    gives the same answers.

    Args:
        benchmark: The benchmark.
        configs: What to evaluate; empty: the default and nine random configurations.
        rtol: Relative difference allowed between one by one and batch (networks add up in another order).

    Raises:
        AssertionError: saying what is wrong.
    """
    b = benchmark
    assert isinstance(b, Benchmark), f"{b!r} lacks a part of the protocol luthier.space.problem.Benchmark"
    rng = generator(0, "bench", 0)
    chosen = [Configuration(c) for c in configs] or [b.space.default(), *b.space.sample(9, rng)]
    _check_card(b)
    _check_space(b, chosen)
    singles = [b.evaluate(config) for config in chosen]
    _check_pure(b, chosen, singles, rtol)
    _check_values(b, chosen, singles)
    _check_fidelity(b, chosen, singles, rtol)
    _check_tests(b, chosen[0], singles[0])
    _check_refusals(b, chosen[0])
    again = pickle.loads(pickle.dumps(b))
    assert _alike(again.evaluate(chosen[-1]), singles[-1], rtol), "a copy made by pickle answers differently"


def _check_card(b: BaseBenchmark) -> None:
    assert isinstance(b.card, Card), f"{b!r}: card is {b.card!r}"
    for field in ("name", "source", "licence", "noise", "description"):
        assert getattr(b.card, field), f"{b!r}: the card's {field} is empty"
    for file, sha256 in b.card.checksum.items():
        assert len(sha256) == 64, f"{b!r}: checksum of {file} is {sha256!r}, no SHA-256"
    assert b.objectives, f"{b!r} has no objective"
    assert all(isinstance(o, Objective) for o in b.objectives), f"{b!r}: objectives are {b.objectives!r}"


def _check_space(b: BaseBenchmark, configs: Sequence[Configuration]) -> None:
    for config in configs:
        assert b.space.check(config) == config, f"{config} is not of the space, or not in its plain form"
        rows, _ = b.space.encode([config])
        [back] = b.space.decode(rows)
        same = back.keys() == config.keys() and all(_close(back[name], config[name]) for name in config)
        assert same, f"{config} comes back from the unit cube as {back}"


def _close(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6)
    return bool(a == b)


def _check_pure(b: BaseBenchmark, configs: Sequence[Configuration], singles: Sequence[Evaluation], rtol: float) -> None:
    for config, before in reversed(list(zip(configs, singles, strict=True))):
        given = dict(config)
        assert _alike(b.evaluate(given), before, 0), f"{config}: a second answer differs from the first"
        assert given == config, "evaluate changed the configuration that it was given"
    assert b.evaluate_batch([]) == [], "an empty batch has answers"
    batch = b.evaluate_batch(list(reversed(configs)))[::-1]
    for config, one, other in zip(configs, singles, batch, strict=True):
        assert _alike(one, other, rtol), f"{config}: {one} alone, {other} in a batch"


def _check_values(b: BaseBenchmark, configs: Sequence[Configuration], singles: Sequence[Evaluation]) -> None:
    for config, one in zip(configs, singles, strict=True):
        assert one.seconds >= 0, f"{config} costs {one.seconds} seconds"
        if one.status is Status.FAILED:
            continue
        for objective in b.objectives:
            assert objective.name in one.metrics, f"{config}: objective {objective.name!r} is not among {one.metrics}"
        for name, value in one.metrics.items():
            low, high = b.bounds.get(name, (-math.inf, math.inf))
            fine = low <= value <= high or (not math.isfinite(value) and one.status is Status.DIVERGED)
            assert fine, f"{config}: {name}={value} lies outside [{low}, {high}]"
    if "recorded" in b.card.noise:
        for objective in b.objectives:
            mean = b.evaluate(configs[-1], seed=None).metrics[objective.name] * objective.sign
            best = b.card.optimum[objective.name] * objective.sign
            assert mean >= best, f"{configs[-1]}: mean {objective.name} beats the optimum that the card calls exact"


def _check_fidelity(
    b: BaseBenchmark, configs: Sequence[Configuration], singles: Sequence[Evaluation], rtol: float
) -> None:
    if b.fidelity is None:
        _refused(UnsupportedError, lambda: b.curve(configs[0]), "a curve without a fidelity")
        _refused(ArgumentError, lambda: b.evaluate(configs[0], resource=1), "a resource without a fidelity")
        return
    assert isinstance(b.fidelity, Fidelity)
    low, high = b.fidelity.low, b.fidelity.high
    for config, full in list(zip(configs, singles, strict=True))[:3]:
        curve = b.curve(config)
        steps, costs = [step for step, _ in curve], [one.seconds for _, one in curve]
        assert steps == sorted(set(steps)), f"{config}: the curve's steps are {steps}"
        assert steps[-1] == high, f"{config}: the curve ends at {steps[-1]}, the fidelity at {high}"
        assert costs == sorted(costs), f"{config}: the cost falls along the curve"
        assert _near(curve[-1][1].metrics, full.metrics, rtol), f"{config}: the curve's end is not the evaluation"
        part = b.curve(config, low)
        assert part[-1][0] == low, f"{config}: a curve up to {low} ends at {part[-1][0]}"
        assert _near(part[-1][1].metrics, b.evaluate(config, resource=low).metrics, rtol), "curve and evaluate differ"
    for wrong in (low - 0.5 * low, high + 1):
        _refused(ArgumentError, lambda wrong=wrong: b.evaluate(configs[0], resource=wrong), f"resource {wrong}")


def _check_tests(b: BaseBenchmark, config: Configuration, one: Evaluation) -> None:
    assert not any("test" in name for name in one.metrics), f"evaluate answers with test values: {list(one.metrics)}"
    try:
        hidden = b.evaluate_test(config)
    except UnsupportedError:
        return
    assert hidden.metrics, "evaluate_test answers without metrics"
    assert not set(hidden.metrics) & set(one.metrics), "evaluate and evaluate_test answer with the same metrics"


def _check_refusals(b: BaseBenchmark, config: Configuration) -> None:
    name = next(iter(config))
    _refused(SpaceError, lambda: b.evaluate({**config, "no_such_name": 1}), "an unknown hyperparameter")
    _refused(SpaceError, lambda: b.evaluate({n: v for n, v in config.items() if n != name}), "a missing one")
    _refused(SpaceError, lambda: b.evaluate({**config, name: object()}), "a value of no kind")
    _refused(SpaceError, lambda: b.evaluate_batch([config, {**config, name: "no such value"}]), "a wrong value")


def _refused(error: type[Exception], call: Any, what: str) -> None:
    try:
        call()
    except error:
        return
    raise AssertionError(f"{what} is not refused with {error.__name__}")


def _alike(a: Evaluation, b: Evaluation, rtol: float) -> bool:
    return a.status is b.status and _near(a.metrics, b.metrics, rtol) and _number(a.seconds, b.seconds, max(rtol, 0.0))


def _near(a: Mapping[str, float], b: Mapping[str, float], rtol: float) -> bool:
    return a.keys() == b.keys() and all(_number(a[name], b[name], rtol) for name in a)


def _number(a: float, b: float, rtol: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=rtol, abs_tol=rtol * 1e-2)
