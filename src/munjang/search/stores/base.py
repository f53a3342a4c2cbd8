"""`Store`: what an index asks of the place that keeps it, whichever that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from munjang.errors import StoreError
from munjang.search.documents import Document, DocumentId, Entry
from munjang.search.filters import Filter

__all__ = [
    "DAMAGE",
    "TRANSACTION",
    "Changes",
    "Found",
    "IndexSettings",
    "Match",
    "Reader",
    "Store",
    "StoreInfo",
    "check_form",
    "damaged",
]

# What decoding damaged values raises: bytes that are no UTF-8, text that is no JSON, JSON of another form,
# numbers out of all bounds. What comes from a caller is checked before it gets to a store.
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, SystemError)
TRANSACTION = 1000  # documents that are written together, where there are many


def damaged(place: str, error: BaseException) -> StoreError:
    """Make the error for a value in a store that can't be what was written."""
    return StoreError(
        f"The index {place} is damaged ({type(error).__name__}: {error!s:.200}); "
        "`munjang index check` reports what can be saved."
    )


def check_form(document: Document) -> Document:
    """Return a document that was read from a store; raise `ValueError` for values of other types."""
    texts = document.fields.values() if isinstance(document.fields, dict) else [None]
    if not all(isinstance(one, str) for one in texts) or not isinstance(document.metadata, dict):
        raise ValueError(f"document {document.id!r} is of another form")
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings:
    """What an index was made with; vectors and words of other settings do not mix with it.

    Attributes:
        model: the name that the model was opened by.
        revision: the model's revision or version, as far as it has one.
        dimension: of the vectors.
        pooling: the model's, such as ``mean``.
        prompts: the text before a ``query`` and before a ``document``.
        normalize: whether the vectors have length one.
        similarity: ``cosine`` or ``dot``.
        max_seq_length: tokens that the model reads of a passage.
        fields: the names of the documents' fields, in order.
        embedded: those of them that are searched by meaning.
        analyzer: name and version of what makes words of texts, such as ``hangul-bigrams/1``.
        chunk_tokens: tokens of the longest passage.
        chunk_overlap: tokens that a passage repeats of the one before it.
        probe: ``[d]``, the vector of a fixed text, by which another model is told however it is named.
    """

    model: str
    revision: str | None
    dimension: int
    pooling: str
    prompts: Mapping[str, str]
    normalize: bool
    similarity: str
    max_seq_length: int
    fields: tuple[str, ...]
    embedded: tuple[str, ...]
    analyzer: str
    chunk_tokens: int
    chunk_overlap: int
    probe: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What one transaction does: all of it, or nothing.

    Attributes:
        put: entries; each replaces the document that has its id.
        delete: ids; those that are not there are passed over.
        new: refuse an entry whose id is there already, instead of replacing.
    """

    put: Sequence[Entry] = ()
    delete: Sequence[DocumentId] = ()
    new: bool = False


class Match(NamedTuple):
    """A passage, by the number that the store gave it, and how well it fits."""

    passage: int
    score: float


class Found(NamedTuple):
    """Where a passage is."""

    document: DocumentId
    field: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreInfo:
    """What `munjang index info` shows: counts, bytes by part, and what the store says of itself."""

    documents: int
    passages: int
    vectors: int
    generation: int
    bytes: Mapping[str, int]
    details: Mapping[str, str]


class Reader(Protocol):
    """One moment of a store: what is written meanwhile is not seen."""

    def get(self, ids: Sequence[DocumentId]) -> Mapping[DocumentId, Document]:
        """Return the documents that are there."""
        ...

    def digests(self, ids: Sequence[DocumentId]) -> Mapping[DocumentId, bytes]:
        """Return the digests of those that are there."""
        ...

    def documents(self, where: Filter | None = None) -> Iterator[Document]:
        """Go through the documents in the order in which they were first put, without holding them all."""
        ...

    def salvage(self) -> Iterator[tuple[Document, bytes] | None]:
        """Yield each document with its digest, as far as it can be read; ``None`` for one that can't be."""
        ...

    def ids_of_source(self, source: str) -> Sequence[DocumentId]:
        """Return the ids of the documents that were read from a file."""
        ...

    def count(self, where: Filter | None = None) -> int:
        """Count the documents."""
        ...

    def semantic(
        self, vector: NDArray[np.float32], limit: int, where: Filter | None = None, *, exact: bool = False
    ) -> Sequence[Match]:
        """Find the passages nearest to a vector ``[d]``, best first; ``exact`` forbids approximation."""
        ...

    def lexical(self, words: Sequence[str], limit: int, where: Filter | None = None) -> Sequence[Match]:
        """Find the passages that have any of the words, best first; a higher score is better."""
        ...

    def find(self, passages: Sequence[int]) -> Mapping[int, Found]:
        """Return where passages are."""
        ...


class Store(Protocol):
    """Keeps one index. Many processes may read while one writes.

    Every method raises `StoreError` when the place can't be read or written (full, read-only, cut off,
    of a newer version); `StoreBusyError` when another process keeps writing for too long.
    """

    @property
    def settings(self) -> IndexSettings | None:
        """What the index was made with; ``None`` before `create`."""
        ...

    def create(self, settings: IndexSettings) -> None:
        """Begin an index; the same settings again change nothing, others raise `IndexMismatchError`."""
        ...

    def snapshot(self) -> AbstractContextManager[Reader]:
        """Read at one moment."""
        ...

    def write(self, changes: Changes) -> int:
        """Do all the changes or none, on the disk when this returns; return the number of documents deleted.

        Raises `InputError` for ``new`` entries that are there already, naming them.
        """
        ...

    def unstaged(self, target: IndexSettings, limit: int) -> Sequence[Document]:
        """Return documents that a move to other settings has yet to prepare; a first call begins the move."""
        ...

    def stage(self, target: IndexSettings, entries: Sequence[Entry]) -> None:
        """Keep prepared entries of the move aside, unseen by searches, until `switch`.

        A later `write` of a document drops what was staged for it.
        """
        ...

    def switch(self, target: IndexSettings) -> bool:
        """Put what was staged in place, all at once; false, and nothing done, if documents are unstaged."""
        ...

    def abandon(self) -> None:
        """Drop a move that was begun."""
        ...

    def rebuild(self) -> None:
        """Make everything that is derived anew, and give back the space of what was deleted."""
        ...

    def check(self) -> Sequence[str]:
        """Return a line for each thing that is wrong; none when all is well."""
        ...

    def info(self) -> StoreInfo:
        """Describe the store."""
        ...

    def close(self) -> None:
        """Let go of it; closing twice is no error."""
        ...
