"""How large each room is, how many names it shows, and where the source repeats itself: at an earlier commit and now.

    python tools/house.py [--before f012ab2]

Writes docs/results/house.md and house.json. `f012ab2` is the commit before the last review of the whole tree.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results"
RUN = 6  # lines that stand twice are a repetition from here on
MOST = 400  # lines that a file is meant to have at most
EXPORTED = """
import importlib, json, pkgutil, luthier
found = {}
for one in pkgutil.walk_packages(luthier.__path__, "luthier."):
    parts = one.name.split(".")
    if one.ispkg and not any(part.startswith("_") for part in parts):
        names = getattr(importlib.import_module(one.name), "__all__", ())
        found[parts[1]] = found.get(parts[1], 0) + len(names)
print(json.dumps(found))
"""


def rooms(source: Path) -> dict[str, dict[str, int]]:
    """Size and names of every room below `source`, the folder of the package."""
    told = subprocess.run(
        [sys.executable, "-c", EXPORTED],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(source.parent)},
    )
    exported = json.loads(told.stdout)
    found = {}
    for room in sorted(path for path in source.iterdir() if (path / "__init__.py").is_file()):
        files = sorted(room.rglob("*.py"))
        texts = {file: file.read_text(encoding="utf-8") for file in files}
        found[room.name] = {
            "files": len(files),
            "lines": sum(len(text.splitlines()) for text in texts.values()),
            "longest": max(len(text.splitlines()) for text in texts.values()),
            "exported": exported.get(room.name, 0),
            "public": sum(len(public(texts[file])) for file in files if not file.name.startswith("_")),
        }
    return found


def public(text: str) -> list[str]:
    """Functions and classes at the top of a file whose names do not begin with `_`."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [one.name for one in ast.parse(text).body if isinstance(one, kinds) and not one.name.startswith("_")]


def code(text: str) -> Iterator[tuple[int, str]]:
    """Lines that say something: no blank ones, comments, imports or lone punctuation."""
    for number, line in enumerate(text.splitlines(), 1):
        plain = " ".join(line.split())
        if re.search(r"\w", plain) and not plain.startswith(("#", "import ", "from ")):
            yield number, plain


def repeated(source: Path) -> dict[str, Any]:
    """Lines that stand a second time, letter by letter, in a run of six or more."""
    places: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    lines = {}
    for file in sorted(source.rglob("*.py")):
        name = file.relative_to(source).as_posix()
        lines[name] = [plain for _, plain in code(file.read_text(encoding="utf-8"))]
        for start in range(len(lines[name]) - RUN + 1):
            places[tuple(lines[name][start : start + RUN])].append((name, start))
    covered: set[tuple[str, int]] = set()
    pairs = set()
    for where in places.values():
        if len(where) > 1:
            covered |= {(name, start + i) for name, start in where for i in range(RUN)}
            pairs |= {tuple(sorted({a, b})) for (a, _), (b, _) in combinations(where, 2)}
    return {"lines": len(covered), "of": sum(map(len, lines.values())), "pairs_of_files": len(pairs)}


def measured(source: Path) -> dict[str, Any]:
    files = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in source.rglob("*.py")}
    long = {file.relative_to(source).as_posix(): lines for file, lines in files.items() if lines > MOST}
    return {"rooms": rooms(source), "repeated": repeated(source), "long_files": dict(sorted(long.items()))}


def at(commit: str) -> dict[str, Any]:
    """The same at a commit."""
    packed = subprocess.run(["git", "archive", commit, "src"], check=True, capture_output=True, cwd=ROOT).stdout
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")
        return measured(Path(folder) / "src" / "luthier")


def page(before: dict[str, Any], now: dict[str, Any], commit: str) -> str:
    what = {"files": "files", "lines": "lines", "exported": "exported names", "public": "public definitions"}
    rows = ["| room | " + " | ".join(what.values()) + " |", "|---|" + "---|" * len(what)]
    for room in sorted({*before["rooms"], *now["rooms"]}):
        old, new = before["rooms"].get(room, {}), now["rooms"].get(room, {})
        rows.append(f"| `{room}` | " + " | ".join(change(old.get(key, 0), new.get(key, 0)) for key in what) + " |")
    sums = [[sum(room[key] for room in tree["rooms"].values()) for tree in (before, now)] for key in what]
    rows.append("| all | " + " | ".join(change(*pair) for pair in sums) + " |")
    own, other = before["repeated"], now["repeated"]
    twice = [f"{tree['lines']} of {tree['of']}" for tree in (own, other)]
    long = [f"{name} ({lines})" for name, lines in before["long_files"].items()]
    still = [f"{name} ({lines})" for name, lines in now["long_files"].items()]
    return f"""# The house: rooms before and after

Before: commit `{commit}`, the last one before the whole tree was read room by room. *Exported names* are those in
`__all__` of the room and its public sub-packages; *public definitions* are functions and classes at the top of files
whose names do not begin with `_`. `python tools/house.py` writes this page.

{chr(10).join(rows)}

| | before | after |
|---|---|---|
| files of more than {MOST} lines | {", ".join(long) or "none"} | {", ".join(still) or "none"} |
| lines that stand twice, in runs of {RUN} or more | {" | ".join(twice)} |
| pairs of files that share such a run | {own["pairs_of_files"]} | {other["pairs_of_files"]} |

Blank lines, comments and imports do not count. Most of what is left repeats a signature: a scheduler of a family, a
searcher with the same option, a command with the same flags. Signatures are written out, since flags and files are
read from them, and nothing passes through `**kwargs`.
"""


def change(old: int, new: int) -> str:
    return f"{new:,}" if old == new else f"{old:,} → {new:,}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default="f012ab2")
    given = parser.parse_args()
    before, now = at(given.before), measured(ROOT / "src" / "luthier")
    data = {"date": date.today().isoformat(), "before": {"commit": given.before, **before}, "now": now}
    (RESULTS / "house.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    text = page(before, now, given.before)
    (RESULTS / "house.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
