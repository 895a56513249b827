"""Files and folders that are whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file; whoever reads it, after a kill too, finds what was there before or all of it.

    Args:
        path: Where; a file that is there is replaced.
        text: What.

    Returns:
        The path.
    """
    place = Path(path)
    draft = _beside(place, "partial")
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, place)
    finally:
        draft.unlink(missing_ok=True)
    return place


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """A folder to be filled, which takes its place when the block ends well; one that was there is replaced.

    Args:
        path: Where it will be; parents are made.
    """
    place = Path(path).resolve()  # of a link the folder that it stands for
    place.parent.mkdir(parents=True, exist_ok=True)
    draft, old = _beside(place, "partial"), _beside(place, "old")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
        if place.exists():
            place.rename(old)
        try:
            draft.rename(place)
        except OSError:
            if old.exists():
                old.rename(place)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def into_folder(path: str | Path) -> Iterator[Path]:
    """A folder to be filled, whose files take their places in another when the block ends well.

    A folder that is new or empty is whole or not there. Into one that has files already, those of the draft are renamed
    one after another, in order of time, and other files stay.

    Args:
        path: Where the files go; parents are made.
    """
    place = Path(path).resolve()
    if not place.exists() or not any(place.iterdir()):
        with new_folder(place) as draft:
            yield draft
        return
    draft = _beside(place, "partial")
    draft.mkdir()
    try:
        yield draft
        files = [file for file in draft.rglob("*") if file.is_file()]
        for file in sorted(files, key=lambda file: file.stat().st_mtime_ns):
            target = place / file.relative_to(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _beside(place: Path, what: str) -> Path:
    # no other process, machine or thread writes to it
    return place.with_name(f".{place.name}.{what}-{uuid.uuid4().hex[:12]}")
