"""`Index`: stored documents with semantic and lexical search."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from munjang.backends.registry import DTYPES
from munjang.errors import DataFileError, InputError, InputTypeError
from munjang.progress import Advance, no_advance
from munjang.search.documents import Document, DocumentId, Entry, Hit, checked_documents, checked_id
from munjang.search.filters import parse_filter
from munjang.search.prepare import Engine, Preparer, digest
from munjang.search.query import SEMANTIC, SearchArguments, SearchOptions, checked_query, run_search
from munjang.search.settings import (
    IndexArguments,
    IndexSettings,
    check_arguments,
    check_model,
    chunk_settings,
    migrated_error,
    model_settings,
    new_index,
    open_model,
    opened_model,
)
from munjang.search.sources import Source
from munjang.search.stores import is_new_file, open_store, redact_password
from munjang.search.stores.base import TRANSACTION, Changes, Store
from munjang.search.text.analysis import Analyzer, analyzer_named
from munjang.validation import checked_choice, checked_flag, checked_number, shown_value, takes_keywords

if TYPE_CHECKING:
    from munjang.sentence.transformer import SentenceTransformer

_NAMED = 5  # damaged documents listed by `check`
_LONGEST_WAIT = 86_400.0  # seconds to wait for another writer; stores use 32-bit milliseconds
_DIGEST_BYTES = 8  # bytes kept of each digest during a build, to save memory for millions of documents
_Check = Callable[[Sequence[Document]], None]


@dataclass(slots=True, kw_only=True)
class Built:
    """The result of `Index.build`, as counts.

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


