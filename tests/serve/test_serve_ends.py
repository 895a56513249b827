"""A server that is closed while figures are computed lets them end: a thread cut off in compiled code aborts Python."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import pathlib, sys, time, urllib.request
import luthier as lu
from luthier.serve import Server, _watch

def slow(study):
    time.sleep(0.5)
    pathlib.Path("ended").write_text("yes")
    return []

_watch.slow = slow
study = lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="random", folder="served")
study.run(lambda run: run.config["x"], trials=3)
study.close()
with Server("served", port=0) as server:
    [key] = server._shelf.entries()
    urllib.request.urlopen(f"{server.url}studies/{key}").read()
assert not pathlib.Path("ended").exists()
"""


def test_what_is_computed_at_the_end_is_not_cut_off(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ended").exists()
