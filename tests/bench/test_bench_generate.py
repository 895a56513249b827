"""Tables of our own: made, interrupted, resumed, read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError, BenchmarkError, DataMissing, UnsupportedError
from luthier.base.records import Fidelity, Objective, Status
from luthier.bench import _designed, _generated, generation
from luthier.bench import _generate_workers as workers
from luthier.bench.data import checksum
from luthier.bench.families import _ml, bnn, mlp, svm
from luthier.space.domains import Choice, Float, Int
from luthier.space.space import Space
from luthier.testing.benchmark import check_benchmark

SMALL = {"C": 3, "gamma": (0.01, 1.0)}


@pytest.fixture
def task(tmp_path, monkeypatch):
    """A small data set, small grids, and no repetition of what takes long."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(120, 3))
    (tmp_path / "openml").mkdir()
    np.savez(tmp_path / "openml" / "99.npz", X=X, y=(X[:, 0] + 0.3 * rng.normal(size=120) > 0).astype(int))
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    monkeypatch.setattr(generation, "LONG_SECONDS", 0.1)
    monkeypatch.setattr(svm.Svm, "points", {"small": SMALL})
    few = {"depth": 1, "width": 1, "batch_size": (64,), "alpha": (1e-4,), "learning_rate_init": (0.05, 0.1)}
    monkeypatch.setattr(mlp.Mlp, "points", {"small": {**few, "depth": (1,), "width": (16,)}})
    return tmp_path


def make(**more):
    return generation.generate("svm", "99", **{"jobs": 0, "seeds": 2, **more})


