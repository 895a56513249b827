"""space: domains, conditions, forbidden combinations, and their encoding to the unit cube.

The room's files, in the order in which they build on each other: `values` (plain values), `priors`, `conditions`
(the language of `when=`), `domain`, `number` and `domains` (Float, Int, Choice, Ordinal, Fixed), `columns` (one
hyperparameter as numbers), `rules` and `forbidden` (conditions as tests on codes), `encoding` (all columns together),
`moves` (local changes), `counting` (finite spaces), `compare` (two spaces), `serial` (JSON-able values), `space`
(Space), `problem` (Problem, PastTask, Benchmark), `configspace` and `configspace_writing` (ConfigSpace's JSON) and
`files` (YAML, TOML, JSON).

Not here: models and proposals: a space does not know which of its values are good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.base.lazy import exports

if TYPE_CHECKING:
    from luthier.space.conditions import all_of, any_of
    from luthier.space.configspace import from_configspace, to_configspace
    from luthier.space.domain import Domain
    from luthier.space.domains import Choice, Fixed, Float, Int, Ordinal
    from luthier.space.files import load_space
    from luthier.space.priors import Beta, Normal
    from luthier.space.problem import Benchmark, PastTask, Problem
    from luthier.space.space import Space

_HOME = {
    "all_of": "conditions",
    "any_of": "conditions",
    "from_configspace": "configspace",
    "to_configspace": "configspace",
    "Choice": "domains",
    "Domain": "domain",
    "Fixed": "domains",
    "Float": "domains",
    "Int": "domains",
    "Ordinal": "domains",
    "load_space": "files",
    "Beta": "priors",
    "Normal": "priors",
    "Benchmark": "problem",
    "PastTask": "problem",
    "Problem": "problem",
    "Space": "space",
}

__all__ = [
    "Benchmark",
    "Beta",
    "Choice",
    "Domain",
    "Fixed",
    "Float",
    "Int",
    "Normal",
    "Ordinal",
    "PastTask",
    "Problem",
    "Space",
    "all_of",
    "any_of",
    "from_configspace",
    "load_space",
    "to_configspace",
]

__getattr__, __dir__ = exports(__name__, _HOME)
