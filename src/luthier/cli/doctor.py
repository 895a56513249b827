"""`luthier doctor`: is everything well with this installation, this machine, and a study?"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli._errors import WARNS, WRONG
from luthier.cli._options import Debug, Json

if TYPE_CHECKING:
    from luthier.study.health import Check


def doctor(
    where: Annotated[
        str | None, typer.Argument(metavar="STUDY", help="Look at a study too.", show_default=False)
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Save what can be read of a damaged database into a new file.")
    ] = False,
    to: Annotated[
        str | None, typer.Option(metavar="FILE", help="The new file of --repair.", show_default=False)
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="With --repair: take the old file's place; it is kept beside.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check installation, machine and folder, or a study.

    Exit code 3 when something is worth a look, 4 when a check failed.
    """
    from luthier.cli import _json
    from luthier.cli._text import follow
    from luthier.study.health import Check, check_folder

    if repair:
        _repair(where, to, in_place=in_place, as_json=as_json)
        return
    checks = [*_installation(), *_machine()]
    checks += check_folder(Path()) if where is None else _study(where)
    states = {check.state for check in checks}
    code = WRONG if "fail" in states else WARNS if "warn" in states else 0
    if as_json:
        listed = [{"name": c.name, "state": c.state, "text": c.text} for c in checks]
        _json.write({"checks": listed, "extras": _extras(), "exit": code})
    else:
        _print([*checks, *(Check("extra", "ok", _extra_text(name, found)) for name, found in _extras().items())])
        print("next: luthier demo" if where is None else follow("show", where))
    if code:
        raise typer.Exit(code)


def _study(where: str) -> list[Check]:
    """What is said of a study; a damaged database is a finding, not the end."""
    from luthier.base.errors import SchemaError, StorageError, StudyNotFound
    from luthier.study import Study
    from luthier.study.health import Check, check_folder, check_study

    try:
        with Study.open(where) as study:
            folder = [] if study.folder is None else check_folder(study.folder)
            return [*folder, *check_study(study)]
    except (SchemaError, StudyNotFound):
        raise  # there is nothing to look at
    except StorageError as error:
        if "damaged" not in str(error):
            raise
        return [Check("integrity", "fail", str(error))]


def _repair(where: str | None, to: str | None, *, in_place: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from luthier.base.errors import ArgumentError
    from luthier.cli import _json
    from luthier.cli._text import follow
    from luthier.study.repair import repair

    if where is None:
        raise ArgumentError("doctor --repair without a study. Name it: luthier doctor STUDY --repair.")
    file, found = repair(where, to, in_place=in_place)
    if as_json:
        _json.write({"file": str(file), "studies": [asdict(study) for study in found]})
        return
    for study in found:
        print(
            f"{study.name}: saved {study.trials} trials, {study.events} events; {study.missing} events cannot be read, "
            f"{study.dropped} mean nothing without them"
        )
    print(f"written: {file}")
    print(follow("show", str(file) if len(found) == 1 else f"{file}#{found[0].name}"))


def _print(checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{check.state:<4}  {check.name:<{width}}  {check.text}")


def _requirements() -> tuple[list[str], dict[str, list[str]]]:
    """Packages of the core and of each extra, as the installed luthier declares them."""
    from importlib.metadata import distribution

    core: list[str] = []
    declared = distribution("luthier")
    extras: dict[str, list[str]] = {name: [] for name in declared.metadata.get_all("Provides-Extra") or []}
    for line in declared.requires or []:
        requirement, _, marker = line.partition(";")
        match = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", marker)
        name = re.match(r"[\w.-]+", requirement.strip())
        if name is None:
            continue
        inner = re.match(r"luthier\s*\[([^\]]+)\]", requirement.strip())
        entry = f"luthier[{inner[1]}]" if inner else name[0]
        (extras.setdefault(match[1], []) if match else core).append(entry)
    return core, extras


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _installation() -> list[Check]:
    import platform
    from importlib.metadata import PackageNotFoundError

    from luthier import __version__
    from luthier.study.health import Check

    system = f"luthier {__version__}, Python {platform.python_version()}, {platform.platform()}"
    try:
        core, _ = _requirements()
    except PackageNotFoundError:
        return [Check("version", "warn", f"{system}; not installed, only on the path. Install it: pip install .")]
    versions = {package: _version(package) for package in core}
    missing = [package for package, found in versions.items() if found is None]
    text = ", ".join(f"{package} {found}" for package, found in versions.items() if found)
    packages = (
        Check("packages", "fail", f"missing: {', '.join(missing)}. Install luthier again: pip install luthier")
        if missing
        else Check("packages", "ok", text)
    )
    return [Check("version", "ok", system), packages]


def _extras() -> dict[str, dict[str, Any]]:
    """Name of each extra to its packages with their versions; nothing is imported."""
    from importlib.metadata import PackageNotFoundError

    try:
        _, extras = _requirements()
    except PackageNotFoundError:
        return {}
    found = {}
    for name, packages in extras.items():
        own = [package for package in packages if not package.startswith("luthier[")]
        for entry in packages:
            if entry.startswith("luthier["):
                for other in entry.removeprefix("luthier[").rstrip("]").split(","):
                    own += extras.get(other.strip(), [])
        versions = {package: _version(package) for package in own}
        found[name] = {"present": all(versions.values()), "packages": versions}
    return found


def _extra_text(name: str, found: dict[str, Any]) -> str:
    versions: dict[str, str | None] = found["packages"]
    if found["present"]:
        return f"{name}: there ({', '.join(f'{package} {version}' for package, version in versions.items())})"
    missing = [package for package, version in versions.items() if version is None]
    return f'{name}: not there, lacks {", ".join(missing)} (pip install "luthier[{name}]")'


def _machine() -> list[Check]:
    from luthier.base.errors import LuthierError
    from luthier.bench.data import VARIABLE
    from luthier.bench.data import folder as data_folder
    from luthier.runtime.executors._gpus import visible
    from luthier.study.health import Check

    # what this process may use, which in a container is less than the machine has
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    checks = [Check("machine", "ok", f"{cpus} CPUs{_memory()}")]
    try:
        variable, devices = visible()
        text = f"{len(devices)}: {', '.join(devices)} (by {variable})" if devices else "none can be seen"
        checks.append(Check("gpus", "ok", text))
    except LuthierError as error:
        checks.append(Check("gpus", "fail", str(error)))
    data = data_folder()
    if data is None:
        checks.append(Check("data", "ok", f"{VARIABLE} is not set; benchmarks with their own data need it"))
    elif data.is_dir():
        checks.append(Check("data", "ok", f"{VARIABLE} is {data}"))
    else:
        checks.append(Check("data", "warn", f"{VARIABLE} is {data}, which is no folder. Set it to one, or unset it."))
    return checks


def _memory() -> str:
    if sys.platform != "linux":
        return ""
    size = os.sysconf("SC_PAGE_SIZE")
    return (
        f", {os.sysconf('SC_PHYS_PAGES') * size / 1e9:.1f} GB memory, "
        f"{os.sysconf('SC_AVPHYS_PAGES') * size / 1e9:.1f} GB of it free"
    )
