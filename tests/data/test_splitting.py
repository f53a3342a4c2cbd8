"""Splitting of examples, and texts of several files.

Bad: a share that is none, a number that leaves nothing on one side, one key only, no examples; no files, a
file of blank lines.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from munjang.data import read_texts, split
from munjang.errors import DataFileError, InputError


@given(
    rows=st.lists(st.integers(0, 9), min_size=2, max_size=60),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 99),
)
def test_parts_cover_all_examples(rows: list[int], share: float, seed: int) -> None:
    numbered = list(enumerate(rows))
    learnt, held = split(numbered, held_out=share, seed=seed)
    assert learnt == sorted(learnt)
    assert held == sorted(held)
    assert sorted(learnt + held) == numbered
    assert abs(len(held) - share * len(rows)) <= 1
    assert (learnt, held) == split(iter(numbered), held_out=share, seed=seed)
    assert len(split(numbered, held_out=len(held), seed=seed)[1]) == len(held)


@given(rows=st.lists(st.integers(0, 9), min_size=1), seed=st.integers(0, 99))
def test_a_key_stays_on_one_side(rows: list[int], seed: int) -> None:
    rows = [*rows, 10, 11, 12]
    numbered = list(enumerate(rows))
    try:
        learnt, held = split(numbered, held_out=2, seed=seed, key=lambda row: row[1])
    except InputError as error:
        assert "leaves none to learn from" in str(error)  # noqa: PT017 - only some draws have no room
        return
    assert sorted(learnt + held) == numbered
    assert {key for _, key in learnt}.isdisjoint(key for _, key in held)
    assert len(held) >= 2
    last = max((rows.count(key) for _, key in held), default=0)
    assert len(held) - last < 2


def test_the_seed_determines_the_sample() -> None:
    parts = [split(range(100), held_out=10, seed=seed)[1] for seed in (0, 1, 0)]
    assert parts[0] == parts[2] != parts[1]
    assert split(range(100), held_out=10) == split(range(100), held_out=0.1)
    assert parts[0] != list(range(10))


def test_a_small_share_is_at_least_one_example() -> None:
    assert [len(part) for part in split("가나", held_out=0.01)] == [1, 1]
    assert [len(part) for part in split("가나", held_out=0.99)] == [1, 1]


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (0, "held_out is 0; of 10 examples, 1 to 9 can be held out"),
        (10, "held_out is 10; of 10"),
        (-1, "held_out is -1"),
        (0.0, r"held_out is 0\.0; a share must be between 0 and 1"),
        (1.0, r"held_out is 1\.0; a share"),
        (float("nan"), "held_out is nan; a share"),
        (True, "held_out is True; give a share"),
        ("0.1", "held_out is '0.1'; give a share"),
    ],
)
def test_invalid_held_out(held_out: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split(range(10), held_out=held_out)


def test_too_few_examples_to_split() -> None:
    with pytest.raises(InputError, match="Too few examples to split: 1 example"):
        split(["가"], held_out=0.5)
    with pytest.raises(InputError, match="Holding out 3 of 10 examples with 1 different keys leaves none"):
        split(range(10), held_out=3, key=lambda _: "same")


# Texts


def test_texts_of_several_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("하나\n\n  둘 \n \n", encoding="utf-8")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("셋\r\n넷".encode()))
    (tmp_path / "c.csv").write_text('id,글,n\n7,"다\n섯",1\n', encoding="utf-8")
    first, second = tmp_path / "a.txt", str(tmp_path / "b.txt.gz")
    assert list(read_texts([first, second])) == ["하나", "  둘 ", "셋", "넷"]
    assert list(read_texts(second)) == list(read_texts([second])) == ["셋", "넷"]
    assert list(read_texts(tmp_path / "c.csv", column="글")) == ["다\n섯"]


def test_texts_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("하나\n".encode() * 100_000 + b"\xff\n")
    texts = read_texts([path, tmp_path / "none.txt"])
    assert next(texts) == "하나"
    with pytest.raises(DataFileError, match="line 100001: not UTF-8"):
        list(texts)


def test_no_texts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no files to read texts from"):
        list(read_texts([]))
    (tmp_path / "a.txt").write_text("하나\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text(" \n\n", encoding="utf-8")
    with pytest.raises(DataFileError, match=r"b\.txt' has no texts, only blank lines"):
        list(read_texts([tmp_path / "a.txt", tmp_path / "b.txt"]))
