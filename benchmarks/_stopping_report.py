"""docs/results/stopping.md, .json and pictures from what was recorded and judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import _machine
import _stopping_cells as cells
import _stopping_figures as figures
import _stopping_judged as judged
import _stopping_validity as validity
import numpy as np
from _stopping_tasks import ROWS

from luthier.bench.statistics.bootstrap import hierarchical
from luthier.report._methods import MethodLook
from luthier.report._svg import to_svg

COLOURS = {"validation": "#0969da", "test": "#cf222e", "bound": "#8250df", "noise": "#57606a"}
EARLY = 20


def write() -> None:
    """Everything that there is."""
    studies = list(judged.judged("cv"))
    splits = list(judged.judged("holdout"))
    cv, holdout = list(cells.runs("cv")), list(cells.runs("holdout"))
    data: dict[str, Any] = {"machine": _machine.machine(["luthier", "numpy", "scipy", "scikit-learn"])}
    parts = [HEAD, *_real(studies, data), *_split(splits, data), *_first_half(cv, holdout, data), *_valid(data)]
    parts.append(_how(cv, holdout, data))
    _machine.write("stopping", "When a study may stop", "\n\n".join(parts), data)


HEAD = """\
Real data, tuned to the end of 100 trials by our own Gaussian-process searcher; each rule is then asked, after every
trial, whether it would have stopped. RTC is the share of training time that stopping saves; RYC is the relative change
of the test score (final less stopped, over the larger; the change in score is that difference itself): below 0,
stopping came too early. Means over tasks with 95 % intervals, tasks and seeds drawn with replacement; differences are
paired by study."""


def _real(studies: Sequence[tuple[Any, Any]], data: dict[str, Any]) -> list[str]:
    if not studies:
        return ["No study was judged yet."]
    runs = [run for run, _ in studies]
    tasks, seeds = figures.grid(runs)
    rows = figures.judged_rows(studies, figures.MAIN)
    data["real"] = {"tasks": ["/".join(t) for t in tasks], "seeds": seeds, "rules": rows}
    sets = len({task[0] for task in tasks})
    main = [name for name in rows[0] if " less that of " not in name]
    parts = [
        "## Cross-validation: ten folds",
        f"{sets} data sets, {len(tasks)} tasks (set and learner), {_seeds(seeds)}.",
        _machine.table([{name: row[name] for name in main} for row in rows]),
        "Paired with the default rule:",
        _machine.table([{name: row[name] for name in row if name == "rule" or name not in main} for row in rows[1:]]),
        _aim(rows[0]),
        "By learner and by kind, the default rule and the stagnation of 10 and 30:",
        _machine.table(_by_group(studies)),
    ]
    _draw_plane(figures.plane(studies, figures.MAIN))
    _draw_traces(studies)
    parts.append("![RTC and RYC of every rule](stopping/plane.svg)")
    parts.append("![Bound and noise over trials](stopping/bounds.svg)")
    seconds = np.concatenate([trace["regret"].seconds for _, trace in studies])
    last = np.concatenate([t["regret"].seconds[t["regret"].results > 95] for _, t in studies])
    data["check seconds"] = {"median": float(np.median(seconds)), "beyond 95 results": float(np.median(last))}
    parts.append(
        f"A check of the default rule took {1000 * np.median(seconds):.0f} ms of processor time (median; "
        f"{1000 * np.median(last):.0f} ms beyond 95 results), on a machine that was busy with other work."
    )
    return parts


def _aim(row: Mapping[str, Any]) -> str:
    rtc, ryc = float(str(row["RTC"]).split()[0]), float(row["size of RYC, median"])
    words = "met" if rtc > 0.3 and ryc < 0.02 else "not met"
    return (
        f"The aim set beforehand, a mean RTC above 0.3 with a median size of RYC below 0.02, is **{words}** by the "
        f"default rule: {rtc:.3f} and {ryc:.4f}. It left the test score more than 2 % worse in "
        f"{row['worse by > 2 %']} of the studies, and more than 2 % better in {row['better by > 2 %']}."
    )


def _seeds(seeds: Sequence[int]) -> str:
    short = f" of the {cells.SEEDS} that are meant (`record` goes on with the others)"
    return f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''}{short if len(seeds) < cells.SEEDS else ''}"


def _by_group(studies: Sequence[tuple[Any, Any]]) -> list[dict[str, Any]]:
    found = []
    numbers = {"diabetes", "autompg", "boston", "trump_approval", "bike_hour"}
    groups: dict[str, Any] = {learner: (lambda run, one=learner: run.key.learner == one) for learner in cells.LEARNERS}
    groups |= {"classes": lambda run: run.key.data not in numbers, "numbers": lambda run: run.key.data in numbers}
    for group, keep in groups.items():
        some = [(run, traces) for run, traces in studies if keep(run)]
        if not some:
            continue
        for row in figures.judged_rows(
            some, {name: figures.MAIN[name] for name in ("regret", "no improvement in 10", "no improvement in 30")}
        ):
            names = ("rule", "stops", "trials, median", "RTC", "RYC", "size of RYC, median", "worse by > 2 %")
            found.append({"group": group, **{name: row[name] for name in names}})
    return found


def _split(studies: Sequence[tuple[Any, Any]], data: dict[str, Any]) -> list[str]:
    if not studies:
        return []
    rows = figures.judged_rows(studies, figures.SPLIT)
    tasks, seeds = figures.grid([run for run, _ in studies])
    data["holdout"] = {"tasks": ["/".join(t) for t in tasks], "seeds": seeds, "rules": rows}
    return [
        "## One hold-out split, without folds",
        f"The standard error of the split's losses is the threshold. {len(tasks)} tasks, seeds: {len(seeds)}.",
        _machine.table(rows),
    ]


def _first_half(cv: Sequence[Any], holdout: Sequence[Any], data: dict[str, Any]) -> list[str]:
    parts = ["## Validation and test score while the search goes on"]
    rows = []
    for how, runs in (("cross-validation", cv), ("hold-out", holdout)):
        for learner in (*cells.LEARNERS, None):
            some = [run for run in runs if learner in (None, run.key.learner)]
            if some:
                numbers = figures.overfitting(some, EARLY)
                words = {k: _word(k, v) for k, v in numbers.items() if k != "studies"}
                rows.append({"sees": how, "learner": learner or "all", "studies": numbers["studies"], **words})
                data.setdefault("first half", {})[f"{how}, {learner or 'all'}"] = numbers
    if not rows:
        return []
    parts += [
        f"From {EARLY} trials to 100, incumbent by the lowest validation score. Optimism is test less validation "
        "score. A test score also moves by the luck of its split: that it worsens in some studies "
        "is no overfitting by itself; the gain in test beside the gain in validation is what to look at.",
        _machine.table(rows),
    ]
    known = data["first half"]
    told = [
        f"in {known[f'{how}, all']['test worsens, of these']:.0%} by {how} ({known[f'{how}, all']['studies']} studies)"
        for how in ("cross-validation", "hold-out")
        if f"{how}, all" in known
    ]
    parts.append(f"While the validation score improved, the test score worsened {', '.join(told)}.")
    if holdout:
        table, pairs = figures.paired_test(cv, holdout)
        data["cv against holdout"] = {"pairs": pairs, "gain": figures.mean_and_interval(table, 4)}
        parts.append(
            f"Final test score by cross-validation against one split, {pairs} pairs of studies with equal set, learner "
            f"and seed: lower by {figures.mean_and_interval(table, 4)} (share of the larger), lower in "
            f"{(table > 0).mean():.0%} and higher in {(table < 0).mean():.0%}; it costs some ten times the fits."
        )
    _draw_curves(cv, holdout)
    parts.append("![Regret in validation and test](stopping/regret.svg)")
    return parts


def _word(name: str, value: float) -> str:
    return f"{value:.2f}" if "rank" in name else f"{value:.4f}" if "optimism" in name else f"{value:.1%}"


def _valid(data: dict[str, Any]) -> list[str]:
    if not validity.FILE.exists():
        return []
    found = validity.stored()
    rows = validity.summary(found)
    data["validity"] = {"functions": len(found), "rows": rows}
    return [
        "## Does the bound hold?",
        f"{len(found)} functions drawn from the process's own prior on a {validity.GRID} x {validity.GRID} grid, "
        f"{validity.RANDOM} random points and {validity.STEPS} steps of expected improvement, noise {validity.NOISE}; "
        "the true regret of the incumbent beside the bound after each step. Seeds that were not used while the rule "
        "was made.",
        _machine.table(rows),
    ]


def _how(cv: Sequence[Any], holdout: Sequence[Any], data: dict[str, Any]) -> str:
    sources: dict[str, list[str]] = {}
    for name in dict.fromkeys(run.key.data for run in cv):
        sources.setdefault(cells.SETS[name].source, []).append(name)
    words = "; ".join(f"{source}: {', '.join(names)}" for source, names in sources.items())
    machine = ", ".join(f"{name} {value}" for name, value in data["machine"].items())
    return (
        "## How\n\n"
        f"`python benchmarks/stopping.py record`, `judge`, `validity` and `report`, {date.today().isoformat()}. "
        f"{len(cv)} studies by cross-validation, {len(holdout)} by one split. Data: {words}. At most {ROWS} rows of "
        "each, 60 % tuned on, 40 % the test split; support vectors, random forests, and elastic nets fitted by "
        f"stochastic gradient. Time is the processor time of the fits. {machine}."
    )


# pictures ---------------------------------------------------------------------------------------------------


def _layout(x: str, y: str, across: tuple[float, float], up: tuple[float, float]) -> dict[str, Any]:
    return {
        "height": 400,
        "margin": {"l": 60, "r": 30, "t": 20, "b": 50},
        "xaxis": {"title": {"text": x}, "range": list(across)},
        "yaxis": {"title": {"text": y}, "range": list(up)},
    }


def _line(x: Sequence[float], y: Sequence[float], colour: str, dash: str = "solid") -> dict[str, Any]:
    return {"x": list(x), "y": list(y), "mode": "lines", "line": {"color": colour, "width": 2, "dash": dash}}


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> dict[str, Any]:
    return {
        "x": [*x, *x[::-1]],
        "y": [*low, *high[::-1]],
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.15,
    }


def _save(name: str, figure: dict[str, Any], looks: dict[str, MethodLook] | None = None) -> None:
    (cells.FOLDER / f"{name}.svg").write_text(to_svg(figure, looks=looks))


def _draw_plane(points: Mapping[str, tuple[float, float]]) -> None:
    """Marks with their names; names of one place share a line, and lines make way for each other."""
    together: dict[tuple[float, float], list[str]] = {}
    for name, (x, y) in points.items():
        together.setdefault((round(x, 3), round(y, 4)), []).append(name)
    rtc, ryc = np.array(list(points.values())).T
    pad = max(0.3 * float(np.ptp(ryc)), 0.002)
    low, high = float(ryc.min()) - pad, float(ryc.max()) + pad
    layout = _layout("RTC, share of time saved", "RYC, relative change in test", (-0.02, 1.25), (low, high))
    layout["height"] = 560
    line = (high - low) * 14 / 490  # of text, in units of the axis
    placed: list[tuple[float, float, float]] = []  # left end, right end, height
    layout["annotations"] = []
    for (x, y), names in sorted(together.items(), key=lambda item: -item[0][1]):
        words = "; ".join(names)
        width, at = 0.02 + 0.0115 * len(words), y
        while any(x < right and x + width > left and abs(at - up) < line for left, right, up in placed):
            at -= line / 2
        placed.append((x, x + width, at))
        layout["annotations"].append(
            {"x": x, "y": at, "text": words, "xanchor": "left", "yanchor": "middle", "xshift": 8}
        )
    marks = {"x": list(rtc), "y": list(ryc), "mode": "markers", "marker": {"size": 8, "color": COLOURS["bound"]}}
    zero = _line([0, 1.25], [0, 0], COLOURS["noise"], "dot")
    _save("plane", {"data": [zero, marks], "layout": layout})


def _draw_traces(studies: Sequence[tuple[Any, Any]]) -> None:
    """Median bound over noise, and quartiles, over trials."""
    at = np.arange(20, 101)
    rows = []
    for _, traces in studies:
        trace = traces["regret"]
        ratio = trace.bound / np.where(trace.threshold > 0, trace.threshold, np.nan)
        known = np.isfinite(ratio)
        if known.sum() > 1:
            rows.append(np.interp(at, trace.results[known], ratio[known]))
    low, middle, high = np.percentile(np.log10(np.array(rows)), (25, 50, 75), axis=0)
    layout = _layout(
        "trials", "bound over noise (logarithm to base 10)", (20, 100), (low.min() - 0.1, high.max() + 0.1)
    )
    zero = _line([20, 100], [0, 0], COLOURS["noise"], "dot")
    band = _band(at.astype(float), low, high, COLOURS["bound"])
    _save("bounds", {"data": [band, zero, _line(at, middle, COLOURS["bound"])], "layout": layout})


def _draw_curves(cv: Sequence[Any], holdout: Sequence[Any]) -> None:
    traces, looks, top = [], {}, 0.0
    for how, runs, dash in (("cross-validation", cv, "solid"), ("hold-out", holdout, "dash")):
        if not runs:
            continue
        for name, regrets in figures.curves(runs).items():
            tasks = [figures.by_task(runs, regrets[:, n]) for n in range(regrets.shape[1])]
            band = hierarchical(np.stack(tasks, axis=2))
            at = np.arange(1, regrets.shape[1] + 1, dtype=float)
            traces += [_band(at, band.low, band.high, COLOURS[name]), _line(at, band.estimate, COLOURS[name], dash)]
            looks[f"{name}, {how}"] = MethodLook(COLOURS[name], dash, 2.0, True)
            top = max(top, float(band.estimate[4:].max()))
    layout = _layout("trials", "regret of the incumbent, in units of the score", (0, 100), (0, 1.5 * top))
    _save("regret", {"data": traces, "layout": layout}, looks)
