"""One thread for numerical libraries, where it matters."""

from __future__ import annotations

import os

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def single_thread() -> None:
    """Have numerical libraries use one thread, unless the environment says otherwise; call it before they are loaded.

    Sums over several threads may round otherwise, and on a busy machine threads that wait for each other make small
    matrices many times slower.
    """
    for variable in _VARIABLES:
        os.environ.setdefault(variable, "1")
