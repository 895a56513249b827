"""Whether the benchmarks work here: a quick check of one small instance of each family.

In Python, `bench.selftest()` gives a verdict for each; on the command line it is `luthier bench selftest`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from luthier.base.errors import ArgumentError, DataMissing, MissingExtra, SpaceError, UnsupportedError, did_you_mean
from luthier.base.records import Configuration, Evaluation, Status
from luthier.base.seeds import generator
from luthier.bench._base import BaseBenchmark
from luthier.bench._catalogue import families, load, tasks_of
from luthier.bench.data import VARIABLE, checksum, folder, shipped

#: The families of the HPOBench paper, in its order.
TWELVE = (
    "cartpole", "bnn", "net", "fcnet", "nb101", "nasbench201", "nb1shot1", "svm", "logreg", "rf", "xgb", "mlp",
)  # fmt: skip
OK, FAILED, SKIPPED, NO_DATA = "ok", "failed", "skipped", "no data"
_RANDOM = 2  # configurations beside the default
_DRAW = 6  # which decision of the bench room the draw is
_STEP = 3  # how many times the lowest amount the higher one is


@dataclass(frozen=True)
class Verdict:
    """What came out for an instance.

    Args:
        family: Family.
        instance: Full name; only the family's where nothing could be loaded.
        status: "ok", "failed", "skipped" (an optional package is missing) or "no data" (of the user's, is missing).
        seconds: What the check took.
        why: What is wrong, or what has to be done; "" where all is well.
        twelve: Whether the family is one of HPOBench's.
    """

    family: str
    instance: str
    status: str
    seconds: float
    why: str = ""
    twelve: bool = False


@dataclass(frozen=True)
class _Probe:
    """How an instance is asked.

    Args:
        task: Which.
        small: Values that keep a training short, put into every configuration.
        options: Options of the benchmark's class that do; the benchmark is then made without its family.
    """

    task: str
    small: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


#: Family to what is checked first. Others are asked about their first task.
_FIRST = {
    "cartpole": _Probe("reduced", options={"most": 25}),  # episodes: 3000 would take minutes
    "bnn": _Probe("toy", {"n_units_1": 16, "n_units_2": 16}),
    "net": _Probe("iris@small"),
    "svm": _Probe("iris"),
    "logreg": _Probe("iris"),
    "rf": _Probe("iris"),
    "xgb": _Probe("iris"),
    "mlp": _Probe("iris"),
    "digits": _Probe("0", {"width": 16, "batch_size": 256}),
}
#: Family to a task beside the first, asked where LUTHIER_DATA is set.
_WITH_DATA = {"fcnet": "slice_localization", "othpo": "xgboost_mnist/56"}


def selftest(chosen: Sequence[str] = (), *, told: Callable[[Verdict], None] | None = None) -> list[Verdict]:
    """Check an instance of each family: the default and two random configurations, at a low and a higher amount.

    What is checked: the files are those of the card; answers are the same when asked again in another order; they lie
    within the card's bounds; more of a resource never costs less; no test value is among them; and what is not of the
    space, an amount beyond the fidelity, a misspelt fidelity and a misspelt option are refused. Nothing is fetched.

    Args:
        chosen: Families; empty: HPOBench's twelve, then all others.
        told: Called with every verdict as it comes.

    Returns:
        One verdict a family, and one more where the folder of LUTHIER_DATA is set and holds more of it.

    Raises:
        ArgumentError: a family is not known.

    Cost: some ten seconds for all.
    """
    known = families()
    for family in chosen:
        if family not in known:
            raise ArgumentError(f"benchmark family {family!r} is not known. {did_you_mean(family, known)}")
    found = []
    for family in chosen or [*TWELVE, *(one for one in known if one not in TWELVE)]:
        for probe in _probes(family):
            verdict = _judged(family, probe)
            found.append(verdict)
            if told is not None:
                told(verdict)
    return found


def _probes(family: str) -> Iterator[_Probe | None]:
    tasks = tasks_of(family)
    yield _FIRST.get(family) or (_Probe(tasks[0]) if tasks else None)
    if folder() is not None and _WITH_DATA.get(family) in tasks:
        yield _Probe(_WITH_DATA[family])


def _judged(family: str, probe: _Probe | None) -> Verdict:
    name = family if probe is None else f"{family}/{probe.task}"
    began = time.perf_counter()

    def verdict(status: str, why: str = "") -> Verdict:
        return Verdict(family, name, status, time.perf_counter() - began, why, family in TWELVE)

    if probe is None:
        return verdict(NO_DATA, f"no task can be told without its data. Set {VARIABLE} to the folder that holds it.")
    try:
        _examine(_opened(family, probe), probe)
    except DataMissing as error:
        return verdict(NO_DATA, str(error))
    except MissingExtra as error:
        return verdict(SKIPPED, str(error))
    except Exception as error:  # whatever else a benchmark does is what this is here to find
        return verdict(FAILED, str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}")
    return verdict(OK)


def _opened(family: str, probe: _Probe) -> BaseBenchmark:
    loaded = load(f"{family}/{probe.task}")
    if not probe.options:
        return loaded
    made: BaseBenchmark = cast(Any, type(loaded))(probe.task, **probe.options)
    return made


def _examine(b: BaseBenchmark, probe: _Probe) -> None:
    """Raise AssertionError with what is wrong."""
    _check_files(b)
    rng = generator(0, "bench", _DRAW)
    drawn = [b.space.default(), *b.space.sample(_RANDOM, rng)]
    configs = [b.space.check({**config, **probe.small}) for config in drawn]
    _check_answers(b, configs)
    _check_tests(b, configs[0])
    _check_refusals(b, configs[0])
    family = b.name.partition("/")[0]
    _refused(ArgumentError, lambda: load(f"{family}/{probe.task}", no_such_option=1), "a misspelt option")


def _check_files(b: BaseBenchmark) -> None:
    """Compare the card with the files that are found under its names; what is made in memory was checked by loading."""
    for name, sha256 in b.card.checksum.items():
        for place in _places(name):
            if place.is_file():
                _assert(checksum(place) == sha256, f"{place} is not the file that the card names")
                break


def _places(name: str) -> list[Path]:
    base = folder()
    own = [shipped(name), shipped("generated") / name]
    return own if base is None else [*own, base / name, *sorted(base.glob(f"*/{Path(name).name}"))]


def _amounts(b: BaseBenchmark) -> list[float | None]:
    """The lowest amount, and one some times as high."""
    axis = b.fidelity
    if axis is None:
        return [None]
    return [axis.low, min(_STEP * axis.low if axis.low > 0 else axis.high, axis.high)]


def _check_answers(b: BaseBenchmark, configs: Sequence[Configuration]) -> None:
    amounts = _amounts(b)
    found = {(c, a): b.evaluate(config, resource=a) for c, config in enumerate(configs) for a in amounts}
    for (c, amount), before in reversed(found.items()):
        again = b.evaluate(configs[c], resource=amount)
        _assert(_alike(again, before), f"{dict(configs[c])} at {amount}: {again} after {before}")
        _check_values(b, before)
    for c in range(len(configs)):
        costs = [found[c, amount].seconds for amount in amounts]
        _assert(costs == sorted(costs), f"{dict(configs[c])}: amounts {amounts} cost {costs}")


def _check_values(b: BaseBenchmark, one: Evaluation) -> None:
    _assert(one.seconds >= 0, f"a cost of {one.seconds} seconds")
    _assert(not any("test" in name for name in one.metrics), f"test values among the answers: {list(one.metrics)}")
    if one.status is not Status.COMPLETED:
        return
    _assert(all(o.name in one.metrics for o in b.objectives), f"an objective is not among {list(one.metrics)}")
    for name, value in one.metrics.items():
        low, high = b.bounds.get(name, (-math.inf, math.inf))
        _assert(low <= value <= high, f"{name}={value} lies outside [{low}, {high}]")


def _check_tests(b: BaseBenchmark, config: Configuration) -> None:
    """Whether test values, where there are any, have names of their own."""
    shown = b.evaluate(config, resource=_amounts(b)[0]).metrics
    try:
        hidden = b.evaluate_test(config, resource=_amounts(b)[0])
    except (UnsupportedError, ArgumentError):  # none, or at the full amount alone
        return
    _assert(bool(hidden.metrics) and not set(hidden.metrics) & set(shown), f"test values {list(hidden.metrics)}")


def _check_refusals(b: BaseBenchmark, config: Configuration) -> None:
    from luthier.bench.hpobench_api import as_hpobench

    name = next(iter(config))
    low = _amounts(b)[0]
    _refused(SpaceError, lambda: b.evaluate({**config, "no_such_name": 1}, resource=low), "an unknown hyperparameter")
    _refused(SpaceError, lambda: b.evaluate({**config, name: "no such value"}, resource=low), "a value of no kind")
    beyond = 1 if b.fidelity is None else b.fidelity.high + 1
    _refused(ArgumentError, lambda: b.evaluate(config, resource=beyond), f"resource={beyond}")
    adapter = as_hpobench(b)
    wrong = {"no_such_fidelity": 1}
    _refused(ArgumentError, lambda: adapter.objective_function(config, fidelity=wrong), "a misspelt fidelity")


def _refused(error: type[Exception], call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except error:
        return
    raise AssertionError(f"{what} is not refused with {error.__name__}")


def _assert(fine: bool, what: str) -> None:
    if not fine:
        raise AssertionError(what)


def _alike(a: Evaluation, b: Evaluation) -> bool:
    same = a.metrics.keys() == b.metrics.keys() and a.status is b.status and a.seconds == b.seconds
    return same and all(x == b.metrics[n] or (math.isnan(x) and math.isnan(b.metrics[n])) for n, x in a.metrics.items())
