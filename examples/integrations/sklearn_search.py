"""Tune a pipeline of scikit-learn: any objects as values, folds raced, the default kept unless it is beaten.

python examples/integrations/sklearn_search.py
"""

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

import luthier as lu
from luthier.integrations.sklearn import LuthierSearchCV

SPACE = lu.Space(
    svc__C=lu.Float(1e-2, 1e3, log=True),
    svc__gamma=lu.Float(1e-4, 1e1, log=True, default=0.05),
)


def main():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X[:600], y[:600], test_size=0.5, random_state=0, stratify=y[:600])

    pipeline = Pipeline([("scale", MinMaxScaler()), ("svc", SVC())])
    raced = LuthierSearchCV(pipeline, SPACE, n_trials=20, cv=6, scheduler="race", random_state=0)
    raced.fit(X, y)
    fits = int(raced.cv_results_["n_resources"].sum())
    print(f"raced over folds: {raced.best_params_}, {raced.best_score_:.3f} with {fits} of 120 fits")
    print(f"  on the test rows: {raced.score(X_test, y_test):.3f}")

    alternatives = {
        "scale": [MinMaxScaler(), StandardScaler(), "passthrough"],
        "reduce": ["passthrough", PCA(0.9, random_state=0)],
        "model__C": lu.Float(1e-3, 1e2, log=True),
    }
    pipeline = Pipeline(
        [("scale", MinMaxScaler()), ("reduce", "passthrough"), ("model", LogisticRegression(max_iter=2000))]
    )
    sampled = LuthierSearchCV(
        pipeline,
        alternatives,
        n_trials=12,
        cv=3,
        scheduler="asha",
        resource="n_samples",
        random_state=0,
        searcher="random",
    )
    sampled.fit(X, y)
    print(f"few rows first: {sampled.best_params_}, {sampled.best_score_:.3f}, rows {sampled.resource_levels_}")

    guarded = LuthierSearchCV(
        SVC(), {"C": lu.Float(1e-2, 1e3, log=True)}, n_trials=8, random_state=0, study_options={"incumbent": "guarded"}
    )
    guarded.fit(X / 16, y)
    print(f"guarded: {guarded.best_params_} ({guarded.result_.rule})")


if __name__ == "__main__":
    main()
