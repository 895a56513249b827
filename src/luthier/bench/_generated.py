"""Tables that `generate` made: every configuration of a grid at some steps of its fidelities, everything measured.

One .npz holds a table. `values` (configurations, seeds, fidelities, metrics) float32, NaN after a divergence and in
cells that ran out of time; `configs` (configurations, hyperparameters); `fidelities` (fidelities, axes); `status`
(configurations, seeds), a code of `STATES`; `about`, a JSON text with the names along these axes and the provenance.
Tables over random configurations instead of a grid have them in `about`, as they may hold words: see `_designed`.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import ArgumentError, BenchmarkError, DataMissing
from luthier.base.records import Card, Configuration, Evaluation, Fidelity, Objective, Status
from luthier.bench._base import BaseBenchmark, Config
from luthier.bench._planned import STATES
from luthier.bench.data import VARIABLE, checksum, folder, shipped, verify
from luthier.space.domains import Ordinal
from luthier.space.number import Number
from luthier.space.space import Space

FOLDER = "generated"
SUMS = "SHA256SUMS"
#: Metrics whose sum is the cost: a fit, and scoring the validation rows.
COST = ("fit_cpu_seconds", "valid_cpu_seconds")


class Reading(Protocol):
    """What a family tells the reader of its tables: chosen axis, fixed amounts, objectives."""

    axis: str
    fidelity: Fidelity | None

    @property
    def label(self) -> str:
        """Name of the family as tasks are written."""

    def space(self) -> Space:
        """The space that the grid was laid over."""

    def objectives(self, allowed: Sequence[str]) -> tuple[Objective, ...]:
        """What is improved."""

    def amounts(self, resource: float | None) -> tuple[float, int]:
        """Subsample and step of a resource."""


def tables(family: str) -> list[str]:
    """Tables of a family that are at hand, such as "digits@small": those of the package, then the user's."""
    places = [shipped(FOLDER), *([folder() / FOLDER] if folder() is not None else [])]  # type: ignore[operator]
    found = [path.stem for place in places for path in sorted(place.glob(f"{family}_*_*.npz"))]
    tails = (stem.removeprefix(f"{family}_").rpartition("_") for stem in found)
    return list(dict.fromkeys(f"{data}@{grid}" for data, _, grid in tails))


def open_table(family: Reading, data: str, grid: str) -> GeneratedTable:
    """A table of a grid by its name; raises as `read_table`."""
    about, arrays, checksums = read_table(family.label, data, grid)
    return GeneratedTable(family, f"{family.label}/{data}@{grid}", about, arrays, checksums)


def read_table(family: str, data: str, grid: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]], dict[str, str]]:
    """What a table says of itself, its arrays, and its file's checksum.

    Raises:
        DataMissing: nobody has made it yet.
        ChecksumError: a table of the package is not the one that was shipped.
        BenchmarkError: the file is no table.
    """
    name = f"{family}_{data}_{grid}.npz"
    path, base = shipped(FOLDER) / name, folder()
    if path.is_file():
        verify(path, _shipped_sums()[name])
    elif base is not None and (base / FOLDER / name).is_file():
        path = base / FOLDER / name
    else:
        where = f"{VARIABLE} is not set" if base is None else f"{base / FOLDER / name} is not there"
        raise DataMissing(
            f"benchmark '{family}/{data}@{grid}' is a table that is not part of luthier: {where}. Set {VARIABLE} "
            f"to your data folder and make it: luthier bench generate {family} --data {data} --grid {grid}. "
            f"It is kept in {FOLDER}/{name}."
        )
    return *_read(path), {path.name: checksum(path)}


@lru_cache(maxsize=1)
def _shipped_sums() -> dict[str, str]:
    lines = (shipped(FOLDER) / SUMS).read_text(encoding="utf-8").splitlines()
    return {name: sha256 for sha256, name in (line.split() for line in lines)}


