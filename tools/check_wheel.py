"""Build the wheel, install it bare and with each extra alone into fresh environments, and run README and a smoke test.

    python tools/check_wheel.py [--bare] [--extras bench,serve] [--record]

`--bare` is what continuous integration runs; without it every extra follows (`make test-slow`), with `--extras` those
alone. Prints what each installation takes on disk. Extras that bring gigabytes are resolved and not installed, unless
they are named. `--record` keeps the figures in docs/results/wheel.json and .md, beside those of extras seen earlier.
README's blocks run in order, as in tests/docs; those that need torch are left out where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

from wheel_smoke import SMOKE

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "botorch", "llm", "eval", "ray", "integrations", "test", "all"}
#: Files without which an installed luthier would fail only when it is used.
WANTED = (
    "luthier/py.typed",
    "luthier/report/assets/plotly.min.js",
    "luthier/report/assets/plotly.LICENSES.txt",
    "luthier/report/assets/report.js",
    "luthier/report/assets/report.css",
    "luthier/serve/assets/live.js",
    "luthier/serve/assets/index.js",
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^# ([\w./-]+\.(?:py|ya?ml|toml|json))\n")
#: What a block mentions, and the package that it then needs.
NEEDS = {"luthier.grow": "torch", "luthier.shrink": "torch", "luthier.gradients": "torch", "import torch": "torch"}


def size_mb(folder: Path) -> float:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink()) / 1e6


def inspect(wheel: Path) -> str:
    """What is in the wheel; ends where something is missing or does not belong there."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    missing = [name for name in WANTED if name not in names]
    assert not missing, f"the wheel lacks {missing}"
    strange = [name for name in names if not name.startswith(("luthier/", "luthier-", "hydra_plugins/luthier"))]
    assert not strange, f"the wheel holds {strange}"
    return f"wheel: {wheel.stat().st_size / 1e6:.1f} MB, {len(names)} files"


def resolve(wheel: Path, extra: str) -> str:
    """Whether a set of packages exists that the extra can be installed with."""
    constraints = ["-c", str(ROOT / "constraints.txt")]
    command = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed", *constraints]
    subprocess.run([*command, f"{wheel}[{extra}]"], check=True, stdout=subprocess.DEVNULL)
    return f"luthier[{extra}]: resolves (heavy: not installed)"


def environment(folder: Path) -> Path:
    """A fresh environment; its interpreter."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    return python if python.exists() else folder / "Scripts" / "python.exe"


def run(command: list[str | Path], folder: Path, where: str) -> None:
    bin_ = str(Path(command[0]).parent) if Path(command[0]).is_absolute() else ""
    env = {**os.environ, "PATH": os.pathsep.join(filter(None, [bin_, os.environ["PATH"]]))}
    env.pop("PYTHONPATH", None)
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{where} exits with {done.returncode}\n{done.stdout}\n{done.stderr}")


def readme(python: Path, folder: Path) -> tuple[int, int]:
    """Run README's blocks with an installed luthier; how many ran, and how many need a package that is not there."""
    there = {
        name: subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 0
        for name in set(NEEDS.values())
    }
    ran = left = 0
    for language, text in BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        name = NAMED.match(text)
        if any(mark in text and not there[package] for mark, package in NEEDS.items()):
            left += 1
        elif name and language in ("python", "yaml", "toml", "json"):
            (folder / name[1]).write_text(text, encoding="utf-8")
        elif language == "python":
            (folder / f"block{ran}.py").write_text(text, encoding="utf-8")
            run([python, f"block{ran}.py"], folder, f"README, Python block {ran}")
            ran += 1
        elif language == "console":
            lines = [line[2:] for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.startswith("$ ")]
            for line in lines:
                shell = f'export PATH="{python.parent}:$PATH"; {line}'
                run(["bash", "-c", shell], folder, f"README: {line}")
                ran += 1
    return ran, left


