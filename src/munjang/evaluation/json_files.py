"""JSON documents and JSON Lines as entries that know their place."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import dropwhile
from typing import Any

from munjang.errors import DataFileError
from munjang.evaluation.entries import Entry, FilePath
from munjang.search.lines import check_encoding, numbered_lines, opened, shown_name
from munjang.search.records import json_records

__all__ = ["json_document", "json_entries"]

_ENCODING = "utf-8"


def json_document(path: FilePath) -> tuple[str, Any]:
    """Read a file that is one JSON value, ``.gz`` or not; give what messages call the file, and the value.

    Raises `DataFileError`, with the line, for a file that can't be read or is not JSON.
    """
    place = os.fspath(path)
    name = shown_name(place)
    with opened(place) as file:
        content = "".join(line for _, line in numbered_lines(file, name, _ENCODING))
    return name, _parsed(content, name)


def json_entries(path: FilePath, encoding: str = _ENCODING) -> Iterator[Entry]:
    """Read objects from JSON Lines or from one JSON list, whichever the file is.

    Raises `DataFileError`, with the line or the number of the entry, for anything else, and `InputError` for
    an unknown encoding.
    """
    place = os.fspath(path)
    name = shown_name(place)
    check_encoding(encoding)
    with opened(place) as file:  # whoever stops in the midst leaves no open file behind
        lines = list(dropwhile(lambda line: not line[1].strip(), numbered_lines(file, name, encoding)))
    if not lines:
        raise DataFileError(f"{name} has no entries: it is empty.")
    number, first = lines[0]
    if first.lstrip().startswith("["):
        # So that a line's number in a message is that of the file, whatever stood empty before.
        content = "\n" * (number - 1) + "".join(line for _, line in lines)
        yield from _listed(_parsed(content, name), name)
    else:
        yield from (Entry(name, *record) for record in json_records(lines, name))


def _listed(values: list[Any], name: str) -> Iterator[Entry]:
    if not values:
        raise DataFileError(f"{name} has no entries: its list is empty.")
    for number, value in enumerate(values, 1):
        whole = Entry(name, f"entry {number}", {})
        yield Entry(name, whole.place, whole.as_object(value, "the entry"))


def _parsed(content: str, name: str) -> Any:
    if not content.strip():
        raise DataFileError(f"{name} is empty.")
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise DataFileError(f"{name}, line {error.lineno}: not JSON: {error.msg}.") from None
    except (ValueError, RecursionError) as error:
        raise DataFileError(f"{name} can't be read as JSON: {error}.") from None
