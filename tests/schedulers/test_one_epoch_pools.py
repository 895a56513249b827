"""one-epoch: pools that a searcher with an end cannot fill."""

import contextlib

import luthier as lu

SPACE = lu.Space(x=lu.Float(0.0, 1.0), y=lu.Float(0.0, 1.0))


def train(run):
    for epoch in run.resources():
        run.report(loss=(run.config["x"] - 0.3) ** 2 + 1 / epoch, epoch=epoch)


def made(path, **own):
    return lu.Study(
        SPACE, "loss", searcher={"name": "grid", "levels": 5}, scheduler={"name": "one-epoch", **own},
        fidelity=("epoch", 1, 9), storage=f"sqlite:///{path}", name="s", defaults_first=False,
    )  # fmt: skip


def test_where_the_searcher_has_nothing_left_the_best_go_on(tmp_path):
    with made(tmp_path / "s.db") as study:
        study.run(train, trials=100)
        full = [t for t in study.trials if t.resource == 9]
        assert (len(study.trials), len(full)) == (25, 3)
        best = sorted(study.trials, key=lambda t: (t.config["x"] - 0.3) ** 2)[0].config["x"]
        assert {t.config["x"] for t in full} == {best}
        assert study.replay().differences == []


def test_a_pool_that_is_not_full_counts_too(tmp_path):
    with made(tmp_path / "s.db", pool=20) as study:
        study.run(train, trials=100)
        assert sum(t.resource == 9 for t in study.trials) == 6


def test_a_run_that_is_cut_there_chooses_no_others(tmp_path):
    over = []

    def cut(run):
        for epoch in run.resources():
            if epoch == 5:
                over.append(run.number)
                if len(over) == 2:
                    raise KeyboardInterrupt
            run.report(loss=(run.config["x"] - 0.3) ** 2 + 1 / epoch, epoch=epoch)

    with made(tmp_path / "s.db") as study, contextlib.suppress(KeyboardInterrupt):
        study.run(cut, trials=100)
    with lu.Study.open(tmp_path / "s.db", "s") as study:
        study.run(train, trials=100)
        assert sum(t.resource == 9 for t in study.trials) == 3
