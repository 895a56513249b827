"""Tuning problems with data held back: scikit-learn's bundled data at several sizes, and tables of recorded trainings.

A live cell is a data set, a number of rows that the tuner has, and a learner; all other rows are for testing. A trial
is measured on a hold-out split (a third of the rows) or by five folds, each decided by `run.split_seed`. A table cell
is a task of FCNet or of HPOBench's MLPs: some of its recorded seeds stand for splits, the others test.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from sklearn import datasets, ensemble, linear_model, preprocessing, svm

import luthier as lu
from luthier import bench

SIZES = {"iris": (45,), "wine": (50, 90), "breast_cancer": (100, 250), "diabetes": (100, 250), "digits": (200, 500)}
LEARNERS = ("svm", "forest", "sgd")
TABLES = {
    "hpobench_mlp": ("car", "phoneme", "vehicle", "australian", "kc1", "segment", "blood_transfusion", "credit_g"),
    "fcnet": ("protein_structure", "naval_propulsion", "parkinsons_telemonitoring", "slice_localization"),
}
#: The values nearest to the defaults of scikit-learn's MLPClassifier and MLPRegressor, no dropout, no schedule.
TABLE_DEFAULTS: dict[str, dict[str, Any]] = {
    "hpobench_mlp": {
        "alpha": 0.00027825593, "batch_size": 161, "depth": 1, "learning_rate_init": 0.0016681006, "width": 101
    },
    "fcnet": {
        "activation_fn_1": "relu", "activation_fn_2": "relu", "batch_size": 64, "dropout_1": 0.0, "dropout_2": 0.0,
        "init_lr": 0.001, "lr_schedule": "const", "n_units_1": 128, "n_units_2": 128,
    },
}  # fmt: skip
TREES = 10  # of a forest: what a hundred would cost is spent on seeds
WORST = 10.0  # a fit that raises or gives no number


def spaces(learner: str, regression: bool) -> lu.Space:
    """Hyperparameters with scikit-learn's defaults."""
    if learner == "svm":
        own: dict[str, Any] = {
            "C": lu.Float(1e-3, 1e3, log=True, default=1.0),
            "gamma": lu.Float(1e-3, 1e2, log=True, default=1.0),  # in units of 1/features, which "scale" amounts to
        }
        extra = {"epsilon": lu.Float(1e-3, 1.0, log=True, default=0.1)}
        return lu.Space({**own, **(extra if regression else {"balanced": lu.Choice(False, True, default=False)})})
    if learner == "forest":
        return lu.Space(
            max_features=lu.Float(0.05, 1.0, default=1.0 if regression else 0.3),
            min_samples_leaf=lu.Int(1, 20, log=True, default=1),
            min_samples_split=lu.Int(2, 20, log=True, default=2),
            max_depth=lu.Int(1, 20, log=True, default=20),
            bootstrap=lu.Choice(True, False, default=True),
        )
    return lu.Space(
        alpha=lu.Float(1e-6, 1.0, log=True, default=1e-4),
        penalty=lu.Choice("l2", "elasticnet", default="l2"),
        l1_ratio=lu.Float(0.0, 1.0, default=0.15, when=("penalty", "elasticnet")),
        eta0=lu.Float(1e-4, 1.0, log=True, default=0.01),
        average=lu.Choice(False, True, default=False),
    )


def estimator(learner: str, regression: bool, config: Mapping[str, Any], features: int, seed: int) -> Any:
    """What is fitted."""
    if learner == "svm":
        shared = {"C": config["C"], "gamma": config["gamma"] / features}
        if regression:
            return svm.SVR(**shared, epsilon=config["epsilon"])
        return svm.SVC(**shared, class_weight="balanced" if config["balanced"] else None)
    if learner == "forest":
        kind = ensemble.RandomForestRegressor if regression else ensemble.RandomForestClassifier
        return kind(TREES, **config, random_state=seed)
    shared = {**config, "max_iter": 30, "random_state": seed, "l1_ratio": config.get("l1_ratio", 0.15)}
    if regression:
        return linear_model.SGDRegressor(**shared, learning_rate="invscaling")
    return linear_model.SGDClassifier(**shared, loss="log_loss", learning_rate="adaptive")


