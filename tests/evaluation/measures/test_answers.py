"""Exact match and F1 of answers: cases worked out by hand with the rules of KorQuAD and of SQuAD."""

from __future__ import annotations

import string
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from munjang.errors import InputError
from munjang.evaluation.measures.answers import answer_f1, exact_match, normalized

MARKS = "'\"《》<>〈〉()‘’"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("《소나기》", "소나기"),
        ("〈소나기〉와 <봄·봄>", "소나기 와 봄·봄"),
        ("‘서울’(Seoul)", "서울 seoul"),
        ('"1,000명"', "1000명"),
        ("  3.1   운동 ", "31 운동"),
        ("BTS의 RM", "bts의 rm"),
        ("“큰 따옴표”", "“큰 따옴표”"),  # the official program leaves these
        ("the end", "the end"),
        ("...", ""),
    ],
)
def test_normal_form_of_korquad(answer: str, expected: str) -> None:
    assert normalized(answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The Beatles", "beatles"),
        ("an apple, a day!", "apple day"),
        ("theatre", "theatre"),
        ("U.S.A.", "usa"),
        ("《소나기》", "《소나기》"),
    ],
)
def test_normal_form_of_squad(answer: str, expected: str) -> None:
    assert normalized(answer, "squad") == expected


def test_korquad_by_hand() -> None:
    assert exact_match("《소나기》", ["소나기"]) == 1
    assert exact_match("소나기는", ["소나기"]) == 0
    assert answer_f1("소나기는", ["소나기"]) == pytest.approx(2 * 3 / 7)
    assert answer_f1("1989년 2월", ["1989년 2월 15일"]) == pytest.approx(2 * 7 / (7 + 10))
    assert answer_f1("대한민국 서울", ["서울 대한민국"]) == 1  # characters have no order
    assert answer_f1("가가나", ["가나나"]) == pytest.approx(2 * 2 / 6)  # each as often as it is on both sides
    assert answer_f1("부산", ["서울", "부산시"]) == pytest.approx(2 * 2 / 5)  # the best of the answers
    assert answer_f1("부산", ["서울"]) == 0


def test_squad_by_hand() -> None:
    assert exact_match("The Norman Conquest", ["norman conquest."], normalization="squad") == 1
    found = answer_f1(
        "in the 10th century", ["10th and 11th centuries", "10th century"], normalization="squad"
    )
    assert found == pytest.approx(2 * 2 / 5)
    assert answer_f1("France", ["france, a country"], normalization="squad") == pytest.approx(2 / 3)


def test_a_question_without_an_answer() -> None:
    assert exact_match("", []) == answer_f1("", []) == 1
    assert exact_match("서울", []) == answer_f1("서울", []) == 0
    assert answer_f1("", ["서울"]) == answer_f1("...", ["서울"]) == 0


def test_both_forms_of_hangul_are_equal() -> None:
    decomposed = unicodedata.normalize("NFD", "훈민정음은")
    assert exact_match(decomposed, ["훈민정음은"]) == 1
    assert answer_f1(decomposed, ["훈민정음"]) == pytest.approx(8 / 9)


@given(st.text(alphabet="가나 다aB.,《》()'" + string.punctuation), st.text(alphabet="가나 다Ab!〈〉‘’"))
def test_korquad_by_its_definition(one: str, other: str) -> None:
    units = []
    for text in (one, other):
        spaced = "".join(" " if letter in MARKS else letter.lower() for letter in text)
        kept = "".join(letter for letter in spaced if letter not in string.punctuation)
        units.append("".join(kept.split()))
        assert normalized(text).split() == kept.split()
    common = sum((Counter(units[0]) & Counter(units[1])).values())
    if common:
        precision, recall = common / len(units[0]), common / len(units[1])
        assert answer_f1(one, [other]) == pytest.approx(2 * precision * recall / (precision + recall))
    elif any(units):
        assert answer_f1(one, [other]) == 0


def test_unknown_normalization() -> None:
    with pytest.raises(InputError, match="Unknown normalization 'klue'; there are korquad, squad"):
        answer_f1("a", ["a"], normalization="klue")  # type: ignore[arg-type]
