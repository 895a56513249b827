"""A study in MLflow: a run for each trial, nested under the study's run, in a local database.

python examples/integrations/mlflow_runs.py
mlflow ui --backend-store-uri sqlite:///mlflow.db
"""

from mlflow import MlflowClient
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

import luthier as lu
from luthier.integrations.mlflow import MlflowCallback

SPACE = lu.Space(
    alpha=lu.Float(1e-6, 1.0, log=True, default=1e-4),
    penalty=lu.Choice("l2", "l1", "elasticnet"),
)
X, y = load_digits(return_X_y=True)
X_train, X_valid, y_train, y_valid = train_test_split(X / 16, y, test_size=0.4, random_state=0)


def train(run):
    model = SGDClassifier(**run.config, random_state=run.seed)
    for epoch in run.resources():
        model.partial_fit(X_train, y_train, classes=range(10))
        run.report(error=1 - model.score(X_valid, y_valid), epoch=epoch)


def main():
    callback = MlflowCallback("sqlite:///mlflow.db", experiment="digits")
    study = lu.Study(SPACE, "error", fidelity=("epoch", 1, 9), scheduler="asha", callbacks=[callback], folder="digits")
    print(study.run(train, trials=12).best)

    client = MlflowClient(tracking_uri="sqlite:///mlflow.db")
    [experiment] = [e for e in client.search_experiments() if e.name == "digits"]
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.error"])
    print(
        len(runs),
        "runs in MLflow; status of the trials:",
        sorted(r.data.tags.get("luthier.status", "study") for r in runs),
    )


if __name__ == "__main__":
    main()
