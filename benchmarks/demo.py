"""The demo over 20 split seeds: is the tuned winner better than scikit-learn's default on images that no tuner saw?

    python benchmarks/demo.py [--splits 20] [--trials 100]

Each split seed is one study as in `luthier demo --full` (cqr + asha, epochs 1..81), run by one worker in this process
so that the figures repeat. The winner and `MLPClassifier()` are each trained three times on training and validation
images and judged on the 539 test images. Resumable: what is finished stays in docs/results/demo.json.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from typing import Any

import _machine

_machine.one_thread()

import numpy as np  # noqa: E402
from scipy import stats  # noqa: E402

import luthier as lu  # noqa: E402
from luthier.bench import demo  # noqa: E402

FILE = _machine.RESULTS / "demo.json"


def one(split: int, trials: int) -> dict[str, Any]:
    """One study, judged."""
    study = lu.Study(demo.space(), demo.OBJECTIVE, searcher="cqr", scheduler="asha", fidelity=demo.FIDELITY, seed=split)
    begin = time.perf_counter()
    result = study.run(demo.Train(split), trials=trials)
    seconds = time.perf_counter() - begin
    best, default = result.best, result.default
    assert best is not None
    assert default is not None
    ours = demo.held_out(best.config, int(best.resource or demo.EPOCHS), split)
    theirs = demo.sklearn_default(split)
    return {
        "split": split,
        "winner %": round(100 * float(ours.mean()), 3),
        "default %": round(100 * float(theirs.mean()), 3),
        "difference": round(100 * float((ours - theirs).mean()), 3),
        "validation log loss": round(best.metrics["log_loss"], 4),
        "of the default": round(default.metrics["log_loss"], 4),
        "epochs in all": int(sum(t.resource or 0 for t in result.trials)),
        "seconds": round(seconds, 1),
        "replay differences": len(study.replay().differences),
        "config": dict(best.config),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--trials", type=int, default=100)
    given = parser.parse_args()
    key = {"trials": given.trials, "luthier": lu.__version__}
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    rows = kept.get("rows", []) if kept.get("key") == key else []
    for split in range(given.splits):
        if all(row["split"] != split for row in rows):
            rows.append(one(split, given.trials))
            print(json.dumps(rows[-1]), flush=True)
            summarise(rows, key)
    print(summarise(rows, key))


def summarise(rows: list[dict[str, Any]], key: dict[str, Any]) -> str:
    gains = np.array([row["difference"] for row in rows])
    n = len(gains)
    half = stats.t.ppf(0.975, n - 1) * gains.std(ddof=1) / np.sqrt(n) if n > 1 else float("nan")
    line = (
        f"mean gain in test accuracy over {n} split seeds: {gains.mean():+.2f} percentage points, "
        f"95 % interval [{gains.mean() - half:+.2f}, {gains.mean() + half:+.2f}] (t over splits); "
        f"better on {int((gains > 0).sum())}, worse on {int((gains < 0).sum())}"
    )
    machine = _machine.machine(["luthier", "numpy", "scipy", "scikit-learn"])
    shown = [{k: v for k, v in row.items() if k != "config"} for row in rows]
    shown_machine = _machine.table([{"machine": k, "": v} for k, v in machine.items()])
    text = "\n\n".join([line + ".", _machine.table(shown), shown_machine,
                        f"`python benchmarks/demo.py`, {date.today().isoformat()}."])  # fmt: skip
    data = {"key": key, "date": date.today().isoformat(), "machine": machine, "summary": line, "rows": rows}
    _machine.write("demo", "The demo over 20 split seeds", text, data)
    return line


if __name__ == "__main__":
    main()
