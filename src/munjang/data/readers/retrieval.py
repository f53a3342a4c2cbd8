"""Readers of anchors with positives and negatives, and of queries with documents and their relevance."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from munjang.data.examples import Contrast, RankedList
from munjang.data.records import Entry, folded
from munjang.data.tables import FilePath, Table
from munjang.errors import DataFileError, InputTypeError

_ANCHORS = (
    *("anchor", "query", "question", "sentence1", "premise", "q"),
    *("질문", "질의", "검색어", "문장1", "전제"),
)
_POSITIVES = (
    *("positive", "pos", "answer", "sentence2", "hypothesis", "a"),
    *("답변", "답", "정답", "문장2", "가설"),
)
_NEGATIVE = re.compile(r"((hard_)?(negative|neg)|오답)_?\d*")
_NEGATIVES = ("negatives", "hard_negatives")
_PREMISES = ("premise", "전제")
_INFERENCE = (("sentence1", "sentence2"), ("premise", "hypothesis"), ("문장1", "문장2"), ("전제", "가설"))
_RELATIONS = ("gold_label", "label", "라벨", "레이블")
_MEANINGS = {
    "entailment": "yes",
    "contradiction": "no",
    "neutral": "",
    "함의": "yes",
    "모순": "no",
    "중립": "",
    "-": "",  # people disagreed
}
_NAMES = frozenset(_MEANINGS) - {"-"}
_DECISIVE = _NAMES - {"neutral", "중립"}  # those can be sentiments too
# The numbers that data sets with premises use. In those with two sentences 0 and 1 mean other things.
_NUMBERS = {"0": "yes", "1": "", "2": "no", "-1": ""}
# Columns by which some pairs may not belong together: always, or depending on their values.
_SCORES = (
    *("score", "is_duplicate", "similarity", "similarity_score", "labels.label", "relevance", "relevant"),
    *("is_relevant", "점수", "유사도", "관련도"),
)
_FRACTION = re.compile(r"-?\d*\.\d+(e-?\d+)?")
_JUDGEMENTS = (*_RELATIONS, "labels")
_DENIALS = frozenset({"0", "-1", "false", "no", "n"})

_QUERIES = ("query", "question", "anchor", "질의", "질문", "검색어")
_DOCUMENTS = (
    *("documents", "passages", "docs", "document", "passage", "doc", "text"),
    *("문서", "문단", "본문", "텍스트"),
)
_RELEVANCE = (
    *("relevance", "relevances", "scores", "labels", "label", "score"),
    *("관련도", "라벨", "레이블", "점수"),
)


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
    answer, sentence2; negative, negative_1, ... and in JSON Lines a list ``negatives``. A negative that is
    missing, null, an empty text or an empty list is left out; a blank text, and an empty one in a list, are
    errors.

    Of natural language inference (KorNLI, XNLI), also with named columns, the positives are the sentences
    that a premise entails, and the negatives are all sentences that contradict it; a premise that entails
    nothing is left out.

    Raises `DataFileError`, with the line, for an invalid file, a missing column, an empty text and an unknown
    label of inference. A file with scores, or with labels that may mark pairs that do not belong together
    (numbers with a fraction, two different values, or only such as 0), is an error too, unless ``anchor`` and
    ``positive`` are named. Raises `InputTypeError` if ``negatives`` is a text.
    """
    if isinstance(negatives, str):
        raise InputTypeError(f"negatives is a list of column names, not the text {negatives!r}.")
    table = Table(path, encoding=encoding, quoting=quoting, header=header)
    entries = list(table)
    columns = table.columns
    pair, relation = columns.usual_pair(_INFERENCE), _relation_column(table, entries)
    if anchor is None and positive is None and negatives is None and pair and relation:
        return _inferred(entries, *pair, relation)
    is_named = anchor is not None and positive is not None
    if not is_named:
        _refuse_scores(table)
    anchor = columns.choose(anchor, _ANCHORS, "anchors", "anchor")
    positive = columns.choose(positive, _POSITIVES, "positives", "positive")
    if relation and _is_inference(entries, relation, pair[:1] == (anchor,) and folded(anchor) in _PREMISES):
        if negatives is None and pair in ((), (anchor, positive)):
            return _inferred(entries, anchor, positive, relation)
        raise DataFileError(
            f"{table.name} has labels of inference in '{relation}', so that not every pair belongs together; "
            "name the premises as the anchors, the hypotheses as the positives, and no negatives."
        )
    if not is_named and folded(positive) not in ("positive", "pos"):
        _refuse_judgements(table, entries)
    if negatives is not None:
        negatives = [columns.choose(name, (), "negatives", "negatives") for name in negatives]
    return [
        Contrast(entry.text(anchor), entry.text(positive), tuple(_negatives(entry, negatives)))
        for entry in entries
    ]


