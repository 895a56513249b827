"""Stand-ins for the curves of FCNet: forests that answer for every configuration, fitted to some that were trained.

`_small_fcnet_training` trains them and writes a file for each data set: an .npz of a forest "error", in the arrays that
`_trees` documents, a forest "seconds" with one output, the logarithm of the seconds that a training takes, and
    trained  (n,) int64 rows, in the C-order of FCNet's lists, of what was trained
    best     () float64 least mean validation error after the last epoch, of all 62 208 configurations
    about    () text: where it comes from
    figures  () text: how well the forests predict
The outputs of "error" are logarithms of mean squared errors in parts of 1 / 500: 2 repetitions on validation rows, the
same on test rows, and the mean of both on training rows, 100 epochs each. What is kept is the difference to the epoch
before, in int16, as it packs best. A forest's leaves hold what was recorded: a configuration that was trained gets its
own values, any other the geometric mean of those that the trees take for alike.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective
from luthier.bench.data import shipped, verify
from luthier.bench.families._fcnet import EPOCHS, LISTS
from luthier.bench.families._recorded import Grid, Record, Recorded
from luthier.bench.families._small_forests import SmallForests

REPETITIONS = 2
OUTPUTS = 2 * REPETITIONS + 1
CODE = 500  # parts of a unit of the logarithm: 0.2 % of an error
LIMIT = 13.8  # of a logarithm, either way: a millionth and a million, which is what a training gets that diverged
SMALL = "@small"
#: Data set to the SHA-256 of fcnet_<data set>_small.npz.
OWN: dict[str, str] = {
    "diabetes": "261926f5dadcea1854be7852d083410a0754fb3dcfc3e9dc38475191054cd124",
    "friedman1": "428374efab14690720e27042be3160dc43adb363dee148b22c682978773f39cc",
}
LICENCE = "Apache-2.0 (luthier); the data BSD-3-Clause (scikit-learn)"
DESCRIPTION = (
    "Mean squared error of a small network, standardised targets, predicted by a forest. A stand-in of luthier's own "
    "in FCNet's space: its numbers are not comparable with published ones."
)
FEATURES = (*LISTS, "weights", "steps")
_PLACES = {name: place for place, name in enumerate(LISTS)}


def features(config: Configuration) -> NDArray[np.float64]:
    """What the forests know of a configuration: numbers as logarithms but for dropout, choices as 0 or 1.

    The last two are the logarithms of the weights between the hidden layers, and of the first learning rate times the
    steps of an epoch (but for the number of rows).

    Returns:
        (columns,).
    """
    return _completed(np.array([_number(name, config[name]) for name in LISTS]))


def every() -> NDArray[np.float64]:
    """Features of all configurations, in the C-order of the lists: (62208, columns)."""
    return _completed(np.array(list(product(*([_number(name, one) for one in LISTS[name]] for name in LISTS)))))


def _number(name: str, value: Any) -> float:
    if name.startswith("dropout"):
        return float(value)
    if isinstance(value, str):
        return float(value == LISTS[name][1])
    return math.log10(value) if name == "init_lr" else math.log2(value)


def _completed(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 9) -> (..., 11)."""
    batch, lr, first, second = (found[..., _PLACES[n]] for n in ("batch_size", "init_lr", "n_units_1", "n_units_2"))
    more = np.stack([first + second, lr - batch * math.log10(2)], axis=-1)
    return np.concatenate([found, more], axis=-1)


class Forests(SmallForests):
    """The forests of a data set.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, what="fcnet", columns=len(FEATURES), outputs=OUTPUTS * EPOCHS, decode=decoded)

    def least(self) -> float:
        """Least mean validation error after the last epoch, of all configurations.

        Cost: half a second.
        """
        rows = every()
        last = self.error.values.reshape(-1, OUTPUTS, EPOCHS)[:, :, -1]
        ends = [np.exp(self.error.predict_many(rows, last[:, r])) for r in range(REPETITIONS)]
        return float(np.mean(ends, axis=0).min())


def coded(logarithms: NDArray[np.float64]) -> NDArray[np.int16]:
    """(n, outputs, epochs) -> (n, outputs * epochs) what the file keeps."""
    parts = np.round(np.clip(logarithms, -LIMIT, LIMIT) * CODE).astype(np.int64)
    return np.diff(parts, axis=2, prepend=0).astype(np.int16).reshape(len(parts), -1)


def decoded(kept: NDArray[np.int16]) -> NDArray[np.float64]:
    """The reverse of `coded`: (n, outputs * epochs) logarithms."""
    return np.asarray(kept.reshape(len(kept), -1, EPOCHS).cumsum(axis=2, dtype=np.int64) / CODE).reshape(len(kept), -1)


class SmallFcnet(Recorded):
    """Predicted error of a network after each epoch; the cost of an epoch is a hundredth of a training's.

    Args:
        forests: The forests.
        card: Its card.
        first: Lowest budget in epochs.

    Source: Klein and Hutter 2019 (space and fidelity).
    Differs: other data, some hundreds of trainings and a forest in place of a complete table; test errors of every
        epoch.
    Cost: a walk down two forests, some 0.2 ms.
    """

    objectives = (Objective("valid_mse"),)
    test_name = "test_mse"

    def __init__(self, forests: Forests, card: Card, first: int) -> None:
        self._forests, self._first = forests, first
        self._grid = Grid(LISTS)
        self.space = self._grid.space
        self.levels = tuple(map(float, range(first, EPOCHS + 1)))
        self.fidelity = Fidelity("budget", first, EPOCHS)
        self._parts = np.array(self.levels) / EPOCHS
        high = math.exp(LIMIT) * (1 + 1e-9)  # of a mean over trees
        self.bounds = dict.fromkeys(("valid_mse", "test_mse"), (0.0, high))
        self.card = card

    def _record(self, config: Configuration) -> Record:
        row = features(config)
        errors = np.exp(self._forests.error.predict(row)).reshape(OUTPUTS, EPOCHS)[:, self._first - 1 :]
        seconds = np.tile(math.exp(float(self._forests.seconds.predict(row)[0])) * self._parts, (REPETITIONS, 1))
        trained = self._grid.row(config) in self._forests.trained
        info = {"trained": trained, "train_mse": errors[-1]}
        return Record(errors[:REPETITIONS], seconds, errors[REPETITIONS : 2 * REPETITIONS], info)

    def _answer(self, record: Record, column: int, seed: int | None) -> Evaluation:
        info = {**record.info, "train_mse": float(record.info["train_mse"][column])}
        return super()._answer(record._replace(info=info), column, seed)


def load_small(data: str, first: int) -> SmallFcnet:
    """The stand-in on a data set.

    Raises:
        ChecksumError: the file is not the one that was shipped.
    """
    path = shipped(f"fcnet_{data}_small.npz")
    verify(path, OWN[data])
    forests = _load(path)
    card = Card(
        f"fcnet/{data}{SMALL}",
        forests.about,
        LICENCE,
        {path.name: OWN[data]},
        {"valid_mse": forests.best},
        f"{REPETITIONS} repetitions, each predicted",
        f"{DESCRIPTION} {forests.figures}",
    )
    return SmallFcnet(forests, card, first)


@lru_cache(maxsize=4)  # one for each data set
def _load(path: Path) -> Forests:
    return Forests(path)
