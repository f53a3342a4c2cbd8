"""Published data, read without options: the number of examples, and a known row of each file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from munjang.data import (
    read_contrasts,
    read_labelled_texts,
    read_questions,
    read_scored_pairs,
    read_tagged_texts,
    read_texts,
    split,
)
from munjang.data.examples import AnswerSpan, Contrast, LabelledText, ScoredPair

pytestmark = pytest.mark.data


@pytest.mark.parametrize(
    ("name", "count", "at", "expected"),
    [
        (
            "nsmc/train.tsv.gz",
            213_362,
            0,
            LabelledText("세상에~ 죽음이다 .이토록 멋진 전쟁물이라니", None, "1"),
        ),
        ("nsmc/dev.tsv.gz", 7_776, -1, LabelledText("그래서 뭐. 어쩌란겨..", None, "0")),
        (
            "kornli/xnli.dev.ko.tsv",
            2_490,
            1,
            LabelledText(
                '그리고 그가 말했다, "엄마, 저 왔어요."', "그는 한마디도 하지 않았다.", "contradiction"
            ),
        ),
        (
            "kornli/xnli.test.ko.tsv",
            5_010,
            1_850,
            LabelledText(
                '"그게 거짓말할 신호일 거야." 블러드가 무기력한 목소리로 말하고는 한숨을 내뱉었다.',
                "블러드가 신호에 대해 뭔가 언급하자 그는 한숨을 쉬었다.",
                "entailment",
            ),
        ),
        (
            "question-pair/train.tsv",
            6_136,
            3_146,
            LabelledText("가족을 너무 사랑해서 가끔 괴로워요", "가족들과 사랑하면서 지내고 싶어요", "1"),
        ),
        (
            "question-pair/train.tsv",
            6_136,
            734,
            LabelledText("사랑한다고 고백해 볼까", '가족끼리 "사랑해요"라는말 하는거 어색해', "1"),
        ),
        (
            "question-pair/dev.tsv",
            682,
            0,
            LabelledText("속이는 거 더 못하겠어", "속이는 거 더 이상 못하겠어", "0"),
        ),
        ("chatbot/ChatbotData.csv", 11_823, 0, LabelledText("12시 땡!", None, "0")),
    ],
)
def test_labelled_texts(name: str, count: int, at: int, expected: LabelledText, data: Path) -> None:
    examples = read_labelled_texts(data / name)
    assert len(examples) == count
    assert examples[at] == expected


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("nsmc/dev.tsv.gz", {"0": 3_888, "1": 3_888}),
        ("kornli/xnli.dev.ko.tsv", {"entailment": 830, "neutral": 830, "contradiction": 830}),
        ("kornli/xnli.test.ko.tsv", {"entailment": 1_670, "neutral": 1_670, "contradiction": 1_670}),
    ],
)
def test_labels_that_are_balanced(name: str, labels: dict[str, int], data: Path) -> None:
    assert Counter(example.label for example in read_labelled_texts(data / name)) == labels


@pytest.mark.parametrize(
    ("name", "count", "expected"),
    [
        ("korsts/train.tsv", 5_749, ("비행기가 이륙하고 있다.", "비행기가 이륙하고 있다.", 5.0)),
        (
            "korsts/dev.tsv",
            1_500,
            ("안전모를 가진 한 남자가 춤을 추고 있다.", "안전모를 쓴 한 남자가 춤을 추고 있다.", 5.0),
        ),
        (
            "korsts/test.tsv",
            1_379,
            ("한 소녀가 머리를 스타일링하고 있다.", "한 소녀가 머리를 빗고 있다.", 2.5),
        ),
        ("stsb-en/train.csv", 5_749, ("A plane is taking off.", "An air plane is taking off.", 5.0)),
        (
            "stsb-en/dev.csv",
            1_500,
            ("A man with a hard hat is dancing.", "A man wearing a hard hat is dancing.", 5.0),
        ),
        ("stsb-en/test.csv", 1_379, ("A girl is styling her hair.", "A girl is brushing her hair.", 2.5)),
    ],
)
def test_scored_pairs(name: str, count: int, expected: tuple[str, str, float], data: Path) -> None:
    pairs = read_scored_pairs(data / name)
    assert len(pairs) == count
    assert pairs[0] == ScoredPair(*expected)
    assert all(0 <= pair.score <= 5 for pair in pairs)


def test_quotes_of_korsts_are_letters(data: Path) -> None:
    found = [pair.sentence2 for pair in read_scored_pairs(data / "korsts" / "dev.tsv")]
    assert '"상태"가 셀 수 있는 경우가 몇 가지 있다.' in found
    assert '"6명 중 10명은 아마도 5 : 50을 의미하지만 나는 전에 그것을 듣지 못했습니다.' in found


def test_contrasts(data: Path) -> None:
    found = read_contrasts(data / "kornli" / "xnli.dev.ko.tsv")
    assert len(found) == 830
    assert found[0] == Contrast(
        '그리고 그가 말했다, "엄마, 저 왔어요."',
        "그는 엄마에게 집에 갔다고 말했다.",
        ("그는 한마디도 하지 않았다.",),
    )
    assert all(len(contrast.negatives) == 1 for contrast in found)
    chat = read_contrasts(data / "chatbot" / "ChatbotData.csv")
    assert (len(chat), chat[0]) == (11_823, Contrast("12시 땡!", "하루가 또 가네요."))


def test_tagged_texts(data: Path) -> None:
    klue = read_tagged_texts(data / "klue-ner" / "train.tsv")
    assert len(klue) == 4_000
    assert klue[-1] == {
        "text": "올해 12회 째를 맞는 부산 '북극곰 수영축제'는 총 3천여명이 참가했습니다.",
        "entities": [(0, 2, "DT"), (3, 6, "QT"), (13, 15, "LC"), (30, 34, "QT")],
    }
    naver = read_tagged_texts(data / "naver-ner" / "test.tsv")
    assert len(naver) == 9_000
    assert naver[0] == {
        "text": "나아가 한 스트로크를 하는 제한시간에 대한 지침도 있다 .",
        "entities": [(4, 11, "NUM")],
    }


def test_questions(data: Path) -> None:
    found = read_questions(data / "korquad" / "KorQuAD_v1.0_dev.json")
    assert len(found) == 5_774
    assert (found[1].id, found[1].answers) == ("6548850-0-1", (AnswerSpan("임수경", 125),))
    learnt, held = split(found, held_out=0.1, key=lambda one: one.context)
    contexts = {one.context for one in learnt}, {one.context for one in held}
    assert len(contexts[0]) + len(contexts[1]) == len({one.context for one in found})
    assert 577 <= len(held) < 600


def test_texts(data: Path) -> None:
    texts = list(read_texts(data / "nsmc" / "reviews.txt.gz"))
    assert len(texts) == 623_560
    assert texts[0] == "전체관람가는 아닌것 같아요"
