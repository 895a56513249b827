"""`luthier replay`: compute every decision of a study anew, and compare."""

from __future__ import annotations

import typer

from luthier.base.threads import single_thread
from luthier.cli._errors import WRONG
from luthier.cli._options import Debug, Json, Where


def replay(where: Where, as_json: Json = False, debug: Debug = False) -> None:
    """Compute every decision of a study anew, and compare.

    No difference is expected; exit code 4 when there is one.
    """
    single_thread()
    from luthier.cli import _json
    from luthier.cli._text import follow
    from luthier.study import Study

    with Study.open(where) as study:
        found = study.replay()
        place = study.where
    if as_json:
        _json.write(
            {
                "proposals": found.proposals,
                "decisions": found.decisions,
                "verdicts": found.verdicts,
                "differences": found.differences,
            }
        )
    else:
        more = f", {found.verdicts} verdicts of stopping rules" if found.verdicts else ""
        print(f"{found.proposals} proposals and {found.decisions} decisions{more} computed anew")
        print("1 difference" if len(found.differences) == 1 else f"{len(found.differences)} differences")
        for line in found.differences[:20]:
            print(f"  {line}")
        if len(found.differences) > 20:
            print(f"  and {len(found.differences) - 20} more: --json lists all")
        print(follow("doctor" if found.differences else "report", place))
    if found.differences:
        raise typer.Exit(WRONG)
