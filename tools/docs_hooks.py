"""Pages of the documentation that are made when it is built: one a room, and one a searcher, scheduler and rule.

mkdocs calls these functions. The pages hold `::: module` lines, which mkdocstrings turns into the docstrings; so a new
algorithm is in the reference as soon as its file is there.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "luthier"

#: Page -> (title, what stands on top, modules or objects).
FIXED: dict[str, tuple[str, str, list[str]]] = {
    "study": (
        "Study, run and result",
        "`lu.Study` is the object that users hold; a trial's program gets a `run`.",
        [
            "luthier.study.study.Study",
            "luthier.study._by_hand.ByHand",
            "luthier.study._view.View",
            "luthier.study.result.Result",
            "luthier.runtime.executors._run.Run",
            "luthier.runtime.executors._naming.Naming",
        ],
    ),
    "space": (
        "Spaces",
        "Hyperparameters, conditions, priors and files. All of it is under `lu`: `lu.Space`, `lu.Float`, ...",
        [
            "luthier.space.space.Space",
            "luthier.space.domains",
            "luthier.space.priors",
            "luthier.space.files",
            "luthier.space.configspace",
        ],
    ),
    "records": (
        "Records and errors",
        "What passes between the rooms.",
        ["luthier.base.records", "luthier.base.errors"],
    ),
    "report": (
        "Report, importance, live pages",
        "Tables are plain data; the page draws them.",
        [
            "luthier.report.page",
            "luthier.report._importance",
            "luthier.report._ablation",
            "luthier.report._contours",
            "luthier.report._tables",
            "luthier.serve._server",
        ],
    ),
    "storage": (
        "Stores",
        "",
        ["luthier.runtime.storage._base", "luthier.runtime.storage._urls", "luthier.runtime.storage.sqlite"],
    ),
    "testing": ("Contract batteries", "For searchers, schedulers and stores of your own.", ["luthier.testing"]),
}
#: Page -> (title, folder whose files are one algorithm each).
LISTED = {
    "searchers": ("Searchers", "searchers"),
    "transfer-searchers": ("Searchers that learn from earlier studies", "searchers/transfer"),
    "schedulers": ("Schedulers", "schedulers"),
    "stopping": ("Stopping rules", "stopping"),
}

NAMES = {title for title, _ in LISTED.values()}


def on_config(config: Any) -> Any:
    """Give pages that `mkdocs.yml` does not name a place at the end, so that a new page is never left out."""
    docs = Path(config["docs_dir"])
    more = unlisted(docs, config["nav"])
    if more:
        config["nav"].append({"More": more})
    return config


def unlisted(docs: Path, nav: Any) -> list[str]:
    """Pages without a place; figures of benchmarks are reached from the pages that speak of them."""
    shown = listed(nav)
    there = [page.relative_to(docs).as_posix() for page in docs.rglob("*.md") if docs / "results" not in page.parents]
    return sorted(page for page in there if page not in shown)


def listed(entry: Any) -> set[str]:
    """Pages that a part of the navigation names."""
    if isinstance(entry, str):
        return {entry}
    return set().union(*map(listed, entry if isinstance(entry, list) else entry.values()))


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made."""
    from mkdocs.structure.files import File

    for name, (title, words, modules) in FIXED.items():
        found = [module for module in modules if exists(module)]
        files.append(File.generated(config, f"reference/{name}.md", content=page(title, words, found)))
    for name, (title, folder) in LISTED.items():
        files.append(File.generated(config, f"reference/{name}.md", content=page(title, "", algorithms(folder))))
    return files


def page(title: str, words: str, modules: list[str]) -> str:
    """A page that shows some modules or objects."""
    parts = [f"# {title}\n", f"{words}\n"]
    for module in modules:
        # a class of an algorithm's file goes by the name that users write
        public = module.split(".")[-2].replace("_", "-") if module.rpartition(".")[2][:1].isupper() else ""
        shown = (
            f'    options:\n      heading: "{public}"\n      toc_label: "{public}"\n      members: false\n'
            if public and title in NAMES
            else ""
        )
        parts.append(f"::: {module}\n{shown}")
    return "\n".join(parts)


def algorithms(folder: str) -> list[str]:
    """Classes of a folder's files that are registered: one a file."""
    found = []
    for file in sorted((SOURCE / folder).glob("*.py")):
        if file.name.startswith("_"):
            continue
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and any("register" in ast.unparse(one) for one in node.decorator_list):
                found.append(".".join(["luthier", *Path(folder).parts, file.stem, node.name]))
    return found


def exists(path: str) -> bool:
    """Whether a module, or an object of one, is there."""
    parts = path.split(".")[1:]
    for cut in range(len(parts), 0, -1):
        place = SOURCE.joinpath(*parts[:cut])
        file = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
        if file.is_file():
            names = parts[cut:]
            if not names:
                return True
            tree = ast.parse(file.read_text(encoding="utf-8"))
            return any(getattr(node, "name", None) == names[0] for node in tree.body)
    return False