def check(wheel: Path, extra: str | None) -> dict[str, Any]:
    """Install it into a fresh environment and run everything there; what was found."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = environment(folder / "venv")
        before = size_mb(folder / "venv")
        what = f"{wheel}[{extra}]" if extra else str(wheel)
        quiet = ["-q", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
        subprocess.run([python, "-m", "pip", "install", *quiet, what], check=True)
        ran, left = readme(python, folder)
        run([python, "-m", "luthier", "demo", "--out", "demo"], folder, "luthier demo")
        for number, program in enumerate(SMOKE.get(extra or "", ())):
            place = folder / f"smoke{number}"
            place.mkdir()
            run([python, "-c", program], place, f"luthier[{extra}], program {number + 1} of its smoke test")
        added = size_mb(folder / "venv") - before
        freeze = [python, "-m", "pip", "list", "--format=freeze"]
        listed = subprocess.run(freeze, capture_output=True, text=True, check=True)
    packages = [p for p in listed.stdout.split() if not p.startswith(("pip==", "setuptools=="))]
    return {
        "extra": extra or "", "date": date.today().isoformat(), "MB": round(added, 1), "packages": len(packages),
        "README ran": ran, "need torch": left, "programs": len(SMOKE.get(extra or "", ())),
        "seconds": round(time.monotonic() - started),
    }  # fmt: skip


def words(row: dict[str, Any]) -> str:
    """A line of what was found."""
    text = f"{row['README ran']} blocks and commands of README and `luthier demo` run"
    text += f" ({row['need torch']} blocks need torch)" if row["need torch"] else ""
    programs = row["programs"]
    text += f", {programs} program{'s' if programs > 1 else ''} of its own too" if programs else ""
    name = f"luthier[{row['extra']}]" if row["extra"] else "luthier"
    return f"{name}: {row['MB']:.0f} MB, {row['packages']} packages; {text}; {row['seconds']} s"


def record(row: dict[str, Any], names: list[str]) -> None:
    """Keep a row beside the others, in the order of pyproject.toml."""
    path = ROOT / "docs" / "results" / "wheel.json"
    kept = {r["extra"]: r for r in json.loads(path.read_text())["rows"]} if path.exists() else {}
    kept[row["extra"]] = row
    rows = [kept[name] for name in ["", *names] if name in kept]
    data = {"date": max(r["date"] for r in rows), "python": platform.python_version(), "rows": rows}
    path.write_text(json.dumps(data, indent=1) + "\n")
    heads = ["extra", "date", "MB", "packages", "README ran", "need torch", "programs"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(str(r[h]) if h != "extra" else r[h] or "(none)" for h in heads) + " |" for r in rows]
    text = (
        "The wheel in a fresh environment, bare and with each extra by itself, versions as in constraints.txt:\n"
        "megabytes that the installation adds, packages in all, and how many blocks and commands of README ran there,\n"
        "those that need torch left out where it is not; `luthier demo` and the extra's own programs\n"
        "(`tools/wheel_smoke.py`) ran in each."
    )
    made = f"Python {platform.python_version()}, {platform.system()}. `python tools/check_wheel.py --record`."
    path.with_suffix(".md").write_text("\n".join(["# The wheel, installed", "", text, "", *lines, "", made, ""]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bare", action="store_true", help="without extras")
    parser.add_argument("--extras", help="comma-separated; default: all of pyproject.toml")
    parser.add_argument("--record", action="store_true", help="keep the figures in docs/results/wheel.json")
    given = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = list(project["optional-dependencies"]) if given.extras is None else given.extras.split(",")
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", name, str(ROOT)], check=True)
        [wheel] = Path(name).glob("*.whl")
        print(inspect(wheel), flush=True)
        named = [extra for extra in extras if extra]
        for extra in [None] if given.bare else named if given.extras else [None, *named]:
            if extra is not None and extra in HEAVY and given.extras is None:
                print(resolve(wheel, extra), flush=True)
                continue
            row = check(wheel, extra)
            print(words(row), flush=True)
            if given.record:
                record(row, list(project["optional-dependencies"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
