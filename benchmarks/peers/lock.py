"""Write the locks of other tools' environments anew: python benchmarks/peers/lock.py [optuna smac ...].

`luthier bench env create NAME` builds an environment from its lock. What a tool is to have is named here; pip decides
on the rest, for this Python and system, and is then asked for the files of the others. A system on which one of the
versions has no wheel gets none of them. Where the files come from is how pip is set up, and no part of a lock.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCKS = Path(__file__).parents[2] / "src" / "luthier" / "bench" / "data" / "locks" / "tools"
PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = {
    "linux-x86_64": tuple(f"manylinux{kind}_x86_64" for kind in ("_2_28", "_2_27", "_2_17", "2014")),
    "linux-aarch64": tuple(f"manylinux{kind}_aarch64" for kind in ("_2_28", "_2_27", "_2_17", "2014")),
    "darwin-arm64": tuple(f"macosx_{major}_0_arm64" for major in (14, 13, 12, 11)),
}


@dataclass(frozen=True)
class Wish:
    """What an environment is to have.

    Args:
        packages: What pip is asked for.
        alone: Taken without what it asks for itself.
        source: Packages of which there is no wheel; they are built, without a compiler.
        about: Said in the lock.
    """

    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    about: str = ""

    @property
    def binary(self) -> list[str]:
        """What pip may take, as its options."""
        return ["--only-binary", ":all:", *(word for name in self.source for word in ("--no-binary", name))]


_TORCH = "torch==2.13.0"
_BUILD = "torch on Linux is the build for processors (2.13.0+cpu): pip must be set up to find it."
WISHES = {
    "optuna": Wish(("optuna==5.0.0", "cmaes==0.13.1", _TORCH, "scipy==1.17.1", "numpy==2.4.6"), about=_BUILD),
    "syne-tune": Wish(
        # what syne-tune 0.16.0 needs, with xgboost-cpu in place of xgboost; its botorch searcher wants the extra
        ("numpy==2.4.6", "pandas==3.1.1", "dill", "typing_extensions", "sortedcontainers", "statsmodels==0.15.0",
         "scikit-learn==1.9.1", "xgboost-cpu==3.2.0", "tqdm", "psutil", _TORCH, "botorch==0.18.1", "huggingface_hub"),
        ("syne-tune==0.16.0",),
        about="xgboost-cpu takes the place of xgboost.\n# " + _BUILD,
    ),
    # smac 2.4.0 imports a name that scikit-learn 1.8 no longer has
    "smac": Wish(("smac==2.4.0", "scikit-learn==1.7.2", "ConfigSpace==1.2.2", "numpy==2.4.6"), source=("pynisher",)),
    # hebo 0.3.6 asks for pymoo 0.6.0, of which there is no wheel, and numpy below 1.25: the rest is of that time
    "hebo": Wish(
        ("numpy==1.24.4", "scipy==1.11.4", "pandas==2.1.4", "scikit-learn==1.4.2", "GPy==1.13.2", _TORCH,
         "gpytorch==1.15.2", "disjoint-set==0.9.0", "catboost==1.2.10", "pymoo==0.6.1.1"),
        ("HEBO==0.3.6",),
        about="HEBO asks for pymoo 0.6.0, of which there is no wheel.\n# " + _BUILD,
    ),
    "nevergrad": Wish(("nevergrad==1.0.12", "numpy==2.4.6", "scipy==1.17.1")),
    "dehb": Wish(("DEHB==0.1.2", "ConfigSpace==1.2.2", "numpy==1.26.4")),
}  # fmt: skip


def report(*arguments: str) -> list[dict[str, Any]] | None:
    """What pip would install; None if it cannot."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        done = subprocess.run([*command, "--report", str(file), *arguments], capture_output=True, text=True)
        if done.returncode:
            print(next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), ""), flush=True)
            return None
        found: list[dict[str, Any]] = json.loads(file.read_text())["install"]
        return found


def sha256(one: dict[str, Any]) -> str:
    """Hash of a file; pip does not say that of one on this disk."""
    kept = one["download_info"]["archive_info"].get("hashes", {}).get("sha256")
    url = one["download_info"]["url"]
    if kept is None and url.startswith("file:"):
        return hashlib.sha256(Path(url.removeprefix("file://")).read_bytes()).hexdigest()
    return str(kept)


def processors(found: list[dict[str, Any]]) -> bool:
    """Whether torch, if it is among them, is the build for processors."""
    return all("+cpu" in one["metadata"]["version"] for one in found if one["metadata"]["name"] == "torch")


def lock(name: str) -> str:
    """The text of a lock.

    Raises:
        SystemExit: pip finds no versions that go together here.
    """
    wish = WISHES[name]
    found = report(*wish.binary, *wish.packages)
    alone = report(*wish.binary, "--no-deps", *wish.alone) if wish.alone else []
    if found is None or alone is None:
        raise SystemExit(f"{name}: pip finds no versions that go together.")
    pins = {one["metadata"]["name"]: one["metadata"]["version"].partition("+")[0] for one in [*found, *alone]}
    hashes = {package: {sha256(one)} for one in [*found, *alone] for package in [one["metadata"]["name"]]}
    pythons = {f"{sys.version_info[0]}.{sys.version_info[1]}"}
    for python in PYTHONS:
        for system, platforms in SYSTEMS.items():
            tags = [word for tag in platforms for word in ("--platform", tag)]
            exact = [f"{package}=={version}" for package, version in pins.items()]
            more = report(*wish.binary, "--no-deps", "--target", "unused", "--python-version", python, *tags, *exact)
            if more and system.startswith("linux") and not processors(more):
                more = None  # it would come without the libraries that it needs
            print(f"{name}: Python {python} on {system}: {'has every wheel' if more else 'lacks a wheel'}", flush=True)
            for one in more or []:
                hashes[one["metadata"]["name"]].add(sha256(one))
            pythons |= {python} if more and system == "linux-x86_64" else set()
    minors = sorted(int(python.partition(".")[2]) for python in pythons)
    head = [f"# requires-python: >=3.{minors[0]},<3.{minors[-1] + 1}", "# complete: what a package asks for is listed"]
    head += [f"# {wish.about}"] if wish.about else []
    lines = [
        " \\\n".join([f"{package}=={pins[package]}", *(f"    --hash=sha256:{one}" for one in sorted(hashes[package]))])
        for package in sorted(pins, key=str.lower)
    ]
    head += ["--only-binary :all:", *(f"--no-binary {package}" for package in wish.source)]
    return "\n".join([*head, *lines]) + "\n"


def main() -> None:
    LOCKS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or WISHES:
        (LOCKS / f"{name}.txt").write_text(lock(name))


if __name__ == "__main__":
    main()
