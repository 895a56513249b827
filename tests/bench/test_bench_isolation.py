"""Isolated benchmarks: the worker and what may befall it, the contract battery, the pool."""

from __future__ import annotations

import ast
import math
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError, BenchmarkError, DataMissing, SpaceError, UnsupportedError
from luthier.base.records import Constraint, Status
from luthier.bench import isolation
from luthier.bench.isolation import _process, locks, worker
from luthier.runtime.executors import Limits, _tree
from luthier.testing.benchmark import check_benchmark

TOY = Path(__file__).parents[1] / "data" / "isolated_toy.py"
WORKER = Path(worker.__file__)


def toy(python=None, *, limits=None, start_seconds=30.0, **options):
    program = isolation.Program("toy", "open_toy", file=str(TOY), options=options)
    return isolation.IsolatedBenchmark(program, python, limits=limits, start_seconds=start_seconds)


def does(deed, x=0.5):
    return {"x": x, "does": deed}


def gone(pid, seconds=5.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        entry = _tree.table().get(pid)
        if entry is None or entry.dead:
            return True
        time.sleep(0.01)
    return False


# -- the worker --------------------------------------------------------------------------------------------------


def test_the_worker_is_one_file_of_the_standard_library_for_old_pythons():
    tree = ast.parse(WORKER.read_text(), feature_version=(3, 6))
    imported = {
        (node.names[0].name if isinstance(node, ast.Import) else node.module).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported <= sys.stdlib_module_names
    assert "__future__" not in imported  # annotations are not known to 3.6


def old_python():
    for place, version in locks._candidates():
        if version < (3, 9) and locks._runs(place, version):
            return place, version
    return pytest.skip("no Python older than 3.9 is installed")


def test_an_old_python_serves():
    place, version = old_python()
    with toy(place) as b:
        found = b.evaluate(does("answer"))
    assert found.info["python"] == list(version)
    assert found.metrics == {"loss": 0.0625, "size": 0.5}


def test_everything_the_program_describes_arrives():
    with toy() as b:
        assert b.name == "toy"
        assert list(b.space.names) == ["x", "does"]
        assert (b.fidelity.name, b.fidelity.low, b.fidelity.high) == ("epoch", 1, 4)
        assert b.problem.constraints == (Constraint("size", 1.0),)
        assert b.card.source == "a test"
        assert b.bounds == {"loss": (0.0, 1.0)}
        assert b.continues is False
        with pytest.raises(UnsupportedError, match="has no test values"):
            b.evaluate_test(does("answer"))
        curve = b.curve(does("answer"), 2)
    assert [(step, one.metrics["loss"], one.seconds) for step, one in curve] == [(1.0, 0.25, 2.0), (2.0, 0.125, 4.0)]


def test_provenance_is_with_every_answer():
    with toy() as b:
        info = b.evaluate(does("answer")).info
    found = info["isolation"]
    assert info["threads"] == "1"
    assert found["threads"] == 1
    assert found["packages"]["numpy"]
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["cpu"]
    assert found["data"] == {"file": "0" * 64}
    assert found["lock"] is None


def test_threads_are_a_limit():
    with toy(limits=Limits(cpus=2)) as b:
        assert b.evaluate(does("answer")).info["threads"] == "2"
        assert b.provenance["threads"] == 2


def test_prints_do_not_reach_the_channel():
    with toy() as b:
        assert b.evaluate(does("print")).metrics["loss"] == 0.0625
        assert b.evaluate(does("print")).info["asked"] == 2
        assert len(b.starts) == 1


@pytest.mark.parametrize(
    ("deed", "outcome", "error"),
    [
        ("raise", "raised", "ValueError: this configuration is ill"),
        ("exit", "raised", "SystemExit: enough"),
        ("odd", "raised", "ValueError: status 'great' of an answer is none of completed, diverged, failed"),
        ("die", "crashed", "the program ended its process with exit code 3"),
        ("fault", "crashed", r"the program was killed by SIGSEGV \(.*\)"),
        ("leave", "crashed", "the program ended its process with exit code 4"),
        ("killed", "killed", r"the worker was killed from outside by SIGKILL .*"),
    ],
)
def test_what_goes_wrong_is_an_answer(deed, outcome, error):
    with toy() as b:
        found = b.evaluate(does(deed))
        assert found.status is Status.FAILED
        assert found.metrics == {}
        assert found.info["outcome"] == outcome
        assert re.fullmatch(error, found.info["error"])
        assert 0 <= found.seconds < 20
        assert b.evaluate(does("answer")).metrics == {"loss": 0.0625, "size": 0.5}
        died = {"raised": 0, "crashed": 1, "killed": 2}[outcome]  # killed from outside: asked once more
        assert len(b.starts) == 1 + died


def test_last_words_are_kept():
    with toy() as b:
        assert b.evaluate(does("die")).info["output"] == "last words"
        assert "isolated_toy.py" in b.evaluate(does("raise")).info["output"]


def test_a_hang_costs_the_limit_and_takes_its_children_along(tmp_path):
    mark = tmp_path / "mark"
    with toy(limits=Limits(seconds=0.3), mark=str(mark)) as b:
        found = b.evaluate(does("hang"))
        assert (found.status, found.info["outcome"], found.seconds) == (Status.FAILED, "timeout", 0.3)
        assert found.info["error"] == "time limit of 0.3 s exceeded"
        assert gone(int(mark.read_text().split()[0]))
        curve = b.curve(does("hang"), 2)
        assert [(step, one.info["outcome"]) for step, one in curve] == [(s, "timeout") for s in (1.0, 2.0)]


def test_memory_is_a_limit():
    with toy(limits=Limits(memory_mb=200)) as b:
        found = b.evaluate(does("eat"))
        assert (found.status, found.info["outcome"]) == (Status.FAILED, "out of memory")
        assert found.info["error"].startswith("memory limit of 200 MB exceeded")
        assert b.evaluate(does("answer")).status is Status.COMPLETED


def test_killed_from_outside_once_is_asked_again(tmp_path):
    with toy(mark=str(tmp_path / "mark")) as b:
        assert b.evaluate(does("once")).metrics["loss"] == 0.0625
        assert len(b.starts) == 2


def test_divergence_is_no_failure():
    with toy() as b:
        found = b.evaluate(does("diverge"))
    assert found.status is Status.DIVERGED
    assert math.isnan(found.metrics["loss"])


@pytest.mark.parametrize(("deed", "lives"), [("hang", True), ("deaf", False)])
def test_cancel(deed, lives, tmp_path, monkeypatch):
    monkeypatch.setattr(_process, "_GRACE", 0.3)
    with toy(mark=str(tmp_path / "mark")) as b:
        timer = threading.Timer(0.2, b.cancel)
        timer.start()
        found = b.evaluate(does(deed))
        timer.join()
        assert (found.status, found.info["outcome"]) == (Status.FAILED, "cancelled")
        assert found.seconds < 20
        assert b.evaluate(does("answer")).status is Status.COMPLETED
        assert len(b.starts) == (1 if lives else 2)


def test_one_bad_configuration_does_not_spoil_a_batch():
    with toy(batch=True) as b:
        fine = b.evaluate_batch([does("answer", x) for x in (0.1, 0.2)])
        assert [one.info["batch"] for one in fine] == [2, 2]
        mixed = b.evaluate_batch([does("answer", 0.1), does("die"), does("answer", 0.2)])
    assert [one.status for one in mixed] == [Status.COMPLETED, Status.FAILED, Status.COMPLETED]
    assert [one.metrics for one in mixed[::2]] == [one.metrics for one in fine]


def test_what_is_not_of_the_space_is_refused_here():
    with toy() as b:
        with pytest.raises(SpaceError, match="benchmark 'toy': configuration"):
            b.evaluate({"x": 3.0, "does": "answer"})
        with pytest.raises(ArgumentError, match="Allowed: epoch from 1 to 4"):
            b.evaluate(does("answer"), resource=9)


def test_a_copy_has_its_own_worker_from_its_first_question_on():
    with toy() as b:
        copy = pickle.loads(pickle.dumps(b))
        assert copy.starts == []
        assert copy.evaluate(does("answer")).info["asked"] == 1
        assert len(copy.starts) == 1
        assert copy.provenance == b.provenance
        copy.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_does_not_share_the_worker():
    with toy() as b:
        b.evaluate(does("answer"))
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(theirs, b"%d" % b.evaluate(does("answer")).info["asked"])
                b.close()
            finally:
                os._exit(0)
        os.close(theirs)
        assert os.read(ours, 10) == b"1"  # a worker of its own, asked for the first time
        os.close(ours)
        os.waitpid(child, 0)
        assert b.evaluate(does("answer")).info["asked"] == 2


def test_a_killed_parent_leaves_nothing_behind():
    code = (
        "import os, signal\n"
        "from luthier.bench import isolation\n"
        f"p = isolation.Program('toy', 'open_toy', file={str(TOY)!r})\n"
        "b = isolation.IsolatedBenchmark(p)\n"
        "print(b._worker._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -9
    assert gone(int(done.stdout))


def test_an_interrupt_ends_the_worker_and_the_next_question_starts_another():
    with toy() as b:
        worker_process = b._worker

        def interrupted(*_):
            raise KeyboardInterrupt

        worker_process._look = interrupted
        with pytest.raises(KeyboardInterrupt):
            b.evaluate(does("deaf"))
        assert not worker_process.alive
        assert b.evaluate(does("answer")).info["asked"] == 1


# -- a start that fails ------------------------------------------------------------------------------------------


def stand_in(tmp_path, body):
    """An interpreter that is none."""
    place = tmp_path / "python"
    place.write_text(f"#!{sys.executable}\nimport json, os, struct, sys, time\n{body}\n")
    place.chmod(0o755)
    return str(place)


def speaking(message):
    return (
        f"body = json.dumps({message!r}).encode()\n"
        "size = struct.unpack('>I', sys.stdin.buffer.read(4))[0]\n"
        "sys.stdin.buffer.read(size)\n"
        "sys.stdout.buffer.write(struct.pack('>I', len(body)) + body)\n"
        "sys.stdout.flush()\n"
        "time.sleep(60)"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("time.sleep(60)", r"benchmark 'toy': its worker did not start: time limit of 0\.6 s exceeded.*start_seconds"),
        (
            "sys.exit('no such module')",
            "did not start: the program ended its process with exit code 1 after .* it printed: no such module",
        ),
        ("print('Welcome!', flush=True); time.sleep(60)", "its worker wrote b'Welcome!"),
        ("os.write(1, b'\\0\\0\\0\\2??'); time.sleep(60)", r"its worker wrote b'\\x00\\x00\\x00\\x02\?\?' where"),
        (speaking({"id": 1, "result": {"protocol": 99}}), "its worker speaks protocol 99; this luthier speaks 1"),
        (speaking({"id": 1, "result": None}), "its worker speaks protocol None"),
    ],
)
def test_what_is_no_worker(tmp_path, body, message):
    with pytest.raises(BenchmarkError, match=message):
        toy(stand_in(tmp_path, body), start_seconds=0.6 if body == "time.sleep(60)" else 20)


def test_a_python_that_is_not_there():
    with pytest.raises(BenchmarkError, match=r"benchmark 'toy': /no/python cannot be started"):
        toy("/no/python")


def test_another_protocol_is_refused_by_the_worker_too(monkeypatch):
    monkeypatch.setattr(worker, "PROTOCOL", 7)
    with pytest.raises(BenchmarkError, match="this worker speaks protocol 1 and was asked for 7"):
        toy()


def test_death_in_the_middle_of_an_answer(tmp_path):
    body = "os.write(1, b'\\0\\0\\0\\x50{\"id\": 1')"
    with pytest.raises(BenchmarkError, match="the program ended its process with exit code 0"):
        toy(stand_in(tmp_path, body))


def test_a_program_that_cannot_be_loaded():
    with pytest.raises(BenchmarkError, match=r"cannot be loaded in the environment of .*: RuntimeError: no such data"):
        toy(note="broken")
    with pytest.raises(BenchmarkError, match=r"describes itself wrongly \(KeyError: 'space'\)"):
        toy(note="vague")
    with pytest.raises(BenchmarkError, match=r"did not start: time limit of 0\.3 s exceeded"):
        toy(note="slow", start_seconds=0.3)


def test_arguments_are_checked():
    with pytest.raises(ArgumentError, match=r"program 'x': file=None, module=None\. Give one of them"):
        isolation.Program("x")
    with pytest.raises(UnsupportedError, match="gpus=1"):
        toy(limits=Limits(gpus=1))
    with pytest.raises(ArgumentError, match="environment='mine'"):
        isolation.load("digits/0", environment="mine")
    with pytest.raises(ArgumentError, match=r"no task 'nothing'"):
        isolation.load("fcnet/nothing", environment="this")


def test_missing_data_is_said_as_it_is_without_isolation(monkeypatch):
    monkeypatch.delenv("LUTHIER_DATA", raising=False)
    with pytest.raises(DataMissing, match="LUTHIER_DATA is not set"):
        isolation.load("fcnet/slice_localization", environment="this")


# -- benchmarks of luthier's -------------------------------------------------------------------------------------


def test_battery_isolated():
    with isolation.load("fcnet/protein_structure", environment="this") as b:
        check_benchmark(b)
        assert len(b.starts) == 1


def test_an_isolated_training_answers_as_one_in_process():
    inside = bench.load("digits/0")
    config = {**inside.space.default(), "width": 16, "batch_size": 256}
    with isolation.load("digits/0", environment="this") as b:
        assert b.trains
        assert (b.space, b.fidelity, b.objectives, b.bounds) == (
            inside.space, inside.fidelity, inside.objectives, inside.bounds,
        )  # fmt: skip
        assert b.card == inside.card
        check = [(lambda one: one.evaluate(config, resource=2)), (lambda one: one.evaluate_test(config, resource=1))]
        for ask in check:
            here, there = ask(inside), ask(b)
            assert (here.metrics, here.seconds, here.status) == (there.metrics, there.seconds, there.status)
        curves = [[(s, e.metrics) for s, e in one.curve(config, 2)] for one in (inside, b)]
        assert curves[0] == curves[1]


@pytest.mark.slow
def test_battery_isolated_on_what_trains():
    with isolation.load("digits/0", environment="this") as b:
        quick = {"width": 16, "batch_size": 256}
        check_benchmark(b, configs=[{**b.space.default(), **quick, "activation": a} for a in ("relu", "tanh")])


def test_pool_starts_once_for_each_benchmark_and_worker():
    inside = bench.load("fcnet/protein_structure")
    configs = inside.space.sample(12, np.random.default_rng(0))
    with isolation.Pool(2, environment="this") as pool:
        for _ in range(2):
            found = pool.evaluate_batch(inside.name, configs)
            assert [one.metrics for one in found] == [one.metrics for one in inside.evaluate_batch(configs)]
        assert {name for name, _ in pool.starts} == {inside.name}
        assert all(len(seconds) == 1 for seconds in pool.starts.values())
        first, second = (pool.benchmark(inside.name, worker=place) for place in (0, 1))
        assert first is pool.benchmark(inside.name)
        assert first._worker._process.pid != second._worker._process.pid
        with pytest.raises(ArgumentError, match="worker=2"):
            pool.benchmark(inside.name, worker=2)
        pids = [one._worker._process.pid for one in (first, second)]
    assert all(gone(pid) for pid in pids)
