"""Hydra: a sweeper, `python app.py --multirun hydra/sweeper=luthier lr='tag(log, interval(1e-5, 1e-1))'`."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, TrialError
from luthier.base.imports import need
from luthier.integrations._late import joined, late

if TYPE_CHECKING:
    from luthier.base.records import Trial
    from luthier.space.domain import Domain
    from luthier.study import Study

_log = logging.getLogger("luthier")

#: What may be set under `hydra.sweeper`, with defaults (20 trials: as Optuna's sweeper has it).
SETTINGS: dict[str, Any] = {
    "direction": "minimize",
    "n_trials": 20,
    "n_jobs": 1,
    "searcher": "auto",
    "seed": 0,
    "storage": None,
    "study_name": None,
    "max_failure_rate": 0.0,
    "params": {},
}


class _Sweeper:
    """Runs a task function on configurations that one of luthier's searchers proposes, by any launcher of Hydra.

    The space is written in Hydra's grammar, on the command line or under `hydra.sweeper.params`:

    | written | means |
    |---|---|
    | `opt=sgd,adam`, `opt=choice(sgd, adam)` | one of them; rising numbers count as ordered |
    | `n=range(1, 9)`, `range(0, 1, step=0.25)` | numbers, the last one left out, as in Hydra and Python |
    | `lr=interval(0.0, 1.0)` | any number between |
    | `n=int(interval(1, 8))` | any whole number from the one to the other |
    | `lr=tag(log, interval(1e-5, 1e-1))` | the same by ratios |

    The value in the application's own configuration is tried first, where it lies in the space. The task function
    returns the objective, or a sequence for several directions. Results go to `optimization_results.yaml` in the
    sweep's folder, every trial to the store.

    Args:
        direction: "minimize" or "maximize"; a list for several objectives.
        n_trials: Trials in all, those of an earlier sweep of the same stored study counted in.
        n_jobs: Trials that the launcher is given at once.
        searcher: A name, or a mapping with "name" and the searcher's own arguments.
        seed: Decides every draw.
        storage: URL of a store, such as "sqlite:///sweep.db"; None: `study.db` in the sweep's folder.
        study_name: Name in the store; None: the job's name.
        max_failure_rate: Share of failed trials above which the sweep ends with an error, in [0, 1].
        params: Overrides, such as {"lr": "interval(0, 1)"}; those of the command line come after them.

    Raises:
        ArgumentError: nothing to sweep over, or an argument out of range.
        TrialError: too many trials failed.
    """

    def __init__(
        self,
        *,
        direction: str | Sequence[str] = "minimize",
        n_trials: int = 20,
        n_jobs: int = 1,
        searcher: str | Mapping[str, Any] = "auto",
        seed: int = 0,
        storage: str | None = None,
        study_name: str | None = None,
        max_failure_rate: float = 0.0,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        n_trials = check("n_trials", n_trials, at_least=1, whole=True)
        n_jobs = check("n_jobs", n_jobs, at_least=1, whole=True)
        check("max_failure_rate", max_failure_rate, at_least=0, at_most=1)
        self._goals = [direction] if isinstance(direction, str) else [str(one) for one in direction]
        for goal in self._goals:
            check("direction", goal, one_of=("minimize", "maximize"))
        self._trials, self._jobs, self._rate = int(n_trials), int(n_jobs), float(max_failure_rate)
        self._searcher = searcher if isinstance(searcher, str) else dict(searcher)
        self._seed, self._storage, self._study_name = seed, storage, study_name
        self._params = dict(params or {})
        self.hydra_context: Any = None
        self.config: Any = None
        self.launcher: Any = None
        self._words: dict[str, dict[Any, str]] = {}  # hyperparameter -> value -> how Hydra wants it written

    def setup(self, *, hydra_context: Any, task_function: Any, config: Any) -> None:
        """Get ready, as Hydra asks it."""
        plugins = need("hydra.core.plugins", what="LuthierSweeper", extra="integrations").Plugins
        self.hydra_context, self.config = hydra_context, config
        self.launcher = plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep; the best value, or the Pareto set's values."""
        fixed, domains = self._read([f"{key}={value}" for key, value in self._params.items()] + list(arguments))
        if not domains:
            raise ArgumentError(
                "hydra/sweeper=luthier has nothing to sweep over. Allowed: at least one range, such as "
                "'lr=tag(log, interval(1e-5, 1e-1))', on the command line or under hydra.sweeper.params."
            )
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        omega = need("omegaconf", what="LuthierSweeper", extra="integrations").OmegaConf
        omega.save(self.config, folder / "multirun.yaml")
        study = self._study(domains, folder)
        try:
            self._run(study, fixed)
            found = self._results(study)
        finally:
            study.close()
        omega.save(omega.create(found), folder / "optimization_results.yaml")
        _log.info("best of %d trials: %s; %s", self._trials, found, folder / "optimization_results.yaml")
        return found.get("best_value", found.get("solutions"))

    # the space -------------------------------------------------------------------------------------------

    def _read(self, overrides: list[str]) -> tuple[list[str], dict[str, Domain]]:
        """Overrides that hold for every job, and what the others span."""
        parser = need("hydra.core.override_parser.overrides_parser", what="LuthierSweeper", extra="integrations")
        reader = parser.OverridesParser.create(config_loader=self.hydra_context.config_loader)
        fixed: dict[str, str] = {}
        domains: dict[str, Domain] = {}
        for override in reader.parse_overrides(overrides):  # of two with one key the later one counts, as in Hydra
            key = override.get_key_element()
            fixed.pop(key, None)
            domains.pop(key, None)
            if override.is_sweep_override():
                domains[key] = self._with_default(key, self._domain(key, override))
            elif override.is_delete():
                fixed[key] = override.input_line
            else:
                fixed[key] = f"{key}={override.get_value_element_as_str()}"
        return list(fixed.values()), domains

    def _domain(self, key: str, override: Any) -> Domain:
        from luthier.space.domains import Choice, Fixed, Float, Int, Ordinal

        sweep = override.value()
        log = "log" in getattr(sweep, "tags", ())
        if override.is_interval_sweep():
            whole = isinstance(sweep.start, int) and isinstance(sweep.end, int)
            return (Int if whole else Float)(sweep.start, sweep.end, log=log)
        if override.is_range_sweep():
            return _range(key, sweep, log=log)
        texts = [text.partition("=")[2] if "=" in text else text for text in override.sweep_string_iterator()]
        values = [_plain(one, text) for one, text in zip(_listed(sweep), texts, strict=True)]
        self._words[key] = dict(zip(values, texts, strict=True))
        if len(values) == 1:
            return Fixed(values[0])
        numeric = all(type(one) in (int, float) for one in values)
        return Ordinal(*values) if numeric and values == sorted(values) else Choice(*values)

    def _with_default(self, key: str, domain: Domain) -> Domain:
        """The domain whose default is what the application's own configuration has."""
        from luthier.space.serial import domain_from_dict
        from luthier.space.values import is_value

        omega = need("omegaconf", what="LuthierSweeper", extra="integrations").OmegaConf
        value = omega.select(self.config, key.lstrip("+"), throw_on_missing=False)
        if domain.kind == "fixed" or value is None or not is_value(value) or not domain.contains(value):
            return domain
        return domain_from_dict(key, {**domain.to_dict(), "default": value})

    # the jobs --------------------------------------------------------------------------------------------

    def _study(self, domains: Mapping[str, Domain], folder: Path) -> Study:
        from luthier.base.records import Objective
        from luthier.space.space import Space
        from luthier.study import Study

        names = ["value"] if len(self._goals) == 1 else [f"value_{i}" for i in range(len(self._goals))]
        return Study(
            Space(dict(domains)),
            [Objective(n, "max" if goal == "maximize" else "min") for n, goal in zip(names, self._goals, strict=True)],
            searcher=self._searcher,
            storage=self._storage or f"sqlite:///{folder.resolve()}/study.db",
            name=self._study_name or str(self.config.hydra.job.name),
            seed=self._seed,
        )

    def _run(self, study: Study, fixed: list[str]) -> None:
        begun = len(study.trials)
        while study.stopped is None and (room := self._room(study)) > 0:
            trials = study.ask(min(self._jobs, room))
            if not trials:
                return
            batch = [[*fixed, *self._overrides(trial.config)] for trial in trials]
            self.validate_batch_is_legal(batch)  # type: ignore[attr-defined]  # of Hydra's Sweeper
            returned = self.launcher.launch(batch, initial_job_idx=trials[0].number)
            for trial, job in zip(trials, returned, strict=True):
                self._tell(study, trial, job)
            failed = [trial for trial in study.trials[begun:] if trial.status.value == "failed"]
            if len(failed) > self._rate * (len(study.trials) - begun):
                raise TrialError(
                    f"{len(failed)} of {len(study.trials) - begun} trials failed, the last with {failed[-1].error}. "
                    f"Allowed: {self._rate:.0%}. Mend the program, or raise hydra.sweeper.max_failure_rate.",
                    trial=failed[-1].number,
                    config=failed[-1].config,
                )

    def _room(self, study: Study) -> int:
        """Trials to come: new ones up to the number that was asked for, and those that were interrupted."""
        again = study.recover()  # from sweeps that were killed; what runs in others that live is theirs
        return max(0, self._trials - len(study.trials)) + again

    def _overrides(self, config: Mapping[str, Any]) -> list[str]:
        return [f"{key}={self._words.get(key, {}).get(value, value)}" for key, value in config.items()]

    def _tell(self, study: Study, trial: Trial, job: Any) -> None:
        try:
            value = job.return_value  # raises what the job raised
        except Exception as error:
            study.tell(trial.number, status="failed")
            study.note(trial.number, f"{type(error).__name__}: {error}")
            _log.warning("trial %d failed: %s: %s", trial.number, type(error).__name__, error)
            return
        objectives = study.problem.objectives
        values = [value] if len(objectives) == 1 else value
        try:
            metrics = {o.name: float(one) for o, one in zip(objectives, values, strict=True)}
        except (TypeError, ValueError):
            study.tell(trial.number, status="failed")
            raise ArgumentError(
                f"the task function returned {value!r:.100}. Allowed: "
                + ("a number" if len(objectives) == 1 else f"{len(objectives)} numbers")
                + ", the objective. Return it from the function that @hydra.main decorates."
            ) from None
        study.tell(trial.number, metrics)

    def _results(self, study: Study) -> dict[str, Any]:
        """In the form that Hydra's other optimisers write."""
        if len(self._goals) > 1:
            found = [{"params": self._plain(t), "values": list(t.metrics.values())} for t in study.pareto]
            return {"name": "luthier", "solutions": found}
        best = study.best
        if best is None:
            return {"name": "luthier", "best_params": None, "best_value": None}
        return {"name": "luthier", "best_params": self._plain(best), "best_value": best.metrics["value"]}

    @staticmethod
    def _plain(trial: Trial) -> dict[str, Any]:
        return {key.lstrip("+"): value for key, value in trial.config.items()}


