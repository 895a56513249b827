"""A synchronous population whose driver is killed in the middle ends as one that was not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import kill_pbt

linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc: Linux only")


@linux
def test_killed_once() -> None:
    found = kill_pbt.main(kills=1, seed=1)
    assert kill_pbt.good(found, 1), json.dumps(found)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_killed_five_times(seed: int) -> None:
    found = kill_pbt.main(kills=5, seed=seed)
    assert kill_pbt.good(found, 5), json.dumps(found)
