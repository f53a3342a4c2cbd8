"""The file of a vector matrix's segments: derived from a database, stamped with its state, memory-mapped.

::

    prefix     magic (8 bytes), version, offset, length and CRC-32 of the directory, CRC-32 of the prefix
    segments   each: numbers, scales, errors, leans, center, weights; codes; vectors, at multiples of 64
    directory  JSON: the database's identity and generation, dimension, similarity, and for each segment its
               offset, rows, reach, and the CRC-32 of its small parts, of its codes and of its vectors

Opening checks everything, except the codes and vectors of a file of more than 64 MiB, because this would read
the whole file; `VectorFile.damage` checks these too. The file repeats the float32 rows of the database: a
search reads a few hundred rows all over the index, which is one read each here, but a walk through a tree for
each row in the database.
"""

from __future__ import annotations

import contextlib
import glob
import json
import mmap
import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from munjang.checkpoints.files import flush, replacing
from munjang.search.vectors.rows import Segment

_MAGIC = b"MJVECTOR"
_VERSION = 1
_PREFIX = struct.Struct("<8sIQQI")
_ALIGNMENT = 64
_START = 64  # offset of the first segment
_CHECKED_WHOLE = 64 << 20  # bytes; their checksum takes about 30 ms
_ABANDONED = 3600  # seconds


class StaleFileError(Exception):
    """A derived file is missing, damaged, or belongs to another index; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The source of a derived file: the identity of the database, and its generation."""

    identity: str
    generation: int
    dimension: int
    similarity: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """A segment in the directory."""

    offset: int
    count: int
    reach: float
    checksums: tuple[int, int, int]


class VectorFile:
    """An open file: ``stamp`` and ``segments``, whose arrays are views of the file.

    Raises `StaleFileError` if the file can't be opened or is damaged.
    """

    def __init__(self, path: Path) -> None:
        try:
            if not path.is_file() and path.exists():
                raise StaleFileError("is no regular file")
            with path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: an empty file
            raise StaleFileError(f"can't be opened: {error}") from error
        directory = self._directory()
        try:
            self.stamp = Stamp(**directory["stamp"])
            self._entries = [_read_entry(values) for values in directory["segments"]]
            self.segments = [self._segment(entry) for entry in self._entries]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise StaleFileError(f"has an invalid directory: {error!r}") from error
        if len(self._bytes) <= _CHECKED_WHOLE and (damage := next(self.damage(), None)):
            raise StaleFileError(f"is damaged: {damage}")

    def _directory(self) -> dict[str, Any]:
        if len(self._bytes) < _START:
            raise StaleFileError("is cut short")
        magic, version, offset, length, checksum = _PREFIX.unpack_from(self._bytes)
        (own,) = struct.unpack_from("<I", self._bytes, _PREFIX.size)
        if magic != _MAGIC or own != zlib.crc32(self._bytes[: _PREFIX.size]):
            raise StaleFileError("has no valid beginning")
        if version != _VERSION:
            raise StaleFileError(f"is of version {version}, not {_VERSION}")
        if offset + length != len(self._bytes):
            raise StaleFileError("is cut short or too long")
        content = self._bytes[offset:]
        if zlib.crc32(content) != checksum:
            raise StaleFileError("has a damaged directory")
        directory: dict[str, Any] = json.loads(content)
        return directory

    def _segment(self, entry: _Entry) -> Segment:
        parts: list[NDArray[Any]] = [
            self._part(entry, *part) for part in _layout(entry.count, self.stamp.dimension)
        ]
        *small, codes, vectors = parts
        if _checksum(small) != entry.checksums[0]:
            raise StaleFileError(f"has a damaged segment at {entry.offset}")
        numbers, scales, errors, leans, center, weights = small
        return Segment(numbers, center, weights, scales, errors, leans, codes, vectors, entry.reach)

    def _part(self, entry: _Entry, offset: int, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
        count = int(np.prod(shape))
        part = np.frombuffer(self._bytes, np.dtype(kind), count, entry.offset + offset)
        return part.reshape(shape)

    def damage(self) -> Iterator[str]:
        """Read the whole file, and yield a line for each damaged part."""
        for entry, segment in zip(self._entries, self.segments, strict=True):
            parts: dict[str, NDArray[Any]] = {"codes": segment.codes, "vectors": segment.vectors}
            for (name, part), checksum in zip(parts.items(), entry.checksums[1:], strict=True):
                if _checksum([part]) != checksum:
                    yield f"the {name} of the segment at {entry.offset} are damaged"


def write_segments(path: Path, stamp: Stamp, segments: Iterable[Segment]) -> None:
    """Write a file durably, then replace ``path`` atomically; raise `OSError` if that fails."""
    remove_abandoned(path)
    with replacing(path) as file:
        file.seek(_START)
        entries = [_append(file, segment) for segment in segments]
        directory = {"stamp": asdict(stamp), "segments": [asdict(entry) for entry in entries]}
        content = json.dumps(directory).encode()
        prefix = _PREFIX.pack(_MAGIC, _VERSION, file.tell(), len(content), zlib.crc32(content))
        file.write(content)
        file.seek(0)
        file.write(prefix + struct.pack("<I", zlib.crc32(prefix)))
    flush(path.parent)


def remove_abandoned(path: Path) -> None:
    """Delete temporary files of killed writers of ``path``, which can be large.

    A writer counts as killed if its file was last modified an hour ago or earlier.
    """
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_mtime > _ABANDONED:
                temporary.unlink()


def _append(file: BinaryIO, segment: Segment) -> _Entry:
    start = file.tell()
    count, dimension = segment.vectors.shape
    rows: list[NDArray[Any]] = [segment.numbers, segment.scales, segment.errors, segment.leans]
    small = [*rows, segment.center, segment.weights]
    parts: list[NDArray[Any]] = [*small, segment.codes, segment.vectors]
    for part, (offset, _, kind) in zip(parts, _layout(count, dimension), strict=True):
        file.write(bytes(start + offset - file.tell()))
        file.write(np.ascontiguousarray(part, dtype=kind).data)
    file.write(bytes(-file.tell() % _ALIGNMENT))
    checksums = (_checksum(small), _checksum([segment.codes]), _checksum([segment.vectors]))
    return _Entry(start, count, segment.reach, checksums)


def _layout(count: int, dimension: int) -> Sequence[tuple[int, tuple[int, ...], str]]:
    """Return the offset, shape and dtype of each part of a segment."""
    rows = (count, dimension)
    small = [((count,), "<i8"), *[((count,), "<f4")] * 3, *[((dimension,), "<f4")] * 2]
    parts, offset = [], 0
    for shape, kind in [*small, (rows, "|i1"), (rows, "<f4")]:
        parts.append((offset, shape, kind))
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        offset += size + -size % _ALIGNMENT
    return parts


def _checksum(parts: Iterable[NDArray[Any]]) -> int:
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(np.ascontiguousarray(part).data, checksum)
    return checksum


def _read_entry(values: dict[str, Any]) -> _Entry:
    small, codes, vectors = values.pop("checksums")
    return _Entry(**values, checksums=(small, codes, vectors))