class Index:
    """A set of documents in a file or a database, with semantic, lexical and hybrid search.

    Example::

        with munjang.Index.open("faq.munjang", fields=["question", "answer"]) as index:
            index.add([{"id": 1, "question": "배송은 언제 되나요?", "answer": "이틀 걸려요."}])
            for hit in index.search("언제 도착해요?"):
                print(hit.score, hit.snippet)

    Open an index with `Index.open`. Many processes may search while one process writes. Every method raises
    `StoreError` when the store can't be read or written, `StoreBusyError` when another process keeps the
    write lock for too long.
    """

    def __init__(
        self,
        location: str,
        store: Store,
        settings: IndexSettings,
        *,
        model: SentenceTransformer | None = None,
        offline: bool | None = None,
    ) -> None:
        self.location = location
        self.store = store
        self.settings = settings
        self._model = model
        self._offline = offline
        self._opening = threading.Lock()

    def __repr__(self) -> str:
        """Return the location and the settings, without reading the store."""
        settings = self.settings
        return (
            f"Index({self.location!r}, model={settings.model!r}, dimension={settings.dimension}, "
            f"fields={list(settings.fields)}, embedded={list(settings.embedded)}, "
            f"analyzer={settings.analyzer!r}, chunk_tokens={settings.chunk_tokens})"
        )

    @property
    def model(self) -> SentenceTransformer:
        """The model, opened at first use and checked to produce the same vectors as the index's model."""
        with self._opening:
            if self._model is None:
                model = open_model(self.settings, offline=self._offline)
                check_model(self.settings, model, self.settings.model, self.location)
                self._model = model
            return self._model

    @property
    def model_name(self) -> str:
        """The name or folder of the model, with which another process can open it."""
        return self.settings.model if self._model is None else self._model.tokenizer.name_or_path

    @property
    def analyzer(self) -> Analyzer:
        """The analyzer that splits texts into words; `IndexMismatchError` if another version is installed."""
        return analyzer_named(self.settings.analyzer)

    @classmethod
    @takes_keywords(IndexArguments)
    def open(
        cls,
        location: str | os.PathLike[str],
        *,
        create: bool = True,
        readonly: bool = False,
        busy_timeout: float = 30.0,
        **settings: Unpack[IndexArguments],
    ) -> Self:
        """Open an index, or create one.

        Omitted settings keep the recorded settings of the index. The defaults of a new index are the default
        model, a single field ``text``, and the kiwi analyzer if the extra ``ko`` is installed.

        Args:
            location: a file, or ``postgresql://user:password@host/database``.
            create: create the index if it does not exist.
            readonly: write nothing.
            busy_timeout: how many seconds a write waits for another writer.

        The settings ``model``, ``fields``, ``embedded``, ``analyzer``, ``chunk_tokens``, ``chunk_overlap``,
        ``prompts`` and ``offline`` are described at `munjang.search.settings.IndexArguments`.

        Raises `IndexMismatchError` if the recorded settings differ from the arguments, `StoreError` if the
        index does not exist and ``create`` is false, and the errors of opening a model.
        """
        create = checked_flag("create", create) and not checked_flag("readonly", readonly)
        busy_timeout = checked_number("busy_timeout", busy_timeout, least=0, most=_LONGEST_WAIT)
        # Create the file after its settings, so that no file is left behind when the model can't be opened.
        new = new_index(settings) if create and is_new_file(location) else None
        store = open_store(location, create=create, readonly=readonly, busy_timeout=busy_timeout)
        name = redact_password(location)
        try:
            if store.settings is None and create:
                new = new or new_index(settings)
                store.create(new[1])
            recorded = store.settings
            if recorded is None:
                raise InputError(f"The index '{name}' has no settings yet: open it with create=True.")
            model = check_arguments(settings, recorded, name) if new is None else new[0]
        except BaseException:
            store.close()
            raise
        return cls(name, store, recorded, model=model, offline=settings.get("offline"))

    # Documents

    def get(self, id: DocumentId) -> Document | None:  # noqa: A002 -- the name of the attribute
        """Return the document with this id, or ``None``."""
        identifier = checked_id(id)
        with self.store.snapshot() as reader:
            return reader.get([identifier]).get(identifier)

    def count(self, filter: Mapping[str, Any] | None = None) -> int:  # noqa: A002 -- as in `search`
        """Count all documents, or the documents that match a filter."""
        where = parse_filter(filter)
        with self.store.snapshot() as reader:
            return reader.count(where)

    def documents(self, filter: Mapping[str, Any] | None = None) -> Iterator[Document]:  # noqa: A002
        """Yield all documents, or the documents that match a filter, in order of first insertion."""
        where = parse_filter(filter)
        with self.store.snapshot() as reader:
            yield from reader.documents(where)

    def __iter__(self) -> Iterator[Document]:
        return self.documents()

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        """Return true, also for an empty index."""
        return True

    def __contains__(self, id: object) -> bool:  # noqa: A002
        try:
            return self.get(id) is not None  # type: ignore[arg-type]
        except (InputError, InputTypeError):
            return False

    # Searching

    @takes_keywords(SearchArguments, SearchOptions)
    def search(self, query: str, **options: Unpack[SearchArguments]) -> list[Hit]:
        """Return the best documents for a query, each ranked by its best passage.

        Args:
            query: a text; an empty or blank query returns no hits.

        The options ``mode``, ``limit``, ``offset``, ``filter``, ``min_score``, ``weights``, ``fusion``,
        ``rerank`` and ``exact`` are described at `munjang.search.query.SearchArguments`.

        Raises `InputError` or `InputTypeError` for invalid arguments, and the errors of opening the model;
        a lexical search needs no model. Raises `IndexMismatchError` if another process has migrated the index
        to other settings.
        """
        return self.search_batch([query], **options)[0]

    @takes_keywords(SearchArguments, SearchOptions)
    def search_batch(self, queries: Sequence[str], **options: Unpack[SearchArguments]) -> list[list[Hit]]:
        """Search for several queries, encoded as a batch, in the same snapshot; see `search`."""
        if isinstance(queries, str) or not isinstance(queries, Sequence):
            raise InputTypeError(f"search_batch needs a list of queries, got {shown_value(queries)}.")
        checked = SearchOptions(**options)
        texts = [checked_query(query) for query in queries]
        vectors = self._query_vectors(texts) if SEMANTIC in checked.parts else [None] * len(texts)
        analyzer = self.analyzer
        with self.store.snapshot() as reader:
            if reader.settings != self.settings:
                raise migrated_error(reader.settings, self.location)
            return [
                run_search(reader, analyzer, text, vector, checked) if text.strip() else []
                for text, vector in zip(texts, vectors, strict=True)
            ]

    def _query_vectors(self, texts: list[str]) -> Sequence[NDArray[np.float32]]:
        settings = self.settings
        vectors: NDArray[np.float32] = self.model.encode(
            texts, prompt=settings.prompts["query"], normalize_embeddings=settings.normalize
        )
        return list(vectors)

    # The index itself

    def info(self) -> dict[str, Any]:
        """Describe the index: counts, sizes in bytes, settings."""
        info = self.store.info()
        settings = asdict(self.settings)
        del settings["probe"]
        return {"location": self.location, **asdict(info), "settings": settings}

    def check(self) -> list[str]:
        """Return a line for each damaged part, and a line about what can be saved; empty without damage.

        Reads every document and compares it with its digest.
        """
        problems = list(self.store.check())
        intact = changed = unreadable = 0
        with self.store.snapshot() as reader:
            for row in reader.salvage():
                if row is None:
                    unreadable += 1
                elif _digest(row[0]) == row[1]:
                    intact += 1
                else:
                    changed += 1
                    if changed <= _NAMED:
                        problems.append(f"Document {row[0].id!r} differs from what was written.")
        if unreadable or changed:
            problems.append(f"{unreadable:,} documents can't be read, {changed:,} have changed.")
        if problems:
            problems.append(_advice(intact, unreadable + changed))
        return problems

    # Writing

    def add(self, documents: object, *, advance: Advance | None = None) -> int:
        """Add documents; return their number.

        A list is checked as a whole before anything is written, an iterator batch by batch. Each transaction
        writes up to a thousand documents.

        Args:
            documents: a document or an iterable of documents. A document is a `Document`; a dictionary with
                ``id``, the fields and ``metadata``; or a text, whose id is derived from the text.
            advance: called with the number of documents done.

        Raises `InputError` for ids that are in the index already, and for documents that can't be stored.
        """
        count = 0
        for batch in self._batches(documents, self._check_new):
            self._write(self.preparer().prepare(batch, advance), new=True)
            count += len(batch)
        return count

    def upsert(self, documents: object, *, advance: Advance | None = None) -> int:
        """Add documents, replacing documents with the same id; return the number of new or changed documents.

        Unchanged documents are not encoded again. See `add`.
        """
        count = 0
        for batch in self._batches(documents):
            changed = self.changed(batch)
            if advance is not None:
                advance(len(batch) - len(changed))
            if changed:
                self._write(self.preparer().prepare(changed, advance))
            count += len(changed)
        return count

    def delete(self, ids: DocumentId | Iterable[DocumentId]) -> int:
        """Delete documents by one id or several ids; return the number of deleted documents."""
        listed: list[Any]
        try:
            listed = [ids] if isinstance(ids, str) else list(ids)  # type: ignore[arg-type]
        except TypeError:  # a single id, or a 0-dimensional array
            listed = [ids]
        return self.store.write(Changes(delete=[checked_id(identifier) for identifier in listed]))

    def _write(self, entries: Sequence[Entry], *, new: bool = False) -> None:
        """Write entries made by `preparer` in one transaction, which fails if the index was migrated."""
        self.store.write(Changes(put=entries, new=new, settings=self.settings))

    def preparer(self) -> Preparer:
        """Return the `Preparer` that converts documents to entries of this index."""
        return Preparer(self.settings, self.model, self.analyzer)

    def changed(self, documents: Sequence[Document]) -> list[Document]:
        """Return the documents that are missing from the index or differ from the stored version."""
        stored = self._stored_digests(documents)
        return [document for document in documents if stored.get(document.id) != digest(document)]

    def _stored_digests(self, documents: Sequence[Document]) -> Mapping[DocumentId, bytes]:
        with self.store.snapshot() as reader:
            return reader.digests([document.id for document in documents])

    def _batches(self, documents: object, check: _Check | None = None) -> Iterator[list[Document]]:
        """Split a caller's documents into batches of one transaction; check a list as a whole first."""
        fields = self.settings.fields
        if isinstance(documents, str | Mapping | Document):
            documents = [documents]
        try:
            rest: Iterator[object] = iter(documents)  # type: ignore[call-overload]
        except TypeError:
            raise InputTypeError(f"Documents must be a list, got {shown_value(documents)}.") from None
        if rest is not documents:
            whole = checked_documents(rest, fields)
            batches = [whole[start : start + TRANSACTION] for start in range(0, len(whole), TRANSACTION)]
            if check is not None:
                for batch in batches:
                    check(batch)
            yield from batches
            return
        while part := list(islice(rest, TRANSACTION)):
            batch = checked_documents(part, fields)
            if check:
                check(batch)
            yield batch

    def _check_new(self, documents: Sequence[Document]) -> None:
        if known := self._stored_digests(documents):
            raise InputError(
                f"The id {next(iter(known))!r} is in the index already; use upsert to replace documents."
            )

    # Larger work

    def build(
        self,
        source: Source | str | os.PathLike[str],
        *,
        prune: bool = False,
        engine: Engine | None = None,
        advance: Advance | None = None,
    ) -> Built:
        """Add the documents of a file or a folder; only new or changed documents are encoded.

        Each transaction writes a thousand documents. An interrupted build keeps the committed documents, and
        the same call resumes it.

        Args:
            source: a `Source`, or the path of a file or folder.
            prune: delete documents that were read from this source before and are not in it any more.
            engine: distributes the encoding; by default it runs in this process.
            advance: called with the number of documents done.

        Raises `DataFileError` for files that can't be read, and for duplicate ids in the source.
        """
        if not isinstance(source, Source | str | os.PathLike):
            raise InputTypeError(f"A source is a Source or a path, got {shown_value(source)}.")
        prune = checked_flag("prune", prune)
        advance = advance or no_advance
        source = source if isinstance(source, Source) else Source(path=os.fspath(source))
        built, digests = Built(), dict[DocumentId, bytes]()
        batches = self._changed_batches(source, digests, built, advance)
        if engine is None:
            for batch in batches:
                self._write(self.preparer().prepare(batch, advance))
                built.written += len(batch)
        else:
            for entries in engine.run(self.settings, self.model_name, batches):
                self._write(entries)
                built.written += len(entries)
                advance(len(entries))
        built.skipped = dict(source.skipped)
        if prune:
            gone = [
                document.id
                for document in self.documents()
                if source.holds(document.source) and document.id not in digests
            ]
            for start in range(0, len(gone), TRANSACTION):
                built.deleted += self.delete(gone[start : start + TRANSACTION])
        return built

    def _changed_batches(
        self, source: Source, digests: dict[DocumentId, bytes], built: Built, advance: Advance
    ) -> Iterator[list[Document]]:
        """Yield batches of documents that are missing from the index or differ from the stored version."""
        documents = _distinct(source, self.settings.fields, digests)
        waiting: list[Document] = []
        while batch := list(islice(documents, TRANSACTION)):
            changed = self.changed(batch)
            built.read += len(batch)
            built.unchanged += len(batch) - len(changed)
            advance(len(batch) - len(changed))
            waiting += changed
            if len(waiting) >= TRANSACTION:
                yield waiting[:TRANSACTION]
                waiting = waiting[TRANSACTION:]
        if waiting:
            yield waiting

    def migrate(
        self,
        model: str | os.PathLike[str] | SentenceTransformer | None = None,
        *,
        analyzer: str | None = None,
        chunk_tokens: int | None = None,
        chunk_overlap: int | None = None,
        dtype: str | None = None,
        advance: Advance | None = None,
    ) -> int:
        """Encode all documents again, with another model, analyzer, passage length or ``dtype``.

        Omitted arguments keep their settings, except that passages are shortened to what the model can read.
        The overlap of shortened passages is shortened in proportion. Another model uses its own prompts. An
        analyzer that is kept is replaced by its installed version.

        Entries are staged in the store, and searches use the old index until all documents are staged, also
        documents written during the migration. Call it again with the same arguments to resume an interrupted
        migration. Returns the number of documents encoded by this call. Raises `IndexMismatchError` if a
        migration to other settings was started.
        """
        kept = self.settings
        if model is None and dtype in (None, kept.dtype):
            opened = self.model
        elif model is None:
            kept = replace(kept, dtype=checked_choice("dtype", dtype, DTYPES))
            opened = open_model(kept, offline=self._offline)
            kept = replace(kept, **model_settings(opened, kept.model, kept.prompts))
        else:
            opened, name = opened_model(model, self._offline, dtype)
            kept = replace(kept, **model_settings(opened, name))
        target = replace(
            kept,
            analyzer=analyzer_named(analyzer or kept.analyzer.partition("/")[0]).name,
            **chunk_settings(opened, kept.prompts["document"], chunk_tokens, chunk_overlap, kept),
        )
        preparer = Preparer(target, opened, analyzer_named(target.analyzer))
        done = 0
        while True:
            documents = self.store.unstaged(target, TRANSACTION)
            if documents:
                self.store.stage(target, preparer.prepare(documents, advance))
                done += len(documents)
            elif self.store.switch(target):
                break
        self._model, self.settings = opened, self.store.settings or target
        return done

    def abandon_migration(self) -> None:
        """Delete the staged entries of an interrupted `migrate`."""
        self.store.abandon()

    def rebuild(self) -> None:
        """Rebuild all derived data (data that only speeds up searches) and free the space of deleted data."""
        self.store.rebuild()

    def close(self) -> None:
        """Close the store; closing twice is not an error."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _distinct(source: Source, fields: Sequence[str], digests: dict[DocumentId, bytes]) -> Iterator[Document]:
    """Yield each document of a source once: equal rows without an id are the same document."""
    for document in source.documents(fields):
        start = digest(document)[:_DIGEST_BYTES]
        known = digests.get(document.id)
        if known is None:
            digests[document.id] = start
            yield document
        elif known != start:
            raise DataFileError(
                f"The id {document.id!r} occurs twice in '{source.path}'; ids must be different."
            )


def _digest(document: Document) -> bytes | None:
    try:
        return digest(document)
    except ValueError:  # damaged metadata may hold values that are not JSON
        return None


def _advice(intact: int, lost: int) -> str:
    if not lost:
        return (
            f"All {intact:,} documents can be read. `munjang index rebuild` repairs the data derived from "
            "them; if damage remains, save them with `munjang index export` and add them to a new index."
        )
    return (
        f"{intact:,} documents can be read: save them with `munjang index export`, add them to a new index, "
        "and build the others again from their source."
    )
