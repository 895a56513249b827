"""Every link of README and documentation leads somewhere; the check itself finds what is broken."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def links() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_links", ROOT / "tools" / "check_links.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_links_lead_somewhere(links: ModuleType) -> None:
    assert [line for page in links.pages() for line in links.broken(page)] == []


def test_what_is_broken_is_found(links: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "ROOT", tmp_path)
    (tmp_path / "there.md").write_text("# One `two`, three\n\n## Again\n\n## Again\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#one-two-three) [c](there.md#again_1) [d](https://x.example/y) ![e](missing.png)\n"
        "[f](gone.md#x) [g](there.md#four) [h](#here) `src/nothing.py`\n"
        "`src/one.py::two` `src/one.py::Three.four` `src/one.py::five`\n\n```text\n[i](in-a-block.md)\n```\n\n# Here\n"
    )
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "one.py").write_text("def two(): ...\n\n\nclass Three:\n    def four(self): ...\n")
    assert list(links.broken(page)) == [
        "page.md: missing.png is not there",
        "page.md: gone.md#x is not there",
        "page.md: there.md#four has no such heading",
        "page.md: `src/nothing.py` is not there",
        "page.md: `src/one.py` has no five",
    ]
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "index.html").write_text('<a href="../two/#a"></a><a href="../three/"></a><a href="#no"></a>')
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "index.html").write_text('<p id="a"></p>')
    assert list(links.broken_in_site(tmp_path)) == [
        "one/index.html: ../three/ is not there",
        "one/index.html: #no has no such place",
    ]


def test_every_entry_of_the_site_has_its_page(links: ModuleType) -> None:
    sys.path.insert(0, str(ROOT / "tools"))
    import docs_hooks

    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))

    shown = docs_hooks.listed(site["nav"])
    made = {f"reference/{name}.md" for name in (*docs_hooks.FIXED, *docs_hooks.LISTED)}
    docs = ROOT / "docs"
    there = {p.relative_to(docs).as_posix() for p in docs.rglob("*.md") if docs / "results" not in p.parents}
    assert shown - made <= there
    assert {*docs_hooks.unlisted(docs, site["nav"])} == there - shown  # they come last, and are not left out
    assert docs_hooks.unlisted(docs, [{"Home": [{"Tune": "tune.md"}]}]) == sorted(there - {"tune.md"})
    for _, _, modules in docs_hooks.FIXED.values():
        assert [module for module in modules if not docs_hooks.exists(module)] == []
    assert all(docs_hooks.algorithms(folder) for _, folder in docs_hooks.LISTED.values())
