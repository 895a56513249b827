"""ParamNet: forests that predict learning curves of fully connected networks on six tasks, and four small stand-ins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from luthier.base.checks import check
from luthier.base.errors import BenchmarkError, UnsupportedError
from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective
from luthier.base.registry import register
from luthier.bench._base import BaseBenchmark, Config, Family
from luthier.bench._catalogue import check_task
from luthier.bench.data import DataFile, find, folder, shipped, verify
from luthier.bench.families._recorded import hashed, read_arrays
from luthier.bench.families._trees import PARTS, Trees
from luthier.space.domain import Domain
from luthier.space.domains import Float, Int
from luthier.space.space import Space

EPOCHS = 50
COLUMNS = 8
#: Data set to its lowest and highest budget in seconds.
SECONDS = {
    "adult": (9, 243),
    "higgs": (9, 243),
    "letter": (3, 81),
    "mnist": (9, 243),
    "optdigits": (1, 27),
    "poker": (81, 2187),
}
_UNVERIFIED = (
    "The original files were not at hand: columns and units are those of the public reader, and "
    "final_lr_fraction_log2 is an exponent of 10, as it is there."
)
_STAND_IN = (
    "A stand-in of luthier's own, in ParamNet's reduced space: its numbers are not comparable with published ones."
)
SMALL = "@small"
#: Data set of the package's own surrogates, net_<data set>_small.npz, to the SHA-256 of the file.
OWN: dict[str, str] = {
    "digits": "1458324916cede2b8de4a0670057ceced550b4cc82685d55fd649f45a782e5aa",
    "breast_cancer": "91c5db5d87e44eb210ba76df62c600231e8c3ce63211a69dfa6dbc0440528005",
    "wine": "75a7f8030435d0a7466edcd0c4c317d7e5e3342bf01fb5e1ab2b789bafda7c9f",
    "iris": "7d97d3490082de1669c95bbf253bd855ebd2498020913c4c7d8452b248e8555a",
}


class Surrogate(NamedTuple):
    """What a file holds.

    Args:
        error: Predicts the error after each of 50 epochs.
        seconds: Predicts the time of 50 epochs, in seconds.
        base: What the fraction of the final learning rate is a power of.
        limits: Lowest and highest budget of axis "time", in whole seconds.
        origin: Where it comes from; empty: the originals.
        test: Predicts the error on test rows, as `error` does; None: nothing does.
    """

    error: Trees
    seconds: Trees
    base: float
    limits: tuple[int, int]
    origin: str
    test: Trees | None = None


def space(kind: str) -> Space:
    """The space: "reduced" has six hyperparameters, "full" eight."""
    found: dict[str, Domain] = {
        "initial_lr_log10": Float(-6, -2, default=-4),
        "batch_size_log2": Float(3, 8, default=5.5),
        "average_units_per_layer_log2": Float(4, 8, default=6),
        "final_lr_fraction_log2": Float(-4, 0, default=-2),
    }
    if kind == "full":
        found["shape_parameter_1"] = Float(0, 1, default=0.5)
    found["num_layers"] = Int(1, 5, default=3)
    for name in ("dropout_0", "dropout_1") if kind == "full" else ("dropout",):
        found[name] = Float(0, 0.5, default=0.25)
    return Space(found)


class Net(BaseBenchmark):
    """Predicted error of a network on validation data.

    With axis "time" the resource is a budget in seconds, all of which is spent: the answer is the error after the
    last epoch that fits in; 1 if none does, and the last one's when all 50 do. With axis "steps" it is epochs, each
    a fiftieth of the predicted time.

    Args:
        surrogate: The forests.
        kind: "reduced" or "full".
        axis: "time" or "steps".
        card: Its card.

    Source: Falkner, Klein and Hutter 2018, appendix I.2, as used by HPOBench (Eggensperger et al. 2021; read in
        GitHub automl/HPOBench, hpobench/benchmarks/surrogates/paramnet_benchmark.py, commit 041fb9d49896).
    Differs: HPOBench's test function answers with the validation prediction once more; here the stand-ins alone have
        test values.
    Cost: a walk down two forests, some 0.2 ms.
    """

    objectives = (Objective("error"),)
    fidelity: Fidelity

    def __init__(self, surrogate: Surrogate, *, kind: str, axis: str, card: Card) -> None:
        self._surrogate, self._time = surrogate, axis == "time"
        self.space = space(kind)
        self.fidelity = Fidelity("budget", *surrogate.limits) if self._time else Fidelity("step", 1, EPOCHS)
        self.bounds = {"error": (0.0, 1.0), "test_error": (0.0, 1.0)}
        self.card = card

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        errors, amount = self._surrogate.error, self._amount(resource)
        return [self._answer("error", *self._predicted(config, errors), amount) for config in configs]

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        errors, seconds = self._predicted(config, self._surrogate.error)
        return [(step, self._answer("error", errors, seconds, step)) for step in self._steps(until)]

    def evaluate_test(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """As `evaluate`, on test rows; the stand-ins alone have them.

        Raises:
            UnsupportedError: the file has no test values.
        """
        if self._surrogate.test is None:
            return super().evaluate_test(config)
        predicted = self._predicted(self._check(config), self._surrogate.test)
        return self._answer("test_error", *predicted, self._amount(self._spent(resource)))

    def _amount(self, resource: float | None) -> float:
        return self.fidelity.high if resource is None else resource

    def _answer(self, name: str, errors: NDArray[np.float64], seconds: float, amount: float) -> Evaluation:
        if not self._time:
            epochs = int(amount)
            return Evaluation({name: float(errors[epochs - 1])}, seconds * epochs / EPOCHS)
        ends = np.linspace(seconds / EPOCHS, seconds, EPOCHS)
        epochs = int(np.searchsorted(ends, amount, side="right"))
        error = float(errors[epochs - 1]) if epochs else 1.0
        return Evaluation({name: error}, float(amount), info={"epochs": epochs})

    def _predicted(self, config: Configuration, errors: Trees) -> tuple[NDArray[np.float64], float]:
        row = columns(config, self._surrogate.base)
        return errors.predict(row), float(self._surrogate.seconds.predict(row)[0])


def columns(config: Configuration, base: float) -> NDArray[np.float64]:
    """What the forests are asked about: (8,); the reduced space has shape 0.5 and one dropout for both layers.

    Args:
        config: A configuration of either space.
        base: What `final_lr_fraction_log2` is the exponent of.
    """
    return np.array(
        [
            10 ** config["initial_lr_log10"],
            round(2 ** config["batch_size_log2"]),
            round(2 ** config["average_units_per_layer_log2"]),
            base ** config["final_lr_fraction_log2"],
            config.get("shape_parameter_1", 0.5),
            config["num_layers"],
            config.get("dropout_0", config.get("dropout")),
            config.get("dropout_1", config.get("dropout")),
        ],
        dtype=np.float64,
    )


def read(path: Path, task: str) -> Surrogate:
    """The forests of a data set, as `_net_converter` writes them.

    Raises:
        BenchmarkError: the file does not have that form, or predicts what cannot be.
    """
    names = {f"{forest}_{part}": ndim for forest in ("error", "seconds") for part, ndim in PARTS.items()}
    found = read_arrays(path, {**names, "base": 0}, what="net", optional=("budget", "origin", "test_values"))
    error, seconds = (
        Trees({part: found[f"{forest}_{part}"] for part in PARTS}, COLUMNS, f"{path} ({forest})")
        for forest in ("error", "seconds")
    )
    wrong = error.values.shape[1] != EPOCHS or seconds.values.shape[1] != 1
    if wrong or (error.values < 0).any() or (error.values > 1).any() or (seconds.values <= 0).any():
        raise BenchmarkError(
            f"{path}: error has {error.values.shape[1]} outputs, seconds {seconds.values.shape[1]}. They must have "
            f"{EPOCHS} within [0, 1], and one above 0."
        )
    if task not in SECONDS and "budget" not in found:
        raise BenchmarkError(f"{path} lacks the array 'budget': the lowest and the highest budget of {task!r}.")
    low, high = SECONDS[task] if task in SECONDS else found["budget"].tolist()
    parts = {part: found[f"error_{part}"] for part in PARTS} | {"values": found.get("test_values")}
    test = Trees(parts, COLUMNS, f"{path} (test)") if "test_values" in found else None  # type: ignore[arg-type]
    return Surrogate(error, seconds, float(found["base"]), (int(low), int(high)), str(found.get("origin", "")), test)


@register("benchmark")
class NetFamily(Family):
    """The surrogates of Falkner et al. 2018, and those of luthier's own.

    Args:
        space: "reduced" (six hyperparameters) or "full" (eight).
        axis: "time" (a budget in seconds) or "steps" (epochs).
    """

    def __init__(self, *, space: str = "reduced", axis: str = "time") -> None:  # as in HPOBench's study
        check("space", space, one_of=("reduced", "full"))
        check("axis", axis, one_of=("time", "steps"))
        self._space, self._axis = space, axis

    def tasks(self) -> Sequence[str]:
        """Names of the data sets, luthier's own first."""
        return (*(data + SMALL for data in OWN), *SECONDS)

    def open(self, task: str) -> Net:
        """One data set.

        Raises:
            UnsupportedError: a stand-in is asked about the full space, or a pickle is all that there is.
        """
        check_task("net", task, self.tasks())
        return self._small(task.removesuffix(SMALL)) if task.endswith(SMALL) else self._original(task)

    def _small(self, data: str) -> Net:
        name, path = f"net/{data}{SMALL}", shipped(f"net_{data}_small.npz")
        if self._space != "reduced":
            raise UnsupportedError(f"benchmark {name!r}: space={self._space!r}. Allowed: 'reduced', which was trained.")
        verify(path, OWN[data])
        surrogate = read(path, data)
        card = Card(
            name,
            surrogate.origin,
            "Apache-2.0 (luthier); the data BSD-3-Clause (scikit-learn)",
            {path.name: OWN[data]},
            description=f"Predicted by two forests. {_STAND_IN}",
        )
        return Net(surrogate, kind=self._space, axis=self._axis, card=card)

    def _original(self, task: str) -> Net:
        name, file = f"net/{task}", DataFile(f"paramnet/{task}.npz")
        origin = "GitHub automl/HPOBench links surrogates.tar.gz, whose pickles _net_converter.py turns into arrays"
        _refuse(name, task, file.path)
        places = find(name, (file,), origin=origin)
        card = Card(
            name,
            origin,
            "of the original files: none was found",
            hashed(places),
            description=f"Predicted by two forests. {_UNVERIFIED}",
        )
        return Net(read(places[file.path], task), kind=self._space, axis=self._axis, card=card)


def _refuse(name: str, task: str, wanted: str) -> None:
    base = folder()
    if base is None or (base / wanted).is_file():
        return
    pickles = sorted(base.glob(f"*/rf_surrogate_paramnet_{task}.pkl"))
    if pickles:
        raise UnsupportedError(
            f"benchmark {name!r}: {pickles[0]} is a pickle of scikit-learn 0.18, which can run any code, and is not "
            f"read. Turn it into {wanted} with luthier/bench/families/_net_converter.py where that version runs."
        )
