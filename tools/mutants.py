"""Change one sign, bound or constant at a time in the functions that matter most: the tests must notice.

    python tools/mutants.py [--only hypervolume,asha] [--jobs 1]

Works on a copy of the last commit; writes docs/results/mutants.md and .json. A mutant survives when the named tests
still pass.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {
    "hypervolume": ("base/pareto.py", ("_area", "_volume", "nondominated"), ("tests/base/test_pareto.py",)),
    "log-ei": ("models/acquisition.py", ("log_ei", "log_improvement"), ("tests/models/test_models_acquisition.py",)),
    "conformal": ("models/conformal.py", ("score_quantile", "band_scores", "correct"),
                  ("tests/models/test_models_conformal.py",)),
    "labels": ("models/labels.py", ("best_share", "label"), ("tests/models/test_models_classifier.py",
                                                             "tests/papers/test_bore.py")),
    "gp": ("models/gp.py", ("_Loss.__call__", "condition"),
           ("tests/models/test_models_gp.py", "tests/papers/test_gp.py")),
    "asha": ("schedulers/asha.py", ("Asha._goes_on", "Asha._chosen", "Asha._count"),
             ("tests/papers/test_asha.py", "tests/schedulers/test_asha_rungs.py")),
    "hyperband": ("schedulers/_brackets.py", ("steps", "halved"), ("tests/papers/test_hyperband.py",)),
    "regret": ("stopping/regret.py", ("Regret._judge", "Regret._bound", "Regret._width"),
               ("tests/papers/test_termination.py", "tests/stopping")),
    "mup": ("grow/tables.py", ("deviation", "rate", "epsilon", "coupled", "factors"),
            ("tests/grow/test_mu_plan.py", "tests/grow/test_muon.py")),
    "cost": ("shrink/cost.py", ("CostModel.parameters", "CostModel.macs", "CostModel.cache_bytes"),
             ("tests/shrink/test_exact.py",)),
}  # fmt: skip

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    target: str
    file: str
    line: int
    what: str
    text: str
    tests: tuple[str, ...]


def functions(tree: ast.Module, names: tuple[str, ...]) -> list[ast.FunctionDef]:
    """The functions of these names; a method is `Class.name`."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            found.update({f"{node.name}.{f.name}": f for f in node.body if isinstance(f, ast.FunctionDef)})
    if missing := set(names) - set(found):
        raise SystemExit(f"no such function: {', '.join(sorted(missing))}")
    return [found[name] for name in names]


def changes(node: ast.AST) -> Iterator[tuple[str, str, object]]:
    """(what, attribute, new value) for each change of one node."""
    op = getattr(node, "op", None)
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(op) in SWAPS:
        yield f"{type(op).__name__} -> {SWAPS[type(op)].__name__}", "op", SWAPS[type(op)]()
    if isinstance(node, ast.UnaryOp) and isinstance(op, ast.USub):
        yield "sign dropped", "op", ast.UAdd()
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in SWAPS:
        new = SWAPS[type(node.ops[0])]
        yield f"{type(node.ops[0]).__name__} -> {new.__name__}", "ops", [new()]
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield f"{node.value} -> {node.value + 1}", "value", node.value + 1


def mutants(name: str) -> list[Mutant]:
    """All mutants of one target."""
    file, functions_, tests = TARGETS[name]
    source = subprocess.run(
        ["git", "show", f"HEAD:src/luthier/{file}"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    found = []
    tree = ast.parse(source)
    places = [
        (place, what, attribute, value)
        for function in functions(tree, functions_)
        for place in ast.walk(ast.Module(body=function.body, type_ignores=[]))
        for what, attribute, value in changes(place)
    ]
    found.append(Mutant(name, file, 0, "", source, tests))  # nothing changed: has to pass
    for place, what, attribute, value in places:
        kept = copy.copy(getattr(place, attribute))
        setattr(place, attribute, value)
        found.append(Mutant(name, file, getattr(place, "lineno", 0), what, ast.unparse(tree), tests))
        setattr(place, attribute, kept)
    return found


def survives(mutant: Mutant, folder: Path) -> bool:
    """Whether the tests pass on a copy of the package with this change."""
    own = Path(tempfile.mkdtemp(dir=folder))
    shutil.copytree(folder / "tree" / "src", own / "src")
    (own / "src" / "luthier" / mutant.file).write_text(mutant.text)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *mutant.tests]
    environment = {**os.environ, "PYTHONPATH": str(own / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=folder / "tree", env=environment, capture_output=True, timeout=180, check=False
        )
        return done.returncode == 0
    except subprocess.TimeoutExpired:  # a loop without end is noticed too
        return False
    finally:
        shutil.rmtree(own)


def write(rows: list[dict[str, object]]) -> None:
    """The page and its figures."""
    lines = [
        "# Mutants",
        "",
        "One sign, bound or constant changed at a time in the functions that matter most; a mutant ",
    ]
    lines[-1] += "survives when the tests named still pass. `python tools/mutants.py`."
    lines += ["", "| target | file | mutants | noticed | survivors |", "|---|---|---|---|---|"]
    for name, (file, _, _) in TARGETS.items():
        own = [row for row in rows if row["target"] == name]
        if own:
            left = [f"line {row['line']}: {row['what']}" for row in own if row["survived"]]
            noticed = len(own) - len(left)
            lines.append(f"| {name} | `{file}` | {len(own)} | {noticed} | {'; '.join(left) or '-'} |")
    results = ROOT / "docs" / "results"
    (results / "mutants.md").write_text("\n".join(lines) + "\n")
    (results / "mutants.json").write_text(json.dumps({"date": str(date.today()), "rows": rows}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(TARGETS))
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    file = ROOT / "docs" / "results" / "mutants.json"
    chosen = given.only.split(",")
    rows = [r for r in json.loads(file.read_text())["rows"] if r["target"] not in chosen] if file.exists() else []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.jobs) as pool:
        whole = Path(folder) / "tree"
        whole.mkdir()
        packed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", whole], input=packed, check=True)
        for name in chosen:
            found = mutants(name)
            if not survives(found.pop(0), Path(folder)):
                raise SystemExit(f"{name}: its tests fail on unchanged code")
            for mutant, survived in zip(found, pool.map(lambda m: survives(m, Path(folder)), found), strict=True):
                rows.append(
                    {k: v for k, v in vars(mutant).items() if k not in ("text", "tests")} | {"survived": survived}
                )
                if survived:
                    print(f"survived: {mutant.file}:{mutant.line} {mutant.what}", flush=True)
            print(f"{name}: {len(found)} mutants", flush=True)
            write(rows)


if __name__ == "__main__":
    main()
