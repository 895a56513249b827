"""The five families that train classifiers: spaces, fidelities, data, scores, and HPOBench's defects as regressions."""

from __future__ import annotations

import builtins
import csv
import inspect
import itertools
import sys

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError, BenchmarkError, ChecksumError, DataMissing, MissingExtra
from luthier.base.records import Fidelity, Objective, Status
from luthier.bench import _sets
from luthier.bench.families import _ml_fit, logreg, mlp, rf, svm, xgb
from luthier.bench.families._ml import MEASURED, PARTS
from luthier.testing.benchmark import check_benchmark

FAMILIES = {"svm": svm.Svm, "logreg": logreg.Logreg, "rf": rf.Rf, "xgb": xgb.Xgb, "mlp": mlp.Mlp}
ITERATIVE = {
    "logreg": ("iter", 10, 1000),
    "rf": ("n_estimators", 16, 512),
    "xgb": ("n_estimators", 50, 2000),
    "mlp": ("iter", 3, 243),
}
QUICK = {
    "mlp": {"depth": 1, "width": 16, "batch_size": 64},
    "xgb": {"max_depth": 2},
    "rf": {"max_depth": 3, "min_samples_split": 2},
}


def here(family):
    if family == "xgb":
        pytest.importorskip("xgboost", reason='xgboost is not installed: pip install "luthier[bench]"')
    return family


def quick(benchmark, **more):
    """A configuration that is soon trained."""
    return {**benchmark.space.default(), **QUICK.get(benchmark.family.label, {}), **more}


