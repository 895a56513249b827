"""One driver of a study in the fault matrix: `python matrix_driver.py SETTINGS.json`; see matrix.py.

Its trials write down every report that was acknowledged (`run.report` returned). Faults that must come from inside are
switched on by the settings: a machine of its own ("host"), a clock that jumps ("clock"), a disk that is slow ("slow").
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import luthier as lu
from luthier.runtime.storage import _driver
from luthier.runtime.storage._transactions import Transactions

SPACE = lu.Space(x=lu.Float(0, 1), width=lu.Int(4, 64), kind=lu.Choice("a", "b", "c"))


def train(run: Any) -> None:
    """Three floats of state, a checkpoint at every step, and a word on disk for every report that was acknowledged."""
    at = json.loads((run.checkpoint / "state.json").read_text()) if run.checkpoint else 0
    assert at == run.after, f"the checkpoint holds {at}, the study says {run.after}"
    home = Path(run.folder).parents[1]
    for epoch in run.resources():
        time.sleep(0.02)
        with run.save() as folder:
            (folder / "state.json").write_text(json.dumps(epoch))
        loss = (run.config["x"] - 0.3) ** 2 + 1 / (run.config["width"] * epoch)
        run.report(loss=loss, epoch=epoch)
        line = json.dumps([run.number, epoch, loss]) + "\n"
        descriptor = os.open(home / "acknowledged.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, line.encode())
        os.close(descriptor)


def jump() -> None:
    """The clock of this process jumps, by an hour and back, several times a second."""
    real, offset = time.time, [0.0]
    time.time = lambda: real() + offset[0]

    def work() -> None:
        for step in range(100_000):
            time.sleep(0.13)
            offset[0] = (0.0, 3600.0, -3600.0, 86_400.0)[step % 4]

    threading.Thread(target=work, daemon=True).start()


def slow(seconds: float) -> None:
    """Every commit takes a while."""
    commit = Transactions._commit

    def late(self: Any, cursor: Any, *, write: bool) -> None:
        time.sleep(seconds)
        commit(self, cursor, write=write)

    Transactions._commit = late  # type: ignore[method-assign]


def main(given: dict[str, Any]) -> None:
    if given.get("host"):
        _driver._host = lambda: given["host"]
    if given.get("clock"):
        jump()
    if given.get("slow"):
        slow(given["slow"])
    with lu.Study(
        SPACE, searcher="random", scheduler="asha", fidelity=("epoch", 1, 9), storage=given["url"], name="matrix",
        folder=given["folder"], seed=0, retries=1000, lease=given.get("lease", 60.0),
    ) as study:  # fmt: skip
        study.run(train, trials=given["trials"], workers=given["workers"], executor=given["executor"])


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
