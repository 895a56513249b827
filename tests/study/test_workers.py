"""Worker processes and the loop: promotions of trials whose program is still leaving, limits, lost workers."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import luthier as lu

SPACE = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), width=lu.Int(4, 64))

pytestmark = pytest.mark.skipif(os.name != "posix", reason="worker processes need POSIX")


def curve(run: lu.Run) -> None:
    for epoch in run.resources():
        run.report(loss=abs(run.config["lr"] - 0.1) + 1 / (run.config["width"] * epoch), epoch=epoch)


def slow_to_leave(run: lu.Run) -> None:
    try:
        curve(run)
    finally:
        time.sleep(0.02)  # paused, and not yet gone


def trouble(run: lu.Run) -> float:
    if run.number == 1:
        time.sleep(600)
    if run.number == 2 and run.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if run.number == 3:
        print("\x00\xff garbage", {"loss": "?"})
    return float(run.config["lr"])


@pytest.mark.parametrize("target", [curve, slow_to_leave])
def test_promotion_with_workers_that_are_slow_to_leave(tmp_path: Path, target: object) -> None:
    study = lu.Study(
        SPACE,
        searcher="random",
        scheduler={"name": "asha", "type": "promotion"},
        fidelity=("epoch", 1, 27),
        folder=tmp_path / "s",
    )
    result = study.run(target, trials=40, workers=2)  # type: ignore[arg-type]
    assert len(result.trials) == 40
    assert {t.status for t in result.trials} == {lu.Status.COMPLETED, lu.Status.STOPPED}
    assert not [e for e in study.events() if e.data.get("reason") == "cancelled"]
    running: set[int | None] = set()
    for event in study.events():
        if event.kind == "started":
            assert event.trial not in running
            running.add(event.trial)
        elif event.kind in ("paused", "stopped", "finished"):
            running.discard(event.trial)
    assert study.replay().differences == []
    study.close()


def test_a_hanging_a_killed_and_a_talking_trial(tmp_path: Path) -> None:
    study = lu.Study(SPACE, searcher="random", folder=tmp_path / "s")
    result = study.run(trouble, trials=5, workers=2, time_limit=2.0)
    assert [t.status for t in result.trials] == [lu.Status.COMPLETED, lu.Status.FAILED, *[lu.Status.COMPLETED] * 3]
    assert "time limit of 2 s exceeded" in str(result.trials[1].error)
    assert result.trials[2].runs == 2
    assert [e.kind for e in study.events() if e.trial == 2].count("lost") == 1
    assert b"garbage" in b"".join(f.read_bytes() for f in (tmp_path / "s" / "trials" / "00003").glob("*.log"))
    study.close()
