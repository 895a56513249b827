"""The report: one HTML file that works offline and can be mailed."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.report._header import header
from luthier.report._html import digest, element, embed, escape
from luthier.report._sections import Section, sections
from luthier.report._source import StudyView, snapshot
from luthier.report._values import duration
from luthier.report.text import summary


def write_report(study: StudyView, path: str | Path) -> Path:
    """Write a study as one static page.

    The page holds its data, its script and the plotting library; it asks nothing of the network and of the reader's
    machine. The same study gives the same bytes.

    Args:
        study: The study.
        path: File to write, replaced at once if it exists; a folder gets `report.html`.

    Returns:
        The file.

    Raises:
        ArgumentError: it cannot be written there.
    """
    target = Path(path)
    if target.is_dir():
        target = target / "report.html"
    text = render(study)
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ArgumentError(
            f"report {str(target)!r}: {error.strerror or error}. Allowed: a file in a folder that exists and can be "
            "written. Make the folder, or give another path."
        ) from error
    return target


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
    plotly, script = _asset("plotly.min.js"), _asset("report.js")
    # scripts are named by their hash: nothing else on the page can ever run, and nothing is fetched
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
        f"script-src {digest(plotly)} {digest(script)}"
    )
    data: dict[str, Any] = {
        "figures": [{"id": name, **figure} for part in parts for name, figure in part.figures.items()],
        **{name: value for part in parts for name, value in part.data.items()},
    }
    head = (
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(facts['name'])} · luthier</title><style>{_asset('report.css')}</style>"
    )
    noscript = '<noscript><p class="alert">Pictures and the table of trials need JavaScript.</p></noscript>'
    body = (
        header(facts)
        + _contents(parts)
        + noscript
        + element("main", "".join(part.markup() for part in parts) or _nothing())
        + _footer(facts)
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n'
        f'<script type="application/json" id="report-data">{embed(data)}</script>\n'
        f"<script>{script}</script>\n<script>{plotly}</script>\n"
        f'<script type="text/plain" id="licences">{escape(_asset("plotly.LICENSES.txt"))}</script>\n</body>\n</html>\n'
    )


@cache
def _asset(name: str) -> str:
    return (files("luthier.report") / "assets" / name).read_text(encoding="utf-8")


def _contents(parts: list[Section]) -> str:
    links = "".join(element("a", escape(part.title), href=f"#{part.id}") for part in parts)
    return element("nav", links, aria_label="Contents") if links else ""


def _nothing() -> str:
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
