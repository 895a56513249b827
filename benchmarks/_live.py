"""Small live trainings with scikit-learn, as tasks: mixed and conditional spaces, a few milliseconds an evaluation.

A search sees the mean loss over three folds, split by the run's seed; it is scored by the mean over three fixed
splits. Best and reference values come from a fixed pool (`python benchmarks/_live.py` writes live_pool.json), so that
no study changes them.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import luthier as lu
from luthier.base.records import Configuration
from luthier.base.seeds import generator

FILE = Path(__file__).with_name("live_pool.json")
SPLITS = (1001, 1002, 1003)  # of the score; a search's own split is its seed, which is smaller
FOLDS = 3
POOL, ROUNDS, KEPT, WIDTH = 2000, 8, 10, 6
WORST = 1e3  # a training that raises or gives no number


class Live:
    """A training as a task.

    Args:
        name: Its key in live_pool.json.
        space: Where to search.
        data: X and y.
        make: From the configuration to an estimator.
        loss: From the estimator, fitted, and the held-out part to the loss.
    """

    def __init__(
        self,
        name: str,
        space: lu.Space,
        data: tuple[np.ndarray, np.ndarray],
        make: Callable[[Mapping[str, Any]], Any],
        loss: Callable[[Any, np.ndarray, np.ndarray], float],
    ) -> None:
        self.space, self._data, self._make, self._loss = space, data, make, loss
        self._scores: dict[Configuration, float] = {}
        known = json.loads(FILE.read_text()).get(name, {}) if FILE.exists() else {}
        self.best, self.reference = known.get("best", np.nan), known.get("reference", np.nan)  # nan: while it is made

    def seen(self, config: Configuration, seed: int, again: int = 0) -> float:
        """What a search with this seed is told."""
        return self._mean(config, seed)

    def score(self, config: Configuration) -> float:
        """The mean over the fixed splits."""
        if config not in self._scores:
            self._scores[config] = float(np.mean([self._mean(config, split) for split in SPLITS]))
        return self._scores[config]

    def _mean(self, config: Configuration, split: int) -> float:
        X, y = self._data
        order = np.random.default_rng(split).permutation(len(X))
        found = []
        for part in np.array_split(order, FOLDS):
            rest = np.setdiff1d(order, part)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # a fit that did not converge is a result like any other
                    found.append(self._loss(self._make(config).fit(X[rest], y[rest]), X[part], y[part]))
            except (ValueError, np.linalg.LinAlgError):
                found.append(WORST)
        mean = float(np.mean(found))
        return mean if np.isfinite(mean) else WORST


def svc_cancer() -> Live:
    """A support-vector classifier on breast cancer: kernel and what belongs to it."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler
    from sklearn.svm import SVC

    curved = ["rbf", "poly", "sigmoid"]
    space = lu.Space(
        scale=lu.Choice("standard", "minmax"),
        kernel=lu.Choice("linear", *curved),
        C=lu.Float(1e-3, 1e3, log=True),
        gamma=lu.Float(1e-5, 1e1, log=True, when=("kernel", "in", curved)),
        coef0=lu.Float(-1.0, 1.0, when=("kernel", "in", ["poly", "sigmoid"])),
        degree=lu.Int(2, 5, when=("kernel", "poly")),
        weight=lu.Choice("none", "balanced"),
    )

    def make(c: Mapping[str, Any]) -> Any:
        own = {name: c[name] for name in ("kernel", "C", "gamma", "coef0", "degree") if name in c}
        weight = None if c["weight"] == "none" else "balanced"
        scaler = StandardScaler() if c["scale"] == "standard" else MinMaxScaler()
        return make_pipeline(scaler, SVC(**own, class_weight=weight, max_iter=3000))

    def loss(model: Any, X: np.ndarray, y: np.ndarray) -> float:
        right = model.predict(X) == y
        return 1.0 - float(np.mean([right[y == label].mean() for label in np.unique(y)]))

    return Live("svc_cancer", space, load_breast_cancer(return_X_y=True), make, loss)


