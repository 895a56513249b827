"""The two forests of a stand-in, for errors and for the logarithm of seconds, as one file keeps them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from luthier.base.errors import BenchmarkError
from luthier.bench.families._recorded import read_arrays
from luthier.bench.families._trees import PARTS, Trees


class SmallForests:
    """The forests "error" and "seconds" of a file.

    Args:
        path: The file.
        what: The benchmark, for messages.
        columns: Features of a configuration.
        outputs: Of the forest "error"; that of "seconds" has one.
        decode: How the leaves of "error" are read; None: as they are.

    Attributes:
        trained: Rows of the grid that were trained.
        best: Least mean validation error after the last epoch.
        about: Where the file comes from.
        figures: How well the forests predict.

    Raises:
        BenchmarkError: the file does not have the form that its family's documentation states.
    """

    def __init__(
        self,
        path: Path,
        *,
        what: str,
        columns: int,
        outputs: int,
        decode: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
    ) -> None:
        names = {f"{forest}_{part}": ndim for forest in ("error", "seconds") for part, ndim in PARTS.items()}
        found = read_arrays(path, {**names, "trained": 1, "best": 0, "about": 0, "figures": 0}, what=what)
        if found["error_values"].shape[1] != outputs or found["seconds_values"].shape[1] != 1:
            raise BenchmarkError(f"{path}: its forests must have {outputs} outputs and 1. Fetch it again.")
        if decode is not None:
            found["error_values"] = decode(found["error_values"])
        self.error, self.seconds = (
            Trees({part: found[f"{forest}_{part}"] for part in PARTS}, columns, f"{path} ({forest})")
            for forest in ("error", "seconds")
        )
        self.trained = frozenset(found["trained"].tolist())
        self.best, self.about, self.figures = float(found["best"]), str(found["about"]), str(found["figures"])
