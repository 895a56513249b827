"""What is proposed or decided is computed by one thread."""

from __future__ import annotations

import os
import subprocess
import sys

from luthier.base.threads import VARIABLES

HELD = """
import os
from luthier.base.threads import one_thread as alone
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
first, second = alone(), alone()
first.__enter__(), second.__enter__(), first.__exit__(None, None, None)
print(*set(pools().values()))
second.__exit__(None, None, None)
assert {path: pools()[path] for path in before} == before  # the last one out, whoever came first
"""


def held(**given: str) -> list[str]:
    plain = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", HELD], env={**plain, **given}, check=True, capture_output=True, text=True
    )
    return done.stdout.split("\n")[:-1]


def test_a_process_of_the_user_is_held_to_one_thread_only_while_it_proposes() -> None:
    assert held() == ["1", "1", "False", "1"]


def test_a_process_whose_user_chose_is_not_held() -> None:
    assert held(OMP_NUM_THREADS="3")[0] == "3"


REPLAYED = """
import luthier as lu, numpy, scipy.linalg, threadpoolctl
space = lu.Space(x=lu.Float(0.0, 1.0), y=lu.Float(0.0, 1.0), z=lu.Float(0.0, 1.0))
seen = []
def loss(run):
    seen.append({pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"})
    return sum((value - 0.3) ** 2 for value in run.config.values())
study = lu.Study(space, "loss", searcher="gp", seed=1)
with threadpoolctl.threadpool_limits(4):
    study.run(loss, trials=25)
print(set().union(*seen))
with threadpoolctl.threadpool_limits(2):
    print(study.replay().differences)
"""


def test_decisions_do_not_hang_on_the_number_of_threads() -> None:
    plain = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    done = subprocess.run([sys.executable, "-c", REPLAYED], env=plain, check=True, capture_output=True, text=True)
    assert done.stdout.split("\n") == ["{4}", "[]", ""]  # the program itself has its threads
