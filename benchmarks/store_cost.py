"""The cost of storing documents without encoding: bytes per part, seconds to write, seconds to search.

``python -m benchmarks.store_cost --documents 100000 --postgres URL`` measures an index in one file and one in
PostgreSQL. The documents are sentences of made-up Korean words with random vectors, clustered like those of
real texts, so no model is needed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from munjang.search.documents import Document, Entry, Passage
from munjang.search.settings import IndexSettings
from munjang.search.stores.base import Changes, Reader, Store
from munjang.search.stores.postgres.store import open_postgres
from munjang.search.stores.sqlite.store import open_sqlite
from munjang.search.text.analysis import HangulBigrams

DIMENSION = 384
BATCH = 1000
SEARCHES = 50
CENTRES = 1000
WORDS = 14  # per sentence, of two or three syllables: 49 characters, 126 bytes on average
SETTINGS = IndexSettings(
    model="none",
    revision=None,
    dimension=DIMENSION,
    pooling="mean",
    prompts={"query": "", "document": ""},
    normalize=True,
    similarity="cosine",
    max_seq_length=512,
    fields=("text",),
    embedded=("text",),
    analyzer=HangulBigrams.name,
    chunk_tokens=256,
    chunk_overlap=32,
    probe=(),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--postgres", help="URL of a database; a schema of its own is made in it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report("one file", open_sqlite(Path(folder, "cost.munjang"), create=True), arguments.documents)
    if arguments.postgres:
        store = open_postgres(arguments.postgres, schema=f"cost_{time.time_ns()}", exact_below=0)
        report("PostgreSQL", store, arguments.documents)


def report(name: str, store: Store, documents: int) -> None:
    """Fill a store, search it, and print the costs."""
    store.create(SETTINGS)
    seconds = 0.0
    for batch in batches(documents):
        begin = time.perf_counter()
        store.write(Changes(put=batch))
        seconds += time.perf_counter() - begin
    print(f"{name}: {documents} documents")
    print(f"  writing: {1e3 * seconds / documents:.2f} ms a document")
    print(f"  rebuilding: {timed(store.rebuild):.1f} s")
    for part, size in store.info().bytes.items():
        print(f"  {part}: {size / documents:.0f} bytes a document")
    generator = np.random.default_rng(1)
    queries = vectors(SEARCHES, generator)
    words = [HangulBigrams().words(sentence(generator, 3)) for _ in queries]
    with store.snapshot() as reader:
        for what, search in searches(reader, queries, words).items():
            search(0)  # warm up: the first read of pages is not part of a search
            took = [timed(partial(search, place)) for place in range(SEARCHES)]
            print(f"  {what}: {1e3 * statistics.median(took):.1f} ms (median of {SEARCHES})")
    store.close()


def searches(
    reader: Reader, queries: np.ndarray, words: Sequence[list[str]]
) -> dict[str, Callable[[int], object]]:
    return {
        "by meaning": lambda place: reader.semantic(queries[place], 10),
        "by meaning, exactly": lambda place: reader.semantic(queries[place], 10, exact=True),
        "by word": lambda place: reader.lexical(words[place], 10),
    }


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def batches(documents: int) -> Iterator[list[Entry]]:
    generator = np.random.default_rng(0)
    for first in range(0, documents, BATCH):
        count = min(BATCH, documents - first)
        made = vectors(count, generator)
        yield [entry(first + place, sentence(generator, WORDS), made[place]) for place in range(count)]


def entry(number: int, text: str, vector: np.ndarray) -> Entry:
    document = Document(id=number, fields={"text": text}, metadata={"lang": "ko", "year": 2000 + number % 25})
    words = HangulBigrams().words(text)
    passage = Passage(field="text", start=0, end=len(text), words=words, vector=vector)
    return Entry(document=document, digest=number.to_bytes(32, "big"), passages=[passage])


def sentence(generator: np.random.Generator, words: int) -> str:
    """Return words of which few are frequent and most are rare."""
    numbers = np.minimum(generator.zipf(1.3, words), 50_000)
    return " ".join(word(int(number)) for number in numbers)


def word(number: int) -> str:
    generator = np.random.default_rng(number)
    return "".join(chr(0xAC00 + int(one)) for one in generator.integers(0, 11_172, 2 + number % 2))


def vectors(count: int, generator: np.random.Generator) -> np.ndarray:
    centres = np.random.default_rng(2).standard_normal((CENTRES, DIMENSION))
    made = centres[generator.integers(0, CENTRES, count)] + generator.standard_normal((count, DIMENSION))
    found: np.ndarray = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return found


if __name__ == "__main__":
    main()
