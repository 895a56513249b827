"""Pickles of plain data: dictionaries, lists, texts and numbers are read, anything else is refused."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from luthier.base.errors import BenchmarkError


class _Dtype:
    """Stands in for numpy's own, which could be talked into more than numbers."""

    def __init__(self, code: str, *_: object) -> None:
        if code[:1] not in "fiu" or not code[1:].isdigit():
            raise pickle.UnpicklingError(f"it holds a number of type {code!r}")
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "<"


def _scalar(kind: _Dtype, content: bytes) -> float:
    return float(np.frombuffer(content, kind.order + kind.code)[0])


def _bytes(text: str, *_: object) -> bytes:
    return text.encode("latin1")  # how old protocols write bytes


#: What a pickle of plain data may name; dictionaries, lists, texts and Python's numbers are named by none.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _bytes,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
}


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ALLOWED[module, name]


def read_plain(path: Path) -> Any:
    """The data of a pickle; one that names any class or function beyond plain data is refused before that is used.

    Raises:
        BenchmarkError: it does, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _Plain(file).load()
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        raise BenchmarkError(f"{path} is no pickle of plain data ({error}). Nothing else is unpickled.") from error