@pytest.fixture
def task(tmp_path, monkeypatch):
    """A data set as a user supplies it: 120 rows, no two alike, two classes and a category."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(120, 3))
    y = (X[:, 0] + 0.3 * rng.normal(size=120) > 0).astype(int)
    X[::7, 1] = np.nan
    X[:, 2] = rng.integers(0, 3, 120)
    (tmp_path / "openml").mkdir()
    np.savez(tmp_path / "openml" / "99.npz", X=X, y=y, categorical=[False, False, True])
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    return X, y


# spaces and fidelities ---------------------------------------------------------------------------------------


def ranges(family):
    domains = family().space()
    return {n: (domains[n].low, domains[n].high, domains[n].log, domains[n].default) for n in domains}


def test_the_spaces_are_those_of_the_paper():
    log2 = 2**-10, 2**10, True
    assert ranges(svm.Svm) == {"C": (*log2, 1.0), "gamma": (*log2, 0.1)}
    assert ranges(logreg.Logreg) == {"alpha": (1e-5, 1, True, 1e-3), "eta0": (1e-5, 1, True, 1e-2)}
    assert ranges(rf.Rf) == {
        "max_depth": (1, 50, True, 10),
        "min_samples_split": (2, 128, True, 32),
        "max_features": (0, 1, False, 0.5),
        "min_samples_leaf": (1, 20, False, 1),
    }
    assert ranges(xgb.Xgb) == {
        "eta": (2**-10, 1, True, 0.3),
        "max_depth": (1, 50, True, 10),
        "colsample_bytree": (0.1, 1, False, 1),
        "reg_lambda": (*log2, 1),
    }
    assert ranges(mlp.Mlp) == {
        "depth": (1, 3, False, 3),
        "width": (16, 1024, True, 64),
        "batch_size": (4, 256, True, 32),
        "alpha": (1e-8, 1, True, 1e-3),
        "learning_rate_init": (1e-5, 1, True, 1e-3),
    }


def test_the_fidelities_are_those_of_the_paper():
    assert svm.Svm().fidelity == Fidelity("subsample", 0.1, 1.0)
    for name, axis in ITERATIVE.items():
        assert FAMILIES[name]().fidelity == Fidelity(*axis)
        assert FAMILIES[name](axis="subsample").fidelity == Fidelity("subsample", 0.1, 1.0)
        assert FAMILIES[name](axis="none").fidelity is None
        assert set(ITERATIVE[name][1:]) <= set(FAMILIES[name]().recorded_steps())


def test_the_full_grids_have_the_sizes_of_the_paper():
    from luthier.bench._planned import grid_lists

    sizes = {}
    for name, family in FAMILIES.items():
        space = family().space()
        lists = grid_lists(space, family.points["full"])
        sizes[name] = [len(values) for values in lists.values()]
        small = grid_lists(space, family.points["small"])
        for grid in (lists, small):
            for hyperparameter, values in grid.items():
                for value in values:
                    space.check({**space.default(), hyperparameter: value})
    assert sizes == {
        "svm": [21, 21],
        "logreg": [25, 25],
        "rf": [9, 10, 10, 10],
        "xgb": [10, 9, 10, 10],
        "mlp": [3, 10, 10, 10, 10],
    }
    assert grid_lists(svm.Svm().space(), {"C": 21})["C"] == pytest.approx([2.0**i for i in range(-10, 11)])


@pytest.mark.parametrize(
    ("family", "packages"),
    [
        *((name, {"scikit-learn"}) for name in ("svm", "logreg", "rf", "mlp", "digits", "bnn")),
        ("cartpole", {"numpy"}),
        ("xgb", {"scikit-learn", "xgboost-cpu"}),
    ],
)
def test_the_lock_of_a_family_has_what_it_trains_with(family, packages):
    from luthier.bench.isolation.environment import declared

    lock = declared(family).lock
    assert lock.name == ("xgb" if family == "xgb" else "sklearn")
    assert packages <= set(lock.requirements)


# data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows", "features", "classes"),
    [("digits", 1797, 64, 10), ("breast_cancer", 569, 30, 2), ("wine", 178, 13, 3), ("iris", 150, 4, 3)],
)
def test_the_split(name, rows, features, classes):
    data = _sets.load(name, what="test")
    sizes = [len(part.y) for part in (data.train, data.valid, data.test)]
    assert sum(sizes) == rows
    assert sizes[2] == round(0.1 * rows)
    assert sizes[1] == round(0.33 * (rows - sizes[2]))
    assert data.classes == classes
    whole = np.bincount(np.concatenate([data.train.y, data.valid.y, data.test.y])) / rows
    for part in (data.train, data.valid, data.test):
        assert part.X.shape == (len(part.y), features)
        assert np.abs(np.bincount(part.y) - whole * len(part.y)).max() < 2, "stratified"
    assert data.train.X.mean(axis=0) == pytest.approx(np.zeros(features), abs=1e-5)
    spread = data.train.X.std(axis=0)
    assert spread[spread > 0] == pytest.approx(np.ones((spread > 0).sum()), abs=1e-4)
    assert data.least == max(1 / 512, 10 * classes / sizes[0])


def test_every_beginning_of_a_stratified_order_holds_the_classes_in_proportion():
    labels = np.array([0] * 50 + [1] * 30 + [2] * 18 + [3] * 2)
    order = _sets.stratified(labels, np.random.default_rng(1))
    assert sorted(order) == list(range(100))
    assert sorted(labels[order[:4]]) == [0, 1, 2, 3], "no class is lacking"
    for size in range(4, 101):
        counts = np.bincount(labels[order[:size]], minlength=4)
        assert np.abs(counts - size * np.array([0.5, 0.3, 0.18, 0.02])).max() < 2


def test_preparing_learns_from_the_training_rows_alone():
    nan = np.nan
    X = np.array([[0, 1.0], [1, 3.0], [1, nan], [nan, 5.0], [2, 100.0]])
    train = np.array([0, 1, 2, 3])
    found = _sets.prepared(X, np.array([True, False]), train)
    # the median of 1, 3, 5 fills the gap; the mean is 3 and the deviation sqrt(2); the mode of the categories is 1
    assert found[:, :2].tolist() == [[1, 0], [0, 1], [0, 1], [0, 1], [0, 0]]
    assert found[:, 2] == pytest.approx(np.array([-2, 0, 0, 2, 97]) / np.sqrt(2))
    other = X.copy()
    other[4] = [7, -5.0]
    assert (_sets.prepared(other, np.array([True, False]), train)[train] == found[train]).all()


def test_data_of_the_user_in_three_layouts(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet", reason='pyarrow is not installed: pip install "luthier[bench]"')
    import pyarrow as pa

    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    folder = tmp_path / "openml"
    folder.mkdir()
    rng = np.random.default_rng(0)
    size = rng.normal(size=60).round(3).tolist()
    colour = rng.choice(["red", "green", "blue"], 60).tolist()
    test = [i % 10 == 3 for i in range(60)]
    target = ["yes" if s > 0 else "no" for s in size]
    size[5], colour[6] = None, None
    parquet.write_table(
        pa.table({"size": size, "colour": colour, "test": test, "target": target}), folder / "1.parquet"
    )
    with (folder / "2.csv").open("w", newline="") as file:
        rows = zip(size, colour, test, target, strict=True)
        writer = csv.writer(file)
        writer.writerow(["size", "colour", "test", "target"])
        writer.writerows([["" if s is None else s, "?" if c is None else c, int(t), y] for s, c, t, y in rows])
    codes = [np.nan if c is None else ["blue", "green", "red"].index(c) for c in colour]
    X = np.array([[np.nan if s is None else s for s in size], codes]).T
    np.savez(folder / "3.npz", X=X, y=target, test=test, categorical=[False, True])
    one, two, three = (_sets.load(name, what="test") for name in "123")
    for other in (two, three):
        for part in PARTS:
            assert (getattr(one, part).X == getattr(other, part).X).all()
            assert (getattr(one, part).y == getattr(other, part).y).all()
    assert one.train.X.shape[1] == 4, "three colours and a number"
    assert len(one.test.y) == sum(test)
    assert "svm/2" in bench.names("svm/")
    assert bench.load("svm/2").card.checksum.keys() == {"2.csv"}


def test_data_that_is_not_there_or_not_right(tmp_path, monkeypatch):
    monkeypatch.delenv("LUTHIER_DATA", raising=False)
    with pytest.raises(
        DataMissing, match=r"LUTHIER_DATA is not set\. Set it to a folder that holds one of openml/31\."
    ):
        bench.load("svm/31")
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    with pytest.raises(DataMissing) as caught:
        bench.load("rf/31")
    said = str(caught.value)
    assert said.startswith(
        f"benchmark 'rf/31': the folder of LUTHIER_DATA ({tmp_path}) holds none of openml/31.parquet"
    )
    for word in ("column 'target'", "column 'test'", "OpenML, task 31"):
        assert word in said
    with pytest.raises(ArgumentError, match=r"benchmark family 'svm' has no task 'digit'\. Did you mean 'digits'\?"):
        bench.load("svm/digit")
    (tmp_path / "openml").mkdir()
    (tmp_path / "openml" / "31.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BenchmarkError, match="there is no column 'target' among"):
        bench.load("svm/31")
    (tmp_path / "openml" / "31.csv").write_text("a,target\n" + "1,x\n" * 9 + "2,y\n" * 2)
    with pytest.raises(BenchmarkError, match=r"classes of \[9, 2\] rows\. Needed: two classes or more, of three rows"):
        bench.load("svm/31")
    np.savez(tmp_path / "openml" / "32.npz", X=np.array([[object()]], dtype=object), y=[1])
    with pytest.raises(BenchmarkError, match=r"32\.npz cannot be read"):
        bench.load("svm/32")


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("0.5,x,", r"3\.csv cannot be read .*column 'test' is empty in instance 12, counted from 0"),
        ("0.5,x,maybe", "column 'test' holds 'maybe' in instance 12"),
        ("0.5,x,7", "column 'test' holds 7.0 in instance 12"),
    ],
)
def test_a_mark_for_testing_is_0_or_1(tmp_path, monkeypatch, last, message):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    (tmp_path / "openml").mkdir()
    (tmp_path / "openml" / "3.csv").write_text("a,target,test\n" + "1,x,0\n2,y,1\n" * 6 + last + "\n")
    with pytest.raises(BenchmarkError, match=message):
        bench.load("svm/3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it has 0 lines; it needs one of names"),
        ("target,test\n" + "x,0\ny,1\n" * 6, "there is no input"),
        ("a,target,test\n" + "1,x,1\n2,y,1\n" * 6, "column 'test' marks every row"),
        ("a,target,test\n" + "1,x,0\n2,y,0\n" * 6, "column 'test' marks no row"),
    ],
)
def test_text_that_is_no_task(tmp_path, monkeypatch, text, message):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    (tmp_path / "openml").mkdir()
    (tmp_path / "openml" / "3.csv").write_text(text)
    with pytest.raises(BenchmarkError, match=message):
        bench.load("svm/3")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.arange(60.0), "y": np.arange(60) % 2}, "X has 1 dimensions"),
        (
            {"X": np.ones((60, 2)), "y": np.arange(60) % 2, "test": np.full(60, np.nan)},
            "'test' holds nan in instance 0",
        ),
    ],
)
def test_arrays_that_are_no_task(tmp_path, monkeypatch, arrays, message):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    (tmp_path / "openml").mkdir()
    place = tmp_path / "openml" / "3.npz"
    np.savez(place, **arrays)
    with pytest.raises(BenchmarkError, match=message):
        bench.load("svm/3")
    place.write_bytes(b"PK, and nothing that follows")
    with pytest.raises(BenchmarkError, match=r"3\.npz cannot be read"):
        bench.load("svm/3")


def test_changed_data_of_scikit_learn_is_noticed(monkeypatch):
    _sets._bundled.cache_clear()
    monkeypatch.setitem(_sets.BUNDLED, "iris", "0" * 64)
    with pytest.raises(ChecksumError, match="scikit-learn's iris has SHA-256"):
        bench.load("svm/iris")
    _sets._bundled.cache_clear()


def test_the_tasks_of_the_paper_are_listed():
    for family in FAMILIES:
        names = bench.names(f"{family}/")
        assert names[:4] == [f"{family}/{name}" for name in ("digits", "breast_cancer", "wine", "iris")]
        assert {f"{family}/{task}" for task in _sets.OPENML} <= set(names)
    assert len(_sets.OPENML) == 20


# the contract ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["svm", "logreg", "rf", "xgb", "mlp"])
def test_battery(name, task):
    axis = {} if name == "svm" else {"axis": "subsample", ITERATIVE[name][0]: ITERATIVE[name][1]}
    b = bench.load(f"{here(name)}/99", **axis)
    other = {"svm": {"C": 8.0}, "logreg": {"alpha": 0.1}, "mlp": {"alpha": 0.1}}.get(name, {"max_depth": 1})
    check_benchmark(b, configs=[quick(b), quick(b, **other)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["logreg", "rf", "xgb", "mlp"])
def test_battery_along_the_steps(name, task):
    b = bench.load(f"{here(name)}/99")
    check_benchmark(b, configs=[quick(b)])


def test_objectives_are_chosen_by_name(task):
    b = bench.load("svm/99", objectives="error, size, valid_f1")
    assert b.objectives == (Objective("error"), Objective("size"), Objective("valid_f1", "max"))
    for wrong, message in (
        ("test_accuracy", r"objectives='test_accuracy'\. Did you mean 'train_accuracy'"),
        ("size,size", "each metric at most once"),
    ):
        with pytest.raises(ArgumentError, match=message):
            bench.load("svm/99", objectives=wrong)


def test_the_mean_over_seeds(task):
    b = bench.load("rf/99", axis="none", n_estimators=16, subsample=0.5)
    singles = [b.evaluate(quick(b), seed=seed) for seed in range(3)]
    mean = b.evaluate(quick(b), seed=None)
    assert len({one.metrics["size"] for one in singles}) > 1, "seeds differ"
    for metric in ("error", "size"):
        assert mean.metrics[metric] == pytest.approx(np.mean([one.metrics[metric] for one in singles]))
    assert mean.seconds == pytest.approx(np.mean([one.seconds for one in singles]))


@pytest.mark.parametrize(("name", "blame"), [("logreg", "overflow occurred"), ("mlp", "non-finite weights")])
def test_a_fit_that_blows_up_is_an_answer(name, blame, task, monkeypatch):
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier

    estimator = {"logreg": SGDClassifier, "mlp": MLPClassifier}[name]
    fit, count = estimator.partial_fit, []

    def burst(self, *args, **more):
        count.append(1)
        if len(count) == 12:
            raise ValueError(blame)
        return fit(self, *args, **more)

    monkeypatch.setattr(estimator, "partial_fit", burst)
    b = bench.load(f"{name}/99")
    curve = dict(b.curve(quick(b), 14))
    assert curve[11].status is Status.COMPLETED
    assert curve[12].status is curve[14].status is Status.DIVERGED
    assert np.isnan(curve[12].metrics["error"])
    assert curve[14].seconds > curve[12].seconds > curve[11].seconds
    monkeypatch.setattr(estimator, "partial_fit", lambda *_, **__: [][1])
    with pytest.raises(IndexError):  # what is no divergence is not taken for one
        b.evaluate(quick(b))


# one fit yields every step -----------------------------------------------------------------------------------


def fit_of(b, seed, share=1.0):
    """Training rows and the state of a model, as the benchmark chooses them."""
    from luthier.base.seeds import generator
    from luthier.bench.families import _ml

    rows = b.data.subset(share, seed)
    return b.data.train.X[rows], b.data.train.y[rows], int(generator(seed, "bench", _ml._STATE).integers(2**31))


def test_a_step_of_the_forest_is_the_forest_of_so_many_trees(task):
    from sklearn.ensemble import RandomForestClassifier

    b = bench.load("rf/99", subsample=0.7)
    config = quick(b, max_features=1.0, min_samples_split=2)
    curve = dict(b.curve(config, 40, seed=5))
    X, y, state = fit_of(b, 5, 0.7)
    for trees in (16, 23, 40):
        model = RandomForestClassifier(
            trees, max_depth=3, min_samples_split=2, max_features=X.shape[1], random_state=state
        ).fit(X, y)
        assert curve[trees].metrics["valid_accuracy"] == model.score(b.data.valid.X, b.data.valid.y)
        assert b.evaluate(config, resource=trees, seed=5).metrics == curve[trees].metrics
        nodes = [tree.tree_ for tree in model.estimators_]
        assert curve[trees].metrics["size"] == sum(2 * t.n_leaves + 4 * (t.node_count - t.n_leaves) for t in nodes)


def test_a_round_of_boosting_is_the_model_of_so_many_rounds(task):
    here("xgb")
    from xgboost import XGBClassifier

    b = bench.load("xgb/99")
    config = quick(b, colsample_bytree=0.5)
    curve = dict(b.curve(config, 70, seed=5))
    X, y, state = fit_of(b, 5)
    for rounds in (50, 61, 70):
        model = XGBClassifier(
            n_estimators=rounds, **config, random_state=state, tree_method="hist", base_score=0.5, n_jobs=1
        ).fit(X, y)
        assert curve[rounds].metrics["valid_accuracy"] == model.score(b.data.valid.X, b.data.valid.y)
        assert b.evaluate(config, resource=rounds, seed=5).metrics == curve[rounds].metrics
        text = "\n".join(model.get_booster().get_dump())
        leaves = text.count("leaf=")
        assert curve[rounds].metrics["size"] == leaves + 4 * (text.count("yes="))


@pytest.mark.parametrize("name", ["logreg", "mlp"])
def test_an_epoch_does_not_depend_on_how_far_the_fit_goes_on(name, task):
    b = bench.load(f"{name}/99")
    config = quick(b, **({"learning_rate_init": 0.01} if name == "mlp" else {}))
    curve = dict(b.curve(config, 30, seed=1))
    for step in (12, 30):
        assert b.evaluate(config, resource=step, seed=1).metrics == curve[step].metrics
    trained = [one.metrics["train_accuracy"] for one in curve.values()]
    assert max(trained) > 0.8


def test_the_network_ends_where_scikit_learns_own_fit_does(monkeypatch):
    """Without shuffling the epochs are the same, and so is the epoch at which the loss has stopped falling."""
    from sklearn.neural_network import MLPClassifier

    start = MLPClassifier.__init__

    def in_order(self, **more):
        start(self, **{**more, "shuffle": False})

    in_order.__signature__ = inspect.signature(start)
    monkeypatch.setattr(MLPClassifier, "__init__", in_order)
    b = bench.load("mlp/wine", axis="none")
    config = quick(b, learning_rate_init=0.05)
    X, y, state = fit_of(b, 0)
    model = MLPClassifier(
        hidden_layer_sizes=[16], batch_size=64, alpha=1e-3, learning_rate_init=0.05, max_iter=243, random_state=state
    ).fit(X, y)
    found = b.evaluate(config)
    assert 20 < model.n_iter_ < 243
    assert found.info["steps"] == model.n_iter_
    assert found.metrics["train_accuracy"] == model.score(X, y)
    assert found.metrics["valid_accuracy"] == model.score(b.data.valid.X, b.data.valid.y)


def test_a_training_that_has_ended_costs_nothing_more():
    b = bench.load("mlp/iris")
    curve = [one for _, one in b.curve(quick(b, learning_rate_init=0.05))]
    assert curve[-1].info["steps"] < 243
    assert curve[-1].seconds == curve[-2].seconds > curve[3].seconds


# HPOBench's defects (shared specification, 3.1), each with its regression ------------------------------------


def rows_of(X):
    return {row.tobytes() for row in np.ascontiguousarray(X, dtype=np.float32)}


@pytest.mark.parametrize("name", ["svm", "logreg", "rf", "xgb", "mlp"])
def test_no_fit_ever_sees_a_row_of_validation_or_test(name, task, monkeypatch):
    """Defect: a comparison with the builtin `eval` trained on training and validation rows."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    seen = []
    spied = {
        "svm": (SVC, "fit"),
        "logreg": (SGDClassifier, "partial_fit"),
        "rf": (RandomForestClassifier, "fit"),
        "mlp": (MLPClassifier, "partial_fit"),
    }
    if name == "xgb":
        here("xgb")
        import xgboost

        spied["xgb"] = (xgboost.Booster, "update")
    owner, method = spied[name]
    original = getattr(owner, method)

    def spy(self, X, *args, **more):
        seen.append(X.get_data().toarray() if name == "xgb" else X)
        return original(self, X, *args, **more)

    monkeypatch.setattr(owner, method, spy)
    steps = {} if name == "svm" else {ITERATIVE[name][0]: ITERATIVE[name][1]}
    for subsample in (1.0, 0.5):
        b = bench.load(f"{name}/99", axis="none", subsample=subsample, **steps)
        train, hidden = rows_of(b.data.train.X), rows_of(b.data.valid.X) | rows_of(b.data.test.X)
        assert not train & hidden, "the rows of this data are all different"
        for call in (b.evaluate, b.evaluate_test):
            seen.clear()
            call(quick(b), seed=2)
            fitted = set().union(*map(rows_of, seen))
            assert fitted <= train
            assert not fitted & hidden
            assert len(fitted) == len(b.data.subset(subsample, 2)) == int(subsample * len(train))


