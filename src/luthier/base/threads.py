"""One thread for numerical libraries, where it matters."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
#: What brings pools of threads along, each its own.
_POOLS = ("numpy", "scipy.linalg", "sklearn", "torch")


def single_thread() -> None:
    """Have numerical libraries use one thread, unless the environment says otherwise; call it before they are loaded.

    Sums over several threads may round otherwise, and on a busy machine threads that wait for each other make small
    matrices many times slower. Programs that are started inherit it.
    """
    for variable in VARIABLES:
        os.environ.setdefault(variable, "1")


class OneThread:
    """One thread for the libraries of this process for a while, unless the environment says otherwise.

    For proposals that are made while other processes run trials and have the cores: with two workers on two busy cores
    a search of 60 trials took 4 seconds of processor time with one thread, and 67 with two that waited for each other.
    Afterwards all is as before. A library that is first loaded meanwhile is held from the next time on.
    """

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()
        self._pools: Any = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Hold the libraries that are loaded to one thread."""
        known = tuple(name for name in _POOLS if name in sys.modules)
        if not known or any(variable in os.environ for variable in VARIABLES):
            yield
            return
        if known != self._known:
            from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

            self._known, self._pools = known, ThreadpoolController()
        with self._pools.limit(limits=1):
            yield
