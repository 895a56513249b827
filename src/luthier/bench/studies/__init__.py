"""Studies: methods on tasks over seeds, planned in a file, run in parallel, kept in a folder, turned into tables.

The files: `plan` (what is compared) and `plan_file` (its TOML, and the presets), `tasks` (benchmarks with reference
values), `tools` (other optimisers), `views` and `methods` (one run), `cells` and `running` (all of them), `store`
(where they are kept), `results` (reading them), `analysis`, `protocol` and `conclusions` (tables), `writers` (CSV and
LaTeX).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.base.lazy import exports

if TYPE_CHECKING:
    from luthier.bench.studies.plan import Plan
    from luthier.bench.studies.plan_file import load_plan, presets
    from luthier.bench.studies.running import Outcome, Progress, run
    from luthier.bench.studies.store import Cell, Store
    from luthier.bench.studies.tools import Ask, Source, Told, Tool

_HOME = {
    "Ask": "tools",
    "Cell": "store",
    "Outcome": "running",
    "Plan": "plan",
    "Progress": "running",
    "Source": "tools",
    "Store": "store",
    "Told": "tools",
    "Tool": "tools",
    "load_plan": "plan_file",
    "presets": "plan_file",
    "run": "running",
}

__all__ = [
    "Ask",
    "Cell",
    "Outcome",
    "Plan",
    "Progress",
    "Source",
    "Store",
    "Told",
    "Tool",
    "load_plan",
    "presets",
    "run",
]

__getattr__, __dir__ = exports(__name__, _HOME)
