"""A page as one HTML file: its words, its data, its script and the plotting library, and nothing from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
        f"<title>{escape(title)} · luthier</title><style>{_asset('report.css')}</style>"
    )
    noscript = f'<noscript><p class="alert">{without_script}</p></noscript>'
    body = top + _contents(parts) + noscript + inside + foot
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n'
        f'<script type="application/json" id="report-data">{embed(data)}</script>\n'
        f"<script>{script}</script>\n<script>{plotly}</script>\n"
        f'<script type="text/plain" id="licences">{escape(_asset("plotly.LICENSES.txt"))}</script>\n</body>\n</html>\n'
    )


def write_page(text: str, path: str | Path, name: str) -> Path:
    """Write a page; a file that is there is replaced at once.

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
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ArgumentError(
            f"report {str(target)!r}: {error.strerror or error}. Allowed: a file in a folder that exists and can be "
            "written. Make the folder, or give another path."
        ) from error
    return target


@cache
def _asset(name: str) -> str:
    return (files("luthier.report") / "assets" / name).read_text(encoding="utf-8")


def _contents(parts: Sequence[Section]) -> str:
    links = "".join(element("a", escape(part.short or part.title), href=f"#{part.id}") for part in parts)
    return element("nav", links, aria_label="Contents") if links else ""
