"""Texts with entities: each format is recognised by its content, and offsets refer to the unchanged text.

Bad: a file of no such format, more or fewer tags than words, a line without a tag, a tag that is none, only
comments, an entity outside the text, empty, overlapping, of nothing but spaces, with places that are no
whole numbers or count from the end, without a type.
"""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from munjang.data import read_tagged_texts
from munjang.data.tags import TaggedText
from munjang.errors import DataFileError

WORDS: list[TaggedText] = [
    {"text": "이순신은 한산 섬에서 이겼다 .", "entities": [(0, 4, "PER"), (5, 11, "LOC")]},
    {"text": "Seoul", "entities": [(0, 5, "LOC")]},
]


def write(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


def test_characters(tmp_path: Path) -> None:
    content = (
        "## 0\t<이순신:PS>은 3#\n이\tB-PS\n순\tI-PS\n신\tI-PS\n은\tO\n \tO\n3\tB-QT\n#\tO\n\n{\tO\n}\tO\n"
    )
    assert read_tagged_texts(write(tmp_path / "a.tsv", content)) == [
        {"text": "이순신은 3#", "entities": [(0, 3, "PS"), (5, 6, "QT")]},
        {"text": "{}", "entities": []},
    ]


def test_a_word_of_one_character_does_not_make_a_file_of_characters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "I\tO\nam\tO\n\nA\tB-PS\n")
    assert read_tagged_texts(path) == [
        {"text": "I am", "entities": []},
        {"text": "A", "entities": [(0, 1, "PS")]},
    ]


@pytest.mark.parametrize(
    "content",
    [
        "이순신은 한산 섬에서 이겼다 .\tPER-B LOC-B LOC-I O O\nSeoul\tLOC-B\n",  # Naver NER
        "Seoul\tLOC_B\n이순신은 한산 섬에서 이겼다 .\tPER_B LOC_B LOC_I O O\n",
        "이순신은\tPER-B\n한산\tLOC-B\n섬에서\tLOC-I\n이겼다\tO\n.\tO\n\nSeoul\tLOC-B\n\n",
        "# text = 이순신은\n이순신은 B-PER\n한산 B-LOC\n섬에서  I-LOC\n이겼다 O\n. O\n\n\nSeoul B-LOC",
        "-DOCSTART- - O\n\n이순신은 N B-PER\n한산 N B-LOC\n섬에서 N I-LOC\n이겼다 V O\n. P O\n\nSeoul B-LOC",
        "1\t이순신은\tPER_B\n2\t한산\tLOC_B\n3\t섬에서\tLOC_I\n4\t이겼다\t-\tO\n5\t.\tO\n\n1\tSeoul\tLOC_B\n",
    ],
)
def test_words(content: str, tmp_path: Path) -> None:
    found = read_tagged_texts(write(tmp_path / "a.tsv", content))
    assert sorted(found, key=lambda example: -len(example["text"])) == WORDS


def test_numbers_among_the_words_are_words(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "1 NUM B-QT\n2 NUM B-QT\n\n3 NUM O\n")
    assert [example["text"] for example in read_tagged_texts(path)] == ["1 2", "3"]
    path = write(tmp_path / "b.txt", "1 B-QT\n2 B-QT\n")
    assert [example["text"] for example in read_tagged_texts(path)] == ["1 2"]
    path = write(tmp_path / "c.txt", "0 a O\n1 b O\n\n0 c O\n")
    assert [example["text"] for example in read_tagged_texts(path)] == ["a b", "c"]


def test_a_number_sign_with_a_tag_is_a_word(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "# id 1\n# O\n1 B-QT\n##ing O\n")
    assert read_tagged_texts(path) == [{"text": "# 1 ##ing", "entities": [(2, 3, "QT")]}]


