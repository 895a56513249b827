"""DEHB, the reference implementation, at its defaults: asked and told, one worker, eta = 3.

Its files are written at the end only, which never comes: at every improvement it would compress its history. A
conditional hyperparameter is ConfigSpace's. Options: `eta`.
"""

from __future__ import annotations

import tempfile
from typing import Any

from dehb import DEHB  # type: ignore[import-not-found,unused-ignore]
from shared_configspace import space_of  # type: ignore[import-not-found,unused-ignore]


class Dehb:
    """An optimiser that is asked and told."""

    def __init__(self, setting: Any) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._dehb = DEHB(
            cs=space_of(setting.space, setting.seed),
            min_fidelity=setting.axis["low"],
            max_fidelity=setting.axis["high"],
            eta=setting.options.get("eta", 3),
            n_workers=1,
            seed=setting.seed,
            save_freq="end",
            output_path=self._folder.name,
            log_level="ERROR",
        )
        self._jobs: dict[int, Any] = {}

    def ask(self, trial: int) -> Any:
        """The next configuration, with its fidelity."""
        job = self._jobs[trial] = self._dehb.ask()
        return dict(job["config"]), job["fidelity"]

    def tell(self, trial: int, value: float, resource: float | None, done: bool, failed: bool) -> None:
        """What came out."""
        self._dehb.tell(self._jobs.pop(trial), {"fitness": value, "cost": 0.0})


make = Dehb
