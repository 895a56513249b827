"""How much each hyperparameter matters, with sample size, interval and warning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from luthier.base.checks import check
from luthier.base.seeds import generator
from luthier.report._axes import axes
from luthier.report._fanova import fanova, interactions
from luthier.report._ped_anova import Shares, ped_anova
from luthier.report._results import Results, results
from luthier.report._source import StudyView
from luthier.report._surrogate import Landscape, fit
from luthier.report._values import clean

#: What each method's share is a share of.
METHODS: Mapping[str, str] = {
    "ped-anova": "of what tells the best tenth of the trials from all trials",
    "fanova": "of the objective's variance over the whole space, by a forest",
}


def importance(study: StudyView, objective: int = 0, *, method: str = "ped-anova") -> dict[str, Any]:
    """Shares of the hyperparameters.

    Args:
        study: The study.
        objective: Position of the objective.
        method: "ped-anova": what tells the best tenth of the trials from all (the default: it needs no model, and its
            cost grows by the trials alone). "fanova": what moves the objective over the whole space, good or bad.

    Returns:
        `objective`, `method`, `of` (what it is a share of, in words), `trials` (how many results it rests on),
        `resource` (where they were measured; None without a fidelity), `left_out`, `fault` (why there are no shares,
        in words; else empty), `warning` (empty from 30 results on), `rows`: for every hyperparameter that varies
        `name`, `share`, `low` and `high` (5 to 95 % of resamples; for fANOVA 10 to 90 % of the trees), `chance` (what
        one without influence reaches in one of twenty studies; None where unknown) and `when` (its condition in
        words), the most important first; and `pairs`: `names` and `share` of the interactions of the four most
        important hyperparameters, for fANOVA alone.

    Raises:
        ArgumentError: there is no such method.
    """
    check("method", method, one_of=tuple(METHODS))
    return table(results(study, objective), study, objective, method)


def table(
    found: Results, study: StudyView, objective: int, method: str, land: Landscape | None = None
) -> dict[str, Any]:
    """`importance` of results that are at hand; `land`: the landscape of their forest, if that is too."""
    fault = found.fault()
    made: dict[str, Any] = {
        "objective": study.problem.objectives[objective].name,
        "method": method,
        "of": METHODS[method],
        "trials": len(found.values),
        "resource": found.resource,
        "left_out": found.left_out,
        "fault": fault,
        "warning": found.warning(),
        "rows": [],
        "pairs": [],
    }
    if fault:
        return made
    if method == "ped-anova":
        shares = ped_anova(found, generator(study.seed, "report", objective, 1))
    else:
        land = land or landscape(found, study, objective)
        shares = fanova(land)
        order = [int(j) for j in np.argsort(-shares.share, kind="stable")]
        names = found.space.columns
        made["pairs"] = [
            {"names": [names[i], names[j]], "share": clean(share)} for i, j, share in interactions(land, order)
        ]
    made["rows"] = _rows(shares, study)
    return made


def landscape(found: Results, study: StudyView, objective: int) -> Landscape:
    """The forest of a study's results, and its means; the same for fANOVA and contours."""
    surrogate = fit(found, generator(study.seed, "report", objective, 2))
    return Landscape(surrogate, generator(study.seed, "report", objective, 3))


def _rows(shares: Shares, study: StudyView) -> list[dict[str, Any]]:
    columns = study.problem.space.columns
    words = {axis.name: axis.when for axis in axes(study.problem, ())}
    rows: list[dict[str, Any]] = [
        {
            "name": columns[j],
            "share": clean(shares.share[j], 4),
            "low": clean(shares.low[j], 4),
            "high": clean(shares.high[j], 4),
            "chance": clean(shares.chance[j], 4),
            "when": words.get(columns[j], ""),
        }
        for j in range(len(columns))
    ]
    return sorted(rows, key=lambda row: -row["share"])
