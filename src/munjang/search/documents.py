"""Data classes of an index: documents, their passages and entries, and search hits; checks of documents."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError
from munjang.rounding import rounded
from munjang.search.text.snippets import Snippet
from munjang.validation import checked_text, plain_value, shown_value

DocumentId: TypeAlias = int | str

TEXT = "text"  # the default field of documents with a single field


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document of an index.

    Attributes:
        id: an integer or a string; 17 and "17" are different ids.
        fields: its texts by field name, such as ``{"question": ..., "answer": ...}``.
        metadata: any JSON object, for filters and for display.
        source: the file that it was read from, if any.
    """

    id: DocumentId
    fields: Mapping[str, str]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A part of a document's field, short enough for the model.

    Attributes:
        field: the name of the field.
        start: start offset in the field's text, in code points.
        end: end offset (exclusive).
        words: the analyzer's words of the passage, in order, for lexical search.
        vector: ``[d]`` float32; ``None`` for a field with lexical search only.
    """

    field: str
    start: int
    end: int
    words: Sequence[str]
    vector: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A document prepared for storage: split into passages, analyzed and encoded.

    ``digest`` is the digest of the document, so that unchanged documents are not encoded again.
    """

    document: Document
    digest: bytes
    passages: Sequence[Passage]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A result of a search: a document and its best passage.

    Attributes:
        rank: 1 for the best.
        id: of the document.
        score: the sort key of the hits: similarity, BM25 or fused score, depending on ``mode``, or the
            cross-encoder's score; comparable only within the same search. A fused score is relative to the
            best hit and is no absolute measure of relevance: see `similarity`, `bm25` and `lead`.
        text: the passage.
        field: the field that contains the passage.
        start: start offset of the passage in that field, in code points.
        end: end offset (exclusive).
        document: the whole document.
        scores: the scores of the parts of the search that ran: ``semantic``, ``lexical``, ``rerank``.
        lead: how far its cosine exceeds the mean cosine ``m`` of the query's 6th to 25th nearest documents,
            as a share of ``1 - m``; ``None`` in a lexical search, without cosines, or with fewer than 11
            documents. Below about 0.15 a document hardly matches better than the rest of the index.
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
        """The cosine or dot product with the query; ``None`` if the hit has only a lexical score."""
        return self.scores.get("semantic")

    @property
    def bm25(self) -> float | None:
        """The BM25 score; ``None`` if no word of the query matches, or without a lexical search."""
        return self.scores.get("lexical")

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the snippet's maker, for JSON; scores with six decimals."""
        return {
            "rank": self.rank,
            "id": self.id,
            "score": rounded(self.score),
            "similarity": None if self.similarity is None else rounded(self.similarity),
            "bm25": None if self.bm25 is None else rounded(self.bm25),
            "lead": None if self.lead is None else rounded(self.lead),
            "text": self.text,
            "field": self.field,
            "start": self.start,
            "end": self.end,
            "snippet": self.snippet,
            "marks": [list(mark) for mark in self.marks],
            "scores": {name: rounded(score) for name, score in self.scores.items()},
            "fields": dict(self.document.fields),
            "metadata": dict(self.document.metadata),
            "source": self.document.source,
        }

    @property
    def snippet(self) -> str:
        """The part of the passage with the query's words; computed lazily."""
        return self.make_snippet().text

    @property
    def marks(self) -> Sequence[tuple[int, int]]:
        """The offsets ``(start, end)`` of the query's words in ``snippet``."""
        return self.make_snippet().marks


_LONGEST_ID = 1000
_ID, _METADATA = "id", "metadata"


def checked_documents(documents: Iterable[object], fields: Sequence[str]) -> list[Document]:
    """Return checked documents from user input; see `checked_document`.

    Raises `InputError` also for two different documents with the same id.
    """
    checked: dict[DocumentId, Document] = {}
    for given in documents:
        document = checked_document(given, fields)
        if checked.setdefault(document.id, document) != document:
            raise InputError(f"The id {document.id!r} is given to two different documents.")
    return list(checked.values())


