"""Where a study's runs are kept: one compressed file a method, and a journal of what was added since.

A cell is one method on one task with one seed. A finished cell is one line of JSON at the end of the method's journal,
on disk before the next one begins, so that a crash loses the cells that were running and no other; half a line at the
end of a journal is left out. `close` merges the journal into the method's .npz, columns of all cells one after the
other, and replaces that file as a whole.

An .npz and not Parquet: numpy reads it without any extra, arrays of differing length lie in it as plain columns, equal
cells give equal bytes, and a method of 200 cells takes a few hundred kilobytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.errors import ArgumentError, SchemaError, StorageError
from luthier.bench.statistics._guards import Array

FORMAT = 1
#: Columns with one value for each incumbent of a run.
CURVES = ("times", "evaluations", "seen", "scored", "tested", "overhead")
#: Points of a front: a column of its own length, in files of studies that have any.
FRONT = "front"
_AND = ", then "  # between versions of a package with which cells of one method were made
_NOTHING: Array = np.empty(0)
Key = tuple[str, int]


@dataclass(frozen=True)
class Cell:
    """One run. Values are to be minimised; the arrays have one entry for each incumbent, (n,).

    Args:
        horizon: Virtual time of the whole budget.
        clock: What that time counts, see `Budget`.
        times: Virtual time at which the incumbent changed.
        evaluations: Full-resource evaluations that had been spent until then.
        seen: What the method saw of the incumbent when it became one.
        scored: Its value at the full resource without noise (the mean over repetitions).
        tested: Its value on the test set, NaN where the benchmark has none.
        overhead: CPU seconds that the method had thought until then.
        ended: Virtual time at which the run ended; before the horizon where a space was exhausted.
        trials: Trials that reported.
        reports: Reports made.
        failures: Trials that failed or diverged.
        spent: Full-resource evaluations in all, with what failed, was cut off or was done again.
        cpu_seconds: CPU time of the method in all.
        wall_seconds: Wall time of the method in all.
        answers_seconds: CPU time of the benchmark's answers.
        harness_seconds: Wall time of all else.
        busy: Share of the workers' time in which they ran something; NaN where that is not known.
        rescored: Incumbents that were evaluated again at the full resource, which is not charged.
        error: Why the run ended early, empty if it did not.
        unfit: Whether the method cannot work on such a task at all (a scheduler without a fidelity): no failure.
        infeasible: Reports that broke a constraint.
        front: (k, m) of several objectives, to be minimised: what was found within the budget; else empty.
    """

    horizon: float
    clock: str = "evaluations"
    times: Array = field(default_factory=_NOTHING.copy)
    evaluations: Array = field(default_factory=_NOTHING.copy)
    seen: Array = field(default_factory=_NOTHING.copy)
    scored: Array = field(default_factory=_NOTHING.copy)
    tested: Array = field(default_factory=_NOTHING.copy)
    overhead: Array = field(default_factory=_NOTHING.copy)
    ended: float = 0.0
    trials: int = 0
    reports: int = 0
    failures: int = 0
    spent: float = 0.0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    answers_seconds: float = 0.0
    harness_seconds: float = 0.0
    busy: float = float("nan")
    rescored: int = 0
    error: str = ""
    unfit: bool = False
    infeasible: int = 0
    front: Array = field(default_factory=_NOTHING.copy)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        kept = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}
        for name, there in ((FRONT, len(self.front)), ("infeasible", self.infeasible)):
            if not there:
                del kept[name]
        return kept

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Cell:
        """The inverse of `to_json`."""
        values: dict[str, Any] = {n: np.array(v, dtype=float) if n in (*CURVES, FRONT) else v for n, v in kept.items()}
        return cls(**values)


_SCALARS = tuple(one.name for one in fields(Cell) if one.name not in (*CURVES, FRONT))


class Store:
    """The cells of one method.

    Args:
        folder: The study's folder.
        method: The method's name.

    Attributes:
        cells: (task, seed) to cell.
        about: What all cells have in common: the method's definition, the study's setting, versions; empty when new.

    Raises:
        SchemaError: the file was written by a newer luthier, or is none of ours.
    """

    def __init__(self, folder: Path, method: str) -> None:
        self.method = method
        self.path = folder / "cells" / f"{method}.npz"
        self._journal = self.path.with_suffix(".journal")
        self.cells: dict[Key, Cell] = {}
        self.about: dict[str, Any] = {}
        if self.path.is_file():
            self._read()
        for kept in self._lines():
            if "about" in kept:
                self.about = kept["about"]
            else:
                self.cells[kept["task"], kept["seed"]] = Cell.from_json(kept["cell"])

    def begin(self, definition: Mapping[str, Any], setting: Mapping[str, Any], versions: Mapping[str, str]) -> None:
        """Say what the cells to come have in common.

        Raises:
            ArgumentError: it is not what the cells that are there have in common.
        """
        about = {"definition": dict(definition), "setting": dict(setting)}
        kept = {key: self.about.get(key) for key in about}
        if definition.get("tool") == "script" and kept["definition"] and "sha256" not in kept["definition"]:
            kept["definition"] = {**kept["definition"], **_script_hash(self.about, about["definition"])}
        if self.cells and kept != about:
            raise ArgumentError(
                f"method {self.method!r}: {_change(kept, about)} since its {len(self.cells)} cells in "
                f"{self.path.parent.name}/ were made. Allowed: cells of one kind. Forget them and make them anew "
                f"(--fresh {self.method}), give the method another name, or use another folder."
            )
        known = self.about.get("versions", {}) if self.cells else {}
        found = {**about, "versions": _both(known, versions)}
        if found != self.about:
            self.about = found
            self._append({"about": found})

    def add(self, task: str, seed: int, cell: Cell) -> None:
        """Keep a cell; it is on disk when this returns."""
        self.cells[task, seed] = cell
        self._append({"task": task, "seed": seed, "cell": cell.to_json()})

    def drop_failed(self, wanted: Callable[[str, int], bool] = lambda task, seed: True) -> None:
        """Forget the failed cells of the tasks and seeds that are wanted, so that they are run again."""
        kept = {key: cell for key, cell in self.cells.items() if not cell.error or cell.unfit or not wanted(*key)}
        if len(kept) < len(self.cells):
            self.cells = kept
            self._write()
            self._journal.unlink(missing_ok=True)

    def forget(self) -> None:
        """Forget everything: the method, or what it runs on, has changed."""
        self.cells, self.about = {}, {}
        self.path.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)

    def close(self) -> None:
        """Merge the journal into the file; without a journal nothing is written."""
        if self._journal.is_file():
            self._write()
            self._journal.unlink()

    # files ---------------------------------------------------------------------------------------------------

    def _append(self, row: Mapping[str, Any]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _lines(self) -> Iterator[dict[str, Any]]:
        if not self._journal.is_file():
            return
        text = self._journal.read_text(encoding="utf-8")
        whole, _, rest = text.rpartition("\n")
        for line in whole.splitlines():
            with suppress(json.JSONDecodeError):  # a line whose writer died, with the next one after it
                yield json.loads(line)
        if rest:  # so that the next line does not go on with this one
            with self._journal.open("a", encoding="utf-8") as file:
                file.write("\n")

    def _read(self) -> None:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                kept = {name: file[name] for name in file.files}
            about = json.loads(str(kept["about"]))
            if about.pop("format") > FORMAT:
                raise SchemaError(
                    f"{self.path.name} has format {about}, which a newer luthier wrote. Allowed: up to {FORMAT}. "
                    "Update luthier."
                )
            ends = np.cumsum(kept["length"])
            fronts: dict[int, dict[str, Any]] = _fronts(kept)
            for i, (task, seed) in enumerate(zip(kept["task"].tolist(), kept["seed"].tolist(), strict=True)):
                part = slice(int(ends[i] - kept["length"][i]), int(ends[i]))
                values: dict[str, Any] = {name: kept[name][part] for name in CURVES}
                self.cells[task, seed] = Cell(
                    **values, **{name: kept[name][i].item() for name in _SCALARS if name in kept}, **fronts.get(i, {})
                )
        except (OSError, ValueError, KeyError) as error:
            raise SchemaError(
                f"{self.path.name} cannot be read as the cells of a method ({error}). Expected: an .npz that a study "
                "wrote. Move it away to run the method afresh."
            ) from error
        self.about = about

    def _write(self) -> None:
        keys = sorted(self.cells)
        cells = [self.cells[key] for key in keys]
        columns: dict[str, Any] = {
            name: np.concatenate([_NOTHING, *(getattr(one, name) for one in cells)]) for name in CURVES
        }
        columns |= {name: np.array([getattr(one, name) for one in cells]) for name in _SCALARS}
        if any(len(one.front) for one in cells):
            columns[FRONT] = np.concatenate([one.front.ravel() for one in cells])
            columns["front_shape"] = np.array([one.front.shape if len(one.front) else (0, 0) for one in cells])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.savez_compressed(
                file,
                **columns,
                length=np.array([len(one.times) for one in cells], dtype=np.int64),
                task=np.array([task for task, _ in keys], dtype=str),
                seed=np.array([seed for _, seed in keys], dtype=np.int64),
                about=np.array(json.dumps({"format": FORMAT, **self.about}, sort_keys=True)),
            )
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)


def _fronts(kept: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Place of each cell with a front to it."""
    if FRONT not in kept:
        return {}
    shapes = kept["front_shape"]
    ends = np.cumsum(shapes.prod(axis=1))
    return {
        i: {FRONT: kept[FRONT][ends[i] - rows * width : ends[i]].reshape(rows, width)}
        for i, (rows, width) in enumerate(shapes.tolist())
        if rows
    }


