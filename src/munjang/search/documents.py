"""What an index keeps: documents, the passages that they are cut into, and what a search gives back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.search.snippets import Snippet

__all__ = ["TEXT", "Document", "DocumentId", "Entry", "Hit", "Passage"]

DocumentId: TypeAlias = int | str

TEXT = "text"  # the field of documents that have only one


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a user puts into an index and gets back from it.

    Attributes:
        id: a whole number or a text; 17 and "17" are two documents.
        fields: its texts by name, such as ``{"question": ..., "answer": ...}``.
        metadata: anything that JSON can say, to filter by and to show.
        source: the file that it was read from, if it was.
    """

    id: DocumentId
    fields: Mapping[str, str]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of one field of a document, small enough for the model.

    Attributes:
        field: the field that it is a piece of.
        start: where it begins in the field's text, in code points.
        end: where it ends.
        words: what the analyser made of it, in order, for search by word.
        vector: ``[d]`` float32; ``None`` for a field that is searched by word alone.
    """

    field: str
    start: int
    end: int
    words: Sequence[str]
    vector: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A document made ready to be stored: cut, analysed and encoded.

    ``digest`` is of the document itself, so that one that has not changed need not be encoded again.
    """

    document: Document
    digest: bytes
    passages: Sequence[Passage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One result of a search: a document, and the passage of it that fits best.

    Attributes:
        rank: 1 for the best.
        id: the document's.
        score: by ``mode`` similarity, BM25 or fused, or the cross-encoder's, what hits are ordered by;
            comparable within one search only. A fused score is relative to the best hit's, and does not show
            how well that one fits: `similarity`, `bm25` and `lead` do.
        text: the passage.
        field: the field that the passage is a piece of.
        start: where it begins in that field, in code points.
        end: where it ends.
        document: the whole document.
        scores: those of the parts of the search: ``semantic``, ``lexical``, ``rerank``, as far as asked.
        lead: how far its cosine exceeds those of the query's 6th to 25th nearest documents, as a share of
            what they lack to 1; ``None`` in a search by word, without cosines, or among fewer than 11
            documents. Below about 0.15 a document hardly fits better than the rest of the index.
    """

    rank: int
    id: DocumentId
    score: float
    text: str
    field: str
    start: int
    end: int
    document: Document
    scores: Mapping[str, float]
    lead: float | None = None
    make_snippet: Callable[[], Snippet] = dataclasses.field(repr=False, compare=False)

    @property
    def similarity(self) -> float | None:
        """The cosine, or dot product, with the query; ``None`` where only words were compared."""
        return self.scores.get("semantic")

    @property
    def bm25(self) -> float | None:
        """The score by word; ``None`` if no word of the query is in the document, or none was looked for."""
        return self.scores.get("lexical")

    @property
    def snippet(self) -> str:
        """The part of the passage that shows the query's words; made when it is asked for."""
        return self.make_snippet().text

    @property
    def marks(self) -> Sequence[tuple[int, int]]:
        """Where the query's words are in ``snippet``, as ``(start, end)``."""
        return self.make_snippet().marks
