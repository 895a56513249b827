"""Change one sign, bound or constant at a time in the functions that matter most: the tests must notice.

    python tools/mutants.py [--only hypervolume,asha] [--again] [--left]

Works on a copy of the last commit and writes docs/results/mutants.md and .json. A mutant survives when the tests named
still pass. A target whose source and tests are those that were measured last is not measured again. Needs `os.fork`:
what all tests import is imported once, and each mutant is tested in a copy of that process.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import importlib.util
import inspect
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from _equivalent import EQUIVALENT

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "src/luthier"
LONGEST = 10.0  # times what the unchanged code takes: a loop without end is noticed too
WARM = ("numpy", "scipy.optimize", "scipy.stats", "pytest")  # imported once for all mutants


@dataclass(frozen=True)
class Target:
    """Functions that one kind of result hangs on.

    Args:
        places: File in the package -> its functions; a method is `Class.name`.
        tests: What pytest is given.
    """

    places: dict[str, tuple[str, ...]]
    tests: tuple[str, ...]


TARGETS = {
    "hypervolume": Target(
        {"base/pareto.py": ("_area", "_volume", "nondominated")}, ("tests/base/test_pareto.py", "-k", "not pymoo")
    ),
    "log-ei": Target(
        {"models/acquisition.py": ("log_ei", "log_improvement")}, ("tests/models/test_models_acquisition.py",)
    ),
    "conformal": Target(
        {"models/conformal.py": ("score_quantile", "band_scores", "correct")},
        ("tests/models/test_models_conformal.py",),
    ),
    "labels": Target(
        {"models/labels.py": ("best_share", "label")},
        ("tests/models/test_models_classifier.py", "tests/papers/test_bore.py"),
    ),
    "asha": Target(
        {"schedulers/asha.py": ("Asha._goes_on", "Asha._chosen", "Asha._count")},
        ("tests/papers/test_asha.py", "tests/schedulers/test_asha_rungs.py"),
    ),
    "hyperband": Target({"schedulers/_brackets.py": ("steps", "halved")}, ("tests/papers/test_hyperband.py",)),
    "mup": Target(
        {"grow/tables.py": ("deviation", "rate", "epsilon", "coupled", "factors", "muon")},
        ("tests/grow/test_tables.py",),
    ),
    "cost": Target(
        {"shrink/cost.py": ("CostModel.parameters", "CostModel.macs", "CostModel.cache_bytes")},
        ("tests/shrink/test_cost.py",),
    ),
    "regret": Target(
        {
            "stopping/regret.py": ("Regret._judge", "Regret._bound", "Regret._width"),
            "stopping/_posterior.py": ("Posterior.bound", "Posterior.lower"),
        },
        (
            "tests/papers/test_termination.py",
            "-k",
            "the_formula or by_hand or srinivas",
        ),
    ),
    "gp": Target(
        {
            "models/gp.py": ("_Loss.__call__", "_Loss._prior", "_gram", "_centre", "condition"),
            "models/factors.py": ("factored", "solved"),
        },
        (
            "tests/models/test_models_factors.py",
            "tests/models/test_models_gp.py",
            "tests/papers/test_gp.py::test_one_dimensional_improvement_by_hand",
        ),
    ),
}

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
ENDS = {"max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum"}


@dataclass(frozen=True)
class Mutant:
    """One change: the line (joined, if the expression goes over several) before and after it."""

    target: str
    file: str
    function: str
    line: int
    before: str
    after: str


def functions(tree: ast.Module, names: tuple[str, ...]) -> list[ast.FunctionDef]:
    """The functions of these names."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            found.update({f"{node.name}.{f.name}": f for f in node.body if isinstance(f, ast.FunctionDef)})
    if missing := set(names) - set(found):
        raise SystemExit(f"no such function: {', '.join(sorted(missing))}")
    return [found[name] for name in names]


