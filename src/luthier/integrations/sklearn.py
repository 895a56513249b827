"""scikit-learn: `LuthierSearchCV`, a search with cross-validation like GridSearchCV, run by a study."""

from __future__ import annotations

import inspect
import math
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import check_random_state, indexable
from sklearn.utils.validation import _check_method_params

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, StorageError, TrialError
from luthier.base.records import Event, Objective, Trial
from luthier.base.seeds import check_seed, split_seed
from luthier.integrations._sklearn_fits import Data, How, Splits
from luthier.integrations._sklearn_folds import Folds
from luthier.integrations._sklearn_ladder import FOLDS, SAMPLES, Ladder, axis, spends
from luthier.integrations._sklearn_results import cv_results
from luthier.integrations._sklearn_space import Parameters
from luthier.study import Study


class LuthierSearchCV(BaseSearchCV):  # type: ignore[misc]  # scikit-learn has no types
    """Search an estimator's parameters by cross-validation, with any of luthier's searchers and schedulers.

    Used like GridSearchCV and RandomizedSearchCV: `fit`, then `best_params_`, `best_score_`, `best_estimator_`,
    `cv_results_`, `predict`. Scores are maximised, as scikit-learn's scorers want it.

    ```python
    search = LuthierSearchCV(SVC(), {"C": lu.Float(1e-3, 1e3, log=True), "kernel": ["rbf", "poly"]}, n_trials=40)
    search.fit(X, y)
    ```

    Args:
        estimator: The estimator; its own parameters are tried first, as far as the space holds them.
        space: A `luthier.Space`, or a mapping of parameters to domains, lists (rising numbers count as ordered) and
            scipy.stats.uniform, loguniform or randint. Lists may hold any objects.
        n_trials: Configurations to try, those of an earlier fit of the same stored study counted in (50: where
            searchers have been compared, see docs/results).
        timeout: Seconds after which the search ends; None: no limit.
        searcher: Who proposes: a name, or a mapping with "name" and the searcher's own arguments.
        scheduler: Who spends the resource: "straight" fits every fold of every trial; "race" (over folds), "asha",
            "hyperband" and others end what is hopeless.
        resource: What such a scheduler spends: "folds", "n_samples" (rows of the training parts, nested, in the
            classes' shares), or a parameter of the estimator such as "n_estimators". Folds are fitted anew at each
            amount.
        min_resources: Smallest amount of it; None: 1/27 of the largest, at least two rows a class and fold.
        max_resources: Largest amount; None: all rows; must be given for a parameter.
        scoring: As in scikit-learn: None, a name, a callable, or several as a list or mapping. The means of all scores,
            of "fit_time" and of "score_time" (seconds) are in the study, and may be named in its constraints.
        refit: Fit the best configuration on all data. With several scores: the name of the one to maximise; a
            callable, which chooses a row of `cv_results_`; or False. Without a name all are maximised together.
        cv: As in scikit-learn. Folds stay the same for all trials, also where `random_state` of a splitter is None.
        n_jobs: Fits at once, in joblib's processes, or threads under `joblib.parallel_config("threading")`.
        random_state: Decides every draw; None: another search each time (or the stored study's own).
        storage: URL of a store, such as "sqlite:///search.db": a fit that was interrupted goes on; None: in memory.
        study_name: Name in the store; None: "study".
        study_options: Further arguments of `luthier.Study` by name: "first", "past", "stopping", "constraints",
            "incumbent" ("guarded" keeps the estimator as it is unless it is beaten on fresh splits), "reshuffle",
            "callbacks".
        verbose: From 1 on a line for each trial.
        error_score: Score of a fit that raises; NaN: the trial has failed; "raise": so does the search.
        return_train_score: Score the training parts too.

    Attributes:
        study_: The study; not kept by pickle and clone.
        result_: Its result: trials, Pareto set, the rule that chose the best.
        n_trials_: Rows of `cv_results_`.
        resource_levels_: Amounts of the resource at which trials were judged; empty with folds.

    Raises:
        ArgumentError, SpaceError: in `fit`, an argument that does not fit.
        ValueError: in `fit`, no fit has succeeded.
    """

    _required_parameters: ClassVar[list[str]] = ["estimator", "space"]
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        name: rule for name, rule in BaseSearchCV._parameter_constraints.items() if name != "pre_dispatch"
    }

    def __init__(
        self,
        estimator: Any,
        space: Any,
        *,
        n_trials: int = 50,
        timeout: float | None = None,
        searcher: str | Mapping[str, Any] = "auto",
        scheduler: str | Mapping[str, Any] = "straight",
        resource: str = FOLDS,
        min_resources: float | None = None,
        max_resources: float | None = None,
        scoring: Any = None,
        refit: Any = True,
        cv: Any = None,
        n_jobs: int | None = None,
        random_state: Any = None,
        storage: str | None = None,
        study_name: str | None = None,
        study_options: Mapping[str, Any] | None = None,
        verbose: int = 0,
        error_score: float | str = np.nan,
        return_train_score: bool = False,
    ) -> None:
        self.estimator = estimator
        self.space = space
        self.n_trials = n_trials
        self.timeout = timeout
        self.searcher = searcher
        self.scheduler = scheduler
        self.resource = resource
        self.min_resources = min_resources
        self.max_resources = max_resources
        self.scoring = scoring
        self.refit = refit
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.storage = storage
        self.study_name = study_name
        self.study_options = study_options
        self.verbose = verbose
        self.error_score = error_score
        self.return_train_score = return_train_score

    def fit(self, X: Any, y: Any = None, **params: Any) -> LuthierSearchCV:
        """Search, and fit the best configuration on all data.

        Args:
            X: Rows, (n, features) or whatever the estimator takes.
            y: Target, (n,); None without one.
            **params: For the estimator's fit, the scorer and the splitter (`groups`), as in GridSearchCV.
        """
        self._validate_params()
        self._check_arguments()
        scorer, _ = self._get_scorers()
        X, y = indexable(X, y)
        params = _check_method_params(X, params=params)
        routed = self._get_routed_params_for_fit(params)
        data = Data(X, y, dict(routed.estimator.fit), dict(routed.scorer.score))
        objectives = self._objectives(scorer)
        how = How(clone(self.estimator), scorer, bool(self.return_train_score), self.error_score, objectives[0].name)
        parameters = Parameters(self.space, self.estimator)
        seed = self._seed()
        splits = Splits(
            self.cv, data, routed.splitter.split, classifier=is_classifier(self.estimator), seed=split_seed(seed)
        )
        self._check_fresh(splits)
        study, ladder = self._study(parameters, objectives, splits, data, seed)
        jobs = self._jobs()
        folds = Folds(how, data, parameters, splits, ladder, n_jobs=jobs)
        self._run(study, folds, jobs)
        self.study_, self.result_ = study, study.result()
        self.n_splits_, self.resource_levels_ = splits.count, ladder.levels
        self._conclude(folds, scorer, objectives)
        if self.refit:
            self._refit(how, data)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled and copied: all but the study, which holds a connection to its store."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "study_"}

    # arguments -------------------------------------------------------------------------------------------

    def _check_arguments(self) -> None:
        check("n_trials", self.n_trials, at_least=1, whole=True)
        if self.timeout is not None:
            check("timeout", self.timeout, above=0)
        options = dict(self.study_options or {})
        allowed = set(inspect.signature(Study).parameters) - _OWN
        for name in options:
            if name in _OWN:
                raise ArgumentError(f"study_options names {name!r}, which LuthierSearchCV sets itself: {_OWN_WORDS}.")
            if name not in allowed:
                check("study_options", name, one_of=sorted(allowed))
        if not spends(self._scheduler[0]) and self.resource != FOLDS:
            raise ArgumentError(
                f"resource={self.resource!r} with scheduler='straight', which gives every trial all of it. Choose one "
                "that spends it: scheduler='asha'."
            )

    @property
    def _scheduler(self) -> tuple[str, Mapping[str, Any]]:
        if isinstance(self.scheduler, str):
            return self.scheduler, {}
        own = dict(self.scheduler)
        return str(own.pop("name", "straight")), own

    def _objectives(self, scorer: Any) -> list[Objective]:
        """What is maximised: the score that `refit` names, else all of them."""
        names = list(getattr(scorer, "_scorers", None) or [])
        if isinstance(self.refit, str) and (names or callable(self.scoring)):
            return [Objective(self.refit, "max")]
        return [Objective(name, "max") for name in names or ["score"]]

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return check_seed(int(self.random_state))
        if self.random_state is None and self.storage is not None:
            try:
                with Study.open(self.storage, self.study_name or "study") as stored:
                    return stored.seed
            except StorageError:
                pass  # it is about to be made; what else is wrong with it, Study says
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _jobs(self) -> int:
        from joblib import effective_n_jobs

        return int(effective_n_jobs(self.n_jobs))

    def _check_fresh(self, splits: Splits) -> None:
        options = self.study_options or {}
        asked = [word for word in ("reshuffle",) if options.get(word)]
        asked += ["incumbent='guarded'"] if options.get("incumbent") == "guarded" else []
        if asked and not splits.renewable:
            raise ArgumentError(
                f"{asked[0]} needs fresh splits, and cv={self.cv!r} has one way to split. Allowed: a number of folds, "
                "or a splitter that shuffles, such as KFold(5, shuffle=True)."
            )

    # the study -------------------------------------------------------------------------------------------

    def _study(
        self, parameters: Parameters, objectives: Sequence[Objective], splits: Splits, data: Data, seed: int
    ) -> tuple[Study, Ladder]:
        fidelity, ladder = axis(
            self._scheduler, (self.resource, self.min_resources, self.max_resources), splits, parameters, self.estimator
        )
        options = dict(self.study_options or {})
        about = dict(options.pop("about", None) or {})
        if self.storage is not None:
            about.update(self._task(data, splits))
        if isinstance(options.get("past"), (str, bytes)):
            options["past"] = [options["past"]]
        study = Study(
            parameters.space,
            objectives,
            searcher=self.searcher,
            scheduler=self.scheduler,
            fidelity=fidelity,
            storage=self.storage,
            name=self.study_name,
            seed=seed,
            about=about,
            **options,
        )
        differ = [word for word in self._task(data, splits) if study.about.get(word) != about.get(word)]
        if self.storage is not None and differ:
            study.close()
            raise ArgumentError(
                f"study {study.name!r} in {self.storage} was made with other {' and '.join(differ)}. Allowed: the "
                "same, so that its trials can be compared. Give study_name another name."
            )
        return study, ladder

    def _task(self, data: Data, splits: Splits) -> dict[str, float | str]:
        """What trials of one study must have in common."""
        if self.storage is None:
            return {}
        from joblib import hash as digest

        folds = splits.of(splits.seed)
        return {
            "data": str(digest((data.X, data.y))),
            "folds": str(digest([(np.asarray(a), np.asarray(b)) for a, b in folds])),
            "estimator": repr(self.estimator),
            "scoring": self.scoring if isinstance(self.scoring, str) else repr(self.scoring).partition(" at 0x")[0],
        }

    def _run(self, study: Study, folds: Folds, jobs: int) -> None:
        if self.verbose:
            study.callbacks.append(_tell)
        # folds of one trial run together: more trials at once would be proposed knowing less
        workers = jobs if folds.ladder.raced else math.ceil(jobs / folds.splits.count)
        try:
            study.run(_unused, trials=self.n_trials, seconds=self.timeout, workers=workers, executor=folds)
        except TrialError as error:
            raise ValueError(f"All the fits failed. {error}") from error

    # what comes out --------------------------------------------------------------------------------------

    def _conclude(self, folds: Folds, scorer: Any, objectives: Sequence[Objective]) -> None:
        """Set the attributes that scikit-learn's searches have."""
        trials = [trial for trial in self.result_.trials if trial.origin != "confirm" and trial.status.ended]
        self._warn(trials, folds)
        metrics = [name for name in _scored(trials) if name not in ("fit_time", "score_time")] or [objectives[0].name]
        self.multimetric_ = isinstance(getattr(scorer, "_scorers", None), dict) or metrics != ["score"]
        if callable(self.scoring) and self.multimetric_:
            self._check_refit_for_multimetric(dict.fromkeys(metrics))
        self.scorer_ = (
            getattr(scorer, "_scorers", scorer) if self.multimetric_ and not callable(self.scoring) else scorer
        )
        self.cv_results_ = cv_results(trials, folds, metrics)
        self.n_trials_ = len(trials)
        if not self.refit and self.multimetric_:
            return
        if callable(self.refit):
            self.best_index_ = self._select_best_index(self.refit, "score", self.cv_results_)
        else:
            self.best_index_ = self._best(trials)
            self.best_score_ = float(self.cv_results_[f"mean_test_{objectives[0].name}"][self.best_index_])
        self.best_params_ = self.cv_results_["params"][self.best_index_]

    def _best(self, trials: Sequence[Trial]) -> int:
        best = self.result_.best
        if best is None:
            last = next((trial for trial in reversed(trials) if trial.error), None)
            why = self.result_.rule if last is None else f"trial {last.number}: {last.error}".rstrip(".")
            raise ValueError(f"All the {len(trials)} trials failed: {why}.")
        numbers = [trial.number for trial in trials]
        if best.number in numbers:
            return numbers.index(best.number)
        return next(i for i, trial in enumerate(trials) if trial.config == best.config)

    def _refit(self, how: How, data: Data) -> None:
        params = dict(self.best_params_)
        if self.resource_levels_ and self.resource != SAMPLES:
            params[self.resource] = type(params[self.resource])(self.resource_levels_[-1])
        # parameters may be estimators themselves
        self.best_estimator_ = clone(how.estimator).set_params(**clone(params, safe=False))
        begun = time.perf_counter()
        if data.y is None:
            self.best_estimator_.fit(data.X, **data.fit)
        else:
            self.best_estimator_.fit(data.X, data.y, **data.fit)
        self.refit_time_ = time.perf_counter() - begun
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_

    def _warn(self, trials: Sequence[Trial], folds: Folds) -> None:
        failed = [trial for trial in trials if trial.status.value == "failed"]
        scored = sum(bool(outcome.error) for outcome in folds.outcomes.values())
        if failed:
            warnings.warn(
                f"{len(failed)} of {len(trials)} trials failed, and have NaN as score. Trial {failed[-1].number}: "
                f"{failed[-1].error}. To see where, use error_score='raise'.",
                FitFailedWarning,
                stacklevel=3,
            )
        elif scored:
            warnings.warn(
                f"{scored} fits failed, and count with error_score={self.error_score!r}.",
                FitFailedWarning,
                stacklevel=3,
            )


_OWN = {"space", "objectives", "searcher", "scheduler", "fidelity", "storage", "name", "seed", "folder", "repeats"}
_OWN_WORDS = (
    "space, scoring and refit (objectives), searcher, scheduler, resource (fidelity), storage, study_name, "
    "random_state (seed); folds take the place of repeats"
)


def _scored(trials: Sequence[Trial]) -> list[str]:
    return list(dict.fromkeys(name for trial in trials for name in trial.metrics))


def _tell(study: Study, event: Event) -> None:
    """A line for each trial that has ended."""
    if event.kind in ("finished", "stopped", "failed") and event.trial is not None:
        print(study.trials[event.trial])


def _unused(run: Any) -> None:
    """The target of an executor that brings its own work."""
