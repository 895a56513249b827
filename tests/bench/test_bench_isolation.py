"""Isolated benchmarks: the worker and what may befall it, environments by lock, and the contract battery."""

from __future__ import annotations

import ast
import base64
import hashlib
import math
import os
import pickle
import re
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from luthier import bench
from luthier.base.errors import ArgumentError, BenchmarkError, DataMissing, SpaceError, UnsupportedError
from luthier.base.records import Constraint, Status
from luthier.bench import isolation
from luthier.bench.families.digits import DigitsFamily
from luthier.bench.isolation import _process, environment, locks, worker
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


# -- locks and environments --------------------------------------------------------------------------------------


def wheel(folder, name, version, code):
    """A wheel of one module; its SHA-256."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": code,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-run = {name}:main\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},"
        f"{len(text.encode())}\n"
        for path, text in files.items()
    )
    place = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(place, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return hashlib.sha256(place.read_bytes()).hexdigest()


PROGRAM = """
import tinyland
class Land:
    def describe(self):
        space = {"hyperparameters": [{"name": "x", "type": "float", "low": 0.0, "high": 1.0}]}
        return {"space": space, "objectives": [["height", "max"]]}
    def evaluate(self, config, resource, seed):
        return {"metrics": {"height": tinyland.height(config["x"])}}
open = Land
"""


@pytest.fixture
def land(tmp_path, monkeypatch):
    """A wheel folder, and a family whose lock names its wheel; an empty cache."""
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", os.defpath)  # no uv
    sha256 = wheel(
        tmp_path / "wheels", "tinyland", "1.5", "def height(x):\n    return 2 * x\ndef main():\n    print('run')\n"
    )
    lock = tmp_path / "land.txt"
    lock.write_text(f"# requires-python: >=3.11\ntinyland==1.5 \\\n    --hash=sha256:{sha256}\n")
    monkeypatch.setattr(DigitsFamily, "lock", lock, raising=False)
    return tmp_path


def test_an_environment_from_wheels_alone(land):
    assert isolation.describe("digits")["built"] is None
    with pytest.raises(BenchmarkError, match=r"not built\. Build it with: luthier bench env create digits"):
        isolation.load("digits/0")
    built = isolation.create("digits", land / "wheels", installer="pip")
    assert built.packages == {"tinyland": "1.5"}
    assert built.lock_sha256[:16] in built.folder
    assert Path(built.folder).parent == land / "cache" / "environments"
    script = Path(built.folder) / "bin" / "tinyland-run"
    assert subprocess.run([script], capture_output=True, text=True, check=True).stdout == "run\n"  # it was renamed

    (land / "program.py").write_text(PROGRAM)
    program = isolation.Program("land", file=str(land / "program.py"))
    with isolation.IsolatedBenchmark(program, built.python, lock=built.lock_sha256) as b:
        found = b.evaluate({"x": 0.25})
    assert found.metrics == {"height": 0.5}
    assert found.info["isolation"]["packages"] == {"tinyland": "1.5"}
    assert found.info["isolation"]["lock"] == built.lock_sha256
    with pytest.raises(BenchmarkError, match=r"digits/0' cannot be loaded .*No module named 'numpy'"):
        isolation.load("digits/0")  # what is not in the lock is not there

    before = Path(built.folder).stat().st_ino
    lock = land / "land.txt"
    lock.write_text("# another comment\n" + lock.read_text().replace(" \\\n   ", ""))
    assert isolation.create("digits", land / "wheels") == built  # an equal lock
    assert Path(built.folder).stat().st_ino == before
    told = isolation.describe("digits/0")
    assert told["requirements"] == {"tinyland": "1.5"}
    assert told["built"]["folder"] == built.folder
    assert told["built"]["bytes"] > 1000
    assert isolation.listing() == [built]
    assert isolation.remove(built.lock_sha256[:10]) == built
    assert isolation.listing() == []
    assert list((land / "cache" / "environments").iterdir()) == []
    with pytest.raises(ArgumentError, match=r"no environment 'digits' is built\. Built: none"):
        isolation.remove("digits")


def test_a_wheel_of_another_content_is_refused(land):
    wheel(land / "wheels", "tinyland", "1.5", "def height(x):\n    return -1\n")
    with pytest.raises(BenchmarkError, match=r"environment of lock 'land' cannot be built: .*HASH"):
        isolation.create("digits", land / "wheels", installer="pip")
    assert list((land / "cache" / "environments").iterdir()) == []  # nothing half done is left


def test_two_that_build_at_once_keep_one(land, monkeypatch):
    made = []

    def install(aside, *_):
        (aside / "bin").mkdir(parents=True)
        (aside / "bin" / "python").write_text(f"{len(made)}")
        made.append(aside)
        if len(made) == 1:  # while this one is busy, another one builds
            isolation.create("digits")
        return "pip"

    monkeypatch.setattr(environment, "_install", install)
    built = isolation.create("digits")
    assert len(made) == 2
    assert Path(built.python).read_text() == "1"  # the other one was first
    assert isolation.listing() == [built]


STAND_IN_UV = """#!{python}
import subprocess, sys
with open({log!r}, "a") as file:
    file.write(" ".join(sys.argv[1:]) + chr(10))
