"""What a searcher says of itself, at moments of the log."""

import luthier as lu


def test_the_present_is_the_last_moment():
    study = lu.Study(lu.Space(x=lu.Float(0, 1)), "loss", searcher="cqr", seed=0)
    assert study.diagnostics_over_time() == []
    study.run(lambda run: run.config["x"], trials=25)
    course = study.diagnostics_over_time(5)
    assert [row["results"] for row in course] == [5, 10, 15, 20, 25]
    assert [row["trials"] for row in course] == [5, 10, 15, 20, 25]
    assert course[-1] == {"results": 25, **study.diagnostics()}
    assert len(study.diagnostics_over_time(100)) == 25


def test_what_was_said_then_is_what_a_study_that_ended_there_says():
    def run(trials):
        study = lu.Study(lu.Space(x=lu.Float(0, 1)), "loss", fidelity=("epoch", 1, 9), searcher="cqr", scheduler="asha")

        def train(run):
            for epoch in run.resources():
                run.report(loss=run.config["x"] + 1 / epoch, epoch=epoch)

        study.run(train, trials=trials)
        return study

    assert run(24).diagnostics_over_time(2)[0] == run(12).diagnostics_over_time(1)[0]


def test_a_space_that_widens_is_followed():
    study = lu.Study(None, "loss", searcher="cqr", seed=0)

    def train(run):
        x = run.float("x", 0, 1)
        return x + (run.float("y", 0, 1) if run.number > 3 else 0.5)

    study.run(train, trials=16)
    course = study.diagnostics_over_time(4)
    assert [row["trials"] for row in course] == [4, 8, 12, 16]
    assert course[-1] == {"results": 16, **study.diagnostics()}
