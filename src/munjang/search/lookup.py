"""`Lookup`: the reading half of an `Index`."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from munjang.errors import IndexMismatchError, InputError, InputTypeError
from munjang.search.analysis import Analyzer, analyzer_named
from munjang.search.checking import checked_id
from munjang.search.describing import open_recorded
from munjang.search.documents import Document, DocumentId, Hit
from munjang.search.filters import parse_filter
from munjang.search.fusion import Fusion
from munjang.search.opening import check_model
from munjang.search.preparing import digest
from munjang.search.searching import SEMANTIC, Mode, checked_query, run_search, search_options
from munjang.search.store import IndexSettings, Store

if TYPE_CHECKING:
    from munjang.sentence.cross_encoder import CrossEncoder
    from munjang.sentence.transformer import SentenceTransformer

__all__ = ["Lookup"]

_NAMED = 5  # damaged documents that a check names


class Lookup:
    """What can be asked of an index; see `Index`."""

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

    # Documents

    def get(self, id: DocumentId) -> Document | None:  # noqa: A002 -- what it is
        """Give the document that has this id, or ``None``."""
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

    def close(self) -> None:
        """Let go of the store; closing twice is no error."""
        self.store.close()


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
