"""`Source`: a user's file or folder as documents for an index."""

from __future__ import annotations

import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from munjang.data.files import DataFile, Row, check_encoding, check_path, numbered_lines, opened
from munjang.errors import DataFileError, InputError
from munjang.search.documents import (
    Document,
    DocumentId,
    checked_document,
    checked_id,
    content_id,
    fits_64_bits,
)

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_TITLE_BLOCK = re.compile(r"\A---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


class Section(NamedTuple):
    """The text under a heading, up to the next heading, and the path of its headings, outermost first."""

    headings: tuple[str, ...]
    text: str


def sections(text: str) -> Iterator[Section]:
    """Yield the sections of Markdown, split at headings (``#`` and underlined, not in code blocks).

    The heading is part of its section's text, because it names the topic. Front matter (between dashes at the
    start of the file) and sections without text are left out.
    """
    path: list[tuple[int, str]] = []
    body: list[str] = []
    fence: str | None = None
    for line in _TITLE_BLOCK.sub("", text, count=1).splitlines():
        fence = _fence_after(line, fence)
        level, title = (0, "") if fence else _heading(line, body)
        if not level:
            body.append(line)
            continue
        if not line.lstrip().startswith("#"):
            body.pop()  # the title line above the underline
        yield from _section(path, body)
        path = [(depth, name) for depth, name in path if depth < level] + [(level, title)]
        body = [title]
    yield from _section(path, body)


def _section(path: list[tuple[int, str]], body: list[str]) -> Iterator[Section]:
    text = "\n".join(body).strip()
    headings = tuple(name for _, name in path)
    if text and text != (headings[-1] if headings else ""):
        yield Section(headings, text)


def _fence_after(line: str, fence: str | None) -> str | None:
    """Return the opening fence of the code block that is open after this line, or ``None``."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    if fence is None:
        return match[1]
    closes = match[1].startswith(fence) and line.strip() == match[1]
    return None if closes else fence


def _heading(line: str, before: list[str]) -> tuple[int, str]:
    """Return the level and title of a heading that ends with this line; level 0 for any other line."""
    if match := _HEADING.fullmatch(line):
        return len(match[1]), (match[2] or "").strip()
    is_title = bool(before) and bool(before[-1].strip()) and before[-1].strip()[0] not in "#>-*+|`"
    if is_title and (match := _UNDERLINE.fullmatch(line)):
        is_single_line = len(before) == 1 or not before[-2].strip()
        return (1 if match[1][0] == "=" else 2, before[-1].strip()) if is_single_line else (0, "")
    return 0, ""


def slug(title: str) -> str:
    """Return the anchor name of a heading for links."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title.lower()).strip()) or "section"


_UNTYPED = (".csv", ".tsv")
_MARKDOWN = (".md", ".markdown")
_SPARSE = (".jsonl", ".ndjson")  # formats in which rows may have different keys
_SNIFFED = 8192  # a file with a NUL in its first bytes is binary


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file or a folder to be read into an index.

    A text file is one document. Markdown has a document per section; CSV, TSV, JSON Lines and parquet have a
    document per row. A folder is read recursively, sorted by name; files that are hidden, binary, not
    regular or of an unsupported type are skipped and counted in ``skipped``.

    Args:
        path: the file or folder.
        columns: the column of each field of the index; by default the column of the same name, and for an
            index with a single field the column that `DataFile` chooses.
        id: the column of the ids; by default ``id``; without it an id is computed from the content.
        metadata: the columns to keep as metadata; by default all others of strings, numbers or booleans.
        lines: read text files as one document per line.
        encoding, quoting, header: as in `DataFile`.
        name: the recorded source of the documents; by default the last part of the path.
        skipped: number of skipped files, by reason.

    Iterating raises `DataFileError` and `InputError` for files that can't be read.
    """

    path: str
    columns: Mapping[str, str] = field(default_factory=dict)
    id: str | None = None
    metadata: Sequence[str] | None = None
    lines: bool = False
    encoding: str = "utf-8"
    quoting: bool | None = None
    header: bool = True
    name: str | None = None
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def root(self) -> str:
        """The recorded source of the documents, or its common prefix for the documents of a folder."""
        return self.name or Path(self.path).resolve().name

    def holds(self, source: str | None) -> bool:
        """Return whether a document's recorded source is this file or a file in this folder."""
        return source == self.root or (source or "").startswith(f"{self.root}/")

    @staticmethod
    def reads_rows(path: str) -> bool:
        """Return whether a file is split into documents by its format: rows, or sections of Markdown."""
        data = DataFile(path=path)
        return data.has_columns or data.kind in _MARKDOWN

    def check(self) -> None:
        """Raise `DataFileError` or `InputError` unless the source can be read."""
        check_encoding(self.encoding)
        if not Path(self.path).is_dir():
            check_path(self.path)

    def documents(self, fields: Sequence[str]) -> Iterator[Document]:
        """Yield the documents, for an index with these fields."""
        self.check()
        unknown = [name for name in self.columns if name not in fields]
        if unknown:
            raise InputError(f"The index has no field '{unknown[0]}'; it has {', '.join(fields)}.")
        self.skipped.clear()
        if not Path(self.path).is_dir():
            yield from self._file(self.path, self.root, fields)
            return
        for path, name in self._files():
            yield from self._file(path, f"{self.root}/{name}", fields)

    # Folders

    def _files(self) -> Iterator[tuple[str, str]]:
        """Yield the path and the relative name of each readable file of the folder."""
        for folder, folders, names in os.walk(self.path):
            hidden = [name for name in folders if name.startswith(".")]
            self.skipped.update(["hidden"] * len(hidden))
            folders[:] = sorted(set(folders) - set(hidden))
            for name in sorted(names):
                path = Path(folder, name)
                reason = "hidden" if name.startswith(".") else self._unreadable(path)
                if reason:
                    self.skipped[reason] += 1
                else:
                    yield str(path), path.relative_to(self.path).as_posix()

    def _unreadable(self, path: Path) -> str | None:
        """Return why a file is skipped; ``None`` for a readable file."""
        try:
            kind = DataFile(path=str(path)).kind
        except DataFileError:
            return "of another kind"
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                return "no regular file"  # opening a FIFO would block
            with path.open("rb") as file:
                begin = file.read(_SNIFFED)
        except OSError:
            return "unreadable"
        if kind == ".parquet" or path.suffix.lower() == ".gz":
            return None
        if b"\0" in begin and not self.encoding.lower().startswith(("utf-16", "utf16", "utf-32", "utf32")):
            return "binary"
        return None if begin.strip() else "empty"

    # Files

    def _file(self, path: str, name: str, fields: Sequence[str]) -> Iterator[Document]:
        data = DataFile(path=path)
        kind = data.kind
        if data.has_columns or (self.lines and kind not in _MARKDOWN):
            yield from self._table(path, name, fields)
        elif self.columns or self.id or self.metadata is not None:
            raise DataFileError(f"'{path}' is a text; it has no columns.")
        elif kind in _MARKDOWN:
            yield from self._markdown(path, name, fields[0])
        else:
            text = self._text(path)
            if text.strip():
                yield _checked(name, {fields[0]: text}, {}, name, fields)

    def _text(self, path: str) -> str:
        with opened(path) as file:
            return "".join(line for _, line in numbered_lines(file, f"'{path}'", self.encoding))

    def _markdown(self, path: str, name: str, field_name: str) -> Iterator[Document]:
        used: Counter[str] = Counter()
        for section in sections(self._text(path)):
            anchor = "/".join(slug(title) for title in section.headings)
            used[anchor] += 1
            ending = f"-{used[anchor]}" if used[anchor] > 1 else ""
            number = f"{name}#{anchor}{ending}" if anchor else f"{name}{ending}"
            metadata = {"headings": list(section.headings)} if section.headings else {}
            yield _checked(number, {field_name: section.text}, metadata, name, [field_name])

    def _table(self, path: str, name: str, fields: Sequence[str]) -> Iterator[Document]:
        data = DataFile(
            path=path, encoding=self.encoding, quoting=self.quoting, header=self.header, ids=False
        ).with_quoting()
        columns: dict[str, str] | None = None
        for row in replace(data, column=self._first_column(data, fields)):
            if columns is None:
                columns = self._columns(data, row, fields)
            texts = {field_name: row.values.get(column) for field_name, column in columns.items()}
            given = {field_name: text for field_name, text in texts.items() if text not in (None, "")}
            if given:
                yield self._row(row, given, columns, name, fields)

    def _first_column(self, data: DataFile, fields: Sequence[str]) -> str | None:
        """Return the text column to pass to `DataFile` if it can't choose a column, else ``None``."""
        if not data.has_columns:
            return next(iter(self.columns.values()), None)
        existing = data.columns()
        if self.columns:
            chosen = list(self.columns.values())
            return next((column for column in chosen if column in existing), chosen[0])
        return next((name for name in fields if name in existing), None)

    def _columns(self, data: DataFile, row: Row, fields: Sequence[str]) -> dict[str, str]:
        """Return the column of each field."""
        wanted = [*(self.columns.values() or fields), *([self.id] if self.id else []), *(self.metadata or ())]
        existing = _keys(data, row, wanted)
        chosen = self.columns or {name: name for name in fields if name in existing}
        if not chosen and len(fields) == 1:
            chosen = {fields[0]: row.column}
        wanted = [*chosen.values(), *([self.id] if self.id else []), *(self.metadata or ())]
        missing = [column for column in wanted if column not in existing]
        if missing or not chosen:
            lacking = f"no column '{missing[0]}'" if missing else f"none of the columns {', '.join(fields)}"
            raise DataFileError(
                f"{data.name} has {lacking}; it has {', '.join(row.values)}. Assign columns to "
                "fields: columns={'FIELD': 'COLUMN'}, on the command line --field FIELD=COLUMN."
            )
        return dict(chosen)

    def _row(
        self, row: Row, texts: Mapping[str, Any], columns: Mapping[str, str], name: str, fields: Sequence[str]
    ) -> Document:
        own = self.id or next((key for key in row.values if key.casefold() == "id"), None)
        if own in columns.values():
            own = None
        kept = self.metadata if self.metadata is not None else [*row.values]
        used = {*columns.values(), own} if self.metadata is None else set()
        metadata = {key: row.values.get(key) for key in kept if key not in used}
        metadata = {key: value for key, value in metadata.items() if _is_plain(value)}
        if DataFile(path=name).kind in _UNTYPED:
            metadata = {key: _number_or_text(value) for key, value in metadata.items()}
        number = row.values.get(own) if own else None
        if number is None or number == "":
            number = content_id(repr((name, sorted(texts.items()), sorted(metadata.items()))))
        try:
            return _checked(checked_id(number), texts, metadata, name, fields)
        except (InputError, TypeError) as error:
            raise DataFileError(f"'{name}', row {row.number + 1}: {error}") from None


def _keys(data: DataFile, first: Row, wanted: Sequence[str]) -> set[str]:
    """Return the keys of the first row; for JSON Lines also the wanted keys that occur only in later rows."""
    keys = set(first.values)
    if data.kind in _SPARSE and data.rereadable and not keys.issuperset(wanted):
        for record in data.records():
            keys.update(record.values)
            if keys.issuperset(wanted):
                break
    return keys


def _number_or_text(value: Any) -> Any:
    """Convert a string in canonical number form to a number, so that filters can compare it.

    Other strings stay strings, such as "007", and integers beyond 64 bits, which no store keeps as numbers.
    """
    for kind in (int, float):
        try:
            number = kind(value)
        except ValueError:
            continue
        if str(number) == value and math.isfinite(number):
            return number if kind is float or fits_64_bits(int(number)) else value
    return value


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool) and value == value and value != ""


def _checked(
    number: DocumentId,
    texts: Mapping[str, Any],
    metadata: Mapping[str, Any],
    name: str,
    fields: Sequence[str],
) -> Document:
    return checked_document(Document(id=number, fields=texts, metadata=metadata, source=name), fields)
