"""`Store`: the interface between an index and its storage, SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from munjang.errors import StoreError
from munjang.search.documents import Document, DocumentId, Entry
from munjang.search.filters import Filter
from munjang.search.settings import IndexSettings

TRANSACTION = 1000  # maximum number of documents written in one transaction


def damaged(location: str, error: BaseException) -> StoreError:
    """Create the error for a damaged value in a store."""
    return StoreError(
        f"The index {location} is damaged ({type(error).__name__}: {error!s:.200}); "
        "`munjang index check` reports what can be saved."
    )


def check_form(document: Document) -> Document:
    """Return a document that was read from a store; raise `ValueError` for values of wrong types."""
    texts = document.fields.values() if isinstance(document.fields, dict) else [None]
    if not all(isinstance(text, str) for text in texts) or not isinstance(document.metadata, dict):
        raise ValueError(f"document {document.id!r} has values of wrong types")
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The changes of one atomic transaction.

    Attributes:
        put: entries to write; each replaces the document with the same id.
        delete: ids to delete; unknown ids are ignored.
        new: raise an error for an entry whose id exists already, instead of replacing the document.
        settings: the settings that the entries were prepared with; `None` skips the comparison.
    """

    put: Sequence[Entry] = ()
    delete: Sequence[DocumentId] = ()
    new: bool = False
    settings: IndexSettings | None = None


class Match(NamedTuple):
    """The number of a passage in the store, and its score."""

    passage: int
    score: float


class Found(NamedTuple):
    """The location of a passage: document, field, and start and end offset."""

    document: DocumentId
    field: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """The data of `munjang index info`: counts, bytes by part, and details of the store."""

    documents: int
    passages: int
    vectors: int
    generation: int
    bytes: Mapping[str, int]
    details: Mapping[str, str]


class Reader(Protocol):
    """Reads from one snapshot of a store; later writes are not visible."""

    @property
    def settings(self) -> IndexSettings | None:
        """The settings of the index in the snapshot; ``None`` before `Store.create`."""
        ...

    def get(self, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Document]:
        """Return the documents with these ids; unknown ids are left out."""
        ...

    def digests(self, ids: Sequence[DocumentId]) -> Mapping[DocumentId, bytes]:
        """Return the digests of the documents with these ids; unknown ids are left out."""
        ...

    def documents(self, where: Filter | None = None) -> Iterator[Document]:
        """Yield the documents in order of first insertion, without keeping all in memory."""
        ...

    def salvage(self) -> Iterator[tuple[Document, bytes] | None]:
        """Yield each document with its digest; ``None`` for an unreadable document."""
        ...

    def count(self, where: Filter | None = None) -> int:
        """Count the documents that match a filter, or all documents."""
        ...

    def semantic(
        self, vector: NDArray[np.float32], limit: int, where: Filter | None = None, *, exact: bool = False
    ) -> Sequence[Match]:
        """Return the passages nearest to a vector ``[d]``, best first; ``exact`` disables approximation."""
        ...

    def lexical(self, words: Sequence[str], limit: int, where: Filter | None = None) -> Sequence[Match]:
        """Return the passages that contain any of the words, best first; a higher score is better."""
        ...

    def find(self, passages: Sequence[int]) -> Mapping[int, Found]:
        """Return the locations of passages by passage number."""
        ...


class Store(Protocol):
    """The storage of one index. Many processes may read while one process writes.

    Every method raises `StoreError` when the storage can't be read or written (full disk, read-only, lost
    connection, newer version); `StoreBusyError` when another process keeps the write lock for too long.
    """

    @property
    def settings(self) -> IndexSettings | None:
        """The settings of the index; ``None`` before `create`."""
        ...

    def create(self, settings: IndexSettings) -> None:
        """Create an index; no effect if it exists with these settings, else raise `IndexMismatchError`."""
        ...

    def snapshot(self) -> AbstractContextManager[Reader]:
        """Return a context manager with a reader of one snapshot."""
        ...

    def write(self, changes: Changes) -> int:
        """Write the changes atomically and durably; return the number of documents deleted.

        Raises `InputError` with the ids of ``new`` entries that exist already, and `IndexMismatchError` if
        the index has other settings than ``changes.settings``, since another process migrated it.
        """
        ...

    def unstaged(self, target: IndexSettings, limit: int) -> Sequence[Document]:
        """Return documents not yet staged in the migration to ``target``; the first call starts it."""
        ...

    def stage(self, target: IndexSettings, entries: Sequence[Entry]) -> None:
        """Stage prepared entries of the migration, invisible to searches until `switch`.

        A later `write` of a document deletes its staged entry.
        """
        ...

    def switch(self, target: IndexSettings) -> bool:
        """Activate the staged entries atomically; return false and do nothing if documents are unstaged."""
        ...

    def abandon(self) -> None:
        """Delete a started migration."""
        ...

    def rebuild(self) -> None:
        """Rebuild all derived data, and free the space of deleted data."""
        ...

    def check(self) -> Sequence[str]:
        """Return a line for each problem; empty without problems."""
        ...

    def info(self) -> StoreInfo:
        """Return counts, sizes and details of the store."""
        ...

    def close(self) -> None:
        """Close the store; closing twice is not an error."""
        ...
