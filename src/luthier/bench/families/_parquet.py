"""Reading parquet columns for the families of recorded configurations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import BenchmarkError
from luthier.base.imports import need


def read_task(path: Path, task: str, columns: list[str], *, what: str) -> dict[str, NDArray[np.float64]]:
    """Numeric columns of the rows whose column "task" is `task`.

    Raises:
        BenchmarkError: the file lacks a column or the task.
        MissingExtra: pyarrow is not installed.
    """
    parquet = need("pyarrow.parquet", what=f"benchmark {what!r}", extra="bench")
    there = parquet.read_schema(path).names
    lacking = [column for column in [*columns, "task"] if column not in there]
    if lacking:
        raise BenchmarkError(f"{path} lacks the columns {lacking}. It has {there}.")
    table = parquet.read_table(path, columns=[*columns, "task"])
    rows = np.array([one == task for one in table.column("task").to_pylist()])
    if not rows.any():
        raise BenchmarkError(f"{path} has no row of task {task!r}. Fetch the complete file.")
    return {column: table.column(column).to_numpy()[rows].astype(float) for column in columns}
