"""Texts, and pairs of texts, with a label or a score, read from files."""

from __future__ import annotations

from munjang.data.examples import LabelledText, ScoredPair
from munjang.data.tables import FilePath, Table
from munjang.errors import InputError

__all__ = ["PAIRS", "read_labelled_texts", "read_scored_pairs"]

# Usual names of the columns in published data, in order of preference; case-insensitive.
PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("text", "text_pair"),
)
_TEXTS = ("text", "document", "sentence", "review", "comment", "utterance", "title", "question", "q")
_LABELS = ("gold_label", "label", "labels", "is_duplicate", "category", "class", "intent", "sentiment")
_NUMBERS = ("score", "labels.label", "label", "labels", "rating", "similarity", "value")
_SCORES = ("score", "similarity_score", "similarity", "labels.label", "label", "labels")


def read_labelled_texts(
    path: FilePath,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    numeric: bool = False,
    encoding: str = "utf-8",
    quoting: bool | None = None,
    header: bool = True,
) -> list[LabelledText]:
    """Read texts or pairs of texts with their labels from CSV, TSV, JSON (Lines) or parquet, ``.gz`` or not.

    Columns that are not named are found by the names that published data has: those of NSMC, KorNLI, XNLI,
    MNLI, question pairs, KLUE, GLUE. Who names ``text`` alone gets no pairs. Without a ``header`` the columns
    are called 1, 2, 3, ...; what stands in an object of JSON has a name such as ``labels.label``.

    Labels are given as they stand, as texts; with ``numeric`` they are numbers, for regression. ``quoting``
    is whether quotes are quotes; None decides by the file.

    Raises `DataFileError`, with the line, for a file that is not as it should be, a column that is missing,
    a text or label that is empty, and a label that is no finite number where it should be one; `InputError`
    for ``text_pair`` without ``text``.
    """
    if text_pair is not None and text is None:
        raise InputError(f"text_pair is {text_pair!r}, but text is not named; name both columns of the pair.")
    table = Table(path, encoding=encoding, quoting=quoting, header=header)
    texts = _text_columns(table, text, text_pair)
    target = table.choose(label, _NUMBERS if numeric else _LABELS, "labels")
    return [
        LabelledText(
            text=entry.text(texts[0]),
            text_pair=entry.text(texts[1]) if len(texts) > 1 else None,
            label=entry.number(target) if numeric else entry.label(target),
        )
        for entry in table
    ]


def read_scored_pairs(
    path: FilePath,
    *,
    sentence1: str | None = None,
    sentence2: str | None = None,
    score: str | None = None,
    encoding: str = "utf-8",
    quoting: bool | None = None,
    header: bool | None = None,
) -> list[ScoredPair]:
    """Read pairs of sentences with a score, as in KorSTS, KLUE-STS and the STS benchmark.

    Files and options are those of `read_labelled_texts`, but for the names of the columns. ``header`` None
    decides by the first row: three columns of which the last is a number are already a pair and its score.
    Scores stay on the scale of the file. Raises as `read_labelled_texts`.
    """
    named = (sentence1, sentence2, score)
    if header is None:
        header = named != (None, None, None) or not _bare(path, encoding, quoting)
    table = Table(path, encoding=encoding, quoting=quoting, header=header)
    if not header and len(table.columns) == 3:
        one, other, target = (
            table.choose(name, (at,), "pairs") for name, at in zip(named, "123", strict=True)
        )
    else:
        one, other = table.choose_two(sentence1, sentence2, PAIRS)
        target = table.choose(score, _SCORES, "scores")
    return [ScoredPair(entry.text(one), entry.text(other), entry.number(target)) for entry in table]


def _text_columns(table: Table, text: str | None, text_pair: str | None) -> list[str]:
    if text is not None:
        named = [name for name in (text, text_pair) if name is not None]
        return [table.choose(name, (), "texts") for name in named]
    for pair in PAIRS:
        found = table.first.columns(pair)
        if len(found) == 2:
            return found
    return [table.choose(None, _TEXTS, "texts")]


def _bare(path: FilePath, encoding: str, quoting: bool | None) -> bool:
    """Return whether the first row is a pair with its score and names no columns."""
    first = Table(path, encoding=encoding, quoting=quoting, header=False).first
    return list(first.values) == ["1", "2", "3"] and _is_number(first.values["3"])


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
