"""The same model tuned anew every month as data grows: with what earlier months taught, and without.

    LUTHIER_DATA=... python benchmarks/retune.py run --data electricity --seeds 0:10
    LUTHIER_DATA=... python benchmarks/retune.py report

Each month gradient boosting is tuned live on all rows until then, and judged on the next month; five evaluations.
`electricity`: does the price rise, log loss. `bike_hour`: rentals an hour, root mean squared error of log(1 + n).
`run` adds what is missing to docs/results/retune/ and may be stopped at any moment; `report` writes
docs/results/retune.md and .json, and docs/img/retune.svg (electricity).
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

import _pictures  # noqa: E402
import numpy as np  # noqa: E402

import luthier as lu  # noqa: E402
from luthier.bench.data import folder  # noqa: E402

FOLDER = _machine.RESULTS / "retune"
DATA = {"electricity": 48 * 30, "bike_hour": 24 * 30}  # rows of a month
WORDS = {"electricity": "log loss of a classifier", "bike_hour": "root of the mean squared error of log(1 + rentals)"}
FIRST, MONTHS, EVALUATIONS = 3, 12, 5
READ = (1, 2, 3, 5)
WAYS = ("none", "past")

SPACE = lu.Space(
    learning_rate=lu.Float(0.003, 1.0, log=True, default=0.1),
    max_leaf_nodes=lu.Int(2, 128, log=True, default=31),
    min_samples_leaf=lu.Int(1, 200, log=True, default=20),
    l2_regularization=lu.Float(1e-6, 1e2, log=True, default=1e-6),
    max_iter=lu.Int(10, 200, log=True, default=100),
)


def rows(data: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels in time order."""
    import pyarrow.parquet as pq

    where = folder()
    if where is None:
        raise SystemExit(f"LUTHIER_DATA is not set: it must hold tabular_time/{data}.parquet.")
    table = pq.read_table(where / "tabular_time" / f"{data}.parquet")
    label = "class" if data == "electricity" else "cnt"
    left_out = {label, "instant", "dteday", "casual", "registered"}
    names = [name for name in table.column_names if name not in left_out]
    y = table[label].to_numpy()
    return np.column_stack([table[name].to_numpy() for name in names]), y if label == "class" else np.log1p(y)


