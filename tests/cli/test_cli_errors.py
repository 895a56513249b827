# ruff: noqa: E501 (whole messages, one a line)
"""Bad input: one line with where, what was given, what is allowed and what to do; and the exit code."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest
from conftest import ASHA, INLINE, Call, started

import luthier as lu
from luthier.base.errors import StorageError
from luthier.runtime.storage import SQLite

FORM = "Allowed: file.py:function or package.module:function."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.py"], f"target 'train.py' names no function. {FORM} Write it as train.py:train."),
        (["nope.py:train"], "target '{place}/nope.py:train': there is no file {place}/nope.py. " + FORM + " Check the path."),
        (["train.py:trian"], "target '{place}/train.py:trian': 'trian' is not there. Did you mean 'train'?"),
        (["train.py:number"], "target '{place}/train.py:number' is a int. Allowed: a function that takes a Run, such as def train(run): ..."),
        ([], 'tune: neither TARGET nor --command given. Allowed: one of them, such as train.py:train or --command "python train.py --lr {{lr}}".'),
        (["train.py:train", "--searcher", "rnadom"], "searcher 'rnadom' is not known. Did you mean 'random'?"),
        (["train.py:train", "--scheduler", "asha"], "scheduler 'asha' needs a fidelity. Give fidelity=('epoch', 1, 81) (command line: --max epoch=81), or use scheduler='straight'."),
        (["train.py:train", *ASHA, "--set", "scheduler.etta=4"], "scheduler 'asha' has no argument 'etta'. Did you mean 'eta'?"),
        (["train.py:train", *ASHA, "--set", "scheduler.eta=x"], "scheduler 'asha': eta='x'. Allowed: a whole number."),
        (["train.py:train", *ASHA, "--set", "eta=4"], "--set eta=4. Allowed: searcher.NAME=VALUE, scheduler.NAME=VALUE or"),
        (["train.py:train", "--set", "searcher.trees=4"], "searcher 'auto' has no argument 'trees'. Allowed: 'budget', 'cost', 'fidelity'."),
        (["train.py:train", "--max", "27"], "--max 27. Allowed: a name and a number above 0, such as --max epoch=27."),
        (["train.py:train", "--min", "epoch=1"], "--min epoch=1 without --max. Give both, such as --min epoch=1 --max epoch=27."),
        (["train.py:train", "--min", "step=1", "--max", "epoch=9"], "--min step=1 and --max epoch=9. Allowed: the same name in both. Write --min epoch=1."),
        (["train.py:train", "--constraint", "size"], '--constraint "size". Allowed: a metric and its upper bound, such as "latency_ms<=20". For a lower bound report the negative of the metric.'),
        (["train.py:train", "--tirals", "5"], "No such option: --tirals"),
        (["train.py:train", "--trials", "many"], "Invalid value for '--trials' / '-n'"),
        (["train.py:train", "--trials", "0"], "--trials=0. Allowed: a whole number and at least 1."),
        (["train.py:train", "--seconds", "-3"], "--seconds=-3.0. Allowed: a number and above 0."),
        (["--command", "echo"], "--command without a space. Give one: --space space.yaml (names, types and ranges)."),
        (["train.py:train", "--space", "reversed.yaml"], "space file 'reversed.yaml': hyperparameter 'lr': low=5.0 is above high=-5.0. Swap them, or for a fixed value use Fixed(5.0)."),
        (["train.py:train", "--space", "parent.yaml"], "space file 'parent.yaml': hyperparameter 'momentum': its condition"),
        (["train.py:train", "--first", "first.txt"], "--first first.txt. Allowed: a file that ends in .yaml, .yml or .json. Rename it."),
    ],
)  # fmt: skip
def test_bad_input_of_tune(place: Path, call: Call, words: list[str], message: str) -> None:
    (place / "reversed.yaml").write_text("lr: {type: float, low: 5, high: -5}\n")
    (place / "parent.yaml").write_text("momentum: {type: float, low: 0, high: 1, when: [opt, sgd]}\n")
    if not {"--trials", "--seconds"} & set(words):
        words = [*words, "--trials", "2"]
    result = call("tune", *words)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: " + message.format(place=place).replace("{{", "{").replace("}}", "}"))
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert not list(place.glob("luthier-*/study.db")), "nothing was written"


def test_tune_without_a_budget_makes_no_folder(place: Path, call: Call) -> None:
    result = call("tune", "train.py:train")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: tune without a budget, and this space never ends. Give --trials 100 or --seconds 3600.\n"
    )
    assert not list(place.glob("luthier-*"))
    (place / "few.yaml").write_text("act: {type: choice, values: [relu, tanh]}\n")
    (place / "fit.py").write_text("def fit(run):\n    return 1.0\n")
    assert call("tune", "fit.py:fit", "--space", "few.yaml", *INLINE, "--searcher", "grid").exit_code == 0


def test_a_program_that_cannot_be_imported(place: Path, call: Call) -> None:
    (place / "bad.py").write_text("import luthier as lu\nx = 1 / 0\n")
    result = call("tune", "bad.py:train", "--trials", "2")
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: target '{place}/bad.py:train' cannot be imported: ZeroDivisionError: division by zero (bad.py:2). "
        "Mend it, so that `python -c 'import bad'` works beside it.\n"
    )
    (place / "worse.py").write_text("import luthier as lu\nspace = lu.Space(lr=lu.Float(5, -5))\n")
    result = call("tune", "worse.py:train", "--trials", "2", "--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: hyperparameter 'lr': low=5.0 is above high=-5.0.")


def test_all_trials_failing(place: Path, call: Call) -> None:
    result = call("tune", "train.py:broken", *INLINE, "--searcher", "random", "--trials", "50", "--out", "s")
    assert result.exit_code == 2
    assert "error: the first 5 trials all failed. Trial 4 (" in result.stderr
    assert "ValueError: wrong shape (train.py:14)" in result.stderr
    assert "continue with: luthier resume s" in result.stderr
    assert len(lu.Study.open("s").trials) == 5
    # fewer than it takes to give up: still no usable result
    result = call("tune", "train.py:broken", *INLINE, "--searcher", "random", "--trials", "2", "--out", "t", "--json")
    assert result.exit_code == 2
    assert '"exit": 2' in result.stdout.splitlines()[-1]


def test_a_misspelt_metric(place: Path, call: Call) -> None:
    result = call(
        "tune", "train.py:train", *ASHA, *INLINE, "--minimize", "los", "--trials", "50", "--out", "s", "--json"
    )
    assert result.exit_code == 1
    assert (
        "error: trial 0 reported 'loss'; this study minimises 'los'. Report it: run.report(los=...), or "
        in result.stderr
    )
    assert "name 'loss' as the study's metric (command line: --minimize loss)." in result.stderr
    assert result.stdout.splitlines()[-1].startswith('{"event": "error", "message": "trial 0 reported')
    assert len(lu.Study.open("s").trials) == 1


def test_a_mistake_before_the_first_trial_leaves_no_folder(place: Path, call: Call) -> None:
    (place / "space.yaml").write_text("lr: {type: float, low: 0.1, high: 1}\n")
    words = ("tune", "--space", "space.yaml", "--trials", "1", "--out", "none")
    assert "placeholder {rate} is no hyperparameter" in call(*words, "--command", "echo {rate}").stderr
    assert "error: workers=0. Allowed: " in call(*words, "--command", "echo {lr}", "--workers", "0").stderr
    assert not (place / "none").exists()


def test_what_a_command_line_lacks_is_said(place: Path, call: Call) -> None:
    """A hyperparameter that is not passed on, and a resource that is never named on the way."""
    (place / "space.yaml").write_text("lr: {type: float, low: 0.1, high: 1}\nwidth: {type: int, low: 1, high: 4}\n")
    asha = ("--searcher", "random", "--scheduler", "asha", "--max", "epochs=9", *INLINE)
    line = 'echo \'{{"loss": {lr}, "epoch": 3}}\''
    result = call("tune", "--command", line, "--space", "space.yaml", *asha, "--trials", "2", "--out", "quiet")
    assert result.exit_code == 0, result.output
    assert "note: not in the command: width. The program has to read LUTHIER_CONFIG" in result.output
    assert "note: no trial reported before epochs 9, so asha stopped nothing." in result.output
    assert '{"loss": 0.31, "epochs": 1}' in result.output


def test_a_folder_of_studies_names_them(place: Path, call: Call) -> None:
    for name in ("april", "march"):
        (place / "all" / name).mkdir(parents=True)
        (place / "all" / name / "study.db").touch()
    said = call("show", "all").stderr
    assert f"The folder holds studies: april, march. Name one of them, such as {place / 'all' / 'april'}." in said


def test_a_folder_of_studies_is_listed(place: Path, call: Call) -> None:
    space = lu.Space(x=lu.Float(0, 1))
    for name in ("april", "march"):
        lu.Study(space, "loss", searcher="random", folder=place / "all" / name).run(
            lambda run: run.config["x"], trials=1
        )
    said = call("list", "studies", "all")
    assert said.exit_code == 0, said.output
    lines = said.stdout.splitlines()
    assert [name for name in ("april", "march") if any(name in line for line in lines[:2])] == ["april", "march"]
    place = lines[-1].removeprefix("next: luthier show ").strip("'")
    assert call("show", place).exit_code == 0
    assert len(json.loads(call("list", "studies", "all", "--json").stdout)["studies"]) == 2


def test_a_group_without_a_command(place: Path, call: Call) -> None:
    result = call("bench")
    assert result.exit_code == 1
    assert "error: a command is missing. See: luthier bench --help" in result.stderr


def test_another_space_in_the_same_folder(done: Path, call: Call) -> None:
    result = call("tune", "train.py:train", "--searcher", "random", "--scheduler", "asha", "--max", "epoch=27", "--trials", "20", "--out", "done")  # fmt: skip
    assert result.exit_code == 1
    assert "error: study 'done' in sqlite:///" in result.stderr
    assert "was made with another definition: fidelity: " in result.stderr
    assert "Give another name or folder (--out)" in result.stderr


def test_a_folder_that_cannot_be_written(place: Path, call: Call) -> None:
    home = place / "locked"
    home.mkdir()
    # to root every folder is open, but for those that are no real ones
    target = "/proc/study" if os.geteuid() == 0 else str(home / "study")
    home.chmod(0o500)
    result = call("tune", "train.py:train", *ASHA, *INLINE, "--trials", "2", "--out", target)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: store {target}/study.db: its folder cannot be made (")
    assert result.stderr.endswith("Allowed: a folder that you may write. Choose another path.\n")


def test_a_study_that_is_not_there(place: Path, call: Call) -> None:
    for command in ("show", "resume", "report", "replay", "doctor"):
        result = call(command, "nothing")
        assert result.exit_code == 1, command
        assert result.stderr == (
            f"error: store {place}/nothing/study.db is not there. Look for a misspelt path, or make it by starting "
            "a study.\n"
        )


def test_a_store_that_fails_in_mid_run(place: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    append, calls = SQLite.append, []

    def full(self: SQLite, *args: object, **more: object) -> int:
        calls.append(1)
        if len(calls) > 12:
            raise StorageError("store s: database or disk is full; nothing of this step was written. Free some.")
        return append(self, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(SQLite, "append", full)
    result = call("tune", "train.py:two", *INLINE, "--searcher", "random", "--trials", "50", "--out", "s")
    monkeypatch.undo()
    os.chdir(place)
    study = lu.Study.open(place / "s")
    reports = sum(len(trial.reports) for trial in study.trials)
    assert result.exit_code == 1
    assert result.stderr == (
        "error: store s: database or disk is full; nothing of this step was written. Free some. "
        f"Saved until now: {len(study.trials)} trials with {reports} reports. Continue with: luthier resume s\n"
    )
    assert reports > 3


def test_a_disk_that_runs_full(place: Path) -> None:
    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    words = ["tune", "train.py:two", *INLINE, "--searcher", "random", "--trials", "3000", "--out", "s", "-q"]
    process = started(*words, cwd=place, preexec_fn=small)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert err.splitlines()[-1].startswith(f"error: store {place}/s/study.db: ")
    assert "Continue with: luthier resume s" in err
    study = lu.Study.open(place / "s")
    saved = len(study.trials)
    assert f"Saved until now: {saved} trials with " in err
    assert 0 < saved < 3000
    # with room again it goes on
    again = study.run(lambda run: 1.0, trials=saved + 2)
    assert len(again.trials) == saved + 2
    assert all(trial.status.ended for trial in again.trials)
