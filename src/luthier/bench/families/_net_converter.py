"""Turns the pickled forests of ParamNet into arrays, where scikit-learn 0.18 to 0.23 still runs. A script of its own.

The originals are pickles of scikit-learn 0.18.1. A pickle can run any code, and newer versions cannot read these; so
luthier does not read them. In an environment of Python 3.6 with scikit-learn 0.18 to 0.23 and NumPy, on a machine
that you would trust the files with:

    python _net_converter.py rf_surrogate_paramnet_adult.pkl rf_cost_surrogate_paramnet_adult.pkl adult.npz

Put the result at paramnet/adult.npz in the folder of LUTHIER_DATA. The originals were not at hand: this script has
been run on forests of today's scikit-learn alone, whose trees have the same attributes.

The .npz holds two forests, "error" (50 outputs: one for each epoch) and "seconds" (1 output: a whole training), in
the arrays that `_trees` documents, and
    base     () what final_lr_fraction_log2 is the exponent of: 10 for the originals, whose readers raise 10 to it in
             spite of its name
    budget   (2,) lowest and highest budget in whole seconds; only for data sets that ParamNet does not have
    origin   () text: where the forests come from; only for others than the originals
    test_values   (l, 50) what the leaves of "error" predict of test rows; only for others than the originals
"""

# Written for Python 3.6, so without luthier, without postponed annotations, and with quoted types.
import pickle
import sys

import numpy as np


def arrays(forest: "object", name: "str") -> "dict[str, np.ndarray]":
    """The arrays of a fitted forest, its name before each.

    Args:
        forest: A RandomForestRegressor or ExtraTreesRegressor of scikit-learn.
        name: "error" or "seconds".
    """
    roots, feature, threshold, left, right, values = [], [], [], [], [], []
    nodes = leaves = 0
    for estimator in forest.estimators_:  # type: ignore[attr-defined]
        tree = estimator.tree_
        leaf = tree.children_left < 0
        rank = np.cumsum(leaf) - 1 + leaves
        roots.append(nodes)
        feature.append(np.where(leaf, -1, tree.feature))
        threshold.append(np.where(leaf, 0.0, tree.threshold))
        left.append(np.where(leaf, rank, tree.children_left + nodes))
        right.append(np.where(leaf, 0, tree.children_right + nodes))
        values.append(tree.value[leaf, :, 0])
        nodes, leaves = nodes + len(leaf), leaves + int(leaf.sum())
    return {
        name + "_roots": np.array(roots, dtype=np.int32),
        name + "_feature": np.concatenate(feature).astype(np.int16),
        name + "_threshold": np.concatenate(threshold).astype(np.float64),
        name + "_left": np.concatenate(left).astype(np.int32),
        name + "_right": np.concatenate(right).astype(np.int32),
        name + "_values": np.concatenate(values).astype(np.float32),
    }


def main(error: "str", seconds: "str", target: "str") -> "None":
    """Convert the two pickles of a data set."""
    found = {"base": np.array(10.0)}
    for name, path in (("error", error), ("seconds", seconds)):
        with open(path, "rb") as file:
            found.update(arrays(pickle.load(file), name))
    np.savez_compressed(target, **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
