"""schedulers: who spends the resource. One file is one algorithm; `_rungs.py` is what the halving family shares."""

from luthier.schedulers._base import Scheduler

__all__ = ["Scheduler"]
