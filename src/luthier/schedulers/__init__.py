"""schedulers: who spends the resource. One file is one algorithm.

What families share: `_axis` (the resource that they judge on), `_rungs` (where trials compete), `_brackets`
(synchronous halving), `_members` and `_population`.

Not here: proposals (the searcher's), the store, and the end of the whole study (`stopping`).
"""

from luthier.schedulers._base import Scheduler

__all__ = ["Scheduler"]
