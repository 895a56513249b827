"""Protocol-buffer messages without the library: numbers of fields and their values, as they stand on the wire."""

from __future__ import annotations

import struct
from collections.abc import Iterator

Value = int | float | bytes

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Every field of a message in the order of the wire: its number and its value.

    A varint comes as it is (unsigned), eight bytes as a double, four bytes as a float, everything that has a length
    (texts, bytes, messages) as bytes. What a field means, and its default when it is absent, is the schema's.

    Raises:
        ValueError: the bytes are no message.

    Source: the wire format as protobuf.dev documents it ("Encoding"). Groups, which it calls deprecated, are refused.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        value: Value
        if kind == _VARINT:
            value, at = _varint(message, at)
        elif kind == _BYTES:
            length, at = _varint(message, at)
            value, at = message[at : at + length], at + length
        elif kind in (_EIGHT, _FOUR):
            size, form = (8, "<d") if kind == _EIGHT else (4, "<f")
            if at + size > end:
                raise ValueError(f"field {number} is cut off")
            value, at = struct.unpack_from(form, message, at)[0], at + size
        else:
            raise ValueError(f"field {number} has wire type {kind}")
        if at > end:
            raise ValueError(f"field {number} is cut off")
        yield number, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    found = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("a number is cut off")
        byte = message[at]
        found |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return found, at
