"""The fault scripts of this folder, with fewer rounds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import kill_driver
import many_drivers

linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc: Linux only")


@linux
def test_a_killed_driver_loses_nothing() -> None:
    for found in kill_driver.main(rounds=2, seed=7):
        assert kill_driver.good(found), json.dumps(found)


@linux
def test_many_drivers_on_one_study() -> None:
    found = many_drivers.main(trials=200, processes=4, kill=2)
    assert many_drivers.good(found, 200, 2), json.dumps(found)


@linux
@pytest.mark.slow
def test_a_killed_driver_loses_nothing_in_twenty_rounds() -> None:
    for found in kill_driver.main(rounds=20, seed=0):
        assert kill_driver.good(found), json.dumps(found)


@linux
@pytest.mark.slow
def test_eight_drivers_four_killed() -> None:
    found = many_drivers.main(trials=2000, processes=8, kill=4)
    assert many_drivers.good(found, 2000, 4), json.dumps(found)