_IF_EVERY_PAIR = "name the columns of the anchors and positives if every pair does."


def _refuse_scores(table: Table) -> None:
    scored = table.columns.usual(_SCORES)
    if scored and not table.columns.usual(("anchor", "positive")):
        raise DataFileError(
            f"{table.name} has the column '{scored[0]}', so that not every pair belongs together; "
            f"{_IF_EVERY_PAIR}"
        )


def _refuse_judgements(table: Table, entries: Sequence[Entry]) -> None:
    """Raise `DataFileError` for a column of labels that are not the topics of pairs, as in ChatbotData."""
    for column in table.columns.usual(_JUDGEMENTS):
        values = (entry.values.get(column) for entry in entries)
        labels = {str(value).strip().casefold().removesuffix(".0") for value in values if _is_label(value)}
        if len(labels) == 2 or (labels and labels <= _DENIALS) or any(map(_FRACTION.fullmatch, labels)):
            shown = " and ".join(sorted(labels)) if len(labels) < 3 else "numbers"
            raise DataFileError(
                f"{table.name} has the column '{column}' with {shown:.80}, so that perhaps not every pair "
                f"belongs together. Keep the pairs that do, or {_IF_EVERY_PAIR}"
            )


def _is_label(value: object) -> bool:
    return isinstance(value, (str, int, float)) and value != ""


def _relation_column(table: Table, entries: Sequence[Entry]) -> str | None:
    """Return the column of labels: one with a usual name, or with nothing but the labels of inference."""

    def is_relation(column: str) -> bool:
        labels = (entry.values.get(column) for entry in entries)
        return all(isinstance(label, str) and folded(label) in _NAMES for label in labels)

    usual = table.columns.find(None, _RELATIONS)
    return usual or next(filter(is_relation, table.columns.names), None)


def _is_inference(entries: Sequence[Entry], relation: str, is_premise: bool) -> bool:
    """Return whether the labels are those of inference: names, or in a file of premises also numbers."""
    values = (entry.values.get(relation) for entry in entries)
    labels = {folded(str(value)) for value in values if _is_label(value)}
    return not labels.isdisjoint(_DECISIVE) or (is_premise and bool(labels) and labels <= _NUMBERS.keys())


def _is_negative(column: str) -> bool:
    name = folded(column)
    return name in _NEGATIVES or _NEGATIVE.fullmatch(name) is not None


def _negatives(entry: Entry, named: Sequence[str] | None) -> Iterator[str]:
    # The columns of this row: in JSON Lines another row may have more.
    for column in filter(_is_negative, entry.values) if named is None else named:
        value = entry.values.get(column)
        if isinstance(value, list):
            yield from entry.texts(column)
        elif value is not None and value != "":
            yield entry.text(column)


def _inferred(entries: Sequence[Entry], premise: str, hypothesis: str, label: str) -> list[Contrast]:
    meanings = _MEANINGS | (_NUMBERS if folded(premise) in _PREMISES else {})
    groups: dict[str, dict[str, list[str]]] = {}
    for entry in entries:
        relation = folded(entry.label(label))
        if relation not in meanings:
            raise entry.error(
                f"'{label}' is {entry.label(label)!r:.60}, not entailment, neutral or contradiction."
            )
        texts = groups.setdefault(entry.text(premise), {"yes": [], "no": [], "": []})
        texts[meanings[relation]].append(entry.text(hypothesis))
    contrasts = [
        Contrast(text, entailed, tuple(texts["no"]))
        for text, texts in groups.items()
        for entailed in texts["yes"]
    ]
    if not contrasts:
        raise DataFileError(
            f"{entries[0].file} has no row with the label 'entailment', so there are no positives."
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
    query = table.columns.choose(query, _QUERIES, "queries", "query")
    documents = table.columns.choose(documents, _DOCUMENTS, "documents", "documents")
    relevance = table.columns.choose(relevance, _RELEVANCE, "relevance", "relevance")
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
