"""Tune a Lightning module: hopeless trials end early, the others go on from their checkpoint when they are promoted.

python examples/integrations/lightning_callback.py
"""

import logging
import sys
import warnings
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset, random_split

import luthier as lu
from luthier.integrations.lightning import LuthierCallback

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")

SPACE = lu.Space(
    lr=lu.Float(1e-4, 1e-1, log=True, default=1e-3),
    width=lu.Int(8, 128, log=True),
    dropout=lu.Float(0.0, 0.7, default=0.0),
)


class Digits(LightningModule):
    def __init__(self, lr, width, dropout):
        super().__init__()
        self.lr = lr
        self.net = torch.nn.Sequential(
            torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Dropout(dropout), torch.nn.Linear(width, 10)
        )

    def training_step(self, batch, index):
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, index):
        out = self.net(batch[0])
        self.log("val_loss", torch.nn.functional.cross_entropy(out, batch[1]))
        self.log("val_acc", (out.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)


def loaders():
    X, y = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(X, dtype=torch.float32) / 16, torch.tensor(y))
    train, valid = random_split(data, [0.7, 0.3], torch.Generator().manual_seed(0))
    return DataLoader(train, batch_size=64, shuffle=True), DataLoader(valid, batch_size=1024)


def train(run):
    seed_everything(run.seed, verbose=False)
    callback = LuthierCallback(run, monitor=["val_loss", "val_acc"])
    trainer = Trainer(
        max_epochs=int(run.fidelity.high),
        callbacks=[callback],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Digits(**run.config), *loaders(), ckpt_path=callback.checkpoint)


def main(folder):
    study = lu.Study(
        SPACE,
        "val_loss",
        fidelity=("epoch", 1, 9),
        scheduler={"name": "asha", "type": "promotion"},
        folder=folder,
    )
    result = study.run(train, trials=12)
    print(result.best)
    print("default:", result.default)
    print("epochs:", sum(int(trial.resource or 0) for trial in result.trials), "of", 9 * len(result.trials))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "lightning-example"))
