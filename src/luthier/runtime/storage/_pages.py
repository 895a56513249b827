"""Records of an SQLite file, read page by page: what is left of one whose trees no longer lead to them.

Nothing of SQLite is used: every page of the file is looked at as if it were a leaf or branch of a table, and what
has the form of a record is given. A caller must check that a record is what it looks for.

Source: The SQLite file format, sections 1.5 (b-tree pages), 1.6 (cell payload overflow) and 2.1 (record format).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

_LEAF_INDEX, _BRANCH_INDEX, _LEAF_TABLE = 0x0A, 0x02, 0x0D
_WHOLE = (0, 1, 2, 3, 4, 6, 8)  # bytes of a whole number, by its serial type


def page_size(content: bytes) -> int:
    """Bytes of a page; the usual 4096 where the header does not say something possible."""
    size = int.from_bytes(content[16:18], "big")
    size = 65_536 if size == 1 else size
    return size if size >= 512 and size & (size - 1) == 0 else 4096


def records(content: bytes) -> Iterator[tuple[int | None, list[Any]]]:
    """Every record in the pages of tables and indices.

    Args:
        content: The whole file.

    Yields:
        The row's number (None in an index or a table without such numbers), and the values.
    """
    size = page_size(content)
    reserved = content[20] if len(content) > 20 and content[:6] == b"SQLite" else 0
    for start in range(0, len(content) - size + 1, size):
        page = content[start : start + size]
        head = 100 if start == 0 else 0
        if page[head] in (_LEAF_INDEX, _BRANCH_INDEX, _LEAF_TABLE):
            yield from _cells(content, page, head, size, size - reserved)


def _cells(content: bytes, page: bytes, head: int, size: int, usable: int) -> Iterator[tuple[int | None, list[Any]]]:
    kind, count = page[head], int.from_bytes(page[head + 3 : head + 5], "big")
    pointers = head + (12 if kind == _BRANCH_INDEX else 8)
    for i in range(min(count, size // 4)):
        at = int.from_bytes(page[pointers + 2 * i : pointers + 2 * i + 2], "big")
        try:
            at += 4 if kind == _BRANCH_INDEX else 0
            length, at = _varint(page, at)
            number = None
            if kind == _LEAF_TABLE:
                number, at = _varint(page, at)
            values = _record(_payload(content, page, at, length, size, usable, table=kind == _LEAF_TABLE))
        except (IndexError, ValueError, struct.error):
            continue  # no cell, or a damaged one
        yield number, values


def _payload(content: bytes, page: bytes, at: int, length: int, size: int, usable: int, *, table: bool) -> bytes:
    most = usable - 35 if table else (usable - 12) * 64 // 255 - 23
    if length > len(content):
        raise ValueError("longer than the file")
    if length <= most:
        found = page[at : at + length]
    else:
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        local = local if local <= most else least
        found, following = page[at : at + local], int.from_bytes(page[at + local : at + local + 4], "big")
        while len(found) < length:
            start = (following - 1) * size
            if following < 2 or start + size > len(content):
                raise ValueError("the chain of pages is broken")
            found += content[start + 4 : start + usable]
            following = int.from_bytes(content[start : start + 4], "big")
        found = found[:length]
    if len(found) != length:
        raise ValueError("cut off")
    return found


def _record(payload: bytes) -> list[Any]:
    size, at = _varint(payload, 0)
    types = []
    while at < size:
        kind, at = _varint(payload, at)
        types.append(kind)
    values = []
    for kind in types:
        value, at = _value(payload, at, kind)
        values.append(value)
    if at != len(payload):
        raise ValueError("no record: lengths do not add up")
    return values


def _value(payload: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind == 0:
        return None, at
    if kind <= 6:
        end = at + _WHOLE[kind]
        return int.from_bytes(payload[at:end], "big", signed=True), end
    if kind == 7:
        return struct.unpack(">d", payload[at : at + 8])[0], at + 8
    if kind in (8, 9):
        return kind - 8, at
    if kind < 12:
        raise ValueError("no such type")
    end = at + (kind - 12) // 2
    if end > len(payload):
        raise ValueError("cut off")
    return (payload[at:end].decode() if kind % 2 else payload[at:end]), end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    return value << 8 | data[at], at + 1
