"""Optuna's regret bound and cross-validation error of a log, at given numbers of trials; runs in Optuna's environment.

Reads JSON from standard input: {"params": names, "trials": [{"x": [...], "value": v, "folds": [...]}], "at": [...]},
numbers in [0, 1]; writes {"bound": [...], "error": [...]}.
"""

import json
import sys
import warnings

import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.simplefilter("ignore")
from optuna.terminator import CrossValidationErrorEvaluator, RegretBoundEvaluator  # noqa: E402

given = json.load(sys.stdin)
space = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in given["params"]}
trials = [
    optuna.trial.create_trial(
        params=dict(zip(space, one["x"], strict=True)),
        distributions=space,
        value=one["value"],
        system_attrs={"terminator:cv_scores": one["folds"]},
    )
    for one in given["trials"]
]
study = optuna.create_study()
for trial in trials:
    study.add_trial(trial)
known = study.get_trials()
way = optuna.study.StudyDirection.MINIMIZE
json.dump(
    {
        "bound": [RegretBoundEvaluator(seed=0).evaluate(known[:n], way) for n in given["at"]],
        "error": [CrossValidationErrorEvaluator().evaluate(known[:n], way) for n in given["at"]],
    },
    sys.stdout,
)
