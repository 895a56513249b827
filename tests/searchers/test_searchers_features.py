"""Features for trees."""

import luthier as lu
from luthier.searchers._features import Features


def test_one_hot_sentinel_and_indicator():
    space = lu.Space(
        lr=lu.Float(0, 1),
        opt=lu.Choice("sgd", "adam", "lion"),
        nesterov=lu.Choice(True, False, when=("opt", "sgd")),
        rule=lu.Choice("a", "b", "c", when=("opt", "adam")),
    )
    rows, _ = space.encode([
        {"lr": 0.5, "opt": "sgd", "nesterov": False},
        {"lr": 0.25, "opt": "adam", "rule": "c"},
        {"lr": 1.0, "opt": "lion"},
    ])  # fmt: skip
    assert Features(space)(rows).tolist() == [
        [0.5, 1, 0, 0, 0.75, 1, 0, 0, 0, 0],
        [0.25, 0, 1, 0, -1.0, 0, 0, 0, 1, 1],
        [1.0, 0, 0, 1, -1.0, 0, 0, 0, 0, 0],
    ]


def test_no_columns():
    space = lu.Space(a=lu.Fixed(1))
    assert Features(space)(space.encode([{}, {}])[0]).shape == (2, 0)
