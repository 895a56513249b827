"""study: the loop. It joins space, searcher, scheduler, executor and store; ask and tell, run, resume, replay, results.

Not here: algorithms, pictures, printing.
"""

from __future__ import annotations

from luthier.study.result import Result
from luthier.study.study import Study

__all__ = ["Result", "Study"]
