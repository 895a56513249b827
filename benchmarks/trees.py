"""Which tree library should cqr use? Search quality first, then latency and installed size.

    LUTHIER_DATA=... python benchmarks/trees.py [--check] [--folder DIR]

Every backend replaces the model of cqr and nothing else: same candidates, rank-based values, levels and correction.
Backends without out-of-bag predictions are corrected by five folds; to spare them five fits, a point's fold is its
number modulo five, and at each result the whole model and one of the fold models, in turn, are fitted again.
The choice is made on `CHOICE`; `--check` repeats it on tasks of the acceptance run, which had no say in it.
The two boosting classes of scikit-learn have their latency alone: their fits take several times the limit of 150 ms
for ask + tell at 100 trials, whatever their quality.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import math
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import _tasks  # noqa: E402
import numpy as np  # noqa: E402

import luthier as lu  # noqa: E402
from luthier.base.records import Objective, Observation  # noqa: E402
from luthier.base.seeds import generator  # noqa: E402
from luthier.models.conformal import correct, corrections  # noqa: E402
from luthier.models.quantile import _quantiles, normal_scores, symmetric_levels  # noqa: E402
from luthier.searchers._latest import EVERY  # noqa: E402
from luthier.searchers.cqr import Cqr  # noqa: E402
from luthier.space.problem import Problem  # noqa: E402

CHOICE = (
    "hpobench_mlp/kc1",
    "hpobench_mlp/phoneme",
    "lcbench/34539",
    "lcbench/146212",
    "lcbench/167168",
    "lcbench/189354",
)
CHECK = ("fcnet/protein_structure", "nasbench201/cifar10", "lcbench/3945")
SEEDS, EVALUATIONS = range(200, 204), 50
LEVELS = symmetric_levels(5)
FOLDS = 5
DRAWS = 10_000  # of the bootstrap
Predict = Callable[[np.ndarray], np.ndarray]


class Fixed:
    """A model made of a prediction function and a correction."""

    def __init__(self, predict: Predict, widenings: np.ndarray) -> None:
        self._predict, self._widenings = predict, widenings
        self.coverage = self.raw_coverage = np.array([np.nan])

    def predict(self, X: np.ndarray) -> np.ndarray:
        return correct(np.sort(self._predict(X), axis=1), self._widenings)


class Backend(Cqr):
    """cqr with another model; the subclass fits it."""

    def _fit(self, snapshot: Any) -> Any:
        if len(snapshot.records) < self._initial:
            return None
        merit = snapshot.merit()
        if merit.min() == merit.max():
            return None
        seed = int(generator(self.seed, "model", snapshot.number).integers(2**31))
        return self.model(self._features(self._latest.rows()), normal_scores(merit), seed)

    def model(self, X: np.ndarray, y: np.ndarray, seed: int) -> Fixed:
        raise TypeError("a backend writes this")


class Boosted(Backend):
    """Boosted trees: at each result the model is fitted again, and one of the five fold models, in turn."""

    regressor: Callable[[np.ndarray, np.ndarray, int, int], Predict]

    def model(self, X: np.ndarray, y: np.ndarray, seed: int) -> Fixed:
        trees = int(np.clip(2 * len(y), 20, 100))  # against interpolation of few points
        predict = type(self).regressor(X, y, seed, trees)
        if len(y) < 10:
            return Fixed(predict, np.zeros(2))
        cache = self.__dict__.setdefault("_folds", {})
        fold = np.arange(len(y)) % FOLDS
        apart = np.empty((len(y), len(LEVELS)))
        for number in range(FOLDS):
            if number not in cache or number == (len(y) - 1) % FOLDS:
                cache[number] = type(self).regressor(X[fold != number], y[fold != number], seed, trees)
            apart[fold == number] = np.sort(cache[number](X[fold == number]), axis=1)
        return Fixed(predict, corrections(LEVELS, apart, y))


def _lightgbm(X: np.ndarray, y: np.ndarray, seed: int, trees: int) -> Predict:
    import lightgbm

    settings = {
        "objective": "quantile", "learning_rate": 0.1, "max_depth": 3, "num_leaves": 8, "num_threads": 1, "verbose": -1,
        "min_data_in_leaf": max(1, min(5, len(y) // 8)), "min_data_in_bin": 1, "seed": seed, "deterministic": True,
    }  # fmt: skip
    models = [lightgbm.train({**settings, "alpha": a}, lightgbm.Dataset(X, y), trees) for a in LEVELS]
    return lambda new: np.column_stack([model.predict(new, num_threads=1) for model in models])


def _xgboost(X: np.ndarray, y: np.ndarray, seed: int, trees: int) -> Predict:
    import xgboost

    settings = {
        "objective": "reg:quantileerror", "quantile_alpha": LEVELS, "max_depth": 3, "eta": 0.1, "tree_method": "hist",
        "nthread": 1, "seed": seed,
    }  # fmt: skip
    model = xgboost.train(settings, xgboost.QuantileDMatrix(X, y, nthread=1), trees)
    return lambda new: model.inplace_predict(new)


def _hist(X: np.ndarray, y: np.ndarray, seed: int, trees: int) -> Predict:
    from sklearn.ensemble import HistGradientBoostingRegressor

    least = max(1, min(5, len(y) // 8))
    models = [
        HistGradientBoostingRegressor(
            loss="quantile", quantile=a, max_iter=trees, max_depth=3, min_samples_leaf=least, random_state=seed
        ).fit(X, y)
        for a in LEVELS
    ]
    return lambda new: np.column_stack([model.predict(new) for model in models])


def _gradient(X: np.ndarray, y: np.ndarray, seed: int, trees: int) -> Predict:
    from sklearn.ensemble import GradientBoostingRegressor

    models = [
        GradientBoostingRegressor(loss="quantile", alpha=a, n_estimators=trees, random_state=seed).fit(X, y)
        for a in LEVELS
    ]
    return lambda new: np.column_stack([model.predict(new) for model in models])


class Lightgbm(Boosted):
    """LightGBM, one model a level."""

    regressor = staticmethod(_lightgbm)


class Xgboost(Boosted):
    """XGBoost, one model for all levels."""

    regressor = staticmethod(_xgboost)


class Hist(Boosted):
    """scikit-learn HistGradientBoostingRegressor, one model a level."""

    regressor = staticmethod(_hist)


class Gradient(Boosted):
    """scikit-learn GradientBoostingRegressor, one model a level: the published choice."""

    regressor = staticmethod(_gradient)


class SklearnTrees(Backend):
    """Extremely randomised trees of scikit-learn on bootstrap samples, quantiles over trees, out-of-bag correction."""

    def model(self, X: np.ndarray, y: np.ndarray, seed: int) -> Fixed:
        from sklearn.tree import ExtraTreeRegressor

        rng, n = np.random.default_rng(seed), len(y)
        single = X.astype(np.float32)
        trees, apart = [], np.full((64, n), np.nan)
        for number in range(64):
            weight = np.bincount(rng.integers(n, size=n), minlength=n).astype(float)
            tree = ExtraTreeRegressor(max_features=1.0, random_state=int(rng.integers(2**31)))
            trees.append(tree.fit(single, y, sample_weight=weight, check_input=False))
            out = weight == 0
            if out.any():
                apart[number, out] = tree.predict(single[out], check_input=False)
        enough = np.count_nonzero(~np.isnan(apart), axis=0) >= 5
        shift = np.zeros(2)
        if n >= 10 and enough.any():
            shift = corrections(LEVELS, np.nanquantile(apart[:, enough], LEVELS, axis=0).T, y[enough])

        def predict(new: np.ndarray) -> np.ndarray:
            rows = new.astype(np.float32)
            return _quantiles(np.array([tree.predict(rows, check_input=False) for tree in trees]), LEVELS)

        return Fixed(predict, shift)


class QuantileForest(Backend):
    """quantile-forest's ExtraTreesQuantileRegressor, out-of-bag correction."""

    def model(self, X: np.ndarray, y: np.ndarray, seed: int) -> Fixed:
        from quantile_forest import ExtraTreesQuantileRegressor

        forest = ExtraTreesQuantileRegressor(n_estimators=64, bootstrap=True, random_state=seed, n_jobs=1).fit(X, y)
        levels, shift = LEVELS.tolist(), np.zeros(2)
        if len(y) >= 10:
            apart = forest.predict(X, quantiles=levels, oob_score=True)
            known = np.isfinite(apart).all(axis=1)
            shift = corrections(LEVELS, apart[known], y[known])
        return Fixed(lambda new: forest.predict(new, quantiles=levels), shift)


