"""What the search has won on validation data and lost on data that it never saw; and how lucky its best result is."""

from __future__ import annotations

from typing import Any

from luthier.report._source import Snapshot
from luthier.report._values import clean


def overtuned(shot: Snapshot) -> dict[str, Any]:
    """Overtuning and optimism of a study.

    Args:
        shot: The study, read once.

    Returns:
        `objective`; `metric`, the name of the untouched one (None without); `rows`, the incumbents one after the
        other: `results` seen until then, `trial`, `value`, `untouched`; `results` in all; `amount` lost on the
        untouched data since the best of these, `share` of what had been won there, `against_default` (each as
        `Overtuning` describes it, None where unknown); `default`, the untouched value of the default configuration;
        and `optimism`: None, or `trial`, `value`, `mean`, `amount` and `noise` (see `Optimism`).
    """
    lost, luck = shot.overtuning, shot.optimism
    table: dict[str, Any] = {
        "objective": shot.problem.objectives[0].name,
        "metric": shot.untouched,
        "rows": [],
        "results": 0,
        "amount": None,
        "share": None,
        "against_default": None,
        "default": None,
        "optimism": None,
    }
    if lost is not None:
        measured = [t for t in shot.trials if t.untouched is not None and t.origin != "confirm"]
        default = next((trial for trial in measured if trial.origin == "default"), None)
        table |= {
            "rows": [
                {
                    "results": one.results,
                    "trial": one.trial,
                    "value": clean(one.value),
                    "untouched": clean(one.untouched),
                }
                for one in lost.incumbents
            ],
            "results": len(measured),
            "amount": clean(lost.amount),
            "share": clean(lost.share),
            "against_default": clean(lost.against_default),
            "default": None if default is None else clean(default.untouched),
        }
    if luck is not None:
        names = ("value", "mean", "amount", "noise")
        table["optimism"] = {"trial": luck.trial, **{name: clean(getattr(luck, name)) for name in names}}
    return table
