"""Every table of a study by its name: what the pictures are drawn from, for other tools."""

from __future__ import annotations

from typing import Any

from luthier.report._ablation import ablation
from luthier.report._contours import contours
from luthier.report._importance import METHODS, importance
from luthier.report._source import StudyView, snapshot
from luthier.report.brackets import brackets
from luthier.report.coverage import coverage
from luthier.report.curves import curves, rungs
from luthier.report.genealogy import genealogy
from luthier.report.history import history
from luthier.report.outer_steps import outer_steps
from luthier.report.overtuned import overtuned
from luthier.report.parallel import parallel
from luthier.report.pareto_front import pareto_front
from luthier.report.slices import slices
from luthier.report.stopping import stopping
from luthier.report.timeline import timeline
from luthier.report.trials import trials
from luthier.report.tuning_curve import tuning_curve


def tables(study: StudyView) -> dict[str, Any]:
    """All tables, JSON-able.

    Args:
        study: The study.

    Returns:
        `history` (a list, one for each objective), `trials`, `parallel`, `slices`, `importance` (a list, one for each
        objective and method), `ablation`, `contours`, `curves`, `rungs`, `brackets`,
        `genealogy`, `outer_steps`, `timeline`, `pareto`, `stopping`, `overtuned`, `tuning_curve` and `coverage`, each
        as its own function describes it.
    """
    shot = snapshot(study)
    return {
        "history": [history(shot, i) for i in range(len(shot.problem.objectives))],
        "trials": trials(shot),
        "parallel": parallel(shot),
        "slices": slices(shot),
        "importance": [importance(shot, i, method=m) for i in range(len(shot.problem.objectives)) for m in METHODS],
        "ablation": ablation(shot),
        "contours": contours(shot),
        "curves": curves(shot),
        "rungs": rungs(shot),
        "brackets": brackets(shot),
        "genealogy": genealogy(shot),
        "outer_steps": outer_steps(shot),
        "timeline": timeline(shot),
        "pareto": pareto_front(shot),
        "stopping": stopping(shot),
        "overtuned": overtuned(shot),
        "tuning_curve": tuning_curve(shot),
        "coverage": coverage(shot),
    }
