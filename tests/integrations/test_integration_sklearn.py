"""LuthierSearchCV against scikit-learn itself: its estimator checks, its conventions, and what luthier adds."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import parametrize_with_checks

import luthier as lu
from luthier.base.errors import ArgumentError, SpaceError
from luthier.integrations._sklearn_fits import Data, Splits
from luthier.integrations.sklearn import LuthierSearchCV

#: As GridSearchCV in scikit-learn's own list; the other search class's second entry there passes here.
EXPECTED_FAILURES = {
    "check_supervised_y_2d": "a column as y: the fits inside warn as often as there are fits, not once"
}

X, y = load_iris(return_X_y=True)
IRIS = scale(X)[::2], y[::2]  # scaled: fits end after a few iterations
SPACE = {"C": lu.Float(1e-2, 3.0, log=True)}


def logistic(space=None, **options):
    options = {"n_trials": 4, "cv": 3, "searcher": "random", "random_state": 0, **options}
    return LuthierSearchCV(LogisticRegression(max_iter=300), space or SPACE, **options)


CHECKED = {"n_trials": 2, "cv": 2, "searcher": "random", "random_state": 0, "error_score": "raise"}


@parametrize_with_checks(
    [
        LuthierSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, **CHECKED),
        LuthierSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, **CHECKED),
    ],
    expected_failed_checks=lambda estimator: (
        {} if isinstance(estimator.estimator, LogisticRegression) else EXPECTED_FAILURES
    ),
)
def test_estimator_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


# the conventions -------------------------------------------------------------------------------------------


def test_scores_are_those_of_cross_validate():
    search = logistic(return_train_score=True).fit(*IRIS)
    for row, params in enumerate(search.cv_results_["params"]):
        own = cross_validate(clone(search.estimator).set_params(**params), *IRIS, cv=3, return_train_score=True)
        assert [search.cv_results_[f"split{i}_test_score"][row] for i in range(3)] == list(own["test_score"])
        assert search.cv_results_["mean_test_score"][row] == pytest.approx(own["test_score"].mean())
        assert search.cv_results_["std_test_score"][row] == pytest.approx(own["test_score"].std())
        assert search.cv_results_["mean_train_score"][row] == pytest.approx(own["train_score"].mean())
    assert search.cv_results_["rank_test_score"][search.best_index_] == 1
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()
    assert search.best_params_ == search.cv_results_["params"][search.best_index_]
    assert search.best_params_["C"] == search.best_estimator_.C
    assert search.n_splits_ == 3
    assert not search.multimetric_
    assert list(search.cv_results_["param_C"]) == [p["C"] for p in search.cv_results_["params"]]


def test_the_estimator_as_it_is_comes_first_and_one_seed_decides_all():
    search = logistic(n_trials=3).fit(*IRIS)
    assert search.cv_results_["params"][0] == {"C": 1.0}
    again = clone(search).fit(*IRIS)
    other = logistic(n_trials=3, random_state=1).fit(*IRIS)
    assert again.cv_results_["params"] == search.cv_results_["params"] != other.cv_results_["params"]


def test_pickle_and_clone_keep_everything_but_the_study():
    search = logistic(n_trials=2).fit(*IRIS)
    copy = pickle.loads(pickle.dumps(search))
    assert not hasattr(copy, "study_")
    assert len(copy.result_.trials) == 2
    assert (copy.predict(IRIS[0]) == search.predict(IRIS[0])).all()
    assert clone(search).get_params()["space"] == SPACE


def test_several_scores_and_which_one_counts():
    search = logistic(scoring=["accuracy", "neg_log_loss"], refit="neg_log_loss").fit(*IRIS)
    assert search.best_index_ == int(np.argmax(search.cv_results_["mean_test_neg_log_loss"]))
    assert search.multimetric_
    assert search.score(*IRIS) == search.scorer_["neg_log_loss"](search.best_estimator_, *IRIS)
    assert {"split2_test_accuracy", "std_test_neg_log_loss", "rank_test_accuracy"} <= set(search.cv_results_)
    both = logistic(scoring=["accuracy", "neg_log_loss"], refit=False).fit(*IRIS)
    assert [o.name for o in both.study_.problem.objectives] == ["accuracy", "neg_log_loss"]
    assert both.result_.pareto
    assert not hasattr(both, "best_params_")
    chosen = logistic(scoring=["accuracy"], refit=lambda table: 2).fit(*IRIS)
    assert chosen.best_params_ == chosen.cv_results_["params"][2]
    with pytest.raises(ValueError, match="refit must be set to a scorer key"):
        logistic(scoring=["accuracy"]).fit(*IRIS)


def test_a_callable_that_gives_several_scores():
    def scores(estimator, X, y):
        return {"right": float((estimator.predict(X) == y).mean()), "size": float(len(X))}

    search = logistic(scoring=scores, refit="right", n_trials=2).fit(*IRIS)
    assert list(search.cv_results_["mean_test_size"]) == [25.0, 25.0]
    with pytest.raises(ValueError, match="scoring must return a number"):
        logistic(scoring=lambda *_: [1, 2], n_trials=2, error_score="raise").fit(*IRIS)


def test_groups_weights_and_no_refit():
    X, y = IRIS
    groups = np.arange(len(y)) % 6
    search = logistic(cv=GroupKFold(3), refit=False, n_trials=2).fit(X, y, groups=groups)
    assert search.best_score_ > 0.9
    assert not hasattr(search, "predict")
    assert not Splits(3, Data(X, y), {"groups": groups}, classifier=True, seed=0).renewable
    assert Splits(3, Data(X, y), {}, classifier=True, seed=0).renewable
    weights = np.where(y == 0, 1e-6, 1.0)  # the fits hardly see a class: scores must show it
    blind = logistic(n_trials=1, scoring="recall_macro").fit(X, y, sample_weight=weights)
    assert blind.best_score_ < logistic(n_trials=1, scoring="recall_macro").fit(X, y).best_score_


def test_a_random_splitter_splits_once():
    search = logistic({"C": lu.Choice(1.0, 1.5)}, cv=ShuffleSplit(2, test_size=0.3), n_trials=2).fit(*IRIS)
    again = clone(search).fit(*IRIS)
    for key in ("split0_test_score", "split1_test_score"):
        assert list(search.cv_results_[key]) == list(again.cv_results_[key])


# spaces ----------------------------------------------------------------------------------------------------


def test_lists_hold_any_object_and_rising_numbers_are_ordered():
    pipeline = Pipeline([("reduce", "passthrough"), ("model", KNeighborsClassifier())])
    space = {
        "reduce": ["passthrough", PCA(2), PCA(3)],
        "model": [KNeighborsClassifier()],
        "model__n_neighbors": [1, 5, 15],
        "model__metric_params": [None],
    }
    search = LuthierSearchCV(pipeline, space, n_trials=9, cv=2, searcher="grid", random_state=0).fit(*IRIS)
    assert search.n_trials_ == 9
    assert isinstance(search.study_.space["model__n_neighbors"], lu.Ordinal)
    assert search.study_.space["reduce"].values == ("passthrough", "PCA(n_components=2)", "PCA(n_components=3)")
    assert {repr(p["reduce"]) for p in search.cv_results_["params"]} == {
        "'passthrough'",
        "PCA(n_components=2)",
        "PCA(n_components=3)",
    }
    assert search.cv_results_["params"][0] == {**search.cv_results_["params"][0], "model__n_neighbors": 5}


def test_distributions_of_scipy():
    search = logistic({"C": stats.loguniform(1e-2, 1e2), "max_iter": stats.randint(100, 301)}, n_trials=1).fit(*IRIS)
    assert search.study_.space == lu.Space(C=lu.Float(1e-2, 1e2, log=True), max_iter=lu.Int(100, 300, default=300))
    with pytest.raises(ArgumentError, match=r"space: C is scipy\.stats\.norm\. Allowed: luthier's domains"):
        logistic({"C": stats.norm(0, 1)}).fit(*IRIS)


def test_conditions_leave_holes():
    space = lu.Space(
        solver=lu.Choice("lbfgs", "saga"), l1_ratio=lu.Float(0.0, 1.0, when=("solver", "saga")), C=lu.Float(0.1, 10)
    )
    search = logistic(space, n_trials=6).fit(*IRIS)
    column = search.cv_results_["param_l1_ratio"]
    assert [bool(hole) for hole in column.mask] == [p["solver"] == "lbfgs" for p in search.cv_results_["params"]]


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "space is empty"),
        ([{"C": [1]}], r"space=\[\{'C': \[1\]\}\]\. Allowed: luthier's domains"),
        ({"max_itr": [1]}, "space names 'max_itr', which LogisticRegression lacks. Did you mean 'max_iter'?"),
        ({"C": 1.0}, r"space: C=1\.0\. Allowed: .* For one value write \[1\.0\]"),
        ({"C": [1.0, 1.0]}, "twice"),
        ({"C": (0.1, 10)}, r"C=\(0\.1, 10\): a range, or two values\? Allowed: Float\(0\.1, 10\) .*; \[0\.1, 10\] for"),
        ({"C": (0.1, 10, "log-uniform")}, "a range, or two values"),
    ],
)
def test_mistakes_in_a_space(space, message):
    with pytest.raises((ArgumentError, SpaceError), match=message):
        LuthierSearchCV(LogisticRegression(), space).fit(*IRIS)


# early stopping --------------------------------------------------------------------------------------------


def test_a_race_ends_hopeless_trials_after_a_few_folds():
    space = {"C": lu.Float(1e-6, 1e2, log=True, default=1.0)}
    search = logistic(space, scheduler="race", cv=8, n_trials=10).fit(*IRIS)
    folds = search.cv_results_["n_resources"]
    assert folds.min() == 3
    assert folds[search.best_index_] == 8
    early = int(np.argmin(folds))
    assert np.isnan(search.cv_results_["split3_test_score"][early])
    assert not np.isnan(search.cv_results_["split2_test_score"][early])
    assert search.cv_results_["status"][early] == "stopped"
    assert search.cv_results_["rank_test_score"][early] > search.cv_results_["rank_test_score"][folds == 8].max()
    trial = search.study_.trials[early]
    assert len(trial.reports[-1].folds) == 3


def test_the_searcher_of_a_race_sees_what_was_ended():
    space = {"C": lu.Float(1e-6, 1e2, log=True, default=1.0)}
    search = logistic(space, scheduler="race", cv=8, n_trials=9, searcher="auto").fit(*IRIS)
    poor = [p["C"] for p in search.cv_results_["params"] if p["C"] < 1e-4]
    assert len(poor) <= 4, "what was ended is proposed again and again"


def test_samples_as_the_resource_are_nested_and_hold_all_classes():
    sizes = []

    class Watched(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            sizes.append((len(y), len(set(y)), {row.tobytes() for row in X}))
            return super().fit(X, y, sample_weight)

    search = LuthierSearchCV(
        Watched(max_iter=300),
        SPACE,
        n_trials=4,
        cv=2,
        scheduler="asha",
        resource="n_samples",
        searcher="random",
        random_state=0,
        refit=False,
    ).fit(*IRIS)
    assert search.resource_levels_ == (6.0, 18.0, 37.0)
    assert {size for size, _, _ in sizes} <= {6, 18, 37, 38}
    assert {classes for _, classes, _ in sizes} == {3}
    assert sizes[0][2] < sizes[2][2]  # the first fold at 6 rows, and at 18
    assert search.cv_results_["n_resources"][search.best_index_] == 37


def test_a_parameter_as_the_resource():
    forest = RandomForestClassifier(random_state=0, n_jobs=1)
    search = LuthierSearchCV(
        forest,
        {"max_depth": lu.Int(1, 6)},
        n_trials=4,
        cv=2,
        scheduler={"name": "asha", "type": "promotion"},
        resource="n_estimators",
        max_resources=9,
        searcher="random",
        random_state=0,
    ).fit(*IRIS)
    assert search.resource_levels_ == (1.0, 3.0, 9.0)
    assert search.best_estimator_.n_estimators == 9
    assert {p["n_estimators"] for p in search.cv_results_["params"]} <= {1, 3, 9}
    assert sorted(set(search.cv_results_["n_resources"]))[0] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"resource": "n_samples"},
            "resource='n_samples' with scheduler='straight', which gives every trial all of it",
        ),
        ({"resource": "max_iter", "scheduler": "asha"}, "resource='max_iter' without max_resources"),
        ({"resource": "C", "scheduler": "asha", "max_resources": 9}, "resource='C' is in the space too"),
        ({"resource": "n_sample", "scheduler": "asha"}, "Did you mean 'n_samples'?"),
        ({"study_options": {"seed": 1}}, "study_options names 'seed', which LuthierSearchCV sets itself"),
        ({"study_options": {"frist": []}}, "Did you mean 'first'?"),
        ({"study_options": {"incumbent": "guarded"}, "cv": [(range(50), range(50, 75))]}, "needs fresh splits"),
        ({"n_trials": 0}, "n_trials=0"),
        ({"searcher": "nope"}, "nope"),
        ({"timeout": -1}, "timeout=-1"),
    ],
)
def test_mistakes_in_arguments(options, message):
    with pytest.raises(ArgumentError, match=message):
        logistic(**options).fit(*IRIS)


# what luthier adds -----------------------------------------------------------------------------------------


def test_the_guard_measures_again_on_fresh_splits():
    search = logistic(n_trials=5, cv=KFold(3, shuffle=True), study_options={"incumbent": "guarded"}).fit(*IRIS)
    confirmed = [trial for trial in search.study_.trials if trial.origin == "confirm"]
    assert len(confirmed) == 6
    assert len({trial.split_seed for trial in search.study_.trials}) == 4
    assert all(len(trial.reports[-1].folds) == 3 for trial in confirmed)
    assert search.n_trials_ == 5
    assert "fresh splits" in search.result_.rule


def test_an_interrupted_search_goes_on(tmp_path):
    options = {"storage": f"sqlite:///{tmp_path}/s.db", "random_state": None}
    first = logistic(n_trials=3, **options).fit(*IRIS)
    second = logistic(n_trials=5, **options).fit(*IRIS)
    assert second.study_.seed == first.study_.seed
    assert second.cv_results_["params"][:3] == first.cv_results_["params"]
    assert second.n_trials_ == 5
    assert list(second.cv_results_["split1_test_score"][:3]) == list(first.cv_results_["split1_test_score"])
    assert second.cv_results_["mean_fit_time"][0] == first.cv_results_["mean_fit_time"][0]
    with pytest.raises(ArgumentError, match="was made with other data and folds"):
        logistic(n_trials=5, **options).fit(IRIS[0][:-30], IRIS[1][:-30])


def test_a_constraint_on_a_time_and_past_searches():
    first = logistic(n_trials=3).fit(*IRIS)
    options = {"past": [first.study_], "constraints": [lu.Constraint("fit_time", 60.0)], "first": [{"C": 2.5}]}
    search = logistic(n_trials=4, study_options=options).fit(*IRIS)
    assert search.cv_results_["params"][1] == {"C": 2.5}
    assert first.best_params_ in search.cv_results_["params"][:3]


def test_fits_that_fail():
    class Picky(LogisticRegression):
        def fit(self, X, y, sample_weight=None):
            if self.C > 1:
                raise ValueError("too large")
            return super().fit(X, y, sample_weight)

    def search(**options):
        return LuthierSearchCV(
            Picky(max_iter=300),
            {"C": lu.Choice(0.1, 10.0, default=0.1)},
            n_trials=2,
            cv=2,
            searcher="random",
            random_state=0,
            **options,
        )

    with pytest.warns(FitFailedWarning, match="1 of 2 trials failed, and have NaN as score. Trial 1: ValueError: too"):
        found = search().fit(*IRIS)
    assert np.isnan(found.cv_results_["mean_test_score"][1])
    assert found.best_params_ == {"C": 0.1}
    assert list(found.cv_results_["rank_test_score"]) == [1, 2]
    with pytest.warns(FitFailedWarning, match="2 fits failed, and count with error_score=-1"):
        found = search(error_score=-1).fit(*IRIS)
    assert found.cv_results_["mean_test_score"][1] == -1
    with pytest.raises(ValueError, match="too large"):
        search(error_score="raise").fit(*IRIS)
    hopeless = LuthierSearchCV(Picky(), {"C": lu.Choice(2.0, 3.0)}, searcher="random", cv=2)
    with pytest.warns(FitFailedWarning), pytest.raises(ValueError, match="All the 2 trials failed"):
        hopeless.fit(*IRIS)


def test_time_is_up_and_lines_are_told(capsys):
    logistic(n_trials=2, verbose=1).fit(*IRIS)
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "Trial 0 (completed)",
        "Trial 1 (completed)",
    ]
    search = logistic(n_trials=10_000, timeout=0.3, cv=2).fit(*IRIS)
    assert 0 < search.n_trials_ < 10_000
    assert search.result_.reason == "time is up"


def test_regression_without_y_and_several_fits_at_once_in_threads():
    from joblib import parallel_config
    from sklearn.neighbors import KernelDensity

    X, y = load_diabetes(return_X_y=True)
    with parallel_config("threading"):
        search = LuthierSearchCV(
            Ridge(), {"alpha": lu.Float(1e-3, 1e3, log=True)}, n_trials=6, searcher="random", random_state=0, n_jobs=3
        ).fit(X, y)
    alone = LuthierSearchCV(**{**search.get_params(deep=False), "n_jobs": None}).fit(X, y)
    assert list(alone.cv_results_["mean_test_score"]) == list(search.cv_results_["mean_test_score"])
    density = LuthierSearchCV(
        KernelDensity(), {"bandwidth": lu.Float(0.01, 1)}, n_trials=3, searcher="random", random_state=0
    ).fit(X)
    assert density.best_params_["bandwidth"] > 0


@pytest.mark.slow
def test_several_fits_at_once_in_processes():
    class Here(LogisticRegression):
        """Defined where no process can import it: as in a notebook."""

    def search(**options):
        return LuthierSearchCV(
            Here(max_iter=300), SPACE, n_trials=6, cv=4, searcher="random", random_state=0, **options
        )

    alone = search().fit(*IRIS)
    several = search(n_jobs=2).fit(*IRIS)
    assert list(alone.cv_results_["mean_test_score"]) == list(several.cv_results_["mean_test_score"])
    race = search(n_jobs=2, scheduler="race").fit(*IRIS)
    assert race.n_trials_ == 6
    with pytest.raises(ValueError, match="All the"):
        LuthierSearchCV(LogisticRegression(), {"C": lu.Choice(-1.0, -2.0)}, n_jobs=2, searcher="random").fit(*IRIS)


@pytest.mark.slow
def test_a_worker_process_that_dies_is_nobodys_fault(tmp_path):
    import os
    import signal

    class Dies(LogisticRegression):
        flag = str(tmp_path / "died")

        def fit(self, X, y, sample_weight=None):
            if not os.path.exists(self.flag):
                open(self.flag, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().fit(X, y, sample_weight)

    search = LuthierSearchCV(
        Dies(max_iter=300), SPACE, n_trials=3, cv=2, n_jobs=2, searcher="random", random_state=0, refit=False
    ).fit(*IRIS)
    assert search.n_trials_ == 3
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    assert max(trial.runs for trial in search.study_.trials) == 2
