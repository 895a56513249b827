"""Build the wheel, install it bare and with each extra alone into fresh environments, and run the README's first block.

    python tools/check_wheel.py [--extras bench,...]

Prints what each installation takes on disk. Extras that bring gigabytes are resolved and not installed, unless they
are named. Downloads packages; part of `make test-slow`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "botorch", "llm", "eval", "ray", "integrations", "all"}


def first_block() -> str:
    found = re.search(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found, "README has no Python block"
    return found[1]


def size_mb(folder: Path) -> float:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink()) / 1e6


def resolve(wheel: Path, extra: str) -> str:
    """Whether a set of packages exists that the extra can be installed with."""
    constraints = ["-c", str(ROOT / "constraints.txt")]
    command = [sys.executable, "-m", "pip", "install", "-q", "--dry-run", "--ignore-installed", *constraints]
    subprocess.run([*command, f"{wheel}[{extra}]"], check=True, stdout=subprocess.DEVNULL)
    return f"luthier[{extra}]: resolves (heavy: not installed)"


def check(wheel: Path, extra: str | None) -> str:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        if not python.exists():
            python = folder / "venv" / "Scripts" / "python.exe"
        before = size_mb(folder / "venv")
        what = f"{wheel}[{extra}]" if extra else str(wheel)
        constraints = ["-c", str(ROOT / "constraints.txt")]
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *constraints, what], check=True
        )
        (folder / "first.py").write_text(first_block())
        subprocess.run([python, "first.py"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(
            [python, "-m", "luthier", "demo", "--out", "demo"], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        added = size_mb(folder / "venv") - before
        listed = subprocess.run(
            [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
        )
        packages = len([p for p in listed.stdout.split() if not p.startswith(("pip==", "setuptools=="))])
    name = f"luthier[{extra}]" if extra else "luthier"
    return f"{name}: {added:.0f} MB, {packages} packages; README's first block and `luthier demo` run"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extras", help="comma-separated; default: all of pyproject.toml")
    given = parser.parse_args().extras
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = given.split(",") if given is not None else list(project["optional-dependencies"])
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", name, str(ROOT)], check=True)
        [wheel] = Path(name).glob("*.whl")
        print(f"wheel: {wheel.stat().st_size / 1e6:.1f} MB")
        for extra in (None, *[e for e in extras if e]):
            heavy = extra is not None and extra in HEAVY and given is None
            print(resolve(wheel, str(extra)) if heavy else check(wheel, extra), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
