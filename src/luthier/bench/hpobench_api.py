"""Any benchmark behind HPOBench's interface, so that code written for HPOBench runs unchanged."""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, UnsupportedError, did_you_mean
from luthier.base.records import Configuration, Evaluation, Fidelity, Objective, Status
from luthier.base.seeds import check_seed
from luthier.bench._base import BaseBenchmark
from luthier.bench._catalogue import load
from luthier.space.configspace import to_configspace
from luthier.space.domains import Fixed, Float, Int
from luthier.space.space import Space

#: Keywords by which HPOBench's tabular families choose a recorded run.
SEEDS = ("run_index", "data_seed", "seed")
WITHOUT_TEST = ("error", "validation")


def as_hpobench(
    benchmark: BaseBenchmark | str,
    rng: Any = None,
    *,
    objective: str = "",
    without_test: str = "error",
    **options: Any,
) -> HPOBenchmark:
    """A benchmark behind HPOBench's interface.

    Args:
        benchmark: The benchmark, or its name as for `load`.
        rng: Which seed answers when a call gives none; see `HPOBenchmark.objective_function`.
        objective: The one to answer with when there are several; empty: all of them, in a dictionary.
        without_test: What `objective_function_test` does where there are no test values: "error", or "validation" for
            the validation value, which `info` then says.
        **options: The family's own arguments, with a name.

    Raises:
        ArgumentError: an argument is not known.
        DataMissing: the benchmark needs data.
    """
    if isinstance(benchmark, str):
        benchmark = load(benchmark, **options)
    elif options:
        raise ArgumentError(f"as_hpobench({benchmark!r}, {', '.join(options)}=...). Allowed: options with a name.")
    return HPOBenchmark(benchmark, rng, objective=objective, without_test=without_test)


