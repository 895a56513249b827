"""Every code block of README and docs runs.

Each page gets a folder of its own, in which its blocks run in order. A Python block is a program of its own;
one whose first line is a comment with a file name (`# train.py`) is written to that file instead, for the blocks
after it, and so are YAML and TOML blocks. In a console block every line that begins with `$ ` is run and must exit
with 0. `make`, `pip install`, `git clone` and `cd` lines are left out: CI itself runs them from a fresh clone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
# what benchmarks have written shows figures, and runs nothing
PAGES = [ROOT / "README.md", *sorted(p for p in DOCS.rglob("*.md") if DOCS / "results" not in p.parents)]
SLOW = re.compile(r"<!-- slow: .+ -->")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^# ([\w./-]+\.(?:py|ya?ml|toml|json))\n")
RUN = {"python", "console"}
FILES = {"python", "yaml", "toml", "json"}
SHOWN = {"text"}  # a picture in letters, or output
ELSEWHERE = ("make ", "pip install", "git clone", "cd ")


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def named(page: Path) -> str:
    return page.stem if page.parent in (ROOT, DOCS) else f"{page.parent.name}/{page.stem}"


def running() -> list[object]:
    """Pages with blocks; one that says `<!-- slow: why -->` runs in `make test-slow`."""
    found = [p for p in PAGES if blocks(p)]
    return [pytest.param(p, marks=[pytest.mark.slow] if SLOW.search(p.read_text("utf-8")) else []) for p in found]


@pytest.mark.parametrize("page", running(), ids=lambda p: named(p) if isinstance(p, Path) else "")
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    for number, (language, text) in enumerate(blocks(page), 1):
        where = f"{page.name}, block {number}"
        assert language in RUN | FILES | SHOWN, f"{where}: language {language!r} is neither run nor shown"
        name = NAMED.match(text)
        if name and language in FILES:
            (tmp_path / name[1]).write_text(text, encoding="utf-8")
        elif language == "python":
            (tmp_path / f"block{number}.py").write_text(text, encoding="utf-8")
            run([sys.executable, f"block{number}.py"], tmp_path, env, where)
        elif language == "console":
            for line in re.sub(r"\\\n\s*", " ", text).splitlines():
                if line.startswith("$ ") and not line[2:].startswith(ELSEWHERE):
                    run(["bash", "-c", line[2:]], tmp_path, env, f"{where}: {line}")


def run(command: list[str], folder: Path, env: dict[str, str], where: str) -> None:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{where} exits with {done.returncode}\n{done.stdout}\n{done.stderr}"


def test_the_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in text
        assert f"\n{target}:" in makefile
