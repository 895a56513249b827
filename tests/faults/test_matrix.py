"""A few cells of the fault matrix; all of them, with many faults each, are benchmarks/faults.py."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import matrix

from luthier.testing import postgres

linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc: Linux only")
server = pytest.mark.skipif(postgres.missing() is not None, reason=str(postgres.missing()))
pytestmark = [linux, pytest.mark.slow]


def _can_mount() -> bool:
    return os.getuid() == 0 and subprocess.run(["which", "mount"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("fault", ["kill_driver", "kill_worker", "kill_tree", "stop_driver", "stop_worker"])
def test_sqlite(fault: str) -> None:
    found = matrix.sqlite_round(fault, getattr(matrix, fault), 3, random.Random(1), trials=40)
    assert found.good, found
    assert found.faults


@pytest.mark.parametrize("condition", [{"clock": True}, {"slow": 0.05, "drivers": 2}], ids=["clock", "slow"])
def test_sqlite_under(condition: dict[str, object]) -> None:
    found = matrix.sqlite_round("", None, 0, random.Random(2), trials=20, **condition)
    assert found.good, found


@pytest.mark.skipif(not _can_mount(), reason="needs the right to mount a small file system")
def test_disk_full() -> None:
    found = matrix.disk_full_round(random.Random(3), trials=30)
    assert found.good, found
    assert found.faults


@server
@pytest.mark.parametrize("fault", ["kill_driver", "kill_worker", "kill_tree", "stop_driver", "cutting", "crashing"])
def test_postgresql(fault: str) -> None:
    with postgres.Server({"fsync": "off"}) as own:
        inject = getattr(matrix, fault)
        found = matrix.postgres_round(
            own, fault, inject(own) if fault in ("cutting", "crashing") else inject, 3, random.Random(4), trials=40
        )
    assert found.good, found
    assert found.faults


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.parametrize("fault", ["kill_worker", "kill_mailbox", "kill_driver", "node"])
def test_ray(fault: str) -> None:
    inject = getattr(matrix, fault, None)
    found = matrix.ray_round(fault, inject, 2, random.Random(5), trials=20, nodes=0 if inject else 1)
    assert found.good, found
    assert found.faults
