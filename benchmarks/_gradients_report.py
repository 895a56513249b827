"""The page and the picture of benchmarks/gradients.py, from its cells."""

from __future__ import annotations

import math
import re
import runpy
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import _machine
from _gradients_cells import REMEDIES, SEEDS, TRIED, TUNERS, read
from _gradients_tasks import SETS
from scipy.stats import t as student
from scipy.stats import wilcoxon

from luthier import gradients as lg
from luthier.report._methods import MethodLook
from luthier.report._svg import to_svg
from luthier.report.figures._style import BLACK, BLUE, GREY, ORANGE, SKY, VERMILION, layout

TUNE_SAYS = (
    "What it says: with seven hyperparameters and a training of 25 milliseconds, gradients are not worth their "
    "price. No difference in test loss to random or cqr is beyond chance; gp is ahead of gradients on "
    "breast_cancer (p = 0.014) and, within chance, on digits. On breast_cancer, whose validation part has 142 "
    "rows, gradients are lower in validation loss than gp and higher in test loss: they overfit the validation "
    "rows. Following another half of the rows at each step moved the test loss the right way on breast_cancer and "
    "diabetes, by differences within chance, and did not on digits. Refining lowers what cqr reaches on "
    "validation on breast_cancer (10 of 10 seeds) and digits (9 of 10), and not on test; the one win on test is "
    "cqr with gradients against gp on diabetes, where cqr alone is as good. Of 66 comparisons about three fall "
    "below p = 0.05 by chance."
)
CELL_SAYS = (
    "The search is no better than four cells drawn at random, and on two of five seeds it ends in skips alone, a known "
    "failing of one-step search; the best of the four random cells costs less and is better."
)


def spread(values: list[float], digits: int = 3) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{statistics.fmean(values):.{digits}f} ± {error:.{digits}f}"


def report(words: str) -> None:
    """The page; `words` say what each part is, as the docstring of `gradients.py` does."""
    parts = {part: read(part) for part in ("clean", "tune", "remedies", "many", "cell")}
    makers = {"clean": clean_text, "tune": tune_text, "remedies": remedies_text, "many": many_text, "cell": cell_text}
    text = [makers[part](done, paragraph(words, part)) for part, done in parts.items() if done]
    facts = _machine.machine(["luthier", "torch", "numpy", "scikit-learn"])
    text.append("; ".join(f"{name} {value}" for name, value in facts.items()) + "; one thread; processor seconds.")
    path = _machine.write("gradients", "Hypergradients", "\n\n".join(text), {"machine": facts, **parts})
    print(path.read_text())


def clean_text(done: dict[str, Any], said: str) -> str:
    rows = []
    for method in ("reverse", "implicit-cg"):
        own = [cell for name, cell in done.items() if name.startswith(method)]
        gaps = [100 * (cell["learned"] - cell["clean"]) for cell in own]
        rows.append(
            {
                "method": method,
                "seeds": len(own),
                "AUC": spread([cell["auc"] for cell in own]),
                "lowest AUC": f"{min(cell['auc'] for cell in own):.3f}",
                **{
                    f"test accuracy, {name}": spread([100 * cell[key] for cell in own], 1)
                    for name, key in (
                        ("learned weights", "learned"),
                        ("clean labels", "clean"),
                        ("all labels", "noisy"),
                        ("validation rows alone", "validation rows alone"),
                        ("learned weights and validation rows", "both"),
                        ("clean labels and validation rows", "both, clean"),
                    )
                },
                "learned - clean, points": spread(gaps, 2),
                "seconds": f"{statistics.median(cell['seconds'] for cell in own):.1f}",
            }
        )
    return f"## Wrong labels\n\n{said}\n\n{_machine.table(rows)}"


def tune_text(done: dict[str, Any], said: str) -> str:
    rows, judged = [], []
    for name in SETS:
        cells_of = {m: [done.get(f"{name}-{s}-{m}") for s in SEEDS] for m in TUNERS}
        full = [s for s in SEEDS if all(cells_of[m][s] for m in TUNERS)]
        if not full:
            continue
        for m in TUNERS:
            own = [cells_of[m][s] for s in full]
            row = {"data": name, "tuner": m, "seeds": len(own)}
            row["validation loss"] = spread([c["validation"] for c in own], 4)
            row["test loss"] = spread([c["test"] for c in own], 4)
            row["trials"] = f"{statistics.median(c['trials'] for c in own):.0f}"
            row["gradient steps"] = f"{statistics.median(c['gradient steps'] for c in own):.0f}"
            rows.append(row)
        for rival in ("random", "cqr", "gp", "gradients"):
            for m in [m for m in TUNERS[3:] if m != rival]:
                for what in ("validation", "test"):
                    gaps = [cells_of[m][s][what] - cells_of[rival][s][what] for s in full]
                    judged.append({"data": name, "tuner": m, "against": rival, "loss": what, **verdict(gaps)})
    return (
        f"## Equal time\n\n{said}\n\n{_machine.table(rows)}\n\nPaired differences (below 0: lower loss):"
        f"\n\n{_machine.table(judged)}\n\n{TUNE_SAYS}"
    )


