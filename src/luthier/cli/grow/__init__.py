"""`luthier grow`: tune small, transfer by muP, start the large model from the small one, and say what it cost."""

from __future__ import annotations

from luthier.cli.grow import economy, growing, plans, tuning  # noqa: F401 (each adds its commands)
from luthier.cli.grow._shared import grow

__all__ = ["grow"]