def changes(node: ast.AST) -> Iterator[tuple[str, object]]:
    """(attribute, new value) for each change of one node."""
    op = getattr(node, "op", None)
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(op) in SWAPS:
        yield "op", SWAPS[type(op)]()
    if isinstance(node, ast.UnaryOp) and isinstance(op, ast.USub):
        yield "op", ast.UAdd()
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPS:
        yield "ops", [SWAPS[type(node.ops[0])]()]
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield "value", node.value + 1
    if isinstance(node, ast.Attribute) and node.attr in ENDS:
        yield "attr", ENDS[node.attr]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ENDS:
        yield "func", ast.Name(ENDS[node.func.id])


def inside(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, without what stands in messages."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.JoinedStr):
            yield from inside(child)


def mutants(name: str, file: str, names: tuple[str, ...], source: str) -> Iterator[tuple[Mutant, str]]:
    """All mutants of some functions, each with the source of its file."""
    lines = source.encode().splitlines(keepends=True)  # an AST counts bytes
    starts = [sum(map(len, lines[:i])) for i in range(len(lines) + 1)]
    for called, function in zip(names, functions(ast.parse(source), names), strict=True):
        for node in (node for statement in function.body for node in inside(statement)):
            for attribute, value in changes(node):
                other = copy.copy(node)
                setattr(other, attribute, value)
                first, last = starts[node.lineno - 1], starts[node.end_lineno]  # type: ignore[attr-defined]
                begin, end = first + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
                whole, new = source.encode(), ast.unparse(other).encode()
                before = " ".join(whole[first:last].decode().split())
                after = " ".join((whole[first:begin] + new + whole[end:last]).decode().split())
                text = (whole[:begin] + new + whole[end:]).decode()
                yield Mutant(name, file, called, node.lineno, before, after), text  # type: ignore[attr-defined]


class Quickest:
    """A plugin of pytest: what has been quick comes first, so that most mutants are noticed soon.

    Args:
        file: Where the seconds of each test are kept.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._new = file, not file.exists()
        self._seconds: dict[str, float] = {} if self._new else json.loads(file.read_text())

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items.sort(key=lambda item: self._seconds.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if self._new:
            self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        if self._new:
            self._file.write_text(json.dumps(self._seconds))


def passes(tree: Path, name: str, seconds: float) -> bool:
    """Whether a target's tests pass, in so many seconds, on the package as it stands below `tree`."""
    process = multiprocessing.get_context("fork").Process(target=_run, args=(tree, name))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0


def _run(tree: Path, name: str) -> None:
    import pytest

    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    os.chdir(tree)
    sys.path.insert(0, str(tree / "src"))
    os.environ.update({"PYTHONPATH": str(tree / "src"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    sys.dont_write_bytecode = True
    plain = ("-x", "-q", "-p", "no:cacheprovider", "-m", "not slow")
    os._exit(int(pytest.main([*plain, *TARGETS[name].tests], plugins=[Quickest(tree / f"{name}.json")])))


def measure(name: str, tree: Path, noticed: list[Mutant]) -> list[dict[str, Any]]:
    """Every mutant of a target, and whether it survived; what was noticed before is not tested again."""
    target, rows, begin = TARGETS[name], [], time.monotonic()
    if not passes(tree, name, 1800.0):
        raise SystemExit(f"{name}: its tests fail on unchanged code")
    most = 10.0 + LONGEST * (time.monotonic() - begin)
    for place, names in target.places.items():
        file = tree / PACKAGE / place
        source = file.read_text()
        compiled = Path(importlib.util.cache_from_source(str(file)))
        compiled.unlink(missing_ok=True)  # each mutant is compiled anew
        file.write_text("raise SystemExit(1)\n")
        if passes(tree, name, most):
            raise SystemExit(f"{name}: its tests do not use {place}")
        for mutant, text in mutants(name, place, names, source):
            file.write_text(text)
            rows.append({**asdict(mutant), "survived": mutant not in noticed and passes(tree, name, most)})
            if rows[-1]["survived"] and (mutant.function, mutant.after) not in EQUIVALENT:
                print(f"survived: {place}:{mutant.line} {mutant.before}  ->  {mutant.after}", flush=True)
        file.write_text(source)
    return rows


def fingerprint(name: str, tree: Path) -> str:
    """What a target's figures depend on: its source, its tests, and what counts as a change."""
    target = TARGETS[name]
    tests = [tree / given.partition("::")[0] for given in target.tests if given.startswith("tests/")]
    files = [file for path in tests for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    files += [tree / PACKAGE / place for place in target.places]
    seen = [repr(target), inspect.getsource(changes), repr(SWAPS), *(file.read_text() for file in files)]
    return hashlib.sha256("\0".join(seen).encode()).hexdigest()[:16]


def page(found: dict[str, Any]) -> str:
    """The page."""
    head = """
        # Mutants

        One sign, bound or constant changed at a time in the functions that matter most. A mutant is noticed when a
        test named in the tool fails; one that changes no result that can be told apart is equivalent, and has its
        reason below. `python tools/mutants.py`.

        | target | functions | mutants | noticed | equivalent | survivors |
        |---|---|---|---|---|---|
        """
    lines, reasons, sums = [], [], [0, 0, 0, 0]
    for name in TARGETS:
        rows = found.get(name, {}).get("rows", [])
        if not rows:
            continue
        left = [row for row in rows if row["survived"]]
        open_ = [row for row in left if (row["function"], row["after"]) not in EQUIVALENT]
        counts = [len(rows), len(rows) - len(left), len(left) - len(open_), len(open_)]
        sums = [a + b for a, b in zip(sums, counts, strict=True)]
        places = "; ".join(f"`{file}`: {', '.join(names)}" for file, names in TARGETS[name].places.items())
        lines.append(f"| {name} | {places} | " + " | ".join(map(str, counts)) + " |")
        for row in left:
            why = EQUIVALENT.get((row["function"], row["after"]), "**not noticed**")
            reasons.append(f"| `{row['function']}` | `{_cell(row['before'])}` | `{_cell(row['after'])}` | {why} |")
    lines.append("| all | | " + " | ".join(map(str, sums)) + " |")
    if reasons:
        lines += ["", "## What is not noticed, and why", "", "| function | before | after | why |", "|---|---|---|---|"]
    return "\n".join([textwrap.dedent(head).strip(), *lines, *reasons]) + "\n"


def _cell(code: str) -> str:
    return code.replace("|", "\\|")


def write(found: dict[str, Any]) -> None:
    """The page and its figures; reasons for what was noticed after all are named."""
    results = ROOT / "docs" / "results"
    (results / "mutants.md").write_text(page(found))
    (results / "mutants.json").write_text(json.dumps(found, indent=1) + "\n")
    rows = [row for one in found.values() for row in one["rows"]]
    survivors = {(row["function"], row["after"]) for row in rows if row["survived"]}
    measured = {row["function"] for row in rows}
    for function, after in EQUIVALENT:
        if function in measured and (function, after) not in survivors:
            print(f"called equivalent, and no survivor: {function}: {after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(TARGETS), help="targets, with commas between them")
    parser.add_argument("--again", action="store_true", help="measure what was measured already too")
    parser.add_argument("--left", action="store_true", help="test survivors alone: tests were added, no source changed")
    given = parser.parse_args()
    file = ROOT / "docs" / "results" / "mutants.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    for module in WARM:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        packed = subprocess.run(
            ["git", "archive", "HEAD", "src", "tests", "pyproject.toml"], cwd=ROOT, check=True, capture_output=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", tree], input=packed, check=True)
        subprocess.run([sys.executable, "-m", "compileall", "-q", tree / "src"], check=True)
        for name in given.only.split(","):
            key = fingerprint(name, tree)
            if not given.again and found.get(name, {}).get("of") == key:
                print(f"{name}: measured already")
                continue
            begin = time.monotonic()
            before = found.get(name, {}).get("rows", []) if given.left else []
            noticed = [Mutant(**{k: v for k, v in r.items() if k != "survived"}) for r in before if not r["survived"]]
            rows = measure(name, tree, noticed)
            found[name] = {"date": date.today().isoformat(), "of": key, "rows": rows}
            survived = sum(row["survived"] for row in rows)
            print(f"{name}: {len(rows)} mutants, {survived} not noticed, {time.monotonic() - begin:.0f} s", flush=True)
            write(found)
        write(found)


if __name__ == "__main__":
    main()
