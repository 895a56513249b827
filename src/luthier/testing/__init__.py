"""testing: public contract batteries; a plug-in proves itself with the same checks as the built-in parts.

    from luthier.testing import check_searcher

    def test_mine():
        check_searcher("mine")          # a registered name, or a class

Nothing here is imported by the rest of luthier, and no test framework is needed.

Not here: tests of luthier itself, and their data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.base.lazy import exports

if TYPE_CHECKING:
    from luthier.testing.benchmark import check_benchmark
    from luthier.testing.executor import check_executor
    from luthier.testing.scheduler import check_scheduler
    from luthier.testing.searcher import check_searcher
    from luthier.testing.stopping import check_stopping
    from luthier.testing.storage import check_storage

_HOMES = {f"check_{kind}": kind for kind in ("benchmark", "executor", "scheduler", "searcher", "stopping", "storage")}

__all__ = ["check_benchmark", "check_executor", "check_scheduler", "check_searcher", "check_stopping", "check_storage"]

__getattr__, __dir__ = exports(__name__, _HOMES)
