"""The axis that schedulers judge on: it has to be there, and every report has to say where it stands."""

from __future__ import annotations

from luthier.base.errors import ArgumentError
from luthier.base.records import Fidelity, Report
from luthier.space.problem import Problem

#: Fractions of a resource add up to a little less than their sum.
SLACK = 1 + 1e-9


def needed(problem: Problem, scheduler: str) -> Fidelity:
    """The fidelity, which a scheduler that stops early cannot do without.

    Raises:
        ArgumentError: there is none.
    """
    if problem.fidelity is None:
        raise ArgumentError(
            f"scheduler {scheduler!r} needs a fidelity. Give fidelity=('epoch', 1, 81) "
            "(command line: --max epoch=81), or use scheduler='straight'."
        )
    return problem.fidelity


def spent(report: Report, fidelity: Fidelity, scheduler: str) -> float:
    """The resource of a report.

    Raises:
        ArgumentError: it carries none.
    """
    if report.resource is None:
        raise ArgumentError(
            f"trial {report.trial} reported no resource; scheduler {scheduler!r} judges by it. "
            f"Report it with the metrics: run.report(..., {fidelity.name}=...)."
        )
    return report.resource
