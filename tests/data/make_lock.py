"""Writes a lock of `bench/data/locks`: exact versions, and the hashes of their wheels for every Python and platform.

Needs a package index, as pip is set up. The locks there were made by:

    python tests/data/make_lock.py sklearn scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
    python tests/data/make_lock.py xgb xgboost-cpu==3.2.0 scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1 --for linux
    python tests/data/make_lock.py xgb-darwin xgboost==3.2.0 scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1 --for darwin
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

LOCKS = Path(__file__).resolve().parents[2] / "src/luthier/bench/data/locks"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "linux": [[f"{tag}_{cpu}" for tag in ("manylinux_2_28", "manylinux_2_27", "manylinux2014", "manylinux_2_17")]
              for cpu in ("x86_64", "aarch64")],
    "darwin": [["macosx_14_0_arm64", "macosx_12_0_arm64", "macosx_11_0_arm64"]],
}  # fmt: skip


def ask(requirements, *options):
    """What pip would install: name -> (version, SHA-256)."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--only-binary=:all:", "--report", str(report), "--target", folder, *options, *requirements]
        subprocess.run(command, check=True)
        installs = json.loads(report.read_text())["install"]
    return {
        one["metadata"]["name"].lower(): (
            one["metadata"]["version"],
            one["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for one in installs
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("requirements", nargs="+")
    parser.add_argument("--for", dest="systems", nargs="+", choices=sorted(PLATFORMS), default=sorted(PLATFORMS))
    given = parser.parse_args()
    versions = {name: version for name, (version, _) in ask(given.requirements).items()}
    if "linux" not in given.systems:  # what only Linux needs
        versions = {name: version for name, version in versions.items() if not name.startswith("nvidia-")}
    hashes = {name: set() for name in versions}
    exact = [f"{name}=={version}" for name, version in versions.items()]
    for system in given.systems:
        for tags in PLATFORMS[system]:
            for python in PYTHONS:
                options = [f"--platform={tag}" for tag in tags]
                for name, (_, sha256) in ask(exact, "--no-deps", f"--python-version={python}", *options).items():
                    hashes[name].add(sha256)
    lines = [f"# requires-python: >={PYTHONS[0]},<3.{int(PYTHONS[-1][2:]) + 1}", "--only-binary :all:"]
    for name in sorted(versions):
        parts = [f"{name}=={versions[name]}", *(f"    --hash=sha256:{one}" for one in sorted(hashes[name]))]
        lines.append(" \\\n".join(parts))
    place = LOCKS / f"{given.name}.txt"
    place.write_text("\n".join(lines) + "\n")
    print(place, {name: (versions[name], len(hashes[name])) for name in sorted(versions)})


if __name__ == "__main__":
    main()