def _change(kept: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """The first thing that was otherwise, in words."""
    for part, now in about.items():
        was = kept[part] or {}
        for name in sorted({*was, *now}):
            if was.get(name) == now.get(name):
                continue
            if name == "sha256":
                return f"{_file(now)} has changed"
            return f"{part}: {name} was {_text(was.get(name))} and is {_text(now.get(name))},"
    return "something has changed"


def _file(definition: Mapping[str, Any]) -> str:
    if definition["tool"] == "script":
        return Path(definition["options"]["script"]).name
    return str(definition["tool"].rpartition(":")[0])


def _script_hash(about: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, str]:
    """The hash of a script by which cells were made before definitions held it: its beginning is among the versions."""
    whole = str(definition.get("sha256", ""))
    kept = about.get("versions", {}).get(_file(definition))
    return {"sha256": whole if kept is None or whole.startswith(kept) else kept}


def _both(known: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Versions of all cells: where they were made with several, all of these, the oldest first."""
    both = {**found, **known}
    for name, version in found.items():
        if version not in both[name].split(_AND):
            both[name] += _AND + version
    return both


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def stored(folder: Path) -> list[str]:
    """Names of the methods that have cells in a study's folder."""
    files = (folder / "cells").glob("*")
    return sorted({path.stem for path in files if path.suffix in (".npz", ".journal")})


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a study's folder: two runs at once would both add to its journals.

    Raises:
        StorageError: another run holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
    try:
        _lock(place, folder)
        yield
    finally:
        os.close(place)


def _lock(place: int, folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows; there, whoever starts two runs has to know
        return
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise StorageError(
            f"study folder {folder.name!r} is in use by another run. Allowed: one at a time. Wait for it, or use "
            "another folder."
        ) from None
