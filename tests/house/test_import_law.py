"""The import law: docs/rooms.md says which room may import which; the syntax trees say which does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "luthier"
VERSION = "__version__"  # the one name of the front door that rooms may use: a constant, behind which there is no room


def table() -> dict[str, set[str]]:
    text = (ROOT / "docs" / "rooms.md").read_text().partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", text, re.MULTILINE)
    return {room: {word.strip() for word in allowed.split(",") if word.strip()} for room, allowed in rows}


def edges(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write it out so that the room is visible"
            modules = [node.module or ""]
            if node.module == "luthier":
                modules = [f"luthier.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {m.split(".")[1] for m in modules if m.startswith("luthier.")}
    return found


def rooms() -> list[str]:
    return sorted(p.name for p in SOURCE.iterdir() if p.is_dir() and (p / "__init__.py").exists())


def test_the_table_is_read() -> None:
    law = table()
    assert len(law) == 18
    assert law["base"] == set()
    assert law["searchers"] == {"base", "space", "models"}
    assert set(rooms()) <= set(law), "a room without a row in docs/rooms.md"


@pytest.mark.parametrize("room", rooms())
def test_a_room_imports_only_what_its_row_names(room: str) -> None:
    allowed = table()[room] | {room}
    broken = {
        f"{path.relative_to(ROOT)} imports luthier.{edge}"
        for path in (SOURCE / room).rglob("*.py")
        for edge in edges(path) - allowed
        if edge != VERSION
    }
    assert not broken


def test_the_law_has_no_cycles() -> None:
    law = table()
    order: list[str] = []
    while len(order) < len(law):
        free = [room for room in law if room not in order and law[room] <= set(order)]
        assert free, f"a cycle among {set(law) - set(order)}"
        order += free


def test_every_room_says_what_lives_there_and_what_does_not() -> None:
    for room in rooms():
        doc = ast.get_docstring(ast.parse((SOURCE / room / "__init__.py").read_text(encoding="utf-8")))
        assert (doc or "").startswith(f"{room}:"), f"{room}/__init__.py: docstring '{room}: what lives here'"
        assert "\n\nNot here: " in (doc or ""), f"{room}/__init__.py: docstring '... Not here: what does not'"


def test_no_global_random_state() -> None:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Attribute)
                and node.value.attr == "random"
                and isinstance(node.value.value, ast.Name)
                and node.value.value.id in ("np", "numpy")
            ):
                assert node.attr in ("default_rng", "Generator", "SeedSequence"), f"{path}: np.random.{node.attr}"


def test_algorithms_read_no_clock() -> None:
    for room in ("searchers", "schedulers", "models", "space"):
        for path in (SOURCE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    assert all(a.name not in ("time", "datetime") for a in node.names), f"{path} reads a clock"
                elif isinstance(node, ast.ImportFrom):
                    assert node.module not in ("time", "datetime"), f"{path} reads a clock"
