"""The report: one HTML file that works offline and can be mailed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.report._document import document, write_page
from luthier.report._header import header
from luthier.report._html import element
from luthier.report._sections import sections
from luthier.report._source import StudyView, snapshot
from luthier.report._values import duration
from luthier.report.text import summary


def write_report(study: StudyView | str | Path, path: str | Path) -> Path:
    """Write a study as one static page.

    The page holds its data, its script and the plotting library; it asks nothing of the network and of the reader's
    machine. The same study gives the same bytes.

    Args:
        study: The study, its folder or `URL#NAME`.
        path: File to write, replaced at once if it exists; a folder that exists gets `report.html`.

    Returns:
        The file.

    Raises:
        ArgumentError: it cannot be written there, or is no study.
        StorageError: there is no study of that name.
    """
    if isinstance(study, (str, Path)):
        from luthier.study import Study

        with Study.open(study) as opened:
            return write_report(opened, path)
    if not hasattr(study, "events"):
        raise ArgumentError(
            f"write_report of a {type(study).__name__}. Allowed: a Study, its folder or 'URL#NAME'; a Result knows "
            "nothing of the log. Write write_report(study, path)."
        )
    return write_page(render(study), path, "report.html")


def render(study: StudyView) -> str:
    """The page as text.

    Args:
        study: The study.

    Returns:
        A whole HTML document, about 1.3 MB for the libraries plus some 0.5 kB a trial.
    """
    shot = snapshot(study)
    facts = summary(shot)
    parts = sections(shot)
    inside = element("main", "".join(part.markup() for part in parts) or nothing_yet())
    return document(
        facts["name"],
        header(facts),
        parts,
        inside,
        _footer(facts),
        without_script="Pictures and the table of trials need JavaScript.",
    )


def nothing_yet() -> str:
    """What stands in place of sections while there are none."""
    return element("p", "No trial has been started yet.", class_="alert")


def _footer(facts: dict[str, Any]) -> str:
    when = ""
    if facts["budget"]["virtual"]:
        when = f" ({duration(facts['budget']['used_seconds'])} of virtual time)"
    elif facts["until"] is not None:
        try:
            moment = datetime.fromtimestamp(facts["until"], UTC)
        except (OverflowError, OSError, ValueError):  # a log made elsewhere may lie outside the calendar
            when = ""
        else:
            when = f" of {moment:%Y-%m-%d %H:%M} UTC"
    words = f"Drawn by luthier from the log up to event {facts['events']}{when}. Pictures by plotly.js (MIT)."
    return element("footer", element("p", words))
