"""Encodings for PostgreSQL: texts with NUL or lone surrogates, words, vectors, ids."""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from munjang.errors import InputError, InputTypeError
from munjang.search.documents import Document, DocumentId
from munjang.search.stores.base import check_form

__all__ = [
    "comparable",
    "copied_vector",
    "escaped",
    "id_key",
    "read_body",
    "read_id",
    "read_vectors",
    "unescaped",
    "vector_text",
    "words_query",
    "words_vector",
    "write_body",
    "write_id",
]

# Two code points that texts hardly ever have begin an escape. The order of texts stays as it was.
_RAW = re.compile("[\x00\x01\ud7ff-\udfff]")
_ESCAPES = re.compile("\x01[\x01\x02]|\ud7ff[\x01\u0100-\u08ff]")
_HALVES = re.compile("[\ud800-\udfff]")
_SURROGATES = 0xD800 - 0x100

# Limits of tsvector: https://www.postgresql.org/docs/current/textsearch-limitations.html
_LAST_POSITION = 16_383
_WORD_BYTES = 500  # 2,046 would do; what is longer is told apart by a hash
_VECTOR_BYTES = 1_000_000  # of 1,048,575, with room for alignment

_BEYOND = "1e5000"  # stands for infinity: more than any float, and than any int that Python writes as text


def escaped(text: str) -> str:
    """Return an escaped text that PostgreSQL accepts; the order of texts is preserved."""
    return _RAW.sub(_escape, text)


def unescaped(text: str) -> str:
    """Undo `escaped`."""
    return _ESCAPES.sub(_unescape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 2:
        return f"\x01{chr(code + 1)}"
    return "\ud7ff\x01" if code == 0xD7FF else f"\ud7ff{chr(code - _SURROGATES)}"


def _unescape(match: re.Match[str]) -> str:
    first, second = match[0][0], ord(match[0][1])
    if first == "\x01":
        return chr(second - 1)
    return "\ud7ff" if second == 1 else chr(second + _SURROGATES)


# Documents


def write_id(document: DocumentId) -> str:
    """Return an id as text in which 17 and "17" differ."""
    if isinstance(document, bool) or not isinstance(document, (int, str)):
        raise InputTypeError(f"A document's id is a whole number or a text, got {document!r}.")
    return f"i{document}" if isinstance(document, int) else f"s{escaped(document)}"


def read_id(text: str) -> DocumentId:
    """Undo `write_id`."""
    return int(text[1:]) if text[0] == "i" else unescaped(text[1:])


def id_key(document: DocumentId) -> bytes:
    """Return 16 bytes to look a document up by; an index holds no text of more than 2,700 bytes."""
    return hashlib.blake2b(write_id(document).encode(), digest_size=16).digest()


def write_body(document: Document) -> str:
    """Return fields and metadata as JSON; `InputTypeError` for metadata that can't be written as JSON."""
    try:
        if not _names_are_texts(document.metadata):
            raise TypeError("a name is no text")
        content = [dict(document.fields), dict(document.metadata)]
        body = json.dumps(content, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputTypeError(f"The metadata of document {document.id!r} can't be JSON: {error}.") from error
    if _HALVES.search(f"{body}{document.id}{document.source}"):
        raise InputError(f"Document {document.id!r} has half of a surrogate pair, which is not Unicode text.")
    return escaped(body)


def _names_are_texts(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _names_are_texts(one) for name, one in value.items())
    return not isinstance(value, (list, tuple)) or all(map(_names_are_texts, value))


def read_body(document: str, source: str | None, body: str) -> Document:
    """Undo `write_body`."""
    fields, metadata = json.loads(unescaped(body))
    place = None if source is None else unescaped(source)
    return check_form(Document(id=read_id(document), fields=fields, metadata=metadata, source=place))


# Metadata to filter by


def comparable(value: Any) -> str:
    """Write a value as JSON that PostgreSQL compares as Python does.

    Texts are escaped, whole floats beyond 2^53 get all their digits (a shorter form that reads as the same
    float may be another whole number), and infinity, which only a filter has, becomes more than everything.
    """
    if isinstance(value, str):
        return json.dumps(escaped(value), ensure_ascii=False)
    if isinstance(value, float):
        return _comparable_float(value)
    if isinstance(value, Mapping):
        pairs = (f"{comparable(name)}:{comparable(one)}" for name, one in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(comparable, value))}]"
    return json.dumps(value)


def _comparable_float(value: float) -> str:
    if math.isinf(value):
        return _BEYOND if value > 0 else f"-{_BEYOND}"
    return repr(value) if abs(value) < 2**53 else str(int(value))


# Words


def words_vector(words: Sequence[str]) -> str:
    """Write words as a tsvector.

    PostgreSQL keeps 256 positions of a word, none beyond 16,383, and a megabyte of words; what is more is
    not counted, but no error.
    """
    positions: dict[str, list[int]] = {}
    room = _VECTOR_BYTES
    for place, word in enumerate(words, start=1):
        if word not in positions:
            room -= min(len(word.encode("utf-8", "surrogatepass")), 2 * _WORD_BYTES) + 4
        room -= 2
        if room < 0:
            break
        positions.setdefault(word, []).append(min(place, _LAST_POSITION))
    return " ".join(
        f"{_quoted(word)}:{','.join(map(str, places))}" for word, places in positions.items() if word
    )


def words_query(words: Sequence[str]) -> str:
    """Return a tsquery that matches any of the words."""
    return "|".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """Quote a word for tsvector and tsquery, in which a quote and a backslash are doubled."""
    text = escaped(word)
    if len(text) > _WORD_BYTES // 4 and len(text.encode()) > _WORD_BYTES:
        text = f"{text[: _WORD_BYTES // 8]}{hashlib.sha256(text.encode()).hexdigest()}"
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


# Vectors


def vector_text(vector: NDArray[np.float32]) -> str:
    """Write ``[d]`` as pgvector reads it, each number with the digits that float32 has."""
    numbers = vector.tolist()
    return f"[{','.join(['%.9g'] * len(numbers)) % tuple(numbers)}]"


def copied_vector(passage: int, document: int, vector: NDArray[np.float32]) -> bytes:
    """Write a row of a passage's number, its document's and its vector for a binary COPY."""
    numbers = vector.astype(">f4").tobytes()
    size = len(numbers) + 4
    return struct.pack(">hiqiqihh", 3, 8, passage, 8, document, size, len(vector), 0) + numbers


def read_vectors(sent: Sequence[bytes], dimension: int) -> NDArray[np.float32]:
    """Read what ``vector_send`` gave: ``[n, d]``."""
    numbers = np.frombuffer(b"".join(one[4:] for one in sent), dtype=">f4")
    return numbers.reshape(len(sent), dimension).astype(np.float32)
