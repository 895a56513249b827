"""One small study that most tests of this folder look at, and the ways to call a command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from luthier.cli._app import app

PROGRAM = """
import os, time
import luthier as lu

space = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), width=lu.Int(4, 64), act=lu.Choice("relu", "tanh"))

def train(run):
    print("trial", run.number, "speaks")
    for epoch in run.resources():
        time.sleep(float(os.environ.get("TRAIN_SLEEP", "0")))
        run.report(loss=abs(run.config["lr"] - 0.1) + 1 / (run.config["width"] * epoch), epoch=epoch)

def broken(run):
    raise ValueError("wrong shape")

def sometimes(run):
    if run.number == 1:
        raise ValueError("wrong shape")
    return run.config["lr"]

def two(run):
    return {"loss": run.config["lr"], "size": run.config["width"]}

number = 3
"""
ASHA = ["--searcher", "random", "--scheduler", "asha", "--max", "epoch=9"]
INLINE = ["--executor", "inline"]

Call = Callable[..., Result]


@pytest.fixture
def call() -> Call:
    """Run a command in this process."""

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, list(words), prog_name="luthier")

    return run


def started(*words: str, cwd: Path, **more: object) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    env = {**os.environ, **more.pop("env", {})}  # type: ignore[dict-item]
    return subprocess.Popen(
        [sys.executable, "-m", "luthier", *words],
        cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,  # type: ignore[call-overload]
    )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the program, the current one of the test."""
    (tmp_path / "train.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the program and a finished study `done` of 15 trials. Look at it only."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "train.py").write_text(PROGRAM)
    before = Path.cwd()
    os.chdir(folder)
    try:
        result = CliRunner().invoke(
            app, ["tune", "train.py:train", *ASHA, *INLINE, "--trials", "15", "--out", "done", "--json"]
        )
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.output
    (folder / "tune.jsonl").write_text(result.stdout)
    (folder / "tune.err").write_text(result.stderr)
    return folder


@pytest.fixture
def done(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared folder as the current one."""
    monkeypatch.chdir(shared)
    return shared
