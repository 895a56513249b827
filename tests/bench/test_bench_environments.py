"""Locks, and environments by the hash of their lock: from wheels without a network, by pip and by uv."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from luthier.base.errors import ArgumentError, BenchmarkError, UnsupportedError
from luthier.bench import isolation
from luthier.bench.families.digits import DigitsFamily
from luthier.bench.isolation import environment, locks
from luthier.testing.benchmark import check_benchmark


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


def old_python():
    for place, version in locks._candidates():
        if version < (3, 9) and locks._runs(place, version):
            return version
    return pytest.skip("no Python older than 3.9 is installed")


@pytest.mark.slow
def test_an_environment_of_an_old_python(land):
    version = old_python()
    lock = land / "land.txt"
    lock.write_text(lock.read_text().replace(">=3.11", f"=={version[0]}.{version[1]}.*"))
    built = isolation.create("digits", land / "wheels", installer="pip")
    assert built.python_version == f"{version[0]}.{version[1]}"
    (land / "program.py").write_text(PROGRAM)
    with isolation.IsolatedBenchmark(isolation.Program("land", file=str(land / "program.py")), built.python) as b:
        assert b.evaluate({"x": 0.25}).metrics == {"height": 0.5}
        assert b.provenance["python"].startswith(built.python_version + ".")


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
