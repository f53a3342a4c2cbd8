"""Queries with documents and their relevance, read from files."""

from __future__ import annotations

from munjang.data.examples import RankedList
from munjang.data.records import Entry
from munjang.data.tables import FilePath, Table

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

    Raises `DataFileError`, with the line, for an invalid file, a missing column, an empty text, an empty
    list, relevance that is not a finite number, and lists of different length.
    """
    table = Table(path, encoding=encoding, quoting=quoting, header=header)
    query = table.columns.choose(query, _QUERIES, "queries")
    documents = table.columns.choose(documents, _DOCUMENTS, "documents")
    relevance = table.columns.choose(relevance, _RELEVANCE, "relevance")
    if isinstance(table.first.values.get(documents), list):
        return [_whole_list(entry, query, documents, relevance) for entry in table]
    lists: dict[str, list[tuple[str, float]]] = {}
    for entry in table:
        document = (entry.text(documents), entry.number(relevance))
        lists.setdefault(entry.text(query), []).append(document)
    return [
        RankedList(text, tuple(document for document, _ in graded), tuple(grade for _, grade in graded))
        for text, graded in lists.items()
    ]


def _whole_list(entry: Entry, query: str, documents: str, relevance: str) -> RankedList:
    texts = entry.texts(documents)
    values = [entry.as_number(value, f"an entry of '{relevance}'") for value in entry.items(relevance)]
    if not texts:
        raise entry.error(f"'{documents}' is an empty list.")
    if len(texts) != len(values):
        raise entry.error(f"'{documents}' has {len(texts)} entries, but '{relevance}' has {len(values)}.")
    return RankedList(entry.text(query), tuple(texts), tuple(values))
