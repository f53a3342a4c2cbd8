"""Texts, and pairs of texts, with a label or a score, read from files."""

from __future__ import annotations

from munjang.data.examples import LabelledText, ScoredPair
from munjang.data.tables import FilePath, Table
from munjang.errors import DataFileError, InputError

# Usual names of the columns in published data, in order of preference; case-insensitive.
PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("text", "text_pair"),
    ("문장1", "문장2"),
    ("전제", "가설"),
    ("질문1", "질문2"),
    ("텍스트1", "텍스트2"),
)
_TEXTS = (
    *("text", "document", "sentence", "review", "comment", "utterance", "title", "question", "q"),
    *("텍스트", "문서", "문장", "본문", "내용", "리뷰", "댓글", "발화", "제목", "질문"),
)
_LABELS = (
    *("gold_label", "label", "labels", "is_duplicate", "category", "class", "intent", "sentiment"),
    *("라벨", "레이블", "분류", "범주", "의도", "감정", "감성"),
)
_NUMBERS = (
    *("score", "labels.label", "label", "labels", "rating", "similarity", "value"),
    *("점수", "라벨", "레이블", "평점", "별점", "유사도", "값"),
)
_SCORES = (
    *("score", "similarity_score", "similarity", "labels.label", "label", "labels"),
    *("점수", "유사도", "라벨", "레이블"),
)


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

    Columns that are not named are found by the names that published data has (those of NSMC, KorNLI, XNLI,
    MNLI, question pairs, KLUE, GLUE), and by Korean names such as 문장 and 라벨. With ``text`` alone
    there are no pairs. Without a ``header`` the columns are called 1, 2, 3, ...; a value in a nested JSON
    object has a name such as ``labels.label``.

    Labels are texts in the normal form NFC, otherwise unchanged; with ``numeric`` they are numbers, for
    regression. ``quoting`` is whether quotes quote fields; with None they do in CSV, and in TSV the content
    of the file decides.

    Raises `DataFileError`, with the line, for an invalid file, a missing column, an empty text or label,
    labels such as 1 and 1.0 in one file of texts, and with ``numeric`` a label that is not a finite number;
    `InputError` for ``text_pair`` without ``text``.
    """
    if text_pair is not None and text is None:
        raise InputError(f"text_pair is {text_pair!r}, but text is not named; name both columns of the pair.")
    table = Table(path, encoding=encoding, quoting=quoting, header=header)
    if text is not None:
        named = [name for name in (text, text_pair) if name is not None]
        texts = [table.columns.choose(name, (), "texts", "text") for name in named]
    else:
        texts = [*table.columns.usual_pair(PAIRS)] or [table.columns.choose(None, _TEXTS, "texts", "text")]
    label = table.columns.choose(label, _NUMBERS if numeric else _LABELS, "labels", "label")
    examples = [
        LabelledText(
            text=entry.text(texts[0]),
            text_pair=entry.text(texts[1]) if len(texts) > 1 else None,
            label=entry.number(label) if numeric else entry.label(label),
        )
        for entry in table
    ]
    labels = {example.label for example in examples}
    for name in labels:
        if isinstance(name, str) and name.isdecimal() and f"{name}.0" in labels:
            raise DataFileError(f"{table.name} has the labels '{name}' and '{name}.0'; write one of them.")
    return examples


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

    Files and options are those of `read_labelled_texts`, except the names of the columns. With ``header``
    None the first row decides: three columns of which the last is a number are a pair and its score, no
    header. Scores stay on the scale of the file. Raises as `read_labelled_texts`.
    """
    if header is None:
        header = not (sentence1 is sentence2 is score is None and _is_bare(path, encoding, quoting))
    table = Table(path, encoding=encoding, quoting=quoting, header=header)
    columns = table.columns
    is_numbered = not header and len(columns.names) == 3
    usual = ("1", "2") if is_numbered else columns.usual_pair(PAIRS)
    sentence1 = columns.choose(sentence1, usual[:1], "first texts of the pairs", "sentence1")
    sentence2 = columns.choose(sentence2, usual[1:], "second texts of the pairs", "sentence2")
    score = columns.choose(score, ("3",) if is_numbered else _SCORES, "scores", "score")
    return [ScoredPair(entry.text(sentence1), entry.text(sentence2), entry.number(score)) for entry in table]


def _is_bare(path: FilePath, encoding: str, quoting: bool | None) -> bool:
    """Return whether the first row is a pair with its score and no header."""
    first = Table(path, encoding=encoding, quoting=quoting, header=False).first
    return list(first.values) == ["1", "2", "3"] and _is_number(first.values["3"])


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True
