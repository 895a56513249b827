"""`luthier stop-when`: what it prints, for people and for machines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Call


@pytest.fixture
def log(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    rows = [f"{x},{(x - 0.3) ** 2}" for x in rng.random(24)]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["x,loss", *rows]) + "\n")
    return str(path)


def test_table_and_verdict(call: Call, log: str) -> None:
    result = call("stop-when", log, "--epsilon", "0.1")
    assert result.exit_code == 0, result.output
    said = result.stdout.splitlines()
    assert said[0].split() == ["trials", "bound", "threshold", "verdict"]
    assert [line.split()[0] for line in said[1:-2]] == ["20", "21", "22", "23", "24"]
    assert [line.endswith("stop") for line in said[1:-2]] == [False, True, True, True, True]
    assert said[-2].startswith("regret would have stopped this study after 21 of 24 trials (at most ")
    assert said[-2].endswith("3 trials would have been saved")
    assert said[-1] == "loss is minimised; if that is wrong: --goal max"


def test_json(call: Call, log: str) -> None:
    result = call("stop-when", log, "--set", "regret.epsilon=0.1", "--set", "regret.patience=3", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["rule"], found["trials"], found["after"]) == ("regret", 24, 22)
    assert found["checks"][-1]["stop"] is True
    assert found["best"]["metrics"]["loss"] < 0.01
    assert found["words"].startswith("regret would have stopped")


def test_one_trial_is_one_trial(call: Call, log: str) -> None:
    result = call("stop-when", log, "--epsilon", "0.1", "--set", "regret.patience=4")
    assert result.stdout.splitlines()[-2].endswith("; 1 trial would have been saved")


def test_another_rule_has_no_table(call: Call, log: str) -> None:
    result = call("stop-when", log, "--rule", "plateau", "--set", "plateau.trials=23", "--goal", "max")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("plateau would") == 1


@pytest.mark.parametrize("name", ["accuracy", "neg_log_loss", "y"])
def test_a_goal_that_the_name_does_not_say_is_asked_for(call: Call, log: str, name: str) -> None:
    Path(log).write_text(Path(log).read_text().replace("loss", name))
    words = ("stop-when", log, "--objective", name, "--rule", "plateau")
    refused = call(*words)
    assert refused.exit_code == 1
    assert f"whether {name!r} is minimised or maximised is not known" in refused.stderr
    done = call(*words, "--goal", "max", "--json")
    assert json.loads(done.stdout)["goal"] == "max"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "the noise of 'loss' is unknown"),
        (["--rule", "plateu"], "Did you mean 'plateau'"),
        (["--rule", "plateau", "--epsilon", "1"], "epsilon"),
        (["--goal", "down"], "--goal='down'"),
        (["--objective", "los"], "Did you mean 'loss'"),
        (
            ["--set", "plateau.trials=3"],
            "--set plateau.trials=3. Allowed: regret.NAME=VALUE, of the rule that judges. For another rule add --rule.",
        ),
    ],
)
def test_errors(call: Call, log: str, words: list[str], error: str) -> None:
    result = call("stop-when", log, *words)
    assert result.exit_code == 1
    assert error in result.stderr
    assert "Traceback" not in result.output
