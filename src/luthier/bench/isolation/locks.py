"""Locks: exact versions with hashes, and the interpreters that they are for.

A lock is a requirements file of pip's: every line pins a version with `==` and names at least one SHA-256; the comment
`# requires-python: >=3.11,<3.15` says for which Pythons it holds, `# complete: WHY` that nothing beyond the lines is
installed, whatever the packages ask for. Those that ship lie in `bench/data/locks`, those of other optimisers below it
in `tools`.
"""

from __future__ import annotations

import hashlib
import operator
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from luthier.base.errors import BenchmarkError

_HEADER = re.compile(r"^#\s*requires-python:\s*(\S.*)$", re.MULTILINE)
_COMPLETE = re.compile(r"^#\s*complete:\s*\S", re.MULTILINE)
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*==\s*([^\s;*]+)(?=[\s;]|$)")
_SHA256 = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
_CLAUSE = re.compile(r"^(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)*)(\.\*)?$")
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_NEWEST = 20  # minor versions of Python 3 that are looked for


@dataclass(frozen=True)
class Lock:
    """What an environment holds.

    Args:
        name: What it is called, for messages.
        text: The requirements file.
        requires_python: Which Pythons it is for, such as ">=3.8,<3.10"; empty: any.
        complete: Whether the packages are installed without what they ask for beyond it.
    """

    name: str
    text: str
    requires_python: str = ""
    complete: bool = False

    def __post_init__(self) -> None:
        for line in self.lines:
            if not line.startswith("-") and not (_PINNED.match(line) and _SHA256.search(line)):
                raise BenchmarkError(
                    f"lock {self.name!r}: {line[:80]!r} is not exact. Every requirement needs a version with == and "
                    "--hash=sha256:... of each file that may be installed."
                )
        satisfies((0, 0), self.requires_python, self.name)

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """What matters of the text, in one order and one way of writing."""
        whole = re.sub(r"\\\s*\n", " ", self.text)
        plain = (re.sub(r"(^|\s)#.*$", "", line) for line in whole.splitlines())
        return tuple(sorted(" ".join(line.split()) for line in plain if line.strip()))

    @cached_property
    def sha256(self) -> str:
        """Hash of what matters: comments and the order of the lines do not."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()

    @property
    def requirements(self) -> dict[str, str]:
        """Package to version."""
        found = (_PINNED.match(line) for line in self.lines)
        return {match[1]: match[2] for match in found if match}


def read(path: Path) -> Lock:
    """A lock from its file.

    Raises:
        BenchmarkError: there is none, or it is not exact.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"lock {str(path)!r} cannot be read: {error}.") from error
    header = _HEADER.search(text)
    return Lock(path.stem, text, header[1].strip() if header else "", bool(_COMPLETE.search(text)))


def satisfies(version: tuple[int, ...], requires: str, name: str) -> bool:
    """Whether a Python is one that a lock is for.

    Args:
        version: Such as (3, 11).
        requires: Clauses joined by commas: >=, <=, ==, !=, >, < and a version; `==3.7.*` is understood.
        name: Name of the lock, for the message.

    Raises:
        BenchmarkError: a clause is not understood.
    """
    fine = True
    for clause in filter(None, (part.strip() for part in requires.split(","))):
        match = _CLAUSE.match(clause)
        if not match or (match[3] and match[1] not in ("==", "!=")):
            raise BenchmarkError(f"lock {name!r}: requires-python {clause!r} is not understood. Write >=3.8,<3.11.")
        bound = tuple(int(part) for part in match[2].split("."))
        width = len(bound) if match[3] else max(len(bound), len(version))
        mine = (*version, *[0] * (width - len(version)))[:width]
        theirs = (*bound, *[0] * (width - len(bound)))
        fine &= _SIGNS[match[1]](mine, theirs)
    return fine


def interpreter(lock: Lock) -> tuple[str, tuple[int, int]]:
    """The Python that an environment for a lock is built with: the present one if it may be, else one that is found.

    Looked for is `python3.X` on the path and among those of pyenv, the newest first.

    Returns:
        Its file, and (major, minor).

    Raises:
        BenchmarkError: there is none.
    """
    present = sys.version_info[:2]
    if satisfies(present, lock.requires_python, lock.name):
        return sys.executable, present
    for place, version in _candidates():
        if satisfies(version, lock.requires_python, lock.name) and _runs(place, version):
            return place, version
    raise BenchmarkError(
        f"lock {lock.name!r} is for Python {lock.requires_python}; this is {present[0]}.{present[1]}, and no other was "
        "found. Install one and put it on the path as python3.X."
    )


def _candidates() -> Iterator[tuple[str, tuple[int, int]]]:
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    for minor in range(_NEWEST, 5, -1):
        places = [shutil.which(f"python3.{minor}"), *sorted(root.glob(f"3.{minor}.*/bin/python3.{minor}"))]
        for place in filter(None, places):
            yield str(place), (3, minor)


def _runs(place: str, version: tuple[int, int]) -> bool:
    """Whether it is what its name says: pyenv's stand-ins may lead nowhere."""
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([place, "-I", "-c", code], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == f"{version[0]}.{version[1]}"
