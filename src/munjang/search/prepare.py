"""`Preparer`: prepares documents for storage: splits them into passages, analyzes and encodes these."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from munjang.progress import Advance
from munjang.search.documents import Document, Entry, Passage
from munjang.search.settings import IndexSettings, open_model
from munjang.search.text.analysis import Analyzer, analyzer_named
from munjang.search.text.chunking import Chunker
from munjang.sentence.encoding import EncodeOptions
from munjang.sentence.transformer import EncodeCall, SentenceTransformer

_FORM = 1  # version of the digest's input format


def digest(document: Document) -> bytes:
    """Return the SHA-256 of a document's content, independent of the order of its fields and metadata."""
    content = [
        _FORM,
        document.id,
        dict(document.fields),
        dict(document.metadata),
        document.source,
    ]
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).digest()


class Preparer:
    """Converts documents to entries for an index with these settings; independent of the store.

    Args:
        settings: of the index.
        model: the model of the settings.
        analyzer: the analyzer of the settings.
    """

    def __init__(self, settings: IndexSettings, model: SentenceTransformer, analyzer: Analyzer) -> None:
        self._settings = settings
        self._model = model
        self._analyzer = analyzer
        self._chunker = Chunker(model.tokenizer, tokens=settings.chunk_tokens, overlap=settings.chunk_overlap)

    def prepare(self, documents: Sequence[Document], advance: Advance | None = None) -> list[Entry]:
        """Return the entries, in order; ``advance`` is called with the number of documents done."""
        pieces = list(self._pieces(documents))
        texts = [_text(documents, piece) for piece in pieces]
        words = self._analyzer.words_batch(texts)
        report = _in_documents(advance, len(documents), self._encoded(pieces))
        vectors = iter(self._vectors(texts, pieces, report))
        passages: list[list[Passage]] = [[] for _ in documents]
        for (number, field, start, end), its_words in zip(pieces, words, strict=True):
            vector = next(vectors) if field in self._settings.embedded else None
            passages[number].append(
                Passage(field=field, start=start, end=end, words=its_words, vector=vector)
            )
        report(None)
        return [
            Entry(document=document, digest=digest(document), passages=its_passages)
            for document, its_passages in zip(documents, passages, strict=True)
        ]

    def _pieces(self, documents: Sequence[Document]) -> Iterator[_Piece]:
        """Split the documents; yield each passage as its document's index, its field and its offsets."""
        fields = [
            (number, name, document.fields[name])
            for number, document in enumerate(documents)
            for name in self._settings.fields
            if name in document.fields
        ]
        passages = self._chunker.cut([text for *_, text in fields])
        for (number, name, _), offsets in zip(fields, passages, strict=True):
            for start, end in offsets:
                yield number, name, start, end

    def _encoded(self, pieces: Sequence[_Piece]) -> int:
        return sum(field in self._settings.embedded for _, field, *_ in pieces)

    def _vectors(
        self, texts: Sequence[str], pieces: Sequence[_Piece], report: Callable[[int | None], None]
    ) -> NDArray[np.float32]:
        """Return the vectors of passages in embedded fields; equal passages are encoded once."""
        embedded = self._settings.embedded
        wanted = [text for text, (_, field, *_) in zip(texts, pieces, strict=True) if field in embedded]
        options = EncodeOptions(
            prompt=self._settings.prompts["document"],
            normalize_embeddings=self._settings.normalize,
            truncate_dim=self._model.truncate_dim,
        )
        vectors: NDArray[np.float32] = EncodeCall(self._model, options).all(wanted, report)
        return vectors


_Piece = tuple[int, str, int, int]


def _text(documents: Sequence[Document], piece: _Piece) -> str:
    number, field, start, end = piece
    return documents[number].fields[field][start:end]


def _in_documents(advance: Advance | None, documents: int, passages: int) -> Callable[[int | None], None]:
    """Return a function that converts progress in passages to documents; ``None`` reports the rest."""
    done = reported = 0

    def report(count: int | None) -> None:
        nonlocal done, reported
        done = passages if count is None else done + count
        now = documents if count is None else documents * done // passages
        if advance is not None and now > reported:
            advance(now - reported)
            reported = now

    return report


class Engine(Protocol):
    """Prepares batches of documents; independent of the store: the caller writes the entries."""

    def run(
        self, settings: IndexSettings, model_name: str, batches: Iterable[Sequence[Document]]
    ) -> Iterator[list[Entry]]:
        """Yield the entries of each batch exactly once, in order of completion.

        ``batches`` is read lazily, never far ahead. ``model_name`` is the name or folder of the model, with
        which workers open it. Raises the errors of opening the model and of preparing.
        """
        ...


class LocalEngine:
    """Prepares batches in this process sequentially, each on all cores; the default.

    Args:
        model: the model, if it is already open.
    """

    def __init__(self, model: SentenceTransformer | None = None) -> None:
        self._model = model

    def run(
        self, settings: IndexSettings, model_name: str, batches: Iterable[Sequence[Document]]
    ) -> Iterator[list[Entry]]:
        """Yield the entries of each batch, in order."""
        preparer: Preparer | None = None
        for batch in batches:
            preparer = preparer or open_preparer(settings, model_name, model=self._model)
            yield preparer.prepare(batch)


def open_preparer(
    settings: IndexSettings,
    model_name: str,
    *,
    model: SentenceTransformer | None = None,
    threads: int | None = None,
) -> Preparer:
    """Return a preparer with the model and analyzer of an index's settings, both opened."""
    opened = model or open_model(replace(settings, model=model_name), threads=threads)
    return Preparer(settings, opened, analyzer_named(settings.analyzer))
