"""Readers of anchors with positives and negatives, and of queries with documents and their relevance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from munjang.data.examples import Contrast, RankedList
from munjang.data.records import Entry
from munjang.data.tables import FilePath, Table
from munjang.errors import DataFileError

_ANCHORS = ("anchor", "query", "question", "sentence1", "premise", "q", "질문")
_POSITIVES = ("positive", "pos", "answer", "sentence2", "hypothesis", "a", "답변")
_NEGATIVE = re.compile(r"(hard_)?(negative|neg)_?\d*")
_NEGATIVES = ("negatives", "hard_negatives")
_INFERENCE = (("sentence1", "sentence2"), ("premise", "hypothesis"))
_RELATIONS = ("gold_label", "label")
_MEANINGS = {"entailment": "yes", "contradiction": "no", "neutral": "", "-": ""}  # "-": people disagreed
# The numbers that data sets with premises use. In those with two sentences 0 and 1 mean other things.
_NUMBERS = {"0": "yes", "1": "", "2": "no", "-1": ""}
_SCORES = ("score", "is_duplicate", "similarity", "relevance")

_QUERIES = ("query", "question", "anchor")
_DOCUMENTS = ("documents", "passages", "docs", "document", "passage", "doc", "text")
_RELEVANCE = ("relevance", "relevances", "scores", "labels", "label", "score")


def read_contrasts(
    path: FilePath,
    *,
    anchor: str | None = None,
    positive: str | None = None,
    negatives: Sequence[str] | None = None,
    encoding: str = "utf-8",
    quoting: bool | None = None,
    header: bool = True,
) -> list[Contrast]:
    """Read anchors, each with a positive and optional negatives.

    Columns that are not named are found by their usual names: anchor, query, question, sentence1; positive,
    answer, sentence2; negative, negative_1, ... and in JSON Lines a list ``negatives``. Empty negatives are
    left out. From files of inference (KorNLI, XNLI) come the sentences that a premise entails, each with all
    that contradict the same premise; a premise that entails nothing is left out.

    Raises `DataFileError`, with the line, for an invalid file, a missing column, an empty text, an unknown
    label of inference, and pairs with scores, of which not all belong together.
    """
    table = Table(path, encoding=encoding, quoting=quoting, header=header)
    if anchor is None and positive is None and negatives is None:
        pair = table.columns.usual_pair(_INFERENCE)
        label = table.columns.find(None, _RELATIONS)
        if pair and label:
            return _inferred(table, *pair, label)
        _refuse_scores(table)
    anchor = table.columns.choose(anchor, _ANCHORS, "anchors")
    positive = table.columns.choose(positive, _POSITIVES, "positives")
    for name in negatives or ():
        table.columns.choose(name, (), "negatives")
    return [
        Contrast(entry.text(anchor), entry.text(positive), tuple(_negatives(entry, negatives)))
        for entry in table
    ]


def _refuse_scores(table: Table) -> None:
    scored = table.columns.usual(_SCORES)
    if scored and not table.columns.usual(("anchor", "positive")):
        raise DataFileError(
            f"{table.name} has the column '{scored[0]}', so that not every pair belongs together; name the "
            "columns of the anchors and positives if every pair does."
        )


def _is_negative(column: str) -> bool:
    name = column.strip().casefold()
    return name in _NEGATIVES or _NEGATIVE.fullmatch(name) is not None


def _negatives(entry: Entry, named: Sequence[str] | None) -> Iterator[str]:
    # The columns of this row: in JSON Lines another row may have more.
    for column in filter(_is_negative, entry.values) if named is None else named:
        value = entry.values.get(column)
        if isinstance(value, list):
            yield from entry.texts(column)
        elif value is not None and value != "":
            yield entry.text(column)


def _inferred(table: Table, premise: str, hypothesis: str, label: str) -> list[Contrast]:
    meanings = _MEANINGS | (_NUMBERS if premise.strip().casefold() == "premise" else {})
    groups: dict[str, dict[str, list[str]]] = {}
    for entry in table:
        relation = entry.label(label)
        if relation not in meanings:
            raise entry.error(f"'{label}' is {relation!r:.60}, not entailment, neutral or contradiction.")
        texts = groups.setdefault(entry.text(premise), {"yes": [], "no": [], "": []})
        texts[meanings[relation]].append(entry.text(hypothesis))
    contrasts = [
        Contrast(text, entailed, tuple(texts["no"]))
        for text, texts in groups.items()
        for entailed in texts["yes"]
    ]
    if not contrasts:
        raise DataFileError(
            f"{table.name} has no row with the label 'entailment', so there are no positives."
        )
    return contrasts


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
