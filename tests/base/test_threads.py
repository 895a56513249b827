"""While others run trials, a driver's libraries take one thread for its proposals."""

from __future__ import annotations

import os
import subprocess
import sys

from luthier.base.threads import VARIABLES

HELD = """
import os
from luthier.base.threads import OneThread
alone = OneThread()
with alone():
    pass  # nothing is loaded that has threads
import numpy, threadpoolctl
pools = lambda: {pool["filepath"]: pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
threadpoolctl.threadpool_limits(3)
before = pools()
with alone():
    print(*set(pools().values()))
    import scipy.linalg
assert {path: pools()[path] for path in before} == before
with alone():
    print(*set(pools().values()))
print("OMP_NUM_THREADS" in os.environ)
"""


def held(**given: str) -> list[str]:
    plain = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", HELD], env={**plain, **given}, check=True, capture_output=True, text=True
    )
    return done.stdout.split("\n")[:-1]


def test_a_process_of_the_user_is_held_to_one_thread_only_while_it_proposes() -> None:
    assert held() == ["1", "1", "False"]


def test_a_process_whose_user_chose_is_not_held() -> None:
    assert held(OMP_NUM_THREADS="3")[0] == "3"