def test_an_entity_may_begin_without_its_first_tag(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "New I-LC\nYork I-LC\nis O\nbig B-QT\n")
    assert read_tagged_texts(path) == [
        {"text": "New York is big", "entities": [(0, 8, "LC"), (12, 15, "QT")]}
    ]


def test_objects_keep_their_offsets(tmp_path: Path) -> None:
    text = unicodedata.normalize("NFD", "한글은 세종이")
    start = text.index(unicodedata.normalize("NFD", "세종"))
    example: dict[str, Any] = {"text": text, "entities": [[start, start + 5, "PS"], [0, 6, "CV"]]}
    path = write(tmp_path / "a.jsonl", json.dumps(example) + '\n\n{"text": "끝", "entities": []}\n')
    found = read_tagged_texts(path)
    assert found == [
        {"text": text, "entities": [(0, 6, "CV"), (start, start + 5, "PS")]},
        {"text": "끝", "entities": []},
    ]
    assert unicodedata.normalize("NFC", text[start : start + 5]) == "세종"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("그냥 글이다.\n또 한 줄.\n", "line 1: '그냥 글이다.' is no text with tags"),
        ("id\tdocument\tlabel\n1\t좋다\t1\n", "line 1: .* is no text with tags"),
        ("## 설명\n\n## 또\n", "has no texts"),
        ("-DOCSTART- O\n", "has no texts, only comments"),
        ("가\tO\n \tO\n나다\tO\n", "line 3: .* is not a character, a tab and a tag"),
        ("가\tO\n \tO\n나\n", "line 3: '나' is not a character"),
        ("가 나\tO O\n다 라\tO\n", "line 2: 2 words, but 1 tags"),
        ("가 나\tO O\n다 라\tO O B-PS\n", "line 2: 2 words, but 3 tags"),
        ("가 나\tO O\n다 라\n", "line 2: 2 words, but 0 tags"),
        ("Seoul O\nis\n", "line 2: 'is' is not a word and its tag"),
        ("Seoul O\nis NN\n", "line 2: 'is NN' is not a word and its tag"),
        ("1\tSeoul\tO\n2\t\tO\n", "line 2: '2  O' is not a word and its tag"),
        ("Seoul\tO\n\tO\n", "line 2: ' O' is not a word and its tag"),
    ],
)
def test_bad_lines(content: str, message: str, tmp_path: Path) -> None:
    check(write(tmp_path / "a.tsv", content), message)


@pytest.mark.parametrize(
    ("entities", "message"),
    [
        ([[0, 2, "LC"], [4, 9, "PS"]], r"an entity \[4, 9\] is no part of the text of 6 characters"),
        ([[7, 8, "LC"]], r"an entity \[7, 8\] is no part"),
        ([[2, 2, "LC"]], r"an entity \[2, 2\] is no part"),
        ([[3, 1, "LC"]], r"an entity \[3, 1\] is no part"),
        ([[-2, 1, "LC"]], "the start of an entity is -2; offsets count from 0"),
        ([[0, "2", "LC"]], "the end of an entity is '2', not a whole number"),
        ([[0.0, 2, "LC"]], r"the start of an entity is 0\.0, not a whole number"),
        ([[0, True, "LC"]], "the end of an entity is a truth value, not a whole number"),
        ([[2, 3, "LC"]], r"an entity \[2, 3\] holds nothing but spaces"),
        ([[0, 2, "LC"], [1, 4, "PS"]], "the entities .* overlap"),
        ([[0, 2, "LC"], [0, 2, "LC"]], "the entities .* overlap"),
        ([[0, 2]], r"an entity is \[0, 2\], not a list \[start, end, type\]"),
        ([[0, 2, "LC", 1]], "an entity is .*, not a list"),
        ([[0, 2, " "]], "the type of an entity is empty"),
        ([[0, 2, "O"]], "the type of an entity is 'O', the tag of text outside of entities"),
        ([[0, 2, 3]], "the type of an entity is a number, not a text"),
        (["서울"], "an entity is '서울', not a list"),
        ([{"start": 0, "end": 2}], "an entity is .*, not a list"),
        ({}, "'entities' is an object, not a list"),
        (None, "'entities' is null, not a list"),
    ],
)
def test_bad_entities(entities: object, message: str, tmp_path: Path) -> None:
    good = '{"text": "글", "entities": []}\n'
    line = json.dumps({"text": "서울 간다 ", "entities": entities}, ensure_ascii=False)
    check(write(tmp_path / "a.jsonl", good + line), f"line 2: {message}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"entities": []}', "there is no 'text'"),
        ('{"text": "글"}', "there is no 'entities'"),
        ('{"text": " ", "entities": []}', "'text' is empty"),
        ('{"text": 1, "entities": []}', "'text' is a number, not a text"),
        ('{"text": "글", "entities": [}', "not JSON"),
    ],
)
def test_bad_objects(line: str, message: str, tmp_path: Path) -> None:
    check(write(tmp_path / "a.jsonl", line), f"line 1: {message}")


