"""Does population-based training end at a lower held-out loss than random search with equal population and epochs?

    python benchmarks/pbt.py [--folder DIR] [--seeds 20]

The digits network: scikit-learn's 1797 images, two hidden layers of 128 units, adam. Learning rate, its decay, batch
size, penalty, dropout and shifts are searched, and may change while a network is trained. Random search, pbt and pb2
each train 16 networks for 40 epochs; with equal seeds they share split and first population, networks included. The
network of the lowest validation loss is judged by its loss on test images that no decision has seen.
Also: the schedule found is replayed with three fresh networks, beside random search's best configuration.
Cells that are done are read from the folder, so that the script can be stopped and started again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import numpy as np  # noqa: E402
from scipy.stats import t as student  # noqa: E402
from scipy.stats import wilcoxon  # noqa: E402

import luthier as lu  # noqa: E402
from luthier.base.seeds import generator  # noqa: E402
from luthier.bench import demo  # noqa: E402
from luthier.bench._mlp import State, initial, scores, train_epoch  # noqa: E402

SPACE = lu.Space(
    learning_rate=lu.Float(1e-4, 1e-1, log=True, default=1e-3),
    decay=lu.Float(0.0, 1.0, default=0.0),
    batch_size=lu.Int(32, 256, log=True, default=200),
    alpha=lu.Float(1e-6, 1e-1, log=True, default=1e-4),
    dropout=lu.Float(0.0, 0.6, default=0.0),
    shift=lu.Float(0.0, 1.0, default=0.0),
)
NETWORK = {"width": 128, "depth": 2, "activation": "relu", "solver": "adam"}
POPULATION, EPOCHS, EVERY, REPLAYS = 16, 40, 4, 3
METHODS = ("random", "pbt", "pb2")
RIVALS = METHODS[1:]
SCHEDULERS: dict[str, Any] = {
    "random": "straight",
    "pbt": {"name": "pbt", "population": POPULATION, "every": EVERY, "synchronous": True},
    "pb2": {"name": "pb2", "population": POPULATION, "every": EVERY, "synchronous": True},
}
DRAWS = 10_000  # of the bootstrap


@dataclass(frozen=True)
class Train:
    """The network of a run, from its checkpoint on; the test loss is reported, and used by nobody before the end."""

    split_seed: int

    def __call__(self, run: lu.Run) -> None:
        images, labels = demo.digits()
        train, validation, test = demo.split(self.split_seed)
        how = demo.recipe({**NETWORK, **run.config})
        fresh = run.checkpoint is None
        state = initial(how, 64, demo.CLASSES, run.seed) if fresh else State.load(run.checkpoint / "network.npz")
        with demo.one_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for epoch in run.resources():
                train_epoch(state, how, images[train], labels[train], epochs=EPOCHS, seed=run.seed)
                if epoch % EVERY and epoch < run.until:
                    continue
                with run.save() as folder:
                    state.save(folder / "network.npz")
                loss = scores(state, how, images[validation], labels[validation])["log_loss"]
                held_out = scores(state, how, images[test], labels[test])
                run.report(loss=loss, test_loss=held_out["log_loss"], test_error=held_out["error"], epoch=epoch)


def study(scheduler: Any, seed: int, folder: Path, *, trials: int | None, defaults_first: bool = True) -> lu.Study:
    """A study that has been run."""
    made = lu.Study(
        SPACE,
        "loss",
        searcher="random",
        scheduler=scheduler,
        fidelity=("epoch", 1, EPOCHS),
        seed=seed,
        folder=folder,
        defaults_first=defaults_first,
    )
    made.run(Train(seed % 1000), trials=trials)
    return made


def measure(method: str, seed: int) -> dict[str, Any]:
    """One method with one seed."""
    with tempfile.TemporaryDirectory(prefix="luthier-pbt-") as name:
        found = study(SCHEDULERS[method], seed, Path(name) / "s", trials=POPULATION if method == "random" else None)
        best = found.best
        assert best is not None
        schedule = found.schedule()
        segments = {"name": "schedule", "segments": schedule.pairs(), "runs": REPLAYS}
        replayed = study(segments, seed + 1000, Path(name) / "r", trials=None, defaults_first=False)
        ends = [t.metrics for t in replayed.trials if t.resource == EPOCHS and t.metrics]
        epochs = sum(trained(t, found) for t in found.trials)
        result = {
            "trials": len(found.trials),
            "epochs": epochs,
            "validation": best.metrics["loss"],
            "test_loss": best.metrics["test_loss"],
            "test_error": best.metrics["test_error"],
            "replayed_test_loss": float(np.mean([m["test_loss"] for m in ends])),
            "replayed_test_error": float(np.mean([m["test_error"] for m in ends])),
            "schedule": schedule.rows(),
        }
        found.close()
        replayed.close()
        return result


def trained(trial: Any, found: lu.Study) -> float:
    """Epochs that a trial trained itself."""
    start = found.schedule(trial.number).segments[-1].start if trial.parent is not None and trial.resource else 0
    return (trial.resource or 0) - start


def cells(folder: Path, method: str, seeds: range) -> list[dict[str, Any]]:
    """All seeds of a method; those that are not there yet are measured."""
    path = folder / f"{method}.json"
    done: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for seed in seeds:
        if str(seed) not in done:
            done[str(seed)] = measure(method, seed)
            path.write_text(json.dumps(done))
    return [done[str(seed)] for seed in seeds]


def difference(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """Paired difference ours - theirs; below 0 ours is lower."""
    d = ours - theirs
    n = len(d)
    half = float(student.ppf(0.975, n - 1) * d.std(ddof=1) / np.sqrt(n))
    drawn = d[generator(0, "report").integers(n, size=(DRAWS, n))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "mean": float(d.mean()),
        "low": float(d.mean()) - half,
        "high": float(d.mean()) + half,
        "bootstrap_low": float(low),
        "bootstrap_high": float(high),
        "wins": int((d < 0).sum()),
        "wilcoxon_p": float(wilcoxon(d).pvalue),
    }


def verdict(one: dict[str, float], name: str, what: str) -> str:
    """One sentence, either way."""
    if one["high"] < 0:
        return f"**{name} ends at a lower {what}**: the interval is below 0."
    if one["low"] > 0:
        return f"**{name} ends at a higher {what}**: the interval is above 0."
    return f"**No difference between {name} and random search is shown in {what}**: the interval holds 0."


def report(found: dict[str, list[dict[str, Any]]], seeds: range) -> None:
    """Print, and write docs/results/pbt.*."""

    def column(name: str, key: str) -> np.ndarray:
        return np.array([row[key] for row in found[name]], dtype=float)

    keys = ("validation", "test_loss", "test_error", "replayed_test_loss", "replayed_test_error", "epochs", "trials")
    means = [{"method": name, **{key: f"{column(name, key).mean():.4g}" for key in keys}} for name in METHODS]
    compared: dict[str, dict[str, dict[str, float]]] = {}
    about_it = __doc__.split("\n\n")[2].partition("Cells that")[0].replace("\n", " ").strip()
    parts = [about_it, "Means over seeds:", _machine.table(means)]
    for name in RIVALS:
        compared[name] = {}
        parts.append(f"## {name} against random search")
        for key, what in (("test_loss", "held-out loss"), ("replayed_test_loss", "held-out loss of fresh networks")):
            one = compared[name][key] = difference(column(name, key), column("random", key))
            parts.append(
                f"{what}: paired difference {one['mean']:+.4f} nats, 95 % interval [{one['low']:+.4f}, "
                f"{one['high']:+.4f}] (Student; bootstrap [{one['bootstrap_low']:+.4f}, "
                f"{one['bootstrap_high']:+.4f}]), "
                f"lower on {one['wins']} of {len(seeds)} seeds, Wilcoxon p = {one['wilcoxon_p']:.2g}. "
                + verdict(one, name, what)
            )
    rows = [{k: f"{v:.3g}" if isinstance(v, float) else v for k, v in r.items()} for r in found["pbt"][0]["schedule"]]
    parts += [f"## The schedule that pbt found with seed {seeds.start}", _machine.table(rows)]
    about = _machine.machine(("luthier", "numpy", "scipy", "scikit-learn"))
    parts += [
        "## How",
        f"`python benchmarks/pbt.py`, {date.today()}, seeds {seeds.start} to {seeds.stop - 1}, one thread, synchronous "
        f"generations of {EVERY} epochs. " + ", ".join(f"{k} {v}" for k, v in about.items()) + ".",
    ]
    text = "\n\n".join(parts)
    print(text)
    data = {"machine": about, "seeds": list(seeds), "differences": compared, "cells": found}
    _machine.write("pbt", "Population-based training against random search", text, data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("build/pbt"), help="where cells are kept")
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    seeds = range(given.seeds)
    report({method: cells(given.folder, method, seeds) for method in METHODS}, seeds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
