"""The stored form of ids, documents, words and vectors in SQLite."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputTypeError
from munjang.search.documents import Document, DocumentId
from munjang.search.stores.base import check_form

_MOST_DEPTH = 100
# A number that SQLite may read with another value: more digits than it keeps, or an exponent.
_LONG_NUMBER = re.compile(r"[:,\[]-?(?:[0-9.]{16,}|[0-9.]+[eE])")
_MOST_WORDS = 128  # maximum number of words of a query, the longest words; more cost time for little gain
_LONGEST_WORD = 1000
_CAPITALS = re.compile("[A-Z]")
_SPLITTING = re.compile("[\x00-\x20\x7f\ud800-\udfff]")  # the tokenizer splits here; or lone surrogates

compact_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


# Documents


def write_id(document: DocumentId) -> str:
    """Return an id as JSON, in which 17 and "17" differ."""
    if isinstance(document, bool) or not isinstance(document, (int, str)):
        raise InputTypeError(f"A document's id is a whole number or a text, got {document!r}.")
    return compact_json(document)


def read_id(text: str) -> DocumentId:
    """Return the id from the JSON of `write_id`."""
    document = json.loads(text)
    if isinstance(document, bool) or not isinstance(document, int | str):
        raise ValueError("an id is neither a number nor a text")
    return document


def ids_json(ids: Iterable[str]) -> str:
    """Return stored ids as a JSON array, a single SQL parameter."""
    return compact_json(list(ids))


def write_metadata(metadata: Mapping[str, Any], document: DocumentId) -> tuple[str, bool]:
    """Return metadata as JSON, and whether SQLite reads it as Python does (``plain``).

    Raises `InputTypeError` for metadata that can't be written as JSON.
    """
    try:
        _check_names(metadata, _MOST_DEPTH)
        text = compact_json(dict(metadata))
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"The metadata of document {document!r} can't be JSON: {error}.") from error
    return text, "\\u0000" not in text and _LONG_NUMBER.search(text) is None


def _check_names(value: object, depth: int) -> None:
    """Raise an error for names that are not strings, and for nesting too deep to be read back reliably."""
    if not isinstance(value, (Mapping, list, tuple)):
        return
    if not depth:
        raise ValueError(f"it is nested more than {_MOST_DEPTH} deep")
    if isinstance(value, Mapping):
        if wrong := [name for name in value if not isinstance(name, str)]:
            raise TypeError(f"the name {wrong[0]!r} is not a text")
        value = list(value.values())
    for member in value:
        _check_names(member, depth - 1)


def read_document(row: Sequence[Any]) -> Document:
    """Return the document of a row: id, fields, metadata, source."""
    document, fields, metadata, source = row
    return check_form(
        Document(
            id=read_id(document), fields=json.loads(fields), metadata=json.loads(metadata), source=source
        )
    )


# Words


def words_text(words: Sequence[str]) -> str:
    """Return the text to index for a list of words."""
    return _marked(" ".join(words))


def words_query(words: Sequence[str]) -> str:
    """Return an FTS5 query that matches any of the words; empty if no word can be in the index.

    Words are quoted; inside quotes only the quote character is special.
    """
    distinct = [word for word in dict.fromkeys(words) if _can_be_indexed(word)]
    if len(distinct) > _MOST_WORDS:
        distinct = sorted(distinct, key=len, reverse=True)[:_MOST_WORDS]
    return " OR ".join('"' + _marked(word).replace('"', '""') + '"' for word in distinct)


def _marked(text: str) -> str:
    """Mark capitals, since the tokenizer folds A-Z to a-z, but the analyzer's words are case-sensitive."""
    return _CAPITALS.sub("\ue000\\g<0>", text)


def _can_be_indexed(word: str) -> bool:
    """Return whether the tokenizer keeps this word whole, and SQLite can store it as text."""
    return 0 < len(word) <= _LONGEST_WORD and _SPLITTING.search(word) is None


# Vectors


def vector_blob(vector: NDArray[np.float32]) -> bytes:
    """Return a vector ``[d]`` as little-endian float32."""
    return np.asarray(vector, dtype="<f4").tobytes()
