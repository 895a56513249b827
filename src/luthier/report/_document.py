"""A page as one HTML file: its words, its data, its script and the plotting library, and nothing from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from luthier.base.errors import ArgumentError
from luthier.report._html import digest, element, embed, escape
from luthier.report._section import Section


def document(title: str, top: str, parts: Sequence[Section], inside: str, foot: str, *, without_script: str) -> str:
    """The page as text.

    Args:
        title: Of the window.
        top: Markup of the head of the page.
        parts: The sections: their names for the contents, their figures and data.
        inside: Markup between contents and foot.
        foot: Markup of the foot.
        without_script: What a reader without JavaScript misses, in words.

    Returns:
        A whole HTML document, about 1.3 MB for the libraries plus the data of the sections.
    """
    plotly, script = asset_text("plotly.min.js"), asset_text("report.js")
    # scripts are named by their hash: nothing else on the page can ever run, and nothing is fetched
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
        f"script-src {digest(plotly)} {digest(script)}"
    )
    data = page_data(parts)
    head = (
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)} · luthier</title><style>{asset_text('report.css')}</style>"
    )
    noscript = f'<noscript><p class="alert">{without_script}</p></noscript>'
    body = top + _contents(parts) + noscript + inside + foot
    licences = escape(asset_text("plotly.LICENSES.txt"))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n'
        f'<script type="application/json" id="report-data">{embed(data)}</script>\n'
        f"<script>{script}</script>\n<script>{plotly}</script>\n"
        f'<script type="text/plain" id="licences">{licences}</script>\n</body>\n</html>\n'
    )


def page_data(parts: Sequence[Section]) -> dict[str, Any]:
    """What the page's script needs of its sections."""
    return {
        "figures": [{"id": name, **figure} for part in parts for name, figure in part.figures.items()],
        **{name: value for part in parts for name, value in part.data.items()},
    }


def linked(title: str, body: str, *, assets: str, scripts: Sequence[str], data: Any, marks: str = "") -> str:
    """A page whose style and scripts are fetched from the server that shows it; nothing in it runs by itself.

    Args:
        title: Of the window.
        body: Markup.
        assets: Address under which the server has `report.css` and the scripts.
        scripts: Names of scripts, in the order in which they run.
        data: What `report.js` reads.
        marks: Attributes of the body, markup.

    Returns:
        A whole HTML document.
    """
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        '<link rel="icon" href="data:,">'
        f'<title>{escape(title)} · luthier</title><link rel="stylesheet" href="{assets}report.css">'
    )
    run = "".join(f'<script src="{assets}{name}" defer></script>' for name in scripts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}{run}</head>\n<body{marks}>\n{body}\n'
        f'<script type="application/json" id="report-data">{embed(data)}</script>\n</body>\n</html>\n'
    )


def write_page(text: str, path: str | Path, name: str) -> Path:
    """Write a page; a file that is there is replaced at once, folders that are missing are made.

    Args:
        text: The page.
        path: A file, or a folder.
        name: Name of the file in a folder.

    Returns:
        The file.

    Raises:
        ArgumentError: it cannot be written there.
    """
    target = Path(path)
    if target.is_dir():
        target = target / name
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        with suppress(OSError):  # such as a folder above it that is a file
            draft.unlink(missing_ok=True)
        apart = isinstance(error, (FileExistsError, NotADirectoryError))
        why = f"{str(target.parent)!r} is no folder" if apart else error.strerror or error
        raise ArgumentError(
            f"report {str(target)!r}: {why}. Allowed: a file in a folder that can be written. Give another path."
        ) from error
    return target


@cache
def asset_text(name: str) -> str:
    return (files("luthier.report") / "assets" / name).read_text(encoding="utf-8")


def _contents(parts: Sequence[Section]) -> str:
    links = contents_links(parts)
    return element("nav", links, aria_label="Contents") if links else ""


def contents_links(parts: Sequence[Section]) -> str:
    """Links to the sections."""
    return "".join(element("a", escape(part.short or part.title), href=f"#{part.id}") for part in parts)
