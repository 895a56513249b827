"""docs/evidence.md is what the committed figures give."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_evidence_page_is_what_the_figures_give() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "evidence"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"run `python tools/evidence`: the page is stale\n{done.stderr}"
