"""Building an index from files: only new or changed documents are encoded, so a build can be resumed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from munjang.errors import DataFileError, InputTypeError
from munjang.progress import Advance, no_advance
from munjang.search.documents import Document, DocumentId, Entry
from munjang.search.prepare import Preparer, digest
from munjang.search.sources import Source
from munjang.search.stores.base import TRANSACTION, Changes, IndexSettings, Store
from munjang.search.text.analysis import analyzer_named
from munjang.validation import checked_flag, shown_value

if TYPE_CHECKING:
    from munjang.search.prepare import Engine
    from munjang.sentence.transformer import SentenceTransformer

__all__ = ["Built", "Target", "build", "migrate"]

_TOLD_APART = 8  # bytes kept of each digest, to save memory for millions of documents


class Target(Protocol):
    """The interface of an index that `build` needs; `munjang.Index` implements it."""

    settings: IndexSettings
    store: Store

    @property
    def model_name(self) -> str:
        """The name or folder of the model."""
        ...

    def changed(self, documents: Sequence[Document]) -> list[Document]:
        """Return the documents that are missing from the index or differ from the stored version."""
        ...

    def preparer(self) -> Preparer:
        """Return the `Preparer` that converts documents to entries."""
        ...

    def put(self, entries: Sequence[Entry]) -> None:
        """Write entries in one transaction."""
        ...

    def documents(self) -> Iterator[Document]:
        """Yield all documents."""
        ...


@dataclass(slots=True, kw_only=True)
class Built:
    """The result of `build`, as counts.

    Attributes:
        read: documents read from the source.
        written: new or changed documents.
        unchanged: documents that were in the index already.
        deleted: documents deleted from the index because the source has them no more.
        skipped: skipped files, by reason.
    """

    read: int = 0
    written: int = 0
    unchanged: int = 0
    deleted: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)


def build(
    index: Target,
    source: Source | str | os.PathLike[str],
    *,
    prune: bool = False,
    engine: Engine | None = None,
    advance: Advance | None = None,
) -> Built:
    """Add the documents of a file or a folder to an index.

    Each transaction writes a thousand documents. An interrupted build keeps the committed documents, and the
    same call resumes it.

    Args:
        index: the index to write to.
        source: a `Source`, or the path of a file or folder.
        prune: delete documents that were read from this source before and are not in it any more.
        engine: distributes the encoding; by default it runs in this process.
        advance: called with the number of documents done.

    Raises `DataFileError` for files that can't be read, and for duplicate ids in the source.
    """
    if not isinstance(source, Source | str | os.PathLike):
        raise InputTypeError(f"A source is a Source or a path, got {shown_value(source)}.")
    prune = checked_flag("prune", prune)
    chosen = source if isinstance(source, Source) else Source(path=os.fspath(source))
    built, seen = Built(), dict[DocumentId, bytes]()
    batches = _changed(index, chosen, seen, built, advance or no_advance)
    if engine is None:
        for batch in batches:
            index.put(index.preparer().prepare(batch, advance))
            built.written += len(batch)
    else:
        for entries in engine.run(index.settings, index.model_name, batches):
            index.put(entries)
            built.written += len(entries)
            (advance or no_advance)(len(entries))
    built.skipped = dict(chosen.skipped)
    if prune:
        built.deleted = _prune(index, chosen, seen)
    return built


def _changed(
    index: Target, source: Source, seen: dict[DocumentId, bytes], built: Built, advance: Advance
) -> Iterator[list[Document]]:
    """Yield batches of documents that are missing from the index or differ from the stored version."""
    documents = _once(source.documents(index.settings.fields), source, seen)
    waiting: list[Document] = []
    while batch := list(islice(documents, TRANSACTION)):
        changed = index.changed(batch)
        built.read += len(batch)
        built.unchanged += len(batch) - len(changed)
        advance(len(batch) - len(changed))
        waiting += changed
        if len(waiting) >= TRANSACTION:
            yield waiting[:TRANSACTION]
            waiting = waiting[TRANSACTION:]
    if waiting:
        yield waiting


def _once(documents: Iterator[Document], source: Source, seen: dict[DocumentId, bytes]) -> Iterator[Document]:
    """Yield each document once: equal rows without an id are the same document."""
    count = 0
    for document in documents:
        said = digest(document)[:_TOLD_APART]
        if seen.setdefault(document.id, said) != said:
            raise DataFileError(f"The id {document.id!r} stands twice in '{source.path}'; give each its own.")
        if len(seen) > count:
            count = len(seen)
            yield document


def _prune(index: Target, source: Source, seen: dict[DocumentId, bytes]) -> int:
    gone = [
        document.id
        for document in index.documents()
        if source.holds(document.source) and document.id not in seen
    ]
    return sum(
        index.store.write(Changes(delete=gone[start : start + TRANSACTION]))
        for start in range(0, len(gone), TRANSACTION)
    )


def migrate(
    store: Store, target: IndexSettings, model: SentenceTransformer, advance: Advance | None = None
) -> int:
    """Prepare every document for the target settings, then switch atomically; return the number prepared.

    Prepared entries are staged in the store, so that an interrupted migration can be resumed. Documents
    written during the migration are prepared before the switch. Until the switch searches use the old index.

    Args:
        store: of the index.
        target: the new settings.
        model: the model of the new settings.
        advance: called with the number of documents done.

    Raises `IndexMismatchError` if a migration to other settings was started.
    """
    preparer = Preparer(target, model, analyzer_named(target.analyzer))
    done = 0
    while True:
        documents = store.unstaged(target, TRANSACTION)
        if documents:
            store.stage(target, preparer.prepare(documents, advance))
            done += len(documents)
        elif store.switch(target):
            return done