# name -> (searcher class, the package that it would add to the core; None: nothing)
BACKENDS: dict[str, tuple[type[Cqr], str | None]] = {
    "own forest": (Cqr, None),
    "scikit-learn trees": (SklearnTrees, None),
    "quantile-forest": (QuantileForest, "quantile-forest"),
    "lightgbm": (Lightgbm, "lightgbm"),
    "xgboost": (Xgboost, "xgboost-cpu"),
    "scikit-learn HistGradientBoosting": (Hist, None),
    "scikit-learn GradientBoosting": (Gradient, None),
}


def latency(cls: type[Cqr], trials: int, repeats: int = 7) -> float:
    """Milliseconds of tell + fit + ask on the mixed space of eight dimensions, after `trials` results; best of some."""
    domains: dict[str, Any] = {f"f{i}": lu.Float(1e-5, 1e-1, log=True) for i in range(4)}
    domains |= {f"i{i}": lu.Int(1, 64) for i in range(2)} | {f"c{i}": lu.Choice(*"abcde") for i in range(2)}
    space = lu.Space(domains)
    searcher = cls(Problem(space, (Objective("loss"),)), seed=0)
    rng = generator(0, "bench")
    every = math.ceil(1.05 * trials / EVERY)  # results that make a new fit, a few trials later

    def observe(number: int, config: Any) -> Observation:
        value = sum((np.log10(config[f"f{i}"]) + 3) ** 2 for i in range(4)) + config["i0"] / 20
        return Observation(number, config, None, (float(value + "abcde".index(config["c0"]) + rng.normal()),))

    searcher.tell([observe(k, config) for k, config in enumerate(space.sample(trials, rng))])
    searcher.ask(k=trials)
    times = []
    for k in range(trials, trials + every * repeats, every):
        told = [observe(k + i, config) for i, config in enumerate(space.sample(every, rng))]
        begin = time.perf_counter()
        searcher.tell(told)
        searcher.ask(k=k)
        times.append(time.perf_counter() - begin)
    return 1000 * min(times)