def test_subsamples_are_nested_and_do_not_depend_on_what_was_asked_before(task):
    """Defect: subsets were drawn with replacement from a generator whose state depended on earlier calls."""
    for name in ("99", "digits", "iris"):
        data = _sets.load(name, what="test")
        for seed in (0, 1):
            subsets = [data.subset(share, seed).tolist() for share in (1.0, 0.7, 0.4, 0.11, 0.1, 0.01)]
            for larger, smaller in itertools.pairwise(subsets):
                assert set(smaller) <= set(larger)
                assert len(set(smaller)) == len(smaller), "no row twice"
            assert len(subsets[-1]) == int(max(data.least, 0.01) * len(data.train.y))
            assert set(data.train.y[subsets[-1]]) == set(range(data.classes))
        assert data.subset(0.4, 0).tolist() != data.subset(0.4, 1).tolist()
    b = bench.load("svm/99")
    asked = [(share, seed) for share in (0.3, 1.0, 0.6) for seed in (1, 0)]
    first = {one: b.evaluate(quick(b), resource=one[0], seed=one[1]) for one in asked}
    again = {one: b.evaluate(quick(b), resource=one[0], seed=one[1]) for one in reversed(asked)}
    for one in asked:
        assert again[one].metrics == first[one].metrics
        assert again[one].seconds == first[one].seconds


