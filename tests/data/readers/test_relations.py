"""Relations: both layouts, as JSON Lines and as one list.

Bad: a text, entity or label that is missing or of another type, places outside the text, negative, empty or
of spaces only, a word that is not at its place or of another length, entities that overlap, a number of a
label that KLUE does not have, entries that are no objects.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from munjang.data import read_relations
from munjang.data.examples import RelationExample
from munjang.errors import DataFileError

TEXT = "〈훈민정음〉은 세종이 만들었다."
EXPECTED = RelationExample(TEXT, (8, 10, "PER"), (1, 5, "POH"), "per:product")
PLAIN: dict[str, Any] = {
    "text": TEXT,
    "subject": [8, 10, "PER"],
    "object": [1, 5, "POH"],
    "label": "per:product",
}
KLUE: dict[str, Any] = {
    "guid": "klue-re-v1_train_00000",
    "sentence": TEXT,
    "subject_entity": {"word": "세종", "start_idx": 8, "end_idx": 9, "type": "PER"},
    "object_entity": {"word": "훈민정음", "start_idx": 1, "end_idx": 4, "type": "POH"},
    "label": "per:product",
    "source": "wikipedia",
}


def written(path: Path, *entries: object, lines: bool = False, indent: int | None = None) -> Path:
    texts = [json.dumps(entry, ensure_ascii=False) for entry in entries]
    content = "\n".join(texts) if lines else json.dumps(entries, ensure_ascii=False, indent=indent)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "entry",
    [PLAIN, KLUE, {**KLUE, "label": 27}, {**KLUE, "label": 27.0}],
    ids=["plain", "klue", "number", "float"],
)
@pytest.mark.parametrize("lines", [True, False])
def test_both_layouts(entry: dict[str, Any], lines: bool, tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", entry, entry, lines=lines, indent=1)
    assert read_relations(path) == [EXPECTED, EXPECTED]


def test_types_may_be_missing(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.jsonl", {**PLAIN, "subject": [8, 10], "object": [1, 5], "label": 3}, lines=True
    )
    assert read_relations(path) == [RelationExample(TEXT, (8, 10), (1, 5), "3")]


def test_offsets_refer_to_the_unchanged_text(tmp_path: Path) -> None:
    text = unicodedata.normalize("NFD", TEXT)
    word = unicodedata.normalize("NFD", "세종")
    start = text.index(word)
    subject = {"word": word, "start_idx": start, "end_idx": start + len(word) - 1, "type": "PER"}
    first = {"word": text[0], "start_idx": 0, "end_idx": 0, "type": "POH"}
    entry = {**KLUE, "sentence": text, "subject_entity": subject, "object_entity": first}
    (found,) = read_relations(written(tmp_path / "a.json", entry))
    assert text[found.subject[0] : found.subject[1]] == word
    assert found.text == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": None}, "'text' is empty."),
        ({"text": 1}, "'text' is a number, not a text."),
        ({"label": " "}, "'label' is empty."),
        ({"label": None}, "'label' is empty."),
        ({"subject": [8, 99]}, "'subject' [8, 99] is no part of the text of 17 characters."),
        ({"subject": [-1, 2]}, "the start of 'subject' is -1; offsets count from 0."),
        ({"object": [5, 5]}, "'object' [5, 5] is no part of the text"),
        ({"object": [7, 8]}, "'object' [7, 8] holds nothing but spaces."),
        ({"object": [1.0, 5]}, "the start of 'object' is 1.0, not a whole number."),
        ({"object": [1]}, "'object' is [1], not a list [start, end, type]."),
        ({"object": "훈민정음"}, "'object' is '훈민정음', not a list [start, end, type]."),
        ({"object": [1, 5, "POH", 2]}, "'object' has 4 parts, not [start, end, type]."),
        ({"object": [1, 5, 3]}, "the type of 'object' is a number, not a text."),
        ({"subject": [3, 9]}, "the subject [3, 9] and the object [1, 5] overlap."),
    ],
)
def test_bad_entries(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    check(written(tmp_path / "a.jsonl", PLAIN, {**PLAIN, **changes}, lines=True), f"line 2: {message}")
    check(written(tmp_path / "a.json", PLAIN, {**PLAIN, **changes}), f"entry 2: {message}")


@pytest.mark.parametrize("missing", ["text", "subject", "object", "label"])
def test_a_part_that_is_missing(missing: str, tmp_path: Path) -> None:
    entry = {key: value for key, value in PLAIN.items() if key != missing}
    check(written(tmp_path / "a.jsonl", entry, lines=True), f"line 1: there is no '{missing}'.")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"start_idx": 7, "end_idx": 8},
            "'subject_entity': the word '세종' should begin at character 7, but ' 세' is there; it",
        ),
        ({"end_idx": 10}, "'start_idx' 8 and 'end_idx' 10 hold 3 characters, but the word '세종' has 2."),
        ({"start_idx": 30}, "but the text has 17 characters; it begins at 8."),
        ({"start_idx": -10}, "'start_idx' is -10; offsets count from 0."),
        ({"end_idx": "9"}, "'end_idx' is '9', not a whole number."),
        ({"word": ""}, "'word' is empty."),
        ({"type": None}, "'type' is empty."),
    ],
)
def test_bad_words(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    entity = {**KLUE["subject_entity"], **changes}
    check(written(tmp_path / "a.json", KLUE, {**KLUE, "subject_entity": entity}), "entry 2, ", message)


def test_other_bad_entries_of_klue(tmp_path: Path) -> None:
    check(
        written(tmp_path / "a.json", {**KLUE, "label": 30}),
        "'label' is 30; KLUE-RE numbers its labels 0 to 29.",
    )
    check(written(tmp_path / "a.json", {**KLUE, "object_entity": "훈민정음"}), "is a text, not an object.")
    overlapping = {**KLUE, "object_entity": KLUE["subject_entity"]}
    check(written(tmp_path / "a.json", overlapping), "the subject [8, 10] and the object [8, 10] overlap.")


def test_files_of_another_kind(tmp_path: Path) -> None:
    check(written(tmp_path / "a.json"), "has no entries: its list is empty.")
    check(written(tmp_path / "a.json", "글"), "entry 1: the entry is a text, not an object.")
    (tmp_path / "b.json").write_text("\n\n[{},\n{]", encoding="utf-8")
    check(tmp_path / "b.json", "line 4: not JSON")
    (tmp_path / "b.json").write_text("sentence\tlabel\n", encoding="utf-8")
    check(tmp_path / "b.json", "line 1: not JSON")


def check(path: Path, *parts: str) -> None:
    with pytest.raises(DataFileError) as caught:
        read_relations(path)
    message = str(caught.value)
    assert message.startswith(f"'{path}'")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_another_format_and_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("text\tlabel\n가\t1\n", encoding="utf-8")
    with pytest.raises(
        DataFileError, match=r"line 1: not JSON: .*; relations come as JSON Lines or a JSON list"
    ):
        read_relations(path)
    path.write_bytes(json.dumps(PLAIN, ensure_ascii=False).encode("cp949", errors="replace"))
    assert read_relations(path, encoding="cp949")[0].label == "per:product"
