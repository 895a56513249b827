"""What Optuna has found is not lost: its study as luthier's past, or its trials in a study that goes on.

python examples/integrations/optuna_past.py
"""

import math

import optuna

import luthier as lu
from luthier.integrations.optuna import add_trials, past_task

SPACE = lu.Space(lr=lu.Float(1e-5, 1e-1, log=True, default=1e-3), width=lu.Int(8, 512, log=True))


def loss(lr, width):
    return (math.log10(lr) + 2.5) ** 2 + (math.log2(width) - 7) ** 2 / 10


def objective(trial):
    return loss(trial.suggest_float("lr", 1e-5, 1e-1, log=True), trial.suggest_int("units", 8, 512, log=True))


def main():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    old = optuna.create_study(storage="sqlite:///optuna.db", study_name="last-week", load_if_exists=True)
    old.optimize(
        lambda trial: loss(
            trial.suggest_float("lr", 1e-5, 1e-1, log=True), trial.suggest_int("units", 8, 512, log=True)
        ),
        n_trials=20,
    )
    print("Optuna found:", old.best_params, f"{old.best_value:.4f}")

    # the same task goes on: all of its trials are told to luthier's searcher
    study = lu.Study(SPACE, "loss", searcher="gp")
    added = add_trials(study, "sqlite:///optuna.db#last-week", rename={"units": "width"})
    result = study.run(lambda run: loss(**run.config), trials=10)
    print(f"{added} trials taken over, 10 more:", result.best)

    # a related task: what was best there is tried early here
    task = past_task(old, rename={"units": "width"}, objectives=["loss"])
    study = lu.Study(SPACE, "loss", past=[task])
    result = study.run(lambda run: loss(run.config["lr"] * 2, run.config["width"]) + 1, trials=10)
    print("learned from the past:", result.best)


if __name__ == "__main__":
    main()
