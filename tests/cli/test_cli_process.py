"""Commands as real processes: Ctrl-C, terminals, and how quickly help is there."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ASHA, started

import luthier as lu


def test_ctrl_c_leaves_a_log_that_resume_finishes(place: Path) -> None:
    words = ["tune", "train.py:train", *ASHA, "--trials", "24", "--workers", "2", "--out", "s", "--json"]
    process = started(*words, cwd=place, env={"TRAIN_SLEEP": "0.05"}, start_new_session=True)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] in ("stopped", "finished"):
            break
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to the whole group
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == (
        "interrupted: study 's' is saved up to its last report. Continue with: luthier resume s"
    )
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["exit"], last["where"]) == ("interrupted", 130, "s")
    with lu.Study.open(place / "s") as study:
        trials = len(study.trials)
        assert 0 < trials < 24
        assert not any(trial.status is lu.Status.RUNNING for trial in study.trials)
    process = started("resume", "s", cwd=place)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert f"it goes on: {trials} trials are there" in out
    with lu.Study.open(place / "s") as study:
        assert len(study.trials) == 24
        assert all(trial.status.ended for trial in study.trials)
        assert study.replay().differences == []


def on_terminal(words: list[str], cwd: Path, *, interrupt: bool = False) -> tuple[int, str]:
    """Exit code and everything drawn, of a command on a pseudo-terminal."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.environ.update(COLUMNS="100", LINES="40", TERM="xterm-256color", TRAIN_SLEEP="0.03")
        os.execv(sys.executable, [sys.executable, "-m", "luthier", *words])
    drawn = b""
    sent = False
    while True:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        drawn += piece
        if interrupt and not sent and b"stopped" in drawn:
            os.write(descriptor, b"\x03")
            sent = True
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(descriptor)
    return code, drawn.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_live_table(place: Path) -> None:
    code, drawn = on_terminal(["tune", "train.py:train", *ASHA, "--trials", "20", "--workers", "2"], place)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)
    assert code == 0, plain
    assert "Traceback" not in plain
    for word in ("random with asha", "of 20 trials left", "best", "default", "epoch 3", "configuration", "running"):
        assert word in plain, word
    assert "\x1b[?25h" in drawn, "the cursor is shown again"
    assert plain.rstrip().splitlines()[-1].strip() == "next: luthier report luthier-train"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_ctrl_c_on_a_terminal(place: Path) -> None:
    words = ["tune", "train.py:train", *ASHA, "--trials", "400", "--workers", "2"]
    code, drawn = on_terminal(words, place, interrupt=True)
    assert code == 130
    assert "Continue with: luthier resume luthier-train" in drawn
    assert "\x1b[?25h" in drawn
    assert "Traceback" not in drawn


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['luthier', '--help']\n"
        "from luthier.cli import main\n"
        "try: main()\n"
        "finally: print('\\nMODULES', *sorted({m.split('.')[0] for m in sys.modules}))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(out.rpartition("MODULES")[2].split())
    assert "tune" in out
    assert not loaded & {"numpy", "scipy", "sklearn", "sqlalchemy", "pandas", "yaml", "torch", "onnxruntime", "pyarrow"}
    begin = time.process_time(), os.times().children_user
    subprocess.run([sys.executable, "-m", "luthier", "--help"], capture_output=True, check=True)
    # processor time, not the clock: other tests run beside this one
    assert os.times().children_user - begin[1] < 1.0


def test_an_unwritable_pipe_is_no_traceback(shared: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "luthier", "show", "done", "--json"],
        cwd=shared, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    process.wait(timeout=30)
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_study_of_methods_that_is_ended_leaves_no_process(tmp_path: Path) -> None:
    process = started("bench", "run", "--preset", "hpobench-mini", "--methods", "random", "--out", "s", cwd=tmp_path)
    assert process.stderr is not None
    for line in process.stderr:
        if " of " in line:
            break
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    threads = Path(f"/proc/{process.pid}/task")
    for thread in threads.iterdir():
        children += (thread / "children").read_text().split()
    assert children
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "interrupted: the cells made so far are in s; the same command goes on."
    assert not any(Path(f"/proc/{child}").exists() for child in children)
