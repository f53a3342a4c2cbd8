"""What an index keeps: documents, the passages that they are cut into, and what a search gives back."""

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
from munjang.search.text.snippets import Snippet
from munjang.validation import checked_text, plain_value, shown_value

__all__ = [
    "TEXT",
    "Document",
    "DocumentId",
    "Entry",
    "Hit",
    "Passage",
    "checked_document",
    "checked_documents",
    "checked_id",
    "content_id",
    "fits_64_bits",
]

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


_LONGEST_ID = 1000
_ID, _METADATA = "id", "metadata"


def checked_documents(documents: Iterable[object], fields: Sequence[str]) -> list[Document]:
    """Read documents as users give them; see `checked_document`.

    Raises `InputError` also for two different documents with one id.
    """
    found: dict[DocumentId, Document] = {}
    for given in documents:
        document = checked_document(given, fields)
        if found.setdefault(document.id, document) != document:
            raise InputError(f"The id {document.id!r} is given to two different documents.")
    return list(found.values())


def checked_document(given: object, fields: Sequence[str]) -> Document:
    """Read a `Document`, a dictionary with ``id``, the fields and ``metadata``, or a text.

    A text is the first field, and its id is made of it: the same text has the same id. Raises
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
        found = given.get(_METADATA)
        metadata, source = {} if found is None else found, None
    else:
        raise InputTypeError(
            f"A document is a Document, a dictionary or a text, got a {type(given).__name__}."
        )
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
    """Make an id of a text, for one that has none."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def fits_64_bits(value: int) -> bool:
    """Return whether a store and SQL can hold a whole number as one."""
    return -(2**63) <= value < 2**63


def checked_id(value: object) -> DocumentId:
    """Return an id as a plain value; raise `InputTypeError` or `InputError` for one that can't be."""
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
            "what is not to be searched goes under 'metadata'."
        )
    return {
        name: checked_text(values[name], f"{where}: the field '{name}'") for name in fields if name in values
    }


def _metadata(metadata: object, where: str) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise InputTypeError(f"{where}: metadata must be a dictionary, got {shown_value(metadata)}.")
    try:
        found = _json(metadata, f"{where}: metadata")
        json.dumps(found)
    except RecursionError:
        raise InputError(f"{where}: metadata is nested too deeply.") from None
    assert isinstance(found, dict)
    return found


def _json(value: object, where: str) -> Any:
    """Return a copy of a value in what JSON has."""
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
        return [_json(one, where) for one in value]
    if isinstance(value, Mapping):
        return {_key(name, where): _json(one, f"{where}.{name}") for name, one in value.items()}
    raise InputTypeError(
        f"{where} holds {shown_value(value)} ({type(value).__name__}), which JSON can't hold."
    )


def _key(name: object, where: str) -> str:
    if not isinstance(name, str):
        raise InputTypeError(f"{where} has the name {shown_value(name)}, but names are texts.")
    return checked_text(name, f"{where}: a name")
