"""Benchmarks of transfer between tasks, by name.

LUTHIER_DATA=... python benchmarks/transfer.py leave-one-out run --tools gp,abrac --seeds 5
python benchmarks/transfer.py leave-one-out report
python benchmarks/transfer.py sweep run --seeds 10
python benchmarks/transfer.py sweep report
"""

from __future__ import annotations

import sys

import _leave_one_out
import _sweep

PARTS = {"leave-one-out": _leave_one_out.main, "sweep": _sweep.main}


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        raise SystemExit(f"{__doc__}\nGive one of: {', '.join(PARTS)}.")
    PARTS[sys.argv[1]](sys.argv[2:])


if __name__ == "__main__":
    main()