def ridge_diabetes() -> Live:
    """A linear or a kernel model on diabetes: kind, kernel and what belongs to them."""
    from sklearn.datasets import load_diabetes
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.linear_model import ElasticNet
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer, StandardScaler

    space = lu.Space(
        scale=lu.Choice("standard", "quantile"),
        model=lu.Choice("elastic", "kernel"),
        alpha=lu.Float(1e-4, 1e2, log=True),
        mix=lu.Float(0.0, 1.0, when=("model", "elastic")),
        kernel=lu.Choice("rbf", "laplacian", "poly", when=("model", "kernel")),
        gamma=lu.Float(1e-5, 1e1, log=True, when=("model", "kernel")),
        degree=lu.Int(1, 4, when=("kernel", "poly")),
    )
    X, y = load_diabetes(return_X_y=True)

    def make(c: Mapping[str, Any]) -> Any:
        scaler = QuantileTransformer(n_quantiles=50) if c["scale"] == "quantile" else StandardScaler()
        if c["model"] == "elastic":
            return make_pipeline(scaler, ElasticNet(alpha=c["alpha"], l1_ratio=c["mix"], max_iter=500))
        own = {name: c[name] for name in ("alpha", "kernel", "gamma", "degree") if name in c}
        return make_pipeline(scaler, KernelRidge(**own))

    def loss(model: Any, X: np.ndarray, y: np.ndarray) -> float:
        return float(np.sqrt(np.mean((model.predict(X) - y) ** 2)))

    return Live("ridge_diabetes", space, (X, (y - y.mean()) / y.std()), make, loss)


def knn_digits() -> Live:
    """Components, then neighbours, on 500 digits."""
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    space = lu.Space(
        scale=lu.Choice("none", "standard"),
        reduce=lu.Choice("none", "pca", "white"),
        components=lu.Int(2, 60, log=True, when=("reduce", "in", ["pca", "white"])),
        neighbours=lu.Int(1, 40, log=True),
        weights=lu.Choice("uniform", "distance"),
        metric=lu.Choice("euclidean", "cosine", "minkowski"),
        p=lu.Float(1.0, 4.0, when=("metric", "minkowski")),
    )
    X, y = load_digits(return_X_y=True)

    def make(c: Mapping[str, Any]) -> Any:
        steps: list[Any] = [StandardScaler()] if c["scale"] == "standard" else []
        if c["reduce"] != "none":
            steps.append(PCA(c["components"], whiten=c["reduce"] == "white", svd_solver="covariance_eigh"))
        own = {"p": c["p"]} if "p" in c else {}
        return make_pipeline(
            *steps,
            KNeighborsClassifier(c["neighbours"], weights=c["weights"], metric=c["metric"], algorithm="brute", **own),
        )

    def loss(model: Any, X: np.ndarray, y: np.ndarray) -> float:
        """Brier score over the classes: finer than counting errors."""
        chances = model.predict_proba(X)
        truth = (y[:, None] == model[-1].classes_).astype(float)
        return float(((chances - truth) ** 2).sum(axis=1).mean())

    return Live("knn_digits", space, (X[:500], y[:500]), make, loss)


LIVE: dict[str, Callable[[], Live]] = {one.__name__: one for one in (svc_cancer, ridge_diabetes, knn_digits)}


def pool(task: Live) -> dict[str, float]:
    """Best and median of a fixed pool: random configurations, then a local search from the best of them."""
    rng = generator(0, "bench")
    begin = time.perf_counter()
    rows = task.space.sample_unit(POOL, rng)
    found = np.array([task.score(config) for config in task.space.decode(rows)])
    seconds = (time.perf_counter() - begin) / (POOL * len(SPLITS))
    reference = float(np.median(found))
    for step in np.geomspace(0.2, 0.01, ROUNDS):
        keep = np.argsort(found)[:KEPT]
        rows, found = rows[keep], found[keep]
        near = task.space.perturb(np.repeat(rows, WIDTH, axis=0), rng, step=float(step))
        rows = np.concatenate([rows, near])
        found = np.concatenate([found, [task.score(config) for config in task.space.decode(near)]])
    return {"best": float(found.min()), "reference": reference, "milliseconds": round(1000 * seconds, 1)}


if __name__ == "__main__":
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    for key, build in LIVE.items():
        if key not in known:
            known[key] = pool(build())
            print(key, known[key], flush=True)
            FILE.write_text(json.dumps(known, indent=1) + "\n")