def month(data: str, X: np.ndarray, y: np.ndarray, number: int) -> Any:
    """A program that trains on all months before `number` and is judged on it."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import log_loss, root_mean_squared_error

    cut = number * DATA[data]
    train, judged = slice(0, cut), slice(cut, cut + DATA[data])

    def program(run: Any) -> float:
        if data == "electricity":
            model = HistGradientBoostingClassifier(**run.config, early_stopping=False, random_state=0)
            return float(log_loss(y[judged], model.fit(X[train], y[train]).predict_proba(X[judged])[:, 1]))
        model = HistGradientBoostingRegressor(**run.config, early_stopping=False, random_state=0)
        return float(root_mean_squared_error(y[judged], model.fit(X[train], y[train]).predict(X[judged])))

    return program


def one(data: str, seed: int, way: str) -> dict[str, Any]:
    """Twelve months with one seed: the best loss so far after each evaluation, (12, 5)."""
    X, y = rows(data)
    past: list[lu.Study] = []
    best, begin, chosen = [], time.perf_counter(), ""
    for number in range(FIRST, FIRST + MONTHS):
        study = lu.Study(
            SPACE,
            "loss",
            past=past if way == "past" else (),
            order=float(number),
            about={"rows": number * DATA[data]},
            name=f"month {number}",
            seed=100 * seed + number,
        )
        study.run(month(data, X, y, number), trials=EVALUATIONS)
        best.append(np.minimum.accumulate([trial.metrics["loss"] for trial in study.trials]).tolist())
        past.append(study)
        chosen = study.searcher_words
    return {"best": best, "seconds": time.perf_counter() - begin, "searcher": chosen}


def path_of(data: str, way: str, seed: int) -> Path:
    """Where a run is kept."""
    return FOLDER / f"{'' if data == 'electricity' else data + '-'}{way}-{seed}.json"


def run(data: str, seeds: range) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for way in WAYS:
            path = path_of(data, way, seed)
            if not path.exists():
                found = one(data, seed, way)
                path.write_text(json.dumps(found) + "\n")
                losses = [round(month[-1], 4) for month in found["best"]]
                print(data, way, seed, f"{found['seconds']:.0f} s", losses, flush=True)


def kept(data: str) -> tuple[list[int], np.ndarray, np.ndarray, str]:
    """Seeds that have both ways, the best so far without and with past, (seeds, months, evaluations); who learnt."""
    seeds = [s for s in range(100) if all(path_of(data, way, s).exists() for way in WAYS)]
    found = {way: [json.loads(path_of(data, way, s).read_text()) for s in seeds] for way in WAYS}
    without, with_past = (np.array([one["best"] for one in found[way]]) for way in WAYS)
    return seeds, without, with_past, found["past"][0]["searcher"] if seeds else ""


def tables(data: str, without: np.ndarray, with_past: np.ndarray) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """By evaluations, over the months that have a past; and month by month after the last evaluation."""
    rng, by_evaluation = np.random.default_rng(0), []
    for at in READ:
        change = (with_past - without)[:, 1:, at - 1]
        means = [change[rng.integers(len(change), size=len(change))].mean() for _ in range(10_000)]
        low, high = np.quantile(means, (0.025, 0.975))
        by_evaluation.append({
            "evaluations": at,
            "without": f"{without[:, 1:, at - 1].mean():.4f}",
            "with past": f"{with_past[:, 1:, at - 1].mean():.4f}",
            "difference": f"{change.mean():+.4f} [{low:+.4f}, {high:+.4f}]",
            "median month": f"{np.median(change.mean(axis=0)):+.4f}",
            "better in months": f"{int((change.mean(axis=0) < 0).sum())} of {MONTHS - 1}",
        })  # fmt: skip
    by_month = [
        {
            "month": FIRST + i + 1,
            "rows": (FIRST + i) * DATA[data],
            "without": f"{without[:, i, -1].mean():.4f}",
            "with past": f"{with_past[:, i, -1].mean():.4f}",
        }
        for i in range(MONTHS)
    ]
    return by_evaluation, by_month


def report() -> None:
    machine = _machine.machine(["luthier", "scikit-learn", "numpy"])
    found: dict[str, Any] = {"date": date.today().isoformat(), "machine": machine}
    parts = [
        f"Gradient boosting, tuned anew in {MONTHS} months on all rows until then, and judged on the month that "
        "follows; best so far. Without: `auto` on this month alone, the default first. With: `past=` all earlier "
        "months. Intervals: 95 %, seeds drawn again."
    ]
    for data in DATA:
        seeds, without, with_past, who = kept(data)
        if not seeds:
            continue
        by_evaluation, by_month = tables(data, without, with_past)
        found[data] = {"seeds": seeds, "table": by_evaluation, "months": by_month}
        parts += [
            f"## {data}",
            f"{len(seeds)} seeds, {WORDS[data]}. In the last month: {who}.",
            _machine.table(by_evaluation),
            f"After {EVALUATIONS} evaluations, month by month:",
            _machine.table(by_month),
        ]
        _draw(data, without, with_past)
    parts += [f"Machine: {', '.join(f'{key} {value}' for key, value in machine.items())}."]
    print(_machine.write("retune", "Retuning month by month", "\n\n".join(parts), found))


def _draw(data: str, without: np.ndarray, with_past: np.ndarray) -> None:
    lines = {}
    for name, best in (("with past", with_past), ("without", without)):
        last = best[..., -1]
        error = last.std(axis=0, ddof=1) / len(last) ** 0.5 if len(last) > 1 else None
        lines[name] = _pictures.Line(range(FIRST + 1, FIRST + MONTHS + 1), last.mean(axis=0), error)
    where = _machine.RESULTS.parent / "img" / "retune.svg" if data == "electricity" else FOLDER / f"{data}.svg"
    _pictures.draw(where, lines, control="without", x="month", y=f"loss after {EVALUATIONS} evaluations")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("run")
    adding.add_argument("--data", choices=DATA, default="electricity")
    adding.add_argument("--seeds", default="0:10")
    commands.add_parser("report")
    given = parser.parse_args()
    if given.command == "report":
        report()
        return
    low, _, high = given.seeds.partition(":")
    run(given.data, range(int(low), int(high)))


if __name__ == "__main__":
    main()
