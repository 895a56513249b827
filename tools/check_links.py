"""Check the links of README and documentation: files, anchors in them, files and `file.py::name` named as code.

    python tools/check_links.py [--site build/site]

Links to other hosts are not followed. With `--site` the pages of a built site are checked too.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
NAMED = re.compile(r"`((?:src|tests|docs|benchmarks|tools|examples)/[\w./-]+)(?:::([\w.]+))?`")
#: Made when the site is built (tools/docs_hooks.py), not files of the repository.
MADE = re.compile(r"docs/reference/[\w-]+\.md$")


def pages() -> list[Path]:
    """Every page that people read."""
    found = [ROOT / "README.md", *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return sorted(page for page in found if page.is_file())


@cache
def anchors(page: Path) -> frozenset[str]:
    """Anchors of a page's headings, as the site and GitHub make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found: dict[str, int] = {}
    names = set(re.findall(r"<a id=\"([^\"]+)\"", text))
    for line in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line)
        slug = re.sub(r"[^\w\s-]", "", plain.replace("`", "").lower()).strip()
        slug = re.sub(r"[\s]+", "-", slug)
        count = found.get(slug, 0)
        found[slug] = count + 1
        names.add(slug if not count else f"{slug}_{count}")
    return frozenset(names)


def broken(page: Path) -> Iterator[str]:
    """What a page links to, or names, that is not there."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
        if not target.exists():
            if not MADE.search(target.as_posix()) or not _made(target):
                yield f"{page.relative_to(ROOT)}: {link} is not there"
        elif parts.fragment and target.suffix == ".md" and parts.fragment not in anchors(target):
            yield f"{page.relative_to(ROOT)}: {link} has no such heading"
    if "results" not in page.parts:
        for name, inner in NAMED.findall(text):
            if not (ROOT / name).exists():
                yield f"{page.relative_to(ROOT)}: `{name}` is not there"
            elif inner and inner not in definitions(ROOT / name):
                yield f"{page.relative_to(ROOT)}: `{name}` has no {inner}"


@cache
def definitions(file: Path) -> frozenset[str]:
    """Functions and classes of a file, methods as `Class.method`."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found = set()
    for one in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(one, kinds):
            found.add(one.name)
            found |= {f"{one.name}.{inner.name}" for inner in one.body if isinstance(inner, kinds)}
    return frozenset(found)


def _made(target: Path) -> bool:
    sys.path.insert(0, str(Path(__file__).parent))
    import docs_hooks

    return target.stem in {*docs_hooks.FIXED, *docs_hooks.LISTED}


class Site(HTMLParser):
    """Links and anchors of a page of the built site."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def broken_in_site(site: Path) -> Iterator[str]:
    """Links of a built site that lead nowhere in it."""
    read = {file: Site(file) for file in site.rglob("*.html")}
    for file, page in read.items():
        if file.name == "404.html":
            continue  # its links are absolute, for wherever the site will be
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = file if not parts.path else (file.parent / unquote(parts.path)).resolve()
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                yield f"{file.relative_to(site)}: {link} is not there"
            elif parts.fragment and target in read and unquote(parts.fragment) not in read[target].ids:
                yield f"{file.relative_to(site)}: {link} has no such place"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", type=Path, help="a built site")
    given = parser.parse_args()
    found = [line for page in pages() for line in broken(page)]
    if given.site:
        found += broken_in_site(given.site.resolve())
    for line in found:
        print(line)
    print(f"{len(pages())} pages, {len(found)} broken links")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
