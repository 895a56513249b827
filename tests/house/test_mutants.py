"""Every mutant of the functions that matter most is noticed by a test, or has a reason why it cannot be."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_mutant_is_left_without_a_reason() -> None:
    found = json.loads((ROOT / "docs" / "results" / "mutants.json").read_text())
    reasons = runpy.run_path(str(ROOT / "tools" / "_equivalent.py"))["EQUIVALENT"]
    rows = [row for target in found.values() for row in target["rows"]]
    assert len(found) == 10
    assert all(target["rows"] for target in found.values())
    open_ = [row for row in rows if row["survived"] and (row["function"], row["after"]) not in reasons]
    assert open_ == []
    assert all(reason.strip() for reason in reasons.values())
