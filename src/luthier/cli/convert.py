"""`luthier convert`: from one store or format to another."""

from __future__ import annotations

from typing import Annotated

import typer

from luthier.cli._options import Debug, Json


def convert(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A study, or another tool's history.")],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="A folder, a store's URL, or a table's file.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the study to read.", show_default=False)
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Copy a study to another store, write it as .csv, .json or .parquet, or read another tool's history."""
    from luthier.cli import _json
    from luthier.study.convert import convert as run

    done = run(source, dest, name=name)
    if as_json:
        _json.write({"source": source, "dest": dest, "result": str(done)})
        return
    print(done)
