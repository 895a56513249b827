"""Cells of the shrink benchmark as a page with tables and pictures of fronts."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import _machine
import _pictures
import _shrink_checks
import _shrink_pages
import _shrink_runner as runner
import numpy as np
from scipy.stats import binomtest, wilcoxon

from luthier.base.pareto import hypervolume
from luthier.bench.statistics import interval

Row = dict[str, Any]
NAMES = {
    "shared": "weight sharing",
    "shared/points": "weight sharing, front as it is",
    "strategy/full": "super-network, by size alone",
    "standard": "standard NAS, mo-asha",
    "standard/points": "standard NAS, both fronts as they are",
    "shared/repair": "weight sharing, repaired first",
    "shared/error": "weight sharing, searched by the error",
    "alone/magnitude": "uniform, magnitude",
    "alone/activation": "uniform, activation",
    "alone/flap": "FLAP-like",
    "alone/layer_drop": "layer drop",
    "alone/random": "uniform, random",
    "alone/scratch": "from scratch",
    "alone/activation_x3": "uniform, activation, 3 times the steps",
}
TITLES = {"qnli": "QNLI (accuracy)", "stsb": "STS-B, open subset (correlation)", "decoder": "Text (nats a byte)"}


class Cells:
    """Finished cells of one task."""

    def __init__(self, rows: Sequence[Row], task: str) -> None:
        self.task = task
        self.by: dict[str, dict[int, Row]] = {}
        for row in rows:
            if row.get("task") == task and not row.get("error"):
                name = row["kind"] + (f"/{row['option']}" if row["option"] else "")
                self.by.setdefault(name, {})[row["seed"]] = row

    def error(self, told: Mapping[str, float]) -> float:
        """What is lower where a model is better: 1 - score, or the loss of a language model."""
        for name in ("accuracy", "correlation"):
            if name in told:
                return 1.0 - told[name]
        return told["loss"]

    def shown(self, told: Mapping[str, float]) -> float:
        """What a table shows."""
        return self.error(told) if self.task == "decoder" else 1.0 - self.error(told)

    def full(self, seed: int) -> Row | None:
        """The whole: after plain fine-tuning, or of the decoder the better of plain fine-tuning and the start."""
        plain = self.by.get("strategy/standard", {}).get(seed) or self.by.get("shared", {}).get(seed)
        start = self.by.get("start", {}).get(seed)
        found = [row for row in (plain and plain["whole"], start and start["test"]) if row]
        return min(found, key=self.error) if found else None

    def points(self, method: str) -> dict[int, list[Row]]:
        """Seed -> sub-networks with "share" and "test"."""
        name = method.removesuffix("/points")
        key = "points" if method.endswith("/points") else "children"
        rows = self.by.get(name, {})
        if method == "strategy/full":
            return {seed: self._by_size(seed, row["subs"]) for seed, row in rows.items()}
        return {seed: [p for p in row[key] if "test" in p] for seed, row in rows.items()}

    def _by_size(self, seed: int, subs: list[Row]) -> list[Row]:
        """Of drawn sub-networks, for each target the largest that is small enough: nothing of them was looked at."""
        found = []
        for target in sorted({p["target"] for p in self.by.get("shared", {}).get(seed, {}).get("children", [])}):
            fit = [s for s in subs if s["share"] <= target]
            if fit:
                found.append({**max(fit, key=lambda s: s["share"]), "target": target})
        return found

    def volume(self, method: str) -> dict[int, float]:
        """By seed: error from the whole's (0) to a constant answer's (1), size as a share; reference (1, 1)."""
        found = {}
        for seed, points in self.points(method).items():
            full = self.full(seed)
            if full is None:
                continue
            constant = next(
                iter(
                    row["constant"]
                    for rows in self.by.values()
                    for row in rows.values()
                    if row["seed"] == seed and "constant" in row
                )
            )
            low, high = self.error(full), self.error(constant)
            values = [[(self.error(p["test"]) - low) / (high - low), p["share"]] for p in points]
            found[seed] = hypervolume(np.clip(np.array(values).reshape(-1, 2), 0, 1), np.ones(2)) if values else 0.0
        return found


def targets_table(cells: Cells) -> list[Row]:
    """Medians at each target."""
    found = []
    for method in (
        "shared",
        "shared/repair",
        "shared/error",
        "strategy/full",
        "standard",
        *(k for k in NAMES if k.startswith("alone")),
    ):
        by_seed = cells.points(method)
        if not by_seed:
            continue
        row: Row = {"method": NAMES[method], "seeds": len(by_seed)}
        for target in sorted({p["target"] for points in by_seed.values() for p in points}):
            picked = [p for points in by_seed.values() for p in points if p["target"] == target]
            row[f"{target:g}"] = f"{statistics.median(cells.shown(p['test']) for p in picked):.3f}"
        volumes = list(cells.volume(method).values())
        row["hypervolume"] = f"{statistics.median(volumes):.3f}" if volumes else ""
        found.append(row)
    names = list(dict.fromkeys(name for row in found for name in row))
    order = ["method", "seeds", *sorted(n for n in names if n[0].isdigit()), "hypervolume"]
    return [{name: row.get(name, "-") for name in order} for row in found]


def compared(cells: Cells) -> list[Row]:
    """Weight sharing beside each other method, in pairs by seed."""
    tuned, whole = cells.volume("shared"), cells.volume("shared/points")
    found = []
    for method in NAMES:
        # in as much time as training and search took: no sub-network of either side was trained further
        own = whole if method == "standard/points" else tuned
        other = cells.volume(method)
        seeds = sorted(set(own) & set(other))
        if method == "shared" or len(seeds) < 3:
            continue
        theirs = np.array([other[s] for s in seeds])
        gaps = np.array([own[s] for s in seeds]) - theirs
        low, high = interval(gaps[None, :])
        signs = binomtest(int((gaps > 0).sum()), len(gaps)).pvalue
        found.append(
            {
                "beside": NAMES[method],
                "seeds": len(seeds),
                "won": int((gaps > 0).sum()),
                "median gap": f"{np.median(gaps):+.3f}",
                "of the other": f"{np.median(gaps / theirs):+.1%}",
                "mean gap, 95 %": f"{gaps.mean():+.3f} [{low:+.3f}, {high:+.3f}]",
                "sign test p": f"{signs:.3f}",
                "Wilcoxon p": f"{wilcoxon(gaps).pvalue:.3f}" if (gaps != 0).any() else "1",
            }
        )
    return found


def strategies(cells: Cells) -> list[Row]:
    """Strategies at sizes, as they are after training."""
    found = []
    for option in ("standard", "random", "random_linear", "ats", "sandwich", "full"):
        rows = cells.by.get(f"strategy/{option}", {})
        if not rows:
            continue
        bands: dict[str, list[float]] = {"whole": [cells.shown(r["whole"]) for r in rows.values()]}
        losses = [r["whole"]["loss"] for r in rows.values()]
        for low, high in ((0.6, 0.99), (0.3, 0.5), (0.0, 0.3)):
            bands[f"{low:g} to {high:g}"] = [
                statistics.mean(cells.shown(s["test"]) for s in r["subs"] if low <= s["share"] < high)
                for r in rows.values()
            ]
        medians = {name: f"{statistics.median(values):.3f}" for name, values in bands.items()}
        name = "sandwich + distillation" if option == "full" else option
        found.append(
            {
                "strategy": name,
                "seeds": len(rows),
                **medians,
                "whole's loss": f"{statistics.median(losses):.4f}",
                "seconds": f"{statistics.median(r['train_seconds'] for r in rows.values()):.0f}",
            }
        )
    return found


def against_standard(cells: Cells) -> str:
    """Check 14 in a line: seeds in which training without sub-networks is worse at 30 to 50 % of the size."""

    def mid(row: Row) -> float:
        return statistics.mean(cells.error(s["test"]) for s in row["subs"] if 0.3 <= s["share"] < 0.5)

    plain = cells.by.get("strategy/standard", {})
    told = []
    for option in ("random", "random_linear", "ats", "sandwich", "full"):
        rows = cells.by.get(f"strategy/{option}", {})
        seeds = sorted(set(plain) & set(rows))
        if seeds:
            told.append(f"{option} in {sum(mid(rows[s]) < mid(plain[s]) for s in seeds)} of {len(seeds)} seeds")
    return "At 0.3 to 0.5 of the size `standard` is worse than " + ", ".join(told) + "." if told else ""


def searched(cells: Cells) -> list[Row]:
    """Searchers in one super-network."""
    rows = list(cells.by.get("searchers", {}).values())
    if not rows:
        return []
    base = [row["searchers"]["random"]["100"] for row in rows]
    found = []
    for method in rows[0]["searchers"]:
        values = {n: [row["searchers"][method][n] for row in rows] for n in ("25", "50", "100")}
        gaps = [v / b - 1 for v, b in zip(values["100"], base, strict=True)]
        found.append(
            {
                "searcher": method,
                "seeds": len(rows),
                **{f"after {n}": f"{statistics.median(v):.4f}" for n, v in values.items()},
                "against random": f"{statistics.median(gaps):+.1%}",
                "not worse by 1 %": f"{sum(g > -0.01 for g in gaps)} of {len(gaps)}",
                "seconds": f"{statistics.median(r['searchers'][method]['seconds'] for r in rows):.0f}",
            }
        )
    return found


def unranked(cells: Cells) -> list[Row]:
    """Importance without training."""
    rows = list(cells.by.get("untrained", {}).values())
    if not rows:
        return []
    found = []
    none = [row["methods"]["none"]["cut"]["loss"] for row in rows]
    for method in rows[0]["methods"]:
        cut = [row["methods"][method]["cut"]["loss"] for row in rows]
        mended = [row["methods"][method]["repaired"]["loss"] for row in rows]
        found.append(
            {
                "order by": method,
                "loss": f"{statistics.median(cut):.3f}",
                "after least squares": f"{statistics.median(mended):.3f}",
                "better than no order": f"{sum(a < b for a, b in zip(cut, none, strict=True))} of {len(rows)}",
                "repair helps": f"{sum(a < b for a, b in zip(mended, cut, strict=True))} of {len(rows)}",
            }
        )
    return found


def picture(cells: Cells, name: str) -> str:
    """The fronts, medians over seeds."""
    lines = {}
    for method in NAMES:
        if method in ("shared/points", "standard/points", "shared/repair", "shared/error"):
            continue
        by_seed = cells.points(method)
        if len(by_seed) < 3:
            continue
        targets = sorted({p["target"] for points in by_seed.values() for p in points})
        middle = []
        for target in targets:
            picked = [p for points in by_seed.values() for p in points if p["target"] == target]
            middle.append(
                (
                    statistics.median(p["share"] for p in picked),
                    statistics.median(cells.error(p["test"]) for p in picked),
                )
            )
        xs, ys = zip(*sorted(middle), strict=True)
        lines[NAMES[method]] = _pictures.Line(list(xs), np.array(ys))
    if len(lines) < 2:
        return ""
    path = _machine.RESULTS / "shrink" / f"{name}-{cells.task}.svg"
    _pictures.draw(
        path,
        lines,
        control=NAMES["alone/magnitude"],
        x="share of the parameters beside the tables",
        y="loss, nats a byte" if cells.task == "decoder" else "1 - test score",
    )
    return f"![fronts of {cells.task}](shrink/{path.name})"


def section(cells: Cells, name: str) -> str:
    """All of one task."""
    parts = [f"## {TITLES[cells.task]}"]
    wholes = [cells.full(s) for s in range(100)]
    known = [cells.shown(w) for w in wholes if w is not None]
    if not cells.by:
        return ""
    if known:
        constants = [cells.shown(r["constant"]) for rows in cells.by.values() for r in rows.values() if "constant" in r]
        parts.append(
            f"The whole {statistics.median(known):.3f}, a constant answer {statistics.median(constants):.3f} "
            "(medians). Columns: shares of the parameters beside the tables."
        )
    for title, rows in (
        ("", targets_table(cells)),
        ("Weight sharing's hypervolume beside others'", compared(cells)),
        ("Strategies", strategies(cells)),
        ("Searchers, space `medium`", searched(cells)),
        ("Importance without training, at 0.7 of the size", unranked(cells)),
    ):
        if rows:
            parts += [*([f"### {title}"] if title else []), _machine.table(rows)]
        if title == "Strategies":
            parts.append(against_standard(cells))
    checks = _shrink_checks.told(cells)
    if checks:
        parts += ["### Bars", checks]
    drawn = picture(cells, name)
    return "\n\n".join([part for part in (*parts, drawn) if part])


def write(paths: Sequence[Path], name: str) -> Path:
    """The page and its data; of a cell that stands in several files the last counts."""
    last: dict[str, Row] = {}
    for path in paths:
        for row in runner.rows(path):
            if not row.get("error"):
                last[row["key"]] = row
    rows = list(last.values())
    about = [row for row in rows if row["key"].startswith("about/")]
    timing = {row["kind"]: row for row in rows if row.get("task") == "timing"}
    head = next((row for row in reversed(about) if "profile" in row), about[-1] if about else {})
    text = [
        f"{head.get('device', '')}, torch {head.get('torch', '')}, transformers {head.get('transformers', '')}, "
        f"Python {head.get('python', '')}; profile {head.get('profile', '')}: {_settings(head)}"
    ]
    if name in _shrink_pages.NOTES:
        text.append(" ".join(_shrink_pages.NOTES[name].split()))
    if timing:
        from _shrink_timing import told

        text.append(told(timing))
    tasks = {task: Cells(rows, task) for task in ("qnli", "stsb", "decoder")}
    text += [section(cells, name) for task, cells in tasks.items()]
    text += [part(rows) for part in _shrink_pages.PARTS]
    return _machine.write(
        name,
        _shrink_pages.TITLES.get(name, "shrink: one super-network beside pruning each size by itself"),
        "\n\n".join(part for part in text if part),
        {
            "device": head.get("device", ""),
            "compared": {task: compared(cells) for task, cells in tasks.items()},
            "checks": {task: _shrink_checks.told(cells).splitlines() for task, cells in tasks.items()},
            "strategies": {task: against_standard(cells) for task, cells in tasks.items()},
            "unranked": {task: unranked(cells) for task, cells in tasks.items()},
            "cells": _short(rows),
        },
    )


def _settings(head: Row) -> str:
    options = head.get("options", {})
    return ", ".join(f"{k} {v}" for k, v in options.items() if isinstance(v, (int, float)) and not isinstance(v, bool))


def _short(value: Any) -> Any:
    """Without specifications, which are long, and with few digits."""
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items() if k not in ("spec", "model", "data", "text")}
    if isinstance(value, list):
        return [_short(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
