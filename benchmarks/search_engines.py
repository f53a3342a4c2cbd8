"""The vector search engines that are measured, each in its own process.

``python -m benchmarks.search_engines build ENGINE VECTORS PLACE`` creates the engine's file from an ``.npy``
file, and ``serve ENGINE QUERIES PLACE`` opens it and answers: each line of the input is a number of seconds
to search, each line of the output is JSON. All engines return the ten most similar vectors by cosine.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import cores

__all__ = ["ENGINES", "LIMIT", "MUNJANG", "MUNJANG_GRAPH"]

LIMIT = 10
MUNJANG = "munjang"
MUNJANG_GRAPH = "munjang, graph"
_FEWEST = 5  # searches per turn


class Engine(Protocol):
    """A search engine for unit vectors ``[n, d]`` in a file or folder."""

    def build(self, vectors: NDArray[np.float32], place: Path) -> None:
        """Create the files in a folder."""

    def open(self, place: Path) -> None:
        """Open them for searching."""

    def search(self, query: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the row numbers, best first."""
        ...


class Munjang:
    """This package's matrix; ``graph`` makes it use an approximate index for any number of rows."""

    def __init__(self, *, graph: bool = False) -> None:
        self._graph = graph
        self._matrix: Any = None

    def _make(self, place: Path, dimension: int) -> Any:
        from munjang.search.vectors.matrix import VectorMatrix

        return VectorMatrix(
            place / "vectors",
            identity="benchmark",
            dimension=dimension,
            similarity="cosine",
            approximate_from=1 if self._graph else sys.maxsize,
        )

    def build(self, vectors: NDArray[np.float32], place: Path) -> None:
        matrix = self._make(place, vectors.shape[1])
        matrix.update(((row, vector.tobytes()) for row, vector in enumerate(vectors)), [], 1)
        assert matrix.save()
        if self._graph:
            print(json.dumps({"recall": matrix.build_graph().recall}), flush=True)

    def open(self, place: Path) -> None:
        dimension = int((place / "dimension").read_text(encoding="ascii"))
        self._matrix = self._make(place, dimension)
        assert not self._graph or self._matrix.graph is not None

    def search(self, query: NDArray[np.float32]) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = self._matrix.search(query, LIMIT)[0]
        return rows

    def read(self, threads: int) -> None:
        """Read once what a search reads of every row, and compute only its maximum."""
        segments = self._matrix._rows.segments

        def read(first: int) -> None:
            for segment in segments[first::threads]:
                segment.codes.reshape(-1).view(np.uint64).max()

        if threads == 1:
            read(0)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(read, range(threads)))


class Faiss:
    """FAISS: ``Flat``, which compares with every row, or the graph ``HNSW32``."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._index: Any = None

    def build(self, vectors: NDArray[np.float32], place: Path) -> None:
        import faiss

        index = faiss.index_factory(vectors.shape[1], self._kind, faiss.METRIC_INNER_PRODUCT)
        for start in range(0, len(vectors), 2**15):
            index.add(np.ascontiguousarray(vectors[start : start + 2**15]))
        faiss.write_index(index, str(place / "index"))

    def open(self, place: Path) -> None:
        import faiss

        self._index = faiss.read_index(str(place / "index"))
        if self._kind != "Flat":
            self._index.hnsw.efSearch = 128  # as many candidates as munjang's graph

    def search(self, query: NDArray[np.float32]) -> NDArray[np.int64]:
        rows: NDArray[np.int64] = self._index.search(query[None], LIMIT)[1][0]
        return rows


class SqliteVec:
    """sqlite-vec: a table of SQLite that compares with every row."""

    def __init__(self) -> None:
        self._connection: Any = None

    def open(self, place: Path) -> None:
        import apsw
        import sqlite_vec

        self._connection = apsw.Connection(str(place / "index.db"))
        self._connection.enable_load_extension(True)
        self._connection.load_extension(sqlite_vec.loadable_path())

    def build(self, vectors: NDArray[np.float32], place: Path) -> None:
        self.open(place)
        columns = f"embedding float[{vectors.shape[1]}] distance_metric=cosine"
        self._connection.execute(f"CREATE VIRTUAL TABLE vectors USING vec0({columns})")
        with self._connection:
            rows = ((row, vector.tobytes()) for row, vector in enumerate(vectors))
            self._connection.executemany("INSERT INTO vectors(rowid, embedding) VALUES (?, ?)", rows)
        self._connection.close()

    def search(self, query: NDArray[np.float32]) -> NDArray[np.int64]:
        wanted = "SELECT rowid FROM vectors WHERE embedding MATCH ? AND k = ? ORDER BY distance"
        rows = self._connection.execute(wanted, (query.tobytes(), LIMIT))
        return np.array([row for (row,) in rows], dtype=np.int64)


ENGINES: Mapping[str, Callable[[], Engine]] = {
    MUNJANG: Munjang,
    "FAISS Flat": lambda: Faiss("Flat"),
    "sqlite-vec": SqliteVec,
    MUNJANG_GRAPH: lambda: Munjang(graph=True),
    "FAISS HNSW": lambda: Faiss("HNSW32"),
}


def _serve(engine: Engine, queries: NDArray[np.float32], place: Path) -> None:
    start = time.perf_counter()
    engine.open(place)
    found = [engine.search(queries[0]).tolist()]
    print(json.dumps({"open": time.perf_counter() - start}), flush=True)
    found = [engine.search(query).tolist() for query in queries[:_FEWEST]]
    for line in sys.stdin:
        turn = _turn(engine, queries, float(line), found)
        print(json.dumps({**turn, "found": found, **_memory()}), flush=True)


def _turn(
    engine: Engine, queries: NDArray[np.float32], budget: float, found: list[list[int]]
) -> dict[str, Any]:
    """Search for some seconds, alternating with reading the same data on one core and on all cores."""
    begun, seconds, reading = time.perf_counter(), list[float](), list[list[float]]()
    while len(seconds) < _FEWEST or (time.perf_counter() - begun < budget and len(seconds) < len(queries)):
        start = time.perf_counter()
        rows = engine.search(queries[len(seconds)])
        seconds.append(time.perf_counter() - start)
        if len(seconds) > len(found):
            found.append(rows.tolist())
        if isinstance(engine, Munjang):
            reading.append([_timed(engine.read, threads) for threads in sorted({1, cores()})])
    return {"seconds": seconds, "reading": reading}


def _timed(run: Callable[[int], None], argument: int) -> float:
    start = time.perf_counter()
    run(argument)
    return time.perf_counter() - start


def _memory() -> dict[str, float]:
    """Return the MiB of the process: private memory, and mapped files, which the system can evict."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {
        "own": int(fields["RssAnon"].split()[0]) / 1024,
        "mapped": int(fields["RssFile"].split()[0]) / 1024,
    }


def _main() -> None:
    what, name, file, folder = sys.argv[1:]
    engine, vectors, place = ENGINES[name](), np.load(file, mmap_mode="r"), Path(folder)
    if what == "serve":
        _serve(engine, np.array(vectors), place)
        return
    (place / "dimension").write_text(str(vectors.shape[1]), encoding="ascii")
    start = time.perf_counter()
    engine.build(vectors, place)
    print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    _main()