def _range(key: str, sweep: Any, *, log: bool) -> Domain:
    from luthier.space.domains import Fixed, Float, Int

    whole = all(isinstance(one, int) for one in (sweep.start, sweep.stop, sweep.step))
    count = math.ceil((sweep.stop - sweep.start) / sweep.step - 1e-9)
    if count < 1:
        raise ArgumentError(f"{key}=range({sweep.start}, {sweep.stop}, {sweep.step}) is empty. Swap its ends.")
    ends = sorted((sweep.start, sweep.start + (count - 1) * sweep.step))
    if count == 1:
        return Fixed(ends[0])
    if whole:
        return Int(ends[0], ends[1], log=log, step=abs(sweep.step) if abs(sweep.step) != 1 else None)
    return Float(float(ends[0]), float(ends[1]), log=log, step=abs(float(sweep.step)))


def _listed(sweep: Any) -> list[Any]:
    """Values of a choice as the grammar read them."""
    items = sweep.list if hasattr(sweep, "list") else list(sweep)
    return list(items)


def _plain(value: Any, text: str) -> Any:
    """A number, flag or None as itself, all else as it is written."""
    return value if value is None or type(value) in (int, float, bool) else text


def _sweeper() -> type:
    base = need("hydra.plugins.sweeper", what="LuthierSweeper", extra="integrations").Sweeper
    # Hydra knows plugins by the module in which it finds them
    return joined("hydra_plugins.luthier_sweeper", "LuthierSweeper", _Sweeper, base)


__getattr__ = late(__name__, {"LuthierSweeper": _sweeper})

if TYPE_CHECKING:
    LuthierSweeper = _Sweeper
