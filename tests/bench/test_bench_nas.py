"""NB101, NB1shot1, NB201, FCNet and ParamNet: spaces, cells, encodings, answers from tiny files of the true form."""

from __future__ import annotations

import base64
import itertools
import json
import math
import os
import pickle

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from test_bench_formats import frame, message

from luthier import bench
from luthier.base.errors import ArgumentError, BenchmarkError, DataMissing, UnsupportedError
from luthier.base.records import Card, Configuration
from luthier.bench.data import DataFile
from luthier.bench.families import _cells, _fcnet, _nb101, _nb201, _net_converter, nasbench201, nb1shot1, nb101, net
from luthier.bench.families._cells import CONV1, CONV3, PAIRS, POOL, fingerprint, prune, valid
from luthier.testing.benchmark import check_benchmark

CARD = Card("tiny/table", "made by this test", "none", {}, description="A test.")

# the first module of the data set, as several public readers of the original file print it
FIRST = (
    (0, 1, 0, 0, 1, 1, 0),
    (0, 0, 1, 0, 0, 0, 0),
    (0, 0, 0, 1, 0, 0, 1),
    (0, 0, 0, 0, 0, 1, 0),
    (0, 0, 0, 0, 0, 1, 0),
    (0, 0, 0, 0, 0, 0, 1),
    (0, 0, 0, 0, 0, 0, 0),
)
FIRST_OPERATIONS = (CONV3, POOL, CONV3, CONV3, CONV1)
FIRST_HASH = "00005c142e6f48ac74fdcf73e3439874"
CHAIN = _cells.matrix([(0, 1), (1, 6)])


# cells ---------------------------------------------------------------------------------------------------


def test_the_hash_is_the_data_sets_own():
    assert fingerprint(prune(FIRST, FIRST_OPERATIONS)) == FIRST_HASH


def test_the_hash_ignores_the_order_of_vertices_alone():
    left = prune(_cells.matrix([(0, 1), (0, 2), (1, 3), (2, 3)], 4), [CONV1, POOL])
    right = prune(_cells.matrix([(0, 1), (0, 2), (1, 3), (2, 3)], 4), [POOL, CONV1])
    chain = [prune(_cells.matrix([(0, 1), (1, 2), (2, 3)], 4), ops) for ops in ([CONV1, POOL], [POOL, CONV1])]
    assert fingerprint(left) == fingerprint(right)
    assert fingerprint(chain[0]) != fingerprint(chain[1])


def test_pruning():
    # 2 has no way to the output, 3 none from the input, 5 neither
    graph = _cells.matrix([(0, 1), (1, 6), (0, 2), (3, 4), (4, 6), (0, 4)])
    assert prune(graph, ["a", "b", "c", "d", "e"]) == _cells.Cell(
        ((0, 1, 1, 0), (0, 0, 0, 1), (0, 0, 0, 1), (0, 0, 0, 0)), ("a", "d")
    )
    assert prune(_cells.matrix([(0, 6)]), [CONV1] * 5) == _cells.Cell(((0, 1), (0, 0)), ())
    assert prune(_cells.matrix([(0, 1), (2, 6)]), [CONV1] * 5) is None
    assert prune(_cells.matrix([]), [CONV1] * 5) is None


def test_more_than_nine_edges_are_invalid_even_where_pruning_leaves_fewer():
    nine = [(0, 1), (1, 6), (0, 2), (0, 3), (0, 4), (0, 5), (1, 2), (1, 3), (1, 4)]
    assert valid(_cells.matrix(nine), [CONV1] * 5) == valid(CHAIN, [CONV1] * 5)
    assert valid(_cells.matrix([*nine, (1, 5)]), [CONV1] * 5) is None


def modules_of(vertices):
    """Hashes of all valid cells with so many vertices, none of which is pruned away."""
    pairs = [(a, b) for a in range(vertices) for b in range(a + 1, vertices)]
    found = set()
    for chosen in itertools.product((0, 1), repeat=len(pairs)):
        graph = _cells.matrix([pair for pair, there in zip(pairs, chosen, strict=True) if there], vertices)
        blank = valid(graph, [""] * (vertices - 2))
        if blank is not None and len(blank.matrix) == vertices:
            for operations in itertools.product((CONV1, CONV3, POOL), repeat=vertices - 2):
                found.add(fingerprint(_cells.Cell(graph, operations)))
    return found


def test_modules_are_as_many_as_published():
    """NAS-Bench-101 counts 1, 6, 84, 2441, 62 010 and 359 082 modules of 2 to 7 vertices: 423 624."""
    assert [len(modules_of(n)) for n in (2, 3, 4, 5)] == [1, 6, 84, 2441]


# encodings -----------------------------------------------------------------------------------------------


def operations(*given):
    return {f"op_node_{i}": op for i, op in enumerate(given or [CONV1] * 5)}


def config_a(graph, *ops):
    return Configuration({**operations(*ops), **{f"edge_{i}": graph[a][b] for i, (a, b) in enumerate(PAIRS)}})


