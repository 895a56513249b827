"""Parameter groups beside those of the `mup` package, tensor by tensor, on three models.

    python benchmarks/mup_groups.py

The package's groups were recorded (tests/grow/fixtures/record_mup.py); where `mup` is installed they are made anew and
have to be the recorded ones. Figures go to docs/results/mup_groups.md and .json.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import _machine

_machine.one_thread()

FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "grow" / "fixtures"
sys.path.insert(0, str(FIXTURES))
from mup_models import MODELS  # noqa: E402

from luthier.grow import MuPlan  # noqa: E402

RATE, DECAY = 0.01, 0.1
EXCEPTION = "Adam's own decay of hidden tensors is corrected by a factor, as the docstring says"


def compare(name: str, kind: str, theirs: dict[str, list[float]]) -> dict[str, Any]:
    """One model under one optimiser: rates of all tensors, and decays but for the documented exception."""
    make, proxy, delta, target, _ = MODELS[name]
    plan = MuPlan.infer(make, proxy=proxy, delta=delta, target=target)
    model = plan.build()
    groups = plan.param_groups(model, lr=RATE, weight_decay=DECAY, optimiser=kind, decay_vectors=True)
    ours = {tensor: (g["lr"], g["weight_decay"]) for g in groups for tensor in g["names"]}
    trained = [tensor for tensor, p in model.named_parameters() if p.requires_grad]
    worst, seen = 0.0, 0
    for tensor in trained:
        pairs = [(ours[tensor][0], theirs[tensor][0])]
        if kind != "adam":
            pairs.append((ours[tensor][1], theirs[tensor][1]))
        elif plan.rows[tensor].role == "hidden":
            pairs.append((ours[tensor][1] * plan.rows[tensor].m_out, theirs[tensor][1]))
        seen += len(pairs)
        worst = max([worst, *(abs(a - b) / abs(b) if b else abs(a) for a, b in pairs)])
    return {"model": name, "optimiser": kind, "tensors": seen, "largest difference": worst}


def main() -> None:
    """Compare, and write the page."""
    recorded = json.loads((FIXTURES / "mup_groups.json").read_text())
    source = "as recorded from mup 1.0.0"
    if importlib.util.find_spec("mup") is not None:
        from record_mup import record

        assert record() == recorded, "the installed package's groups are not the recorded ones"
        source = f"as of mup {importlib.metadata.version('mup')}, made anew"
    rows = [compare(name, kind, groups) for name, kinds in recorded.items() for kind, groups in kinds.items()]
    info = _machine.machine(("luthier", "torch", "mup"))
    text = f"Rates and weight decays beside the `mup` package's, {source}. {EXCEPTION}.\n\n"
    text += _machine.table(rows) + "\n\n"
    text += _machine.table([{"machine": name, " ": value} for name, value in info.items()])
    text += f"\n\n`python benchmarks/mup_groups.py`, {date.today()}."
    data = {"rows": rows, "mup": source, "exception": EXCEPTION, "machine": info}
    print(_machine.write("mup_groups", "Groups beside the mup package's", text, data))


if __name__ == "__main__":
    main()
