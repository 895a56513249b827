"""Finding data: what ships with the package, and what users keep in the folder that LUTHIER_DATA names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.base.errors import ChecksumError, DataMissing

VARIABLE = "LUTHIER_DATA"
_SHIPPED = Path(__file__).parent / "data"


@dataclass(frozen=True)
class DataFile:
    """A file that a benchmark needs.

    Args:
        path: Place below the data folder, such as "tabular_hpo/fcnet.npz".
        sha256: What its content must hash to; None: any content is taken, and the card says what it hashes to.
        needed: Whether the benchmark cannot do without it.
    """

    path: str
    sha256: str | None = None
    needed: bool = True


def folder() -> Path | None:
    """The user's data folder, None when the variable is not set."""
    given = os.environ.get(VARIABLE)
    return Path(given).expanduser() if given else None


def shipped(name: str) -> Path:
    """A file that comes with the package."""
    return _SHIPPED / name


def present(path: str) -> bool:
    """Whether the user's data folder holds a file."""
    base = folder()
    return base is not None and (base / path).is_file()


def find(what: str, files: Sequence[DataFile], *, origin: str) -> dict[str, Path]:
    """Places of a benchmark's files, their content verified.

    Args:
        what: The benchmark, for the message.
        files: What it needs.
        origin: Where the files come from: repository, commit, and how they were converted.

    Returns:
        `DataFile.path` to place, those that are not there and not needed left out.

    Raises:
        DataMissing: no folder is named, or a needed file is not in it.
        ChecksumError: a file has another content.
    """
    base = folder()
    layout = ", ".join(_named(file) for file in files if file.needed)
    if base is None:
        raise DataMissing(
            f"benchmark {what!r} needs data that is not part of luthier: {VARIABLE} is not set. Set it to a folder "
            f"that holds {layout}. Origin: {origin}."
        )
    found = {}
    for file in files:
        place = base / file.path
        if place.is_file():
            if file.sha256 is not None:
                verify(place, file.sha256)
            found[file.path] = place
        elif file.needed:
            raise DataMissing(
                f"benchmark {what!r}: {place} is not there. The folder of {VARIABLE} must hold {layout}. "
                f"Origin: {origin}."
            )
    return found


def _named(file: DataFile) -> str:
    return file.path if file.sha256 is None else f"{file.path} (SHA-256 {file.sha256})"


def checksum(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, sha256: str) -> None:
    """Refuse a file with another content.

    Raises:
        ChecksumError: with both hashes.
    """
    found = checksum(path)
    if found != sha256:
        raise ChecksumError(
            f"{path} has SHA-256 {found}; this benchmark was made for {sha256}. Fetch the file again, or keep your own "
            "data under another name."
        )


def checksums(places: Mapping[str, Path]) -> dict[str, str]:
    """File to SHA-256, for a card."""
    return {path: checksum(place) for path, place in places.items()}
