"""One thread for numerical libraries, where it matters."""

from __future__ import annotations

import os
import sys
import threading
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


class _Held:
    """The libraries of this process, and how many are inside of `one_thread` just now."""

    lock = threading.Lock()
    inside = 0
    known: tuple[str, ...] = ()
    pools: Any = None
    limit: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for the libraries that are loaded, for a while, unless the environment says otherwise.

    For all that is proposed or decided: sums over several threads round otherwise, so that a log would give other
    decisions where it is replayed with another number. And while other processes run trials and have the cores: with
    two workers on two busy cores a search of 60 trials took 4 seconds of processor time with one thread, and 67 with
    two that waited for each other. Afterwards all is as before; of several at a time, in threads, the last one out
    sees to that.

    Cost: 15 microseconds, and milliseconds after a library was loaded.
    """
    known = tuple(name for name in _POOLS if name in sys.modules)
    if not known or any(variable in os.environ for variable in VARIABLES):
        yield
        return
    with _Held.lock:
        if not _Held.inside:
            if known != _Held.known:
                from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

                _Held.known, _Held.pools = known, ThreadpoolController()
            _Held.limit = _Held.pools.limit(limits=1)
        _Held.inside += 1
    try:
        yield
    finally:
        with _Held.lock:
            _Held.inside -= 1
            if not _Held.inside:
                _Held.limit.restore_original_limits()
