"""A driver's libraries get one thread; what it starts does not notice."""

from __future__ import annotations

import os
import subprocess
import sys

from luthier.base.threads import VARIABLES, of_programs

CODE = """
import os, sys
if sys.argv[1] == "late":
    import numpy
from luthier.base.threads import driver_thread, of_programs
before = {name: value for name, value in os.environ.items() if "THREADS" in name}
driver_thread()
driver_thread()
import numpy, threadpoolctl
assert {name: value for name, value in of_programs(os.environ).items() if "THREADS" in name} == before
print(os.environ["OMP_NUM_THREADS"], *{pool["num_threads"] for pool in threadpoolctl.threadpool_info()})
"""


def threads(when: str, **given: str) -> list[str]:
    plain = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", CODE, when], env={**plain, **given}, check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def test_libraries_take_one_thread_whether_they_are_there_or_come_later() -> None:
    assert threads("early") == threads("late") == ["1", "1"]


def test_what_the_user_has_set_stays() -> None:
    assert threads("early", **dict.fromkeys(VARIABLES, "2"))[0] == "2"


def test_programs_get_the_environment_without_what_was_set_for_the_driver() -> None:
    given = {"PATH": "/bin", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "4", "LUTHIER_OWN_THREADS": "OMP_NUM_THREADS"}
    assert of_programs(given) == {"PATH": "/bin", "MKL_NUM_THREADS": "4"}