@pytest.mark.parametrize("name", ["svm", "logreg", "rf", "xgb", "mlp"])
def test_costs_are_seconds_of_work(name, task):
    """Defect: a score was added where a time belonged, and costs were summed over seeds while losses were averaged."""
    full = {} if name == "svm" else {ITERATIVE[name][0]: ITERATIVE[name][1]}
    b = bench.load(f"{here(name)}/99", axis="none", **full)
    fit = b._shape(100)
    family, config = b.family, b.space.default()
    one, two = family.cost(config, fit, 100), family.cost(config, fit, 200)
    assert two == pytest.approx(one if name == "svm" else 2 * one), "a step costs what a step costs"
    assert family.cost(config, b._shape(1000), 100) > one
    found = b.evaluate(quick(b), seed=None)
    rows = len(b.data.train.y)
    assert found.seconds == family.cost(quick(b), b._shape(rows), found.info["steps"]), "a mean, not a sum"
    assert found.metrics["error"] == pytest.approx(1 - found.metrics["valid_accuracy"])


OPTIONS = [
    (name, options)
    for name in FAMILIES
    for options in (
        {"axis": "none", "subsample": 0.4},
        {"axis": "subsample"},
        {"objectives": "valid_balanced_accuracy,size"},
    )
]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)
def test_every_public_option_works(name, options, task):
    """Defect: `shuffle=True` failed, since nobody had ever called it."""
    axis = None if name == "svm" else ITERATIVE[name]
    if axis is not None and options.get("axis") is not None:
        options = {**options, axis[0]: axis[1]}
    b = bench.load(f"{here(name)}/99", **options)
    resource = None if b.fidelity is None else b.fidelity.low
    found = b.evaluate(quick(b), resource=resource, seed=1)
    assert {objective.name for objective in b.objectives} <= set(found.metrics)
    if options.get("axis") == "none":
        assert b.fidelity is None
        assert found.info["rows"] == int(0.4 * len(b.data.train.y))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rf", {"axis": "iter"}, r"axis='iter'\. Allowed: 'n_estimators', 'none', 'subsample'\."),
        ("svm", {"subsample": 0.5}, r"subsample=0\.5 and axis='subsample'\. Allowed: one of them; the axis moves\."),
        ("mlp", {"iter": 100}, r"iter=100 and axis='iter'\."),
        ("logreg", {"axis": "none", "iter": 5}, r"iter=5\. Allowed: a whole number and at least 10 and at most 1000\."),
        ("xgb", {"subsample": 0.05}, r"subsample=0\.05\. Allowed: a number and at least 0\.1 and at most 1\."),
    ],
)
def test_options_that_do_not_fit(name, options, message):
    with pytest.raises(ArgumentError, match=message):
        bench.load(f"{name}/iris", **options)


