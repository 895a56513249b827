"""The same model tuned anew every month as data grows: with what earlier months taught, and without.

    LUTHIER_DATA=... python benchmarks/retune.py run --seeds 0:5
    LUTHIER_DATA=... python benchmarks/retune.py report

Each month a gradient boosting classifier is tuned live on all half-hours of the electricity market until then, and
judged on the next month; five evaluations. `run` adds what is missing to docs/results/retune/ and
may be stopped at any moment; `report` writes docs/results/retune.md and .json, and docs/img/retune.svg.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from typing import Any

import _machine

_machine.one_thread()

import _pictures  # noqa: E402
import numpy as np  # noqa: E402

import luthier as lu  # noqa: E402
from luthier.bench.data import folder  # noqa: E402

FOLDER = _machine.RESULTS / "retune"
HALF_HOURS = 48 * 30  # a month
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


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Features and classes in time order."""
    import pyarrow.parquet as pq

    where = folder()
    if where is None:
        raise SystemExit("LUTHIER_DATA is not set: it must hold tabular_time/electricity.parquet.")
    table = pq.read_table(where / "tabular_time" / "electricity.parquet")
    names = [name for name in table.column_names if name != "class"]
    return np.column_stack([table[name].to_numpy() for name in names]), table["class"].to_numpy()


def month(X: np.ndarray, y: np.ndarray, number: int) -> Any:
    """A program that trains on all months before `number` and is judged on it."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import log_loss

    cut = number * HALF_HOURS
    train, judged = slice(0, cut), slice(cut, cut + HALF_HOURS)

    def program(run: Any) -> float:
        model = HistGradientBoostingClassifier(**run.config, early_stopping=False, random_state=0)
        model.fit(X[train], y[train])
        return float(log_loss(y[judged], model.predict_proba(X[judged])[:, 1]))

    return program


def one(seed: int, way: str) -> dict[str, Any]:
    """Twelve months with one seed: the best loss so far after each evaluation, (12, 5)."""
    X, y = rows()
    past: list[lu.Study] = []
    best, begin, chosen = [], time.perf_counter(), ""
    for number in range(FIRST, FIRST + MONTHS):
        study = lu.Study(
            SPACE,
            "loss",
            past=past if way == "past" else (),
            order=float(number),
            about={"rows": number * HALF_HOURS},
            name=f"month {number}",
            seed=100 * seed + number,
        )
        study.run(month(X, y, number), trials=EVALUATIONS)
        best.append(np.minimum.accumulate([trial.metrics["loss"] for trial in study.trials]).tolist())
        past.append(study)
        chosen = study.searcher_words
    return {"best": best, "seconds": time.perf_counter() - begin, "searcher": chosen}


def run(seeds: range) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for way in WAYS:
            path = FOLDER / f"{way}-{seed}.json"
            if not path.exists():
                found = one(seed, way)
                path.write_text(json.dumps(found) + "\n")
                print(
                    way, seed, f"{found['seconds']:.0f} s", [round(month[4], 4) for month in found["best"]], flush=True
                )


def report() -> None:
    kept = {
        way: {int(p.stem.rpartition("-")[2]): json.loads(p.read_text()) for p in sorted(FOLDER.glob(f"{way}-*.json"))}
        for way in WAYS
    }
    seeds = sorted(set(kept["none"]) & set(kept["past"]))
    without, with_past = (
        np.array([kept[way][s]["best"] for s in seeds]) for way in WAYS
    )  # (seeds, months, evaluations)
    rng = np.random.default_rng(0)
    table = []
    for at in READ:
        change = (with_past - without)[:, 1:, at - 1]  # the first month has no past
        means = [change[rng.integers(len(seeds), size=len(seeds))].mean() for _ in range(10_000)]
        low, high = np.quantile(means, (0.025, 0.975))
        table.append(
            {
                "evaluations": at,
                "without": f"{without[:, 1:, at - 1].mean():.4f}",
                "with past": f"{with_past[:, 1:, at - 1].mean():.4f}",
                "difference": f"{change.mean():+.4f} [{low:+.4f}, {high:+.4f}]",
                "median month": f"{np.median(change.mean(axis=0)):+.4f}",
                "better in months": f"{int((change.mean(axis=0) < 0).sum())} of {MONTHS - 1}",
            }
        )
    months = [
        {
            "month": FIRST + i + 1,
            "rows": (FIRST + i) * HALF_HOURS,
            "without": f"{without[:, i, 4].mean():.4f}",
            "with past": f"{with_past[:, i, 4].mean():.4f}",
        }
        for i in range(MONTHS)
    ]
    machine = _machine.machine(["luthier", "scikit-learn", "numpy"])
    text = "\n\n".join(
        [
            f"A gradient boosting classifier on the electricity market, tuned anew in {MONTHS} months, {len(seeds)} "
            f"seed{'s' * (len(seeds) != 1)}: log loss on the month that follows, best so far. Without: "
            "`auto` on this month alone, the default first. "
            f"With: `past=` all earlier months ({kept['past'][seeds[0]]['searcher']}). Intervals: 95 %, seeds "
            "drawn again.",
            _machine.table(table),
            "After five evaluations, month by month:",
            _machine.table(months),
            f"Machine: {', '.join(f'{key} {value}' for key, value in machine.items())}.",
        ]
    )
    data = {"date": date.today().isoformat(), "machine": machine, "seeds": seeds, "table": table, "months": months}
    _pictures.draw(
        _machine.RESULTS.parent / "img" / "retune.svg",
        {
            name: _pictures.Line(
                range(FIRST + 1, FIRST + MONTHS + 1),
                found[..., -1].mean(axis=0),
                found[..., -1].std(axis=0, ddof=1) / len(seeds) ** 0.5 if len(seeds) > 1 else None,
            )
            for name, found in (("with past", with_past), ("without", without))
        },
        control="without",
        x="month",
        y=f"log loss after {EVALUATIONS} evaluations",
    )
    print(_machine.write("retune", "Retuning month by month", text, data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run").add_argument("--seeds", default="0:5")
    commands.add_parser("report")
    given = parser.parse_args()
    if given.command == "report":
        report()
        return
    low, _, high = given.seeds.partition(":")
    run(range(int(low), int(high)))


if __name__ == "__main__":
    main()
