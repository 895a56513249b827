"""`luthier convert`: from one store or format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from luthier.cli._options import Debug, Json


def convert(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A study, or a history of Optuna or Syne Tune.")],
    dest: Annotated[str, typer.Argument(metavar="DEST", help="Folder, store's URL, or .csv, .json or .parquet file.")],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which study of the source.", show_default=False)
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Copy all studies of a store into another store.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Copy a study, or read the history of another tool.

    SOURCE may be a study, an Optuna database or journal, or a Syne Tune folder; DEST a store, or a file for the
    trials alone.
    """
    from luthier.cli import _json
    from luthier.cli._text import counts, follow
    from luthier.study.convert import convert as run
    from luthier.study.convert import convert_all
    from luthier.study.exchange import WRITERS

    if every:
        found = convert_all(source, dest)
        if as_json:
            _json.write({"studies": [{"name": n, "events": count, "sha256": log} for n, count, log in found]})
            return
        for title, count, log in found:
            print(f"{title}: {count} events, sha256 {log[:16]}, read back as they were")
        print("next: luthier list studies, with the new store")
        return
    with run(source, dest, name=name) as study:
        is_file = Path(dest).suffix.lower() in WRITERS
        if as_json:
            _json.write({**_json.study_data(study), "file": dest if is_file else None})
            return
        print(f"{study.name}: {counts(study.result())}")
        print(f"written: {dest}" if is_file else follow("show", study.where))
