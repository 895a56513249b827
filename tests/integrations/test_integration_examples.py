"""Each example of examples/integrations runs as it stands, in a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "integrations"
#: Example -> the package that it shows, and arguments.
SHOWN = {
    "sklearn_search": ("sklearn", ()),
    "transformers_trainer": ("transformers", ()),
    "lightning_callback": ("lightning", ()),
    "hydra_sweeper": ("hydra", ("--multirun", "hydra/sweeper=luthier")),
    "mlflow_runs": ("mlflow", ()),
    "wandb_runs": ("wandb", ()),
    "optuna_sampler": ("optuna", ()),
    "optuna_past": ("optuna", ()),
}


def test_every_example_is_listed():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SHOWN)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHOWN)
def test_an_example_runs(name, tmp_path):
    package, arguments = SHOWN[name]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{name}: {package} is not installed")
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *arguments],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.strip()
