"""The figures of examples/lifecycle: tune, grow, shrink and profile one small language model.

    python benchmarks/lifecycle.py [--out lifecycle] [--read]

Runs the example (some minutes), or reads what it has left (`--read`). Figures go to docs/results/lifecycle.md and
.json; its pictures to docs/results/growth/lifecycle.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import _machine

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "lifecycle" / "lifecycle.py"
PICTURES = ("1-tune.svg", "2-grow.svg", "3-shrink.svg", "4-profile.svg")


def main() -> None:
    """Run or read, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("lifecycle"))
    parser.add_argument("--read", action="store_true", help="what an earlier run has left")
    given = parser.parse_args()
    if not given.read:
        subprocess.run([sys.executable, str(EXAMPLE), "--out", str(given.out)], check=True)
    found = json.loads((given.out / "lifecycle.json").read_text())
    info = _machine.machine(("luthier", "torch", "transformers"))
    rows = [{**r, "loss": round(r["loss"], 4), "latency_ms": round(r["latency_ms"], 2)} for r in found["models"]]
    bill = [{"operations of": k, " ": f"{v:.4g}"} for k, v in found["bill"].items() if not k.endswith("loss")]
    text = f"One seed; growth {found['growth']:.2f}; {found['processor_seconds']:.0f} s of processor time.\n\n"
    text += _machine.table(rows) + "\n\n" + _machine.table(bill) + "\n\n"
    text += (
        f"On the eight batches that runs are measured on: {found['bill']['loss']:.4f} grown, "
        f"{found['bill']['direct_loss']:.4f} tuned at the target's own size with as many trials.\n\n"
    )
    text += "\n".join(f"![{name.removesuffix('.svg')}](growth/lifecycle/{name})\n" for name in PICTURES) + "\n"
    text += _machine.table([{"machine": name, " ": value} for name, value in info.items()])
    text += f"\n\n`python benchmarks/lifecycle.py`, {found['date']}."
    print(_machine.write("lifecycle", "The whole life of one small model", text, {"machine": info, **found}))
    for name in PICTURES:
        shutil.copy(given.out / name, _machine.RESULTS / "growth" / "lifecycle" / name)


if __name__ == "__main__":
    main()
