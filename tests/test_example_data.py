"""The example questions are well-formed: every row is complete, unique and in the language it claims."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

PATH = Path(__file__).parent.parent / "examples" / "everyday_questions.csv"
COLUMNS = ["id", "lang", "topic", "question", "answer"]
LONGEST_QUESTION = 120
LONGEST_ANSWER = 240
HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")

Row = dict[str, str]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    with PATH.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def repeated(values: list[str]) -> list[str]:
    """Return the values that occur more than once, for the message of an assertion."""
    return [value for value, count in Counter(values).items() if count > 1]


def test_the_header_names_the_columns() -> None:
    with PATH.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == COLUMNS


def test_every_row_has_exactly_the_columns() -> None:
    with PATH.open(encoding="utf-8", newline="") as file:
        widths = {len(fields) for fields in csv.reader(file, strict=True)}
    assert widths == {len(COLUMNS)}


def test_there_are_enough_rows_of_both_languages(rows: list[Row]) -> None:
    languages = Counter(row["lang"] for row in rows)
    assert len(rows) >= 300
    assert set(languages) == {"ko", "en"}
    assert min(languages.values()) >= 100


def test_the_script_fits_the_language(rows: list[Row]) -> None:
    wrong = [row["id"] for row in rows if bool(HANGUL.search(row["question"])) != (row["lang"] == "ko")]
    wrong += [row["id"] for row in rows if bool(HANGUL.search(row["answer"])) != (row["lang"] == "ko")]
    assert wrong == []


def test_ids_carry_the_language_and_are_unique(rows: list[Row]) -> None:
    assert repeated([row["id"] for row in rows]) == []
    assert [row["id"] for row in rows if not re.fullmatch(rf"{row['lang']}-\d{{3}}", row["id"])] == []


def test_no_question_occurs_twice(rows: list[Row]) -> None:
    assert repeated([row["question"].casefold() for row in rows]) == []


def test_topics_are_slugs_known_in_both_languages(rows: list[Row]) -> None:
    topics = {lang: {row["topic"] for row in rows if row["lang"] == lang} for lang in ("ko", "en")}
    assert topics["ko"] == topics["en"]
    assert [topic for topic in topics["ko"] if not re.fullmatch(r"[a-z]+(-[a-z]+)*", topic)] == []


@pytest.mark.parametrize("column", COLUMNS)
def test_fields_are_normalized(rows: list[Row], column: str) -> None:
    for row in rows:
        value = row[column]
        assert value, f"{row['id']}: {column} is empty"
        assert value == " ".join(value.split()), f"{row['id']}: {column} has stray white space"
        assert unicodedata.is_normalized("NFC", value), f"{row['id']}: {column} is not NFC"
        assert value.isprintable(), f"{row['id']}: {column} has a control character"


def test_questions_and_answers_are_short(rows: list[Row]) -> None:
    assert [row["id"] for row in rows if len(row["question"]) > LONGEST_QUESTION] == []
    assert [row["id"] for row in rows if len(row["answer"]) > LONGEST_ANSWER] == []