class HPOBenchmark:
    """HPOBench's interface over one of our benchmarks: dictionaries in and out, everything minimised.

    Attributes:
        benchmark: What answers.
        configuration_space: As `get_configuration_space()` gives it.
        fidelity_space: As `get_fidelity_space()` gives it.

    Source: HPOBench 0.0.10, `AbstractBenchmark` (GitHub automl/HPOBench, commit 079fb68b598a).
    Differs: a call is pure: without `rng` the seed is that of the constructor (0 without one), never a hidden
        generator. Missing hyperparameters take their defaults, where HPOBench refuses them. Several seeds are averaged,
        values and costs alike. What failed or diverged has the value infinity.
    """

    def __init__(
        self, benchmark: BaseBenchmark, rng: Any = None, *, objective: str = "", without_test: str = "error"
    ) -> None:
        check("without_test", without_test, one_of=WITHOUT_TEST)
        self.benchmark = benchmark
        self._seed = 0 if rng is None else _seed_from(rng)
        self._without_test = without_test
        self._objectives = _chosen(benchmark, objective)
        axes: Sequence[Fidelity] = getattr(benchmark, "fidelities", ())
        if not axes and benchmark.fidelity is not None:
            axes = (benchmark.fidelity,)
        self._axes = {axis.name: axis for axis in axes}
        self._others: dict[tuple[tuple[str, float], ...], BaseBenchmark] = {}
        self.configuration_space = self.get_configuration_space()
        self.fidelity_space = self.get_fidelity_space()

    # -- answers --

    def objective_function(
        self, configuration: Any, fidelity: Any = None, rng: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Evaluate on the validation data.

        Args:
            configuration: A mapping, a ConfigSpace configuration, or the values in order. Inactive hyperparameters are
                dropped, missing ones take their defaults.
            fidelity: Name to amount; what is missing, or None, is the full amount.
            rng: A seed; or a numpy generator or random state, of which one number is drawn.
            **kwargs: `run_index`, `data_seed` or `seed`: another way to give a seed, or several to average over.
                Others are ignored, and named in `info`.

        Returns:
            "function_value": minimised; a dictionary when there are several objectives. "cost": in seconds. "info":
            fidelity, seeds, status, all metrics.

        Raises:
            SpaceError: the configuration is not of the space.
            ArgumentError: a fidelity is not known, lies outside, or is given as a keyword.
        """
        return self._answer(configuration, fidelity, rng, kwargs, test=False)

    def objective_function_test(
        self, configuration: Any, fidelity: Any = None, rng: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """As `objective_function`, on the test data.

        Raises:
            UnsupportedError: there are no test values, and `without_test="error"`.
        """
        return self._answer(configuration, fidelity, rng, kwargs, test=True)

    def __call__(self, configuration: Any, **kwargs: Any) -> Any:
        """The value alone, for optimisers such as SciPy's."""
        return self.objective_function(configuration, **kwargs)["function_value"]

    # -- spaces and words --

    def get_configuration_space(self, seed: int | None = None) -> Any:
        """A ConfigSpace `ConfigurationSpace`; where ConfigSpace is not installed, our own `Space`.

        Args:
            seed: Of the space's own sampling.
        """
        return _as_configspace(self.benchmark.space, seed)

    def get_fidelity_space(self, seed: int | None = None) -> Any:
        """As `get_configuration_space`, of the fidelities; the defaults are the full amounts."""
        domains: dict[str, Int | Float | Fixed] = {}
        for name, axis in self._axes.items():
            low, high = axis.low, axis.high
            if low == high:
                domains[name] = Fixed(high)
            elif axis.whole:
                domains[name] = Int(int(low), int(high), default=int(high))
            else:
                domains[name] = Float(float(low), float(high), default=float(high))
        return _as_configspace(Space(domains), seed)

    def get_meta_information(self) -> dict[str, Any]:
        """Name, origin, licence, noise, optimum (minimised), bounds and checksums."""
        card = self.benchmark.card
        return {
            "name": card.name,
            "references": [card.source],
            "license": card.licence,
            "note": card.description,
            "noise": card.noise,
            "objectives": [objective.name for objective in self._objectives],
            "optimum": {o.name: o.sign * card.optimum[o.name] for o in self._objectives if o.name in card.optimum},
            "bounds": dict(self.benchmark.bounds),
            "checksum": dict(card.checksum),
        }

    # -- inside --

    def _answer(
        self, configuration: Any, fidelity: Any, rng: Any, keywords: Mapping[str, Any], *, test: bool
    ) -> dict[str, Any]:
        config = self._configuration(configuration)
        amounts = self._fidelity(fidelity, keywords)
        seeds = self._seeds(rng, keywords)
        benchmark, resource = self._at(amounts)
        split = "validation"
        found: list[Evaluation] | None = None
        if test:
            try:
                found = [benchmark.evaluate_test(config, resource=resource, seed=seed) for seed in seeds]
                for one, objective in itertools.product(found, self._objectives):
                    _value(one, objective, "test")
                split = "test"
            except UnsupportedError:
                if self._without_test == "error":
                    raise
                found = None
        if found is None:
            found = [benchmark.evaluate(config, resource=resource, seed=seed) for seed in seeds]
        values = {o.name: float(np.mean([_value(one, o, split) for one in found])) for o in self._objectives}
        return {
            "function_value": values if len(values) > 1 else next(iter(values.values())),
            "cost": float(np.mean([one.seconds for one in found])),
            "info": {
                "fidelity": amounts,
                "seeds": list(seeds),
                "split": split,
                "status": [one.status.value for one in found],
                "metrics": [dict(one.metrics) for one in found],
                "ignored": sorted(set(keywords) - set(SEEDS)),
            },
        }

    def _configuration(self, given: Any) -> Configuration:
        if hasattr(given, "get_dictionary") and not isinstance(given, Mapping):
            given = given.get_dictionary()  # ConfigSpace before 1.0
        space = self.benchmark.space
        if not isinstance(given, Mapping):
            values = np.atleast_1d(np.asarray(given, dtype=object)).tolist()
            if len(values) != len(space.names):
                raise ArgumentError(
                    f"benchmark {self.benchmark.name!r}: a configuration of {len(values)} values. Allowed: a mapping, "
                    f"or {len(space.names)} values in the order {', '.join(space.names)}."
                )
            given = dict(zip(space.names, values, strict=True))
        return space.check(given, where=f"benchmark {self.benchmark.name!r}: configuration", fill=True)

    def _fidelity(self, given: Any, keywords: Mapping[str, Any]) -> dict[str, float]:
        smuggled = [name for name in self._axes if name in keywords]
        where = f"benchmark {self.benchmark.name!r}"
        if smuggled:
            raise ArgumentError(
                f"{where}: fidelity {smuggled[0]!r} is given as a keyword. "
                f"Write fidelity={{{smuggled[0]!r}: {keywords[smuggled[0]]!r}}}."
            )
        if hasattr(given, "get_dictionary") and not isinstance(given, Mapping):
            given = given.get_dictionary()
        if given is not None and not isinstance(given, Mapping):
            raise ArgumentError(f"{where}: fidelity={given!r}. Allowed: a mapping from names to amounts, or None.")
        amounts: dict[str, float] = {name: axis.high for name, axis in self._axes.items()}
        for name, amount in (given or {}).items():
            if name not in self._axes:
                hint = did_you_mean(str(name), self._axes) if self._axes else "It has no fidelity."
                raise ArgumentError(f"{where} has no fidelity {name!r}. {hint}")
            axis = self._axes[name]
            check(f"{where}: {name}", amount, at_least=axis.low, at_most=axis.high, whole=axis.whole)
            amounts[name] = int(amount) if axis.whole else float(amount)
        return amounts

    def _at(self, amounts: Mapping[str, float]) -> tuple[BaseBenchmark, float | None]:
        """The benchmark with all but its own fidelity fixed, and the amount of that."""
        own = self.benchmark.fidelity
        resource = None if own is None else amounts[own.name]
        others = {name: amount for name, amount in amounts.items() if own is None or name != own.name}
        moved = {name: amount for name, amount in others.items() if amount != self._axes[name].high}
        if not moved:
            return self.benchmark, resource
        key = tuple(sorted(moved.items()))
        if key not in self._others:
            assert self.benchmark._origin is not None  # a second fidelity is an option of a family
            name, options = self.benchmark._origin
            self._others[key] = load(name, **{**options, **moved})
        return self._others[key], resource

    def _seeds(self, rng: Any, keywords: Mapping[str, Any]) -> tuple[int, ...]:
        given = [keywords[name] for name in SEEDS if keywords.get(name) is not None]
        if not given:
            return (self._seed if rng is None else _seed_from(rng),)
        several = given[0] if isinstance(given[0], (tuple, list)) else (given[0],)
        if not several:
            raise ArgumentError(f"benchmark {self.benchmark.name!r}: no seed in {given[0]!r}. Give at least one.")
        return tuple(check_seed(seed) for seed in several)


def _chosen(benchmark: BaseBenchmark, objective: str) -> tuple[Objective, ...]:
    if not objective:
        return benchmark.objectives
    check("objective", objective, one_of=[o.name for o in benchmark.objectives])
    return tuple(o for o in benchmark.objectives if o.name == objective)


def _seed_from(rng: Any) -> int:
    """A seed as it is; of a generator or a random state one draw, which moves it on as HPOBench does."""
    draw = getattr(rng, "integers", None) or getattr(rng, "randint", None)
    return check_seed(rng) if draw is None else int(draw(2**31 - 1))


def _value(found: Evaluation, objective: Objective, split: str) -> float:
    """What one evaluation says of an objective, minimised; infinite when it failed."""
    if found.status is Status.FAILED:
        return math.inf
    name = objective.name if split == "validation" else _test_name(objective.name, found.metrics)
    value = objective.sign * found.metrics[name]
    return math.inf if math.isnan(value) else value


def _test_name(name: str, metrics: Mapping[str, float]) -> str:
    """The test metric that belongs to an objective; where there is but one, that."""
    for candidate in (f"test_{name}", *(f"test_{name.removeprefix(split)}" for split in ("valid_", "val_"))):
        if candidate in metrics:
            return candidate
    if len(metrics) == 1:
        return next(iter(metrics))
    raise UnsupportedError(f"objective {name!r} has no test value among {sorted(metrics)}. Choose another objective.")


def _as_configspace(space: Space, seed: int | None) -> Any:
    try:
        package = importlib.import_module("ConfigSpace")
    except ImportError:
        return space
    found = package.ConfigurationSpace.from_serialized_dict(to_configspace(space))
    if seed is not None:
        found.seed(seed)
    return found