def test_the_card_names_the_model(task):
    """Defect: every family called itself Support Vector Machine."""
    words = {
        "svm": "support vector machine",
        "logreg": "logistic regression",
        "rf": "random forest",
        "xgb": "gradient boosting",
        "mlp": "multilayer perceptron",
    }
    for name, word in words.items():
        if name == "xgb" and not there("xgboost"):
            continue
        b = bench.load(f"{name}/99")
        assert word in b.card.description
        assert b.name == f"{name}/99"
        assert sum(other in b.card.description for other in words.values()) == 1


def there(package):
    import importlib.util

    return importlib.util.find_spec(package) is not None


def test_logistic_regression_runs_on_the_scikit_learn_of_today():
    """Defect: loss="log" is refused by every scikit-learn of recent years."""
    b = bench.load("logreg/iris", axis="none", iter=60)
    assert b.evaluate(b.space.default()).metrics["valid_accuracy"] > 0.8


def test_calls_leave_no_trace(task):
    """Defect: a dictionary of defaults was changed by each call."""
    b = bench.load("rf/99", axis="none", n_estimators=16)
    given = quick(b)
    before = dict(given)
    first = b.evaluate(given)
    b.evaluate(quick(b, max_depth=1))
    b.evaluate_test(given, seed=4)
    assert b.evaluate(given).metrics == first.metrics
    assert given == before
    assert b.space.default() == rf.Rf().space().default()


