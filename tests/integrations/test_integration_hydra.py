"""The sweeper in real Hydra applications, from the command line."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import luthier as lu
from luthier.base.errors import ArgumentError, MissingExtra

real = pytest.mark.skipif(importlib.util.find_spec("hydra") is None, reason="hydra-core is not installed")

APP = """
from dataclasses import dataclass, field

import hydra
from hydra.core.config_store import ConfigStore


@dataclass
class Model:
    size: int = 3


@dataclass
class Config:
    x: float = 0.5
    lr: float = 0.1
    n: int = 2
    opt: str = "sgd"
    fail: bool = False
    model: Model = field(default_factory=Model)


ConfigStore.instance().store(name="config", node=Config)


@hydra.main(version_base=None, config_name="config")
def main(config):
    if config.fail and config.x > 0:
        raise ValueError("x is above 0")
    print("job", config.x, config.lr, config.n, config.opt, config.model.size)
    {body}


if __name__ == "__main__":
    main()
"""
ONE = "return (config.x - 1) ** 2 + config.n + (config.opt == 'sgd')"
TWO = "return (config.x - 1) ** 2, config.x"


def sweep(folder: Path, *arguments: str, body: str = ONE) -> subprocess.CompletedProcess:
    (folder / "app.py").write_text(APP.replace("{body}", body))
    command = [sys.executable, "app.py", "--multirun", "hydra/sweeper=luthier", "hydra.sweep.dir=out", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def results(folder: Path) -> dict:
    return yaml.safe_load((folder / "out" / "optimization_results.yaml").read_text())


def test_without_hydra_one_line_says_what_to_install(monkeypatch):
    import luthier.integrations.hydra as room

    monkeypatch.delitem(vars(room), "LuthierSweeper", raising=False)
    for name in ("hydra", "hydra.plugins", "hydra.plugins.sweeper"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"LuthierSweeper needs hydra\. Install it with: pip install"):
        room.LuthierSweeper


@real
def test_a_multirun_of_all_kinds_of_ranges(tmp_path):
    done = sweep(
        tmp_path,
        "x=interval(-5, 5)",
        "lr=tag(log, interval(1e-4, 1))",
        "n=range(1, 4)",
        "opt=choice(sgd, adam)",
        "model.size=int(interval(1, 8))",
        "hydra.sweeper.n_trials=12",
        "hydra.sweeper.searcher=tpe",
    )
    assert done.returncode == 0, done.stderr
    jobs = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("job ")]
    assert len(jobs) == 12
    assert jobs[0] == ["0.5", "0.1", "2", "sgd", "3"], "the application's own configuration comes first"
    assert {job[2] for job in jobs} <= {"1", "2", "3"}
    assert {job[4] for job in jobs} <= {str(i) for i in range(1, 9)}
    with lu.Study.open(f"sqlite:///{tmp_path}/out/study.db") as study:
        assert study.space == lu.Space(
            {
                "x": lu.Float(-5, 5, default=0.5),
                "lr": lu.Float(1e-4, 1, log=True, default=0.1),
                "n": lu.Int(1, 3),
                "opt": lu.Choice("sgd", "adam"),
                "model.size": lu.Int(1, 8, default=3),
            }
        )
        assert study.searcher_name == "tpe"
        found = results(tmp_path)
        assert found == {
            "name": "luthier",
            "best_params": dict(study.best.config),
            "best_value": study.best.metrics["value"],
        }
    assert (tmp_path / "out" / "multirun.yaml").exists()
    assert (tmp_path / "out" / "11" / ".hydra" / "overrides.yaml").exists()


@real
def test_params_of_the_configuration_fixed_overrides_batches_and_resume(tmp_path):
    options = ["opt=adam", "hydra.sweeper.n_jobs=2", "hydra.sweeper.searcher={name: random}"]
    options += ["+hydra.sweeper.params.x='interval(-2, 2)'", f"hydra.sweeper.storage=sqlite:///{tmp_path}/kept.db"]
    done = sweep(tmp_path, *options, "hydra.sweeper.n_trials=3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("job ") == 3
    assert done.stdout.count("adam") >= 3
    again = sweep(tmp_path, *options, "hydra.sweeper.n_trials=5")
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("job ") == 2
    with lu.Study.open(f"sqlite:///{tmp_path}/kept.db") as study:
        assert len(study.trials) == 5
        [cut] = study.ask()  # as a sweep that is killed while a job runs
    last = sweep(tmp_path, *options, "hydra.sweeper.n_trials=6")
    assert last.returncode == 0, last.stderr
    assert last.stdout.count("job ") == 1
    with lu.Study.open(f"sqlite:///{tmp_path}/kept.db") as study:
        assert study.trials[cut.number].status is lu.Status.COMPLETED


@real
def test_several_directions(tmp_path):
    done = sweep(
        tmp_path,
        "x=interval(-2, 2)",
        "hydra.sweeper.direction=[minimize, maximize]",
        "hydra.sweeper.n_trials=5",
        "hydra.sweeper.searcher=random",
        body=TWO,
    )
    assert done.returncode == 0, done.stderr
    found = results(tmp_path)["solutions"]
    assert found
    assert set(found[0]) == {"params", "values"}


@real
def test_failures_and_mistakes(tmp_path):
    options = ["x=interval(-2, 2)", "fail=true", "hydra.sweeper.n_trials=6", "hydra.sweeper.searcher=random"]
    done = sweep(tmp_path, *options)
    assert done.returncode != 0
    assert "trials failed, the last with" in done.stderr
    assert "raise hydra.sweeper.max_failure_rate" in done.stderr
    done = sweep(tmp_path, *options, "hydra.sweeper.max_failure_rate=1.0", "hydra.sweep.dir=other")
    assert done.returncode == 0, done.stderr
    nothing = sweep(tmp_path, "hydra.sweep.dir=third")
    assert "hydra/sweeper=luthier has nothing to sweep over" in nothing.stderr
    misspelt = sweep(tmp_path, "x=interval(0, 1)", "hydra.sweeper.sercher=tpe")
    assert "sercher" in misspelt.stderr
    none = sweep(tmp_path, "x=interval(0, 1)", "hydra.sweep.dir=fourth", body="pass")
    assert "the task function returned None. Allowed: a number, the objective" in none.stderr
    wrong = sweep(tmp_path, "x=interval(0, 1)", "hydra.sweeper.direction=down")
    assert "direction='down'" in wrong.stderr


@real
def test_arguments_are_judged_at_once():
    from luthier.integrations.hydra import LuthierSweeper

    with pytest.raises(ArgumentError, match="n_trials=0"):
        LuthierSweeper(n_trials=0)
    with pytest.raises(ArgumentError, match="max_failure_rate=2"):
        LuthierSweeper(max_failure_rate=2)
