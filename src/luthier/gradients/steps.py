"""The outer steps of gradient tuning, read from a study's log: what a report draws as curves."""

from __future__ import annotations

from typing import Any

from luthier.study.study import Study

STEP, SLOPE = "outer_step", "hypergradient"  # metrics that only trials of gradient tuning have


def outer_steps(study: Study) -> list[dict[str, Any]]:
    """One row an outer step, in the order of trials.

    Args:
        study: With trials of `tune_with_gradients`.

    Returns:
        Rows with "trial", "outer_step" (from 0), "hypergradient" (its norm in free numbers), the metrics, and the
        hyperparameters of the configuration; whole tensors stand there by mean, min and max.

    Cost: O(trials).
    """
    rows = []
    for trial in study.trials:
        if STEP in trial.metrics:
            own = {name: value for name, value in trial.metrics.items() if name != STEP}
            rows.append({"trial": trial.number, STEP: int(trial.metrics[STEP]), **own, **dict(trial.config)})
    return rows