def test_without_xgboost_the_family_says_what_is_missing(monkeypatch):
    found = builtins.__import__

    def refuse(name, *args, **more):
        if name.partition(".")[0] == "xgboost":
            raise ImportError("No module named 'xgboost'", name="xgboost")
        return found(name, *args, **more)

    for module in [module for module in sys.modules if module.partition(".")[0] == "xgboost"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "xgboost", None)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtra) as caught:
        bench.load("xgb/iris")
    assert str(caught.value) == (
        "a benchmark of the family 'xgb' needs xgboost. Install it with: pip install \"luthier[bench]\""
    )


# scores ------------------------------------------------------------------------------------------------------


def test_scores_equal_those_of_scikit_learn():
    from sklearn import metrics

    rng = np.random.default_rng(0)
    for classes in (2, 3, 7):
        for n in (5, 200):
            true, said = rng.integers(0, classes, n), rng.integers(0, max(classes - 1, 1), n)
            found = _ml_fit.qualities(true, said, classes)
            assert found == pytest.approx(
                {
                    "accuracy": metrics.accuracy_score(true, said),
                    "balanced_accuracy": metrics.recall_score(true, said, average="macro", labels=np.unique(true)),
                    "f1": metrics.f1_score(true, said, average="macro", zero_division=0),
                    "precision": metrics.precision_score(true, said, average="macro", zero_division=0),
                }
            )


