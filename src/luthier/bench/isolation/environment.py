"""Environments by the hash of their lock: built once, shared by all that have the same lock, offline where wanted.

They lie below the folder of LUTHIER_CACHE, else ~/.cache/luthier, in `environments`. One is built aside and renamed, so
what stands under its name is whole; two that build at once do the work twice and keep one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from luthier.base.checks import check
from luthier.base.errors import ArgumentError, BenchmarkError, UnsupportedError, did_you_mean
from luthier.base.registry import load as load_class
from luthier.base.registry import names as registered
from luthier.bench.data import DataFile, shipped
from luthier.bench.isolation import locks, worker
from luthier.bench.isolation.locks import Lock

VARIABLE = "LUTHIER_CACHE"
Installer = Literal["auto", "uv", "pip"]
_CARD = "luthier.json"
_TOOLS = "locks/tools"
_ASIDE = ".building-"
_STALE = 86_400.0  # s: no installation takes a day


@dataclass(frozen=True)
class Declaration:
    """What a family says about where it runs.

    Its class may name a lock in `lock` (a file of `bench/data/locks` without ending, or a path); without, the file
    with the family's own name is taken. `NAME-darwin.txt` (the value of `sys.platform`) goes before `NAME.txt`.
    `requires_python` replaces what the lock says, `files` lists data files. Of other optimisers there is a lock alone.

    Args:
        family: Its name, or that of an optimiser.
        lock: Its lock.
        files: Data that has to be supplied.
    """

    family: str
    lock: Lock
    files: tuple[DataFile, ...] = ()


@dataclass(frozen=True)
class Environment:
    """A built environment.

    Args:
        folder: Where it lies.
        python: Its interpreter.
        python_version: Such as "3.11".
        lock_name: Name of the lock it was built from.
        lock_sha256: Hash of it.
        packages: Installed package to version.
        installer: What built it.
    """

    folder: str
    python: str
    python_version: str
    lock_name: str
    lock_sha256: str
    packages: dict[str, str]
    installer: str


def cache() -> Path:
    """The folder of all environments; it need not exist."""
    given = os.environ.get(VARIABLE)
    return (Path(given) if given else Path("~/.cache/luthier")).expanduser() / "environments"


def tools() -> list[str]:
    """Optimisers that an environment can be built for."""
    return sorted(place.stem for place in shipped(_TOOLS).glob("*.txt"))


def declared(name: str) -> Declaration:
    """What the family of a benchmark declares, or the lock of an optimiser.

    Raises:
        ArgumentError: there is no such family or optimiser.
        UnsupportedError: it declares no lock.
        BenchmarkError: its lock is not exact.
    """
    family = name.partition("/")[0].replace("_", "-")
    if name in tools():
        return Declaration(name, locks.read(shipped(_TOOLS) / f"{name}.txt"))
    if family not in registered("benchmark"):
        known = [*(one.replace("-", "_") for one in registered("benchmark")), *tools()]
        raise ArgumentError(f"benchmark {name!r} is not known. {did_you_mean(family.replace('-', '_'), known)}")
    shown, cls = family.replace("-", "_"), load_class("benchmark", family)
    place = _lock_file(getattr(cls, "lock", None) or shown)
    if place is None:
        raise UnsupportedError(
            f"benchmark family {shown!r} declares no lock: it runs where luthier runs. Load it with "
            f'luthier.bench.load, or isolate it in the present environment (environment="this").'
        )
    lock = locks.read(place)
    return Declaration(
        shown,
        replace(lock, requires_python=getattr(cls, "requires_python", "") or lock.requires_python),
        tuple(getattr(cls, "files", ())),
    )


def _lock_file(lock: str | Path) -> Path | None:
    if isinstance(lock, Path):
        return lock
    places = [shipped("locks") / f"{lock}{system}.txt" for system in (f"-{sys.platform}", "")]
    return next((place for place in places if place.is_file()), None)


def create(name: str, wheels: str | Path | None = None, *, installer: Installer = "auto") -> Environment:
    """Build the environment of a benchmark's family or of an optimiser, or find it built.

    Args:
        name: Family or benchmark, such as "xgb", or optimiser, such as "optuna".
        wheels: Folder of wheels to install from without a network; None: as pip or uv is set up.
        installer: "uv", "pip", or "auto": uv where it is on the path.

    Raises:
        ArgumentError: there is no such family, optimiser or folder.
        UnsupportedError: the family declares no lock.
        BenchmarkError: no Python fits, or the installation failed; with its last lines.
    """
    return build(declared(name).lock, wheels, installer=installer)


def build(lock: Lock, wheels: str | Path | None = None, *, installer: Installer = "auto") -> Environment:
    """Build an environment from a lock, or find it built; see `create`."""
    check("installer", installer, one_of=("auto", "uv", "pip"))
    if wheels is not None and not Path(wheels).is_dir():
        raise ArgumentError(f"wheels={str(wheels)!r} is no folder. Give the folder that holds the .whl files.")
    python, version = locks.interpreter(lock)
    folder = cache() / f"{lock.sha256[:16]}-cp{version[0]}{version[1]}-{_system()}"
    found = _open(folder)
    if found is not None:
        return found
    cache().mkdir(parents=True, exist_ok=True)
    _sweep()
    aside = cache() / f"{_ASIDE}{uuid.uuid4().hex[:8]}"
    try:
        how = _install(aside, lock, python, version, wheels, installer)
        _settle(aside, folder)
        inner = Path(os.path.relpath(_python(aside), aside))
        site = [str(place) for place in aside.glob("lib*/python*/site-packages")]
        card = Environment(
            str(folder), str(folder / inner), f"{version[0]}.{version[1]}", lock.name, lock.sha256,
            dict(worker.packages(site)), how,
        )  # fmt: skip
        (aside / _CARD).write_text(json.dumps(asdict(card), indent=1), encoding="utf-8")
        try:
            aside.rename(folder)
        except OSError:
            if _open(folder) is None:
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return _open(folder) or card


def find(name: str) -> Environment:
    """The environment of a benchmark's family or of an optimiser.

    Raises:
        BenchmarkError: it is not built.
    """
    lock = declared(name).lock
    built = _built(lock)
    if built:
        return built[0]
    family, kind = name.partition("/")[0], "tool" if name in tools() else "benchmark"
    raise BenchmarkError(
        f"{kind} {name!r}: the environment of lock {lock.name!r} is not built. Build it with: luthier bench env "
        f"create {family}"
    )


def listing() -> list[Environment]:
    """All built environments."""
    places = sorted(cache().iterdir()) if cache().is_dir() else []
    found = (_open(place) for place in places if not place.name.startswith("."))
    return [one for one in found if one is not None]


def remove(name: str) -> Environment:
    """Delete an environment.

    Args:
        name: A family or optimiser whose lock it was built from, or the beginning of the lock's hash (8 signs or
            more).

    Raises:
        ArgumentError: nothing of that name is built.
        BenchmarkError: it cannot be deleted.
    """
    built = listing()
    family = name.partition("/")[0].replace("_", "-")
    if family in registered("benchmark") or name in tools():
        chosen = _built(declared(name).lock)
    else:
        chosen = [one for one in built if len(name) >= 8 and one.lock_sha256.startswith(name)]
    if not chosen:
        known = ", ".join(f"{one.lock_name} ({one.lock_sha256[:8]})" for one in built) or "none"
        raise ArgumentError(f"no environment {name!r} is built. Built: {known}.")
    doomed = Path(chosen[0].folder).with_name(f"{_ASIDE}{uuid.uuid4().hex[:8]}")
    try:
        Path(chosen[0].folder).rename(doomed)  # at once: nobody finds half of it
        shutil.rmtree(doomed)
    except OSError as error:
        raise BenchmarkError(f"environment {chosen[0].folder} cannot be deleted: {error}.") from error
    return chosen[0]


def describe(name: str) -> dict[str, Any]:
    """What a family declares and what is built of it, as JSON-able values.

    Returns:
        family, lock, sha256, requires_python, requirements, files, shared_with (families of the same lock), and
        built: None, or folder, python, packages, installer and bytes.
    """
    mine = declared(name)
    built = next(iter(_built(mine.lock)), None)
    return {
        "family": mine.family,
        "lock": mine.lock.name,
        "sha256": mine.lock.sha256,
        "requires_python": mine.lock.requires_python,
        "requirements": mine.lock.requirements,
        "files": [{"path": file.path, "sha256": file.sha256} for file in mine.files],
        "shared_with": [one for one in users(mine.lock.sha256) if one != mine.family],
        "built": None if built is None else {**asdict(built), "bytes": _size(Path(built.folder))},
    }


def users(lock_sha256: str) -> list[str]:
    """Families whose lock has a hash."""
    found = []
    for family in registered("benchmark"):
        try:
            same = declared(family).lock.sha256 == lock_sha256
        except UnsupportedError:
            continue
        if same:
            found.append(family.replace("-", "_"))
    return found


# -- building --------------------------------------------------------------------------------------------------


def _install(
    aside: Path, lock: Lock, python: str, version: tuple[int, int], wheels: str | Path | None, installer: Installer
) -> str:
    """Make the environment; what made it."""
    uv = shutil.which("uv") if installer != "pip" else None
    if installer == "uv" and uv is None:
        raise ArgumentError("installer='uv': uv is not on the path. Install it, or take installer='pip'.")
    offline = [] if wheels is None else ["--no-index", "--find-links", str(Path(wheels).resolve())]
    what = f"environment of lock {lock.name!r}"
    if uv is not None:
        _run(what, [uv, "venv", "--quiet", "--python", python, str(aside)])
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(_python(aside))]
        offline += ["--offline"] if wheels is not None else []
    elif _own_pip(version):
        # the present pip installs into the other environment: building a pip there takes longer than the rest
        _run(what, [python, "-I", "-m", "venv", "--without-pip", str(aside)])
        install = [sys.executable, "-I", "-m", "pip", "--python", str(_python(aside)), "install", "--quiet"]
    else:
        _run(what, [python, "-I", "-m", "venv", str(aside)])
        install = [str(_python(aside)), "-I", "-m", "pip", "install", "--quiet"]
    place = aside / "lock.txt"
    place.write_text(lock.text, encoding="utf-8")
    alone = ["--no-deps"] if lock.complete else []
    if lock.requirements:
        _run(what, [*install, "--require-hashes", *alone, *offline, "-r", str(place)])
    return "uv" if uv is not None else "pip"


def _own_pip(version: tuple[int, int]) -> bool:
    """Whether the pip of this process can install into a Python of that version."""
    if version != sys.version_info[:2] or importlib.util.find_spec("pip") is None:
        return False
    major, minor = importlib.metadata.version("pip").split(".")[:2]
    return (int(major), int(minor)) >= (22, 3)  # which brought --python


def _run(what: str, command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BenchmarkError(f"{what}: {command[0]} cannot be run: {error}.") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        told = [line for line in lines if "error" in line.lower()] or lines
        raise BenchmarkError(
            f"{what} cannot be built: {' '.join(told[-4:]) or 'no word of why'}. Without a network give a folder of "
            "wheels that holds every file of the lock."
        )


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _settle(aside: Path, folder: Path) -> None:
    """Programs of an environment name its interpreter by its place: let them name the later one."""
    for script in (aside / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        content = script.read_bytes()
        if str(aside).encode() in content and b"\0" not in content:
            script.write_bytes(content.replace(str(aside).encode(), str(folder).encode()))


def _system() -> str:
    """What a cache on a shared disk tells machines apart by."""
    return f"{sys.platform}-{platform.machine()}"


def _built(lock: Lock) -> list[Environment]:
    return [one for one in listing() if one.lock_sha256 == lock.sha256 and one.folder.endswith(_system())]


def _open(folder: Path) -> Environment | None:
    try:
        card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
        # the cache may have been moved as a whole
        inner = os.path.relpath(card["python"], card["folder"])
        return Environment(**{**card, "folder": str(folder), "python": str(folder / inner)})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _sweep() -> None:
    """Delete what builds that were killed have left."""
    for place in cache().glob(f"{_ASIDE}*"):
        if time.time() - place.stat().st_mtime > _STALE:
            shutil.rmtree(place, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(place.lstat().st_size for place in folder.rglob("*") if not place.is_dir())