arguments = [a for a in sys.argv[1:] if a not in ("--quiet", "--offline", "--compile-bytecode")]
if arguments[0] == "venv":
    sys.exit(subprocess.call([arguments[2], "-m", "venv", "--without-pip", arguments[3]]))
place = arguments[arguments.index("--python") + 1]
rest = [a for a in arguments[2:] if a not in ("--python", place)]
sys.exit(subprocess.call([{python!r}, "-m", "pip", "-q", "--python", place, "install", *rest]))
"""


def test_uv_is_taken_where_it_is(land, monkeypatch):
    log = land / "log"
    uv = land / "bin" / "uv"
    uv.parent.mkdir()
    uv.write_text(STAND_IN_UV.format(python=sys.executable, log=str(log)))
    uv.chmod(0o755)
    with pytest.raises(ArgumentError, match="uv is not on the path"):
        isolation.create("digits", installer="uv")
    monkeypatch.setenv("PATH", f"{uv.parent}{os.pathsep}{os.defpath}")
    built = isolation.create("digits", land / "wheels")
    assert (built.installer, built.packages) == ("uv", {"tinyland": "1.5"})
    venv, install = log.read_text().splitlines()
    assert venv.startswith(f"venv --quiet --python {sys.executable} ")
    assert all(word in install for word in ("--require-hashes", "--no-index --find-links", "--offline"))


def test_locks_must_be_exact(tmp_path):
    hashed = "--hash=sha256:" + "0" * 64
    for line in (f"numpy>=1.0 {hashed}", "numpy==1.0", f"numpy==1.* {hashed}", "numpy==1.0 --hash=md5:00"):
        with pytest.raises(BenchmarkError, match=r"lock 'mine': .* is not exact"):
            locks.Lock("mine", line)
    one = locks.Lock("mine", f"b==2 {hashed}\n# about a\na[x]==1 ; python_version > '3' \\\n  {hashed}\n")
    other = locks.Lock("yours", f"a[x]==1 ;  python_version > '3' {hashed}  # why\n\nb==2 {hashed}")
    assert one.sha256 == other.sha256
    assert one.requirements == {"a": "1", "b": "2"}
    assert one.sha256 != locks.Lock("mine", f"a==1 {hashed}").sha256
    with pytest.raises(BenchmarkError, match="cannot be read"):
        locks.read(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("requires", "fits", "fails"),
    [
        ("", (3, 6), None),
        (">=3.8,<3.11", (3, 10), (3, 11)),
        (">3.8", (3, 9), (3, 8)),
        ("==3.7.*", (3, 7), (3, 8)),
        ("!=3.7.*, <=3.8", (3, 8), (3, 7)),
        ("==3.7", (3, 7), (3, 10)),
    ],
)
def test_requires_python(requires, fits, fails):
    assert locks.satisfies(fits, requires, "x")
    assert fails is None or not locks.satisfies(fails, requires, "x")


def test_no_python_fits(land):
    lock = land / "land.txt"
    lock.write_text(lock.read_text().replace(">=3.11", ">=3.99"))
    with pytest.raises(
        BenchmarkError, match=r"lock 'land' is for Python >=3\.99; this is 3\.\d+, and no other was found"
    ):
        isolation.create("digits")
    lock.write_text(lock.read_text().replace(">=3.99", "~3"))
    with pytest.raises(BenchmarkError, match="requires-python '~3' is not understood"):
        isolation.create("digits")


@pytest.mark.slow
def test_an_environment_of_an_old_python(land):
    _, version = old_python()
    lock = land / "land.txt"
    lock.write_text(f"# requires-python: =={version[0]}.{version[1]}.*\n")
    built = isolation.create("digits", land / "wheels", installer="pip")
    assert built.python_version == f"{version[0]}.{version[1]}"
    with toy(built.python) as b:
        assert b.evaluate(does("answer")).info["python"] == list(version)


def test_shipped_locks_are_exact_and_families_find_theirs():
    names = [path.stem for path in (Path(environment.__file__).parents[1] / "data" / "locks").glob("*.txt")]
    assert {"sklearn", "xgb", "xgb-darwin"} <= set(names)
    for name in names:
        assert "numpy" in locks.read(environment._lock_file(name)).requirements
    with pytest.raises(UnsupportedError, match="family 'fcnet' declares no lock"):
        isolation.create("fcnet")
    with pytest.raises(ArgumentError, match=r"benchmark 'digit' is not known\. Did you mean 'digits'"):
        isolation.create("digit")
    with pytest.raises(ArgumentError, match="is no folder"):
        isolation.create("xgb", "/no/such/folder")


@pytest.mark.slow
def test_a_real_environment_from_the_index(tmp_path, monkeypatch):
    """xgboost is not installed where luthier runs; in its own environment it trains."""
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path))
    built = isolation.create("xgb")
    assert built.packages["xgboost-cpu" if sys.platform == "linux" else "xgboost"] == "3.2.0"
    with isolation.load("xgb/iris") as b:
        quick = {**b.space.default()}
        check_benchmark(b, configs=[quick])
        assert b.provenance["lock"] == built.lock_sha256
