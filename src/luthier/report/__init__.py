"""report: tables for pictures (pure), their drawing (thin), and the static page.

    study ── tables ──────────────── figures ─────────────── page
             history, trials,        plain plotly            one HTML file,
             parallel, slices,       dictionaries            offline
             curves, rungs,
             brackets, genealogy,
             outer_steps, timeline,
             pareto_front, coverage

A table is made of lists and dictionaries that JSON can hold; the command line, the page, a notebook and the tests
share its numbers. Anything shaped like `StudyView` can be reported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from luthier.report._source import StudyView as StudyView
    from luthier.report._tables import tables as tables
    from luthier.report.page import render as render
    from luthier.report.page import write_report as write_report
    from luthier.report.text import summary as summary

_HOMES = {"write_report": "page", "render": "page", "summary": "text", "tables": "_tables", "StudyView": "_source"}

__all__ = ["StudyView", "render", "summary", "tables", "write_report"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
