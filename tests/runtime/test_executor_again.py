"""A study that goes on gets the executor it was run with: what the log keeps of one, and what it does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import luthier as lu
from luthier.base.errors import ArgumentError
from luthier.runtime.executors import Executor
from luthier.runtime.executors._again import make, spec, words
from luthier.runtime.executors.inline import Inline
from luthier.runtime.executors.processes import Processes
from luthier.runtime.executors.ray import Ray
from luthier.runtime.executors.simulated import Cluster, Simulated
from luthier.runtime.executors.slurm import Slurm

PARAMETERS = {"slurm_partition": "gpu", "mem_gb": 32, "slurm_additional_parameters": {"account": "a"}}


@pytest.mark.parametrize(
    ("executor", "kept"),
    [
        (Inline(), {}),
        (Processes(), {}),
        (Processes(grace_seconds=5), {"grace_seconds": 5}),
        (Ray(address="auto", resources={"big_disk": 1}), {"address": "auto", "resources": {"big_disk": 1}}),
        (Ray(checkpoints="memory://bucket/study"), {"checkpoints": "memory://bucket/study"}),
        (Slurm(folder=Path("/shared"), parameters=PARAMETERS, cluster="local"),
         {"folder": "/shared", "parameters": PARAMETERS, "cluster": "local"}),
        (Simulated(seed=3, fixed=(1.0, 0.5)), {"seed": 3, "fixed": [1.0, 0.5]}),
    ],
)  # fmt: skip
def test_the_log_keeps_what_makes_it_again(executor: Executor, kept: Mapping[str, Any]) -> None:
    said = json.loads(json.dumps(words(executor)))
    assert said == {"executor": executor.name, **({"executor_own": kept} if kept else {})}
    asked = spec(said)
    assert asked is not None
    again = make(asked)
    assert type(again) is type(executor)
    assert words(again) == said


@pytest.mark.parametrize(
    ("executor", "left"),
    [
        (Slurm(parameters={"setup": {"a", "b"}}, cluster="local"), "parameters"),
        (Slurm(parameters={1: 2}), "parameters"),  # type: ignore[dict-item]
        (Simulated(cluster=Cluster(crash=0.1)), "cluster"),
        (Ray(checkpoints="memory://ann:secret@host/runs"), "checkpoints"),
    ],
)
def test_what_the_log_cannot_keep_is_named(executor: Executor, left: str) -> None:
    said = words(executor)
    assert said["executor_left"] == [left]
    assert "secret" not in json.dumps(said)
    with pytest.raises(ArgumentError, match=f"executor {executor.name!r} and {left}, which the log does not keep"):
        spec(said)


def test_an_executor_by_name_with_arguments(tmp_path: Path) -> None:
    study = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", folder=tmp_path / "s")
    with study:
        study.run(_train, trials=2, executor={"name": "processes", "grace_seconds": 7})
        assert study.settings["executor_own"] == {"grace_seconds": 7}
        with pytest.raises(ArgumentError, match=r"executor 'processes' has no argument 'grace'\. Did you mean"):
            study.run(_train, trials=3, executor={"name": "processes", "grace": 7})
        with pytest.raises(ArgumentError, match=r"has no name\. Write it as \{'name': 'ray'"):
            study.run(_train, trials=3, executor={"grace_seconds": 7})
    assert spec({}) is None


def _train(run: Any) -> float:
    return float(run.config["x"])