def stored(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def untimed(arrays):
    about = json.loads(str(arrays["about"]))
    return arrays["values"][..., [i for i, m in enumerate(about["metrics"]) if m not in about["timed"]]]


# making ------------------------------------------------------------------------------------------------------


def test_a_table_has_what_was_promised(task):
    seen = []
    path = make(progress=seen.append)
    assert path == task / "generated" / "svm_99_small.npz"
    assert list(path.parent.iterdir()) == [path], "the journal is gone"
    assert [one.done for one in seen] == list(range(1, 13))
    assert seen[-1] == generation.Progress(12, 12, 0)
    arrays = stored(path)
    about = json.loads(str(arrays["about"]))
    assert arrays["values"].shape == (6, 2, 3, len(_ml.MEASURED))
    assert arrays["values"].dtype == np.float32
    assert arrays["configs"].tolist() == [[c, g] for c in (2**-10, 1, 2**10) for g in (0.01, 1)]
    assert arrays["fidelities"].tolist() == [[0.1], [0.3], [1.0]]
    assert (arrays["status"] == 0).all()
    assert np.isfinite(arrays["values"]).all()
    assert about["seeds"] == [0, 1]
    assert about["data"] == {"99.npz": checksum(task / "openml" / "99.npz")}
    assert {"numpy", "scikit-learn", "python"} <= set(about["versions"])
    assert {"processor", "cores", "threads", "repeats"} <= set(about["provenance"])
    assert str(task) not in str(arrays["about"])


def test_a_run_that_was_stopped_goes_on(task, tmp_path):
    whole = stored(make(out=tmp_path / "whole"))

    class Stop(Exception):
        pass

    def stop(progress):
        if progress.done == 5:
            raise Stop

    out = tmp_path / "parts"
    with pytest.raises(Stop):
        make(out=out, progress=stop)
    [journal] = out.iterdir()
    with journal.open("ab") as file:
        file.write(b'{"config": 3, "seed": 0, "val')  # the machine died here
    seen = []
    path = make(out=out, progress=seen.append)
    assert seen[0].done == 6, "the five that were finished are kept"
    again = stored(path)
    assert (untimed(again) == untimed(whole)).all()
    for name in ("configs", "fidelities", "status"):
        assert (again[name] == whole[name]).all()
    before = path.read_bytes()
    assert make(out=out) == path
    assert path.read_bytes() == before, "what is there is kept"


def test_tables_of_other_definitions_do_not_mix(task, tmp_path):
    path = make(out=tmp_path / "here")
    with pytest.raises(BenchmarkError) as caught:
        make(out=tmp_path / "here", seeds=3)
    assert str(caught.value) == (
        f"{path} was made with another seeds: [0, 1]; now it is [0, 1, 2]. Move it away, or write to another folder "
        "with out=."
    )
    path.with_suffix(".jsonl").write_text(json.dumps({"schema": 0}) + "\n")
    path.unlink()
    with pytest.raises(BenchmarkError, match=r"small\.jsonl was made with another schema: 0; now it is 1\."):
        make(out=tmp_path / "here")
    path.write_bytes(b"no table")
    with pytest.raises(BenchmarkError, match=r"is no table that luthier generated .* Move it away\."):
        make(out=tmp_path / "here")


@pytest.mark.parametrize(
    ("family", "data", "more", "message"),
    [
        ("fcnet", "protein_structure", {}, "'fcnet/protein_structure' does not train what a table could record"),
        ("svm", "99", {"grid": "large"}, r"grid='large'\. Allowed: 'full', 'small'\."),
        ("svm", "99", {"seeds": 0}, r"seeds=0\. Allowed: a whole number and at least 1\."),
        ("svm", "99", {"timeout": 0}, r"timeout=0\. Allowed: a number and above 0\."),
        ("sv", "99", {}, r"benchmark 'sv/99' is not known\. Did you mean 'svm'\?"),
    ],
)
def test_arguments_are_judged(family, data, more, message, task):
    with pytest.raises(ArgumentError, match=message):
        generation.generate(family, data, jobs=0, **more)


def test_somewhere_to_write_is_needed(monkeypatch):
    monkeypatch.delenv("LUTHIER_DATA", raising=False)
    with pytest.raises(ArgumentError, match="out=None while LUTHIER_DATA is not set"):
        generation.generate("svm", "iris", jobs=0)


def test_a_benchmark_that_does_not_repeat_itself_is_caught(task, monkeypatch):
    record, count = _ml.MlBenchmark.record, []

    def drifting(self, config, seed, grid):
        cell = record(self, config, seed, grid)
        count.append(1)
        cell.values[0, 0] += len(count)
        return cell

    monkeypatch.setattr(_ml.MlBenchmark, "record", drifting)
    with pytest.raises(BenchmarkError, match="with seed 0 gives another answer each time"):
        make()


def test_times_are_medians_of_three(task, monkeypatch):
    times = iter([5.0, 1.0, 2.0])
    plan = bench.load("svm/99").plan("small")
    fit = plan.metrics.index("fit_cpu_seconds")
    record = _ml.MlBenchmark.record

    def slow(self, config, seed, grid):
        cell = record(self, config, seed, grid)
        cell.values[:, fit] = next(times)
        return cell

    monkeypatch.setattr(_ml.MlBenchmark, "record", slow)
    cell = generation.recorded(bench.load("svm/99"), plan.configs()[0], 0, "small")
    assert cell.values[:, fit].tolist() == [2.0] * 3
    assert next(times, None) is None


def test_what_it_will_cost_is_told_before(task, monkeypatch):
    few = generation.estimate("svm", "99", seeds=1)
    assert generation.estimate("svm", "99", seeds=4) == pytest.approx(4 * few)
    monkeypatch.setattr(svm.Svm, "points", {"small": {"C": 6, "gamma": 2}})
    assert generation.estimate("svm", "99", seeds=1) == pytest.approx(2 * few)


def test_cells_are_trained_in_processes_of_their_own(task):
    configs = [{"C": 1.0, "gamma": 0.1}, {"C": 4.0, "gamma": 0.1}]
    todo = [(workers.Work(i, 7), config) for i, config in enumerate(configs)]
    shape = (3, len(_ml.MEASURED))
    found = dict(workers.run("svm/99", "small", todo, shape, jobs=1, timeout=60))
    plan = bench.load("svm/99").plan("small")
    kept = [metric not in plan.timed for metric in plan.metrics]
    for work, config in todo:
        mine = generation.recorded(bench.load("svm/99"), config, 7, "small")
        assert found[work].status is Status.COMPLETED
        assert (found[work].values[:, kept] == mine.values[:, kept]).all()


def test_a_cell_that_takes_too_long_or_dies_is_recorded_as_failed(task):
    todo = [(workers.Work(0, 0), {"C": 1.0, "gamma": 0.1})]
    found = dict(workers.run("svm/99", "small", todo, (3, 22), jobs=1, timeout=1e-4))
    assert found[todo[0][0]].status is Status.FAILED
    assert np.isnan(found[todo[0][0]].values).all()
    dies = [(workers.Work(0, 0), {"C": "no number", "gamma": 0.1})]
    assert [cell.status for _, cell in workers.run("svm/99", "small", dies, (3, 22), 1, 60)] == [Status.FAILED]


def test_a_process_that_cannot_load_the_benchmark_ends_the_run(task):
    todo = [(workers.Work(0, 0), {"C": 1.0, "gamma": 0.1})]
    with pytest.raises(BenchmarkError) as caught:
        list(workers.run("svm/nothing", "small", todo, (3, 22), 1, 60))
    assert str(caught.value) == (
        "benchmark 'svm/nothing': a process to train in did not start. What it wrote is above."
    )


# reading -----------------------------------------------------------------------------------------------------


def test_a_table_answers_as_training_does(task):
    make()
    table, raw = bench.load("svm/99@small"), bench.load("svm/99")
    assert "svm/99@small" in bench.names("svm/")
    assert len(table) == table.space.size == 6
    assert table.space.default() == {"C": 1.0, "gamma": 0.01}, "nearest to that of the trained space"
    configs = bench.load("svm/99").plan("small").configs()
    for config in configs:
        for share in (0.1, 0.3, 1.0):
            one, other = (b.evaluate(config, resource=share, seed=1).metrics for b in (table, raw))
            assert {name: one[name] for name in other} == pytest.approx(other, rel=1e-6)
        hidden, trained = (b.evaluate_test(config, seed=1).metrics for b in (table, raw))
        assert hidden == pytest.approx(trained, rel=1e-6)
    mean = table.evaluate(configs[3], seed=None)
    singles = [table.evaluate(configs[3], seed=seed) for seed in (0, 1)]
    assert mean.metrics["error"] == pytest.approx(np.mean([one.metrics["error"] for one in singles]))
    assert mean.seconds == pytest.approx(np.mean([one.seconds for one in singles])), "a mean, as that of the error"
    assert table.evaluate(configs[3], seed=3) == singles[1]
    assert not table.trains
    check_benchmark(table)


def test_the_cost_is_the_fit_and_the_scoring_of_the_validation_rows(task):
    """HPOBench's tables added the score where the time of scoring belonged."""
    arrays = stored(make())
    names = json.loads(str(arrays["about"]))["metrics"]
    fit, scoring = (arrays["values"][3, 1, 2, names.index(name)] for name in ("fit_cpu_seconds", "valid_cpu_seconds"))
    table = bench.load("svm/99@small")
    config = bench.load("svm/99").plan("small").configs()[3]
    found = table.evaluate(config, seed=1)
    assert found.seconds == pytest.approx(float(fit) + float(scoring), rel=1e-6)
    assert found.metrics["fit_cpu_seconds"] == pytest.approx(float(fit), rel=1e-6)


def test_objectives_of_a_table_may_be_costs(task):
    make()
    table = bench.load("svm/99@small", objectives="error, latency_ms, size")
    assert table.objectives == (Objective("error"), Objective("latency_ms"), Objective("size"))
    assert set(table.card.optimum) == {"error", "latency_ms", "size"}
    check_benchmark(table)
    with pytest.raises(ArgumentError, match="objectives='test_accuracy'"):
        bench.load("svm/99@small", objectives="test_accuracy")


def test_between_recorded_steps_the_last_one_stands(task, monkeypatch):
    monkeypatch.setattr(generation, "LONG_SECONDS", 0.0)
    generation.generate("mlp", "99", jobs=0, seeds=1)
    table, raw = bench.load("mlp/99@small"), bench.load("mlp/99")
    config = table.space.default()
    curve = dict(table.curve(config))
    assert list(curve) == [float(step) for step in range(3, 244)]
    steps = raw.family.recorded_steps()
    assert steps == [3, 6, 9, 12, 24, 27, 48, 81, 96, 192, 243]
    trained = dict(raw.curve(config, 27))
    for step in (3, 6, 24, 27):
        mine, other = curve[step].metrics, trained[step].metrics
        assert {name: mine[name] for name in other} == pytest.approx(other, rel=1e-6)
        assert "recorded_at" not in curve[step].info
    assert curve[26].metrics == curve[24].metrics
    assert curve[26].info["recorded_at"] == 24
    part = (curve[26].seconds - curve[24].seconds) / (curve[27].seconds - curve[24].seconds)
    assert part == pytest.approx(2 / 3, rel=1e-6)
    assert table.evaluate(config, resource=26) == curve[26]
    assert table.card.description.endswith("on a grid of 2 configurations at subsample 0.3, 1 and 11 steps of iter.")
    check_benchmark(table)
    shares = bench.load("mlp/99@small", axis="subsample")
    for asked, stands in ((0.12, 0.3), (0.2, 0.3), (1 / 3, 0.3), (0.54, 0.3), (0.56, 1.0), (0.9, 1.0)):
        found, there = shares.evaluate(config, resource=asked), shares.evaluate(config, resource=stands)
        assert (found.metrics, found.seconds) == (there.metrics, there.seconds)
        assert found.info == {"recorded_at": stands}
        assert there.info == {}
    check_benchmark(shares)
    study = bench.simulate(table, searcher="random", scheduler="asha", workers=2, trials=2)
    assert 0 < study.seconds <= 2 * max(one.seconds for one in table.evaluate_batch(list(raw.plan("small").configs())))
    fixed = bench.load("mlp/99@small", axis="none", subsample=0.3, iter=27)
    assert fixed.evaluate(config) == bench.load("mlp/99@small", subsample=0.3).evaluate(config, resource=27)
    check_benchmark(fixed)
    with pytest.raises(ArgumentError, match=r"'mlp/99@small': subsample=0\.5\. Recorded: 0\.3, 1\."):
        bench.load("mlp/99@small", subsample=0.5)


def test_divergence_and_lack_of_time_are_kept_apart(task):
    path = make()
    arrays = stored(path)
    arrays["values"][1, :, 1:] = np.nan
    arrays["values"][2, 0] = np.nan
    arrays["status"][1], arrays["status"][2, 0] = 1, 2
    np.savez_compressed(path, **arrays)
    table = bench.load("svm/99@small")
    configs = bench.load("svm/99").plan("small").configs()
    assert table.evaluate(configs[1]).status is Status.DIVERGED
    assert table.evaluate(configs[1], resource=0.1).status is Status.COMPLETED
    failed = table.evaluate(configs[2])
    assert failed.status is Status.FAILED
    assert failed.info["error"] == "ran out of time when the table was made"
    assert table.evaluate(configs[2], seed=1).status is Status.COMPLETED
    assert np.isfinite(table.card.optimum["error"])


def test_tables_that_are_not_there_or_not_right(task):
    with pytest.raises(DataMissing) as caught:
        bench.load("svm/99@small")
    assert str(caught.value) == (
        f"benchmark 'svm/99@small' is a table that is not part of luthier: {task / 'generated' / 'svm_99_small.npz'} "
        "is not there. Set LUTHIER_DATA to your data folder and make it: luthier bench generate svm --data 99 --grid "
        "small. It is kept in generated/svm_99_small.npz."
    )
    with pytest.raises(ArgumentError, match=r"grid='smal'\. Did you mean 'small'\?"):
        bench.load("svm/99@smal")
    path = make()
    arrays = stored(path)
    np.savez(path, **{**arrays, "values": arrays["values"][:, :1]})
    with pytest.raises(BenchmarkError, match=r"values has shape \(6, 1, 3, 22\), its labels say \(6, 2, 3, 22\)"):
        bench.load("svm/99@small")


# tables over random configurations ---------------------------------------------------------------------------

NLL = {"unit": 1.0, "objective": "nll", "how": "drawn"}


@pytest.fixture(scope="module")
def drawn_table(tmp_path_factory):
    """Ten short chains on the toy function, a second one for each."""
    with pytest.MonkeyPatch.context() as patch:
        shortened(patch)
        return generation.generate("bnn", "toy", seeds=2, jobs=0, out=tmp_path_factory.mktemp("drawn") / "generated")


def shortened(patch):
    short = Fidelity("budget", 20, 60)
    patch.setattr(bnn, "FIDELITY", short)
    patch.setitem(bnn.Bnn.__init__.__kwdefaults__, "fidelity", short)
    patch.setattr(bnn, "_BETWEEN", 10)
    patch.setitem(bnn.RECORDED, "small", 10)
    patch.setattr(bnn, "ARRIVES", {**bnn.ARRIVES, "n_units_1": (16, 20), "n_units_2": (16, 20)})
    patch.setattr(generation, "REPEATS", 1)


@pytest.fixture
def drawn_task(drawn_table, monkeypatch):
    """A folder that holds the table."""
    shortened(monkeypatch)
    monkeypatch.setenv("LUTHIER_DATA", str(drawn_table.parents[1]))
    monkeypatch.setattr(_generated, "shipped", lambda name: drawn_table.parent / "nothing")
    return drawn_table


def test_random_configurations_are_recorded_as_they_are_trained(drawn_task):
    about = json.loads(str(stored(drawn_task)["about"]))
    assert len(about["design"]["configs"]) == 10
    assert about["axes"] == ["budget"]
    table, raw = bench.load("bnn/toy@small"), bench.load("bnn/toy")
    assert "bnn/toy@small" in bench.names("bnn/")
    assert table.space == raw.space
    assert [pair[0] for pair in about["fidelities"]] == [20, 30, 40, 50, 60]
    for config in table.configs[::4]:
        for step in (20, 40, 60):
            mine, other = (b.evaluate(config, resource=step, seed=1) for b in (table, raw))
            assert mine.metrics == pytest.approx(other.metrics, rel=1e-4)
        singles = [table.evaluate(config, seed=seed).metrics["nll"] for seed in (0, 1)]
        assert table.evaluate(config, seed=None).metrics["nll"] == pytest.approx(np.mean(singles))
        assert table.evaluate(config, seed=3) == table.evaluate(config, seed=1)
        between = dict(table.curve(config))[25]
        assert between.metrics == table.evaluate(config, resource=20).metrics
        assert between.info == {"recorded_at": 20}
        ends = [table.evaluate(config, resource=step).seconds for step in (20, 30)]
        assert between.seconds == pytest.approx(np.mean(ends))
    best = min(table.evaluate(config, seed=None).metrics["nll"] for config in table.configs)
    assert table.card.optimum == {"nll": best}
    hidden = table.evaluate_test(table.configs[0])
    assert set(hidden.metrics) == {"test_nll"}
    assert hidden.metrics["test_nll"] != table.evaluate(table.configs[0]).metrics["nll"]


@pytest.mark.parametrize("missing", ["surrogate", "nearest"])
def test_a_table_of_random_configurations_passes_the_battery(drawn_task, missing):
    table = bench.load("bnn/toy@small", missing=missing)
    check_benchmark(table)
    check_benchmark(table, configs=table.configs[:3])


def test_what_was_not_recorded_is_answered_as_chosen(drawn_task):
    table = bench.load("bnn/toy@small")
    other = table.space.default()
    assert other not in table.configs
    assert table.evaluate(other).info == {"predicted": True}
    errors = table.about["surrogate"]
    assert errors == pytest.approx(table.cross_validated())
    assert f"rank correlation is {errors['rank']:.2f}" in table.card.description
    near = bench.load("bnn/toy@small", missing="nearest").evaluate(other)
    assert near.metrics == table.evaluate(near.info["nearest"]).metrics
    with pytest.raises(
        BenchmarkError, match=r"has no record of \{'l_rate': 0\.01, .* missing='surrogate' or 'nearest'"
    ):
        bench.load("bnn/toy@small", missing="error").evaluate(other)
    with pytest.raises(ArgumentError, match="missing='guess'"):
        bench.load("bnn/toy@small", missing="guess")


def made(values, costs, **more):
    """A table in memory: (n, seeds, steps) values and costs of configurations along the first axis of the space."""
    values, costs = np.asarray(values, dtype=np.float32), np.asarray(costs, dtype=np.float32)
    space = Space(x=Float(0.0, 1.0), y=Choice("a", "b"))
    configs = [{"x": x, "y": "a"} for x in np.linspace(0, 1, len(values)).tolist()]
    about = {
        "design": {**NLL, "configs": configs},
        "metrics": ["nll", "fit_cpu_seconds"],
        "source": "here",
        "licence": "none",
        "title": "Made up",
    }
    arrays = {
        "values": np.stack([values, costs], axis=-1),
        "fidelities": np.array([[1.0], [3.0]]),
        "status": more.pop("status", np.zeros(values.shape[:2], dtype=np.uint8)),
    }
    task = _designed.Task(space, Fidelity("epoch", 1, 3), Objective("nll"))
    return _designed.DesignTable(task, "made/up@small", about, arrays, {}, **more)


def test_predictions_lie_between_neighbours_and_never_beat_the_best():
    values = [[[9.0, v], [9.0, v + 1]] for v in (100.0, 10.0, 0.0, 50.0)]
    costs = [[[1.0, s], [1.0, s]] for s in (2.0, 4.0, 8.0, 16.0)]
    table = made(values, costs)
    assert table.card.optimum == {"nll": 0.5}
    for x in np.linspace(0.01, 0.99, 23).tolist():
        found = table.evaluate({"x": x, "y": "a"}, seed=None)
        left, right = (values[i][0][1] + 0.5 for i in (int(x * 3), int(x * 3) + 1))
        assert min(left, right) - 1e-9 <= found.metrics["nll"] <= max(left, right) + 1e-9
        paid = [2.0 ** (1 + i) for i in (int(x * 3), int(x * 3) + 1)]
        assert min(paid) - 1e-9 <= found.seconds <= max(paid) + 1e-9
    with pytest.raises(UnsupportedError, match="has no test values"):
        table.evaluate_test({"x": 0.0, "y": "a"})


def test_divergence_counts_as_the_worst_and_failure_is_told():
    nan = np.nan
    values = [[[9.0, 1.0]], [[9.0, nan]], [[9.0, 2.0]], [[nan, nan]]]
    table = made(values, np.ones((4, 1, 2)), status=np.array([[0], [1], [0], [2]], dtype=np.uint8))
    assert [table.evaluate(config).status for config in table.configs] == [
        Status.COMPLETED, Status.DIVERGED, Status.COMPLETED, Status.FAILED
    ]  # fmt: skip
    assert table.evaluate(table.configs[1], resource=1).status is Status.COMPLETED
    between = table.evaluate({"x": 0.16, "y": "a"})
    assert between.status is Status.COMPLETED
    assert 1.0 < between.metrics["nll"] <= 9.0
    assert table.card.optimum == {"nll": 1.0}


def test_a_box_grows_to_the_whole_space():
    space = Space(x=Float(1e-4, 1.0, log=True), n=Int(1, 100), y=Choice("a", "b"))
    configs = _designed.drawn(space, {"x": (1e-2, 1e-1), "n": (10, 20)}, 400)
    assert configs == _designed.drawn(space, {"x": (1e-2, 1e-1), "n": (10, 20)}, 400)
    first, last = configs[:20], configs[200:]
    assert all(9e-3 < config["x"] < 0.11 and 9 <= config["n"] <= 21 for config in first)
    assert {config["y"] for config in first} == {"a", "b"}
    x, n = np.array([config["x"] for config in last]), np.array([config["n"] for config in last])
    assert (x < 2e-3).any() and (x > 0.3).any() and (n < 5).any() and (n > 80).any()  # noqa: PT018
