"""report: tables for pictures (pure), their drawing (thin), and the static page.

    study ── tables ──────────────── figures ─────────────── page
             history, trials,        plain plotly            one HTML file,
             parallel, slices,       dictionaries            offline
             importance, ablation,
             contours,
             curves, rungs,
             brackets, genealogy,
             outer_steps, timeline,
             pareto_front, coverage

A table is made of lists and dictionaries that JSON can hold; the command line, the page, a notebook and the tests
share its numbers. Anything shaped like `StudyView` can be reported.

Not here: sums made while drawing, a server (`serve`), and anything that changes a study.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.base.lazy import exports

if TYPE_CHECKING:
    from luthier.report._ablation import ablation as ablation
    from luthier.report._contours import contours as contours
    from luthier.report._importance import importance as importance
    from luthier.report._source import StudyView as StudyView
    from luthier.report._tables import tables as tables
    from luthier.report.page import render as render
    from luthier.report.page import write_report as write_report
    from luthier.report.text import summary as summary

_HOMES = {
    "write_report": "page",
    "render": "page",
    "summary": "text",
    "tables": "_tables",
    "importance": "_importance",
    "ablation": "_ablation",
    "contours": "_contours",
    "StudyView": "_source",
}

__all__ = ["StudyView", "ablation", "contours", "importance", "render", "summary", "tables", "write_report"]

__getattr__, __dir__ = exports(__name__, _HOMES)
