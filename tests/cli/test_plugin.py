"""A searcher in one file outside the package: found through its entry point, proven by the battery, run by the CLI."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROGRAM, started

import luthier as lu
from luthier.base.errors import ArgumentError

SEARCHER = '''"""Mine: random draws, none twice."""

import luthier as lu


class Mine(lu.Searcher):
    """Draws until it finds something new.

    Args:
        problem: What is to be solved.
        seed: Decides the draws.
        tries: How often it draws before it says that a finite space has no more.
    """

    name = "mine"
    supports = frozenset({"conditions", "constraints", "multi_objective", "parallel"})
    model_based = False

    def __init__(self, problem, *, seed: int, tries: int = 1000) -> None:
        super().__init__(problem, seed=seed)
        self.tries, self.tried = tries, set()

    def tell(self, observations) -> None:
        """Remember what was tried."""
        self.tried.update(observation.config for observation in observations)

    def _propose(self, n, k, pending):
        taken, found = {*self.tried, *pending}, []
        for i in range(n):
            draws = self.space.sample(1 if self.space.size is None else self.tries, self.rng(k + i))
            new = next((config for config in draws if config not in taken), None)
            if new is None:
                break
            taken.add(new)
            found.append(new)
        return found
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that a package installer could have made."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "mine_searcher.py").write_text(SEARCHER)
    info = folder / "mine_searcher-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-searcher\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[luthier.searchers]\nmine = mine_searcher:Mine\n")
    return folder


def test_it_is_listed_and_tunes(plugin: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(PROGRAM)
    env = {"PYTHONPATH": str(plugin)}
    process = started("list", "searchers", "--verbose", cwd=tmp_path, env=env)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert re.search(r"^mine +Draws until it finds something new\.$", out, re.MULTILINE)
    assert "tries=1000  a whole number" in out
    words = ["tune", "train.py:two", "--searcher", "mine", "--set", "searcher.tries=500", "--executor", "inline"]
    process = started(*words, "--trials", "6", "--out", "s", cwd=tmp_path, env=env)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "searcher mine" in out
    process = started("replay", "s", cwd=tmp_path, env=env)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "0 differences" in out
    code = (
        "import luthier as lu; s = lu.Study.open('s'); print({t.origin for t in s.trials[1:]}, s._definition.searcher)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **env}, capture_output=True, text=True
    )
    assert found.stdout == "{'mine'} ('mine', {'tries': 500})\n", found.stderr


def test_it_passes_the_battery(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from luthier.testing import check_searcher

    monkeypatch.syspath_prepend(str(plugin))
    try:
        check_searcher("mine")
    finally:
        sys.modules.pop("mine_searcher", None)


def test_without_it_the_name_is_unknown() -> None:
    with pytest.raises(ArgumentError, match="searcher 'mine' is not known"):
        lu.Study(lu.Space(x=lu.Float(0, 1)), searcher="mine")
