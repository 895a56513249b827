"""Build the documentation as a site, strictly, and check its links.

    python tools/build_docs.py [--env DIR] [--out build/site]

Makes an environment of its own for mkdocs (kept in `--env`, build/docs-env by default), since nothing else needs it;
the reference is read from the source, so luthier itself is not installed there. Ends with 1 at any warning or broken
link.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def environment(folder: Path) -> Path:
    """An environment with what the extra `docs` names; its interpreter."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["docs"]
    quiet = ["-q", "--disable-pip-version-check", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([python, "-m", "pip", "install", *quiet, *wanted], check=True)
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", type=Path, default=ROOT / "build" / "docs-env")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    given = parser.parse_args()
    python = environment(given.env)
    out = given.out.resolve()
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    build = [python, "-m", "mkdocs", "build", "--strict", "-q", "-f", str(ROOT / "mkdocs.yml"), "-d", str(out)]
    if subprocess.run(build, env=env).returncode:
        return 1
    print(f"site: {out}, {sum(1 for _ in out.rglob('*.html'))} pages", flush=True)
    return subprocess.run([sys.executable, str(ROOT / "tools" / "check_links.py"), "--site", str(out)]).returncode


if __name__ == "__main__":
    sys.exit(main())
