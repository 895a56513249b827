"""Latency of extracted models in a process of their own, in turns with the whole and with models built natively."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _shrink_runner import append, environment

from luthier.shrink import CostModel, SubNetSpec, SuperNet, load

Row = dict[str, Any]
QUARTILES = (0.25, 0.5, 0.75)


def run(whole: Path, children: list[Path], out: Path, *, batches: tuple[int, ...], tokens: int, rounds: int) -> None:
    """Measure, and append lines.

    Args:
        whole: Folder of the super-network's whole.
        children: Folders of extracted models.
        out: Lines.
        batches: Rows.
        tokens: Length.
        rounds: Turns; each model makes one pass in each.
    """
    torch.set_num_threads(1)
    opened = _opened(whole, children, tokens)
    for batch in batches:
        models = [model for model, _ in opened.values()]
        took = dict(zip(opened, turns(models, batch, tokens, rounds), strict=True))
        for name, (_, row) in opened.items():
            told = _told(took, name, row) | {"runs": rounds, "clock": "processor", "batch": batch, "tokens": tokens}
            append(out, {"key": f"latency/{name}/{batch}", "name": name, **row, **told, **environment("cpu")})
            print(name, told, flush=True)


def _opened(whole: Path, children: list[Path], tokens: int) -> dict[str, tuple[Any, Row]]:
    """By name: models and what is known of them; beside each stock one its shape from the configuration."""
    net = SuperNet.from_model(load(whole))
    costs = CostModel(net.layout)
    found: dict[str, tuple[Any, Row]] = {"whole": (net.model.eval(), {"flops": 1.0})}
    for folder in children:
        model: Any = load(folder).eval()
        spec = SubNetSpec.from_json((folder / "spec.json").read_text())
        cost, full = costs.cost(spec, tokens), costs.cost(net.full, tokens)
        row = {"flops": cost.macs / full.macs, "parameters": cost.parameters, "spec": str(spec)}
        found[folder.name] = model, row
        if _stock(folder):
            found[f"{folder.name}, natively built"] = type(model)(model.config).eval(), {"native_of": folder.name}
    return found


def _told(took: dict[str, np.ndarray], name: str, row: Row) -> Row:
    """Quartiles, and against the whole; of a natively built model also the extracted one's share, turn by turn."""
    low, middle, high = (float(q) for q in np.quantile(took[name], QUARTILES))
    least, full, _ = np.quantile(took["whole"], QUARTILES)
    told: Row = {"median_ms": middle, "low_ms": low, "high_ms": high}
    told |= {"times_as_fast": float(full) / middle, "apart": high < float(least)}
    if "native_of" in row:
        told["beside"] = [float(q) for q in np.quantile(took[row["native_of"]] / took[name], QUARTILES)]
    return told


def turns(models: list[Any], batch: int, tokens: int, rounds: int) -> list[np.ndarray]:
    """Milliseconds of this process's processor time, which other work on the machine lengthens least."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, models[0].config.vocab_size, (batch, tokens), generator=generator)
    found: list[list[float]] = [[] for _ in models]
    with torch.no_grad():
        for turn in range(rounds + 3):  # three to warm up
            for place, model in enumerate(models):
                begin = time.process_time()
                model(ids)
                if turn >= 3:
                    found[place].append(1000 * (time.process_time() - begin))
    return [np.array(one) for one in found]


def _stock(folder: Path) -> bool:
    return '"format": "hf-stock"' in (folder / "luthier.json").read_text()
