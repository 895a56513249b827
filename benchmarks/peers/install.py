"""Make the peers' environments, each with pinned versions: python benchmarks/peers/install.py [optuna smac ...].

They go to the folder LUTHIER_PEERS (default ~/.cache/luthier-peers) and take about 3 GB together. What is there
already is left alone. A failure is printed, and the others go on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

#: Each a list of pip's arguments, one call after another. XGBoost and torch are the builds for processors.
ENVIRONMENTS: dict[str, list[list[str]]] = {
    "optuna": [["optuna==5.0.0", "torch==2.13.0", "scipy==1.17.1", "numpy==2.4.6"]],
    "syne-tune": [
        # what syne-tune 0.16.0 needs, with xgboost-cpu in place of xgboost; its botorch searcher wants the extra
        ["numpy==2.4.6", "pandas", "dill", "typing_extensions", "sortedcontainers", "statsmodels",
         "scikit-learn==1.9.1", "xgboost-cpu==3.2.0", "tqdm", "psutil", "torch==2.13.0", "botorch==0.18.1",
         "huggingface_hub"],
        ["--no-deps", "syne-tune==0.16.0"],
    ],
    # smac 2.4.0 imports a name that scikit-learn 1.8 no longer has
    "smac": [["smac==2.4.0", "scikit-learn==1.7.2", "ConfigSpace==1.2.2", "numpy==2.4.6"]],
    # hebo 0.3.6 wants numpy below 1.25 and pymoo 0.6.0, which is compiled here: what they need is pinned to that time
    "hebo": [
        ["setuptools<70", "wheel", "cython"],
        ["numpy==1.24.4", "scipy==1.11.4", "pandas==2.1.4", "scikit-learn==1.4.2", "GPy==1.13.2", "torch==2.13.0",
         "gpytorch==1.15.2", "disjoint-set==0.9.0"],
        ["--no-build-isolation", "pymoo==0.6.0"],
        ["catboost==1.2.10", "numpy==1.24.4"],
        ["--no-deps", "HEBO==0.3.6"],
    ],
}  # fmt: skip


def install(name: str, folder: Path) -> bool:
    """Make one environment; False if it could not be made."""
    place, done = folder / name, folder / name / "done"
    if done.exists():
        return True
    venv.create(place, with_pip=True)
    for arguments in ENVIRONMENTS[name]:
        if subprocess.run([str(place / "bin" / "python"), "-m", "pip", "install", "-q", *arguments]).returncode:
            return False
    done.touch()
    return True


def main() -> None:
    folder = Path(os.environ.get("LUTHIER_PEERS", "~/.cache/luthier-peers")).expanduser()
    for name in sys.argv[1:] or ENVIRONMENTS:
        print(name, "is there" if install(name, folder) else "could not be installed", flush=True)


if __name__ == "__main__":
    main()