def size_mb(package: str | None) -> float:
    """Megabytes that a package takes when installed."""
    if package is None:
        return 0.0
    files = importlib.metadata.files(package) or []
    return sum(Path(file.locate()).stat().st_size for file in files if Path(file.locate()).exists()) / 1e6


def quality(folder: Path, name: str, task: str) -> np.ndarray:
    """Normalised regret; (seeds, evaluations)."""
    path = folder / f"{task.replace('/', '-')}-{name.replace(' ', '-')}.json"
    if not path.exists():
        loaded = _tasks.load(task)
        found = [_tasks.search(loaded, BACKENDS[name][0], seed, EVALUATIONS) for seed in SEEDS]
        path.write_text(json.dumps(found))
    return np.array(json.loads(path.read_text()))


def missing(cls: type[Cqr]) -> bool:
    """Whether a backend's package is not installed."""
    modules = {QuantileForest: "quantile_forest", Lightgbm: "lightgbm", Xgboost: "xgboost"}
    return cls in modules and importlib.util.find_spec(modules[cls]) is None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="also run on tasks of the acceptance run")
    parser.add_argument("--folder", type=Path, default=Path("build/trees"), help="where finished cells are kept")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    groups = {"choice": CHOICE} | ({"check": CHECK} if given.check else {})
    rows, data, ours = [], [], {}
    for name, (cls, package) in BACKENDS.items():
        if missing(cls):
            continue
        times = {n: latency(cls, n) for n in (50, 100, 200, 1000)}
        row: dict[str, Any] = {"backend": name}
        one: dict[str, Any] = {"backend": name, "latency_ms": times, "added_mb": size_mb(package), "quality": {}}
        for group, tasks in groups.items():
            if cls in (Hist, Gradient):
                row |= {f"{group}, 25": "not run", f"{group}, 50": "not run"}
                continue
            regret = np.array([quality(given.folder, name, task) for task in tasks])  # (tasks, seeds, evaluations)
            ours.setdefault(group, regret)  # the own forest comes first
            one["quality"][group] = judged = judge(regret, ours[group], tasks)
            row |= {f"{group}, {at}": f"{judged[str(at)]['mean']:.3f}" for at in (25, 50)}
            low, high = judged["50"]["interval_95"]
            row[f"{group}, 50, less own"] = f"{judged['50']['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"
        row |= {f"ms at {n}": f"{value:.0f}" for n, value in times.items()} | {"added MB": f"{one['added_mb']:.1f}"}
        print(row, flush=True)
        rows.append(row)
        data.append(one)
    report(rows, data, groups)