@cache
def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """X and y; the target of a regression with mean 0 and variance 1."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return (X, (y - y.mean()) / y.std()) if name == "diabetes" else (X, y)


class Live:
    """A learner on a data set.

    Args:
        name: "wine/50/svm".
        seed: Of the run: decides which rows are held back.
    """

    def __init__(self, name: str, seed: int) -> None:
        where, rows, self.learner = name.split("/")
        X, y = data(where)
        order = np.random.default_rng([seed, 7]).permutation(len(X))
        self.X, self.y, self.rows = X[order], y[order], int(rows)
        self.regression = where == "diabetes"
        self.space = spaces(self.learner, self.regression)
        self.fits = 0

    def loss(self, config: Mapping[str, Any], train: np.ndarray, test: np.ndarray, seed: int) -> float:
        """Share of errors, or mean squared error in units of the target's variance."""
        self.fits += 1
        scaler = preprocessing.StandardScaler().fit(self.X[train])
        model = estimator(self.learner, self.regression, config, self.X.shape[1], seed)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a fit that did not converge is a result like any other
                said = model.fit(scaler.transform(self.X[train]), self.y[train]).predict(scaler.transform(self.X[test]))
        except ValueError:
            return WORST
        true = self.y[test]
        found = float(np.mean((said - true) ** 2) if self.regression else np.mean(said != true))
        return min(found, WORST) if np.isfinite(found) else WORST

    def split(self, run: lu.Run) -> float:
        """Loss on a third of the rows."""
        order = np.random.default_rng([run.split_seed, 1]).permutation(self.rows)
        held = round(self.rows / 3)
        return self.loss(run.config, order[held:], order[:held], run.seed)

    def fold(self, run: lu.Run, number: int, folds: int) -> float:
        """Loss on one of several folds."""
        order = np.random.default_rng([run.split_seed, 2]).permutation(self.rows)
        part = np.array_split(order, folds)[number]
        return self.loss(run.config, np.setdiff1d(order, part), part, run.seed)

    def test(self, config: Mapping[str, Any]) -> float:
        """Loss on all rows held back, after a fit on all others; mean of three seeds where the learner draws."""
        seeds = (0,) if self.learner == "svm" else (0, 1, 2)
        rows = np.arange(self.rows), np.arange(self.rows, len(self.X))
        before = self.fits
        found = float(np.mean([self.loss(config, *rows, seed) for seed in seeds]))
        self.fits = before
        return found


class Table:
    """A task of recorded trainings.

    Args:
        name: "hpobench_mlp/car".
        seed: Of the run: decides which of the recorded seeds test. Two do; the others stand for splits.
    """

    def __init__(self, name: str, seed: int) -> None:
        family = name.partition("/")[0]
        self.benchmark = _benchmark(name)
        defaults = TABLE_DEFAULTS[family]
        self.space = lu.Space(
            {key: type(domain)(*domain.values, default=defaults[key])
             for key, domain in self.benchmark.space.domains.items()}
        )  # fmt: skip
        count = int(self.benchmark.card.noise.split()[0])
        order = np.random.default_rng([seed, 7]).permutation(count).tolist()
        self.tests, self.seeds = order[:2], order[2:]
        self.objective = self.benchmark.objectives[0]
        self.fits = 0

    def _value(self, config: Mapping[str, Any], seed: int) -> float:
        value = self.benchmark.evaluate(config, seed=seed).metrics[self.objective.name]
        value = 1.0 - value if self.objective.goal == "max" else value
        return min(value, 1e3)  # diverged trainings go up to 1e8

    def split(self, run: lu.Run) -> float:
        """Loss with one of the recorded seeds that may be seen."""
        self.fits += 1
        return self._value(run.config, self.seeds[run.split_seed % len(self.seeds)])

    def test(self, config: Mapping[str, Any]) -> float:
        """Mean loss with the recorded seeds that test."""
        return float(np.mean([self._value(config, seed) for seed in self.tests]))


@cache
def _benchmark(name: str) -> Any:
    return bench.load(name)


def names() -> tuple[list[str], list[str]]:
    """Live cells, and cells of tables."""
    live = [f"{where}/{rows}/{learner}" for where, sizes in SIZES.items() for rows in sizes for learner in LEARNERS]
    return live, [f"{family}/{task}" for family, tasks in TABLES.items() for task in tasks]


def make(name: str, seed: int) -> Live | Table:
    """A cell with what a run's seed decides."""
    return Table(name, seed) if name.partition("/")[0] in TABLES else Live(name, seed)
