"""A function named by text: found by file or module, sent to other processes."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from luthier.base.errors import ArgumentError, ExecutorError
from luthier.runtime.executors._function import FunctionTarget


def test_a_file_is_loaded_on_the_first_call_and_once(tmp_path: Path) -> None:
    (tmp_path / "helper_of_once.py").write_text("value = 20\n")
    (tmp_path / "once.py").write_text(
        "import helper_of_once\ncount = []\ncount.append(1)\n\n"
        "def train(run):\n    return run + helper_of_once.value\n\n"
        "class Thing:\n    @staticmethod\n    def train(run):\n        return -run\n"
    )
    target = FunctionTarget.parse("once.py:train", folder=str(tmp_path))
    assert target.text == f"{tmp_path}/once.py:train"
    assert "once" not in sys.modules
    assert target(1) == 21
    assert target(2) == 22
    assert target.module().count == [1]
    assert target.module().__name__ == "once"
    assert FunctionTarget.parse("once.py:Thing.train", folder=str(tmp_path))(3) == -3


def test_a_name_that_is_taken_keeps_its_module(tmp_path: Path) -> None:
    import json

    (tmp_path / "json.py").write_text("def train(run):\n    return 'mine'\n")
    target = FunctionTarget.parse("json.py:train", folder=str(tmp_path))
    assert target(None) == "mine"
    assert sys.modules["json"] is json
    assert target.module().__name__ == "luthier_target_json"
    sys.path.remove(str(tmp_path))


def test_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text("def fit(run):\n    return 5\n")
    monkeypatch.syspath_prepend("")  # so that the path is restored
    assert FunctionTarget.parse("my_package.models:fit", folder=str(tmp_path))(None) == 5


def test_it_travels_to_another_process_and_is_loaded_there_at_once(tmp_path: Path) -> None:
    (tmp_path / "travels.py").write_text("def train(run):\n    return run * 2\n")
    target = FunctionTarget.parse("travels.py:train", folder=str(tmp_path))
    (tmp_path / "blob").write_bytes(pickle.dumps(target))
    code = (
        "import pickle, sys; t = pickle.load(open(sys.argv[1], 'rb')); print('travels' in sys.modules, t(21), repr(t))"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path / "blob")], capture_output=True, text=True)
    assert found.stdout == f"True 42 FunctionTarget('{tmp_path}/travels.py', 'train')\n", found.stderr
    (tmp_path / "travels.py").write_text("def other(run):\n    return 1\n")
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path / "blob")], capture_output=True, text=True)
    assert (
        "'train' is not there. Did you mean" in found.stderr or "'train' is not there. Allowed: 'other'" in found.stderr
    )


@pytest.mark.parametrize("text", ["train", "train.py", ":train", "train.py:", "C:/x/train"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(
        ArgumentError, match=r"names no function\. Allowed: file\.py:function or package\.module:function"
    ):
        FunctionTarget.parse(text)


def test_a_program_that_leaves(tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(ArgumentError, match=r"left with sys\.exit\(3\) while it was imported.*__name__"):
        FunctionTarget.parse("leaves.py:train", folder=str(tmp_path)).load()
    assert "leaves" not in sys.modules


def test_a_program_that_starts_a_study_is_not_run_by_its_import(tmp_path: Path) -> None:
    for name, call in (("starts", "study.run(train, trials=2)"), ("asks", "study.ask()")):
        (tmp_path / f"{name}.py").write_text(
            "import luthier as lu\n\ndef train(run):\n    return run.config['x']\n\n"
            f"study = lu.Study({{'x': lu.Float(0, 1)}}, searcher='random')\n{call}\n"
        )
        with pytest.raises(ExecutorError, match=r"starts a study while it is imported.*if __name__ =="):
            FunctionTarget.parse(f"{name}.py:train", folder=str(tmp_path)).load()
        assert name not in sys.modules


def test_a_program_is_imported_with_arguments_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["luthier", "resume", "runs/first"])
    (tmp_path / "looks_at_argv.py").write_text("import sys\nseen = list(sys.argv)\n\ndef train(run):\n    return 1\n")
    target = FunctionTarget.parse("looks_at_argv.py:train", folder=str(tmp_path))
    assert target.module().seen == [str(tmp_path / "looks_at_argv.py")]
    assert sys.argv == ["luthier", "resume", "runs/first"]
