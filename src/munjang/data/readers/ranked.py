"""Queries with documents and their relevance, read from files."""

from __future__ import annotations

from munjang.data.examples import RankedList
from munjang.data.tables import Entry, FilePath, Table

__all__ = ["read_ranked_lists"]

_QUERIES = ("query", "question", "anchor")
_DOCUMENTS = ("documents", "passages", "docs", "document", "passage", "doc", "text")
_RELEVANCE = ("relevance", "relevances", "scores", "labels", "label", "score")


def read_ranked_lists(
    path: FilePath,
    *,
    query: str | None = None,
    documents: str | None = None,
    relevance: str | None = None,
    encoding: str = "utf-8",
    quoting: bool | None = None,
    header: bool = True,
) -> list[RankedList]:
    """Read queries, each with documents and their relevance, which is 1 and 0 or any finite numbers.

    A row holds a whole list (JSON Lines: ``documents`` and ``relevance`` or ``scores``), or one document of
    a query; rows of equal queries are then one list, in the order of the file.

    Raises `DataFileError`, with the line, for a file that is not as it should be, a column that is missing,
    an empty text, a list that is empty, relevance that is no finite number, and lists of different length.
    """
    table = Table(path, encoding=encoding, quoting=quoting, header=header)
    columns = (
        table.choose(query, _QUERIES, "queries"),
        table.choose(documents, _DOCUMENTS, "documents"),
        table.choose(relevance, _RELEVANCE, "relevance"),
    )
    if isinstance(table.first.values[columns[1]], list):
        return [_whole(entry, *columns) for entry in table]
    return _grouped(table, *columns)


def _whole(entry: Entry, query: str, documents: str, relevance: str) -> RankedList:
    texts = [entry.as_text(text, f"an entry of '{documents}'") for text in entry.items(documents)]
    values = [entry.as_number(value, f"an entry of '{relevance}'") for value in entry.items(relevance)]
    if not texts:
        raise entry.error(f"'{documents}' is an empty list.")
    if len(texts) != len(values):
        raise entry.error(f"'{documents}' has {len(texts)} entries, but '{relevance}' has {len(values)}.")
    return RankedList(entry.text(query), tuple(texts), tuple(values))


def _grouped(table: Table, query: str, document: str, relevance: str) -> list[RankedList]:
    found: dict[str, list[tuple[str, float]]] = {}
    for entry in table:
        pair = (entry.text(document), entry.number(relevance))
        found.setdefault(entry.text(query), []).append(pair)
    return [
        RankedList(text, tuple(one for one, _ in pairs), tuple(value for _, value in pairs))
        for text, pairs in found.items()
    ]
