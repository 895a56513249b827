"""A served folder with two studies."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import luthier as lu

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))  # the browser and the samples of the report

from serve_help import EVIL, SECRET, TOKEN, grown, make

from luthier.serve import Server

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a server where none is installed."""
    lacking = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    reason = f'luthier serve needs {" and ".join(lacking)}: pip install "luthier[serve]"'
    for item in items if lacking else []:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs; beside it and in it lies what must not be given away."""
    home = tmp_path_factory.mktemp("served")
    (home / "secret.txt").write_text(SECRET)
    place = home / "runs"
    make(place / "first", "first", 40).close()
    space = lu.Space({EVIL: lu.Choice(EVIL, "tame"), "x": lu.Float(0, 1)})
    with lu.Study(space, lu.Objective(EVIL), searcher="random", folder=place / "second", name=EVIL) as study:
        grown(study, 12)
        study.note(3, EVIL)
        study.tag(3, team=EVIL)
    (place / "first" / "secret.txt").write_text(SECRET)
    return place


@pytest.fixture(scope="session")
def served(runs: Path) -> Iterator[Server]:
    """Read only, for this machine."""
    with Server(str(runs), port=0) as server:
        yield server


@pytest.fixture(scope="session")
def guarded(runs: Path) -> Iterator[Server]:
    """With a token, notes allowed."""
    with Server(str(runs), port=0, write=True, token=TOKEN) as server:
        yield server


@pytest.fixture
def keys(served: Server) -> dict[str, str]:
    """Marks of the studies by their names."""
    return {entry.name: key for key, entry in served._shelf.entries().items()}
