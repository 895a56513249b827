"""Whatever the searcher: a study's log gives every proposal again, crashes, constraints and interruptions included."""

import math

import pytest

import luthier as lu
from luthier.base.errors import MissingExtra
from luthier.base.registry import load, names
from luthier.study import Study

TRIALS = 16


def _space(conditions):
    when = {"when": ("opt", "sgd")} if conditions else {}
    return lu.Space(
        lr=lu.Float(1e-4, 1.0, log=True),
        opt=lu.Choice("sgd", "adam", "lion"),
        momentum=lu.Float(0.0, 0.9, **when),
        width=lu.Int(4, 64),
    )


def _train(run):
    config = run.config
    if config["width"] > 58:
        raise RuntimeError("out of memory")
    loss = (math.log10(config["lr"]) + 2) ** 2 + config.get("momentum", 0.5) + "lsa".index(config["opt"][0])
    return {"loss": loss, "size": config["width"]}


@pytest.mark.parametrize("name", names("searcher"))
def test_replay_equals_live(name, tmp_path):
    cls = load("searcher", name)
    constraints = [lu.Constraint("size", 50.0)] if "constraints" in cls.supports else []
    url = f"sqlite:///{tmp_path}/study.db"
    try:
        study = Study(
            _space("conditions" in cls.supports), "loss", searcher=name, constraints=constraints, storage=url, name="s"
        )
    except MissingExtra as missing:
        pytest.skip(str(missing))
    study.run(_train, trials=TRIALS // 2)
    again = Study.open(url, "s")  # resumed: the searcher is built anew from the log
    again.run(_train, trials=TRIALS)
    replayed = again.replay()
    assert replayed.differences == []
    assert replayed.proposals == TRIALS
    assert len(again.trials) == TRIALS
