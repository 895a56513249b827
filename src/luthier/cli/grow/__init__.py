"""`luthier grow`: tune small, transfer by muP, start the large model from the small one, and say what it cost."""

from __future__ import annotations

from luthier.cli.grow import economy, growing, plans, tuning  # noqa: F401 (each adds its commands)
from luthier.cli.grow._shared import grow

#: As they are used, for `luthier grow --help`.
ORDER = ("inspect", "check", "sweep", "transfer", "train", "expand", "compare", "ledger", "fit", "plan", "export")
grow.registered_commands.sort(key=lambda one: ORDER.index(one.name or getattr(one.callback, "__name__", "")))

__all__ = ["grow"]
