"""NB101 and NB1shot1: cells, encodings, spaces, answers from tiny files of the true form."""

from __future__ import annotations

import base64
import itertools
import json

import numpy as np
import pytest
from test_bench_formats import frame, message

from luthier import bench
from luthier.base.errors import BenchmarkError, DataMissing
from luthier.base.records import Card, Configuration
from luthier.bench.families import _cells, _nb101, nb1shot1, nb101
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
