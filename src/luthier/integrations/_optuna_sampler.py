"""luthier's searchers as a sampler of Optuna, and the translation between both kinds of spaces."""

from __future__ import annotations

import contextlib
import math
import secrets
import threading
import warnings
import weakref
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from luthier.base.errors import ArgumentError, LuthierWarning, SpaceError
from luthier.base.imports import need
from luthier.base.records import Configuration, Constraint, Objective, Observation, Status
from luthier.base.registry import check_own, load
from luthier.base.seeds import check_seed, generator
from luthier.space.domain import Domain
from luthier.space.domains import Choice, Fixed, Float, Int
from luthier.space.problem import Problem
from luthier.space.space import Space
from luthier.space.values import is_value

_STATUS = {"COMPLETE": Status.COMPLETED, "PRUNED": Status.STOPPED, "FAIL": Status.FAILED}


# spaces ------------------------------------------------------------------------------------------------------


def domain_of(distribution: Any) -> Domain:
    """A distribution of Optuna as a domain; choices that no domain can hold stand for themselves by position."""
    if hasattr(distribution, "choices"):
        labels = _labels(distribution.choices)
        return Choice(*labels) if len(labels) > 1 else Fixed(labels[0])
    whole = type(distribution).__name__.startswith("Int")
    low, high, step = distribution.low, distribution.high, distribution.step
    if low == high:
        return Fixed(int(low) if whole else float(low))
    if whole:
        return Int(low, high, log=distribution.log, step=None if step == 1 else step)
    return Float(low, high, log=distribution.log, step=step)


def _labels(choices: Sequence[Any]) -> list[Any]:
    return list(choices) if all(is_value(one) for one in choices) else list(range(len(choices)))


def distribution_of(domain: Domain) -> Any:
    """A domain as a distribution of Optuna: what `trial.suggest_...` has to be asked for."""
    kinds = need("optuna.distributions", what="the space of an Optuna study", extra="integrations")
    if isinstance(domain, Float):
        return kinds.FloatDistribution(
            domain.low, domain.high, log=domain.log, step=None if domain.log else domain.step
        )
    if isinstance(domain, Int):
        return kinds.IntDistribution(
            domain.low, domain.high, log=domain.log, step=1 if domain.log else domain.step or 1
        )
    if isinstance(domain, Fixed):
        return kinds.CategoricalDistribution((domain.value,))
    return kinds.CategoricalDistribution(tuple(domain.values))  # type: ignore[attr-defined]


# the sampler -------------------------------------------------------------------------------------------------