def test_encoding_a_goes_row_by_row():
    rows, columns = np.triu_indices(7, k=1)
    for i in range(21):
        config = config_a(_cells.matrix([]), *FIRST_OPERATIONS) | {f"edge_{i}": 1}
        expected = np.zeros((7, 7), dtype=int)
        expected[rows[i], columns[i]] = 1
        assert np.array(nb101.matrix_a(config)).tolist() == expected.tolist()
    assert nb101.matrix_a(config_a(FIRST)) == FIRST


def test_encoding_b_is_a_number_read_column_by_column():
    rng = np.random.default_rng(0)
    for _ in range(50):
        picks = rng.integers(0, 21, 9).tolist()
        bits = ["0"] * 21  # the number's digits, highest first
        for pick in picks:
            bits[pick] = "1"
        number = int("".join(bits), 2)
        expected = [[int(x < y and number >> (x + y * (y - 1) // 2) & 1) for y in range(7)] for x in range(7)]
        config = Configuration({**operations(), **{f"edge_{i}": pick for i, pick in enumerate(picks)}})
        assert np.array(nb101.matrix_b(config)).tolist() == expected


def test_encoding_c_takes_the_best_scores():
    scores = {f"edge_{i}": i / 100 for i in range(21)} | {"edge_3": 0.9, "edge_5": 0.8}
    for count, best in ((0, []), (1, [3]), (2, [3, 5]), (4, [3, 5, 20, 19])):
        config = Configuration({**operations(), "num_edges": count, **scores})
        assert nb101.matrix_c(config) == _cells.matrix([PAIRS[i] for i in best])
    equal = Configuration({**operations(), "num_edges": 2, **{f"edge_{i}": 0.5 for i in range(21)}})
    assert nb101.matrix_c(equal) == _cells.matrix([PAIRS[20], PAIRS[19]])


def test_the_spaces_have_as_many_hyperparameters_as_published():
    spaces = [space() for space in (nb101.space_a, nb101.space_b, nb101.space_c)]
    assert [len(space.names) for space in spaces] == [26, 14, 27]
    assert spaces[2].default()["num_edges"] == 4
    assert [len(nb1shot1.space(task).names) for task in "123"] == [9, 9, 11]


def test_sizes_of_the_one_shot_spaces():
    """The published 6 240, 29 160 and 363 648: two of them count the operations of used blocks, one counts all."""
    used, every = [], []
    for task in "123":
        wirings = list(itertools.product(*nb1shot1._choices(task)))
        blocks = len(nb1shot1.PARENTS[task]) - 1
        used.append(sum(3 ** len({p for ones in wiring for p in ones} - {0}) for wiring in wirings))
        every.append(len(wirings) * 3**blocks)
    assert used == [6_240, 16_632, 363_648]
    assert every == [14_580, 29_160, 1_312_200]
    assert [nb1shot1.space(task).size for task in "123"] == every


def test_cells_of_a_one_shot_space_are_those_of_its_configurations():
    b = nb1shot1.Nb1shot1Cells("1", table([]), CARD, None)
    rng = np.random.default_rng(0)
    known = set(nb1shot1.cells("1"))
    assert len(known) == 3288
    assert len({fingerprint(cell) for cell in known}) == 2685
    for config in b.space.sample(200, rng):
        assert b._cell(config) in known


# the table of NB101 --------------------------------------------------------------------------------------

BUDGETS = (4, 12, 36, 108)


def numbers(module, budget, repetition):
    """Validation accuracy, test accuracy and seconds of the tiny table, all different."""
    level = BUDGETS.index(budget)
    accuracy = 0.5 + 0.1 * level + 0.01 * module + 0.001 * repetition
    return np.float32(accuracy), np.float32(accuracy - 0.05), np.float32(10 * budget + module + 0.25 * repetition)


def evaluation(epoch, accuracy, test, seconds):
    return message(
        [(1, float(epoch)), (2, float(seconds)), (3, 1.0), (4, float(accuracy)), (5, float(test)), (6, b"model.ckpt")]
    )


def records(cells):
    """The records of the original file, budgets and repetitions of the modules mixed."""
    for repetition in range(3):
        for budget in reversed(BUDGETS):
            for place, (graph, ops) in enumerate(cells):
                cell = prune(graph, ops)
                accuracy, test, seconds = numbers(place, budget, repetition)
                metrics = message(
                    [
                        (1, evaluation(0, 0.1, 0.1, 0)),
                        (1, evaluation(budget / 2, 0.2, 0.2, 1)),
                        (1, evaluation(budget, accuracy, test, seconds)),
                        (2, 1000 + place),
                        (3, 9999.0),
                    ]
                )
                digits = "".join(str(digit) for row in cell.matrix for digit in row)
                words = ",".join(["input", *cell.operations, "output"])
                yield json.dumps(
                    [fingerprint(cell), budget, digits, words, base64.b64encode(metrics).decode()]
                ).encode()


TINY = [(FIRST, FIRST_OPERATIONS), (CHAIN, (CONV1,) * 5), (CHAIN, (POOL,) * 5), (_cells.matrix([(0, 6)]), (CONV1,) * 5)]


def write_tfrecord(folder, cells=TINY):
    place = folder / _nb101.TFRECORD.path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"".join(frame(record) for record in records(cells)))
    return place


@pytest.fixture
def tiny101(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    return write_tfrecord(tmp_path)


def table(cells):
    """A table of these pruned cells with random numbers."""
    names = np.array(sorted({fingerprint(cell) for cell in cells}), dtype="S32")
    rng = np.random.default_rng(0)
    shape = (len(names), 3, 4)
    valid_, test = rng.uniform(0.8, 0.95, shape), rng.uniform(0.8, 0.95, shape)
    seconds = rng.uniform(1, 2, shape) * np.array(BUDGETS)
    arrays = (part.astype(np.float32) for part in (valid_, test, seconds))
    return _nb101.Modules(names, np.array(BUDGETS), *arrays, np.full(len(names), 5), np.full(3, np.nan))


def test_the_original_file(tiny101):
    b = bench.load("nb101/A")
    for place, (graph, ops) in enumerate(TINY):
        config = config_a(graph, *ops)
        for budget, repetition in itertools.product(BUDGETS, range(3)):
            accuracy, test, seconds = (float(number) for number in numbers(place, budget, repetition))
            found = b.evaluate(config, resource=budget, seed=repetition)
            assert found.metrics == {"valid_error": 1 - accuracy}
            assert found.seconds == seconds
            assert found.info == {"valid": True, "parameters": 1000 + place}
            hidden = b.evaluate_test(config, resource=budget, seed=repetition)
            assert (hidden.metrics, hidden.seconds) == ({"test_error": 1 - test}, seconds)
        mean = np.mean([numbers(place, 108, r)[0].astype(float) for r in range(3)])
        assert b.evaluate(config, seed=None).metrics["valid_error"] == pytest.approx(1 - mean, abs=1e-12)
        assert b.evaluate(config, seed=4) == b.evaluate(config, seed=1)
    assert list(b.card.checksum) == ["nasbench101/nasbench_full.tfrecord"]


def test_the_optimum_is_the_least_mean(tiny101):
    b = bench.load("nb101/B")
    means = [np.mean([1 - numbers(place, 108, r)[0].astype(float) for r in range(3)]) for place in range(4)]
    assert b.card.optimum == {"valid_error": pytest.approx(min(means), abs=1e-12)}
    assert b.card.noise == "3 recorded seeds"


def test_invalid_cells_score_1_at_no_cost(tiny101):
    for task in "ABC":
        b = bench.load(f"nb101/{task}")
        config = b.space.default() | ({"num_edges": 0} if task == "C" else {})
        found = b.evaluate(config, resource=12)
        assert (found.metrics, found.seconds, found.info) == ({"valid_error": 1.0}, 0.0, {"valid": False})
        assert b.evaluate_test(config).metrics == {"test_error": 1.0}


def test_between_budgets_the_smaller_one_answers(tiny101):
    b = bench.load("nb101/A")
    config = config_a(FIRST, *FIRST_OPERATIONS)
    assert b.levels == BUDGETS
    for asked, budget in ((11, 4), (12, 12), (35, 12), (107, 36), (108, 108)):
        assert b.evaluate(config, resource=asked) == b.evaluate(config, resource=budget)
    curve = b.curve(config, 40)
    assert [step for step, _ in curve] == list(range(4, 41))
    assert {one.seconds for _, one in curve} == {float(numbers(0, budget, 0)[2]) for budget in (4, 12, 36)}


@pytest.mark.parametrize("task", ["A", "B", "C"])
def test_the_battery_of_nb101(tiny101, task):
    b = bench.load(f"nb101/{task}")
    if task == "A":
        configs = [config_a(graph, *ops) for graph, ops in TINY]
    elif task == "B":
        configs = [Configuration({**operations(*FIRST_OPERATIONS), **{f"edge_{i}": pick for i, pick in enumerate(
            [20 - nb101._COLUMNS.index(pair) for pair in [p for p in PAIRS if FIRST[p[0]][p[1]]]]
        )}})]  # fmt: skip
    else:
        scores = {f"edge_{i}": float(FIRST[a][b_]) / (1 + i) for i, (a, b_) in enumerate(PAIRS)}
        configs = [Configuration({**operations(*FIRST_OPERATIONS), "num_edges": 9, **scores})]
    assert b.evaluate(configs[0]).info["parameters"] == 1000
    check_benchmark(b, configs=[*configs, b.space.default() if task != "C" else configs[0]])


def test_a_module_that_the_file_lacks(tiny101):
    with pytest.raises(BenchmarkError, match=r"the table has no module [0-9a-f]{32}; the complete one has 423624"):
        bench.load("nb101/A").evaluate(config_a(CHAIN, *[CONV3] * 5))


def test_an_incomplete_file(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    place = tmp_path / _nb101.TFRECORD.path
    place.parent.mkdir()
    some = [frame(record) for record in records(TINY)]
    place.write_bytes(b"".join(some[:-1]))
    with pytest.raises(BenchmarkError, match=r"modules have from 2 to 3 trainings at a budget"):
        bench.load("nb101/A")
    for wrong in (b'["hash", 4, "0", "a"]', b"no JSON", b'["hash", 4, "0", "a", "####"]'):
        place.write_bytes(frame(wrong))
        with pytest.raises(BenchmarkError, match="a frame is no record of NAS-Bench-101"):
            bench.load("nb101/A")
    place.write_bytes(b"")
    with pytest.raises(BenchmarkError, match="has no record"):
        bench.load("nb101/A")


def test_converted_arrays_answer_alike(tmp_path, monkeypatch):
    cells = [(cell.matrix, cell.operations) for cell in itertools.islice(nb1shot1.cells("1"), 0, 3000, 300)]
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    source = write_tfrecord(tmp_path, cells)
    monkeypatch.setattr(nb1shot1, "TASKS", ("1",))  # the third has 118 524 cells: 11 s
    known = _nb101.read_tfrecord(source)
    nb101.convert(source, tmp_path / _nb101.NPZ.path)
    source.unlink()
    found, _ = _nb101.load_modules("nb101/A")
    for name in ("hash", "epochs", "valid", "test", "seconds", "parameters"):
        assert np.array_equal(getattr(known, name), getattr(found, name))
    assert found.best[0] == found.least()  # every module is of space 1
    b = bench.load("nb1shot1/1")
    assert b.card.optimum == {"valid_error": found.least()}
    assert list(b.card.checksum) == ["nasbench101/nasbench101.npz"]


def test_one_shot_answers_and_battery(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    whole = table(nb1shot1.cells("1"))
    place = tmp_path / _nb101.NPZ.path
    place.parent.mkdir()
    np.savez(place, **whole._replace(best=np.array([whole.least(), np.nan, np.nan]))._asdict())
    b = bench.load("nb1shot1/1")
    assert len(whole.hash) == 2685
    assert b.space.default()["choice_block_1_parents"] == "(0,)"
    config = b.space.default() | {"choice_block_4_parents": "(1, 3)", "choice_block_5_parents": "(3, 4)"}
    graph = _cells.matrix([(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (1, 4), (3, 4), (3, 5), (4, 5)], 6)
    row = whole.row(prune(graph, [CONV1] * 4))
    assert b.evaluate(config, resource=36, seed=2).metrics["valid_error"] == 1 - float(whole.valid[row, 2, 2])
    check_benchmark(b)
    result = bench.simulate(b, searcher="random", scheduler="asha", trials=12, workers=2)
    trials = result.result.trials
    assert len(trials) == 12
    for trial in trials:
        for report in trial.reports:
            assert report.metrics == b.evaluate(trial.config, resource=report.resource).metrics


def test_nothing_there(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    for name in ("nb101/A", "nb1shot1/2", "nasbench201/curves/cifar10", "fcnet/curves/protein_structure", "net/adult"):
        with pytest.raises(DataMissing, match="is not there"):
            bench.load(name)
    with pytest.raises(DataMissing, match=r"nasbench_full.tfrecord .*luthier.bench.families.nb101.convert"):
        bench.load("nb101/C")


# NB201 ---------------------------------------------------------------------------------------------------

EPOCHS = 2


def curves201():
    """Arrays of the cells with one, two or three seeds in turn."""
    rng = np.random.default_rng(0)
    shape = (_nb201.CELLS, 3, EPOCHS)
    valid_, test = rng.uniform(10, 90, shape).astype(np.float32), rng.uniform(10, 90, shape[:2]).astype(np.float32)
    seconds = np.cumsum(rng.integers(1, 9, shape), axis=2).astype(np.float32)
    for seeds in (1, 2):
        for part in (valid_, test, seconds):
            part[seeds - 1 :: 3, seeds:] = np.nan
    return _nb201.Curves(valid_, test, seconds)


@pytest.fixture
def tiny201(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    monkeypatch.setattr(_nb201, "EPOCHS", EPOCHS)
    (tmp_path / "nasbench_201").mkdir()
    return tmp_path / "nasbench_201"


@pytest.fixture
def few201(tiny201, monkeypatch):
    """As if there were the first 50 cells only."""
    monkeypatch.setattr(_nb201, "_ROWS", dict(itertools.islice(_nb201._ROWS.items(), 50)))
    monkeypatch.setattr(_nb201, "CELLS", 50)
    return tiny201


def entry(found, row, seed, split, test):
    """One training as the export has it; a missing one repeats the first seed's, as there."""
    seed = 0 if np.isnan(found.test[row, seed]) else seed
    costs = np.diff(found.seconds[row, seed], prepend=0)
    return {
        "train_acc1es": {str(e): 50.0 for e in range(EPOCHS)},
        "train_times": {str(e): float(costs[e]) - 0.5 for e in range(EPOCHS)},
        "eval_acc1es": {
            **{f"{split}@{e}": float(found.valid[row, seed, e]) for e in range(EPOCHS)},
            f"{test}@{EPOCHS - 1}": float(found.test[row, seed]),
        },
        "eval_times": {**{f"{split}@{e}": 0.5 for e in range(EPOCHS)}, f"{test}@{EPOCHS - 1}": 77.0},
        "params": 1.5,
        "latency": [0.01],
    }


def test_architecture_strings():
    ops = ("avg_pool_3x3", "nor_conv_1x1", "skip_connect", "none", "nor_conv_3x3", "skip_connect")
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|skip_connect~2|"
    assert _nb201.architecture(ops) == text
    assert _nb201._ROWS[text] == sum(_nb201.OPERATIONS.index(op) * 5 ** (5 - i) for i, op in enumerate(ops))
    assert len(_nb201._ROWS) == 15_625


def test_the_export_of_nasbench201(few201):
    known = curves201()
    export = {
        str(seed): {text: entry(known, row, i, "ori-test", "x-test") for text, row in _nb201._ROWS.items()}
        for i, seed in enumerate((777, 888, 999))
    }
    source = few201 / "NAS-Bench-201-v1_1-096897_cifar100.json"
    source.write_text(json.dumps(export))
    nasbench201.convert(source, few201 / "cifar100.npz", "cifar100")
    found = _nb201.read_npz(few201 / "cifar100.npz")
    for part, expected in zip(found, known, strict=True):
        assert np.array_equal(part, expected, equal_nan=True)
    source.write_text(json.dumps({"777": dict(list(export["777"].items())[:-2])}, indent=1))
    with pytest.raises(BenchmarkError, match=r"lacks 2 of 50 cells"):
        _nb201.read_json(source, "cifar100")
    for wrong in ("[]", '{"777": []}', '{"1": {}}x', '{"777": {"a": {}}}', '{"777": {', ""):
        source.write_text(wrong)
        with pytest.raises(BenchmarkError, match=r"is no export of NAS-Bench-201|lacks 50"):
            _nb201.read_json(source, "cifar100")


def test_curves_of_nasbench201(tiny201):
    known = curves201()
    np.savez(tiny201 / "cifar10.npz", **known._asdict())
    b = bench.load("nasbench201/curves/cifar10")
    ops = ("skip_connect", "nor_conv_1x1", "none", "avg_pool_3x3", "none", "nor_conv_3x3")
    row = _nb201._ROWS[_nb201.architecture(ops)]
    config = dict(zip(("1<-0", "2<-0", "2<-1", "3<-0", "3<-1", "3<-2"), ops, strict=True))
    first = b.evaluate(config, resource=1)
    assert first.seconds == known.seconds[row, 0, 0] > 0  # the first epoch costs, unlike in HPOBench
    assert first.metrics == {"valid_error": 100 - float(known.valid[row, 0, 0])}
    hidden = b.evaluate_test(config)
    assert hidden.metrics == {"test_error": 100 - float(known.test[row, 0])}  # and not the validation value
    assert hidden.metrics["test_error"] != b.evaluate(config).metrics["valid_error"]
    with pytest.raises(ArgumentError, match=r"test values at resource=1\. Allowed: epoch=2, where alone"):
        b.evaluate_test(config, resource=1)
    assert b.card.noise == "recorded seeds: 5209 cells have 1, 5208 cells have 2, 5208 cells have 3"
    best = 100 - np.nanmean(known.valid[:, :, -1], axis=1, dtype=float).max()
    assert b.card.optimum == {"valid_error": best}
    check_benchmark(b)
    later = bench.load("nasbench201/curves/cifar10", first=2)
    assert later.fidelity.low == 2
    assert later.evaluate(config) == b.evaluate(config)


def test_seeds_that_are_there(tiny201):
    known = curves201()
    np.savez(tiny201 / "imagenet.npz", **known._asdict())
    b = bench.load("nasbench201/curves/imagenet")
    for row in (0, 1, 2):  # with 1, 2 and 3 seeds
        [config] = b.space.decode((np.array([np.unravel_index(row, [5] * 6)]) + 0.5) / 5)
        values = [b.evaluate(config, seed=s).metrics["valid_error"] for s in range(6)]
        assert values == [100 - float(known.valid[row, s % (row + 1), -1]) for s in range(6)]
        mean = b.evaluate(config, seed=None)
        assert mean.metrics["valid_error"] == pytest.approx(np.mean(values), rel=1e-9)
        assert mean.seconds == pytest.approx(np.nanmean(known.seconds[row, :, -1]), rel=1e-6)


def test_pickles_of_nasbench201(few201):
    known = curves201()
    for i, seed in enumerate((777, 888, 999)):
        parts = {"train_times": {}, "eval_acc1es": {}, "eval_times": {}}
        for text, row in _nb201._ROWS.items():
            one = entry(known, row, i, "x-valid", "ori-test")
            parts["train_times"][text] = {int(e): value for e, value in one["train_times"].items()}
            parts["eval_acc1es"][text] = one["eval_acc1es"]
            parts["eval_times"][text] = one["eval_times"]
        for metric, values in parts.items():
            (few201 / f"nb201_cifar10-valid_{seed}_{metric}.pkl").write_bytes(pickle.dumps(values))
    with pytest.raises(UnsupportedError, match=r"is a pickle, which can run any code, .*unpickle=True"):
        bench.load("nasbench201/curves/cifar10")
    b = bench.load("nasbench201/curves/cifar10", unpickle=True)
    for part, expected in zip(b._curves, known, strict=True):
        assert np.array_equal(part, expected, equal_nan=True)
    (few201 / "nb201_cifar10-valid_888_eval_times.pkl").unlink()
    with pytest.raises(BenchmarkError, match="has 0 files of eval_times, seed 888"):
        _nb201.read_pickles(few201, "cifar10")


def test_the_pickle_of_torch_is_refused(tiny201):
    (tiny201 / "NAS-Bench-201-v1_1-096897.pth").write_bytes(b"anything")
    with pytest.raises(UnsupportedError, match=r"096897\.pth is a pickle, .*Supply nasbench_201/NAS-Bench-201-v1_1"):
        bench.load("nasbench201/curves/cifar10")


def test_arrays_of_another_form(tiny201):
    np.savez(tiny201 / "cifar10.npz", **curves201()._replace(test=np.zeros((5, 3), dtype=np.float32))._asdict())
    with pytest.raises(BenchmarkError, match=r"test \(5, 3\).* They must be \(15625, r, 2\)"):
        bench.load("nasbench201/curves/cifar10")
    np.savez(tiny201 / "cifar10.npz", valid=np.zeros(3))
    with pytest.raises(BenchmarkError, match=r"cannot be read .* It must be an \.npz of: valid \(3-dimensional\)"):
        bench.load("nasbench201/curves/cifar10")


def test_final_values_of_nasbench201(tmp_path, monkeypatch):
    """One seed is missing for some cells, as in the true table, and the test values lie in another file."""
    parquet = pytest.importorskip("pyarrow.parquet", reason='pyarrow is not installed: pip install "luthier[bench]"')
    import pyarrow as pa

    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    values = rng.uniform(10, 90, (_nb201.CELLS, 3)).astype(np.float32)
    values[::5, 2] = np.nan
    (tmp_path / "tabular_hpo").mkdir()
    np.savez(tmp_path / "tabular_hpo" / "nasbench201.npz", cifar10=values)
    (tmp_path / "tabular_hpo" / "nasbench201.json").write_text("{}")
    monkeypatch.setattr(nasbench201.Nasbench201, "_files", lambda self, name, task: [
        tmp_path / "tabular_hpo" / f"nasbench201.{ending}" for ending in ("npz", "json")
    ])  # fmt: skip
    b = bench.load("nasbench201/cifar10")
    assert b.card.noise == "recorded seeds: 3125 cells have 2, 12500 cells have 3"
    config = {f"Op{i}": op for i, op in enumerate(["none", "none", "none", "none", "skip_connect", "avg_pool_3x3"])}
    assert b.evaluate(config, seed=1).metrics["valid_accuracy"] == values[5 + 4, 1]
    with pytest.raises(UnsupportedError, match="has its test values in transfer_blackboxes/nasbench201_test_latency"):
        b.evaluate_test(config)
    codes = np.array(list(itertools.product(range(5), repeat=6)))[::-1]
    errors = rng.uniform(10, 90, (_nb201.CELLS))
    columns = {f"hp_x{i}": codes[:, i] for i in range(6)} | {"metric_error": errors, "task": ["cifar10"] * len(codes)}
    file = nasbench201.transfer_nasbench201.FILE
    (tmp_path / file.path).parent.mkdir()
    parquet.write_table(pa.table(columns), tmp_path / file.path)
    monkeypatch.setattr(nasbench201.transfer_nasbench201, "FILE", DataFile(file.path))
    assert b.evaluate_test(config).metrics == {"test_error": errors[_nb201.CELLS - 1 - 9]}
    check_benchmark(b)


@pytest.mark.skipif("LUTHIER_DATA" not in os.environ, reason="LUTHIER_DATA is not set: the tables are not at hand")
@pytest.mark.parametrize(("task", "correlation"), [("cifar10", 0.99), ("cifar100", 0.99), ("imagenet", 0.99)])
def test_validation_and_test_values_of_the_true_tables_belong_together(task, correlation):
    """So they do when Op0 to Op5 are the edges in the order of the data set's text, and not in any other tried."""
    b = bench.load(f"nasbench201/{task}")
    assert b.card.noise == "recorded seeds: 7456 cells have 2, 8169 cells have 3"
    config = b.space.default() | {"Op0": "nor_conv_3x3", "Op5": "nor_conv_1x1"}
    assert 0 < b.evaluate_test(config).metrics["test_error"] < 100
    assert np.corrcoef(b.means, 100 - b._tests)[0, 1] > correlation
    swapped = b._tests.reshape([5] * 6).transpose(5, 4, 3, 2, 1, 0).ravel()
    assert np.corrcoef(b.means, 100 - swapped)[0, 1] < 0.6


# FCNet ---------------------------------------------------------------------------------------------------


def test_curves_of_fcnet(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    place = tmp_path / "fcnet_tabular_benchmarks" / "naval_propulsion.npz"
    place.parent.mkdir()
    rng = np.random.default_rng(0)
    cells = math.prod(len(values) for values in _fcnet.LISTS.values())
    assert cells == 62_208
    rows = rng.random((cells, 2)).astype(np.float32)
    shape = np.linspace(2, 1, 100, dtype=np.float32)
    np.savez(place, valid=rows[:, :, None] * shape, test=rows + 5, runtime=100 * rows + 50)
    b = bench.load("fcnet/curves/naval_propulsion")
    check_benchmark(b)
    assert (b.fidelity.name, b.fidelity.low, b.fidelity.high) == ("budget", 3, 100)
    assert b.space == bench.load("fcnet/protein_structure").space
    config = b.space.default()
    units, _ = b.space.encode([config])
    sizes = [len(values) for values in _fcnet.LISTS.values()]
    row = np.ravel_multi_index(tuple((units[0] * sizes).astype(int)), sizes)
    for budget in (3, 50, 100):
        found = b.evaluate(config, resource=budget, seed=1)
        assert found.metrics["valid_mse"] == pytest.approx(rows[row, 1] * shape[budget - 1], rel=1e-6)
        assert found.seconds == pytest.approx((100 * rows[row, 1] + 50) * budget / 100, rel=1e-6)
    for seed in (0, 1, None):
        assert b.evaluate_test(config, seed=seed).metrics["test_mse"] == pytest.approx(rows[row].mean() + 5, rel=1e-6)
    with pytest.raises(ArgumentError, match="Allowed: budget=100, where alone"):
        b.evaluate_test(config, resource=50)
    assert b.card.optimum["valid_mse"] == pytest.approx(rows.mean(axis=1).min(), rel=1e-6)
    assert bench.load("fcnet/curves/naval_propulsion", first=1).fidelity.low == 1
    with pytest.raises(ArgumentError, match="first=0"):
        bench.load("fcnet/curves/naval_propulsion", first=0)


def test_the_original_file_of_fcnet(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py", reason='h5py is not installed: pip install "luthier[bench]"')
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    place = tmp_path / "fcnet_tabular_benchmarks" / "fcnet_slice_localization_data.hdf5"
    place.parent.mkdir()
    space = bench.load("fcnet/protein_structure").space
    configs = [space.default(), *space.sample(3, np.random.default_rng(0))]
    with h5py.File(place, "w") as file:
        for i, config in enumerate(configs):
            group = file.create_group(json.dumps(config, sort_keys=True))
            group["valid_mse"] = np.full((4, 100), 1.0 + i) / np.arange(1, 101)
            group["final_test_error"] = np.arange(4.0) + i
            group["runtime"] = np.arange(100.0, 104.0)
    b = bench.load("fcnet/curves/slice_localization")
    assert b.card.noise == "4 seeds, optimum not computed"
    assert b.evaluate(configs[1], resource=10, seed=2).metrics["valid_mse"] == 0.2
    assert b.evaluate(configs[1], resource=10, seed=2).seconds == pytest.approx(10.2)
    assert b.evaluate_test(configs[1]).metrics == {"test_mse": 2.5}
    check_benchmark(b, configs=configs)
    with pytest.raises(BenchmarkError, match="has no group"):
        _fcnet.convert(place, tmp_path / "a.npz")


# ParamNet ------------------------------------------------------------------------------------------------


@pytest.fixture
def forests(tmp_path, monkeypatch):
    monkeypatch.setenv("LUTHIER_DATA", str(tmp_path))
    rng = np.random.default_rng(0)
    X = np.column_stack(
        [
            10 ** rng.uniform(-6, -2, 200),
            2 ** rng.uniform(3, 8, 200),
            2 ** rng.uniform(4, 8, 200),
            10 ** rng.uniform(-4, 0, 200),
            rng.random(200),
            rng.integers(1, 6, 200),
            rng.uniform(0, 0.5, (200, 2)),
        ]
    )
    errors = rng.uniform(0.1, 0.9, (200, 1)) * np.linspace(1, 0.5, 50)
    error = RandomForestRegressor(5, random_state=0).fit(X, errors)
    seconds = RandomForestRegressor(5, random_state=1).fit(X, rng.uniform(5, 400, 200))
    for name, forest in (("surrogate", error), ("cost_surrogate", seconds)):
        (tmp_path / f"rf_{name}_paramnet_adult.pkl").write_bytes(pickle.dumps(forest))
    place = tmp_path / "paramnet" / "adult.npz"
    place.parent.mkdir()
    _net_converter.main(*(str(tmp_path / f"rf_{n}_paramnet_adult.pkl") for n in ("surrogate", "cost_surrogate")), place)
    return error, seconds, place


def asked(config):
    """What HPOBench asks its forests about."""
    return np.array(
        [[
            10 ** config["initial_lr_log10"], round(2 ** config["batch_size_log2"]),
            round(2 ** config["average_units_per_layer_log2"]), 10 ** config["final_lr_fraction_log2"], 0.5,
            config["num_layers"], config["dropout"], config["dropout"],
        ]]
    )  # fmt: skip


def test_paramnet_on_steps(forests):
    error, seconds, _ = forests
    b = bench.load("net/adult", axis="steps")
    assert (b.fidelity.name, b.fidelity.low, b.fidelity.high) == ("step", 1, 50)
    for config in b.space.sample(10, np.random.default_rng(1)):
        curve, cost = error.predict(asked(config))[0], seconds.predict(asked(config))[0]
        for step in (1, 7, 50):
            found = b.evaluate(config, resource=step)
            assert found.metrics["error"] == pytest.approx(curve[step - 1], rel=1e-6)
            assert found.seconds == pytest.approx(cost / 50 * step, rel=1e-6)
    check_benchmark(b)


def test_paramnet_on_time(forests):
    error, seconds, _ = forests
    b = bench.load("net/adult")
    assert (b.fidelity.name, b.fidelity.low, b.fidelity.high) == ("budget", 9, 243)
    epochs = set()
    for config in b.space.sample(20, np.random.default_rng(1)):
        curve, cost = error.predict(asked(config))[0], seconds.predict(asked(config))[0]
        for budget in (9, 81, 243):
            found = b.evaluate(config, resource=budget)
            fit = sum(cost / 50 * (i + 1) <= budget for i in range(50))
            assert found.info["epochs"] == fit
            assert found.metrics["error"] == pytest.approx(curve[fit - 1] if fit else 1.0, rel=1e-6)
            assert found.seconds == budget
            epochs.add(fit)
    assert {50} < epochs  # some end within the budget, some do not
    check_benchmark(b)
    with pytest.raises(UnsupportedError):
        b.evaluate_test(b.space.default())


def constant(error, seconds, **more):
    """A file whose forests predict the same for every configuration."""
    found = {"base": np.array(2.0)}
    for name, values in (("error", np.full((1, 50), error)), ("seconds", np.array([[seconds]]))):
        leaf = {"roots": [0], "feature": [-1], "threshold": [0.0], "left": [0], "right": [0], "values": values}
        found |= {f"{name}_{part}": np.array(array) for part, array in leaf.items()}
    return found | more


def test_paramnet_where_no_epoch_fits(forests):
    np.savez(forests[2], **constant(0.25, 50 * 10.0))  # ten seconds an epoch
    b = bench.load("net/adult")
    config = b.space.default()
    answers = {budget: b.evaluate(config, resource=budget).metrics["error"] for budget in (9, 10, 243)}
    assert answers == {9: 1.0, 10: 0.25, 243: 0.25}


def test_spaces_of_paramnet():
    reduced, full = net.space("reduced"), net.space("full")
    assert len(reduced.names) == 6
    assert len(full.names) == 8
    assert reduced.default() == {
        "initial_lr_log10": -4.0, "batch_size_log2": 5.5, "average_units_per_layer_log2": 6.0,
        "final_lr_fraction_log2": -2.0, "num_layers": 3, "dropout": 0.25,
    }  # fmt: skip
    row = net.columns(reduced.default(), 10.0)
    assert row.tolist() == [1e-4, 45, 64, 1e-2, 0.5, 3, 0.25, 0.25]
    assert net.columns(full.default(), 2.0).tolist() == [1e-4, 45, 64, 0.25, 0.5, 3, 0.25, 0.25]
    assert net.columns(full.default() | {"shape_parameter_1": 1.0, "dropout_1": 0.0}, 2.0).tolist()[4:] == [
        1,
        3,
        0.25,
        0,
    ]


def test_budgets_of_paramnet():
    assert net.SECONDS["poker"] == (81, 2187)
    assert all(high == 27 * low for low, high in net.SECONDS.values())


def test_pickles_of_paramnet_are_refused(forests):
    forests[2].unlink()
    (forests[2].parent / "rf_surrogate_paramnet_adult.pkl").write_bytes(b"")
    with pytest.raises(UnsupportedError, match=r"rf_surrogate_paramnet_adult\.pkl is a pickle of scikit-learn 0\.18"):
        bench.load("net/adult")


@pytest.mark.parametrize(("error", "seconds"), [(1.5, 1.0), (-0.1, 1.0), (0.5, 0.0)])
def test_impossible_predictions_are_refused(forests, error, seconds):
    np.savez(forests[2], **constant(error, seconds))
    with pytest.raises(BenchmarkError, match=r"must have 50 within \[0, 1\], and one above 0"):
        bench.load("net/adult")