def test_test_scores_are_those_of_the_same_model(task):
    from sklearn.svm import SVC

    b = bench.load("svm/99")
    X, y, _ = fit_of(b, 0)
    model = SVC(C=1.0, gamma=0.1).fit(X, y)
    found = b.evaluate_test(b.space.default()).metrics
    assert found["test_accuracy"] == model.score(b.data.test.X, b.data.test.y)
    assert found["test_error"] == pytest.approx(1 - found["test_accuracy"])
    assert set(found) == {"test_error", "test_accuracy", "test_balanced_accuracy", "test_f1", "test_precision"}


def test_what_is_measured_is_in_info_and_in_a_record(task):
    b = bench.load("mlp/99", axis="none", iter=3)
    config = quick(b, learning_rate_init=0.1)  # ends early
    info = b.evaluate(config).info
    assert info["rows"] == len(b.data.train.y)
    assert min(info[k] for k in info if k.endswith("seconds")) > 0
    cell = b.record(config, 0, "small")
    plan = b.plan("small")
    assert cell.values.shape == (len(plan.fidelities), len(MEASURED))
    assert np.isfinite(cell.values).all()
    assert (cell.values[:, [plan.metrics.index(name) for name in plan.timed]] >= 0).all()
    fit = cell.values[:, plan.metrics.index("fit_cpu_seconds")].reshape(2, -1)
    assert (np.diff(fit, axis=1) >= 0).all(), "the time of a fit adds up along its steps"
    assert (fit[:, 2] > fit[:, 0]).all()


