"""docs/integrations.md: what it names is there, and its excerpts are Python that imports what it says."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")


def test_every_example_has_its_row():
    listed = set(re.findall(r"`examples/integrations/(\w+\.py)`", PAGE))
    assert listed == {path.name for path in (ROOT / "examples" / "integrations").glob("*.py")}


def test_excerpts_import_what_is_there():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    named = set()
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("luthier.integrations"):
                module = importlib.import_module(node.module)
                named |= {(node.module.rpartition(".")[2], alias.name) for alias in node.names}
                source = Path(module.__file__).read_text(encoding="utf-8")
                assert all(f"{alias.name}" in source for alias in node.names)
    assert len(named) == 9


def test_the_sweepers_settings_are_all_documented():
    from luthier.integrations.hydra import SETTINGS

    paragraph = PAGE.partition("Settings of `hydra.sweeper`")[2].partition("\n## ")[0]
    assert all(f"`{name}`" in paragraph for name in SETTINGS)
