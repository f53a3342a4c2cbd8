"""Properties of all readers of labelled files.

Right: the same examples with CRLF line ends, a mark at the beginning, no line end at the end, packed as .gz.
Bad: no such file, a folder, an empty file, bytes that are no UTF-8, a NUL, an archive that is cut short.
Each is one line that names the file.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from munjang import data
from munjang.data import (
    read_contrasts,
    read_labelled_texts,
    read_questions,
    read_ranked_lists,
    read_relations,
    read_scored_pairs,
    read_tagged_texts,
    read_texts,
)
from munjang.errors import DataFileError, InputTypeError

Read = Callable[[Path], Sequence[Any]]

QUESTIONS = """
{"data": [{"paragraphs": [{"context": "서울은 수도다.", "qas": [
  {"id": "q1", "question": "수도는?", "answers": [{"text": "서울", "answer_start": 0}]}
]}]}]}
"""
READERS: dict[str, tuple[Read, str, str]] = {
    "labelled": (read_labelled_texts, "a.tsv", "id\tdocument\tlabel\n1\t좋아요\t1\n2\t싫어요\t0\n"),
    "labelled csv": (read_labelled_texts, "a.csv", 'text,label\n"좋아요, 정말",1\n"싫어요",0\n'),
    "labelled jsonl": (read_labelled_texts, "a.jsonl", '{"text": "좋아요", "label": 1}\n'),
    "labelled json": (read_labelled_texts, "a.json", '[{"text": "좋아요", "label": 1}]\n'),
    "scored": (read_scored_pairs, "a.csv", "가다,오다,1.5\n서다,앉다,0\n"),
    "characters": (read_tagged_texts, "a.tsv", "## 글\n이\tB-PS\n가\tO\n \tO\n온\tO\n\n나\tO\n"),
    "sentences": (read_tagged_texts, "a.tsv", "이순신 장군\tPER-B O\n서울\tLOC-B\n"),
    "words": (read_tagged_texts, "a.txt", "Seoul B-LC\nis O\n\nnice O\n"),
    "entities": (read_tagged_texts, "a.jsonl", '{"text": "서울 가다", "entities": [[0, 2, "LC"]]}\n'),
    "questions": (
        read_questions,
        "a.json",
        QUESTIONS,
    ),
    "relations": (
        read_relations,
        "a.jsonl",
        '{"text": "세종은 왕이다", "subject": [0, 2], "object": [4, 5], "label": "title"}\n',
    ),
    "relations list": (
        read_relations,
        "a.json",
        '\n[{"text": "세종은 왕이다",\n"subject": [0, 2], "object": [4, 5], "label": "title"}]\n',
    ),
    "contrasts": (read_contrasts, "a.tsv", "anchor\tpositive\tnegative\n하나\t일\t이\n"),
    "ranked": (read_ranked_lists, "a.tsv", "query\tpassage\tlabel\n하나\t일\t1\n하나\t이\t0\n"),
    "texts": (lambda path: list(read_texts(path)), "a.txt", "하나\n둘\n"),
}


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest) -> tuple[Read, str, str]:
    """A reader with a name and a content that it can read."""
    return READERS[str(request.param)]


def test_every_reader_is_tested() -> None:
    names = {name for name in data.__all__ if name.startswith("read_")}
    assert {getattr(data, name) for name in names - {"read_texts", "read_question_answers"}} <= {
        read for read, _, _ in READERS.values()
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace("\n", "\r\n"),
        lambda content: f"\ufeff{content}",
        lambda content: content.removesuffix("\n"),
    ],
    ids=["carriage returns", "mark", "no end"],
)
def test_the_same_examples(
    reader: tuple[Read, str, str], change: Callable[[str], str], tmp_path: Path
) -> None:
    read, name, content = reader
    (tmp_path / name).write_bytes(content.encode())
    (tmp_path / f"changed-{name}").write_bytes(change(content).encode())
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(change(content).encode()))
    expected = read(tmp_path / name)
    assert expected
    assert read(tmp_path / f"changed-{name}") == expected
    assert read(tmp_path / f"{name}.gz") == expected


def refused(read: Read, path: Path) -> str:
    with pytest.raises(DataFileError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name in message
    return message


def test_no_file_to_read(reader: tuple[Read, str, str], tmp_path: Path) -> None:
    read, name, _ = reader
    assert "There is no file" in refused(read, tmp_path / name)
    (tmp_path / name).mkdir()
    assert "is a folder" in refused(read, tmp_path / name)


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file(reader: tuple[Read, str, str], content: str, tmp_path: Path) -> None:
    read, name, _ = reader
    (tmp_path / name).write_text(content, encoding="utf-8")
    message = refused(read, tmp_path / name)
    assert "empty" in message or "blank" in message


def test_bytes_that_are_not_text(reader: tuple[Read, str, str], tmp_path: Path) -> None:
    read, name, content = reader
    (tmp_path / name).write_bytes(f"{content}\n한글\n".encode("cp949"))
    assert "line " in (message := refused(read, tmp_path / name))
    assert "not UTF-8" in message
    (tmp_path / name).write_bytes(f"{content}\0\n".encode())
    assert "NUL" in refused(read, tmp_path / name)


def test_a_path_is_a_path(reader: tuple[Read, str, str]) -> None:
    read: Any = reader[0]
    with pytest.raises(InputTypeError, match="A file is named by a path, not by an object of type"):
        read([data.DataFile(path="a.tsv")])


def test_an_archive_that_is_cut_short(reader: tuple[Read, str, str], tmp_path: Path) -> None:
    read, name, content = reader
    packed = gzip.compress(content.encode())
    (tmp_path / f"{name}.gz").write_bytes(packed[:-6])
    assert "is not a whole gzip file" in refused(read, tmp_path / f"{name}.gz")
    (tmp_path / f"{name}.gz").write_bytes(content.encode())
    assert "is not a whole gzip file" in refused(read, tmp_path / f"{name}.gz")


# Whatever a file holds, there are examples or one line that says what is wrong.

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.sampled_from(["", " ", "가", "서울\n", "O"])
)
KEYS = st.sampled_from(
    ["text", "entities", "subject", "object", "label", "sentence", "subject_entity", "word", "start_idx"]
) | st.sampled_from(
    ["query", "positive", "negatives", "documents", "scores", "sentence1", "sentence2", "score"]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=12,
)
LINES = st.lists(
    st.lists(
        st.sampled_from(["text", "label", "score", "가", "서울 시", "O", "B-LC", '"', "1", "", " "]),
        max_size=4,
    ),
    max_size=5,
)


def readable(read: Read, path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    try:
        assert read(path)
    except DataFileError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most files are bad, but not all
        assert path.name in str(error)  # noqa: PT017


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=30)
@given(values=st.lists(VALUES, min_size=1, max_size=3))
def test_any_objects(name: str, values: list[object]) -> None:
    read, file, _ = READERS[name]
    lines = "\n".join(map(json.dumps, values))
    with TemporaryDirectory() as folder:
        readable(read, Path(folder) / (file if name == "questions" else "a.jsonl"), lines)


ANSWERS = VALUES | st.lists(st.fixed_dictionaries({"text": LEAVES, "answer_start": LEAVES}), max_size=3)
QUESTIONS_OF_ANY_KIND = VALUES | st.lists(
    st.fixed_dictionaries({"id": LEAVES, "question": st.just("가"), "answers": ANSWERS}), max_size=3
)
PARAGRAPHS = VALUES | st.lists(
    st.fixed_dictionaries({"context": st.just("서울"), "qas": QUESTIONS_OF_ANY_KIND}), max_size=3
)


@given(paragraphs=PARAGRAPHS)
def test_any_questions(paragraphs: object) -> None:
    with TemporaryDirectory() as folder:
        content = json.dumps({"data": [{"paragraphs": paragraphs}]})
        readable(read_questions, Path(folder) / "a.json", content)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=30)
@given(lines=LINES, separator=st.sampled_from("\t, "))
def test_any_lines(name: str, lines: list[list[str]], separator: str) -> None:
    read, file, _ = READERS[name]
    with TemporaryDirectory() as folder:
        readable(read, Path(folder) / file, "\n".join(separator.join(fields) for fields in lines))
