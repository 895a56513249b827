"""luthier proposes, Optuna runs: the same objective function, another sampler.

python examples/integrations/optuna_sampler.py
"""

import optuna
from sklearn.datasets import load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import luthier as lu
from luthier.integrations.optuna import LuthierSampler

X, y = load_wine(return_X_y=True)
X = X[:, :5]


def objective(trial):
    if trial.suggest_categorical("model", ["linear", "trees"]) == "linear":
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=trial.suggest_float("C", 1e-3, 1e3, log=True), max_iter=1000)
        )
    else:
        model = HistGradientBoostingClassifier(
            learning_rate=trial.suggest_float("rate", 1e-3, 1.0, log=True),
            max_leaf_nodes=trial.suggest_int("leaves", 2, 16),
            max_iter=20,
            random_state=0,
        )
    return cross_val_score(model, X, y, cv=3).mean()


# what depends on another parameter: with the space at hand all of it is proposed jointly, from the first trial
SPACE = lu.Space(
    model=lu.Choice("linear", "trees"),
    C=lu.Float(1e-3, 1e3, log=True, when=("model", "linear")),
    rate=lu.Float(1e-3, 1.0, log=True, when=("model", "trees")),
    leaves=lu.Int(2, 16, when=("model", "trees")),
)


def main():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=LuthierSampler("tpe", space=SPACE, seed=0))
    study.optimize(objective, n_trials=20)
    print("optimize:", study.best_params, f"{study.best_value:.4f}")

    study = optuna.create_study(direction="maximize", sampler=LuthierSampler("cqr", seed=0))
    for _ in range(10):
        trial = study.ask()
        study.tell(trial, -((trial.suggest_float("x", -5, 5) - 1) ** 2))
    print("ask and tell:", study.best_params)


if __name__ == "__main__":
    main()