def judge(regret: np.ndarray, ours: np.ndarray, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Medians, and the mean paired difference to the own forest with its interval, after 25 and 50 evaluations."""
    found: dict[str, Any] = {}
    for at in (25, 50):
        medians = np.median(regret[:, :, at - 1], axis=1)
        difference = regret[:, :, at - 1] - ours[:, :, at - 1]
        rng = generator(0, "report")
        some_tasks = rng.integers(len(tasks), size=(DRAWS, len(tasks), 1))
        some_seeds = rng.integers(len(SEEDS), size=(DRAWS, len(tasks), len(SEEDS)))
        means = difference[some_tasks, some_seeds].mean(axis=(1, 2))
        found[str(at)] = {
            "median_regret": dict(zip(tasks, medians.tolist(), strict=True)),
            "mean": float(medians.mean()),
            "difference": float(difference.mean()),
            "interval_95": np.quantile(means, [0.025, 0.975]).tolist(),
        }
    return found


def report(rows: list[dict[str, Any]], data: list[dict[str, Any]], groups: dict[str, tuple[str, ...]]) -> None:
    """Write docs/results/trees.*."""
    about = _machine.machine(("luthier", "numpy", "scikit-learn", "lightgbm", "xgboost-cpu", "quantile-forest"))
    tasks = " ".join(f"{group}: {', '.join(names)}." for group, names in groups.items())
    text = "\n\n".join([
        "Columns of quality: mean over tasks of the median normalised regret after 25 and 50 evaluations, 0 the best "
        f"of the table, 1 a median random configuration; seeds {SEEDS.start} to {SEEDS.stop - 1}. {tasks} "
        "\"less own\": mean paired difference to the own forest, 95 % interval (tasks drawn again, then seeds). The "
        "own forest was developed on the tasks of the choice, the others run as they come: that favours it.",
        _machine.table(rows),
        "Milliseconds are the best of seven of tell + fit + ask with one thread, on a machine with other work, on a "
        "space of four logarithmic floats, two integers and two categoricals of five. Boosted backends fit two models "
        "a result: the whole one, and one of the five fold models in turn. Added megabytes are those of the "
        "package itself, as installed; scikit-learn is there anyway. \"not run\": far slower than the limit, 150 ms "
        "at 100 trials.",
        f"`python benchmarks/trees.py{' --check' if len(groups) > 1 else ''}`, {date.today()}. "
        + ", ".join(f"{name} {value}" for name, value in about.items()) + ".",
    ])  # fmt: skip
    print(text)
    _machine.write("trees", "Tree libraries for cqr", text, {"machine": about, "seeds": list(SEEDS), "results": data})


if __name__ == "__main__":
    main()