class Sampler:
    """One of luthier's searchers proposes the parameters of an Optuna study, by `optimize` or by `ask` and `tell`.

    ```python
    study = optuna.create_study(sampler=LuthierSampler("cqr", seed=0))
    study.optimize(objective, n_trials=100)
    ```

    A space that trials make known while running is what the finished trials have in common, as for Optuna's own joint
    samplers; the first trial is drawn at random, and so are parameters that are not in all trials, with a warning.
    Where some depend on others, give `space=`, with `when=`: all of it is then proposed jointly, from the first trial.

    The sampler keeps no state that matters: it learns from the study's trials, whoever ran them, and draws by their
    numbers. A pruned trial counts with its last intermediate value, a failed one as failed, a running one as pending.

    Args:
        searcher: A name (`luthier list searchers`), or a mapping with "name" and the searcher's own arguments.
        space: Names to domains, or a `luthier.Space`; None: found while running.
        seed: Decides every draw; None: another one each time.
        constraints_func: From a trial to numbers that are feasible up to 0, as for `TPESampler`. Constraints that
            trials set themselves (`trial.set_constraint`) are heeded without it.
        warn_independent_sampling: Warn of parameters that are drawn at random, once each.

    Raises:
        UnsupportedError: when sampling, the searcher cannot do what the study needs.
    """

    def __init__(
        self,
        searcher: str | Mapping[str, Any] = "auto",
        *,
        space: Space | Mapping[str, Domain] | None = None,
        seed: int | None = None,
        constraints_func: Callable[[Any], Sequence[float]] | None = None,
        warn_independent_sampling: bool = True,
    ) -> None:
        own = {"name": searcher} if isinstance(searcher, str) else dict(searcher)
        if "name" not in own:
            raise ArgumentError(f"searcher={searcher!r} has no name. Write it as {{'name': 'cqr', ...}}.")
        name = str(own.pop("name"))
        self._kind = load("searcher", name)
        check_own("searcher", name, self._kind, own)
        self._own = own
        self._space = space if space is None or isinstance(space, Space) else Space(dict(space))
        self._seed = check_seed(secrets.randbits(31) if seed is None else seed)
        self._constraints = constraints_func
        self._warns = warn_independent_sampling
        self._lock = threading.Lock()
        self._warned: set[str] = set()
        self._made: tuple[Any, Any, Any, Problem, set[int]] | None = None  # whose, what for, searcher, problem, told

    def __getstate__(self) -> dict[str, Any]:
        """All but what is computed from the trials."""
        return {**self.__dict__, "_lock": None, "_made": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """The space that is proposed jointly."""
        if self._space is not None:
            return {name: distribution_of(domain) for name, domain in self._space.items()}
        common = need("optuna.search_space", what="LuthierSampler", extra="integrations")
        found: dict[str, Any] = common.IntersectionSearchSpace(include_pruned=True).calculate(study)
        return {name: distribution for name, distribution in found.items() if not distribution.single()}

    def sample_relative(self, study: Any, trial: Any, search_space: Mapping[str, Any]) -> dict[str, Any]:
        """The searcher's proposal."""
        if not search_space:
            return {}
        with self._lock:
            trials = study.get_trials(deepcopy=False)
            searcher, problem = self._learned(study, trials, search_space)
            pending = [t for t in trials if t.state.name == "RUNNING" and t.number != trial.number]
            asked = [_configuration(problem.space, t.params, search_space) for t in pending]
            found = searcher.ask(1, k=trial.number, pending=[config for config in asked if config is not None])
        if not found:  # a finite space has no configuration left
            if not any(_outside(one, search_space) for one in trials):
                with contextlib.suppress(RuntimeError):  # not within `optimize`: who asks decides when to end
                    study.stop()
            found = problem.space.sample(1, generator(self._seed, "searcher", trial.number))
        return {name: _value(search_space[name], value) for name, value in found[0].items()}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """A random value, for what the joint space lacks."""
        others = self._space is not None or any(t.state.name == "COMPLETE" for t in study.get_trials(deepcopy=False))
        if self._warns and others and param_name not in self._warned:
            self._warned.add(param_name)
            known = "not in the space that the sampler was given" if self._space is not None else "not in all trials"
            warnings.warn(
                f"parameter {param_name!r} of trial {trial.number} is drawn at random: it is {known}, or had another "
                "range there. To have it proposed jointly, give LuthierSampler(space=...), with when= for what depends "
                "on other parameters.",
                LuthierWarning,
                stacklevel=2,
            )
        space = Space({param_name: domain_of(param_distribution)})
        [drawn] = space.sample(1, generator(self._seed, "searcher", trial.number, zlib.crc32(param_name.encode())))
        return _value(param_distribution, drawn[param_name])

    def before_trial(self, study: Any, trial: Any) -> None:
        """Nothing is to be prepared."""

    def after_trial(self, study: Any, trial: Any, state: Any, values: Sequence[float] | None) -> None:
        """Have the constraints kept with the trial."""
        if self._constraints is not None:
            need("optuna.samplers._base", what="LuthierSampler", extra="integrations")._process_constraints_after_trial(
                self._constraints, study, trial, state
            )

    def reseed_rng(self) -> None:
        """Nothing to do: draws belong to the trials' numbers."""

    def _learned(self, study: Any, trials: Sequence[Any], search_space: Mapping[str, Any]) -> tuple[Any, Problem]:
        """The searcher, told of every trial that has ended; made anew when space or constraints have changed."""
        named = sorted({name for trial in trials for name in _violations(trial)})
        goals = tuple(direction.name for direction in study.directions)
        what = (repr(sorted(search_space.items())), tuple(named), goals)
        if self._made is None or self._made[0]() is not study or self._made[1] != what:
            space = self._space or Space({name: domain_of(search_space[name]) for name in search_space})
            objectives = tuple(
                Objective(f"value_{i}", "max" if g == "MAXIMIZE" else "min") for i, g in enumerate(goals)
            )
            problem = Problem(space, objectives, tuple(Constraint(name) for name in named))
            self._made = weakref.ref(study), what, self._kind(problem, seed=self._seed, **self._own), problem, set()
        _, _, searcher, problem, told = self._made
        fresh = [trial for trial in trials if trial.state.name in _STATUS and trial.number not in told]
        told.update(trial.number for trial in fresh)
        observed = [_observation(trial, problem, search_space) for trial in fresh]
        searcher.tell([one for one in observed if one is not None])
        return searcher, problem


def _configuration(space: Space, params: Mapping[str, Any], distributions: Mapping[str, Any]) -> Configuration | None:
    """A trial's parameters in the space; None where it has none of them, or lies outside."""
    given = {}
    for name in params.keys() & set(space.names):
        choices = getattr(distributions[name], "choices", None)
        given[name] = params[name] if choices is None else _labels(choices)[_position(choices, params[name])]
    if not given:
        return None
    try:
        return space.check(given, fill=True)
    except SpaceError:
        return None


def _outside(trial: Any, search_space: Mapping[str, Any]) -> bool:
    """Whether a trial has a parameter, with more than one value, that the joint space lacks."""
    return any(name not in search_space and not form.single() for name, form in trial.distributions.items())


def _position(choices: Sequence[Any], value: Any) -> int:
    for i, choice in enumerate(choices):
        if type(choice) is type(value) and (choice == value or choice is value):
            return i
    return next((i for i, choice in enumerate(choices) if choice == value), 0)


def _value(distribution: Any, label: Any) -> Any:
    choices = getattr(distribution, "choices", None)
    return label if choices is None else choices[_labels(choices).index(label)]


def _violations(trial: Any) -> dict[str, float]:
    """Constraints of a trial by name, feasible up to 0."""
    named = getattr(trial, "constraints", None)  # since Optuna 5
    if named is None:
        named = dict(enumerate(trial.system_attrs.get("constraints") or ()))
    return {str(name): float(value) for name, value in named.items()}


def _observation(trial: Any, problem: Problem, distributions: Mapping[str, Any]) -> Observation | None:
    config = _configuration(problem.space, trial.params, distributions)
    if config is None:
        return None
    status = _STATUS[trial.state.name]
    values = trial.values
    if status is Status.STOPPED and len(problem.objectives) == 1 and trial.intermediate_values:
        values = [trial.intermediate_values[max(trial.intermediate_values)]]
    if not values or status is Status.FAILED or not all(map(math.isfinite, values)):
        return Observation(trial.number, config, None, (), (), Status.FAILED)
    kept = _violations(trial)
    metrics = {objective.name: value for objective, value in zip(problem.objectives, values, strict=True)}
    # a trial without a constraint that others have is not known to be feasible
    metrics.update({constraint.name: kept.get(constraint.name, 1.0) for constraint in problem.constraints})
    return problem.observe(trial.number, config, metrics, status=status)
