"""Snippets of passages, and the fusion of rankings."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from munjang.search.query import convex_combination, fuse, reciprocal_rank_fusion
from munjang.search.text.analysis import analyzer_named
from munjang.search.text.snippets import Snippet, _best_mark, make_snippet

BIGRAMS = analyzer_named("hangul-bigrams")


def snippet(text: str, query: str, length: int = 160) -> Snippet:
    return make_snippet(text, BIGRAMS.spans(text), set(BIGRAMS.words(query)), length)


def marked(found: Snippet) -> list[str]:
    return [found.text[start:end] for start, end in found.marks]


def test_a_short_text_is_shown_whole() -> None:
    found = snippet("서울에서\n만나요", "서울")
    assert found == Snippet("서울에서 만나요", [(0, 2)])


def test_adjacent_marks_are_joined() -> None:
    assert marked(snippet("대한민국 서울특별시", "서울특별시")) == ["서울특별시"]


def test_the_snippet_has_most_words() -> None:
    text = "사과 이야기. " + "채움 글월 " * 30 + "여기서 사과 배 포도 이야기가 나온다. " + "채움 글월 " * 30
    found = snippet(text, "사과 포도", 80)
    assert marked(found) == ["사과", "포도"]
    assert found.text.startswith("…")
    assert found.text.endswith("…")
    assert len(found.text) <= 82


def test_snippets_are_cut_between_words() -> None:
    text = "alpha beta gamma delta " * 20 + "needle " + "alpha beta gamma delta " * 20
    found = snippet(text, "needle", 60)
    assert set(found.text.strip("…").split()) <= {"alpha", "beta", "gamma", "delta", "needle"}


def test_a_snippet_without_matches_is_the_beginning() -> None:
    found = snippet("처음부터 " * 50, "다른")
    assert found.text.startswith("처음부터 처음부터")
    assert found.text.endswith("처음부터…")
    assert found.marks == []


def test_marks_in_decomposed_text() -> None:
    text = unicodedata.normalize("NFD", "어제 서울에서 만났다")
    assert [unicodedata.normalize("NFC", part) for part in marked(snippet(text, "서울"))] == ["서울"]


@given(st.text(st.sampled_from("가나다 a\n."), max_size=300), st.text(st.sampled_from("가나다 a")))
def test_marks_are_words_of_the_query(text: str, query: str) -> None:
    found = snippet(text, query, 50)
    words = set(BIGRAMS.words(query))
    assert len(found.text) <= 52
    for part in marked(found):
        assert set(BIGRAMS.words(part)) & words
    assert found.text.strip("…") in text.replace("\n", " ")


# Fusion


def test_reciprocal_ranks_are_summed() -> None:
    found = reciprocal_rank_fusion({"a": ["x", "y"], "b": ["y", "z"]}, {"a": 1, "b": 2})
    assert [item for item, _ in found] == ["y", "z", "x"]
    assert [score for _, score in found] == pytest.approx([1 / 62 + 2 / 61, 2 / 62, 1 / 61])


def test_ties_are_settled() -> None:
    rankings = {"a": ["x", "p"], "b": ["y", "q"]}
    assert [item for item, _ in reciprocal_rank_fusion(rankings, {})] == ["x", "y", "p", "q"]
    assert reciprocal_rank_fusion({}, {}) == []


def test_scores_are_brought_between_0_and_1() -> None:
    rankings = {"semantic": [("x", 0.9), ("y", 0.8), ("z", 0.7)], "lexical": [("z", 12.0), ("x", 3.0)]}
    found = convex_combination(rankings, {"semantic": 1, "lexical": 3}, {"lexical": 0.0})
    assert [item for item, _ in found] == ["z", "x", "y"]
    assert [score for _, score in found] == pytest.approx([0.75, 0.25 + 0.75 * 0.25, 0.25 * 0.5])
    assert convex_combination({"semantic": [("x", 0.5)], "lexical": []}, {}, {}) == [("x", 0.5)]
    assert convex_combination({}, {}, {}) == []


def test_ties_of_scores_are_settled() -> None:
    rankings = {"a": [("x", 2.0), ("p", 1.0)], "b": [("y", 2.0), ("q", 1.0)]}
    assert [item for item, _ in convex_combination(rankings, {}, {})] == ["x", "y", "p", "q"]


def test_a_fusion_by_name() -> None:
    rankings = {"a": [("x", 2.0), ("y", 1.9)], "b": [("y", 2.0), ("z", 1.0)]}
    assert fuse("ranks", rankings, {}, {}) == reciprocal_rank_fusion({"a": ["x", "y"], "b": ["y", "z"]}, {})
    assert fuse("scores", rankings, {}, {}) == convex_combination(rankings, {}, {})


def worth(found: list[tuple[int, int, str]], first: int, length: int) -> tuple[int, int]:
    """Count the different words and the marks that fit, starting at a mark, one by one."""
    limit = found[first][0] + length - 48
    fitting = 1
    while first + fitting < len(found) and found[first + fitting][1] <= limit:
        fitting += 1
    return len({word for _, _, word in found[first : first + fitting]}), fitting


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(1, 9), st.sampled_from("abcd"))))
def test_the_snippet_has_most_words_and_marks(drawn: list[tuple[int, int, str]]) -> None:
    found = sorted((start, start + length, word) for start, length, word in drawn)
    expected = max(range(len(found)), key=lambda i: (*worth(found, i, 160), -i), default=None)
    assert _best_mark(found, 160) == expected


def test_a_snippet_of_a_passage_without_spaces_takes_linear_time() -> None:
    text = "".join(chr(0xAC00 + (7 * i * i) % 50) for i in range(300_000))
    started = time.perf_counter()
    found = snippet(text, text[:60])
    assert time.perf_counter() - started < 60  # 3 seconds; several minutes when it was quadratic
    assert found.marks
