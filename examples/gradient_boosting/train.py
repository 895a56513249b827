"""Gradient boosting on electricity prices in time order: will the price rise in the next half hour?

The oldest 60 % of the rows are for training, the next 20 % for validation, the newest 20 % for the final test.
Every tenth iteration prints one line of JSON, which is all that `luthier tune --command` needs.
"""

import argparse
import os
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss

import luthier

STEP = 10
DATA = Path(__file__).with_name("electricity.npz")


def parts():
    with np.load(DATA, allow_pickle=False) as file:
        features, rises = file["features"], file["rises"]
    cuts = [int(0.6 * len(rises)), int(0.8 * len(rises))]
    return list(zip(np.split(features, cuts), np.split(rises, cuts), strict=True))


def model(args):
    return HistGradientBoostingClassifier(
        learning_rate=args.lr,
        max_leaf_nodes=args.leaves,
        min_samples_leaf=args.min_leaf,
        l2_regularization=args.l2,
        max_features=args.max_features,
        early_stopping=False,
        warm_start=True,
        max_iter=STEP,
        random_state=int(os.environ.get("LUTHIER_SEED") or 0),
    )


def judge(fitted, features, rises):
    p = fitted.predict_proba(features)[:, 1]
    return {"logloss": log_loss(rises, p), "error": 100 * float(np.mean((p > 0.5) != rises))}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--leaves", type=int, default=31)
    parser.add_argument("--min-leaf", type=int, default=20)
    parser.add_argument("--l2", type=float, default=0.0)
    parser.add_argument("--max-features", type=float, default=1.0)
    parser.add_argument("--iterations", type=int, default=90, help="how many, when no study says so")
    parser.add_argument("--test", action="store_true", help="train on training and validation, judge on the test rows")
    args = parser.parse_args()

    train, valid, test = parts()
    until = int(float(os.environ.get("LUTHIER_RESOURCE_UNTIL") or args.iterations))
    if args.test:
        boosted = model(args).set_params(max_iter=until)
        boosted.fit(*[np.concatenate(pair) for pair in zip(train, valid, strict=True)])
        luthier.emit(**{f"test_{name}": value for name, value in judge(boosted, *test).items()})
        return
    boosted = model(args)
    for done in range(STEP, until + STEP, STEP):
        boosted.set_params(max_iter=min(done, until)).fit(*train)
        luthier.emit(**judge(boosted, *valid), iterations=min(done, until))


if __name__ == "__main__":
    main()
