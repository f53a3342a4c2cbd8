"""`Index`: documents that are kept, and found by meaning and by word."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from munjang.errors import InputError, InputTypeError
from munjang.search.analysis import analyzer_named
from munjang.search.checking import checked_documents, checked_flag, checked_id, checked_number
from munjang.search.describing import describe, room
from munjang.search.documents import Document, DocumentId, Entry
from munjang.search.locating import is_new_file, open_store, shown
from munjang.search.lookup import Lookup
from munjang.search.opening import Wanted
from munjang.search.preparing import Advance, Preparer, digest
from munjang.search.store import TRANSACTION, Changes

if TYPE_CHECKING:
    from munjang.search.building import Built
    from munjang.search.collecting import Source
    from munjang.search.engines import Engine
    from munjang.sentence.transformer import SentenceTransformer

__all__ = ["Index"]

_LONGEST_WAIT = 86_400.0  # seconds for another writer; stores count in milliseconds of 32 bits
_Check = Callable[[Sequence[Document]], None]


class Index(Lookup):
    """Keeps documents in a file or a database, and finds them by meaning, by word, or by both.

    Example::

        with munjang.Index.open("faq.munjang", fields=["question", "answer"]) as index:
            index.add([{"id": 1, "question": "배송은 언제 되나요?", "answer": "이틀 걸려요."}])
            for hit in index.search("언제 도착해요?"):
                print(hit.score, hit.snippet)

    Open one with `Index.open`. Many processes may search while one writes. Every method raises `StoreError`
    when the place can't be read or written, `StoreBusyError` when another process keeps writing to it.
    """

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

    # Writing

    def add(self, documents: object, *, advance: Advance | None = None) -> int:
        """Put documents in; give their number.

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
        """Put documents in, each in place of the one that has its id; give how many were new or changed.

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
        """Take documents out, by one id or several; give how many were there."""
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
        """Give what makes this index's entries of documents."""
        return Preparer(self.settings, self.model, self.analyzer)

    def changed(self, documents: Sequence[Document]) -> list[Document]:
        """Give those of the documents that are not in the index as they are."""
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

        What was stopped goes on when it is called again. See `munjang.search.building.build`.
        """
        from munjang.search.building import build

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
        documents this call has encoded. See `munjang.search.migrating.migrate`.
        """
        from munjang.search.migrating import migrate

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
