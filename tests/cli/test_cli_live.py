"""The live table, drawn into a text."""

from __future__ import annotations

import io

from rich.console import Console

import luthier as lu
from luthier.cli._live import Board
from luthier.cli._progress import Watch


def drawn(board: Board) -> str:
    console = Console(file=io.StringIO(), width=110, force_terminal=False)
    console.print(board.draw())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def board_of(study: lu.Study, trials: int | None = None, seconds: float | None = None) -> Board:
    return Board(study, (trials, seconds), Console(file=io.StringIO(), force_terminal=True))


SPACE = lu.Space(x=lu.Float(0, 1))


def test_an_empty_study() -> None:
    text = drawn(board_of(lu.Study(SPACE, searcher="random", name="s"), 10, 60.0))
    assert "random with straight" in text
    assert "10 of 10 trials left" in text
    assert "60.0 s left" in text or "1:00 left" in text or "59." in text
    assert "none yet" in text
    assert "no result yet" in text


def test_statuses_incumbent_default_and_errors() -> None:
    study = lu.Study(SPACE, searcher="random", name="s")
    board = board_of(study)
    study.callbacks.append(board)
    study.ask(4)
    study.tell(0, {"loss": 0.5})
    study.tell(1, {"loss": 0.25})
    study.tell(2, status="failed")
    board._due = 0.0  # it drew once when it was made, and rests in proportion to how long that took
    text = drawn(board)
    assert "1 running  2 completed  1 failed" in text
    assert "trial 1, loss 0.25" in text
    assert "loss 0.5" in text
    study.tell(3, {"loss": 0.125})
    board._due = 0.0
    assert "trial 3, loss 0.125" in drawn(board), "an event makes it look again"


def test_rungs_of_a_maximised_metric() -> None:
    study = lu.Study(SPACE, lu.Objective("acc", "max"), searcher="random", scheduler="asha", fidelity=("epoch", 1, 9))
    board = board_of(study)
    study.callbacks.append(board)

    def train(run: lu.Run) -> None:
        for epoch in run.resources():
            board._rungs_due = 0.0
            run.report(acc=run.number / 10 + epoch, epoch=epoch)

    study.run(train, trials=4)
    text = drawn(board)
    assert "epoch 1  4 trials, best 1.3 (trial 3)" in text
    assert "epoch 9" in text


def test_a_pareto_set() -> None:
    study = lu.Study(SPACE, ["loss", "size"], searcher="random")
    for n, (loss, size) in enumerate([(1.0, 2.0), (2.0, 1.0), (3.0, 3.0)]):
        study.ask()
        study.tell(n, {"loss": loss, "size": size})
    text = drawn(board_of(study))
    assert "Pareto set" in text
    assert "2 trials" in text
    assert "trial 1, loss 2, size 1" in text


def test_a_new_incumbent_is_noticed_once() -> None:
    study = lu.Study(SPACE, searcher="random")
    watch, found = Watch(study), []

    def hear(study: lu.Study, event: object) -> None:
        watch._due = 0.0
        result = watch.look(study, event)  # type: ignore[arg-type]
        if result is not None and result.best is not None:
            found.append(result.best.number)

    study.callbacks.append(hear)
    for n, loss in enumerate([3.0, 4.0, 2.0, 2.0, 1.0]):
        study.ask()
        study.tell(n, {"loss": loss})
    assert found == [0, 2, 4]
    assert Watch(study)._known == (4, True), "what is there already is no news"