# the tables that HPOBench published --------------------------------------------------------------------------


def published(folder, *, leave_out=()):
    """A file of the true form for lr on task 31: 2 x 2 configurations, 2 x 2 fidelities, 2 seeds."""
    pa = pytest.importorskip("pyarrow", reason='pyarrow is not installed: pip install "luthier[bench]"')
    import pyarrow.parquet as parquet

    rng = np.random.default_rng(0)
    cells = list(itertools.product((1e-5, 1.0), (1e-3, 1e-1), (10, 1000), (0.1, 1.0), (665, 1319)))
    rows = []
    for alpha, eta0, steps, subsample, seed in cells:
        scores = {
            f"{part}_scores": dict(zip(("acc", "bal_acc", "f1", "precision"), rng.random(4).tolist(), strict=True))
            for part in ("train", "val", "test")
        }
        costs = {
            f"{part}_costs": dict.fromkeys(("acc", "bal_acc", "f1", "precision"), 0.25) for part in ("val", "test")
        }
        info = {
            "train_loss": 0.1,
            "val_loss": 1 - scores["val_scores"]["acc"],
            "model_cost": steps / 100,
            **scores,
            **costs,
        }
        result = {"function_value": info["val_loss"], "cost": 0.0, "info": info}
        rows.append(
            {"alpha": alpha, "eta0": eta0, "iter": steps, "subsample": subsample, "seed": seed, "result": result}
        )
    order = [i for i in rng.permutation(len(rows)) if i not in leave_out]
    place = folder / "hpobench" / "lr" / "31" / "lr_31_data.parquet.gzip"
    place.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist([rows[i] for i in order]), place, compression="gzip")
    return rows


def test_a_published_table_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    rows = published(tmp_path)
    assert "logreg/31@hpobench" in bench.names("logreg/31@")
    b = bench.load("logreg/31@hpobench")
    assert b.card.noise == "2 recorded seeds"
    for row in rows:
        fixed = bench.load("logreg/31@hpobench", axis="none", iter=row["iter"], subsample=row["subsample"])
        config, seed = {"alpha": row["alpha"], "eta0": row["eta0"]}, [665, 1319].index(row["seed"])
        found, info = fixed.evaluate(config, seed=seed), row["result"]["info"]
        assert found.metrics["error"] == pytest.approx(info["val_loss"], rel=1e-5)
        assert found.metrics["train_f1"] == pytest.approx(info["train_scores"]["f1"], rel=1e-5)
        assert found.seconds == pytest.approx(row["iter"] / 100 + 0.25), "a time, not a score"
        assert fixed.evaluate_test(config, seed=seed).metrics["test_precision"] == pytest.approx(
            info["test_scores"]["precision"], rel=1e-5
        )
    check_benchmark(b)
    assert "most likely trained on validation rows" in b.card.description


def test_published_tables_that_are_not_whole_or_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    with pytest.raises(DataMissing, match=r"must hold hpobench/nn/31/nn_31_data\.parquet\.gzip\. Origin: figshare"):
        bench.load("mlp/31@hpobench")
    with pytest.raises(DataMissing, match="HPOBench published tables of OpenML tasks alone"):
        bench.load("mlp/iris@hpobench")
    rows = published(tmp_path, leave_out=(3,))
    config = {name: rows[3][name] for name in ("alpha", "eta0")}
    found = bench.load("logreg/31@hpobench", iter=1000).evaluate(config, resource=10, seed=1)
    assert found.status is Status.FAILED
    assert found.info["error"] == "the published table has no such row"
    place = tmp_path / "hpobench" / "rf" / "31" / "rf_31_data.parquet.gzip"
    place.parent.mkdir(parents=True)
    (tmp_path / "hpobench" / "lr" / "31" / "lr_31_data.parquet.gzip").rename(place)
    with pytest.raises(BenchmarkError, match=r"rf_31_data\.parquet\.gzip is no table that HPOBench published"):
        bench.load("rf/31@hpobench")
