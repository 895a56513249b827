"""Readers of other people's file formats, on files that this test writes byte by byte."""

from __future__ import annotations

import ast
import collections
import io
import json
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from luthier.base.errors import BenchmarkError, MissingExtra
from luthier.base.records import Configuration
from luthier.bench.families import _net_converter
from luthier.bench.families._fcnet import LISTS, Hdf5
from luthier.bench.families._pickles import read_plain
from luthier.bench.families._protobuf import fields
from luthier.bench.families._tfrecord import masked_crc, read_frames
from luthier.bench.families._trees import PARTS, Trees


def crc32c(content):
    """Bit by bit, from the definition: polynomial 0x1EDC6F41, bits reversed."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(content):
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def frame(content):
    head = struct.pack("<Q", len(content))
    return head + struct.pack("<I", masked(head)) + content + struct.pack("<I", masked(content))


def varint(number):
    found = b""
    while number > 0x7F:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


def message(pairs):
    """Fields (number, value): int as varint, float as double, bytes with their length."""
    found = b""
    for number, value in pairs:
        if isinstance(value, int):
            found += varint(number << 3) + varint(value)
        elif isinstance(value, float):
            found += varint(number << 3 | 1) + struct.pack("<d", value)
        else:
            found += varint(number << 3 | 2) + varint(len(value)) + value
    return found


def test_checksums():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C in every catalogue
    contents = [b"123456789", b"", b"\x00" * 32, bytes(range(256))]
    assert masked_crc(contents).tolist() == [masked(content) for content in contents]
    assert masked_crc([]).tolist() == []


def test_frames(tmp_path):
    contents = [b"first", b"", b"x" * 300]
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"".join(map(frame, contents)))
    assert list(read_frames(path)) == contents
    path.write_bytes(b"")
    assert list(read_frames(path)) == []


def test_frames_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("luthier.bench.families._tfrecord._BATCH", 3)
    path = tmp_path / "a.tfrecord"
    contents = [str(i).encode() for i in range(8)]
    path.write_bytes(b"".join(map(frame, contents)))
    assert list(read_frames(path)) == contents


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-3], "ends within a frame"),
        (lambda raw: raw[:-20], "the length of a frame after byte 0 is damaged"),
        (lambda raw: raw[:30] + b"?" + raw[31:], "the content of a frame after byte 0 is damaged"),
        (lambda raw: b"\xff" * 8 + raw[8:], "the length of a frame after byte 0 is damaged, or it is no TFRecord file"),
        (lambda raw: b"text", "no TFRecord file"),
    ],
)
def test_damaged_frames_are_refused(tmp_path, damage, message):
    path = tmp_path / "a.tfrecord"
    raw = frame(b"a content of some bytes") + frame(b"another one")
    path.write_bytes(damage(raw))
    with pytest.raises(BenchmarkError, match=message):
        list(read_frames(path))


def test_messages():
    inner = message([(1, 0.5), (6, b"model.ckpt")])
    whole = message([(1, inner), (1, b""), (2, 8_555_530), (3, 0.25)])
    assert list(fields(whole)) == [(1, inner), (1, b""), (2, 8_555_530), (3, 0.25)]
    assert list(fields(inner)) == [(1, 0.5), (6, b"model.ckpt")]
    assert list(fields(b"")) == []
    assert list(fields(varint(5 << 3 | 5) + struct.pack("<f", 1.5))) == [(5, 1.5)]


@pytest.mark.parametrize("raw", [b"\x80", b"\x0a\x05abc", b"\x09\x00", b"\x0b", b"\xff" * 12], ids=str)
def test_what_is_no_message_is_refused(raw):
    with pytest.raises(ValueError, match=r"cut off|wire type"):
        list(fields(raw))


def test_messages_of_the_library():
    """The library's own bytes, so that writer and reader cannot err together."""
    descriptor = pytest.importorskip("google.protobuf.descriptor_pb2")
    written = descriptor.FieldDescriptorProto(name="epoch", number=300, label=2)
    assert dict(fields(written.SerializeToString())) == {1: b"epoch", 3: 300, 4: 2}


def test_plain_pickles(tmp_path):
    data = {"a": [1, 2.5, None, True, "x"], "b": collections.OrderedDict(c=(np.float64(0.5), np.float32(0.25)))}
    for protocol in (2, 4):
        path = tmp_path / "plain.pkl"
        path.write_bytes(pickle.dumps(data, protocol))
        assert read_plain(path) == data


class Evil:
    def __reduce__(self):
        return (eval, ("__import__('builtins').print('ran')",))


