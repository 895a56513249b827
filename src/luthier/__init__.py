"""luthier: tune a model, grow it without tuning again, shrink it into a family, and bench every choice.

    import luthier as lu

    space = lu.Space(lr=lu.Float(1e-5, 1e-1, log=True), layers=lu.Int(1, 8))
    study = lu.Study(space, "loss", searcher="cqr", scheduler="asha", fidelity=("epoch", 1, 81))
    result = study.run(train, trials=100, workers=2)

Everything public is imported on first use, so that `import luthier` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.base.lazy import exports

__version__ = "0.1.0"

# public name -> module that holds it
_EXPORTS = {
    "Space": "luthier.space",
    "Float": "luthier.space",
    "Int": "luthier.space",
    "Choice": "luthier.space",
    "Ordinal": "luthier.space",
    "Fixed": "luthier.space",
    "Normal": "luthier.space",
    "all_of": "luthier.space",
    "any_of": "luthier.space",
    "load_space": "luthier.space",
    "PastTask": "luthier.space",
    "Problem": "luthier.space",
    "Configuration": "luthier.base.records",
    "Constraint": "luthier.base.records",
    "Decision": "luthier.base.records",
    "Fidelity": "luthier.base.records",
    "Objective": "luthier.base.records",
    "Observation": "luthier.base.records",
    "Status": "luthier.base.records",
    "Trial": "luthier.base.records",
    "Study": "luthier.study",
    "Result": "luthier.study",
    "Cluster": "luthier.runtime.executors",
    "Command": "luthier.runtime.executors",
    "Run": "luthier.runtime.executors",
    "Simulated": "luthier.runtime.executors",
    "emit": "luthier.runtime.executors",
    "Searcher": "luthier.searchers",
    "Scheduler": "luthier.schedulers",
    "write_report": "luthier.report",
    "register": "luthier.base.registry",
}

__all__ = ["__version__", *_EXPORTS]

if TYPE_CHECKING:
    from luthier.base.records import (
        Configuration,
        Constraint,
        Decision,
        Fidelity,
        Objective,
        Observation,
        Status,
        Trial,
    )
    from luthier.base.registry import register
    from luthier.report import write_report
    from luthier.runtime.executors import Cluster, Command, Run, Simulated, emit
    from luthier.schedulers import Scheduler
    from luthier.searchers import Searcher
    from luthier.space import (
        Choice,
        Fixed,
        Float,
        Int,
        Normal,
        Ordinal,
        PastTask,
        Problem,
        Space,
        all_of,
        any_of,
        load_space,
    )
    from luthier.study import Result, Study

__getattr__, __dir__ = exports(__name__, _EXPORTS)
