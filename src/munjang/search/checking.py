"""What a user puts into an index, checked before anything is written."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from munjang.errors import InputError, InputTypeError
from munjang.search.documents import Document, DocumentId

__all__ = ["checked_document", "checked_documents", "checked_id", "checked_text", "content_id"]

_LONGEST_ID = 1000
_INTEGERS = range(-(2**63), 2**63)
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
        metadata, source = given.get(_METADATA) or {}, None
    else:
        raise InputTypeError(
            f"A document is a Document, a dictionary or a text, got a {type(given).__name__}."
        )
    where = f"Document {number!r}"
    if source is not None:
        checked_text(source, f"{where}: the source")
    return Document(
        id=number,
        fields=_fields(values, fields, where),
        metadata=_metadata(metadata, where),
        source=source,
    )


def content_id(text: str) -> str:
    """Make an id of a text, for one that has none."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def checked_id(value: object) -> DocumentId:
    """Give an id on; `InputTypeError` or `InputError` for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputTypeError(f"An id is a whole number or a text, got {value!r:.80}.")
    if isinstance(value, int):
        if value not in _INTEGERS:
            raise InputError(f"The id {value:.3e} is beyond 64 bits; give it as a text.")
        return int(value)
    if not value or len(value) > _LONGEST_ID:
        raise InputError(f"An id has 1 to {_LONGEST_ID} characters, got {len(value)}.")
    return checked_text(value, "The id")


def checked_text(value: object, what: str) -> str:
    """Give a text on; `InputTypeError` or `InputError` for what is none, or can't be stored."""
    if not isinstance(value, str):
        raise InputTypeError(f"{what} must be a text, got {value!r:.80}.")
    if "\0" in value:
        raise InputError(f"{what} has a NUL character at position {value.index(chr(0))}; take it out.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{what} has a lone surrogate U+{ord(value[error.start]):04X} at position {error.start}, "
            "which is no character; read it with its right encoding."
        ) from None
    return str(value)


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
        raise InputTypeError(f"{where}: metadata must be a dictionary, got {metadata!r:.80}.")
    try:
        found = _json(metadata, f"{where}: metadata")
        json.dumps(found)
    except RecursionError:
        raise InputError(f"{where}: metadata is nested too deeply.") from None
    assert isinstance(found, dict)
    return found


def _json(value: object, where: str) -> Any:
    """Copy what JSON can say."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return checked_text(value, where)
    if isinstance(value, int) and value in _INTEGERS:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        return [_json(one, where) for one in value]
    if isinstance(value, Mapping):
        return {_key(name, where): _json(one, f"{where}.{name}") for name, one in value.items()}
    kind = type(value).__name__
    raise InputTypeError(f"{where} holds {value!r:.60} ({kind}), which JSON can't say.")


def _key(name: object, where: str) -> str:
    if not isinstance(name, str):
        raise InputTypeError(f"{where} has the name {name!r:.60}, but names are texts.")
    return checked_text(name, f"{where}: a name")
