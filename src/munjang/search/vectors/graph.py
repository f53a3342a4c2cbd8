"""Approximate search in large indexes: a graph of neighbours (extra ``ann``), derived like the matrix.

The graph is HNSW (Malkov and Yashunin 2016, https://arxiv.org/abs/1603.09320) as usearch builds it. It only
proposes rows; the matrix scores these in full. What share of the true neighbours it proposes is measured when
it is built and kept with it.

The file is usearch's own, followed by a JSON trailer and 28 bytes: magic, length of the graph, length of the
trailer, CRC-32 of all before. All of it is checked at opening, as a damaged graph would lead anywhere.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.errors import MissingExtraError
from munjang.search.vectors.file import Stamp, UnfitError, remove_left_overs
from munjang.search.vectors.segment import Segment

__all__ = ["Graph", "GraphFacts", "is_there"]

_MAGIC = b"MJGRAPH1"
_END = struct.Struct("<8sQQI")
_CONNECTIVITY = 16
_BUILD_EFFORT = 64  # rows that are kept in sight while building; twice as many take twice as long
_EFFORT = 128  # and, at least, while searching
_BATCH = 4096


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """What a graph was made from, and how good it is.

    Attributes:
        stamp: the database and its generation.
        count: rows.
        last: the highest number of them.
        recall: the mean share of the true ten nearest rows among the ten that it leads to, measured with
            stored rows, moved a little, as queries.
    """

    stamp: Stamp
    count: int
    last: int
    recall: float


def is_there() -> bool:
    """Return whether the extra is installed."""
    try:
        _usearch()
    except MissingExtraError:
        return False
    return True


class Graph:
    """A searchable graph; ``facts`` describe its source."""

    def __init__(self, index: Any, facts: GraphFacts, content: mmap.mmap | None = None) -> None:
        self._index = index
        self._content = content  # usearch reads from it but does not keep it
        self.facts = facts

    @classmethod
    def build(
        cls,
        segments: Sequence[Segment],
        stamp: Stamp,
        *,
        cores: int,
        advance: Callable[[int], None] | None = None,
    ) -> Graph:
        """Put the rows of segments, which need not fit in memory, into a graph, which must.

        ``advance`` is told how many rows were added. Takes minutes for a million rows. Raises
        `MissingExtraError` without usearch.
        """
        index = _new(stamp.dimension)
        for segment in segments:
            rows = np.arange(len(segment.numbers)) if segment.alive is None else np.flatnonzero(segment.alive)
            for start in range(0, len(rows), _BATCH):
                part = rows[start : start + _BATCH]
                index.add(segment.numbers[part].astype(np.uint64), segment.vectors[part], threads=cores)
                if advance is not None:
                    advance(len(part))
        last = max((int(segment.numbers[-1]) for segment in segments), default=0)
        return cls(index, GraphFacts(stamp, len(index), last, recall=0.0))

    @classmethod
    def open(cls, path: Path) -> Graph:
        """Search in a file from now on; raises `UnfitError` when it is not whole, `MissingExtraError`."""
        index_class = _usearch()
        try:
            if not path.is_file() and path.exists():
                raise UnfitError("is no regular file")
            with path.open("rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise UnfitError(f"can't be opened: {error}") from error
        length, facts = _trailer(content)
        index = index_class(ndim=facts.stamp.dimension, metric="ip", dtype="f16")
        try:
            index.view(memoryview(content)[:length])
        except (RuntimeError, ValueError) as error:  # of a version that this usearch does not read
            raise UnfitError(f"is not read by this usearch: {error}") from error
        if len(index) != facts.count:
            raise UnfitError(f"has {len(index)} rows, not {facts.count}")
        return cls(index, facts, content)

    def save(self, path: Path) -> None:
        """Write the file atomically; raise `OSError` if that fails."""
        remove_left_overs(path)
        temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
        try:
            temporary.touch(exist_ok=False)  # usearch's own errors are no OSError
            self._write(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _write(self, path: Path) -> None:
        try:
            self._index.save(str(path))
        except RuntimeError as error:
            raise OSError(f"Can't write '{path}': {error}") from error
        with path.open("r+b") as file:
            checksum = 0
            while block := file.read(2**20):
                checksum = zlib.crc32(block, checksum)
            length = file.tell()
            trailer = json.dumps(asdict(self.facts)).encode()
            file.write(trailer)
            checksum = zlib.crc32(trailer, checksum)
            file.write(_END.pack(_MAGIC, length, len(trailer), checksum))
            file.flush()
            os.fsync(file.fileno())

    def propose(self, vector: NDArray[np.float32], limit: int) -> NDArray[np.int64]:
        """Return numbers, sorted, of rows near a vector ``[d]``: several times ``limit``, if there are."""
        keys = self._index.search(vector, max(_EFFORT, 4 * limit)).keys
        return np.sort(np.asarray(keys).astype(np.int64))


def _trailer(content: mmap.mmap) -> tuple[int, GraphFacts]:
    """Check a file and return the length of its graph, and its facts."""
    if len(content) < _END.size:
        raise UnfitError("is cut short")
    magic, length, trailer, checksum = _END.unpack_from(content, len(content) - _END.size)
    if magic != _MAGIC or length + trailer + _END.size != len(content):
        raise UnfitError("is cut short or no graph")
    view = memoryview(content)
    found = 0
    for start in range(0, length + trailer, 2**20):
        found = zlib.crc32(view[start : min(start + 2**20, length + trailer)], found)
    if found != checksum:
        raise UnfitError("is damaged")
    try:
        values = json.loads(bytes(view[length : length + trailer]))
        return length, GraphFacts(**{**values, "stamp": Stamp(**values["stamp"])})
    except (KeyError, TypeError, ValueError) as error:
        raise UnfitError(f"has a trailer that makes no sense: {error!r}") from error


def _new(dimension: int) -> Any:
    return _usearch()(
        ndim=dimension,
        metric="ip",  # rows are of length one for cosine
        dtype="f16",
        connectivity=_CONNECTIVITY,
        expansion_add=_BUILD_EFFORT,
        expansion_search=_EFFORT,
        enable_key_lookups=False,
    )


def _usearch() -> Any:
    try:
        from usearch.index import Index
    except ImportError as error:
        raise MissingExtraError.of(
            "Approximate search needs usearch, which is not installed", "ann"
        ) from error
    return Index
