"""`Index`: documents that are kept, and found by meaning and by word."""

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

_NAMED = 5  # damaged documents that a check names


_LONGEST_WAIT = 86_400.0  # seconds for another writer; stores count in milliseconds of 32 bits
_Check = Callable[[Sequence[Document]], None]


class Index:
    """Keeps documents in a file or a database, and finds them by meaning, by word, or by both.

    Example::

        with munjang.Index.open("faq.munjang", fields=["question", "answer"]) as index:
            index.add([{"id": 1, "question": "배송은 언제 되나요?", "answer": "이틀 걸려요."}])
            for hit in index.search("언제 도착해요?"):
                print(hit.score, hit.snippet)

    Open one with `Index.open`. Many processes may search while one writes. Every method raises `StoreError`
    when the place can't be read or written, `StoreBusyError` when another process keeps writing to it.
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
        """The model; opened, and checked to give the index's vectors, when it is first asked for."""
        with self._opening:
            if self._model is None:
                model = open_recorded(self.settings, offline=self._offline)
                check_model(self.settings, model, self.settings.model, self.location)
                self._model = model
            return self._model

    @property
    def model_name(self) -> str:
        """Where the model is, for another process to open it."""
        return self.settings.model if self._model is None else self._model.tokenizer.name_or_path

    @property
    def analyzer(self) -> Analyzer:
        """What makes words of texts; `IndexMismatchError` if another version of it is installed."""
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
        """Open an index, or begin one.

        What is not said is as the index was made. A new one has the default model, one field ``text``, and
        kiwi's words if the extra ``ko`` is installed.

        Args:
            location: a file, or ``postgresql://user:password@host/database``.
            model: a name, a folder or an opened model; a name is opened when the model is first needed.
            fields: the names of the documents' texts, such as ``["question", "answer"]``.
            embedded: those of them that are searched by meaning; by default all.
            analyzer: what makes words of texts: ``"kiwi"`` or ``"hangul-bigrams"``.
            chunk_tokens: tokens of the longest passage that a text is cut into; by default 256.
            chunk_overlap: tokens that a passage may repeat of the one before it; by default an eighth.
            prompts: what stands before a ``query`` and before a ``document``, instead of the model's own.
            create: begin an index if there is none.
            readonly: write nothing.
            offline: open no connection to fetch a model.
            busy_timeout: how many seconds a write waits for another writer.

        Raises `IndexMismatchError` if the index was made with something else than what is said, `StoreError`
        if there is none and ``create`` is false, and what opening a model raises.
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
        # A new file comes after its settings, so that a model that can't be had leaves none behind.
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
        """Return the document that has this id, or ``None``."""
        wanted = checked_id(id)
        with self.store.snapshot() as reader:
            return reader.get([wanted]).get(wanted)

    def count(self, filter: Mapping[str, Any] | None = None) -> int:  # noqa: A002 -- as in `search`
        """Count the documents, all or those that fulfil a filter."""
        where = parse_filter(filter)
        with self.store.snapshot() as reader:
            return reader.count(where)

    def documents(self, filter: Mapping[str, Any] | None = None) -> Iterator[Document]:  # noqa: A002
        """Go through the documents, all or those that fulfil a filter, in the order of their first coming."""
        where = parse_filter(filter)
        with self.store.snapshot() as reader:
            yield from reader.documents(where)

    def __iter__(self) -> Iterator[Document]:
        return self.documents()

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        """An empty index is an index."""
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
        """Find the documents that fit a query best, each by its best passage.

        Args:
            query: a text; one without anything to look for finds nothing.
            mode: ``"semantic"`` by meaning (the score is the similarity), ``"lexical"`` by word (BM25), or
                ``"hybrid"``, which joins both.
            limit: how many documents.
            offset: how many of the best to leave out, for the next page.
            filter: conditions on metadata, as ``{"lang": "ko", "year": {"gte": 2020}}``; see
                `munjang.search.filters`.
            min_score: leave out hits whose ``score`` is lower; a hybrid one is relative to the best.
            weights: of the two parts in hybrid mode, by default ``{"semantic": 1, "lexical": 1}``.
            fusion: ``"scores"`` joins by a weighted mean of scores between 0 and 1 (convex combination),
                ``"ranks"`` by a sum of reciprocal ranks, at most about 0.033 (reciprocal rank fusion).
            rerank: a cross-encoder that reads the query with each of the 64 best passages (or more, for later
                pages) and orders them; its scores take the place of the others.
            exact: compare with every vector, also where there is an approximate index.

        Raises `InputError` or `InputTypeError` for arguments that can't be used, and what opening the model
        raises; a lexical search needs none.
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
        """Search for several queries at one moment, encoded together; see `search`."""
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
        """Raise `IndexMismatchError` if another process has moved the index to other settings meanwhile."""
        stored = self.store.settings
        if stored != self.settings:
            model = "nothing" if stored is None else f"the model '{stored.model}' and '{stored.analyzer}'"
            raise IndexMismatchError(f"The index '{self.location}' was moved to {model}; open it again.")

    def check(self) -> list[str]:
        """Return a line for each thing that is damaged, and what can be saved; none when all is well.

        Every document is read and compared with its digest.
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
        """Put documents in; return their number.

        A list is checked whole before anything is written, an iterator as it is read. Every thousand
        documents are one transaction.

        Args:
            documents: an iterable of documents, or one: a `Document`; a dictionary with ``id``, the fields
                and ``metadata``; or a text, whose id is made of it.
            advance: called with the number of documents done.

        Raises `InputError` for ids that are there already, and for documents that can't be stored.
        """
        count = 0
        for batch in self._batches(documents, self._check_new):
            self.put(self.preparer().prepare(batch, advance), new=True)
            count += len(batch)
        return count

    def upsert(self, documents: object, *, advance: Advance | None = None) -> int:
        """Put documents in, each in place of the one that has its id; return how many were new or changed.

        Those that have not changed are not encoded again. See `add`.
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
        """Take documents out, by one id or several; return how many were there."""
        listed: list[Any]
        try:
            listed = [ids] if isinstance(ids, str) else list(ids)  # type: ignore[arg-type]
        except TypeError:  # one id, or an array of no dimension
            listed = [ids]
        return self.store.write(Changes(delete=[checked_id(one) for one in listed]))

    def put(self, entries: Sequence[Entry], *, new: bool = False) -> None:
        """Write what `preparer` made, as one transaction."""
        self.check_current()
        self.store.write(Changes(put=entries, new=new))

    def preparer(self) -> Preparer:
        """Return what makes this index's entries of documents."""
        return Preparer(self.settings, self.model, self.analyzer)

    def changed(self, documents: Sequence[Document]) -> list[Document]:
        """Return those of the documents that are not in the index as they are."""
        with self.store.snapshot() as reader:
            there = reader.digests([document.id for document in documents])
        return [document for document in documents if there.get(document.id) != digest(document)]

    def _batches(self, documents: object, check: _Check | None = None) -> Iterator[list[Document]]:
        """Cut what a caller gives into transactions; a list is checked as a whole first."""
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
        """Put the documents of a file or a folder in; only those that are new or have changed are encoded.

        What was stopped goes on when it is called again. See `munjang.search.build.build`.
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
        """Encode all documents anew, with another model, analyser or length of passages.

        What is not said stays, but for passages that a model could not read. Searches see the old until all
        is ready, and what was stopped goes on when it is called again with the same arguments. Gives how many
        documents this call has encoded. See `munjang.search.build.migrate`.
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
        """Drop what a `migrate` that was stopped has prepared."""
        self.store.abandon()

    def rebuild(self) -> None:
        """Make what only makes searches fast anew, and give back the space of what was deleted."""
        self.store.rebuild()

    def close(self) -> None:
        """Let go of the store; closing twice is no error."""
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
    except ValueError:  # damaged metadata may hold what is no JSON
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
