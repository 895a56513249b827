"""Syne Tune's simulator on recorded curves: its back-end and Tuner, one study a line.

Input: {"file": path of an npz with the columns of the configurations (float or int), `value` and `seconds`, both
(configurations, epochs)}, then one line for each study: {"scheduler": "asha" or "straight", "workers": w}
-> {"seconds": wall, "cpu": processor, "reports": n, "trials": n, "virtual": simulated seconds}

The configurations are given as `points_to_evaluate`, in order, so that nothing has to be drawn. Delays are its
defaults. The Tuner's own saving of itself and its printing are off, which only makes it faster.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import sys
import tempfile
import time
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before the libraries are imported
os.environ["SYNETUNE_FOLDER"] = tempfile.mkdtemp()

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from syne_tune import StoppingCriterion, Tuner  # noqa: E402
from syne_tune import config_space as cs  # noqa: E402
from syne_tune.backend.simulator_backend.simulator_callback import SimulatorCallback  # noqa: E402
from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular  # noqa: E402
from syne_tune.blackbox_repository.simulated_tabular_backend import UserBlackboxBackend  # noqa: E402
from syne_tune.optimizer import baselines  # noqa: E402

PACKAGES = ("syne-tune", "numpy", "pandas")


def blackbox(path: str) -> BlackboxTabular:
    """The recorded curves as its table."""
    with np.load(path) as file:
        columns = {name: file[name] for name in file.files if name not in ("value", "seconds")}
        answers = np.stack([file["value"], file["seconds"]], axis=2)[:, None]  # (configurations, 1, epochs, 2)
    domains = {
        name: (cs.randint if column.dtype.kind == "i" else cs.uniform)(column.min().item(), column.max().item())
        for name, column in columns.items()
    }
    return BlackboxTabular(
        pd.DataFrame(columns),
        domains,
        {"epoch": cs.randint(1, answers.shape[2])},
        answers,
        objectives_names=["loss", "elapsed"],
    )


def study(table: BlackboxTabular, scheduler: str, workers: int) -> dict[str, Any]:
    """One study over all configurations of the table."""
    points = table.hyperparameters.to_dict("records")
    space = dict(table.configuration_space)
    if scheduler == "asha":
        made: Any = baselines.ASHA(
            space, metric="loss", time_attr="epoch", max_t=table.num_fidelities, random_seed=0,
            points_to_evaluate=points,
        )  # fmt: skip
    else:
        made = baselines.RandomSearch(space, metrics=["loss"], random_seed=0, points_to_evaluate=points)
    suggest, left = made.suggest, iter(points)
    made.suggest = lambda: None if next(left, None) is None else suggest()  # its sign for: no further configurations
    wall, cpu = time.perf_counter(), time.process_time()
    tuner = Tuner(
        UserBlackboxBackend(table, elapsed_time_attr="elapsed"),
        made,
        StoppingCriterion(max_num_trials_started=len(points) + 1),
        n_workers=workers,
        sleep_time=0,
        callbacks=[SimulatorCallback()],
        print_update_interval=1e9,
        save_tuner=False,
    )
    tuner.run()
    found = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    frame = tuner.callbacks[0].dataframe()
    return {
        **found,
        "reports": len(frame),
        "trials": frame["trial_id"].nunique(),
        "virtual": frame["st_tuner_time"].max(),
    }


def main() -> None:
    logging.disable(logging.CRITICAL)
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the tool prints must not mix with the answers
    table = blackbox(json.loads(sys.stdin.readline())["file"])
    out.write(json.dumps({"versions": {name: importlib.metadata.version(name) for name in PACKAGES}}) + "\n")
    for line in sys.stdin:
        given = json.loads(line)
        try:
            answer = study(table, given["scheduler"], given["workers"])
        except Exception as error:  # it may raise anything: what failed is said, the run goes on
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        out.write(json.dumps(answer, default=float) + "\n")


if __name__ == "__main__":
    main()