@pytest.mark.parametrize(
    "data",
    [Evil(), {"a": Evil()}, np.zeros(3), np.dtype("O"), io.BytesIO, Configuration()],
    ids=lambda thing: type(thing).__name__,  # workers of pytest-xdist must agree on names
)
def test_other_pickles_are_refused(tmp_path, data, capsys):
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps(data))
    with pytest.raises(BenchmarkError, match="is no pickle of plain data"):
        read_plain(path)
    assert capsys.readouterr().out == ""
    path.write_bytes(b"no pickle")
    with pytest.raises(BenchmarkError, match="is no pickle of plain data"):
        read_plain(path)


@pytest.mark.parametrize("kind", [RandomForestRegressor, ExtraTreesRegressor])
@pytest.mark.parametrize("outputs", [1, 4])
def test_forests_as_arrays_predict_the_same(kind, outputs):
    rng = np.random.default_rng(0)
    X, y = rng.random((80, 3)), rng.random((80, outputs))
    forest = kind(7, random_state=0).fit(X, y if outputs > 1 else y[:, 0])
    arrays = _net_converter.arrays(forest, "f")
    trees = Trees({part: arrays[f"f_{part}"] for part in PARTS}, 3, "here")
    asked = np.vstack([rng.random((50, 3)), X[:5]])
    expected = forest.predict(asked).reshape(len(asked), -1)
    assert np.stack([trees.predict(row) for row in asked]) == pytest.approx(expected, rel=1e-6)


def test_the_converter_is_written_for_old_pythons():
    source = Path(_net_converter.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"pickle", "sys", "numpy"}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))


def test_a_tree_by_hand():
    arrays = {
        "roots": [0, 3], "feature": [1, -1, -1, -1], "threshold": [0.5, 0, 0, 0],
        "left": [1, 0, 1, 2], "right": [2, 0, 0, 0], "values": [[1.0], [3.0], [10.0]],
    }  # fmt: skip
    trees = Trees(arrays, 2, "here")
    assert trees.predict(np.array([9.0, 0.5])).tolist() == [5.5]  # a value equal to the threshold goes left
    assert trees.predict(np.array([9.0, 0.6])).tolist() == [6.5]
    assert trees.predict(np.array([9.0, 0.5 + 1e-9])).tolist() == [5.5]  # equal in single precision


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"left": [0, 0, 1]}, "child does not stand below"),  # would walk in a circle
        ({"right": [9, 0, 0]}, "child does not stand below"),
        ({"roots": [3]}, "child does not stand below"),
        ({"roots": []}, "no tree"),
        ({"feature": [2, -1, -1]}, "beyond the 2 columns"),
        ({"threshold": [np.nan, 0, 0]}, "no finite threshold"),
        ({"left": [1, 0, 2]}, "a leaf has no value"),
        ({"values": [[1.0], [np.inf]]}, "a leaf has no value"),
        ({"right": [2, 0]}, "different lengths"),
    ],
)
def test_arrays_that_are_no_forest_are_refused(change, message):
    arrays = {
        "roots": [0], "feature": [1, -1, -1], "threshold": [0.5, 0, 0], "left": [1, 0, 1], "right": [2, 0, 0],
        "values": [[1.0], [3.0]],
    }  # fmt: skip
    Trees(arrays, 2, "here")
    with pytest.raises(BenchmarkError, match=message):
        Trees(arrays | change, 2, "here")


def fcnet_config(**changes):
    return Configuration({name: values[0] for name, values in LISTS.items()} | changes)


def test_hdf5_of_fcnet(tmp_path):
    h5py = pytest.importorskip("h5py", reason='h5py is not installed: pip install "luthier[bench]"')
    path = tmp_path / "fcnet_protein_structure_data.hdf5"
    rng = np.random.default_rng(0)
    valid, test, runtime = rng.random((4, 100)), rng.random(4), rng.random(4)
    config = fcnet_config(init_lr=0.0005, dropout_2=0.3, n_units_1=512)
    name = (
        '{"activation_fn_1": "relu", "activation_fn_2": "relu", "batch_size": 8, "dropout_1": 0.0, "dropout_2": 0.3, '
        '"init_lr": 0.0005, "lr_schedule": "cosine", "n_units_1": 512, "n_units_2": 16}'
    )
    assert json.loads(name) == config
    with h5py.File(path, "w") as file:
        for part, data in (("valid_mse", valid), ("final_test_error", test), ("runtime", runtime)):
            file.create_dataset(f"{name}/{part}", data=data)
    found = Hdf5(path).training(config)
    assert [part.tolist() for part in found] == [valid.tolist(), test.tolist(), runtime.tolist()]
    with pytest.raises(BenchmarkError, match=r"has no group .*Fetch the complete file"):
        Hdf5(path).training(fcnet_config())
    path.write_bytes(b"no such file")
    with pytest.raises(BenchmarkError, match="is no HDF5 file"):
        Hdf5(path)


def test_hdf5_without_h5py(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtra) as caught:
        Hdf5(tmp_path / "a.hdf5")
    assert str(caught.value) == ('the original file of FCNet needs h5py. Install it with: pip install "luthier[bench]"')
