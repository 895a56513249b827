"""searchers: who proposes the next configuration. Each file is one searcher, its file name the public name.

No clock is read here, nothing is pickled, and no file knows a study: what happened arrives by `tell`.

Not here: how long a trial runs, and when a study ends.
"""

from __future__ import annotations

from luthier.searchers._base import FEATURES, Searcher

__all__ = ["FEATURES", "Searcher"]
