"""Markup of the pages: the list of studies, and what stands around a study's report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from luthier.report.live import Part, page, plain_page, text
from luthier.serve._watch import Brief
from luthier.study.listing import Entry


def index(found: Sequence[tuple[str, Entry, Brief | None]], assets: str) -> str:
    """The list of studies."""
    lines, mark = rows(found)
    head = "".join(
        f'<th scope="col">{title}</th>' for title in ("Study", "Aim", "Trials", "State", "Best", "Latest event (UTC)")
    )
    body = (
        '<header><p class="brand">luthier <span>studies</span></p>'
        f"<h1>Studies</h1>{_live()}</header>"
        '<main><div class="scroll" tabindex="0" role="region" aria-label="Studies">'
        f'<table class="sheet studies"><thead><tr>{head}</tr></thead><tbody id="studies">{lines}</tbody></table>'
        "</div></main><footer></footer>"
    )
    return plain_page("Studies", body, assets=assets, scripts=["index.js"], marks=f' data-mark="{mark}"')


def rows(found: Sequence[tuple[str, Entry, Brief | None]]) -> tuple[str, str]:
    """Rows of the list, newest first, and a mark of what they say."""
    made = "".join(_row(*one) for one in found)
    return made, hashlib.blake2b(made.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def _row(key: str, entry: Entry, brief: Brief | None) -> str:
    name = f'<th scope="row"><a href="/studies/{key}">{text(entry.name)}</a></th>'
    if brief is None:
        aim = text(" and ".join(entry.objectives))
        return f'<tr>{name}<td class="words">{aim}</td><td></td><td>…</td><td></td><td></td></tr>'
    counts = " ".join(
        f'<span class="named"><span class="dot {text(status)}"></span>{number} {text(status)}</span>'
        for status, number in brief.counts.items()
    )
    cells = f'<td class="words">{text(brief.aim)}</td><td class="number">{brief.trials}</td><td>{counts}</td>'
    return f'<tr>{name}{cells}<td class="number">{text(brief.best)}</td><td>{_when(brief.until)}</td></tr>'


def _when(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}" if seconds else ""
    except (OverflowError, OSError, ValueError):  # a log made elsewhere may lie outside the calendar
        return ""


def study(key: str, entry: Entry, found: Sequence[Part], assets: str, *, write: bool) -> str:
    """The page of a study: the report, and what follows it."""
    note = _note_form() if write else ""
    above = (
        '<a class="skip" href="#parts">Skip to the pictures</a>'
        f'<div class="livebar"><a href="/">All studies</a>{_live()}'
        f'<a href="/studies/{key}/report.html" id="download" download>Download as one file</a></div>'
    )
    made = page(
        entry.name, found, assets=assets, scripts=["live.js"], above=above, marks=f' data-write="{str(write).lower()}"'
    )
    return made.replace('<main id="parts">', f'<main id="parts">{note}', 1)


def _note_form() -> str:
    return (
        '<form id="note-form" class="tools" autocomplete="off"><label>Note on trial '
        '<input id="note-trial" type="number" min="0" step="1" required></label>'
        '<label class="search"><span>Text</span><input id="note-text" maxlength="10000"></label>'
        '<button type="submit">Write note</button>'
        '<output id="note-said" class="count" aria-live="polite"></output></form>'
    )


def _live() -> str:
    return (
        '<span class="live"><span class="dot" id="live-dot"></span><output id="live-said">live</output> '
        '<button type="button" id="live-pause" aria-pressed="false">Pause updates</button></span>'
    )


def missing(assets: str) -> str:
    """What a reader of an address without a study sees."""
    body = (
        '<header><p class="brand">luthier</p><h1>There is no such study</h1><p><a href="/">All studies</a></p></header>'
    )
    return plain_page("No such study", body, assets=assets)
