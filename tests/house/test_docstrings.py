"""An algorithm says where it comes from, where it differs and what it costs; arrays say their shape."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "luthier"
ROOMS = ("searchers", "schedulers", "stopping")
GIVEN = {"self", "problem", "searcher", "seed"}  # what the contract says of every one
ARRAY = re.compile(r"\b(Array|Mask|NDArray)\b")
SHAPE = re.compile(r"\((?:\.\.\.|\w[\w* +]*)(?:, ?[^)]*)?\)")


def algorithms() -> Iterator[tuple[str, ast.ClassDef]]:
    """Registered classes: one a file."""
    for room in ROOMS:
        for file in sorted((SOURCE / room).rglob("*.py")):
            for one in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(one, ast.ClassDef) and any("register" in ast.unparse(d) for d in one.decorator_list):
                    yield f"{room}/{file.stem}", one


def lacks(one: ast.ClassDef) -> list[str]:
    """What the house rules ask of an algorithm's docstring and it does not have."""
    text = ast.get_docstring(one) or ""
    missing = [part for part in ("Args:", "Source:", "Differs:", "Cost:") if part not in text]
    init = next((x for x in one.body if isinstance(x, ast.FunctionDef) and x.name == "__init__"), None)
    if init is None:
        return missing
    names = [arg.arg for arg in (*init.args.args, *init.args.kwonlyargs) if arg.arg not in GIVEN]
    missing += [name for name in names if not re.search(rf"^\s+{name}: \S", text, re.MULTILINE)]
    if re.search(r"\bcheck\(|\braise ", ast.unparse(init)) and "Raises:" not in text:
        missing.append("Raises:")
    return missing


@pytest.mark.parametrize("room", ROOMS)
def test_every_algorithm_says_where_it_comes_from(room: str) -> None:
    found = {name: lacks(one) for name, one in algorithms() if name.startswith(f"{room}/")}
    assert found
    assert {name: missing for name, missing in found.items() if missing} == {}


def shapeless(file: Path) -> list[str]:
    """Public functions that take or give arrays and do not say of what shape."""
    found = []
    tree = ast.parse(file.read_text(encoding="utf-8"))
    classes = [one for one in tree.body if isinstance(one, ast.ClassDef) and not one.name.startswith("_")]
    for one in [*tree.body, *(inner for own in classes for inner in own.body)]:
        if not isinstance(one, ast.FunctionDef) or one.name.startswith("_"):
            continue
        kinds = [arg.annotation for arg in (*one.args.args, *one.args.kwonlyargs)] + [one.returns]
        arrays = [k for k in kinds if k is not None and ARRAY.search(text := ast.unparse(k)) and "Callable" not in text]
        text = ast.get_docstring(one) or ""
        if arrays and text and not text.startswith("See `") and not SHAPE.search(text):
            found.append(f"{file.relative_to(SOURCE)}: {one.name}")
    return found


@pytest.mark.parametrize("room", ["models", "space", "base"])
def test_arrays_have_a_shape(room: str) -> None:
    assert [name for file in sorted((SOURCE / room).rglob("*.py")) for name in shapeless(file)] == []


def test_what_is_missing_is_found() -> None:
    text = '''
@register("searcher")
class Bad(Searcher):
    """Does something.

    Args:
        known: What it is.

    Source: none.
    """

    def __init__(self, problem, *, seed, known=1, unknown=2):
        check("known", known, at_least=1)
'''
    [one] = [x for x in ast.parse(text).body if isinstance(x, ast.ClassDef)]
    assert lacks(one) == ["Differs:", "Cost:", "unknown", "Raises:"]
