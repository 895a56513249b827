"""A tiny ONNX file, written byte by byte: y = [x_cat as numbers, x_cont] @ weights."""

from __future__ import annotations

import struct

import numpy as np

FLOAT, INT32 = 1, 6


def _varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def _field(number, value):
    """One field of a protocol-buffer message: whole numbers as varints, the rest by length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _node(kind, inputs, output, attribute=b""):
    fields = b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(4, kind)
    return _field(1, fields + (_field(5, attribute) if attribute else b""))


def _whole(name, value):
    return _field(1, name) + _field(3, value) + _field(20, 2)


def _value(number, name, kind, columns):
    shape = _field(1, _field(2, "n")) + _field(1, _field(1, columns))
    return _field(number, _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, shape))))


def linear(weights, categories):
    """Bytes of a model with `categories` inputs in x_cat and the rest of the rows of `weights` in x_cont."""
    rows, columns = weights.shape
    raw = struct.pack(f"<{weights.size}f", *np.asarray(weights, dtype=np.float32).ravel())
    tensor = _field(1, rows) + _field(1, columns) + _field(2, FLOAT) + _field(8, "w") + _field(9, raw)
    graph = (
        _node("Cast", ["x_cat"], "codes", _whole("to", FLOAT))
        + _node("Concat", ["codes", "x_cont"], "x", _whole("axis", 1))
        + _node("MatMul", ["x", "w"], "y")
        + _field(2, "tiny")
        + _field(5, tensor)
        + _value(11, "x_cat", INT32, categories)
        + _value(11, "x_cont", FLOAT, rows - categories)
        + _value(12, "y", FLOAT, columns)
    )
    return _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13))
