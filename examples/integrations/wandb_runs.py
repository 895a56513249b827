"""A study in Weights & Biases, offline: a run for each trial, in one group. `wandb sync wandb/offline-*` sends them.

python examples/integrations/wandb_runs.py
"""

from pathlib import Path

import luthier as lu
from luthier.integrations.wandb import WandbCallback

SPACE = lu.Space(lr=lu.Float(1e-4, 1.0, log=True), width=lu.Int(4, 64))


def train(run):
    for epoch in run.resources():
        run.report(loss=(run.config["lr"] - 0.1) ** 2 + 1 / (run.config["width"] * epoch), epoch=epoch)


def main():
    study = lu.Study(
        SPACE,
        "loss",
        fidelity=("epoch", 1, 9),
        scheduler="asha",
        callbacks=[WandbCallback("luthier-example")],
        name="parabola",
    )
    print(study.run(train, trials=8).best)
    print(len(list(Path("wandb").glob("offline-run-*"))), "offline runs: one a trial, and one for the study")


if __name__ == "__main__":
    main()
