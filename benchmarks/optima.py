"""The exact optima of all tables at hand: by their cards, by asking for every configuration, and from the files.

    LUTHIER_DATA=... python benchmarks/optima.py

"asked" is the best of all answers without a seed (the mean over repetitions); "file" the same from the arrays of the
published file, read without luthier. Figures go to docs/results/bench_optima.md and .json.
"""

from __future__ import annotations

import argparse
import math
from datetime import date
from typing import Any

import _machine

_machine.one_thread()

import numpy as np  # noqa: E402

from luthier import bench  # noqa: E402
from luthier.base.errors import DataMissing  # noqa: E402
from luthier.bench._base import BaseBenchmark  # noqa: E402
from luthier.bench.data import folder, shipped  # noqa: E402

FAMILIES = ("fcnet", "nasbench201", "hpobench_mlp", "svm", "transfer_nasbench201", "transfer_xgboost")
#: The best means that the tables' converters checked on the files: family/task to value.
KNOWN = {
    "fcnet/protein_structure": 0.22138,
    "fcnet/slice_localization": 1.916e-4,
    "fcnet/naval_propulsion": 3.19e-5,
    "fcnet/parkinsons_telemonitoring": 6.706e-3,
    "nasbench201/cifar10": 91.607,
    "nasbench201/cifar100": 73.493,
    "nasbench201/imagenet": 46.733,
}


def asked(table: BaseBenchmark) -> tuple[float, dict[str, Any], int]:
    """Best answer to a question for every configuration, the first that gives it, and how many there are."""
    [objective] = table.objectives
    configs = getattr(table, "configs", None) or table.space.decode(table.space.all_rows())
    values = np.array([one.metrics[objective.name] for one in table.evaluate_batch(configs, seed=None)])
    place = int(np.nanargmin(values * objective.sign))
    return float(values[place]), dict(configs[place]), len(configs)


def from_file(name: str, goal: str) -> float | None:
    """The best mean over repetitions in the published arrays; None for tables of another form."""
    family, _, task = name.partition("/")
    base = folder()
    own = shipped(f"{family}_{task}.npz")
    path = own if own.is_file() else None if base is None else base / "tabular_hpo" / f"{family}.npz"
    if path is None or not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        values = file[task].astype(float)
    means = np.nanmean(values, axis=1)
    return float(means.min() if goal == "min" else means.max())


def judged(name: str) -> dict[str, Any]:
    """One row."""
    table = bench.load(name)
    [objective] = table.objectives
    found, config, size = asked(table)
    card, file = table.card.optimum[objective.name], from_file(name, objective.goal)
    same = math.isclose(card, found, rel_tol=1e-9)
    same &= file is None or math.isclose(card, file, rel_tol=1e-6)
    if name in KNOWN:
        digits = len(f"{KNOWN[name]:.10g}".replace("0.", "").lstrip("0").split("e")[0].replace(".", ""))
        same &= float(f"{card:.{digits}g}") == KNOWN[name]
    return {
        "table": name, "objective": f"{objective.name} ({objective.goal})", "configurations": size, "card": card,
        "asked": found, "file": file, "known": KNOWN.get(name), "same": same, "at": config,
    }  # fmt: skip


def main() -> None:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    rows, missing = [], []
    for family in FAMILIES:
        for name in bench.names(f"{family}/"):
            if "/curves/" in name or (family == "svm" and "@" not in name):
                continue
            try:
                rows.append(judged(name))
            except DataMissing:
                missing.append(name)
    shown = [{k: _text(v) for k, v in one.items() if k != "at"} for one in rows]
    wrong = [one["table"] for one in rows if not one["same"]]
    text = [
        f"{len(rows)} tables. " + (f"They differ for {', '.join(wrong)}." if wrong else "All agree."),
        _machine.table(shown),
        "card: what the benchmark states. asked: the best answer over every configuration (means over repetitions), "
        "through the public interface. file: the same from the published arrays alone. known: what was checked when "
        "the files were made. The configurations are in the .json.",
    ]
    if missing:
        text.append(f"Not at hand: {', '.join(missing)}.")
    text.append(f"`python benchmarks/optima.py`, {date.today()}.")
    data = {"date": date.today().isoformat(), "rows": rows, "missing": missing}
    print(_machine.table(shown))
    print(_machine.write("bench_optima", "Optima of the tables", "\n\n".join(text), data))


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else f"{value:.7g}" if isinstance(value, float) else value


if __name__ == "__main__":
    main()
