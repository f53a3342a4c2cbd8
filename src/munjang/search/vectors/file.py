"""The file that segments are kept in: derived from a database, stamped with it, read through memory maps.

::

    prefix     8 bytes of magic, the version, where the directory is, its length, its CRC-32, the prefix's own
    segments   each: numbers, scales, errors, leans, center, weights; codes; vectors, at multiples of 64
    directory  JSON: the database's identity and generation, dimension, similarity, and for each segment where
               it is, its rows, its reach, and the CRC-32 of its small parts, of its codes and of its vectors

Opening checks everything, but for the codes and vectors of a file beyond 64 MiB, which would have to be read
whole; `VectorFile.damage` checks these too. The float32 rows are in the file although the database has them:
a search reads a few hundred of them at places all over the index, which here are as many reads, and there
walks through a tree.
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
from munjang.search.vectors.segment import Segment

__all__ = ["Stamp", "UnfitError", "VectorFile", "remove_left_overs", "write_segments"]

_MAGIC = b"MJVECTOR"
_VERSION = 1
_PREFIX = struct.Struct("<8sIQQI")
_ALIGNMENT = 64
_START = 64  # of the first segment
_CHECKED_WHOLE = 64 << 20  # bytes; a checksum of so many takes some 30 ms
_ABANDONED = 3600  # seconds


class UnfitError(Exception):
    """A file is not there, is damaged, or belongs to something else; the text says which."""


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
    """An opened file: ``stamp`` and ``segments``, whose arrays are views of the file.

    Raises `UnfitError` when it can't be opened or is not whole.
    """

    def __init__(self, path: Path) -> None:
        try:
            if not path.is_file() and path.exists():
                raise UnfitError("is no regular file")
            with path.open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: it is empty
            raise UnfitError(f"can't be opened: {error}") from error
        directory = self._directory()
        try:
            self.stamp = Stamp(**directory["stamp"])
            self._entries = [_entry(values) for values in directory["segments"]]
            self.segments = [self._segment(entry) for entry in self._entries]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UnfitError(f"has a directory that makes no sense: {error!r}") from error
        if len(self._bytes) <= _CHECKED_WHOLE and (damage := next(self.damage(), None)):
            raise UnfitError(f"is damaged: {damage}")

    def _directory(self) -> dict[str, Any]:
        if len(self._bytes) < _START:
            raise UnfitError("is cut short")
        magic, version, offset, length, checksum = _PREFIX.unpack_from(self._bytes)
        (own,) = struct.unpack_from("<I", self._bytes, _PREFIX.size)
        if magic != _MAGIC or own != zlib.crc32(self._bytes[: _PREFIX.size]):
            raise UnfitError("has no valid beginning")
        if version != _VERSION:
            raise UnfitError(f"is of version {version}, not {_VERSION}")
        if offset + length != len(self._bytes):
            raise UnfitError("is cut short or too long")
        content = self._bytes[offset:]
        if zlib.crc32(content) != checksum:
            raise UnfitError("has a damaged directory")
        directory: dict[str, Any] = json.loads(content)
        return directory

    def _segment(self, entry: _Entry) -> Segment:
        parts: list[NDArray[Any]] = [
            self._part(entry, *place) for place in _layout(entry.count, self.stamp.dimension)
        ]
        *small, codes, vectors = parts
        if _checksum(small) != entry.checksums[0]:
            raise UnfitError(f"has a damaged segment at {entry.offset}")
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
    remove_left_overs(path)
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


def remove_left_overs(path: Path) -> None:
    """Delete temporary files of killed writers of ``path``, which can be large.

    A writer counts as killed if its file was last modified an hour ago or earlier.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()


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
    places, offset = [], 0
    for shape, kind in [*small, (rows, "|i1"), (rows, "<f4")]:
        places.append((offset, shape, kind))
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        offset += size + -size % _ALIGNMENT
    return places


def _checksum(parts: Iterable[NDArray[Any]]) -> int:
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(np.ascontiguousarray(part).data, checksum)
    return checksum


def _entry(values: dict[str, Any]) -> _Entry:
    small, codes, vectors = values.pop("checksums")
    return _Entry(**values, checksums=(small, codes, vectors))