def remedies_text(done: dict[str, Any], said: str) -> str:
    rows = []
    for name in SETS:
        for kind in REMEDIES:
            own = [done[key] for s in TRIED if (key := f"{name}-{s}-{kind}") in done]
            if own:
                row = {"data": name, "gradients follow": kind, "seeds": len(own)}
                row["test loss"] = spread([cell["test"] for cell in own], 4)
                rows.append(row)
    return f"### Remedies\n\n{said}\n\n{_machine.table(rows)}"


def verdict(gaps: list[float]) -> dict[str, str]:
    n = len(gaps)
    middle = statistics.fmean(gaps)
    half = student.ppf(0.975, n - 1) * statistics.stdev(gaps) / n**0.5 if n > 1 else float("nan")
    p = wilcoxon(gaps).pvalue if n > 1 and any(gaps) else 1.0
    return {
        "difference": f"{middle:+.4f}",
        "95 % interval": f"[{middle - half:+.4f}, {middle + half:+.4f}]",
        "lower on": f"{sum(g < 0 for g in gaps)} of {n}",
        "p (Wilcoxon)": f"{p:.3f}",
    }


def many_text(done: dict[str, Any], said: str) -> str:
    base = done["plain"]["seconds"]
    rows = [
        {
            "method": name,
            "seconds": f"{cell['seconds']:.3g}",
            "times plain training": f"{cell['seconds'] / base:.1f}",
            "most memory, MB": f"{cell['peak_mb']:.0f}",
            "before the first, MB": f"{cell['start_mb']:.0f}",
            "products": cell["products"],
            "cosine with reverse": ""
            if cell.get("cosine with reverse") is None
            else f"{cell['cosine with reverse']:.4f}",
            "remark": cell["unreliable"],
        }
        for name, cell in done.items()
    ]
    note = "Forward: one step of 100 columns, scaled up; its memory is that of the columns alone."
    return f"## 10 000 hyperparameters\n\n{said}\n\n{_machine.table(rows)}\n\n{note}"


def cell_text(done: dict[str, Any], said: str) -> str:
    rows = [
        {
            "seed": name,
            "cell": ", ".join(f"{edge} {operation}" for edge, operation in cell["cell"].items()),
            "test accuracy": f"{100 * cell['searched']:.1f}",
            "random cells, mean": f"{100 * statistics.fmean(cell['random']):.1f}",
            "best of 4 random": f"{100 * max(cell['random']):.1f}",
            "skips alone": f"{100 * cell['all skip']:.1f}",
            "search, seconds": f"{cell['search_seconds']:.0f}",
        }
        for name, cell in done.items()
    ]
    gaps = [100 * (cell["searched"] - statistics.fmean(cell["random"])) for cell in done.values()]
    told = (
        f"Searched minus random, points: {spread(gaps, 2)}, better on {sum(g > 0 for g in gaps)} of {len(gaps)} seeds. "
        + CELL_SAYS
    )
    return f"## A cell by one-step gradients\n\n{said}\n\n{_machine.table(rows)}\n\n{told}"


def picture() -> None:
    """The picture of docs/gradients.md, from the page's own first two blocks."""
    page = (_machine.RESULTS.parent / "gradients.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        for name, block in zip(("digits", "tune"), blocks, strict=False):
            (Path(folder) / f"{name}.py").write_text(block)
        sys.path.insert(0, folder)
        rows = lg.outer_steps(runpy.run_path(f"{folder}/tune.py")["found"].study)
    names = ("loss", "test_loss", "rate_start", "rate_end", "decay_1", "decay_2")
    colours = (BLACK, GREY, VERMILION, ORANGE, BLUE, SKY)
    looks = {
        name: MethodLook(colour, "dash" if name == "test_loss" else "solid", 2.5, False)
        for name, colour in zip(names, colours, strict=True)
    }
    lowest = min(row[name] for row in rows for name in names)
    traces = [
        {
            "x": [row["outer_step"] for row in rows],
            "y": [row[name] for row in rows],
            "mode": "lines",
            "line": {"color": look.colour, "width": look.width, "dash": look.dash},
        }
        for name, look in looks.items()
    ]
    axes = {
        "x": {"title": {"text": "outer step"}, "range": [0, len(rows) - 1]},
        "y": {"title": {"text": "value"}, "type": "log", "range": [math.floor(math.log10(lowest)), 0]},
    }
    figure = {"data": traces, "layout": layout(height=340, **axes)}
    (_machine.RESULTS.parent / "img" / "gradients.svg").write_text(to_svg(figure, looks=looks, width=760))


def paragraph(words: str, part: str) -> str:
    """What the words say of a part."""
    text = " ".join(words.split("\n\n", 3)[3].split("\n"))
    parts = ("clean: ", "tune: ", "remedies: ", "many: ", "cell: ")
    start = text.index(f"{part}: ") + len(part) + 2
    ends = [text.index(p) for p in parts if text.index(p) > start]
    said = text[start : min(ends, default=len(text))].strip()
    return said[0].upper() + said[1:]
