"""How the coverage of the searcher's model developed."""

from __future__ import annotations

import math
from typing import Any

from luthier.report._source import StudyView
from luthier.report._values import clean


def coverage(study: StudyView) -> dict[str, Any]:
    """Promised, uncorrected and measured coverage at moments of the study.

    Args:
        study: The study.

    Returns:
        `rows`, in order, empty for a searcher without a coverage: `trials` that the model knew, `promised`,
        `uncorrected` (None where unknown), `measured`, and `error`, the standard error of the measured one if results
        were independent of each other.
    """
    rows: list[dict[str, Any]] = []
    for told in study.diagnostics_over_time():
        measured, trials = clean(told.get("coverage")), clean(told.get("trials"))
        if measured is None or not trials:
            continue
        rows.append(
            {
                "trials": int(trials),
                "promised": clean(told.get("promised")),
                "uncorrected": clean(told.get("coverage_uncorrected")),
                "measured": measured,
                "error": clean(math.sqrt(measured * (1.0 - measured) / trials)),
            }
        )
    return {"rows": rows}
