"""A page that says `<!-- needs: NAME -->` is skipped, with that reason, where the package is not installed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

NEEDS = re.compile(r"<!-- needs: (\w+) -->")


@pytest.fixture(autouse=True)
def needed(request: pytest.FixtureRequest) -> None:
    page = getattr(request.node, "callspec", None) and request.node.callspec.params.get("page")
    if isinstance(page, Path):
        for name in NEEDS.findall(page.read_text(encoding="utf-8")):
            if importlib.util.find_spec(name) is None:
                pytest.skip(f"{page.name}: {name} is not installed")