def checked_document(given: object, fields: Sequence[str]) -> Document:
    """Return a checked document from a `Document`, a dictionary (``id``, fields, ``metadata``) or a text.

    A text becomes the first field, and its id is a hash of the text: equal texts have equal ids. Raises
    `InputTypeError` and `InputError` that name the document.
    """
    if isinstance(given, str):
        return Document(id=content_id(given), fields={fields[0]: checked_text(given, "The text")})
    if isinstance(given, Document):
        values, metadata, source = dict(given.fields), given.metadata, given.source
        number = checked_id(given.id)
    elif isinstance(given, Mapping):
        number = _id_of(given)
        values = {name: text for name, text in given.items() if name not in (_ID, _METADATA)}
        stored = given.get(_METADATA)
        metadata, source = {} if stored is None else stored, None
    else:
        raise InputTypeError(f"A document is a Document, a dictionary or a text, got {shown_value(given)}.")
    where = f"Document {number!r}"
    if source is not None:
        source = checked_text(source, f"{where}: the source")
    return Document(
        id=number,
        fields=_fields(values, fields, where),
        metadata=_metadata(metadata, where),
        source=source,
    )


def content_id(text: str) -> str:
    """Return an id computed from a text, for a document without an id."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def fits_64_bits(value: int) -> bool:
    """Return whether a store and SQL can keep an integer as an integer (64 bits)."""
    return -(2**63) <= value < 2**63


def checked_id(value: object) -> DocumentId:
    """Return an id as a plain int or str; raise `InputTypeError` or `InputError` for an invalid id."""
    value = plain_value(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputTypeError(f"An id is a whole number or a text, got {shown_value(value)}.")
    if isinstance(value, int):
        if not fits_64_bits(value):
            raise InputError(f"The id {shown_value(value)} is beyond 64 bits; write it as a text.")
        return value
    if not value or len(value) > _LONGEST_ID:
        raise InputError(f"An id has 1 to {_LONGEST_ID} characters, got {len(value)}.")
    return checked_text(value, "The id")


def _id_of(given: Mapping[Any, Any]) -> DocumentId:
    if _ID not in given:
        raise InputError(f"A document needs an 'id', got one with {', '.join(map(str, given)) or 'nothing'}.")
    return checked_id(given[_ID])


def _fields(values: Mapping[Any, object], fields: Sequence[str], where: str) -> dict[str, str]:
    unknown = [name for name in values if name not in fields]
    if unknown:
        raise InputError(
            f"{where} has a field {unknown[0]!r}, but the index has {', '.join(fields)}; "
            "values that are not searched belong in 'metadata'."
        )
    return {
        name: checked_text(values[name], f"{where}: the field '{name}'") for name in fields if name in values
    }


def _metadata(metadata: object, where: str) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise InputTypeError(f"{where}: metadata must be a dictionary, got {shown_value(metadata)}.")
    try:
        plain = _json(metadata, f"{where}: metadata")
        json.dumps(plain)
    except RecursionError:
        raise InputError(f"{where}: metadata is nested too deeply.") from None
    assert isinstance(plain, dict)
    return plain


def _json(value: object, where: str) -> Any:
    """Return a copy of a value made of JSON types only."""
    value = plain_value(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return checked_text(value, where)
    if isinstance(value, int):
        if not fits_64_bits(value):
            raise InputError(f"{where} holds {shown_value(value)}, beyond 64 bits; write it as a text.")
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_json(member, where) for member in value]
    if isinstance(value, Mapping):
        return {_key(name, where): _json(member, f"{where}.{name}") for name, member in value.items()}
    raise InputTypeError(
        f"{where} holds {shown_value(value)} ({type(value).__name__}), which JSON can't hold."
    )


def _key(name: object, where: str) -> str:
    if not isinstance(name, str):
        raise InputTypeError(f"{where} has the name {shown_value(name)}, but names are texts.")
    return checked_text(name, f"{where}: a name")
