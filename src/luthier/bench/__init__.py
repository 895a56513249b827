"""bench: problems with answers, to compare methods on.

The room's files: `_base` (what a benchmark is), `_catalogue` (names), `data` (finding and verifying files), the
readers `tables` (complete grids), `rows` (recorded configurations), `yahpo` (ONNX surrogates) and `_generated` (tables
that `generation` makes), `families/` (one file is one family), `selfcheck` (whether they work here), `target` (a
benchmark as something to tune), `simulation` (a study in virtual time), `isolation/` (benchmarks in environments of
their own), `statistics/` and `studies/` (methods compared), `hpobench_api` (the interface of HPOBench), and the demo:
`demo` and `_mlp`.

Not here: methods (searchers and schedulers) and pictures: `statistics` and `studies` give tables, `report` draws them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.base.lazy import exports

if TYPE_CHECKING:
    from luthier.bench._base import BaseBenchmark, Family
    from luthier.bench._catalogue import count, load, names, survey
    from luthier.bench.generation import estimate, generate
    from luthier.bench.hpobench_api import as_hpobench
    from luthier.bench.selfcheck import selftest
    from luthier.bench.simulation import Simulation, simulate
    from luthier.bench.target import objective

_HOME = {
    "BaseBenchmark": "_base",
    "Family": "_base",
    "Simulation": "simulation",
    "as_hpobench": "hpobench_api",
    "count": "_catalogue",
    "estimate": "generation",
    "generate": "generation",
    "load": "_catalogue",
    "names": "_catalogue",
    "objective": "target",
    "selftest": "selfcheck",
    "simulate": "simulation",
    "survey": "_catalogue",
}

__all__ = [
    "BaseBenchmark",
    "Family",
    "Simulation",
    "as_hpobench",
    "count",
    "estimate",
    "generate",
    "load",
    "names",
    "objective",
    "selftest",
    "simulate",
    "survey",
]

__getattr__, __dir__ = exports(__name__, _HOME)
