"""`luthier report`: a study as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.base.threads import single_thread
from luthier.cli._options import Debug, Json, Where


def report(
    where: Where,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", metavar="FILE", help="Default: report.html in the study's folder.", show_default=False
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a study as one HTML file.

    It works offline and can be mailed.
    """
    single_thread()
    from luthier.cli import _json
    from luthier.cli._text import size
    from luthier.report import write_report
    from luthier.study import Study

    with Study.open(where) as study:
        home = study.folder if study.folder is not None else Path()
        path = out or home / ("report.html" if study.folder is not None else f"{study.name}-report.html")
        written = Path(write_report(study, path))
    if as_json:
        _json.write({"path": str(written), "bytes": written.stat().st_size})
    else:
        print(f"{written} ({size(written.stat().st_size)})")
    if show:
        import webbrowser

        webbrowser.open(written.resolve().as_uri())
    elif not as_json:
        print("next: open it in a browser, or add --open")
