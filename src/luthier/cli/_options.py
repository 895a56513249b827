"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

DEBUG = "luthier.debug"


def _debug(context: typer.Context, value: bool) -> bool:
    context.meta[DEBUG] = value
    return value


Where = Annotated[str, typer.Argument(metavar="STUDY", help="Folder of the study, or URL#NAME of its store.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, for machines.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", callback=_debug)]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder to write to.", show_default=False)]
Trials = Annotated[
    int | None, typer.Option("--trials", "-n", metavar="N", help="Trials of the study, in all.", show_default=False)
]
Seconds = Annotated[
    float | None, typer.Option("--seconds", metavar="S", help="Time for this call, in seconds.", show_default=False)
]


def option(panel: str, metavar: str, *flags: str, help: str) -> Any:
    """An option without a default to show, in a panel of a command's help; without flags its parameter names it."""
    return typer.Option(*flags, metavar=metavar, help=help, rich_help_panel=panel, show_default=False)
