"""TFRecord files without TensorFlow: a frame is length, its checksum, content, its checksum."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from luthier.base.errors import BenchmarkError

_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), bits reversed
_MASK = 0xA282EAD8  # what the format adds, so that a checksum of a checksum is not special
_BATCH = 4096  # frames whose checksums are computed together: the loop over bytes then costs little for each
_LARGEST = 1 << 24  # bytes of a frame; a longer one is taken for a damaged length, before its content is read


def read_frames(path: Path) -> Iterator[bytes]:
    """The contents of a file's frames, in order, both checksums of each verified.

    Raises:
        BenchmarkError: a frame is cut off or damaged; says near which byte.

    Source: the format as TensorFlow documents it ("TFRecords format details").
    Cost: some microseconds for each frame of a few hundred bytes; memory for a batch of frames.
    """
    with path.open("rb") as file:
        while frames := _batch(file, path):
            yield from frames


def _batch(file: BinaryIO, path: Path) -> list[bytes]:
    """The next frames, none at the end of the file."""
    start, cut = file.tell(), False
    heads: list[bytes] = []
    frames: list[bytes] = []
    sums: list[bytes] = []
    while len(frames) < _BATCH and (head := file.read(12)):
        heads.append(head[:8])
        length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else _LARGEST + 1
        body = file.read(length + 4) if length <= _LARGEST else b""
        sums.append(head[8:])
        cut = len(body) < length + 4
        if cut:
            break
        frames.append(body[:length])
        sums.append(body[length:])
    _verify(heads, sums[::2], f"{path}: the length of a frame after byte {start} is damaged, or it is no TFRecord file")
    if cut:
        raise BenchmarkError(f"{path} ends within a frame. Fetch the file again.")
    _verify(frames, sums[1::2], f"{path}: the content of a frame after byte {start} is damaged")
    return frames


def _verify(contents: Sequence[bytes], sums: Sequence[bytes], wrong: str) -> None:
    expected = [struct.unpack("<I", one)[0] if len(one) == 4 else -1 for one in sums]
    if (masked_crc(contents) != np.array(expected, dtype=np.int64)).any():
        raise BenchmarkError(f"{wrong}. Fetch the file again.")


def masked_crc(contents: Sequence[bytes]) -> NDArray[np.uint32]:
    """Masked CRC-32C of each of several contents, computed byte by byte for all of them at once."""
    lengths = np.array([len(content) for content in contents], dtype=np.int64)
    width = int(lengths.max(initial=0))
    block = np.zeros((width, len(contents)), dtype=np.uint8)
    for place, content in enumerate(contents):
        block[: len(content), place] = np.frombuffer(content, dtype=np.uint8)
    crc = np.full(len(contents), 0xFFFFFFFF, dtype=np.uint32)
    for position in range(width):
        after = _TABLE[(crc ^ block[position]) & 0xFF] ^ (crc >> np.uint32(8))
        crc = np.where(position < lengths, after, crc)
    crc = ~crc
    turned = (crc >> np.uint32(15)) | (crc << np.uint32(17))
    return turned + np.uint32(_MASK)  # modulo 2 ** 32, as the format has it


def _table() -> NDArray[np.uint32]:
    rows = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        rows = np.where(rows & 1, (rows >> np.uint32(1)) ^ np.uint32(_POLYNOMIAL), rows >> np.uint32(1))
    return rows


_TABLE = _table()
