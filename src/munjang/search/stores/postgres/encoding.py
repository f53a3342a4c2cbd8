"""The stored form of ids, documents, words and vectors in PostgreSQL.

Texts with NUL or lone surrogates, which PostgreSQL does not accept, are escaped.
"""

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

# An escape begins with one of two code points that hardly occur in texts. The order of texts is preserved.
_RAW = re.compile("[\x00\x01\ud7ff-\udfff]")
_ESCAPES = re.compile("\x01[\x01\x02]|\ud7ff[\x01\u0100-\u08ff]")
_HALVES = re.compile("[\ud800-\udfff]")
_SURROGATES = 0xD800 - 0x100

# Limits of tsvector: https://www.postgresql.org/docs/current/textsearch-limitations.html
_LAST_POSITION = 16_383
_WORD_BYTES = 500  # the limit is 2,046; longer words are replaced by a prefix and a hash
_VECTOR_BYTES = 1_000_000  # the limit is 1,048,575, including alignment

_BEYOND = "1e5000"  # represents infinity: larger than any float, and any int that Python writes as text


def escaped(text: str) -> str:
    """Return an escaped text that PostgreSQL accepts; the order of texts is preserved."""
    return _RAW.sub(_escape, text)


def unescaped(text: str) -> str:
    """Return the text from the result of `escaped`."""
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
    """Return the id from the text of `write_id`."""
    return int(text[1:]) if text[0] == "i" else unescaped(text[1:])


def id_key(document: DocumentId) -> bytes:
    """Return a key of 16 bytes for an id; PostgreSQL can't index a text of more than 2,700 bytes."""
    return hashlib.blake2b(write_id(document).encode(), digest_size=16).digest()


def write_body(document: Document) -> str:
    """Return fields and metadata as JSON; `InputTypeError` for metadata that can't be written as JSON."""
    try:
        if not _names_are_texts(document.metadata):
            raise TypeError("a name is not a text")
        content = [dict(document.fields), dict(document.metadata)]
        body = json.dumps(content, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputTypeError(f"The metadata of document {document.id!r} can't be JSON: {error}.") from error
    if _HALVES.search(f"{body}{document.id}{document.source}"):
        raise InputError(f"Document {document.id!r} has a lone surrogate, which is not Unicode text.")
    return escaped(body)


def _names_are_texts(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _names_are_texts(member) for name, member in value.items())
    return not isinstance(value, (list, tuple)) or all(map(_names_are_texts, value))


def read_document(document: str, source: str | None, body: str) -> Document:
    """Return the document of a row: id, source, and the JSON of `write_body`."""
    fields, metadata = json.loads(unescaped(body))
    source = None if source is None else unescaped(source)
    return check_form(Document(id=read_id(document), fields=fields, metadata=metadata, source=source))


# Metadata for filters


def comparable(value: Any) -> str:
    """Return a value as JSON that PostgreSQL compares as Python does.

    Texts are escaped. Floats beyond 2^53 are written with all digits, because a shorter form of the same
    float may be another integer. Infinity, which occurs only in filters, becomes larger than every number.
    """
    if isinstance(value, str):
        return json.dumps(escaped(value), ensure_ascii=False)
    if isinstance(value, float):
        return _comparable_float(value)
    if isinstance(value, Mapping):
        pairs = (f"{comparable(name)}:{comparable(member)}" for name, member in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(comparable, value))}]"
    return json.dumps(value)


def _comparable_float(value: float) -> str:
    if math.isinf(value):
        return _BEYOND if value > 0 else f"-{_BEYOND}"
    return repr(value) if abs(value) < 2**53 else str(int(value))


# Words


def words_text(words: Sequence[str]) -> str:
    """Return words as a tsvector.

    PostgreSQL stores at most 256 positions of a word, no position beyond 16,383, and a megabyte of words; the
    rest is ignored without an error.
    """
    positions: dict[str, list[int]] = {}
    free_bytes = _VECTOR_BYTES
    for position, word in enumerate(words, start=1):
        if word not in positions:
            free_bytes -= min(len(word.encode("utf-8", "surrogatepass")), 2 * _WORD_BYTES) + 4
        free_bytes -= 2
        if free_bytes < 0:
            break
        positions.setdefault(word, []).append(min(position, _LAST_POSITION))
    return " ".join(
        f"{_quoted(word)}:{','.join(map(str, listed))}" for word, listed in positions.items() if word
    )


def words_query(words: Sequence[str]) -> str:
    """Return a tsquery that matches any of the words."""
    return "|".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """Quote a word for tsvector and tsquery; quotes and backslashes are doubled."""
    text = escaped(word)
    if len(text) > _WORD_BYTES // 4 and len(text.encode()) > _WORD_BYTES:
        text = f"{text[: _WORD_BYTES // 8]}{hashlib.sha256(text.encode()).hexdigest()}"
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


# Vectors


def vector_text(vector: NDArray[np.float32]) -> str:
    """Return a vector ``[d]`` as text for pgvector, with all digits of float32."""
    numbers = vector.tolist()
    return f"[{','.join(['%.9g'] * len(numbers)) % tuple(numbers)}]"


def vector_row(passage: int, document: int, vector: NDArray[np.float32]) -> bytes:
    """Return a row for a binary COPY: the number of a passage, the number of its document, and its vector."""
    numbers = vector.astype(">f4").tobytes()
    size = len(numbers) + 4
    return struct.pack(">hiqiqihh", 3, 8, passage, 8, document, size, len(vector), 0) + numbers


def read_vectors(vectors: Sequence[bytes], dimension: int) -> NDArray[np.float32]:
    """Return the vectors ``[n, d]`` from the results of pgvector's ``vector_send``."""
    numbers = np.frombuffer(b"".join(vector[4:] for vector in vectors), dtype=">f4")
    return numbers.reshape(len(vectors), dimension).astype(np.float32)