def check(path: Path, message: str) -> None:
    with pytest.raises(DataFileError, match=message) as caught:
        read_tagged_texts(path)
    assert re.match(f"'.*{path.name}'", str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_no_break_space_is_part_of_a_word(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "New\u00a0York B-LOC\n is  O\n\u3000\nSeoul B-LOC\n")
    assert read_tagged_texts(path) == [
        {"text": "New\u00a0York is", "entities": [(0, 8, "LOC")]},
        {"text": "Seoul", "entities": [(0, 5, "LOC")]},
    ]


def test_characters_without_a_space(tmp_path: Path) -> None:
    rows = "I\tB-PER\na\tO\n\nb\tO\n"
    check(write(tmp_path / "a.tsv", rows), "has a character and a tag in each line, and no line for a space")
    expected = [("Ia", [(0, 1, "PER")]), ("b", [])]
    found = read_tagged_texts(write(tmp_path / "b.tsv", f"## 1\n{rows}"))
    assert [(example["text"], example["entities"]) for example in found] == expected
    found = read_tagged_texts(write(tmp_path / "c.txt", rows.replace("\t", " ")))
    assert [example["text"] for example in found] == ["I a", "b"]
    late = "".join(f"{letter}\tO\n" for letter in "가" * 3000) + f" \tO\n{rows}"
    assert len(read_tagged_texts(write(tmp_path / "d.tsv", late))[0]["text"]) == 3003


@pytest.mark.parametrize("tags", ["O B-LC O", "O LC-B O"])
def test_one_word_in_each_line(tags: str, tmp_path: Path) -> None:
    rows = "".join(
        f"{word}\t{tag}\n" for word, tag in zip(("안녕", "서울", "부산"), tags.split(), strict=True)
    )
    check(write(tmp_path / "a.tsv", rows), "has a word and a tag in each line, and no blank line")
    expected = [{"text": "안녕 서울 부산", "entities": [(3, 5, "LC")]}]
    assert read_tagged_texts(write(tmp_path / "b.tsv", f"{rows}\n")) == expected


@pytest.mark.parametrize(
    "content",
    [
        "서\tB-인물\n울\tI-{}\n \tO\n",
        "서울 역\tB-인물 I-{}\n",
        "서울 B-인물\n역 I-{}\n",
        "서울 인물-B\n역 {}-I\n",
        '{{"text": "서울 ", "entities": [[0, 2, "{}"]]}}\n',
    ],
)
def test_types_in_both_normal_forms(content: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", content.format(unicodedata.normalize("NFD", "인물")))
    (example,) = read_tagged_texts(path)
    assert example["entities"] == [(0, len(example["text"].strip()), "인물")]


def test_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes("이순신 장군\tPER-B O\n".encode("cp949"))
    assert [example["text"] for example in read_tagged_texts(path, encoding="cp949")] == ["이순신 장군"]
