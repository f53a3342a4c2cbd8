"""Approximate search in large indexes: a graph of neighbours (extra ``ann``), derived like the matrix.

The graph is HNSW (Malkov and Yashunin 2016, https://arxiv.org/abs/1603.09320), built by usearch. It only
proposes candidate rows; the matrix computes their exact scores. Its recall is measured when it is built and
is stored with it.

The file has usearch's format, followed by a JSON trailer and 28 bytes: magic, length of the graph, length of
the trailer, CRC-32 of everything before. The whole file is checked when it is opened, since a damaged graph
would return arbitrary rows.
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
from munjang.search.vectors.file import StaleFileError, Stamp, remove_abandoned
from munjang.search.vectors.rows import Segment

_MAGIC = b"MJGRAPH1"
_END = struct.Struct("<8sQQI")
_CONNECTIVITY = 16
_BUILD_EFFORT = 64  # candidates while building (ef_construction); the time is proportional to it
_EFFORT = 128  # minimum number of candidates while searching (ef)
_BATCH = 4096


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """The source of a graph, and its recall.

    Attributes:
        stamp: the database and its generation.
        count: number of rows.
        last: the highest number of a row.
        recall: the mean share of the true ten nearest rows among the ten rows that a search with the graph
            finds, measured with slightly perturbed stored rows as queries.
    """

    stamp: Stamp
    count: int
    last: int
    recall: float


def is_installed() -> bool:
    """Return whether the extra ``ann`` is installed."""
    try:
        _usearch()
    except MissingExtraError:
        return False
    return True


class Graph:
    """A searchable graph; ``facts`` describe its source."""

    def __init__(self, index: Any, facts: GraphFacts, content: mmap.mmap | None = None) -> None:
        self._index = index
        self._content = content  # usearch reads from it but holds no reference to it
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
        """Build a graph of the rows of segments. The graph must fit in memory, the segments need not.

        ``advance`` is called with the number of rows added. Takes minutes for a million rows. Raises
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
        """Open a file; raise `StaleFileError` if it is damaged, `MissingExtraError` without usearch."""
        index_class = _usearch()
        try:
            if not path.is_file() and path.exists():
                raise StaleFileError("is no regular file")
            with path.open("rb") as file:
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise StaleFileError(f"can't be opened: {error}") from error
        length, facts = _trailer(content)
        index = index_class(ndim=facts.stamp.dimension, metric="ip", dtype="f16")
        try:
            index.view(memoryview(content)[:length])
        except (RuntimeError, ValueError) as error:  # a file of an unsupported version of usearch
            raise StaleFileError(f"is not read by this usearch: {error}") from error
        if len(index) != facts.count:
            raise StaleFileError(f"has {len(index)} rows, not {facts.count}")
        return cls(index, facts, content)

    def save(self, path: Path) -> None:
        """Write the file atomically; raise `OSError` if that fails."""
        remove_abandoned(path)
        temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
        try:
            temporary.touch(exist_ok=False)  # usearch raises no OSError
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
        """Return the sorted numbers of rows near a vector ``[d]``, if possible several times ``limit``."""
        keys = self._index.search(vector, max(_EFFORT, 4 * limit)).keys
        return np.sort(np.asarray(keys).astype(np.int64))


def _trailer(content: mmap.mmap) -> tuple[int, GraphFacts]:
    """Check a file; return the length of its graph, and its facts."""
    if len(content) < _END.size:
        raise StaleFileError("is cut short")
    magic, length, trailer, checksum = _END.unpack_from(content, len(content) - _END.size)
    if magic != _MAGIC or length + trailer + _END.size != len(content):
        raise StaleFileError("is cut short, or is not a graph")
    view = memoryview(content)
    computed = 0
    for start in range(0, length + trailer, 2**20):
        computed = zlib.crc32(view[start : min(start + 2**20, length + trailer)], computed)
    if computed != checksum:
        raise StaleFileError("is damaged")
    try:
        values = json.loads(bytes(view[length : length + trailer]))
        return length, GraphFacts(**{**values, "stamp": Stamp(**values["stamp"])})
    except (KeyError, TypeError, ValueError) as error:
        raise StaleFileError(f"has an invalid trailer: {error!r}") from error


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
