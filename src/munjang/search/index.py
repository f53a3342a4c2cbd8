"""`Index`: stored documents with semantic and lexical search."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from munjang.errors import IndexMismatchError, InputError, InputTypeError
from munjang.progress import Advance
from munjang.search.documents import Document, DocumentId, Entry, Hit, checked_documents, checked_id
from munjang.search.filters import parse_filter
from munjang.search.prepare import Preparer, digest
from munjang.search.query import SEMANTIC, Fusion, Mode, checked_query, run_search, search_options
from munjang.search.settings import Wanted, check_model, describe, open_recorded, room
from munjang.search.stores.base import TRANSACTION, Changes, IndexSettings, Store
from munjang.search.stores.locations import is_new_file, open_store, shown
from munjang.search.text.analysis import Analyzer, analyzer_named
from munjang.validation import checked_flag, checked_number

if TYPE_CHECKING:
    from munjang.search.build import Built
    from munjang.search.prepare import Engine
    from munjang.search.sources import Source
    from munjang.sentence.cross_encoder import CrossEncoder
    from munjang.sentence.transformer import SentenceTransformer

__all__ = ["Index"]

_NAMED = 5  # damaged documents listed by `check`


_LONGEST_WAIT = 86_400.0  # seconds to wait for another writer; stores use 32-bit milliseconds
_Check = Callable[[Sequence[Document]], None]


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

    @property
    def model(self) -> SentenceTransformer:
        """The model, opened at first use and checked to produce the same vectors as the index."""
        with self._opening:
            if self._model is None:
                model = open_recorded(self.settings, offline=self._offline)
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
    def open(
        cls,
        location: str | os.PathLike[str],
        *,
        model: str | os.PathLike[str] | SentenceTransformer | None = None,
        fields: Sequence[str] | None = None,
        embedded: Sequence[str] | None = None,
        analyzer: str | None = None,
        chunk_tokens: int | None = None,
        chunk_overlap: int | None = None,
        prompts: Mapping[str, str] | None = None,
        create: bool = True,
        readonly: bool = False,
        offline: bool | None = None,
        busy_timeout: float = 30.0,
    ) -> Self:
        """Open an index, or create one.

        Omitted arguments keep the recorded settings of the index. The defaults of a new index are the default
        model, a single field ``text``, and the kiwi analyzer if the extra ``ko`` is installed.

        Args:
            location: a file, or ``postgresql://user:password@host/database``.
            model: a name, a folder or an opened model; a name is opened when the model is first needed.
            fields: the names of the documents' text fields, such as ``["question", "answer"]``.
            embedded: the fields that are embedded for semantic search; by default all.
            analyzer: the analyzer that splits texts into words: ``"kiwi"`` or ``"hangul-bigrams"``.
            chunk_tokens: maximum tokens of a passage; by default 256.
            chunk_overlap: maximum tokens shared with the previous passage; by default an eighth of a passage.
            prompts: the prefix of a ``query`` and of a ``document``, instead of the model's own prompts.
            create: create the index if it does not exist.
            readonly: write nothing.
            offline: open no connection to fetch a model.
            busy_timeout: how many seconds a write waits for another writer.

        Raises `IndexMismatchError` if the recorded settings differ from the arguments, `StoreError` if the
        index does not exist and ``create`` is false, and the errors of opening a model.
        """
        wanted = Wanted(
            model=model,
            fields=fields,
            embedded=embedded,
            analyzer=analyzer,
            chunk_tokens=chunk_tokens,
            chunk_overlap=chunk_overlap,
            prompts=prompts,
            offline=offline,
        )
        create = checked_flag("create", create) and not checked_flag("readonly", readonly)
        busy_timeout = checked_number("busy_timeout", busy_timeout, least=0, most=_LONGEST_WAIT)
        # Create the file after its settings, so that no file is left behind when the model can't be opened.
        new = wanted.begin() if create and is_new_file(location) else None
        store = open_store(location, create=create, readonly=readonly, busy_timeout=busy_timeout)
        try:
            if store.settings is None and create:
                new = new or wanted.begin()
                store.create(new[1])
            recorded = store.settings
            if recorded is None:
                raise InputError(f"The index '{shown(location)}' has not been begun: open it with create.")
            found = wanted.check(recorded, shown(location)) if new is None else new[0]
        except BaseException:
            store.close()
            raise
        return cls(shown(location), store, recorded, model=found, offline=offline)

    # Documents

    def get(self, id: DocumentId) -> Document | None:  # noqa: A002 -- what it is
        """Return the document with this id, or ``None``."""
        wanted = checked_id(id)
        with self.store.snapshot() as reader:
            return reader.get([wanted]).get(wanted)

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

    def search(
        self,
        query: str,
        *,
        mode: Mode = "hybrid",
        limit: int = 10,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 -- what users call it
        min_score: float | None = None,
        weights: Mapping[str, float] | None = None,
        fusion: Fusion = "scores",
        rerank: CrossEncoder | None = None,
        exact: bool = False,
    ) -> list[Hit]:
        """Return the best documents for a query, each ranked by its best passage.

        Args:
            query: a text; an empty or blank query returns no hits.
            mode: ``"semantic"`` by embedding (the score is the similarity), ``"lexical"`` by word (BM25), or
                ``"hybrid"``, the fusion of both.
            limit: maximum number of documents.
            offset: number of best documents to skip, for the next page.
            filter: conditions on metadata, as ``{"lang": "ko", "year": {"gte": 2020}}``; see
                `munjang.search.filters`.
            min_score: drop hits whose ``score`` is lower; a hybrid score is relative to the best hit.
            weights: of the two parts in hybrid mode, by default ``{"semantic": 1, "lexical": 1}``.
            fusion: ``"scores"``: weighted mean of scores scaled to 0..1 (convex combination);
                ``"ranks"``: sum of reciprocal ranks, at most about 0.033 (reciprocal rank fusion).
            rerank: a cross-encoder that scores the query with each of the 64 best passages (more for later
                pages) and reorders them; its scores replace the other scores.
            exact: compare with every vector, even if there is an approximate index.

        Raises `InputError` or `InputTypeError` for invalid arguments, and the errors of opening the model;
        a lexical search needs no model.
        """
        return self.search_batch(
            [query],
            mode=mode,
            limit=limit,
            offset=offset,
            filter=filter,
            min_score=min_score,
            weights=weights,
            fusion=fusion,
            rerank=rerank,
            exact=exact,
        )[0]

    def search_batch(
        self,
        queries: Sequence[str],
        *,
        mode: Mode = "hybrid",
        limit: int = 10,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,  # noqa: A002
        min_score: float | None = None,
        weights: Mapping[str, float] | None = None,
        fusion: Fusion = "scores",
        rerank: CrossEncoder | None = None,
        exact: bool = False,
    ) -> list[list[Hit]]:
        """Search for several queries, encoded as a batch, in the same snapshot; see `search`."""
        if isinstance(queries, str) or not isinstance(queries, Sequence):
            raise InputTypeError(f"search_batch needs a list of queries, got a {type(queries).__name__}.")
        options = search_options(
            mode=mode,
            limit=limit,
            offset=offset,
            filter=filter,
            min_score=min_score,
            weights=weights,
            fusion=fusion,
            rerank=rerank,
            exact=exact,
        )
        texts = [checked_query(query) for query in queries]
        self.check_current()
        vectors = self._query_vectors(texts) if SEMANTIC in options.parts else [None] * len(texts)
        analyzer = self.analyzer
        with self.store.snapshot() as reader:
            return [
                run_search(
                    reader, analyzer, text, vector, options, cosine=self.settings.similarity == "cosine"
                )
                if text.strip()
                else []
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

    def check_current(self) -> None:
        """Raise `IndexMismatchError` if another process has migrated the index to other settings."""
        stored = self.store.settings
        if stored != self.settings:
            model = "nothing" if stored is None else f"the model '{stored.model}' and '{stored.analyzer}'"
            raise IndexMismatchError(f"The index '{self.location}' was moved to {model}; open it again.")

    def check(self) -> list[str]:
        """Return a line for each damaged part, and a line about what can be saved; empty without damage.

        Reads every document and compares it with its digest.
        """
        problems = list(self.store.check())
        right = changed = unreadable = 0
        with self.store.snapshot() as reader:
            for found in reader.salvage():
                if found is None:
                    unreadable += 1
                elif _digest(found[0]) == found[1]:
                    right += 1
                else:
                    changed += 1
                    if changed <= _NAMED:
                        problems.append(f"Document {found[0].id!r} is not what was written.")
        if unreadable or changed:
            problems.append(f"{unreadable:,} documents can't be read, {changed:,} have changed.")
        if problems:
            problems.append(_rescue(right, unreadable + changed))
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
            self.put(self.preparer().prepare(batch, advance), new=True)
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
                self.put(self.preparer().prepare(changed, advance))
            count += len(changed)
        return count

    def delete(self, ids: DocumentId | Iterable[DocumentId]) -> int:
        """Delete documents by one id or several ids; return the number of deleted documents."""
        listed: list[Any]
        try:
            listed = [ids] if isinstance(ids, str) else list(ids)  # type: ignore[arg-type]
        except TypeError:  # a single id, or a 0-dimensional array
            listed = [ids]
        return self.store.write(Changes(delete=[checked_id(one) for one in listed]))

    def put(self, entries: Sequence[Entry], *, new: bool = False) -> None:
        """Write entries made by `preparer` in one transaction."""
        self.check_current()
        self.store.write(Changes(put=entries, new=new))

    def preparer(self) -> Preparer:
        """Return the `Preparer` that converts documents to entries of this index."""
        return Preparer(self.settings, self.model, self.analyzer)

    def changed(self, documents: Sequence[Document]) -> list[Document]:
        """Return the documents that are missing from the index or differ from the stored version."""
        with self.store.snapshot() as reader:
            there = reader.digests([document.id for document in documents])
        return [document for document in documents if there.get(document.id) != digest(document)]

    def _batches(self, documents: object, check: _Check | None = None) -> Iterator[list[Document]]:
        """Split a caller's documents into batches of one transaction; check a list as a whole first."""
        fields = self.settings.fields
        if isinstance(documents, str | Mapping | Document):
            documents = [documents]
        try:
            rest: Iterator[object] = iter(documents)  # type: ignore[call-overload]
        except TypeError:
            raise InputTypeError(f"Documents come in a list, got a {type(documents).__name__}.") from None
        if rest is not documents:
            whole = checked_documents(rest, fields)
            batches = [whole[start : start + TRANSACTION] for start in range(0, len(whole), TRANSACTION)]
            if check is not None:
                for batch in batches:
                    check(batch)
            yield from batches
            return
        while some := list(islice(rest, TRANSACTION)):
            batch = checked_documents(some, fields)
            if check:
                check(batch)
            yield batch

    def _check_new(self, documents: Sequence[Document]) -> None:
        with self.store.snapshot() as reader:
            there = reader.digests([document.id for document in documents])
        if there:
            raise InputError(
                f"The id {next(iter(there))!r} is in the index already; use upsert to replace documents."
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

        Call it again to resume an interrupted build. See `munjang.search.build.build`.
        """
        from munjang.search.build import build

        return build(self, source, prune=prune, engine=engine, advance=advance)

    def migrate(
        self,
        model: str | os.PathLike[str] | SentenceTransformer | None = None,
        *,
        analyzer: str | None = None,
        chunk_tokens: int | None = None,
        chunk_overlap: int | None = None,
        advance: Advance | None = None,
    ) -> int:
        """Encode all documents again, with another model, analyzer or passage length.

        Omitted arguments keep their settings, except that passages are shortened to what the model can read.
        Searches use the old index until the migration is complete. Call it again with the same arguments to
        resume an interrupted migration. Returns the number of documents encoded by this call. See
        `munjang.search.build.migrate`.
        """
        from munjang.search.build import migrate

        if model is None:
            opened, name = self.model, self.settings.model
        else:
            opened, name = Wanted(model=model, offline=self._offline).opened(self.settings.model)
        target = describe(
            opened,
            name,
            fields=self.settings.fields,
            embedded=self.settings.embedded,
            analyzer=analyzer_named(
                self.settings.analyzer.partition("/")[0] if analyzer is None else analyzer
            ).name,
            chunk_tokens=min(self.settings.chunk_tokens, room(opened))
            if chunk_tokens is None
            else chunk_tokens,
            chunk_overlap=chunk_overlap,
        )
        done = migrate(self.store, target, opened, advance)
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


def _digest(document: Document) -> bytes | None:
    try:
        return digest(document)
    except ValueError:  # damaged metadata may hold values that are not JSON
        return None


def _rescue(right: int, lost: int) -> str:
    if not lost:
        return (
            f"All {right:,} documents can be read. `munjang index rebuild` mends what is derived from them; "
            "if damage remains, save them with `munjang index export` and add them to a new index."
        )
    return (
        f"{right:,} documents can be read: save them with `munjang index export`, add them to a new index, "
        "and build the others again from their source."
    )
