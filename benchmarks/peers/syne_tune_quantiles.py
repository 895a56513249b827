"""Syne Tune's conformal quantile model on its own: one history in (JSON on standard input), many fits out.

{"lists": {name: values}, "history": [config], "values": [v], "candidates": [config], "fits": m}
-> {"levels": [...], "predicted": (m, candidates, levels), "corrections": (m, pairs)}
"""

from __future__ import annotations

import json
import os
import sys

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before the libraries are imported

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from syne_tune import config_space as cs  # noqa: E402
from syne_tune.optimizer.schedulers.searchers.conformal.surrogate import quantile_regression_surrogate  # noqa: E402


def main() -> None:
    given = json.load(sys.stdin)
    lists = {name: list(map(type(values[0]), values)) for name, values in given["lists"].items()}
    space = {
        name: cs.choice(values) if isinstance(values[0], str) else cs.ordinal(values, kind="equal")
        for name, values in lists.items()
    }
    history, candidates = (
        pd.DataFrame([{name: type(lists[name][0])(value) for name, value in config.items()} for config in given[part]])
        for part in ("history", "candidates")
    )
    predicted, corrections = [], []
    for seed in range(given["fits"]):
        np.random.seed(seed)  # noqa: NPY002  # the held-out tenth is drawn from it
        model = quantile_regression_surrogate.QuantileRegressionSurrogateModel(
            config_space=space, mode="min", min_samples_to_conformalize=32, valid_fraction=0.1
        )
        model._fit(history, np.array(given["values"]))
        found = model.predict(candidates)
        predicted.append(found.results_stacked.tolist())
        corrections.append([one.correction for one in model.quantile_regressor.conformal_correction.values()])
    json.dump({"levels": list(found.quantiles), "predicted": predicted, "corrections": corrections}, sys.stdout)


if __name__ == "__main__":
    main()
