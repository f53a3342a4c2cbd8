"""Stores to test, and small documents whose words and vectors are computed from their text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.search.documents import Document, DocumentId, Entry, Passage
from munjang.search.settings import IndexSettings
from munjang.search.stores.base import Store
from support.postgres import new_schema, server_url

__all__ = [
    "DIMENSION",
    "SETTINGS",
    "STORES",
    "StoreKind",
    "StorePlace",
    "document",
    "entry",
    "fill",
    "other_settings",
    "similarities",
    "vector_of",
]

DIMENSION = 8
SETTINGS = IndexSettings(
    model="tiny",
    revision=None,
    dimension=DIMENSION,
    pooling="mean",
    prompts={"query": "ask: ", "document": ""},
    normalize=True,
    similarity="cosine",
    max_seq_length=64,
    fields=("text", "note"),
    embedded=("text",),
    analyzer="split/1",
    chunk_tokens=32,
    chunk_overlap=4,
    probe=(0.25, -0.5, 0.75),
)


@dataclass(frozen=True)
class StorePlace:
    """A location for one index. ``open`` returns a new store; with ``create=False`` the index must exist."""

    open: Callable[..., Store]  # (*, create: bool = True, busy_timeout: float = 30.0) -> Store


@dataclass(frozen=True)
class StoreKind:
    """A kind of store that must pass the contract tests: ``place(folder)`` returns a new, empty location."""

    name: str
    place: Callable[[Path], StorePlace]
    marks: tuple[Any, ...] = field(default=())


def _sqlite_place(folder: Path) -> StorePlace:
    from munjang.search.stores.sqlite.store import open_sqlite

    def open_here(*, create: bool = True, busy_timeout: float = 30.0) -> Store:
        return open_sqlite(folder / "index.munjang", create=create, busy_timeout=busy_timeout)

    return StorePlace(open_here)


def _postgres_place(folder: Path) -> StorePlace:
    from munjang.search.stores.postgres.store import open_postgres

    url = new_schema(server_url())

    def open_here(*, create: bool = True, busy_timeout: float = 30.0) -> Store:
        return open_postgres(url, create=create, busy_timeout=busy_timeout)

    return StorePlace(open_here)


# A new kind of store adds a line here; the contract tests and the stateful test run on it.
STORES = [StoreKind("sqlite", _sqlite_place), StoreKind("postgres", _postgres_place)]


def vector_of(text: str, dimension: int = DIMENSION) -> NDArray[np.float32]:
    """Return a unit vector ``[d]`` that depends only on the text."""
    seed = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "little")
    drawn = np.random.default_rng(seed).standard_normal(dimension)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def document(
    identifier: DocumentId,
    text: str = "",
    *,
    note: str = "",
    metadata: Mapping[str, Any] | None = None,
    source: str | None = None,
) -> Document:
    """Return a document with the fields of `SETTINGS`."""
    return Document(
        id=identifier, fields={"text": text, "note": note}, metadata=metadata or {}, source=source
    )


def entry(document: Document, settings: IndexSettings = SETTINGS, *, size: int = 3) -> Entry:
    """Return a prepared document: passages of ``size`` words, split at spaces, vectors from the text."""
    passages = [
        Passage(
            field=name,
            start=start,
            end=end,
            words=text[start:end].split(),
            vector=vector_of(text[start:end], settings.dimension) if name in settings.embedded else None,
        )
        for name, text in document.fields.items()
        for start, end in _pieces(text, size)
    ]
    digest = hashlib.sha256(repr((document.fields, document.metadata)).encode("utf-8", "replace")).digest()
    return Entry(document=document, digest=digest, passages=passages)


def _pieces(text: str, size: int) -> Iterator[tuple[int, int]]:
    starts = [at for at in range(len(text)) if text[at] != " " and (at == 0 or text[at - 1] == " ")]
    for first in range(0, len(starts), size):
        following = starts[first + size] if first + size < len(starts) else len(text)
        yield starts[first], starts[first] + len(text[starts[first] : following].rstrip(" "))


@contextmanager
def fill(place: StorePlace, documents: Iterable[Document] = ()) -> Iterator[Store]:
    """Return an open store with documents."""
    from munjang.search.stores.base import Changes

    store = place.open()
    try:
        store.create(SETTINGS)
        if put := [entry(one) for one in documents]:
            store.write(Changes(put=put))
        yield store
    finally:
        store.close()


def similarities(documents: Iterable[Document], query: NDArray[np.float32]) -> list[float]:
    """Return the expected similarities of an exact search of all passages, best first."""
    settings = other_settings(dimension=len(query))
    passages = [one for each in documents for one in entry(each, settings).passages]
    vectors = [one.vector for one in passages if one.vector is not None]
    return sorted((float(vector.astype(np.float64) @ query) for vector in vectors), reverse=True)


def other_settings(**changes: Any) -> IndexSettings:
    """Return `SETTINGS` with some of them changed."""
    return replace(SETTINGS, **changes)
