"""What may be tested at all: one number a task, no task twice, and enough of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from luthier.base.errors import ArgumentError

Array = NDArray[np.float64]

FEWEST = 6  # tasks; below, the exact two-sided Wilcoxon test cannot reach 5 %


def one_number_a_task(
    values: ArrayLike, *, what: str, methods: int = 2, tasks: Sequence[str] = (), fewest: int = FEWEST
) -> Array:
    """The values as (methods, tasks), if a test over tasks may be made of them.

    Seeds of one task are no independent tasks: at equal spread of tasks and seeds, a Wilcoxon test over all pairs of
    task and seed is significant in more than half of the studies in which nothing differs. So a third axis is
    refused, and so is a task that is named twice.

    Args:
        values: (methods, tasks).
        what: The test, for the message.
        methods: Fewest methods.
        tasks: Names of the tasks, if there are any to check.
        fewest: Fewest tasks.

    Raises:
        ArgumentError: seeds were not aggregated, a value is not finite, or there are too few methods or tasks.
    """
    table = np.asarray(values, dtype=float)
    if table.ndim != 2:
        raise ArgumentError(
            f"{what}: an array of shape {table.shape}. Allowed: (methods, tasks), one number for each task. Aggregate "
            "the seeds of a task first, such as np.median(values, axis=2): they are no independent tasks."
        )
    if table.shape[0] < methods or table.shape[1] < fewest:
        raise ArgumentError(
            f"{what}: {table.shape[0]} methods on {table.shape[1]} tasks. Allowed: {methods} methods and {fewest} "
            f"tasks or more (with {fewest - 1} tasks no difference could be shown). Add tasks; more seeds do not help."
        )
    check_finite(table, what=what)
    if tasks and len(tasks) != table.shape[1]:
        raise ArgumentError(
            f"{what}: {len(tasks)} names for {table.shape[1]} columns. Give one name for each task, or none."
        )
    twice = [task for task, times in Counter(tasks).items() if times > 1]
    if twice:
        raise ArgumentError(
            f"{what}: task {twice[0]!r} has {tasks.count(twice[0])} columns. Allowed: one for each task. Aggregate its "
            "seeds or instances first: they are no independent tasks."
        )
    return table


def check_finite(values: Array, *, what: str) -> None:
    """Refuse NaN and infinity: a run without a result gets a declared value first, and is never dropped.

    Raises:
        ArgumentError: naming how many there are.
    """
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise ArgumentError(
            f"{what}: {bad} of {values.size} values are NaN or infinite. Allowed: finite numbers. Give runs without a "
            "result a declared value (a median random configuration), and count them."
        )