class GeneratedTable(BaseBenchmark):
    """A table as a benchmark: what a training gave and cost, without training.

    A seed picks one of those recorded (seed modulo their number), None gives the mean. The cost is the recorded time of
    the fit plus that of scoring the validation rows, CPU time in tables of ours.

    Between two recorded steps of an iterative fidelity the metrics are those of the step before, and the cost lies on
    the line between the two; a subsample that was not recorded is answered, cost included, by the one whose ratio to it
    is nearest to 1. Either way `info` says what stood in.

    Args:
        family: The family, with its options.
        name: Full name.
        about: Names along the axes of the arrays, origin, and which metrics add up to the cost.
        arrays: `values`, `configs`, `fidelities` and `status`, as in the file.
        checksums: File to SHA-256.

    Raises:
        ArgumentError: the options ask for a fixed fidelity that was not recorded.

    Cost: a look-up takes some microseconds.
    """

    def __init__(
        self,
        family: Reading,
        name: str,
        about: Mapping[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        checksums: Mapping[str, str],
    ) -> None:
        self.about = about
        self._family, self._seeds = family, len(about["seeds"])
        self._values, self._status = arrays["values"].astype(np.float64), arrays["status"]
        self._columns = {metric: i for i, metric in enumerate(about["metrics"])}
        trained = family.space()
        self.space = Space({n: _listed(trained, n, values) for n, values in about["lists"].items()})
        self._names = tuple(about["lists"])
        self._rows = {tuple(row): i for i, row in enumerate(arrays["configs"].tolist())}
        self.fidelity = family.fidelity
        self._line = self._recorded(name, arrays["fidelities"])
        self._amounts = [amount for amount, _ in self._line]
        self._shown = ["error", *(m for m in self._columns if not m.startswith("test_") and m not in _HIDDEN)]
        self.objectives = family.objectives(self._shown)
        self.bounds = {metric: self._extremes(metric) for metric in self._shown}
        at = _spanned(about["axes"], arrays["fidelities"])
        self.card = Card(
            name,
            about["source"],
            about["licence"],
            checksums,
            {o.name: self._best(o) for o in self.objectives},
            f"{self._seeds} recorded seeds",
            f"{about['title']}, recorded on a grid of {len(self._values)} configurations at {at}.",
        )

    def __len__(self) -> int:
        """Number of configurations."""
        return len(self._values)

    def _recorded(self, name: str, fidelities: NDArray[np.float64]) -> list[tuple[float, int]]:
        """Amount on the chosen axis and position in the table, rising."""
        axes = list(self.about["axes"])
        fixed = dict(zip(axes, self._family.amounts(None), strict=False))
        moving = self._family.axis if self.fidelity is not None else axes[0]
        there = np.ones(len(fidelities), dtype=bool)
        for i, axis in enumerate(axes):
            if axis != moving or self.fidelity is None:
                near = np.isclose(fidelities[:, i], fixed[axis], rtol=1e-9)
                if not near.any():
                    known = ", ".join(f"{one:g}" for one in np.unique(fidelities[:, i]))
                    raise ArgumentError(f"benchmark {name!r}: {axis}={fixed[axis]:g}. Recorded: {known}.")
                there &= near
        at = axes.index(moving)
        return sorted((float(fidelities[i, at]), int(i)) for i in np.flatnonzero(there))

    def _row(self, config: Config) -> int:
        try:
            if len(config) == len(self._names):
                return self._rows[tuple([config[name] for name in self._names])]
        except (KeyError, TypeError):
            pass  # not of the space, or in another guise: the space says which
        checked = self._check(config)
        return self._rows[tuple(checked[name] for name in self._names)]

    def evaluate(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """As the base class says."""
        spent, seed = self._spent(resource), self._seeded(seed)
        return self._at(self._row(config), spent, seed)

    def evaluate_batch(
        self, configs: Sequence[Config], *, resource: float | None = None, seed: int | None = 0
    ) -> list[Evaluation]:
        """As the base class says."""
        spent, seed = self._spent(resource), self._seeded(seed)
        return [self._at(row, spent, seed) for row in [self._row(config) for config in configs]]

    def _evaluate(self, configs: Sequence[Configuration], resource: float | None, seed: int | None) -> list[Evaluation]:
        return [self._at(self._row(config), resource, seed) for config in configs]

    def _curve(self, config: Configuration, until: float, seed: int | None) -> list[tuple[float, Evaluation]]:
        row, known = self._row(config), dict[int, Evaluation]()
        return [(step, self._at(row, step, seed, known)) for step in self._steps(until)]

    def evaluate_test(self, config: Config, *, resource: float | None = None, seed: int | None = 0) -> Evaluation:
        """Error and qualities on the test rows."""
        spent, row, seed = self._spent(resource), self._row(config), self._seeded(seed)
        place, _ = self._near(spent)
        values, status = self._cell(row, self._line[place][1], seed)
        found = {m: values[i] for m, i in self._columns.items() if m in _TESTED}
        return Evaluation({"test_error": 1 - found["test_accuracy"], **found}, self._seconds(values), status)

    def _near(self, resource: float | None) -> tuple[int, float]:
        """Place on the line that answers for a resource, and how far the resource is from there to the next place.

        The second is in [0, 1), and 0 for a subsample.
        """
        amounts = self._amounts
        if resource is None or self.fidelity is None:
            return len(amounts) - 1, 0.0
        place = max(bisect_right(amounts, resource * (1 + 1e-9)) - 1, 0)
        if place + 1 == len(amounts) or resource <= amounts[place] * (1 + 1e-9):
            return place, 0.0
        here, ahead = amounts[place], amounts[place + 1]
        if not self.fidelity.whole:
            return place + (ahead / resource < resource / here), 0.0
        return place, (resource - here) / (ahead - here)

    def _at(
        self, row: int, resource: float | None, seed: int | None, known: dict[int, Evaluation] | None = None
    ) -> Evaluation:
        """The answer at a resource; `known` keeps those at recorded places."""
        known = {} if known is None else known
        place, part = self._near(resource)
        found = known.get(place) or known.setdefault(place, self._answer(row, place, seed))
        if resource is None or math.isclose(self._amounts[place], resource, rel_tol=1e-9):
            return found
        cost = found.seconds
        if part:
            ahead = known.get(place + 1) or known.setdefault(place + 1, self._answer(row, place + 1, seed))
            cost += part * max(ahead.seconds - cost, 0.0)
        return Evaluation(found.metrics, cost, found.status, {**found.info, "recorded_at": self._amounts[place]})

    def _answer(self, row: int, place: int, seed: int | None) -> Evaluation:
        values, status = self._cell(row, self._line[place][1], seed)
        columns = self._columns
        metrics = {"error": 1 - values[columns["valid_accuracy"]]}
        metrics.update((name, values[columns[name]]) for name in self._shown[1:])
        info = {"error": self.about["failed"]} if status is Status.FAILED else {}
        return Evaluation(metrics, self._seconds(values), status, info)

    def _seconds(self, values: Sequence[float]) -> float:
        fit, scoring = (values[self._columns[metric]] for metric in self.about["cost"])
        return fit + (scoring if math.isfinite(scoring) else 0.0)  # what diverged is not scored

    def _cell(self, row: int, at: int, seed: int | None) -> tuple[list[float], Status]:
        """(metrics,) and what became of it."""
        picked = slice(None) if seed is None else slice(seed % self._seeds, seed % self._seeds + 1)
        some = self._values[row, picked, at]
        values: list[float] = some[0].tolist() if seed is not None else some.mean(axis=0).tolist()
        if (self._status[row, picked] == STATES.index(Status.FAILED)).any():
            return values, Status.FAILED
        return values, Status.COMPLETED if math.isfinite(values[0]) else Status.DIVERGED

    def _best(self, objective: Objective) -> float:
        """Best mean over seeds at the full amount; what diverged or failed for one seed does not count."""
        means = self._values[:, :, self._line[-1][1]].mean(axis=1)
        column = 1 - means[:, self._columns["valid_accuracy"]] if objective.name == "error" else None
        values = means[:, self._columns[objective.name]] if column is None else column
        return float(np.nanmin(values) if objective.goal == "min" else np.nanmax(values))

    def _extremes(self, metric: str) -> tuple[float, float]:
        if metric == "error" or metric.endswith(_SHARES):
            return 0.0, 1.0
        column = self._values[..., self._columns[metric]]
        return float(np.nanmin(column)), float(np.nanmax(column))


def _spanned(axes: Sequence[str], fidelities: NDArray[np.float64]) -> str:
    """The recorded fidelities in words, such as "subsample 0.3, 1 and 16 steps of iter"."""
    words = []
    for axis, column in zip(axes, fidelities.T, strict=True):
        amounts = np.unique(column).tolist()
        few = f"{axis} {', '.join(f'{amount:g}' for amount in amounts)}"
        words.append(few if len(amounts) <= 5 else f"{len(amounts)} steps of {axis}")
    return " and ".join(words)


_SHARES = ("accuracy", "f1", "precision")
_TESTED = frozenset(f"test_{quality}" for quality in ("accuracy", "balanced_accuracy", "f1", "precision"))
_HIDDEN = frozenset(f"{part}_{kind}" for part in ("train", "valid", "test") for kind in ("cpu_seconds", "wall_seconds"))


def _listed(trained: Space, name: str, values: Sequence[float]) -> Ordinal:
    """The recorded values of a hyperparameter; its default is the one nearest to that of the trained space."""
    domain = trained[name]
    whole = [int(value) for value in values] if isinstance(domain, Number) and domain.whole else list(values)
    [unit] = [i for i, other in enumerate(trained) if other == name]
    base = dict(trained.default())
    rows, _ = trained.encode([{**base, name: value} for value in whole] + [base])
    nearest = int(np.abs(rows[:-1, unit] - rows[-1, unit]).argmin())
    return Ordinal(*whole, default=whole[nearest])


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("values", "configs", "fidelities", "status")}
            about = json.loads(str(file["about"]))
        shape = (len(arrays["configs"]), len(about["seeds"]), len(arrays["fidelities"]), len(about["metrics"]))
        if arrays["values"].shape != shape or arrays["status"].shape != shape[:2]:
            raise ValueError(f"values has shape {arrays['values'].shape}, its labels say {shape}")
    except (OSError, ValueError, KeyError) as error:
        raise BenchmarkError(
            f"{path} is no table that luthier generated ({error}). Make it again: luthier bench generate."
        ) from error
    return {**about, "cost": COST, "failed": "ran out of time when the table was made"}, arrays
