"""isolation: benchmarks in processes and environments of their own.

`locks` (exact versions), `environment` (built by the hash of a lock), `worker` (the one file that runs inside, any
Python from 3.6), `client` (an isolated benchmark seen as any other), `pool` (workers that are kept). Tables and
surrogates need none of it; it is for what trains, hangs, crashes, or needs other versions than luthier's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.base.lazy import exports

if TYPE_CHECKING:
    from luthier.bench.isolation.client import IsolatedBenchmark, Program, load
    from luthier.bench.isolation.environment import Environment, create, describe, find, listing, remove
    from luthier.bench.isolation.pool import Pool

_HOME = {
    "Environment": "environment",
    "IsolatedBenchmark": "client",
    "Pool": "pool",
    "Program": "client",
    "create": "environment",
    "describe": "environment",
    "find": "environment",
    "listing": "environment",
    "load": "client",
    "remove": "environment",
}

__all__ = [
    "Environment", "IsolatedBenchmark", "Pool", "Program", "create", "describe", "find", "listing", "load", "remove",
]  # fmt: skip

__getattr__, __dir__ = exports(__name__, _HOME)
