"""A process that makes cells: one line of JSON in, one line out. Started by `run`, of no use by itself."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from luthier.bench.studies.cells import Maker
from luthier.bench.studies.plan import Plan
from luthier.bench.studies.store import Cell


def main() -> None:
    """Answer until the input ends."""
    out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what a method prints must not mix with the answers
    maker: Maker | None = None
    for line in sys.stdin:
        message = json.loads(line)
        if maker is None:
            maker = Maker(Plan.from_json(message["plan"]), Path(message["folder"]))
            out.write("{}\n")  # ready
            continue
        try:
            cell = maker.make(message["method"], message["task"], message["seed"])
        except Exception as error:  # the task cannot be opened here, though it could in the parent
            cell = Cell(message["horizon"], message["clock"], error=f"{type(error).__name__}: {error}")
        out.write(json.dumps(cell.to_json()) + "\n")
    if maker is not None:
        maker.close()


if __name__ == "__main__":
    main()
