"""When could a study have ended? Rules judged on recorded studies of real data, and the bound on known functions.

python benchmarks/stopping.py record [--only DATA,DATA]     studies of real data, run to the end (resumable)
"""

from __future__ import annotations

import argparse

import _machine

_machine.one_thread()

import _stopping_cells  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["record"])
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    if given.what == "record":
        _stopping_cells.record_all([name for name in given.only.split(",") if name] or None)


if __name__ == "__main__":
    main()
