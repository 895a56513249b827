"""One thread for numerical libraries, where it matters."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_OWN = "LUTHIER_OWN_THREADS"  # names those that were set for this process alone


def single_thread() -> None:
    """Have numerical libraries use one thread, unless the environment says otherwise; call it before they are loaded.

    Sums over several threads may round otherwise, and on a busy machine threads that wait for each other make small
    matrices many times slower. Programs that are started inherit it.
    """
    for variable in VARIABLES:
        os.environ.setdefault(variable, "1")


def driver_thread() -> None:
    """The same for a process that proposes while others run trials: these have the cores, and are left as they are.

    With two workers on two cores that had other work too, a search of 60 trials took 4 seconds of processor time with
    one thread, and 67 with two that waited for each other.
    """
    own = [variable for variable in VARIABLES if variable not in os.environ]
    single_thread()
    os.environ[_OWN] = " ".join([*os.environ.get(_OWN, "").split(), *own])
    if own and "numpy" in sys.modules:  # it has looked at the environment already
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        threadpool_limits(1)


def of_programs(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what `driver_thread` has set."""
    own = {*environment.get(_OWN, "").split(), _OWN}
    return {name: value for name, value in environment.items() if name not in own}
